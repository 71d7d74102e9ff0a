#include "hub/publish_files.h"

#include <filesystem>

#include "format/testing/temporary_directory.h"

namespace squish::hub {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> out;
  const auto files = list_publishable(directory);
  for (const UploadFile& file : files.value()) out.push_back(file.path);
  return out;
}

TEST(PublishableFiles, are_those_of_folders_too_without_hidden_ones) {
  const testing::TemporaryDirectory directory;
  std::filesystem::create_directories(directory.file("tensors"));
  std::filesystem::create_directories(directory.file(".git"));
  directory.write("config.json", "{}");
  directory.write("tensors/a.npy", "x");
  directory.write(".squish.json", "{}");
  directory.write(".git/config", "x");
  directory.write("config.json~", "x");
  EXPECT_THAT(names_in(directory.path()), ElementsAre("config.json", "tensors/a.npy"));
}

TEST(PublishableFiles, an_unfinished_one_stops_it) {
  const testing::TemporaryDirectory directory;
  directory.write("model.safetensors.part", "x");
  const auto files = list_publishable(directory.path());
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code, ErrorCode::bad_file);
}

TEST(PublishableFiles, a_link_out_of_the_directory_stops_it) {
  const testing::TemporaryDirectory outside;
  const testing::TemporaryDirectory directory;
  outside.write("secret", "x");
  std::filesystem::create_symlink(outside.file("secret"), directory.file("config.json"));
  const auto files = list_publishable(directory.path());
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code, ErrorCode::unsafe);
}

TEST(SafetyScan, has_no_objection_to_what_squish_writes) {
  EXPECT_THAT(objection_to("model.safetensors", std::string("\x7f"
                                                            "ELF\0\0\0\0{",
                                                            9)),
              IsEmpty());
  EXPECT_THAT(objection_to("config.json", "{}"), IsEmpty());
  EXPECT_THAT(objection_to("gguf_metadata.bin", "GGUF\x03"), IsEmpty());
  EXPECT_THAT(objection_to("SHA256SUMS", "abc"), IsEmpty());
  EXPECT_THAT(objection_to("README.md", "# x"), IsEmpty());
  EXPECT_THAT(objection_to("tensors/a.npy", "\x93NUMPY\x01{'descr': '<f4', "), IsEmpty());
}

TEST(SafetyScan, names_what_can_run) {
  EXPECT_THAT(objection_to("weights.pkl", ""), HasSubstr("pickle"));
  EXPECT_THAT(objection_to("pytorch_model.bin", "x"), HasSubstr("pickle"));
  EXPECT_THAT(objection_to("notes.txt", "\x80\x04\x95"), HasSubstr("pickle"));
  EXPECT_THAT(objection_to("notes.txt", "PK\x03\x04"), HasSubstr("archive"));
  EXPECT_THAT(objection_to("modeling.py", "import os"), HasSubstr("code"));
  EXPECT_THAT(objection_to("tool",
                           "\x7f"
                           "ELF"),
              HasSubstr("program"));
  EXPECT_THAT(objection_to("tool", "#!/bin/sh"), HasSubstr("script"));
  EXPECT_THAT(objection_to("x.SO", ""), HasSubstr("program"));
  EXPECT_THAT(objection_to("gguf_metadata.bin", "\x80\x04"), Not(IsEmpty()));
  EXPECT_THAT(objection_to("a.npy", "\x93NUMPY\x01{'descr': '|O', "), HasSubstr("code"));
}

TEST(Sums, are_lines_of_a_hash_and_a_name) {
  const std::string hash(64, 'a');
  const auto lines = parse_sums(hash + "  a b.json\n" + hash + " *./c\r\n\n");
  ASSERT_TRUE(lines);
  ASSERT_EQ(lines->size(), 2U);
  EXPECT_EQ(lines->at(0).name, "a b.json");
  EXPECT_EQ(lines->at(1).name, "c");
  EXPECT_FALSE(parse_sums("abc  x\n"));
  EXPECT_FALSE(parse_sums(std::string(64, 'g') + "  x\n"));
  EXPECT_FALSE(parse_sums(hash));
}

TEST(Sums, hold_or_name_the_file_that_differs) {
  const testing::TemporaryDirectory directory;
  const std::string hash_of_x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
  directory.write("config.json", "x");
  directory.write("SHA256SUMS", hash_of_x + "  config.json\n");
  SilentProgress silent;
  const CancelFlag cancel = false;
  auto files = list_publishable(directory.path()).value();
  EXPECT_EQ(hash_publishable(directory.path(), files, silent, cancel).value(), 1U);
  EXPECT_EQ(files[1].sha256, hash_of_x);
  directory.write("config.json", "y");
  const auto differs = hash_publishable(directory.path(), files, silent, cancel);
  ASSERT_FALSE(differs);
  EXPECT_THAT(differs.error().message, HasSubstr("config.json"));
}

TEST(ListPublishable, refuses_folders_deeper_than_a_model_has_them) {
  const testing::TemporaryDirectory directory;
  ASSERT_TRUE(make_directories(directory.file("a/b/c/d/e")));
  const auto files = list_publishable(directory.path());
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(files.error().message, HasSubstr("more than 4 folders deep"));
}

}  // namespace
}  // namespace squish::hub
