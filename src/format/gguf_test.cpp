#include "format/gguf.h"

#include <filesystem>
#include <random>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "format/testing/gguf_builder.h"
#include "format/testing/temporary_directory.h"

namespace squish {
namespace {

using testing::GgufBuilder;
using testing::TemporaryDirectory;

GgufFile parse(const std::string& bytes) {
  auto file = GgufFile::parse(as_bytes(bytes), "x.gguf");
  EXPECT_TRUE(file.has_value()) << (file.has_value() ? "" : file.error().message);
  return std::move(file).value();
}

TEST(Gguf, a_tensor_comes_back_with_its_shape_outermost_first_and_its_bytes) {
  TemporaryDirectory directory;
  std::mt19937 random(1);
  GgufBuilder builder;
  builder.add_metadata("general.architecture", "llama");
  builder.add_tensor("norm", {3}, {1.0F, 2.0F, 3.0F});
  builder.add_random_tensor("experts", {2, 5, 64}, DType::q4_0, random);
  const std::string path = builder.write(directory.file("a.gguf"));
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(file->architecture(), "llama");
  EXPECT_EQ(file->path(), path);
  EXPECT_EQ(file->file_bytes(), std::filesystem::file_size(path));
  EXPECT_GT(file->modified_ns(), 0);
  ASSERT_EQ(file->tensors().size(), 2U);
  EXPECT_EQ(file->tensors()[1].name, "experts");
  const TensorView* experts = file->find_tensor("experts");
  ASSERT_NE(experts, nullptr);
  EXPECT_EQ(to_string(experts->shape), "[2, 5, 64]");
  EXPECT_EQ(experts->dtype, DType::q4_0);
  EXPECT_EQ(as_text({experts->data, experts->bytes()}), builder.tensors[1].bytes);
  EXPECT_EQ(reinterpret_cast<const float*>(file->find_tensor("norm")->data)[2], 3.0F);
  EXPECT_EQ(file->find_tensor("norm.weight"), nullptr);
}

TEST(Gguf, integers_of_every_width_are_read_and_a_negative_one_is_not_unsigned) {
  GgufBuilder builder;
  builder.add_metadata("u8", uint8_t{255}).add_metadata("i8", int8_t{-1});
  builder.add_metadata("u16", uint16_t{65535}).add_metadata("i16", int16_t{-2});
  builder.add_metadata("u32", uint32_t{4294967295}).add_metadata("i32", int32_t{-3});
  builder.add_metadata("u64", uint64_t{1} << 63).add_metadata("i64", int64_t{-4});
  const std::string bytes = builder.build();
  const GgufFile file = parse(bytes);
  EXPECT_EQ(file.get_uint("u8"), 255U);
  EXPECT_EQ(file.get_uint("u16"), 65535U);
  EXPECT_EQ(file.get_uint("u32"), 4294967295U);
  EXPECT_EQ(file.get_uint("u64"), uint64_t{1} << 63);
  EXPECT_EQ(file.get_int("u64"), std::nullopt);
  EXPECT_EQ(file.get_int("i8"), -1);
  EXPECT_EQ(file.get_int("i16"), -2);
  EXPECT_EQ(file.get_int("i32"), -3);
  EXPECT_EQ(file.get_int("i64"), -4);
  EXPECT_EQ(file.get_uint("i64"), std::nullopt);
  EXPECT_EQ(file.get_float("i16"), -2.0);
  EXPECT_EQ(file.get_float("u64"), 0x1p63);
  EXPECT_EQ(file.get_uint("absent"), std::nullopt);
}

TEST(Gguf, floats_bools_and_strings_are_read_and_types_are_not_confused) {
  GgufBuilder builder;
  builder.add_metadata("f32", 1.5F).add_metadata("f64", 0.1).add_metadata("yes", true);
  builder.add_metadata("no", false).add_metadata("text", "a b").add_metadata("empty", "");
  const std::string bytes = builder.build();
  const GgufFile file = parse(bytes);
  EXPECT_EQ(file.get_float("f32"), 1.5);
  EXPECT_EQ(file.get_float("f64"), 0.1);
  EXPECT_EQ(file.get_bool("yes"), true);
  EXPECT_EQ(file.get_bool("no"), false);
  EXPECT_EQ(file.get_string("text"), "a b");
  EXPECT_EQ(file.get_string("empty"), "");
  EXPECT_EQ(file.get_uint("f32"), std::nullopt);
  EXPECT_EQ(file.get_uint("yes"), std::nullopt);
  EXPECT_EQ(file.get_float("text"), std::nullopt);
  EXPECT_EQ(file.get_string("yes"), std::nullopt);
  EXPECT_EQ(file.get_bool("f32"), std::nullopt);
}

TEST(Gguf, arrays_are_handed_out_by_the_getter_of_their_type) {
  GgufBuilder builder;
  builder.add_metadata("tokens", std::vector<std::string>{"<unk>", "", "\xe2\x96\x81the"});
  builder.add_metadata("scores", std::vector<float>{0.5F, -1.0F});
  builder.add_metadata("wide", std::vector<double>{0.25});
  builder.add_metadata("types", std::vector<int32_t>{1, -3, 2});
  builder.add_metadata("none", std::vector<uint16_t>{});
  builder.add_raw_metadata("flags", GgufType::array,
                           std::string("\x07\0\0\0\x02\0\0\0\0\0\0\0\x01\0", 14));
  const std::string bytes = builder.build();
  const GgufFile file = parse(bytes);
  const auto tokens = file.get_strings("tokens");
  ASSERT_TRUE(tokens.has_value());
  EXPECT_EQ(*tokens, (std::vector<std::string_view>{"<unk>", "", "\xe2\x96\x81the"}));
  EXPECT_EQ(file.get_floats("scores"), (std::vector<float>{0.5F, -1.0F}));
  EXPECT_EQ(file.get_floats("wide"), (std::vector<float>{0.25F}));
  EXPECT_EQ(file.get_ints("types"), (std::vector<int64_t>{1, -3, 2}));
  EXPECT_EQ(file.get_ints("none"), std::vector<int64_t>{});
  EXPECT_EQ(file.get_ints("flags"), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(file.get_ints("scores"), std::nullopt);
  EXPECT_EQ(file.get_floats("types"), std::nullopt);
  EXPECT_EQ(file.get_floats("tokens"), std::nullopt);
  EXPECT_EQ(file.get_ints("tokens"), std::nullopt);
  EXPECT_FALSE(file.get_strings("types").has_value());
}

TEST(Gguf, the_string_reader_walks_an_array_without_copies) {
  GgufBuilder builder;
  builder.add_metadata("tokens", std::vector<std::string>{"a", "bc"})
      .add_metadata("n", uint32_t{1});
  const std::string bytes = builder.build();
  const GgufFile file = parse(bytes);
  GgufStringReader reader(*file.find("tokens"));
  EXPECT_EQ(reader.next(), "a");
  const auto second = reader.next();
  ASSERT_EQ(second, "bc");
  EXPECT_GE(second->data(), bytes.data());
  EXPECT_LT(second->data(), bytes.data() + bytes.size());
  EXPECT_EQ(reader.next(), std::nullopt);
  EXPECT_EQ(GgufStringReader(*file.find("n")).next(), std::nullopt);
}

TEST(Gguf, the_error_for_a_missing_key_says_what_is_there_instead) {
  GgufBuilder builder;
  builder.add_metadata("n", int32_t{-7}).add_metadata("s", "x");
  builder.add_metadata("a", std::vector<float>{1});
  const std::string bytes = builder.build();
  const GgufFile file = parse(bytes);
  EXPECT_EQ(file.missing("q", "an integer").message,
            "x.gguf: metadata 'q' is missing, expected an integer");
  EXPECT_EQ(file.missing("q", "an integer").code, ErrorCode::not_found);
  EXPECT_EQ(file.missing("n", "an integer above 0").message,
            "x.gguf: metadata 'n' is -7 (int32), expected an integer above 0");
  EXPECT_EQ(file.missing("s", "an integer").message,
            "x.gguf: metadata 's' is of type string, expected an integer");
  EXPECT_EQ(file.missing("a", "an integer").message,
            "x.gguf: metadata 'a' is an array of float32, expected an integer");
  EXPECT_EQ(file.missing("a", "an integer").code, ErrorCode::bad_file);
}

TEST(Gguf, version_2_another_alignment_and_a_scalar_are_accepted) {
  GgufBuilder builder;
  builder.version = 2;
  builder.alignment = 8;
  builder.add_metadata("general.alignment", uint32_t{8});
  builder.add_tensor("scalar", {}, {4.0F}).add_tensor("x", {1, 1}, {5.0F});
  const std::string bytes = builder.build();
  const GgufFile file = parse(bytes);
  EXPECT_EQ(to_string(file.find_tensor("scalar")->shape), "[1]");
  EXPECT_EQ(file.find_tensor("scalar")->bytes(), 4U);
  EXPECT_EQ(file.find_tensor("x")->data - file.find_tensor("scalar")->data, 8);
}

TEST(Gguf, a_file_without_tensors_may_end_after_its_metadata) {
  GgufBuilder builder;
  builder.add_metadata("general.architecture", "llama");
  const std::string bytes = builder.build();
  EXPECT_EQ(parse(bytes).tensors().size(), 0U);
  EXPECT_EQ(parse(bytes).metadata().size(), 1U);
}

TEST(Gguf, tensors_may_lie_in_any_order) {
  GgufBuilder builder;
  builder.add_tensor("a", {1}, {1.0F}).add_tensor("b", {1}, {2.0F});
  builder.tensors[0].offset = 32;
  builder.tensors[1].offset = 0;
  const std::string bytes = builder.build();
  const GgufFile file = parse(bytes);
  EXPECT_EQ(reinterpret_cast<const float*>(file.find_tensor("a")->data)[0], 2.0F);
}

TEST(Gguf, views_stay_valid_when_the_file_object_moves) {
  TemporaryDirectory directory;
  GgufBuilder builder;
  builder.add_metadata("k", "value").add_tensor("a", {1}, {1.0F});
  auto opened = GgufFile::open(builder.write(directory.file("a.gguf")));
  ASSERT_TRUE(opened.has_value());
  const auto text = opened->get_string("k");
  const std::byte* data = opened->find_tensor("a")->data;
  const GgufFile moved = std::move(opened).value();
  EXPECT_EQ(text, "value");
  EXPECT_EQ(moved.find_tensor("a")->data, data);
}

TEST(Gguf, things_that_are_not_regular_files_are_refused_by_kind) {
  TemporaryDirectory directory;
  const auto message = [](const std::string& path) {
    const auto file = GgufFile::open(path);
    return file.has_value() ? std::string("opened") : file.error().message;
  };
  EXPECT_NE(message(directory.path()).find("is a directory"), std::string::npos);
  EXPECT_NE(message(directory.file("none.gguf")).find("No such file"), std::string::npos);
  ASSERT_EQ(::mkfifo(directory.file("fifo").c_str(), 0600), 0);
  EXPECT_NE(message(directory.file("fifo")).find("is a FIFO"), std::string::npos);
  EXPECT_EQ(message(directory.write("empty.gguf", "")),
            directory.file("empty.gguf") + ": the file is empty, expected a GGUF model");
}

}  // namespace
}  // namespace squish
