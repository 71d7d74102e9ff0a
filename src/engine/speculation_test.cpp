// Guessed tokens change the number of steps and nothing else.
#include <algorithm>
#include <array>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "engine/constraint.h"
#include "engine/draft_policy.h"
#include "engine/engine.h"
#include "engine/prompt_lookup.h"
#include "engine/testing/fake_model.h"

namespace squish {
namespace {

using ::testing::ElementsAre;
using testing::FakeModel;

std::vector<TokenId> found(PromptLookup& lookup, const std::vector<TokenId>& tokens, size_t count) {
  std::vector<TokenId> out(count);
  out.resize(lookup.find(tokens, out).count);
  return out;
}

TEST(PromptLookup, goes_on_as_the_text_did_after_the_same_tokens) {
  PromptLookup lookup(100);
  EXPECT_THAT(found(lookup, {1, 2, 3, 4, 5, 6, 9, 1, 2, 3}, 3), ElementsAre(4, 5, 6));
}

TEST(PromptLookup, two_tokens_in_common_are_no_match) {
  PromptLookup lookup(100);
  EXPECT_THAT(found(lookup, {1, 2, 3, 4, 8, 2, 3}, 3), ElementsAre());
  EXPECT_THAT(found(lookup, {7}, 3), ElementsAre());
}

TEST(PromptLookup, the_longest_match_wins_and_of_equal_ones_the_latest) {
  PromptLookup longest(100);
  EXPECT_THAT(found(longest, {0, 1, 2, 3, 7, 9, 1, 2, 3, 8, 9, 9, 0, 1, 2, 3}, 1), ElementsAre(7));
  PromptLookup latest(100);
  EXPECT_THAT(found(latest, {5, 1, 2, 3, 7, 6, 1, 2, 3, 8, 4, 1, 2, 3}, 1), ElementsAre(8));
}

TEST(PromptLookup, a_match_that_reaches_the_end_is_a_period) {
  PromptLookup lookup(100);
  EXPECT_THAT(found(lookup, {9, 1, 2, 1, 2, 1, 2}, 5), ElementsAre(1, 2, 1, 2, 1));
}

TEST(PromptLookup, what_comes_in_pieces_is_found_as_what_comes_at_once) {
  std::mt19937_64 random(1);
  std::vector<TokenId> text;
  PromptLookup grown(600);
  for (int i = 0; i < 600; ++i) {
    text.push_back(static_cast<TokenId>(random() % 4));
    if (random() % 3 != 0) continue;
    PromptLookup fresh(600);
    ASSERT_EQ(found(grown, text, 7), found(fresh, text, 7));
  }
}

TEST(DraftPolicy, drafts_where_rows_are_cheap_and_not_where_they_cost_a_step_each) {
  const DraftHistory history;
  DraftPolicy cheap(true);
  DraftPolicy dear(true);
  for (size_t rows = 1; rows <= 16; ++rows) {
    cheap.observe_step(rows, 1000 + 20.0 * static_cast<double>(rows));
    dear.observe_step(rows, 1000.0 * static_cast<double>(rows));
  }
  EXPECT_GE(cheap.draft_count(history, 12, 15, 1), 8U);
  EXPECT_GE(cheap.draft_count(history, 3, 15, 1), 1U);
  EXPECT_EQ(dear.draft_count(history, 12, 15, 1), 0U);
}

TEST(DraftPolicy, takes_the_edge_of_a_kernel_whose_cost_jumps) {
  DraftPolicy policy(true);
  for (size_t rows = 1; rows <= 16; ++rows) policy.observe_step(rows, rows <= 8 ? 1000 : 2000);
  DraftHistory history;
  history.chance.fill(0.95);
  EXPECT_EQ(policy.draft_count(history, 12, 15, 1), 7U);
}

TEST(DraftPolicy, guesses_that_fail_are_tried_less_and_less) {
  const DraftPolicy policy(true);
  DraftHistory history;
  int tried = 0;
  for (int step = 0; step < 2000; ++step) {
    if (!policy.wants_draft(history)) continue;
    const size_t count = policy.draft_count(history, 3, 15, 1);
    if (count == 0) break;  // the chance alone says no
    ++tried;
    policy.observe(history, 3, count, 0);
  }
  EXPECT_LE(tried, 20);
}

TEST(DraftPolicy, guesses_that_would_have_been_right_bring_it_back) {
  const DraftPolicy policy(true);
  DraftHistory history;
  history.chance.fill(0.01);
  ASSERT_EQ(policy.draft_count(history, 12, 15, 1), 0U);
  for (int i = 0; i < 20; ++i) policy.learn(history, 12, true);
  EXPECT_GT(policy.draft_count(history, 12, 15, 1), 0U);
}

TEST(DraftPolicy, one_slow_step_does_not_change_its_mind) {
  DraftPolicy policy(true);
  for (int i = 0; i < 20; ++i) {
    for (size_t rows = 1; rows <= 16; ++rows) policy.observe_step(rows, 1000);
  }
  const size_t before = policy.draft_count({}, 12, 15, 1);
  policy.observe_step(8, 50'000);
  const size_t after = policy.draft_count({}, 12, 15, 1);
  EXPECT_GT(before, 0U);
  EXPECT_GT(after, 0U);
}

// --- through the engine

/// Goes round in circles of `period` tokens, now and then with another token: what guesses are made
/// for. Its choice depends on all that the pages hold, as FakeModel's does.
class CopyingModel final : public FakeModel {
 public:
  explicit CopyingModel(int32_t period) : period_(period) {}
  void forward(const Batch& batch, KvCache& kv, std::span<float> logits) override {
    FakeModel::forward(batch, kv, logits);
    const auto size = static_cast<size_t>(config().vocabulary_size);
    size_t next = 0;
    for (const SequenceRows& rows : batch.sequences) {
      for (; next < batch.logit_rows.size(); ++next) {
        const auto row = static_cast<size_t>(batch.logit_rows[next]);
        if (row >= rows.row_begin + rows.row_count) break;
        const auto position = rows.position + static_cast<int32_t>(row - rows.row_begin);
        const auto wanted = static_cast<size_t>((position + 1) % period_);
        // The hash decides in one place of eight.
        if (logits[next * size] > -3) logits[next * size + wanted] = 10;
      }
    }
  }

 private:
  int32_t period_;
};

struct Played {
  std::vector<std::vector<TokenId>> answers;
  std::vector<FinishReason> ends;
  EngineMetrics metrics;
};

struct Plan {
  std::vector<Request> requests;
  std::vector<int> submit_at;                   // step
  std::vector<std::pair<size_t, int>> cancels;  // request, step
};

Plan random_plan(uint64_t seed, int32_t context) {
  std::mt19937_64 random(seed);
  const auto pick = [&](int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random);
  };
  Plan plan;
  for (int i = pick(1, 12); i > 0; --i) {
    Request request;
    const int32_t count = pick(1, context / 4);
    const int32_t period = pick(2, 50);
    for (int32_t t = 0; t < count; ++t) request.tokens.push_back(t % period);
    request.sampling.temperature = pick(0, 3) == 0 ? 1.0F : 0.0F;
    request.sampling.seed = 7;
    request.sampling.max_tokens = pick(0, 1) == 0 ? -1 : pick(1, 150);
    if (pick(0, 2) == 0) request.sampling.frequency_penalty = 0.3F;
    if (pick(0, 2) == 0) request.sampling.repetition_penalty = 1.3F;
    if (pick(0, 3) == 0) request.sampling.logprobs = true;
    if (pick(0, 1) == 0) request.end_tokens = {pick(0, 60)};
    plan.requests.push_back(std::move(request));
    plan.submit_at.push_back(pick(0, 40));
  }
  return plan;
}

Played play(Model& model, const Plan& plan, const EngineOptions& options,
            const std::string& complaint) {
  const auto engine = std::move(Engine::create(model, options)).value();
  std::vector<std::optional<RequestHandle>> handles(plan.requests.size());
  for (int step = 0; step < 20'000; ++step) {
    bool is_submitted = true;
    for (size_t i = 0; i < handles.size(); ++i) {
      if (plan.submit_at[i] == step)
        handles[i] = engine->submit(testing::copy_of(plan.requests[i])).value();
      is_submitted = is_submitted && handles[i].has_value();
    }
    for (const auto& [index, at] : plan.cancels) {
      if (at == step && handles[index]) handles[index]->cancel();
    }
    if (is_submitted && engine->idle()) break;
    engine->step();
    EXPECT_EQ(complaint, "");
    if (!engine->is_consistent()) {
      ADD_FAILURE() << "pages are lost at step " << step;
      break;
    }
  }
  EXPECT_TRUE(engine->idle());
  Played out;
  for (auto& handle : handles) {
    out.answers.emplace_back();
    while (auto event = handle->try_next()) {
      if (event->is_terminal()) {
        out.ends.push_back(*event->finish);
      } else {
        out.answers.back().push_back(event->token);
      }
    }
  }
  out.metrics = engine->metrics();
  return out;
}

TEST(Speculation, answers_are_those_of_single_steps_with_any_batch_pages_and_parameters) {
  uint64_t drafted = 0;
  uint64_t accepted = 0;
  uint64_t preemptions = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed + 99);
    const int32_t context = 400 + static_cast<int32_t>(random() % 300);
    const Plan plan = random_plan(seed, context);
    EngineOptions options;
    options.context_tokens = context;
    options.kv_pages = (context + 63) / 64 + static_cast<int32_t>(random() % 3);
    options.sequences_max = 1 + static_cast<int32_t>(random() % 6);
    options.batch_tokens_max = 128;
    options.cache_answers = false;
    options.speculation_adapts = random() % 3 == 0;
    const auto period = static_cast<int32_t>(2 + random() % 40);
    CopyingModel with(period);
    const Played guessed = play(with, plan, options, with.complaint());
    options.speculation = false;
    CopyingModel without(period);
    const Played plain = play(without, plan, options, without.complaint());
    ASSERT_EQ(guessed.answers, plain.answers);
    ASSERT_EQ(guessed.ends, plain.ends);
    EXPECT_EQ(guessed.metrics.pages_used, 0U);
    EXPECT_EQ(plain.metrics.drafted_tokens, 0U);
    EXPECT_EQ(guessed.metrics.generated_tokens, plain.metrics.generated_tokens);
    drafted += guessed.metrics.drafted_tokens;
    accepted += guessed.metrics.accepted_tokens;
    preemptions += guessed.metrics.preemptions;
  }
  // The cases above mean something only if they happened.
  EXPECT_GT(accepted, 2000U);
  EXPECT_GT(drafted, accepted);
  EXPECT_GT(preemptions, 5U);
}

TEST(Speculation, an_answer_that_is_cancelled_meanwhile_leaves_no_page_behind) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    Plan plan = random_plan(seed, 300);
    std::mt19937_64 random(seed);
    for (size_t i = 0; i < plan.requests.size(); ++i) {
      if (random() % 2 == 0)
        plan.cancels.emplace_back(i, plan.submit_at[i] + static_cast<int>(random() % 60));
    }
    CopyingModel model(5);
    const Played out =
        play(model, plan, {.context_tokens = 300, .kv_pages = 8, .speculation_adapts = false},
             model.complaint());
    EXPECT_EQ(out.ends.size(), plan.requests.size());
    EXPECT_EQ(out.metrics.pages_used, 0U);
  }
}

TEST(Speculation, a_copying_answer_takes_a_fraction_of_the_steps) {
  Request request;
  for (int32_t i = 0; i < 100; ++i) request.tokens.push_back(i % 20);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = 200;
  Plan plan;
  plan.requests.push_back(testing::copy_of(request));
  plan.submit_at = {0};
  CopyingModel with(20);
  const Played guessed = play(with, plan, {.speculation_adapts = false}, with.complaint());
  CopyingModel without(20);
  const Played plain = play(without, plan, {.speculation = false}, without.complaint());
  EXPECT_EQ(guessed.answers, plain.answers);
  EXPECT_GE(plain.metrics.steps, 200U);
  EXPECT_LT(guessed.metrics.steps, 150U);  // one token of eight is a surprise
}

/// Place i of an answer may have token i % 61 and three others, now and then only those or only
/// one; after `length` tokens it ends.
class Circle final : public Constraint {
 public:
  Circle(int32_t length, TokenId end) : length_(length), end_(end) {}
  std::span<const uint32_t> allowed() override {
    mask_ = {0, 0};
    for (TokenId token = 0; token < 61; ++token) {
      if (allows(token)) mask_[static_cast<size_t>(token) / 32] |= 1U << (token % 32);
    }
    return mask_;
  }
  bool accept(TokenId token) override {
    if (!allows(token)) return false;
    ++at_;
    return true;
  }
  void rollback(int32_t count) override {
    SQ_CHECK(count <= at_);
    at_ -= count;
  }
  bool must_end() override { return at_ >= length_; }
  std::optional<TokenId> forced() override {
    if (at_ >= length_ || at_ % 11 != 0) return std::nullopt;
    return at_ % 20;
  }

 private:
  [[nodiscard]] bool allows(TokenId token) const {
    if (at_ >= length_) return token == end_;
    if (token == end_) return false;
    if (at_ % 11 == 0) return token == at_ % 20;
    return at_ % 7 == 0 ? token % 3 == 1 : token % 20 == at_ % 20 || token % 9 == 2;
  }
  int32_t length_;
  TokenId end_;
  int32_t at_ = 0;
  std::vector<uint32_t> mask_ = {0, 0};
};

TEST(Speculation, constrained_answers_are_guessed_too_and_stay_what_they_were) {
  uint64_t accepted = 0;
  for (int32_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    Played played[2];
    for (const bool is_guessed : {false, true}) {
      CopyingModel model(20);
      EngineOptions options;
      options.speculation = is_guessed;
      options.speculation_adapts = false;
      const auto engine = std::move(Engine::create(model, options)).value();
      std::vector<RequestHandle> handles;
      for (int32_t i = 0; i < 3; ++i) {
        Request request;
        for (int32_t t = 0; t < 60 + seed; ++t) request.tokens.push_back(t % 20);
        request.sampling.temperature = 0;
        request.sampling.max_tokens = 150;
        request.sampling.logprobs = seed % 4 == 3;  // then nothing is added without logits
        request.end_tokens = {60};
        if (i > 0) request.constraint = std::make_unique<Circle>(40 * i + seed, 60);
        handles.push_back(engine->submit(std::move(request)).value());
      }
      for (int step = 0; step < 2000 && !engine->idle(); ++step) engine->step();
      for (RequestHandle& handle : handles) {
        Played& out = played[is_guessed ? 1 : 0];
        out.answers.emplace_back();
        while (auto event = handle.try_next()) {
          if (event->is_terminal()) {
            out.ends.push_back(*event->finish);
          } else {
            out.answers.back().push_back(event->token);
          }
        }
      }
      EXPECT_EQ(model.complaint(), "");
      EXPECT_TRUE(engine->is_consistent());
      played[is_guessed ? 1 : 0].metrics = engine->metrics();
    }
    EXPECT_EQ(played[0].answers, played[1].answers);
    EXPECT_EQ(played[0].ends, played[1].ends);
    EXPECT_LT(played[1].metrics.steps, played[0].metrics.steps);
    accepted += played[1].metrics.accepted_tokens;
  }
  EXPECT_GT(accepted, 500U);
}

TEST(Speculation, a_request_can_do_without_and_draws_never_guess) {
  for (const bool is_greedy : {true, false}) {
    Request request;
    for (int32_t i = 0; i < 50; ++i) request.tokens.push_back(i % 5);
    request.sampling.temperature = is_greedy ? 0.0F : 0.8F;
    request.sampling.speculate = !is_greedy;
    request.sampling.max_tokens = 50;
    Plan plan;
    plan.requests.push_back(testing::copy_of(request));
    plan.submit_at = {0};
    CopyingModel model(5);
    const Played out = play(model, plan, {.speculation_adapts = false}, model.complaint());
    EXPECT_EQ(out.metrics.generated_tokens, 50U);
    EXPECT_EQ(out.metrics.drafted_tokens, 0U);
  }
}

}  // namespace
}  // namespace squish
