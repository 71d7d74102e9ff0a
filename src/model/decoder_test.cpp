// Properties of the forward pass, exact on the reference backend.
#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/testing/allocation_counter.h"
#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"

namespace squish {
namespace {

using squish::testing::LoadedModel;
using squish::testing::TemporaryDirectory;
using squish::testing::TinyModel;
using ::testing::ElementsAreArray;

class Decoder : public ::testing::TestWithParam<std::string_view> {
 protected:
  TinyModel tiny{GetParam()};
  TemporaryDirectory directory;
  LoadedModel loaded{tiny.write_gguf(directory, DType::f16), tiny.context_length()};
  std::vector<int32_t> prompt = tiny.prompt();

  void SetUp() override { ASSERT_NE(loaded.model, nullptr); }

  /// The same model on the fast backend.
  LoadedModel load_fast(ThreadPool& pool) {
    Result<std::unique_ptr<Backend>> backend = make_cpu_backend(pool);
    EXPECT_TRUE(backend.has_value());
    return LoadedModel(directory.file(fmt::format("{}.gguf", tiny.name())), 0,
                       std::move(backend).value());
  }

  std::vector<float> row(const std::vector<float>& logits, size_t index) const {
    const auto begin = logits.begin() + static_cast<ptrdiff_t>(index * loaded.vocabulary());
    return {begin, begin + static_cast<ptrdiff_t>(loaded.vocabulary())};
  }
};

TEST_P(Decoder, logits_do_not_depend_on_the_chunks_of_a_prompt) {
  const std::vector<float> whole = loaded.run(prompt, prompt.size());
  for (const size_t chunk : {size_t{1}, size_t{7}, size_t{16}, size_t{48}, size_t{64}}) {
    EXPECT_EQ(loaded.run(prompt, chunk), whole) << "chunks of " << chunk;
  }
}

TEST_P(Decoder, logits_do_not_depend_on_the_order_of_pages) {
  const std::vector<float> ordered = loaded.run(prompt, 9);
  KvCache cache = loaded.make_cache(8);
  EXPECT_EQ(loaded.run(prompt, 9, cache, {5, 2}), ordered);
  // Pages that held another text before.
  std::vector<int32_t> other(prompt.rbegin(), prompt.rend());
  KvCache used = loaded.make_cache(2);
  loaded.run(other, 64, used, {0, 1});
  EXPECT_EQ(loaded.run(prompt, 9, used, {1, 0}), ordered);
}

TEST_P(Decoder, logits_of_states_are_those_that_the_pass_itself_gives) {
  const size_t count = 20;
  const std::vector<int32_t> ids(prompt.begin(), prompt.begin() + count);
  const std::vector<float> whole = loaded.run(ids, count);
  KvCache cache = loaded.make_cache(1);
  const std::vector<int32_t> pages = {0};
  Batch batch;
  batch.tokens = ids;
  batch.sequences = {{pages.data(), 0, 0, count}};
  batch.prefill_row_count = count;
  batch.hidden_rows = {0, 4, 18};
  batch.logit_rows = {19};
  const auto length = static_cast<size_t>(loaded.model->config().hidden);
  std::vector<float> hidden(3 * length);
  batch.hidden = hidden;
  std::vector<float> last(loaded.vocabulary());
  loaded.model->forward(batch, cache, last);
  std::vector<float> logits(3 * loaded.vocabulary());
  loaded.model->logits_of(hidden, 3, logits);
  EXPECT_EQ(row(logits, 0), row(whole, 0));
  EXPECT_EQ(row(logits, 1), row(whole, 4));
  EXPECT_EQ(row(logits, 2), row(whole, 18));
  EXPECT_EQ(last, row(whole, 19));
}

TEST_P(Decoder, pages_that_are_discarded_leave_the_others_alone) {
  const std::vector<int32_t> ids(prompt.begin(), prompt.begin() + 20);
  const std::vector<float> expected = loaded.run(ids, ids.size());
  KvCache cache = loaded.make_cache(8);
  loaded.run({ids.begin(), ids.begin() + 12}, 12, cache, {3});
  cache.discard_pages(std::vector<int32_t>{7, 2, 4, 1, 0});
  Batch batch;
  batch.tokens.assign(ids.begin() + 12, ids.end());
  const std::vector<int32_t> pages = {3};
  batch.sequences = {{pages.data(), 12, 0, 8}};
  batch.prefill_row_count = 8;
  batch.logit_rows = {7};
  std::vector<float> logits(loaded.vocabulary());
  loaded.model->forward(batch, cache, logits);
  EXPECT_EQ(logits, row(expected, 19));
}

TEST_P(Decoder, rows_do_not_depend_on_the_other_rows_of_the_batch) {
  const size_t count = 20;
  const std::vector<int32_t> a(prompt.begin(), prompt.begin() + count);
  const std::vector<int32_t> b(prompt.rbegin(), prompt.rbegin() + count);
  const std::vector<float> a_alone = loaded.run(a, count);
  const std::vector<float> b_alone = loaded.run(b, count);

  // One prompt in a chunk of 12 rows while the other is 19 tokens in and takes single steps.
  KvCache cache = loaded.make_cache(4);
  const std::vector<int32_t> a_pages = {2};
  const std::vector<int32_t> b_pages = {0};
  loaded.run({a.begin(), a.begin() + 8}, 8, cache, a_pages);
  loaded.run({b.begin(), b.begin() + 19}, 19, cache, b_pages);
  Batch batch;
  batch.tokens.assign(a.begin() + 8, a.end());
  batch.tokens.push_back(b.back());
  batch.sequences = {{a_pages.data(), 8, 0, 12}, {b_pages.data(), 19, 12, 1}};
  batch.prefill_row_count = 12;
  batch.logit_rows = {3, 11, 12};
  std::vector<float> logits(3 * loaded.vocabulary());
  loaded.model->forward(batch, cache, logits);
  EXPECT_EQ(row(logits, 0), row(a_alone, 11));
  EXPECT_EQ(row(logits, 1), row(a_alone, 19));
  EXPECT_EQ(row(logits, 2), row(b_alone, 19));
}

TEST_P(Decoder, chunks_without_logits_still_fill_the_cache) {
  const std::vector<float> whole = loaded.run(prompt, prompt.size());
  KvCache cache = loaded.make_cache(2);
  const std::vector<int32_t> pages = {0, 1};
  const size_t last = prompt.size() - 1;
  Batch batch;
  batch.tokens.assign(prompt.begin(), prompt.end() - 1);
  batch.sequences = {{pages.data(), 0, 0, last}};
  batch.prefill_row_count = last;
  loaded.model->forward(batch, cache, {});
  batch.tokens = {prompt.back()};
  batch.sequences = {{pages.data(), static_cast<int32_t>(last), 0, 1}};
  batch.prefill_row_count = 0;
  batch.logit_rows = {0};
  std::vector<float> logits(loaded.vocabulary());
  loaded.model->forward(batch, cache, logits);
  EXPECT_THAT(logits, ElementsAreArray(row(whole, last)));
}

/// Logits and states of prompts whose last rows go on as decode rows, on the fast backend.
struct AnswersBegin {
  std::vector<float> logits, hidden;
};
AnswersBegin begin_answers(LoadedModel& loaded, const std::vector<std::vector<int32_t>>& prompts,
                           const std::vector<int32_t>& hidden_rows) {
  KvCache cache = loaded.make_cache(static_cast<int32_t>(prompts.size()));
  std::vector<int32_t> pages(prompts.size());
  std::iota(pages.begin(), pages.end(), 0);
  Batch batch;
  for (size_t i = 0; i < prompts.size(); ++i) {
    batch.sequences.push_back({&pages[i], 0, batch.tokens.size(), prompts[i].size()});
    batch.tokens.insert(batch.tokens.end(), prompts[i].begin(), prompts[i].end());
    batch.logit_rows.push_back(static_cast<int32_t>(batch.tokens.size()) - 1);
  }
  batch.prefill_row_count = batch.tokens.size();
  batch.is_head_of_answers = true;
  batch.hidden_rows = hidden_rows;
  AnswersBegin out;
  out.hidden.resize(hidden_rows.size() * static_cast<size_t>(loaded.model->config().hidden));
  out.logits.resize(prompts.size() * loaded.vocabulary());
  batch.hidden = out.hidden;
  loaded.model->forward(batch, cache, out.logits);
  return out;
}

TEST_P(Decoder, answers_begin_alike_beside_prompts_whose_states_are_wanted) {
  ThreadPool pool(1);
  LoadedModel fast = load_fast(pool);
  ASSERT_NE(fast.model, nullptr);
  const std::vector<int32_t> a(prompt.begin(), prompt.begin() + 12);
  const std::vector<int32_t> b(prompt.rbegin(), prompt.rbegin() + 9);
  const AnswersBegin a_alone = begin_answers(fast, {a}, {});
  const AnswersBegin b_alone = begin_answers(fast, {b}, {0, 5, 7});
  // Rows 12, 17 and 19 are b's: behind the row of a's logits, and before it goes on.
  const AnswersBegin both = begin_answers(fast, {a, b}, {12, 17, 19});
  EXPECT_EQ(row(both.logits, 0), row(a_alone.logits, 0));
  EXPECT_EQ(row(both.logits, 1), row(b_alone.logits, 0));
  EXPECT_EQ(both.hidden, b_alone.hidden);
}

TEST_P(Decoder, steps_of_a_known_size_do_not_allocate) {
  // The reference backend takes memory as it likes; the fast one may not.
  ThreadPool pool(1);
  LoadedModel fast = load_fast(pool);
  ASSERT_NE(fast.model, nullptr);
  KvCache cache = fast.make_cache(2);
  const std::vector<int32_t> pages = {0, 1};
  Batch batch;
  batch.tokens = {1, 2, 3};
  batch.sequences = {{pages.data(), 0, 0, 2}, {pages.data() + 1, 0, 2, 1}};
  batch.prefill_row_count = 2;
  batch.logit_rows = {1, 2};
  std::vector<float> logits(2 * fast.vocabulary());
  fast.model->forward(batch, cache, logits);
  const size_t before = squish::testing::allocation_count();
  for (int step = 0; step < 20; ++step) {
    ++batch.sequences[0].position;
    ++batch.sequences[1].position;
    fast.model->forward(batch, cache, logits);
  }
  EXPECT_EQ(squish::testing::allocation_count() - before, 0U);
}

INSTANTIATE_TEST_SUITE_P(all, Decoder,
                         ::testing::ValuesIn(squish::testing::tiny_gguf_names().begin(),
                                             squish::testing::tiny_gguf_names().end()),
                         [](const auto& parameter) { return std::string(parameter.param); });

TEST(DecoderCounts, are_those_of_the_file) {
  const TinyModel tiny("qwen3moe");
  const TemporaryDirectory directory;
  const LoadedModel loaded(tiny.write_gguf(directory, DType::q8_0));
  ASSERT_NE(loaded.model, nullptr);
  uint64_t parameters = 0;
  for (const NamedTensor& tensor : loaded.files.tensors()) {
    parameters += tensor.tensor.shape.elements();
  }
  EXPECT_EQ(loaded.model->parameter_count(), parameters);
  EXPECT_EQ(loaded.model->config().quantization, "q8_0");

  // All but the embedding (one row of it) and two of the four experts.
  uint64_t bytes = 0;
  for (const NamedTensor& tensor : loaded.files.tensors()) {
    const bool is_embedding = tensor.name == "token_embd.weight";
    const bool is_expert = tensor.name.find("_exps") != std::string_view::npos;
    const size_t all = tensor.tensor.bytes();
    bytes += is_embedding ? all / loaded.vocabulary() : is_expert ? all / 2 : all;
  }
  EXPECT_EQ(loaded.model->bytes_per_token(), bytes);
}

TEST(DecoderCounts, count_a_tied_head_as_read_and_not_as_parameters) {
  const TinyModel tiny("qwen2");
  const TemporaryDirectory directory;
  const LoadedModel loaded(tiny.write_gguf(directory, DType::f16));
  ASSERT_NE(loaded.model, nullptr);
  uint64_t bytes = 0;
  for (const NamedTensor& tensor : loaded.files.tensors()) bytes += tensor.tensor.bytes();
  const size_t embedding_row = 64 * 2;
  EXPECT_TRUE(loaded.model->config().tied_embedding);
  EXPECT_EQ(loaded.model->bytes_per_token(), bytes + embedding_row);
}

}  // namespace
}  // namespace squish
