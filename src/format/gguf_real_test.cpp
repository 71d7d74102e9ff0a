// Real models, where they are present: $SQUISH_TEST_MODELS or ~/.cache/squish-test-models.
#include <chrono>
#include <cstdlib>
#include <map>

#include <gtest/gtest.h>

#include "base/file.h"
#include "format/gguf.h"

namespace squish {
namespace {

/// What the Python package gguf 0.19.0 says about the file.
struct RealModel {
  const char* file;
  const char* architecture;
  size_t metadata_count;
  size_t tensor_count;
  size_t token_count;
  size_t merge_count;
  uint64_t tensor_bytes;
  std::map<DType, size_t> types;
};

/// The name of the test in ctest.
void PrintTo(const RealModel& model, std::ostream* out) { *out << model.file; }

const RealModel kModels[] = {
    {"SmolLM2-135M-Instruct.Q4_1.gguf",
     "llama",
     33,
     272,
     49152,
     48900,
     96576768,
     {{DType::q8_0, 1}, {DType::f32, 61}, {DType::q4_1, 210}}},
    {"gemma-3-270m.Q4_K_M.gguf",
     "gemma3",
     33,
     236,
     262144,
     0,
     246587904,
     {{DType::f32, 109},
      {DType::q8_0, 10},
      {DType::q5_0, 81},
      {DType::q4_k, 27},
      {DType::q6_k, 9}}},
    {"Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf",
     "qwen2",
     26,
     291,
     151936,
     151387,
     485452288,
     {{DType::q8_0, 13},
      {DType::q5_0, 133},
      {DType::f32, 121},
      {DType::q6_k, 12},
      {DType::q4_k, 12}}},
    {"Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf",
     "qwen2",
     26,
     339,
     151936,
     151387,
     1111370240,
     {{DType::q6_k, 29}, {DType::q4_k, 169}, {DType::f32, 141}}},
};

std::string models_directory() {
  if (const char* path = std::getenv("SQUISH_TEST_MODELS")) return path;
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "" : home) + "/.cache/squish-test-models";
}

class RealGguf : public ::testing::TestWithParam<RealModel> {};

TEST_P(RealGguf, counts_agree_with_the_gguf_package_and_opening_is_fast) {
  const RealModel& expected = GetParam();
  const std::string path = models_directory() + "/" + expected.file;
  if (!file_exists(path)) GTEST_SKIP() << path << " is not there";
  double best_ms = 1e9;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    const auto file = GgufFile::open(path);
    const std::chrono::duration<double, std::milli> elapsed =
        std::chrono::steady_clock::now() - start;
    best_ms = std::min(best_ms, elapsed.count());
    ASSERT_TRUE(file.has_value()) << file.error().message;
  }
  RecordProperty("open_ms", std::to_string(best_ms));
  std::printf("open: %.2f ms\n", best_ms);
  EXPECT_LT(best_ms, 50.0);

  const auto file = GgufFile::open(path);
  EXPECT_EQ(file->architecture(), expected.architecture);
  EXPECT_EQ(file->metadata().size(), expected.metadata_count);
  ASSERT_EQ(file->tensors().size(), expected.tensor_count);
  EXPECT_EQ(file->get_strings("tokenizer.ggml.tokens")->size(), expected.token_count);
  const auto merges = file->get_strings("tokenizer.ggml.merges");
  EXPECT_EQ(merges.has_value() ? merges->size() : 0, expected.merge_count);
  uint64_t bytes = 0;
  std::map<DType, size_t> types;
  for (const NamedTensor& named : file->tensors()) {
    bytes += named.tensor.bytes();
    ++types[named.tensor.dtype];
  }
  EXPECT_EQ(bytes, expected.tensor_bytes);
  EXPECT_EQ(types, expected.types);
}

INSTANTIATE_TEST_SUITE_P(Models, RealGguf, ::testing::ValuesIn(kModels), [](const auto& model) {
  return std::to_string(model.index) + "_" + model.param.architecture;
});

}  // namespace
}  // namespace squish
