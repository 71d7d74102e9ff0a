// Random arrivals, cancellations and page shortages: every request ends once, no page is lost, and
// every answer is the one that the request gets alone.
#include <algorithm>
#include <cstdio>
#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/testing/fake_model.h"

namespace squish {
namespace {

using testing::FakeModel;

class Random {
 public:
  explicit Random(uint64_t seed) : generator_(seed) {}
  int32_t pick(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(generator_);
  }
  bool chance(double p) { return std::bernoulli_distribution(p)(generator_); }

 private:
  std::mt19937_64 generator_;
};

/// Prompts of a few families share beginnings of all lengths.
Request random_request(Random& random, int32_t prompt_max, bool is_long) {
  Request request;
  const int32_t family = random.pick(0, 2);
  const int32_t count = random.chance(0.3)
                            ? std::min(prompt_max, 64 * random.pick(1, 4) + random.pick(-1, 1))
                            : random.pick(1, prompt_max);
  for (int32_t i = 0; i < count; ++i) request.tokens.push_back((family * 7 + i * i) % 61);
  if (random.chance(0.4))
    request.tokens[static_cast<size_t>(random.pick(0, count - 1))] = random.pick(0, 60);
  // Answers longer than the pages promised at admission are what makes pages run out.
  request.sampling.max_tokens = random.chance(is_long ? 0.8 : 0.1) ? -1 : random.pick(0, 80);
  request.sampling.seed = random.pick(0, 3);
  request.sampling.temperature = random.chance(0.5) ? 0.0F : 1.0F;
  if (random.chance(0.3)) request.sampling.frequency_penalty = 0.5F;
  if (random.chance(is_long ? 0.1 : 0.5)) request.end_tokens = {random.pick(0, 60)};
  request.client = std::string(1, static_cast<char>('a' + random.pick(0, 2)));
  return request;
}

struct Answer {
  std::vector<TokenId> tokens;
  int ends = 0;
  FinishReason finish = FinishReason::error;
};

void take_events(RequestHandle& handle, Answer& answer) {
  while (auto event = handle.try_next()) {
    if (event->is_terminal()) {
      ++answer.ends;
      answer.finish = *event->finish;
    } else {
      EXPECT_EQ(answer.ends, 0) << "a token after the end";
      answer.tokens.push_back(event->token);
    }
  }
}

Answer run_alone(const Request& request, int32_t context_tokens) {
  FakeModel model;
  const auto engine =
      std::move(Engine::create(model, {.context_tokens = context_tokens, .prefix_cache = false}))
          .value();
  auto handle = engine->submit(testing::copy_of(request)).value();
  Answer answer;
  while (!engine->idle()) engine->step();
  take_events(handle, answer);
  return answer;
}

struct Case {
  Request request;
  std::optional<RequestHandle> handle;
  Answer answer;
  bool was_cancelled = false;
};

EngineOptions random_options(Random& random, int32_t context_tokens) {
  EngineOptions options;
  options.context_tokens = context_tokens;
  const int32_t one_context = (context_tokens + 63) / 64;
  options.kv_pages =
      random.chance(0.6) ? random.pick(one_context, one_context + 4) : 8 * one_context;
  options.batch_tokens_max = 64 * random.pick(1, 6);
  options.batch_tokens_mixed = 16 * random.pick(1, 12);
  options.steps_between_prompts = random.pick(0, 3);
  options.sequences_max = random.pick(1, 8);
  options.prefix_cache = random.chance(0.8);
  options.cache_answers =
      false;  // with true, a prompt that holds an earlier answer may use the decode rows of that
  options.inbox_capacity = 64;
  return options;
}

TEST(EngineProperty,
     every_request_ends_once_with_the_answer_that_it_gets_alone_and_no_page_is_lost) {
  uint64_t preemptions = 0;
  uint64_t cached = 0;
  uint64_t answers_compared = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const bool is_long = random.chance(0.4);
    const int32_t context_tokens = is_long ? random.pick(500, 900) : random.pick(100, 300);
    FakeModel model;
    const auto engine =
        std::move(Engine::create(model, random_options(random, context_tokens))).value();
    std::vector<Case> cases(static_cast<size_t>(random.pick(1, 30)));
    size_t submitted = 0;
    for (int step = 0; step < 100'000 && (submitted < cases.size() || !engine->idle()); ++step) {
      while (submitted < cases.size() && random.chance(0.3)) {
        Case& c = cases[submitted++];
        c.request = random_request(random, std::min(context_tokens, 300), is_long);
        c.handle = std::move(engine->submit(testing::copy_of(c.request))).value();
      }
      if (submitted > 0 && random.chance(is_long ? 0.003 : 0.05)) {
        Case& c = cases[static_cast<size_t>(random.pick(0, static_cast<int32_t>(submitted) - 1))];
        c.handle->cancel();
        c.was_cancelled = true;
      }
      engine->step();
      ASSERT_EQ(model.complaint(), "");
      ASSERT_TRUE(engine->is_consistent()) << "step " << step;
    }
    ASSERT_TRUE(engine->idle()) << "it must come to an end";
    EXPECT_EQ(engine->metrics().pages_used, 0U);
    std::map<FinishReason, uint64_t> ends;
    for (Case& c : cases) {
      take_events(*c.handle, c.answer);
      ASSERT_EQ(c.answer.ends, 1);
      ++ends[c.answer.finish];
      ASSERT_NE(c.answer.finish, FinishReason::error);
      const Answer alone = run_alone(c.request, context_tokens);
      if (c.answer.finish == FinishReason::cancelled) {
        EXPECT_TRUE(c.was_cancelled);
        ASSERT_LE(c.answer.tokens.size(), alone.tokens.size());
        ASSERT_TRUE(
            std::equal(c.answer.tokens.begin(), c.answer.tokens.end(), alone.tokens.begin()));
      } else {
        ++answers_compared;
        ASSERT_EQ(c.answer.tokens, alone.tokens);
        ASSERT_EQ(c.answer.finish, alone.finish);
      }
    }
    const EngineMetrics metrics = engine->metrics();
    EXPECT_EQ(metrics.requests_submitted, cases.size());
    EXPECT_EQ(metrics.requests_stopped, ends[FinishReason::stop]);
    EXPECT_EQ(metrics.requests_length, ends[FinishReason::length]);
    EXPECT_EQ(metrics.requests_cancelled, ends[FinishReason::cancelled]);
    preemptions += metrics.preemptions;
    cached += metrics.cached_tokens;
  }
  printf("%d answers compared, %d preemptions, %d prompt tokens from the cache\n",
         static_cast<int>(answers_compared), static_cast<int>(preemptions),
         static_cast<int>(cached));
  // The cases above mean something only if they happened.
  EXPECT_GT(preemptions, 20U);
  EXPECT_GT(cached, 5000U);
  EXPECT_GT(answers_compared, 400U);
}

TEST(EngineProperty, stopping_at_any_moment_ends_every_request_once) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Random random(seed + 1000);
    FakeModel model;
    auto engine = std::move(Engine::create(model, random_options(random, 200))).value();
    std::vector<RequestHandle> handles;
    for (int i = random.pick(1, 20); i > 0; --i) {
      handles.push_back(engine->submit(random_request(random, 200, false)).value());
      if (random.chance(0.5)) engine->step();
    }
    if (random.chance(0.5)) engine->stop();
    engine.reset();
    for (RequestHandle& handle : handles) {
      Answer answer;
      take_events(handle, answer);
      EXPECT_EQ(answer.ends, 1);
    }
  }
}

}  // namespace
}  // namespace squish
