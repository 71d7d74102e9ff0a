// Broken and hostile GGUF files: each is refused by one line that names the field.
#include <ctime>
#include <functional>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "format/gguf.h"
#include "format/testing/gguf_builder.h"

namespace squish {
namespace {

using testing::encoded;
using testing::encoded_string;
using testing::GgufBuilder;

/// A small valid model that touches every part of the format.
GgufBuilder good_file() {
  std::mt19937 random(3);
  GgufBuilder builder;
  builder.add_metadata("general.architecture", "llama").add_metadata("n", uint32_t{2});
  builder.add_metadata("flag", true).add_metadata("f", 1.0F);
  builder.add_metadata("tokens", std::vector<std::string>{"a", "bb", "ccc"});
  builder.add_metadata("scores", std::vector<float>{1, 2, 3});
  builder.add_tensor("norm", {4}, {1, 2, 3, 4});
  builder.add_random_tensor("w", {2, 32}, DType::q8_0, random);
  return builder;
}

std::string error_of(const std::string& bytes) {
  const auto file = GgufFile::parse(as_bytes(bytes), "x.gguf");
  return file.has_value() ? "accepted" : file.error().message;
}

struct HostileCase {
  const char* name;
  std::function<std::string()> bytes;
  const char* expected;  // a part of the message
};

std::string edited(const std::function<void(GgufBuilder&)>& edit) {
  GgufBuilder builder = good_file();
  edit(builder);
  return builder.build();
}
std::string with_metadata(GgufType type, const std::string& bytes) {
  return edited([&](GgufBuilder& b) { b.add_raw_metadata("bad.key", type, bytes); });
}
std::string array_head(uint32_t type, uint64_t count) { return encoded(type) + encoded(count); }
std::string with_dims(std::vector<uint64_t> dims) {
  return edited([&](GgufBuilder& b) { b.tensors[0].dims = dims; });
}
std::string with_type(uint32_t id) {
  return edited([&](GgufBuilder& b) { b.tensors[1].type_id = id; });
}
std::string with_alignment(uint32_t alignment) {
  return edited([&](GgufBuilder& b) { b.add_metadata("general.alignment", alignment); });
}

const HostileCase kCases[] = {
    {"empty", [] { return std::string(); }, "the file is empty"},
    {"three_bytes", [] { return std::string("GGU"); }, "magic number"},
    {"other_magic", [] { return edited([](GgufBuilder& b) { b.magic = "GGML"; }); },
     "magic number is 'GGML', expected 'GGUF'"},
    {"control_characters_in_magic",
     [] { return edited([](GgufBuilder& b) { b.magic = "\n\x1b\x01z"; }); }, "'\\x0a\\x1b\\x01z'"},
    {"version_1", [] { return edited([](GgufBuilder& b) { b.version = 1; }); },
     "GGUF version 1 is not supported"},
    {"version_0", [] { return edited([](GgufBuilder& b) { b.version = 0; }); }, "version is 0"},
    {"version_4", [] { return edited([](GgufBuilder& b) { b.version = 4; }); }, "version is 4"},
    {"big_endian", [] { return edited([](GgufBuilder& b) { b.version = 3U << 24; }); },
     "big-endian GGUF is not supported"},
    {"too_many_tensors",
     [] { return edited([](GgufBuilder& b) { b.tensor_count = 1'000'000'000; }); },
     "tensor_count is 1000000000, the limit is 262144"},
    {"all_ones_tensor_count",
     [] { return edited([](GgufBuilder& b) { b.tensor_count = UINT64_MAX; }); },
     "tensor_count is 18446744073709551615"},
    {"more_tensors_than_bytes",
     [] { return edited([](GgufBuilder& b) { b.tensor_count = 100'000; }); },
     "tensor_count is 100000, but the"},
    {"one_tensor_more", [] { return edited([](GgufBuilder& b) { b.tensor_count = 3; }); },
     "name of tensor 2"},
    {"too_many_pairs", [] { return edited([](GgufBuilder& b) { b.metadata_count = 70'000; }); },
     "metadata_kv_count is 70000, the limit is 65536"},
    {"all_ones_pairs", [] { return edited([](GgufBuilder& b) { b.metadata_count = UINT64_MAX; }); },
     "metadata_kv_count is 18446744073709551615"},
    {"more_pairs_than_bytes",
     [] { return edited([](GgufBuilder& b) { b.metadata_count = 60'000; }); },
     "metadata_kv_count is 60000, but the"},
    {"one_pair_more", [] { return edited([](GgufBuilder& b) { b.metadata_count = 7; }); },
     "the name of tensor 0"},
    {"empty_key", [] { return edited([](GgufBuilder& b) { b.add_metadata("", uint8_t{1}); }); },
     "the key of metadata pair 6 has 0 bytes"},
    {"long_key",
     [] {
       return edited([](GgufBuilder& b) { b.add_metadata(std::string(65536, 'k'), uint8_t{1}); });
     },
     "the key of metadata pair 6 has 65536 bytes, expected 1 to 65535"},
    {"key_longer_than_file",
     [] {
       GgufBuilder b;
       b.metadata_count = 1;
       return b.build() + encoded(uint64_t{1000}) + std::string(40, 'k');
     },
     "the key of metadata pair 0 (1000 bytes) goes past the end"},
    {"key_twice", [] { return edited([](GgufBuilder& b) { b.add_metadata("n", uint32_t{3}); }); },
     "metadata key 'n' occurs twice"},
    {"value_type_13", [] { return with_metadata(static_cast<GgufType>(13), "12345678"); },
     "the type of metadata 'bad.key' is 13, expected 0 to 12"},
    {"value_type_all_ones",
     [] { return with_metadata(static_cast<GgufType>(UINT32_MAX), "12345678"); },
     "the type of metadata 'bad.key' is 4294967295"},
    {"bool_2", [] { return with_metadata(GgufType::boolean, "\x02"); },
     "metadata 'bad.key' is the bool 2, expected 0 or 1"},
    {"string_past_the_end",
     [] { return with_metadata(GgufType::string, encoded(uint64_t{1} << 40)); },
     "metadata 'bad.key' (string of 1099511627776 bytes) goes past the end"},
    {"string_all_ones", [] { return with_metadata(GgufType::string, encoded(UINT64_MAX)); },
     "metadata 'bad.key' (string of 18446744073709551615 bytes)"},
    {"array_of_type_99", [] { return with_metadata(GgufType::array, array_head(99, 1)); },
     "the element type of metadata 'bad.key' is 99"},
    {"array_of_arrays",
     [] { return with_metadata(GgufType::array, array_head(9, 1) + array_head(0, 1)); },
     "metadata 'bad.key' is an array of arrays"},
    {"array_of_10e9", [] { return with_metadata(GgufType::array, array_head(0, 1'000'000'000)); },
     "metadata 'bad.key' has 1000000000 elements, the limit is 4000000"},
    {"array_all_ones", [] { return with_metadata(GgufType::array, array_head(10, UINT64_MAX)); },
     "metadata 'bad.key' has 18446744073709551615 elements"},
    {"array_past_the_end", [] { return with_metadata(GgufType::array, array_head(6, 3'000'000)); },
     "metadata 'bad.key' (3000000 elements of float32) goes past the end"},
    {"strings_of_10e9", [] { return with_metadata(GgufType::array, array_head(8, 1'000'000'000)); },
     "metadata 'bad.key' has 1000000000 elements, the limit is 4000000"},
    {"strings_past_the_end",
     [] { return with_metadata(GgufType::array, array_head(8, 4'000'000)); },
     "of metadata 'bad.key'"},
    {"string_in_array_past_the_end",
     [] {
       return with_metadata(GgufType::array,
                            array_head(8, 2) + encoded_string("a") + encoded(uint64_t{1} << 50));
     },
     "string 1 of 2 of metadata 'bad.key' (1125899906842624 bytes) goes past the end"},
    {"alignment_0", [] { return with_alignment(0); },
     "general.alignment is 0, expected a power of two"},
    {"alignment_1", [] { return with_alignment(1); }, "general.alignment is 1,"},
    {"alignment_24", [] { return with_alignment(24); }, "general.alignment is 24,"},
    {"alignment_2_mib", [] { return with_alignment(2U << 20); }, "general.alignment is 2097152,"},
    {"alignment_as_text",
     [] { return edited([](GgufBuilder& b) { b.add_metadata("general.alignment", "32"); }); },
     "general.alignment is of type string, expected uint32"},
    {"alignment_negative",
     [] {
       return edited([](GgufBuilder& b) { b.add_metadata("general.alignment", int32_t{-32}); });
     },
     "general.alignment is of type int32"},
    {"empty_name", [] { return edited([](GgufBuilder& b) { b.tensors[0].name = ""; }); },
     "the name of tensor 0 has 0 bytes"},
    {"long_name",
     [] { return edited([](GgufBuilder& b) { b.tensors[0].name.assign(1025, 'n'); }); },
     "the name of tensor 0 has 1025 bytes, expected 1 to 1024"},
    {"name_twice", [] { return edited([](GgufBuilder& b) { b.tensors[1].name = "norm"; }); },
     "tensor 'norm' occurs twice"},
    {"name_with_control_characters",
     [] {
       return edited([](GgufBuilder& b) {
         b.tensors[0].name = "\x1b[31m\n";
         b.tensors[0].dims = {0};
       });
     },
     "tensor '\\x1b[31m\\x0a' is 0"},
    {"rank_5", [] { return with_dims({1, 1, 1, 1, 4}); },
     "tensor 'norm' has 5 dimensions, the limit is 4"},
    {"dimension_0", [] { return with_dims({4, 0}); }, "dimension 0 of tensor 'norm' is 0"},
    {"overflowing_shape", [] { return with_dims({uint64_t{1} << 32, uint64_t{1} << 32}); },
     "the dimensions of tensor 'norm' multiply to more than 2^60"},
    {"all_ones_dimension", [] { return with_dims({UINT64_MAX}); },
     "the dimensions of tensor 'norm' multiply to more than 2^60"},
    {"wrapping_shape", [] { return with_dims({uint64_t{1} << 63, 2, 4}); },
     "tensor 'norm' multiply"},
    {"shape_beyond_the_file", [] { return with_dims({1'000'000}); },
     "tensor 'norm' has offset 0 and 4000000 bytes, but the data section has"},
    {"type_16", [] { return with_type(16); },
     "tensor 'w' has type 16 (iq2_xxs), which is not supported"},
    {"type_18", [] { return with_type(18); }, "18 (iq3_xxs)"},
    {"type_34", [] { return with_type(34); }, "34 (tq1_0)"},
    {"type_39", [] { return with_type(39); },
     "39 (mxfp4), which is not supported; supported are f32, f16"},
    {"type_4_removed", [] { return with_type(4); }, "4 (q4_2)"},
    {"type_26", [] { return with_type(26); }, "26 (i32)"},
    {"type_1000", [] { return with_type(1000); }, "type 1000 (unknown)"},
    {"type_all_ones", [] { return with_type(UINT32_MAX); }, "type 4294967295 (unknown)"},
    {"row_of_part_of_a_block",
     [] { return edited([](GgufBuilder& b) { b.tensors[1].dims = {2, 33}; }); },
     "tensor 'w' has rows of 33 weights, not a multiple of the 32 of a q8_0 block"},
    {"row_smaller_than_a_super_block", [] { return with_type(12); },
     "tensor 'w' has rows of 32 weights, not a multiple of the 256 of a q4_k block"},
    {"unaligned_offset", [] { return edited([](GgufBuilder& b) { b.tensors[1].offset = 33; }); },
     "the offset of tensor 'w' is 33, not a multiple of the alignment 32"},
    {"offset_beyond_the_file",
     [] { return edited([](GgufBuilder& b) { b.tensors[1].offset = 1 << 20; }); },
     "tensor 'w' has offset 1048576 and 68 bytes"},
    {"offset_that_wraps",
     [] { return edited([](GgufBuilder& b) { b.tensors[1].offset = UINT64_MAX - 31; }); },
     "tensor 'w' has offset 18446744073709551584"},
    {"same_offset", [] { return edited([](GgufBuilder& b) { b.tensors[1].offset = 0; }); },
     "tensors 'norm' and 'w' overlap"},
    {"partial_overlap",
     [] {
       return edited(
           [](GgufBuilder& b) { b.tensors.push_back({"v", {8}, 0, std::string(32, '\0'), 64}); });
     },
     "tensors 'w' and 'v' overlap: offset 32 with 68 bytes, and offset 64"},
    {"split_number_beyond_count",
     [] {
       return edited([](GgufBuilder& b) {
         b.add_metadata("split.no", uint16_t{3}).add_metadata("split.count", uint16_t{3});
       });
     },
     "split.no is 3, but split.count is 3"},
    {"split_count_beyond_limit",
     [] { return edited([](GgufBuilder& b) { b.add_metadata("split.count", uint32_t{5000}); }); },
     "split.count is 5000, the limit is 4096"},
    {"split_count_as_text",
     [] { return edited([](GgufBuilder& b) { b.add_metadata("split.count", "3"); }); },
     "split.count is not a non-negative integer but a string"},
    {"split_tensor_count_negative",
     [] {
       return edited([](GgufBuilder& b) { b.add_metadata("split.tensors.count", int32_t{-1}); });
     },
     "split.tensors.count is not a non-negative integer"},
};

TEST(GgufHostile, the_file_that_the_cases_break_is_valid) {
  EXPECT_EQ(error_of(good_file().build()), "accepted");
}

TEST(GgufHostile, every_case_is_refused_by_one_line_that_names_the_field) {
  EXPECT_GE(std::size(kCases), 60U);
  for (const HostileCase& hostile : kCases) {
    const std::string message = error_of(hostile.bytes());
    EXPECT_NE(message.find(hostile.expected), std::string::npos)
        << hostile.name << ": expected '" << hostile.expected << "' in: " << message;
    EXPECT_TRUE(message.starts_with("x.gguf: ")) << hostile.name << ": " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << hostile.name;
    EXPECT_LT(message.size(), 500U) << hostile.name;
  }
}

TEST(GgufHostile, a_file_cut_at_any_byte_is_refused) {
  const std::string whole = good_file().build();
  for (size_t length = 0; length < whole.size(); ++length) {
    // A copy of exactly that length, so that a read past the end is seen by the address sanitizer.
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    const auto file = GgufFile::parse(as_bytes({cut.data(), cut.size()}), "x.gguf");
    EXPECT_FALSE(file.has_value()) << length;
  }
}

/// Reads everything that the file offers, as its users do.
void read_everything(const GgufFile& file, const std::string& bytes) {
  const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
  for (const NamedTensor& named : file.tensors()) {
    ASSERT_GE(named.tensor.data, begin);
    ASSERT_LE(named.tensor.bytes(), static_cast<size_t>(begin + bytes.size() - named.tensor.data));
    ASSERT_NE(file.find_tensor(named.name), nullptr);
  }
  for (const GgufEntry& entry : file.metadata()) {
    (void)file.get_uint(entry.key);
    (void)file.get_float(entry.key);
    (void)file.get_bool(entry.key);
    (void)file.get_strings(entry.key);
    (void)file.get_floats(entry.key);
    (void)file.get_ints(entry.key);
    (void)file.missing(entry.key, "anything");
  }
}

TEST(GgufHostile, flipped_bits_never_crash_and_never_give_a_tensor_outside_the_file) {
  const std::string whole = good_file().build();
  std::mt19937 random(20260101);
  size_t accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = whole;
    const int flips = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < flips; ++i) {
      const size_t bit = random() % (damaged.size() * 8);
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    }
    const auto file = GgufFile::parse(as_bytes(damaged), "x.gguf");
    if (!file.has_value()) continue;
    ++accepted;
    read_everything(*file, damaged);
  }
  EXPECT_GT(accepted, 100U);  // flips in data and text stay unnoticed: both paths ran
  EXPECT_LT(accepted, 19'900U);
}

TEST(GgufHostile, the_largest_tables_that_the_limits_allow_are_read_within_two_seconds) {
  GgufBuilder builder;
  builder.alignment = 8;
  builder.add_metadata("general.alignment", uint32_t{8});
  builder.add_metadata("empty", std::vector<std::string>(limits::kMetadataArrayCountMax));
  std::string head = builder.magic + encoded(builder.version) + encoded(limits::kTensorCountMax);
  std::string bytes = builder.build();
  bytes.replace(0, head.size(), head);
  for (uint64_t i = 0; i < limits::kTensorCountMax; ++i) {
    bytes += encoded_string(fmt::format("{:x<200}{}", "", i)) + encoded(uint32_t{1}) +
             encoded(uint64_t{2}) + encoded(uint32_t{0}) + encoded(8 * i);
  }
  bytes.resize((bytes.size() + 7) / 8 * 8 + 8 * limits::kTensorCountMax);
  const std::clock_t start = std::clock();  // processor time: other tests run beside this one
  const auto file = GgufFile::parse(as_bytes(bytes), "x.gguf");
  const double elapsed = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(file->tensors().size(), limits::kTensorCountMax);
  EXPECT_LT(elapsed, 2.0);
}

}  // namespace
}  // namespace squish
