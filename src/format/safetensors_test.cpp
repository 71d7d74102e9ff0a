#include "format/safetensors.h"

#include <ctime>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "format/testing/safetensors_builder.h"
#include "format/testing/temporary_directory.h"

namespace squish {
namespace {

using testing::SafetensorsBuilder;
using testing::TemporaryDirectory;

std::string error_of(const std::string& bytes) {
  const auto file = SafetensorsFile::parse(as_bytes(bytes), "x.safetensors");
  return file.has_value() ? "accepted" : file.error().message;
}

SafetensorsBuilder good_file() {
  std::mt19937 random(5);
  SafetensorsBuilder builder;
  builder.add_metadata("format", "pt").add_tensor("norm", {4}, {1, 2, 3, 4});
  builder.add_random_tensor("w", {2, 3}, DType::bf16, random).add_tensor("scalar", {}, {7.0F});
  return builder;
}

TEST(Safetensors, tensors_come_back_with_type_shape_and_bytes) {
  TemporaryDirectory directory;
  const std::string path = good_file().write(directory.file("a.safetensors"));
  const auto file = SafetensorsFile::open(path);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 3U);
  const auto w = file->find_tensor("w");
  ASSERT_TRUE(w.has_value());
  EXPECT_EQ(w->dtype, DType::bf16);
  EXPECT_EQ(to_string(w->shape), "[2, 3]");
  EXPECT_EQ(w->bytes(), 12U);
  EXPECT_EQ(reinterpret_cast<const float*>(file->find_tensor("norm")->data)[3], 4.0F);
  EXPECT_EQ(to_string(file->find_tensor("scalar")->shape), "[1]");
  EXPECT_EQ(file->metadata()[0].second, "pt");
  EXPECT_EQ(file->path(), path);
  EXPECT_GT(file->modified_ns(), 0);
  EXPECT_EQ(file->file_bytes(), good_file().build().size());
}

TEST(Safetensors, a_name_that_is_absent_is_named_in_the_error) {
  const std::string bytes = good_file().build();
  const auto file = SafetensorsFile::parse(as_bytes(bytes), "x.safetensors");
  ASSERT_TRUE(file.has_value());
  EXPECT_FALSE(file->has_tensor("q"));
  EXPECT_EQ(file->find_tensor("q").error().message, "x.safetensors: tensor 'q' does not exist");
  EXPECT_EQ(file->find_tensor("q").error().code, ErrorCode::not_found);
}

TEST(Safetensors, tensors_that_cannot_be_used_are_listed_and_refused_with_the_reason) {
  SafetensorsBuilder builder;
  builder.add_tensor("ids", {2}, "I64", std::string(16, 'x'));
  builder.add_tensor("fp8", {3}, "F8_E4M3", "abc").add_tensor("odd", {1}, {1.0F});
  builder.add_tensor("half", {1}, "F16", "ab").add_tensor("future", {9}, "F3_E1M1", "z");
  builder.add_tensor("four", {3, 2}, "F4", "abc");
  const std::string bytes = builder.build();
  const auto file = SafetensorsFile::parse(as_bytes(bytes), "x.safetensors");
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(file->tensors().size(), 0U);
  EXPECT_EQ(file->unusable().size(), 6U);
  const auto reason = [&](const char* name) { return file->find_tensor(name).error().message; };
  EXPECT_EQ(
      reason("ids"),
      "x.safetensors: tensor 'ids' cannot be used: dtype I64 is not supported; usable are F32, "
      "F16, BF16");
  EXPECT_EQ(file->find_tensor("ids").error().code, ErrorCode::unsupported);
  EXPECT_NE(reason("fp8").find("dtype F8_E4M3"), std::string::npos);
  EXPECT_NE(reason("future").find("dtype F3_E1M1"), std::string::npos);
  EXPECT_NE(reason("half").find("not aligned to 2 bytes"), std::string::npos) << reason("half");
  EXPECT_NE(reason("odd").find("not aligned to 4 bytes"), std::string::npos);
  EXPECT_TRUE(file->has_tensor("odd"));
}

TEST(Safetensors, what_an_old_writer_did_not_align_is_copied_from_a_file) {
  const TemporaryDirectory directory;
  SafetensorsBuilder builder;
  builder.add_tensor("byte", {1}, "U8", "x").add_tensor("odd", {2}, {1.5F, -2.0F});
  builder.add_tensor("half", {3}, "F16", "abcdef");
  const auto file = SafetensorsFile::open(builder.write(directory.file("model.safetensors")));
  ASSERT_TRUE(file.has_value()) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 2U);
  EXPECT_EQ(file->tensors()[0].name, "odd");
  const TensorView odd = file->find_tensor("odd").value();
  ASSERT_EQ(reinterpret_cast<uintptr_t>(odd.data) % 64, 0U);
  EXPECT_EQ(reinterpret_cast<const float*>(odd.data)[0], 1.5F);
  EXPECT_EQ(reinterpret_cast<const float*>(odd.data)[1], -2.0F);
  const TensorView half = file->find_tensor("half").value();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(half.data), 6), "abcdef");
  EXPECT_EQ(file->unusable().size(), 1U);
}

TEST(Safetensors, more_than_four_dimensions_are_listed_as_unusable) {
  SafetensorsBuilder builder;
  builder.add_tensor("conv", {1, 1, 1, 1, 2}, "F16", "abcd");
  const std::string bytes = builder.build();
  const auto file = SafetensorsFile::parse(as_bytes(bytes), "x.safetensors");
  ASSERT_TRUE(file.has_value());
  EXPECT_NE(file->find_tensor("conv").error().message.find("5 dimensions, the limit is 4"),
            std::string::npos);
}

TEST(Safetensors, an_empty_tensor_and_an_escaped_name_are_accepted) {
  const std::string bytes = SafetensorsBuilder::file_of(
      R"({"a\u00e9\"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
      R"("none":{"data_offsets":[4,4],"shape":[2,0],"dtype":"F32"}})",
      "abcd");
  const auto file = SafetensorsFile::parse(as_bytes(bytes), "x.safetensors");
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_TRUE(file->has_tensor("a\xc3\xa9\""));
  EXPECT_EQ(file->find_tensor("none")->bytes(), 0U);
}

TEST(Safetensors, a_header_with_data_behind_it_is_parsed_in_place) {
  SafetensorsBuilder builder;
  builder.add_tensor("long", {64},
                     std::vector<float>(64, 2.0F));  // more bytes than the parser's padding
  const std::string bytes = builder.build();
  const auto file = SafetensorsFile::parse(as_bytes(bytes), "x.safetensors");
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_GE(file->tensors()[0].name.data(), bytes.data());
  EXPECT_LT(file->tensors()[0].name.data(), bytes.data() + bytes.size());
}

struct HeaderCase {
  const char* header;
  size_t data_bytes;
  const char* expected;
};
const HeaderCase kHeaders[] = {
    {"", 0, "does not start with '{'"},
    {"[]", 0, "does not start with '{'"},
    {" {}", 0, "does not start with '{'"},
    {"{", 0, "not valid JSON"},
    {"{}}", 0, "not valid JSON"},
    {"{} {}", 0, "not valid JSON"},
    {"{}", 4, "the tensors end at byte 0 of the data section, which has 4 bytes"},
    {R"({"a":1})", 0, "field 'a' is not an object"},
    {R"({"a":{}})", 0, "dtype of tensor 'a' is missing"},
    {R"({"a":{"dtype":"F32"}})", 0, "shape of tensor 'a' is missing"},
    {R"({"a":{"dtype":"F32","shape":[1]}})", 0, "data_offsets of tensor 'a' is missing"},
    {R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})", 4,
     "dtype of tensor 'a' is not a string"},
    {R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4,
     "shape of tensor 'a' is not a list"},
    {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "shape of tensor 'a' is not"},
    {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4,
     "shape of tensor 'a' is not"},
    {R"({"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}})", 4,
     "shape of tensor 'a' is not"},
    {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4,
     "shape of tensor 'a' is not"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4,
     "data_offsets of tensor 'a' is not two"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 4,
     "data_offsets of tensor 'a' is not two"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,-4]}})", 4,
     "data_offsets of tensor 'a' is not two"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4,
     "data_offsets of tensor 'a' are 4 and 0"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,5]}})", 4,
     "are 0 and 5, the data section has 4 bytes"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})", 4,
     "18446744073709551615"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
     "tensor 'a' has 4 bytes at its data_offsets, but its shape and dtype F32 need 2 elements of "
     "32 bits"},
    {R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,4]}})", 4, "need 1 elements of 16 bits"},
    {R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2, "need 3 elements of 4 bits"},
    {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", 4,
     "the dimensions of tensor 'a' multiply to more than 2^60: dimension 1 is 4294967296"},
    {R"({"a":{"dtype":"F32","shape":[18446744073709551615,0],"data_offsets":[0,0]}})", 0,
     "multiply to more than 2^60"},
    {R"({"a":{"dtype":"C64","shape":[1152921504606846976],"data_offsets":[0,0]}})", 0,
     "need 1152921504606846976 elements of 64 bits"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
     "begin at 4, but the tensors before it end at 0: there is a hole"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
     R"("b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
     6, "data_offsets of tensor 'b' begin at 2, but the tensors before it end at 4: they overlap"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
     R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
     4, "they overlap"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8, "the tensors end at byte 4"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
     R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
     8, "tensor 'a' occurs twice"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
     R"("\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
     8, "tensor 'a' occurs twice"},
    {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
     "dtype of tensor 'a' occurs twice"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"strides":[1]}})", 4,
     "tensor 'a' has the unknown field 'strides'"},
    {R"({"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
     "has 0 bytes, expected 1 to 1024"},
    {R"({"__metadata__":[]})", 0, "'__metadata__' is not an object"},
    {R"({"__metadata__":{"a":1}})", 0, "__metadata__ holds something that is not a string"},
    {R"({"__metadata__":{},"__metadata__":{}})", 0, "__metadata__ occurs twice"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},})", 4, "not valid JSON"},
    {R"({"a":{"dtype":"F32" "shape":[1],"data_offsets":[0,4]}})", 4, "not valid JSON"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})", 4, "not valid JSON"},
    {"{\"a\xff\":{}}", 0, "not valid JSON"},
    {"{\"a\nb\":{}}", 0, "not valid JSON"},
    {R"({"a\q":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "not valid JSON"},
    {R"({"a\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "not valid JSON"},
};

TEST(SafetensorsHostile, every_header_is_refused_by_one_line_that_names_the_field) {
  for (const HeaderCase& hostile : kHeaders) {
    // With and without enough bytes behind the header for the parse in place.
    for (const size_t extra : {0U, 200U}) {
      const std::string message = error_of(SafetensorsBuilder::file_of(
          hostile.header, std::string(hostile.data_bytes + extra, '}')));
      if (extra == 0) {
        EXPECT_NE(message.find(hostile.expected), std::string::npos)
            << hostile.header << ": expected '" << hostile.expected << "' in: " << message;
      }
      EXPECT_TRUE(message.starts_with("x.safetensors: ")) << hostile.header << ": " << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << hostile.header;
    }
  }
}

TEST(SafetensorsHostile, lengths_that_cannot_be_are_refused_with_the_numbers) {
  const auto file_of = [](uint64_t length, std::string_view rest) {
    return std::string(reinterpret_cast<const char*>(&length), 8) + std::string(rest);
  };
  EXPECT_EQ(error_of(""), "x.safetensors: the file is empty, expected a safetensors model");
  EXPECT_NE(error_of("1234567").find("has 7 bytes"), std::string::npos);
  EXPECT_NE(error_of(file_of(3, "{}")).find("header length is 3, but 2 bytes follow"),
            std::string::npos);
  EXPECT_NE(error_of(file_of(100'000'001, "{}"))
                .find("header length is 100000001, the limit is 100000000"),
            std::string::npos);
  EXPECT_NE(error_of(file_of(UINT64_MAX, "{}")).find("header length is 18446744073709551615"),
            std::string::npos);
  EXPECT_NE(error_of(file_of(UINT64_MAX - 7, "{}")).find("header length is"), std::string::npos);
}

TEST(SafetensorsHostile, a_file_cut_at_any_byte_is_refused) {
  const std::string whole = good_file().build();
  for (size_t length = 0; length < whole.size(); ++length) {
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(SafetensorsFile::parse(as_bytes({cut.data(), cut.size()}), "x").has_value())
        << length;
  }
}

TEST(SafetensorsHostile, flipped_bits_never_give_a_tensor_outside_the_file) {
  const std::string whole = good_file().build();
  std::mt19937 random(20260102);
  size_t accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = whole;
    for (uint32_t i = 0; i <= random() % 3; ++i) {
      const size_t bit = random() % (damaged.size() * 8);
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    }
    const auto file = SafetensorsFile::parse(as_bytes(damaged), "x");
    if (!file.has_value()) continue;
    ++accepted;
    const auto* begin = reinterpret_cast<const std::byte*>(damaged.data());
    for (const NamedTensor& named : file->tensors()) {
      ASSERT_GE(named.tensor.data, begin);
      ASSERT_LE(named.tensor.bytes(),
                static_cast<size_t>(begin + damaged.size() - named.tensor.data));
      ASSERT_TRUE(file->find_tensor(named.name).has_value());
    }
    for (const UnusableTensor& unusable : file->unusable()) {
      ASSERT_FALSE(unusable.reason().empty());
    }
  }
  EXPECT_GT(accepted, 100U);
  EXPECT_LT(accepted, 19'900U);
}

double seconds_to_parse(const std::string& bytes, std::string& message) {
  const std::clock_t start = std::clock();  // processor time: other tests run beside this one
  message = error_of(bytes);
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

TEST(SafetensorsHostile, a_header_of_100_mb_with_a_million_tensors_is_refused_quickly) {
  std::string header = "{";
  for (int i = 0; i < 1'000'000; ++i) {
    header += fmt::format("{}\"{}\":{{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[{},{}]}}",
                          i == 0 ? "" : ",", i, i, i + 1);
  }
  header += "}";
  header.resize(100'000'000 - 8, ' ');
  std::string message;
  EXPECT_LT(
      seconds_to_parse(SafetensorsBuilder::file_of(header, std::string(1'000'000, 'x')), message),
      2.0);
  EXPECT_NE(message.find("JSON tokens, the limit is"), std::string::npos) << message;
}

TEST(SafetensorsHostile, deep_nesting_and_floods_of_brackets_are_refused_quickly) {
  std::string message;
  const std::string data(100, '}');
  std::string brackets(99'999'990, '[');
  brackets[0] = '{';
  EXPECT_LT(seconds_to_parse(SafetensorsBuilder::file_of(brackets, data), message), 2.0);
  EXPECT_NE(message.find("JSON tokens, the limit is"), std::string::npos) << message;
  std::string deep = "{\"a\":" + std::string(1'500'000, '[') + std::string(1'500'000, ']') + "}";
  EXPECT_LT(seconds_to_parse(SafetensorsBuilder::file_of(deep, data), message), 2.0);
  EXPECT_NE(message.find("field 'a' is not an object"), std::string::npos) << message;
  std::string text = "{\"__metadata__\":{\"a\":\"" + std::string(90'000'000, 'x') + "\"}}";
  EXPECT_LT(seconds_to_parse(SafetensorsBuilder::file_of(text, data), message), 2.0);
  EXPECT_NE(message.find("__metadata__ takes more than the limit"), std::string::npos) << message;
}

TEST(SafetensorsHostile, things_that_are_not_regular_files_are_refused_by_kind) {
  TemporaryDirectory directory;
  EXPECT_NE(SafetensorsFile::open(directory.path()).error().message.find("is a directory"),
            std::string::npos);
  ASSERT_EQ(::mkfifo(directory.file("fifo").c_str(), 0600), 0);
  EXPECT_NE(SafetensorsFile::open(directory.file("fifo")).error().message.find("is a FIFO"),
            std::string::npos);
}

}  // namespace
}  // namespace squish
