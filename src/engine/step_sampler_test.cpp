// Rows drawn on several threads give what each gives alone.
#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/thread_pool.h"
#include "engine/constraint.h"
#include "engine/engine.h"
#include "engine/testing/fake_model.h"

namespace squish {
namespace {

using testing::FakeModel;

// Enough for several rows to be worth threads.
constexpr int kVocabulary = 40'000;
constexpr size_t kWords = kVocabulary / 32;

/// Any token may come; notes whether the mask was read on a thread other than `home`.
class Watching : public Constraint {
 public:
  Watching(std::thread::id home, std::atomic<bool>& was_elsewhere)
      : home_(home), was_elsewhere_(was_elsewhere) {}
  std::span<const uint32_t> allowed() override {
    if (std::this_thread::get_id() != home_) was_elsewhere_ = true;
    return mask_;
  }
  bool accept(TokenId) override { return true; }
  void rollback(int32_t) override {}
  bool must_end() override { return false; }
  std::optional<TokenId> forced() override { return std::nullopt; }

 private:
  const std::thread::id home_;
  std::atomic<bool>& was_elsewhere_;
  std::vector<uint32_t> mask_ = std::vector<uint32_t>(kWords, ~0U);
};

/// Requests that draw in every way: greedy with guesses, filters, penalties, biases, masks. The
/// first four have the same prompt, so that three of them share its cached logits.
Request request_number(int i) {
  Request request;
  for (int j = 0; j < 40; ++j) request.tokens.push_back(i < 4 ? j % 5 : (i * 7 + j * j) % 61);
  SamplingParams& sampling = request.sampling;
  sampling.max_tokens = 12;
  sampling.seed = i;
  sampling.temperature = i % 4 == 3 ? 0.0F : 0.6F + 0.3F * static_cast<float>(i % 3);
  sampling.top_p = i % 2 == 0 ? 1.0F : 0.9F;
  sampling.top_k = i % 5 == 4 ? 30 : 0;
  sampling.repetition_penalty = i % 3 == 0 ? 1.0F : 1.3F;
  sampling.frequency_penalty = i % 3 == 1 ? 0.5F : 0.0F;
  if (i % 4 == 1) sampling.logit_bias = {{i, 5.0F}, {i + 100, -5.0F}};
  sampling.logprobs = i % 6 == 5;
  return request;
}

struct Answer {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  bool operator==(const Answer&) const = default;
};

Answer collect(RequestHandle& handle) {
  Answer answer;
  while (auto event = handle.try_next()) {
    EXPECT_FALSE(event->error.has_value()) << event->error->message;
    if (event->is_terminal()) continue;
    answer.tokens.push_back(event->token);
    answer.logprobs.push_back(event->logprob);
  }
  return answer;
}

constexpr int kRequests = 12;
constexpr int kRounds = 200;

/// `at_once` requests at a time.
std::vector<Answer> answers_of(ThreadPool* pool, int at_once, std::atomic<bool>& was_elsewhere) {
  std::vector<Answer> answers;
  for (int begin = 0; begin < kRequests; begin += at_once) {
    FakeModel model({.vocabulary_size = kVocabulary});
    const auto engine = std::move(Engine::create(model, {.pool = pool})).value();
    std::vector<RequestHandle> handles;
    for (int i = begin; i < begin + at_once; ++i) {
      Request request = request_number(i);
      if (i > 8)
        request.constraint = std::make_unique<Watching>(std::this_thread::get_id(), was_elsewhere);
      handles.push_back(engine->submit(std::move(request)).value());
    }
    for (int step = 0; step < 1000 && !engine->idle(); ++step) engine->step();
    EXPECT_EQ(model.complaint(), "");
    for (RequestHandle& handle : handles) answers.push_back(collect(handle));
  }
  return answers;
}

TEST(StepSampler, rows_drawn_by_several_threads_are_those_drawn_alone) {
  std::atomic<bool> was_elsewhere = false;
  const auto alone = answers_of(nullptr, 1, was_elsewhere);
  EXPECT_FALSE(was_elsewhere);
  EXPECT_THAT(alone, ::testing::Each(::testing::Field(&Answer::tokens, ::testing::SizeIs(12))));
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    was_elsewhere = false;
    // A busy machine may leave all rows of a round to the thread that is awake.
    for (int round = 0; round == 0 || (threads > 1 && !was_elsewhere && round < kRounds); ++round)
      ASSERT_EQ(answers_of(&pool, kRequests, was_elsewhere), alone) << threads << " threads";
    EXPECT_EQ(was_elsewhere, threads > 1);
  }
}

TEST(StepSampler, what_fails_on_another_thread_fails_on_the_engines) {
  class Failing : public Watching {
   public:
    using Watching::Watching;
    std::span<const uint32_t> allowed() override {
      if (std::this_thread::get_id() != home) throw std::bad_alloc();
      return Watching::allowed();
    }
    const std::thread::id home = std::this_thread::get_id();
  };
  std::atomic<bool> was_elsewhere = false;
  ThreadPool pool(2);
  bool has_failed = false;
  for (int round = 0; round < kRounds && !has_failed; ++round) {
    FakeModel model({.vocabulary_size = kVocabulary});
    const auto engine = std::move(Engine::create(model, {.pool = &pool})).value();
    std::vector<RequestHandle> handles;
    for (int i = 4; i < kRequests; ++i) {
      Request request = request_number(i);
      request.constraint = std::make_unique<Failing>(std::this_thread::get_id(), was_elsewhere);
      handles.push_back(engine->submit(std::move(request)).value());
    }
    try {
      for (int step = 0; step < 1000 && !engine->idle(); ++step) engine->step();
    } catch (const std::bad_alloc&) {
      has_failed = true;
    }
  }
  EXPECT_TRUE(has_failed);
}

TEST(StepSampler, log_probabilities_of_a_prompt_are_those_of_one_thread) {
  const auto scores_with = [](ThreadPool* pool) {
    FakeModel model({.vocabulary_size = kVocabulary});
    const auto engine = std::move(Engine::create(model, {.pool = pool})).value();
    Request request = request_number(7);
    request.prompt_logprobs = {.top_count = 3};
    auto handle = engine->submit(std::move(request)).value();
    while (!engine->idle()) engine->step();
    collect(handle);
    std::vector<float> out;
    for (const ScoredToken& scored : handle.take_prompt_logprobs()) {
      out.push_back(scored.logprob);
      for (const TokenLogprob& top : scored.top) out.push_back(top.logprob);
    }
    return out;
  };
  ThreadPool pool(3);
  const auto expected = scores_with(nullptr);
  EXPECT_EQ(expected.size(), 1 + 39 * 4U);
  EXPECT_EQ(scores_with(&pool), expected);
}

}  // namespace
}  // namespace squish
