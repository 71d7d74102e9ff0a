#include "hub/part_file.h"

#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

namespace squish::hub {
namespace {

namespace fs = std::filesystem;

class PartFileOnDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("squish-part-" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
    path_ = (root_ / "model.gguf").string();
  }
  void TearDown() override { fs::remove_all(root_); }
  [[nodiscard]] uint64_t on_disk() const { return fs::file_size(path_ + ".part"); }

  fs::path root_;
  std::string path_;
};

std::string numbered_text(size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i % 253);
  return text;
}

TEST_F(PartFileOnDisk, writes_whole_pieces_of_two_mebibytes_and_the_rest_at_the_end) {
  constexpr size_t kPiece = size_t{2} << 20;
  const std::string text = numbered_text(2 * kPiece + 1000);
  PartFile part = PartFile::open(path_).value();
  ASSERT_TRUE(part.restart_at(0));
  for (size_t at = 0; at < text.size(); at += 70'001) {
    const size_t bytes = std::min<size_t>(70'001, text.size() - at);
    ASSERT_TRUE(part.append(as_bytes(std::string_view(text).substr(at, bytes))));
    EXPECT_EQ(part.bytes(), at + bytes);
    EXPECT_EQ(on_disk() % kPiece, 0U);
  }
  Sha256 hash;
  hash.update(as_bytes(text));
  EXPECT_EQ(part.sha256().value(), hash.finish());
  EXPECT_EQ(on_disk(), text.size());
  ASSERT_TRUE(part.commit());
  EXPECT_TRUE(read_file(path_, text.size()).value() == text);
}

TEST_F(PartFileOnDisk, keeps_what_came_when_it_is_closed_and_goes_on_in_the_middle_of_a_piece) {
  const std::string text = numbered_text(5'000'000);
  {
    PartFile part = PartFile::open(path_).value();
    ASSERT_TRUE(part.restart_at(0));
    ASSERT_TRUE(part.append(as_bytes(std::string_view(text).substr(0, 3'000'000))));
  }
  PartFile part = PartFile::open(path_).value();
  ASSERT_EQ(part.bytes(), 3'000'000U);
  ASSERT_TRUE(part.restart_at(part.bytes()));
  ASSERT_TRUE(part.append(as_bytes(std::string_view(text).substr(3'000'000))));
  Sha256 hash;
  hash.update(as_bytes(text));
  EXPECT_EQ(part.sha256().value(), hash.finish());
  ASSERT_TRUE(part.commit());
  EXPECT_TRUE(read_file(path_, text.size()).value() == text);
}

TEST_F(PartFileOnDisk, knows_the_first_bytes_before_they_are_written) {
  PartFile part = PartFile::open(path_).value();
  ASSERT_TRUE(part.restart_at(0));
  ASSERT_TRUE(part.append(as_bytes("GGUF and more")));
  EXPECT_EQ(part.magic().value(), "GGUF");
}

TEST_F(PartFileOnDisk, says_when_the_disk_takes_no_more) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  if (full < 0) GTEST_SKIP() << "this system has no /dev/full";
  PartFile part = PartFile::open(path_).value();
  ASSERT_TRUE(part.restart_at(0));
  // The descriptor of the part file becomes one that is always full.
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (fs::read_symlink(entry.path(), error).string() != path_ + ".part") continue;
    ASSERT_GE(::dup2(full, std::stoi(entry.path().filename().string())), 0);
  }
  ::close(full);
  const Status status = part.append(as_bytes(numbered_text(size_t{2} << 20)));
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("free some space"), std::string::npos);
  EXPECT_EQ(part.bytes(), 0U);
}

}  // namespace
}  // namespace squish::hub
