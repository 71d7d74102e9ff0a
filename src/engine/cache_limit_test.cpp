// A prefix cache that shrinks while memory is short: fewer pages are kept, and no answer changes.
#include <thread>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/testing/fake_model.h"

namespace squish {
namespace {

using testing::FakeModel;

constexpr int32_t kPages = 40;

Request prompt_of(int32_t count, int32_t first) {
  Request request;
  for (int32_t i = 0; i < count; ++i) request.tokens.push_back((first * 7 + i * i) % 61);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = 5;
  return request;
}

struct Got {
  std::vector<TokenId> answer;
  int32_t cached = 0;
};

Got run(Engine& engine, Request request) {
  auto handle = engine.submit(std::move(request)).value();
  while (!engine.idle()) engine.step();
  Got out;
  while (auto event = handle.try_next()) {
    if (!event->is_terminal()) out.answer.push_back(event->token);
  }
  out.cached = handle.stats().cached_tokens;
  EXPECT_TRUE(engine.is_consistent());
  return out;
}

TEST(CacheLimit, pages_beyond_the_share_are_given_up_and_answers_stay_the_same) {
  FakeModel model;
  const auto engine =
      std::move(Engine::create(model, {.context_tokens = 1024, .kv_pages = kPages})).value();
  std::vector<Got> before;
  for (int32_t i = 0; i < 8; ++i) before.push_back(run(*engine, prompt_of(300, i)));
  EXPECT_GE(engine->metrics().pages_cached, 32U) << "4 whole pages of each";

  engine->limit_cache(0.2);
  engine->step();
  EXPECT_LE(engine->metrics().pages_cached, 8U);
  for (int32_t i = 0; i < 8; ++i) {
    EXPECT_EQ(run(*engine, prompt_of(300, i)).answer, before[static_cast<size_t>(i)].answer);
    EXPECT_LE(engine->metrics().pages_cached, 8U) << "also while requests come";
  }
  EXPECT_GT(run(*engine, prompt_of(300, 7)).cached, 0) << "the last one is still there";

  engine->limit_cache(0);
  engine->step();
  EXPECT_EQ(engine->metrics().pages_cached, 0U);
  EXPECT_EQ(run(*engine, prompt_of(300, 7)).cached, 0) << "no logits and no pages are kept";
  EXPECT_EQ(run(*engine, prompt_of(300, 7)).cached, 0);

  engine->limit_cache(1);
  const Got first = run(*engine, prompt_of(300, 7));
  const Got again = run(*engine, prompt_of(300, 7));
  EXPECT_EQ(again.cached, 300) << "all is kept again";
  EXPECT_EQ(first.answer, before[7].answer);
  EXPECT_EQ(again.answer, before[7].answer);
  EXPECT_EQ(model.complaint(), "");
}

TEST(CacheLimit, fewer_pages_change_no_answer_of_those_that_run_and_come_back_when_there_are_more) {
  const auto answers_of = [](int32_t limit) {
    FakeModel model;
    const auto engine =
        std::move(Engine::create(model, {.context_tokens = 512, .kv_pages = kPages})).value();
    std::vector<RequestHandle> handles;
    for (int32_t i = 0; i < 5; ++i) {
      Request request = prompt_of(300, i);
      request.sampling.max_tokens = 100;
      handles.push_back(engine->submit(std::move(request)).value());
    }
    for (int i = 0; i < 20; ++i) engine->step();
    EXPECT_EQ(engine->metrics().sequences_running, 5U);
    engine->limit_pages(limit);
    while (!engine->idle()) {
      engine->step();
      const EngineMetrics now = engine->metrics();
      if (now.pages_used > static_cast<uint64_t>(limit)) {
        EXPECT_EQ(now.sequences_running, 5U) << "only until a step needs a page";
      }
    }
    const EngineMetrics end = engine->metrics();
    EXPECT_EQ(end.pages_total, static_cast<uint64_t>(limit));
    EXPECT_LE(end.pages_used + end.pages_cached, static_cast<uint64_t>(limit));
    EXPECT_EQ(end.preemptions > 0, limit < kPages);
    EXPECT_TRUE(engine->is_consistent());
    EXPECT_EQ(model.complaint(), "");
    std::vector<std::vector<TokenId>> out;
    for (RequestHandle& handle : handles) {
      out.emplace_back();
      while (auto event = handle.try_next()) {
        if (!event->is_terminal()) out.back().push_back(event->token);
      }
      EXPECT_EQ(out.back().size(), 100U);
    }
    engine->limit_pages(kPages);
    run(*engine, prompt_of(300, 9));
    EXPECT_EQ(engine->metrics().pages_total, static_cast<uint64_t>(kPages));
    return out;
  };
  EXPECT_EQ(answers_of(8), answers_of(kPages)) << "8 pages are one context";
}

TEST(CacheLimit, a_limit_is_never_less_than_one_context_or_more_than_the_cache) {
  FakeModel model;
  const auto engine =
      std::move(Engine::create(model, {.context_tokens = 512, .kv_pages = kPages})).value();
  engine->limit_pages(1);
  EXPECT_EQ(engine->metrics().pages_total, 8U);
  EXPECT_EQ(run(*engine, prompt_of(500, 1)).answer.size(), 5U);
  engine->limit_pages(1 << 30);
  EXPECT_EQ(engine->metrics().pages_total, static_cast<uint64_t>(kPages));
}

TEST(CacheLimit, an_engine_that_sleeps_gives_its_pages_up) {
  FakeModel model;
  const auto engine =
      std::move(Engine::create(model, {.context_tokens = 1024, .kv_pages = kPages})).value();
  engine->start();
  auto handle = engine->submit(prompt_of(300, 1)).value();
  while (!handle.finished()) handle.next();
  EXPECT_GT(engine->metrics().pages_cached, 0U);
  engine->limit_cache(0);
  for (int i = 0; i < 2000 && engine->metrics().pages_cached > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(engine->metrics().pages_cached, 0U);
  engine->stop();
}

}  // namespace
}  // namespace squish
