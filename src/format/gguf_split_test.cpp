#include <filesystem>

#include <gtest/gtest.h>

#include "format/gguf.h"
#include "format/testing/gguf_builder.h"
#include "format/testing/temporary_directory.h"

namespace squish {
namespace {

using testing::GgufBuilder;
using testing::TemporaryDirectory;

/// Shard `number` (from 0) of three, one tensor "t<number>" of one f32 with that value.
GgufBuilder shard(int number) {
  GgufBuilder builder;
  if (number == 0) builder.add_metadata("general.architecture", "llama");
  builder.add_metadata("split.no", static_cast<uint16_t>(number));
  builder.add_metadata("split.count", uint16_t{3}).add_metadata("split.tensors.count", int32_t{3});
  builder.add_tensor("t" + std::to_string(number), {1}, {static_cast<float>(number)});
  return builder;
}
std::string shard_name(int number) {
  return "m-0000" + std::to_string(number + 1) + "-of-00003.gguf";
}

class GgufSplit : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 3; ++i) (void)shard(i).write(directory_.file(shard_name(i)));
  }
  std::string open_error(int given = 0) {
    const auto file = GgufFile::open(directory_.file(shard_name(given)));
    return file.has_value() ? "opened" : file.error().message;
  }
  TemporaryDirectory directory_;
};

TEST_F(GgufSplit, any_shard_opens_the_whole_model) {
  for (int given = 0; given < 3; ++given) {
    const auto file = GgufFile::open(directory_.file(shard_name(given)));
    ASSERT_TRUE(file.has_value()) << file.error().message;
    EXPECT_EQ(file->shard_count(), 3U);
    EXPECT_EQ(file->architecture(), "llama");
    EXPECT_EQ(file->path(), directory_.file(shard_name(0)));
    ASSERT_EQ(file->tensors().size(), 3U);
    for (int i = 0; i < 3; ++i) {
      const TensorView* tensor = file->find_tensor("t" + std::to_string(i));
      ASSERT_NE(tensor, nullptr);
      EXPECT_EQ(reinterpret_cast<const float*>(tensor->data)[0], static_cast<float>(i));
    }
    uint64_t total = 0;
    for (int i = 0; i < 3; ++i) total += std::filesystem::file_size(directory_.file(shard_name(i)));
    EXPECT_EQ(file->file_bytes(), total);
  }
}

TEST_F(GgufSplit, a_missing_shard_is_named) {
  std::filesystem::remove(directory_.file(shard_name(1)));
  EXPECT_EQ(open_error(), directory_.file(shard_name(1)) +
                              ": shard 2 of 3 is missing; download it beside the others");
}

TEST_F(GgufSplit, a_shard_with_another_name_is_told_the_name_it_needs) {
  std::filesystem::copy_file(directory_.file(shard_name(0)), directory_.file("other.gguf"));
  const auto file = GgufFile::open(directory_.file("other.gguf"));
  ASSERT_FALSE(file.has_value());
  EXPECT_NE(file.error().message.find("ends in '-00001-of-00003.gguf'"), std::string::npos);
}

TEST_F(GgufSplit, two_copies_of_one_shard_are_not_two_shards) {
  std::filesystem::copy_file(directory_.file(shard_name(1)), directory_.file(shard_name(2)),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_NE(open_error().find("split.no is 1, its name says 2"), std::string::npos);
}

TEST_F(GgufSplit, shards_that_disagree_are_refused) {
  GgufBuilder other;
  other.add_metadata("split.no", uint16_t{2}).add_metadata("split.count", uint16_t{4});
  (void)other.write(directory_.file(shard_name(2)));
  EXPECT_NE(open_error().find("split.count is 4, in another shard it is 3"), std::string::npos);
  GgufBuilder totals;
  totals.add_metadata("split.no", uint16_t{2}).add_metadata("split.count", uint16_t{3});
  totals.add_metadata("split.tensors.count", int32_t{9});
  (void)totals.write(directory_.file(shard_name(2)));
  EXPECT_NE(open_error().find("split.tensors.count is 9, in another shard it is 3"),
            std::string::npos);
}

TEST_F(GgufSplit, a_tensor_too_few_and_one_in_two_shards_are_found) {
  GgufBuilder empty;
  empty.add_metadata("split.no", uint16_t{2}).add_metadata("split.count", uint16_t{3});
  empty.add_metadata("split.tensors.count", int32_t{3});
  (void)empty.write(directory_.file(shard_name(2)));
  EXPECT_NE(open_error().find("split.tensors.count is 3, but the 3 shards hold 2 tensors"),
            std::string::npos);
  empty.add_tensor("t0", {1}, {1.0F});
  (void)empty.write(directory_.file(shard_name(2)));
  EXPECT_NE(open_error().find("tensor 't0' occurs twice"), std::string::npos);
}

TEST_F(GgufSplit, a_damaged_sibling_is_named) {
  directory_.write(shard_name(1), "GGUF");
  EXPECT_NE(open_error().find(shard_name(1) + ": the version goes past the end"), std::string::npos)
      << open_error();
}

TEST_F(GgufSplit, a_shard_in_memory_is_refused_and_a_split_of_one_is_a_single_file) {
  const std::string bytes = shard(0).build();
  const auto refused = GgufFile::parse(as_bytes(bytes), "m.gguf");
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("split.count is 3"), std::string::npos);
  GgufBuilder one;
  one.add_metadata("split.no", uint16_t{0}).add_metadata("split.count", uint16_t{1});
  const std::string single = one.build();
  EXPECT_TRUE(GgufFile::parse(as_bytes(single), "m.gguf").has_value());
}

}  // namespace
}  // namespace squish
