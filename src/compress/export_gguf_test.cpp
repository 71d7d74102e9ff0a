#include "compress/export_gguf.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include "compress/testing/silent.h"
#include "format/testing/temporary_directory.h"
#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"
#include "tensor/formats.h"
#include "tensor/trellis.h"

namespace squish::compress {
namespace {

using ::squish::testing::LoadedModel;
using ::squish::testing::TemporaryDirectory;
using ::squish::testing::TinyModel;
using ::testing::HasSubstr;

class ExportTest : public ::testing::Test {
 protected:
  std::string compressed(const std::string& input, const std::string& format) {
    CompressOptions options;
    options.input = input;
    options.output = directory_.file(format);
    options.format = format;
    options.evaluation_tokens = 0;
    options.calibration_tokens = 256;
    Silent silent;
    EXPECT_TRUE(run(options, pool_, silent, [] { return false; }).has_value());
    return options.output;
  }
  Result<ExportSummary> write(const std::string& model, const std::string& path,
                              const ExportOptions& options) {
    SQ_TRY(const ModelFiles files, ModelFiles::open(model));
    Silent silent;
    return export_gguf(files, path, options, pool_, silent, [] { return false; });
  }
  static std::vector<float> logits(const std::string& path, const TinyModel& tiny) {
    LoadedModel model(path, tiny.context_length());
    return model.run(tiny.prompt(), 64);
  }
  TemporaryDirectory directory_;
  ThreadPool pool_{2};
};

TEST_F(ExportTest, of_blocks_that_gguf_knows_computes_the_very_same) {
  for (const std::string_view network : {"llama", "qwen2", "qwen3moe"}) {
    const TinyModel tiny(network);
    TemporaryDirectory source;
    const std::string input = tiny.write_gguf(source, DType::f16);
    for (const std::string format : {"int8", "int4"}) {
      const std::string model = compressed(input, format);
      const std::string path = directory_.file("out.gguf");
      const auto summary = write(model, path, {.force = true});
      ASSERT_TRUE(summary.has_value()) << summary.error().message;
      EXPECT_EQ(summary->copied, summary->tensors);
      EXPECT_EQ(logits(path, tiny), logits(model, tiny)) << network << " " << format;
      const ModelFiles before = ModelFiles::open(model).value();
      const ModelFiles after = ModelFiles::open(path).value();
      EXPECT_EQ(after.gguf->get_uint("general.file_type"), format == "int8" ? 7U : 3U);
      EXPECT_EQ(after.gguf->get_uint("general.quantization_version"), 2U);
      EXPECT_EQ(after.file_bytes(), summary->bytes);
      std::filesystem::remove_all(model);
    }
  }
}

TEST_F(ExportTest, of_trellis_codes_holds_what_they_stand_for) {
  const TinyModel tiny("llama");
  TemporaryDirectory source;
  const std::string model = compressed(tiny.write_gguf(source, DType::f16), "sq4");
  const std::string path = directory_.file("out.gguf");
  ASSERT_TRUE(write(model, path, {.type = "f32"}).has_value());
  const ModelFiles before = ModelFiles::open(model).value();
  const ModelFiles after = ModelFiles::open(path).value();
  size_t codes = 0;
  for (const NamedTensor& named : before.tensors()) {
    if (!is_trellis(named.tensor.dtype)) continue;
    ++codes;
    std::vector<float> expected(named.tensor.shape.elements());
    decode_trellis(named.tensor, expected.data());
    const TensorView written = after.find_tensor(named.name).value();
    ASSERT_EQ(written.dtype, DType::f32);
    EXPECT_EQ(std::memcmp(written.data, expected.data(), expected.size() * sizeof(float)), 0);
  }
  EXPECT_GT(codes, 0U);
}

TEST_F(ExportTest, to_another_type_codes_every_matrix) {
  const TinyModel tiny("qwen2");
  const std::string input = tiny.write_gguf(directory_, DType::f16);
  const std::string path = directory_.file("out.gguf");
  ASSERT_TRUE(write(input, path, {.type = "q4_0"}).has_value());
  const ModelFiles after = ModelFiles::open(path).value();
  for (const NamedTensor& named : after.tensors()) {
    const bool is_matrix = named.tensor.shape.rank > 1;
    EXPECT_EQ(named.tensor.dtype == DType::q4_0, is_matrix) << named.name;
  }
  EXPECT_EQ(after.gguf->get_uint("general.file_type"), 2U);
}

TEST_F(ExportTest, refuses_matrices_that_were_taken_apart_for_trellis_codes) {
  TemporaryDirectory source;
  const std::string model = compressed(TinyModel("phi3").write_gguf(source, DType::f16), "sq3");
  const std::string path = directory_.file("out.gguf");
  EXPECT_THAT(write(model, path, {}).error().message, HasSubstr("want this family's joined"));
  EXPECT_FALSE(file_exists(path));
}

TEST_F(ExportTest, says_what_it_cannot_do) {
  const TinyModel tiny("llama");
  TemporaryDirectory source;
  const std::string directory = tiny.write_hf(source, DType::bf16);
  const std::string path = directory_.file("out.gguf");
  EXPECT_THAT(write(directory, path, {}).error().message, HasSubstr("not made from a GGUF file"));
  const std::string input = tiny.write_gguf(directory_, DType::f16);
  EXPECT_THAT(write(input, path, {.type = "i3"}).error().message, HasSubstr("q8_0"));
  EXPECT_THAT(write(input, path, {.type = "t2"}).error().message, HasSubstr("'t2'"));
  std::ofstream(path) << "precious";
  EXPECT_THAT(write(input, path, {}).error().message, HasSubstr("--force"));
  EXPECT_FALSE(file_exists(path + ".partial"));
}

}  // namespace
}  // namespace squish::compress
