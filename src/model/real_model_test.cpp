// Real models, where they are on this machine: greedy tokens recorded from llama.cpp.
#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"

namespace squish {
namespace {

using squish::testing::LoadedModel;

std::string model_path(std::string_view name) {
  const char* home = std::getenv("HOME");
  return fmt::format("{}/.cache/squish-test-models/{}", home == nullptr ? "" : home, name);
}

std::vector<int32_t> greedy(LoadedModel& loaded, const std::vector<int32_t>& prompt, size_t count) {
  KvCache cache = loaded.make_cache(1);
  const std::vector<int32_t> pages = {0};
  std::vector<float> logits(loaded.vocabulary());
  std::vector<int32_t> out;
  Batch batch;
  batch.tokens = prompt;
  int32_t position = 0;
  while (out.size() < count) {
    const size_t rows = batch.tokens.size();
    batch.sequences = {{pages.data(), position, 0, rows}};
    batch.prefill_row_count = out.empty() ? rows : 0;
    batch.logit_rows = {static_cast<int32_t>(rows - 1)};
    loaded.model->forward(batch, cache, logits);
    position += static_cast<int32_t>(rows);
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    out.push_back(static_cast<int32_t>(best));
    batch.tokens = {out.back()};
  }
  return out;
}

/// llama.cpp 0.5.0-dev (commit 0c1e570), CPU, temperature 0, of "1, 2, 3, 4, 5, 6,": the prompt is
/// one whose next tokens all lead by more than 1.6 in log probability, so that rounding cannot
/// change them.
TEST(RealModel, smollm2_on_ref_gives_the_greedy_tokens_of_llama_cpp) {
  const std::string path = model_path("SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!file_exists(path)) GTEST_SKIP() << path << " is not there";
  LoadedModel loaded(path);
  ASSERT_NE(loaded.model, nullptr);
  const std::vector<int32_t> prompt = {33, 28, 216, 34, 28, 216, 35, 28, 216,
                                       36, 28, 216, 37, 28, 216, 38, 28};
  const std::vector<int32_t> expected = {216, 39,  28, 216, 40, 28,  216, 41,
                                         28,  216, 33, 32,  28, 216, 33,  33};
  EXPECT_EQ(greedy(loaded, prompt, expected.size()), expected);
  EXPECT_EQ(loaded.model->config().quantization, "q4_1");
  EXPECT_EQ(loaded.model->parameter_count(), 134'515'008U);
}

TEST(RealModel, smollm2_on_cpu_gives_the_tokens_of_ref) {
  const std::string path = model_path("SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!file_exists(path)) GTEST_SKIP() << path << " is not there";
  ThreadPool pool(2);
  Result<std::unique_ptr<Backend>> backend = make_cpu_backend(pool);
  ASSERT_TRUE(backend.has_value());
  LoadedModel loaded(path, 0, std::move(backend).value());
  ASSERT_NE(loaded.model, nullptr);
  const std::vector<int32_t> prompt = {33, 28, 216, 34, 28, 216, 35, 28, 216,
                                       36, 28, 216, 37, 28, 216, 38, 28};
  const std::vector<int32_t> expected = {216, 39,  28, 216, 40, 28,  216, 41,
                                         28,  216, 33, 32,  28, 216, 33,  33};
  EXPECT_EQ(greedy(loaded, prompt, expected.size()), expected);
}

TEST(RealModel, opens_without_reading_the_weights) {
  const std::string path = model_path("Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf");
  if (!file_exists(path)) GTEST_SKIP() << path << " is not there";
  const LoadedModel loaded(path);
  ASSERT_NE(loaded.model, nullptr);
  EXPECT_EQ(loaded.model->config().architecture, "qwen2");
  EXPECT_EQ(loaded.model->config().vocabulary_size, 151'936);
  EXPECT_LT(loaded.model->bytes_per_token(), loaded.files.file_bytes());
}

}  // namespace
}  // namespace squish
