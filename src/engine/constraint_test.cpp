// Constrained answers in the engine: masks, ends, tokens without alternative, preemption.
#include "engine/constraint.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/testing/fake_model.h"

namespace squish {
namespace {

constexpr TokenId kEnd = 60;

/// Place i of the answer allows the tokens choices[i]; then only the end may come.
class Places final : public Constraint {
 public:
  explicit Places(std::vector<std::vector<TokenId>> choices) : choices_(std::move(choices)) {}
  std::span<const uint32_t> allowed() override {
    mask_ = {0, 0};
    const std::vector<TokenId> end = {kEnd};
    for (const TokenId token : at_ < choices_.size() ? choices_[at_] : end)
      mask_[static_cast<size_t>(token) / 32] |= 1U << (token % 32);
    return mask_;
  }
  bool accept(TokenId token) override {
    if (at_ >= choices_.size() || std::ranges::find(choices_[at_], token) == choices_[at_].end())
      return false;
    ++at_;
    return true;
  }
  void rollback(int32_t count) override { at_ -= static_cast<size_t>(count); }
  bool must_end() override { return at_ == choices_.size(); }
  std::optional<TokenId> forced() override {
    if (at_ >= choices_.size() || choices_[at_].size() != 1) return std::nullopt;
    return choices_[at_][0];
  }

 private:
  std::vector<std::vector<TokenId>> choices_;
  size_t at_ = 0;
  std::vector<uint32_t> mask_ = {0, 0};
};

struct Got {
  std::vector<TokenId> tokens;
  std::optional<FinishReason> finish;
};

Request request_of(std::vector<std::vector<TokenId>> choices, int64_t seed) {
  Request request;
  for (int i = 0; i < 70; ++i) request.tokens.push_back((i * i + static_cast<int>(seed)) % 61);
  request.sampling.temperature = 1.5F;
  request.sampling.seed = seed;
  request.sampling.max_tokens = 300;
  request.end_tokens = {kEnd};
  request.constraint = std::make_unique<Places>(std::move(choices));
  return request;
}

Got run(Engine& engine, RequestHandle& handle, int* steps = nullptr) {
  Got got;
  for (int i = 0; i < 10'000 && !engine.idle(); ++i) {
    engine.step();
    if (steps != nullptr) ++*steps;
  }
  while (const auto event = handle.try_next()) {
    if (event->is_terminal()) {
      got.finish = event->finish;
    } else {
      got.tokens.push_back(event->token);
    }
  }
  return got;
}

TEST(EngineConstraint, only_allowed_tokens_come_and_the_answer_ends_by_itself) {
  testing::FakeModel model;
  const auto engine = std::move(Engine::create(model, {})).value();
  for (int64_t seed = 0; seed < 20; ++seed) {
    Request request = request_of({{3, 40}, {5, 6, 7}, {59, 1}}, seed);
    request.sampling.ignore_eos = seed % 2 == 0;
    request.sampling.logit_bias = {{20, 100}};  // a token that may never come
    RequestHandle handle = engine->submit(std::move(request)).value();
    const Got got = run(*engine, handle);
    EXPECT_EQ(got.finish, FinishReason::stop);
    ASSERT_EQ(got.tokens.size(), 3U);
    EXPECT_THAT(got.tokens[0], ::testing::AnyOf(3, 40));
    EXPECT_THAT(got.tokens[1], ::testing::AnyOf(5, 6, 7));
    EXPECT_THAT(got.tokens[2], ::testing::AnyOf(59, 1));
  }
  EXPECT_EQ(model.complaint(), "");
  EXPECT_GT(engine->metrics().masks.total_ns, 0U);
}

TEST(EngineConstraint, tokens_without_alternative_share_a_step_and_change_nothing) {
  std::vector<std::vector<TokenId>> choices;
  for (TokenId i = 0; i < 100; ++i)
    choices.push_back(i % 10 == 0 ? std::vector<TokenId>{1, 2, 3} : std::vector<TokenId>{i % 60});
  testing::FakeModel model;
  const auto engine = std::move(Engine::create(model, {})).value();
  Got answers[2];
  int steps[2] = {0, 0};
  for (const size_t i : {size_t{0}, size_t{1}}) {
    Request request = request_of(choices, 4);
    request.sampling.logprobs = i == 1;  // needs the logits of each token
    RequestHandle handle = engine->submit(std::move(request)).value();
    answers[i] = run(*engine, handle, &steps[i]);
  }
  EXPECT_EQ(answers[0].tokens, answers[1].tokens);
  EXPECT_EQ(answers[0].tokens.size(), 100U);
  EXPECT_LT(steps[0] * 5, steps[1]);
  EXPECT_EQ(model.complaint(), "");
}

TEST(EngineConstraint, a_preempted_answer_goes_on_where_it_was) {
  testing::FakeModel model;
  // Answers of 500 tokens are longer than what is promised at admission: two run, one must give
  // way.
  const EngineOptions options{.context_tokens = 640, .kv_pages = 12, .cache_answers = false};
  const auto engine = std::move(Engine::create(model, options)).value();
  const std::vector<std::vector<TokenId>> choices(500, {7, 8});
  std::vector<RequestHandle> handles;
  for (int64_t seed = 0; seed < 3; ++seed) {
    Request request = request_of(choices, seed);
    request.sampling.max_tokens = 560;
    handles.push_back(engine->submit(std::move(request)).value());
  }
  for (RequestHandle& handle : handles) {
    const Got got = run(*engine, handle);
    EXPECT_EQ(got.finish, FinishReason::stop);
    EXPECT_EQ(got.tokens.size(), 500U);
  }
  EXPECT_GT(engine->metrics().preemptions, 0U);
  EXPECT_TRUE(engine->is_consistent());
  EXPECT_EQ(model.complaint(), "");
}

}  // namespace
}  // namespace squish
