// Files written by the Python packages gguf and safetensors (scripts/make_format_fixtures.py).
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "format/gguf.h"
#include "format/safetensors.h"
#include "tensor/formats.h"

namespace squish {
namespace {

std::vector<float> decoded(const TensorView& tensor) {
  std::vector<float> out(tensor.row_length() * tensor.row_count());
  for (uint64_t r = 0; r < tensor.row_count(); ++r) {
    decode_row(tensor.dtype, tensor.row(r), tensor.row_length(),
               out.data() + r * tensor.row_length());
  }
  return out;
}

TEST(PackageGguf, every_metadata_type_is_read_as_it_was_written) {
  const auto file = GgufFile::open(SQUISH_SOURCE_DIR "/tests/format/package.gguf");
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(file->architecture(), "llama");
  EXPECT_EQ(file->get_uint("u8"), 200U);
  EXPECT_EQ(file->get_int("i8"), -100);
  EXPECT_EQ(file->get_uint("u16"), 60000U);
  EXPECT_EQ(file->get_int("i16"), -30000);
  EXPECT_EQ(file->get_uint("u32"), 4000000000U);
  EXPECT_EQ(file->get_int("i32"), -2000000000);
  EXPECT_EQ(file->get_uint("u64"), (uint64_t{1} << 63) + 1);
  EXPECT_EQ(file->get_int("i64"), -(int64_t{1} << 62));
  EXPECT_EQ(file->get_float("f32"), 0.5);
  EXPECT_EQ(file->get_float("f64"), 0.1);
  EXPECT_EQ(file->get_bool("yes"), true);
  EXPECT_EQ(*file->get_strings("tokens"),
            (std::vector<std::string_view>{"<s>", "\xe2\x96\x81the", ""}));
  EXPECT_EQ(file->get_ints("ints"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(file->get_floats("floats"), (std::vector<float>{0.25F, -1.5F}));
  EXPECT_EQ(file->get_ints("bools"), (std::vector<int64_t>{1, 0}));
}

TEST(PackageGguf, tensors_have_their_shapes_and_values) {
  const auto file = GgufFile::open(SQUISH_SOURCE_DIR "/tests/format/package.gguf");
  ASSERT_TRUE(file.has_value()) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 3U);
  const TensorView* matrix = file->find_tensor("matrix");
  EXPECT_EQ(to_string(matrix->shape), "[2, 3]");
  EXPECT_EQ(decoded(*matrix), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(decoded(*file->find_tensor("half")), (std::vector<float>{1.0F, -2.0F, 0.5F}));
  const TensorView* packed = file->find_tensor("packed");
  EXPECT_EQ(packed->dtype, DType::q8_0);
  EXPECT_EQ(to_string(packed->shape), "[2, 64]");
}

TEST(PackageSafetensors, tensors_have_their_shapes_and_values) {
  const auto file = SafetensorsFile::open(SQUISH_SOURCE_DIR "/tests/format/package.safetensors");
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(decoded(*file->find_tensor("matrix")), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(to_string(file->find_tensor("matrix")->shape), "[2, 3]");
  EXPECT_EQ(decoded(*file->find_tensor("half")), (std::vector<float>{1.0F, -2.0F, 0.5F}));
  EXPECT_EQ(decoded(*file->find_tensor("scalar")), std::vector<float>{7.0F});
  EXPECT_EQ(to_string(file->find_tensor("empty")->shape), "[0, 4]");
  EXPECT_EQ(file->find_tensor("ids").error().code, ErrorCode::unsupported);
  EXPECT_EQ(file->metadata().size(), 2U);
}

}  // namespace
}  // namespace squish
