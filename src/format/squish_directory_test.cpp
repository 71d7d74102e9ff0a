#include "format/squish_directory.h"

#include "base/hash.h"
#include "format/testing/random_blocks.h"
#include "format/testing/safetensors_builder.h"
#include "format/testing/temporary_directory.h"

namespace squish {
namespace {

using ::testing::HasSubstr;
using testing::SafetensorsBuilder;
using testing::TemporaryDirectory;

class SquishDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::mt19937 random(7);
    blocks_ = testing::random_blocks(DType::q8_0, 2 * 64, random, 1.0F);
    SafetensorsBuilder builder;
    builder.add_tensor("norm", {3}, {1.0F, 2.0F, 3.0F})
        .add_tensor("squish.padding.0", {52}, "U8", std::string(52, '\0'))
        .add_tensor("w.weight", {2, 68}, "U8", blocks_)
        .write(directory_.file("model.safetensors"));
    norm_hash_ = hash64(as_bytes(std::string_view("\0\0\x80?\0\0\0@\0\0@@", 12)));
    write_config(entries());
  }

  std::string entries(std::string_view extra = "") const {
    return fmt::format(R"("norm": "f32 3 {:016x}", "w.weight": "q8_0 2x64 {:016x}"{})", norm_hash_,
                       hash64(as_bytes(blocks_)), extra);
  }
  void write_config(const std::string& tensors, std::string_view more = "",
                    std::string_view version = "1") const {
    directory_.write(
        "config.json",
        fmt::format(R"({{"architectures":["X"],"quantization_config":{{"quant_method":"squish",)"
                    R"("format_version":{},"format":"int8"{},"tensors":{{{}}}}}}})",
                    version, more, tensors));
  }
  Result<std::optional<SquishDirectory>> open() {
    auto opened = HfDirectory::open(directory_.path());
    EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().message);
    hf_ = std::make_unique<HfDirectory>(std::move(opened).value());
    return SquishDirectory::open(*hf_);
  }
  Error error() {
    const auto opened = open();
    return opened.has_value() ? Error{ErrorCode::internal, "opened"} : opened.error();
  }

  TemporaryDirectory directory_;
  std::unique_ptr<HfDirectory> hf_;
  std::string blocks_;
  uint64_t norm_hash_ = 0;
};

TEST_F(SquishDirectoryTest, hands_out_packed_tensors_with_their_types_and_shapes) {
  const auto opened = open();
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  ASSERT_TRUE(opened->has_value());
  const SquishDirectory& model = **opened;
  EXPECT_EQ(model.format(), "int8");
  EXPECT_FALSE(model.has_gguf_metadata());
  ASSERT_EQ(model.tensors().size(), 2U) << "padding is no tensor";
  const TensorView* weight = model.find("w.weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->dtype, DType::q8_0);
  EXPECT_EQ(to_string(weight->shape), "[2, 64]");
  EXPECT_EQ(as_text({weight->data, weight->bytes()}), blocks_);
  EXPECT_EQ(model.find("squish.padding.0"), nullptr);
  EXPECT_TRUE(model.verify().has_value());
}

TEST_F(SquishDirectoryTest, is_nothing_for_a_plain_directory) {
  directory_.write("config.json", R"({"architectures":["X"]})");
  const auto opened = open();
  ASSERT_TRUE(opened.has_value());
  EXPECT_FALSE(opened->has_value());
  directory_.write("config.json", R"({"quantization_config":{"quant_method":"gptq"}})");
  EXPECT_FALSE(open().value().has_value());
}

TEST_F(SquishDirectoryTest, finds_a_payload_that_was_changed) {
  std::string file = read_file(directory_.file("model.safetensors"), 1 << 20).value();
  file.back() = static_cast<char>(file.back() ^ 1);
  directory_.write("model.safetensors", file);
  const auto opened = open();
  ASSERT_TRUE(opened.has_value());
  const Status status = (*opened)->verify();
  ASSERT_FALSE(status.has_value());
  EXPECT_THAT(status.error().message, HasSubstr("'w.weight' is damaged"));
}

TEST_F(SquishDirectoryTest, refuses_a_newer_version_and_an_unknown_type) {
  write_config(entries(), "", "2");
  EXPECT_EQ(error().code, ErrorCode::unsupported);
  EXPECT_THAT(error().message, HasSubstr("format version 2"));
  write_config(R"("w.weight": "z9 2x64 0000000000000000")");
  EXPECT_EQ(error().code, ErrorCode::unsupported);
  EXPECT_THAT(error().message, HasSubstr("'z9'"));
}

TEST_F(SquishDirectoryTest, refuses_descriptions_that_the_file_does_not_bear_out) {
  const struct {
    std::string tensors;
    std::string_view says;
  } cases[] = {
      {R"("absent": "f32 3 0000000000000000")", "does not hold it"},
      {R"("w.weight": "q8_0 3x64 0000000000000000")", "136 bytes in model.safetensors"},
      {R"("w.weight": "q8_0 2x63 0000000000000000")", "not whole blocks"},
      {R"("w.weight": "f32 2x17 0000000000000000")", "stored as U8"},
      {R"("norm": "f16 6 0000000000000000")", "stored as f32"},
      {R"("norm": "f32 0 0000000000000000")", "numbers above 0"},
      {R"("norm": "f32 3x1x1x1x1 0000000000000000")", "1 to 4"},
      {R"("w.weight": "t3 64 0000000000000000")", "t3 codes matrices only"},
      {R"("norm": "f32 3")", "2 words"},
      {R"("norm": "f32 3 12")", "16 hexadecimal"},
      {R"("norm": "f32 99999999999x99999999999 0000000000000000")", "too large"},
      {R"("norm": "f32 3 0000000000000000", "norm": "f32 3 0000000000000000")", "twice"},
      {R"("norm": 3)", "config.json"},
  };
  for (const auto& one : cases) {
    write_config(one.tensors);
    EXPECT_THAT(error().message, HasSubstr(std::string(one.says))) << one.tensors;
  }
}

TEST_F(SquishDirectoryTest, refuses_metadata_outside_the_directory) {
  write_config(entries(), R"(,"metadata":"../other.gguf")");
  EXPECT_THAT(error().message, HasSubstr("'../other.gguf'"));
}

TEST(SquishTensorText, reads_back_what_it_writes) {
  const SquishTensor tensor = {DType::q4_1, Shape{{4, 96, 64, 1}, 3}, 0xFEDCBA9876543210U};
  const std::string text = to_string(tensor);
  EXPECT_EQ(text, "q4_1 4x96x64 fedcba9876543210");
  const auto read = parse_squish_tensor(text);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->dtype, tensor.dtype);
  EXPECT_EQ(read->shape, tensor.shape);
  EXPECT_EQ(read->hash, tensor.hash);
}

}  // namespace
}  // namespace squish
