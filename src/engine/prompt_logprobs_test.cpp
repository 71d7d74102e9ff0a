// Log probabilities of prompts: those that sampling tells, in any chunks, in a crowd, after a
// preemption, and without logits of a whole prompt in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/testing/fake_model.h"

namespace squish {
namespace {

using testing::FakeModel;
using testing::FakeModelOptions;

constexpr int kVocabulary = 20;  // so that the 20 likeliest are all tokens
constexpr FakeModelOptions kKind = {.vocabulary_size = kVocabulary, .tells_kinds_apart = false};

Request prompt_of(int32_t count, int32_t first, int32_t max_tokens = 0) {
  Request request;
  for (int32_t i = 0; i < count; ++i) request.tokens.push_back((first * 7 + i * i) % kVocabulary);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  request.prompt_logprobs = PromptLogprobsWish{.top_count = 3};
  return request;
}

std::unique_ptr<Engine> made(Model& model, const EngineOptions& options = {}) {
  return std::move(Engine::create(model, options)).value();
}

struct Got {
  std::vector<TokenId> answer;
  std::vector<ScoredToken> prompt;
  std::optional<FinishReason> finish;
  RequestStats stats;
};

Got read(RequestHandle& handle) {
  Got out;
  while (auto event = handle.try_next()) {
    if (out.prompt.empty()) out.prompt = handle.take_prompt_logprobs();
    if (event->is_terminal()) {
      out.finish = event->finish;
      out.stats = handle.stats();
    } else {
      out.answer.push_back(event->token);
    }
  }
  return out;
}

Got alone(const Request& request, const EngineOptions& options = {}, size_t* logit_rows = nullptr) {
  FakeModel model(kKind);
  const auto engine = made(model, options);
  auto handle = engine->submit(testing::copy_of(request)).value();
  while (!engine->idle()) engine->step();
  EXPECT_EQ(model.complaint(), "");
  EXPECT_TRUE(engine->is_consistent());
  if (logit_rows != nullptr) *logit_rows = model.logit_rows_max;
  return read(handle);
}

/// The distribution after `tokens`, as sampling tells it: by token.
std::vector<float> sampled_after(std::span<const TokenId> tokens) {
  Request request;
  request.tokens.assign(tokens.begin(), tokens.end());
  request.sampling.temperature = 0;
  request.sampling.max_tokens = 1;
  request.sampling.top_logprobs = kVocabulary;
  FakeModel model(kKind);
  const auto engine = made(model);
  auto handle = engine->submit(std::move(request)).value();
  while (!engine->idle()) engine->step();
  std::vector<float> out(kVocabulary);
  const auto event = handle.try_next();
  for (const TokenLogprob& one : event->top) out[static_cast<size_t>(one.token)] = one.logprob;
  return out;
}

void expect_same(const std::vector<ScoredToken>& a, const std::vector<ScoredToken>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].token, b[i].token);
    EXPECT_EQ(a[i].logprob, b[i].logprob) << i;
    ASSERT_EQ(a[i].top.size(), b[i].top.size()) << i;
    for (size_t k = 0; k < a[i].top.size(); ++k) {
      EXPECT_EQ(a[i].top[k].token, b[i].top[k].token);
      EXPECT_EQ(a[i].top[k].logprob, b[i].top[k].logprob);
    }
  }
}

TEST(PromptLogprobs, they_are_those_that_sampling_tells_after_each_beginning) {
  for (const int32_t count : {2, 64, 65, 66, 130}) {
    const Request request = prompt_of(count, 5);
    const Got got = alone(request);
    ASSERT_EQ(got.prompt.size(), request.tokens.size());
    EXPECT_TRUE(got.prompt[0].top.empty()) << "nothing precedes the first token";
    for (size_t i = 1; i < got.prompt.size(); ++i) {
      const auto expected = sampled_after(std::span(request.tokens).first(i));
      const ScoredToken& token = got.prompt[i];
      EXPECT_EQ(token.token, request.tokens[i]);
      EXPECT_EQ(token.logprob, expected[static_cast<size_t>(token.token)]) << i;
      ASSERT_EQ(token.top.size(), 3U);
      EXPECT_EQ(token.top[0].logprob, *std::ranges::max_element(expected));
      EXPECT_EQ(token.top[0].logprob, expected[static_cast<size_t>(token.top[0].token)]);
      EXPECT_GE(token.top[1].logprob, token.top[2].logprob);
    }
  }
}

TEST(PromptLogprobs, with_max_tokens_0_the_request_ends_after_its_prompt) {
  for (const int32_t count : {1, 64, 65, 100}) {
    const Got got = alone(prompt_of(count, 2));
    EXPECT_TRUE(got.answer.empty());
    EXPECT_EQ(got.finish, FinishReason::length);
    EXPECT_EQ(got.stats.prompt_tokens, count);
    EXPECT_EQ(got.stats.generated_tokens, 0);
    EXPECT_EQ(got.prompt.size(), static_cast<size_t>(count));
  }
}

TEST(PromptLogprobs, the_answer_is_the_same_as_without_them) {
  Request request = prompt_of(150, 3, 40);
  const Got with = alone(request);
  request.prompt_logprobs.reset();
  const Got without = alone(request);
  EXPECT_EQ(with.answer, without.answer);
  EXPECT_EQ(with.answer.size(), 40U);
  EXPECT_TRUE(without.prompt.empty());
}

TEST(PromptLogprobs, the_size_of_the_steps_changes_nothing_and_few_logits_are_held) {
  const Request request = prompt_of(700, 4);
  size_t logit_rows = 0;
  const Got whole = alone(request, {}, &logit_rows);
  EXPECT_LE(logit_rows, 32U) << "never the logits of the whole chunk";
  expect_same(alone(request, {.batch_tokens_max = 64}).prompt, whole.prompt);
}

TEST(PromptLogprobs, in_a_crowd_and_short_of_pages_each_prompt_has_its_own) {
  FakeModel model(kKind);
  const auto engine = made(model, {.context_tokens = 512, .kv_pages = 10});
  std::vector<Request> requests;
  std::vector<RequestHandle> handles;
  for (int32_t i = 0; i < 6; ++i) {
    requests.push_back(prompt_of(40 + 10 * i, i, i % 3 == 2 ? 0 : 350));  // 256 have pages promised
    handles.push_back(engine->submit(testing::copy_of(requests.back())).value());
  }
  while (!engine->idle()) engine->step();
  EXPECT_EQ(model.complaint(), "");
  EXPECT_GT(engine->metrics().preemptions, 0U) << "the test is about them, too";
  for (size_t i = 0; i < requests.size(); ++i) {
    const Got got = read(handles[i]);
    const Got expected = alone(requests[i]);
    expect_same(got.prompt, expected.prompt);
    EXPECT_EQ(got.answer, expected.answer);
  }
}

TEST(PromptLogprobs, nothing_is_taken_from_the_cache_but_later_prompts_find_the_pages) {
  FakeModel model(kKind);
  const auto engine = made(model);
  const auto run = [&](Request request) {
    auto handle = engine->submit(std::move(request)).value();
    while (!engine->idle()) engine->step();
    return read(handle);
  };
  const Got first = run(prompt_of(200, 1, 2));
  const Got second = run(prompt_of(200, 1, 2));
  EXPECT_EQ(second.stats.cached_tokens, 0);
  expect_same(second.prompt, first.prompt);
  Request plain = prompt_of(200, 1, 2);
  plain.prompt_logprobs.reset();
  EXPECT_EQ(run(std::move(plain)).stats.cached_tokens, 200);
}

TEST(PromptLogprobs, an_end_token_is_told_with_the_end_when_logprobs_are_wanted) {
  for (const bool wants : {false, true}) {
    Request request = prompt_of(30, 2, 10);
    for (TokenId token = 0; token < kVocabulary; ++token) request.end_tokens.push_back(token);
    request.sampling.logprobs = wants;
    FakeModel model(kKind);
    const auto engine = made(model);
    auto handle = engine->submit(testing::copy_of(request)).value();
    while (!engine->idle()) engine->step();
    const auto event = handle.try_next();
    ASSERT_TRUE(event && event->is_terminal());
    EXPECT_EQ(event->finish, FinishReason::stop);
    EXPECT_EQ(event->token >= 0, wants);
    EXPECT_EQ(event->logprob < 0, wants);
    EXPECT_EQ(handle.stats().generated_tokens, 0);
  }
}

TEST(PromptLogprobs, what_cannot_be_had_is_refused) {
  FakeModel model(kKind);
  const auto engine = made(model);
  Request many = prompt_of(4, 1);
  many.prompt_logprobs->top_count = 21;
  EXPECT_EQ(engine->submit(std::move(many)).error().code, ErrorCode::invalid_argument);
  Request both = prompt_of(4, 1);
  both.embedding = EmbeddingWish{};
  EXPECT_EQ(engine->submit(std::move(both)).error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace squish
