// The engine on its own thread, and what it costs when nothing happens.
#include <atomic>
#include <new>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "engine/engine.h"
#include "engine/testing/fake_model.h"

namespace squish {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using testing::FakeModel;

Request request_of(size_t prompt_count, int32_t max_tokens, TokenId first = 0) {
  Request request;
  for (size_t i = 0; i < prompt_count; ++i) {
    request.tokens.push_back(static_cast<TokenId>((static_cast<size_t>(first) + i * i) % 61));
  }
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  return request;
}

std::unique_ptr<Engine> start_engine(FakeModel& model, const EngineOptions& options = {}) {
  auto engine = std::move(Engine::create(model, options)).value();
  engine->start();
  return engine;
}

/// Blocks until the terminal event.
std::pair<std::vector<TokenId>, FinishReason> read_all(RequestHandle& handle) {
  std::vector<TokenId> tokens;
  while (true) {
    auto event = handle.next();
    if (!event.has_value()) return {tokens, FinishReason::error};
    if (event->is_terminal()) return {tokens, *event->finish};
    tokens.push_back(event->token);
  }
}

TEST(EngineThread, answers_a_request_while_the_caller_waits) {
  FakeModel model;
  const auto engine = start_engine(model);
  auto handle = engine->submit(request_of(100, 20)).value();
  const auto [tokens, finish] = read_all(handle);
  EXPECT_EQ(tokens.size(), 20U);
  EXPECT_EQ(finish, FinishReason::length);
  EXPECT_EQ(handle.stats().generated_tokens, 20);
}

TEST(EngineThread, waiting_with_a_timeout_gives_up_in_time) {
  FakeModel model;
  std::atomic<bool> is_held = true;
  model.before_forward = [&] {
    while (is_held) std::this_thread::sleep_for(1ms);
  };
  const auto engine = start_engine(model);
  auto handle = engine->submit(request_of(10, 1)).value();
  EXPECT_FALSE(handle.next(10ms).has_value());
  EXPECT_FALSE(handle.finished());
  is_held = false;
  EXPECT_EQ(read_all(handle).second, FinishReason::length);
}

TEST(EngineThread, eight_threads_submit_read_and_cancel_and_each_request_ends_once) {
  FakeModel model;
  // A small cache and queue: preemption, waiting and refusals all happen.
  const auto engine = start_engine(model, {.context_tokens = 256,
                                           .kv_pages = 9,
                                           .batch_tokens_max = 128,
                                           .sequences_max = 6,
                                           .inbox_capacity = 6});
  std::atomic<int> finished = 0;
  std::atomic<int> cancelled = 0;
  std::atomic<int> busy = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        auto handle =
            engine->submit(request_of(static_cast<size_t>(1 + (t * 31 + i * 17) % 150), 40, i % 3));
        if (!handle) {
          EXPECT_EQ(handle.error().code, ErrorCode::busy);
          ++busy;
          std::this_thread::sleep_for(1ms);
          continue;
        }
        if (i % 5 == 0) continue;  // dropped
        std::thread canceller;
        if (i % 5 == 1) canceller = std::thread([&] { handle->cancel(); });
        const auto [tokens, finish] = read_all(*handle);
        if (canceller.joinable()) canceller.join();
        EXPECT_TRUE(finish == FinishReason::length || finish == FinishReason::cancelled);
        EXPECT_FALSE(handle->next().has_value());
        ++(finish == FinishReason::length ? finished : cancelled);
        (void)engine->metrics();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  engine->stop();
  const EngineMetrics metrics = engine->metrics();
  EXPECT_GT(finished, 20);
  EXPECT_EQ(metrics.requests_submitted, metrics.requests_length + metrics.requests_cancelled +
                                            metrics.requests_stopped + metrics.requests_failed);
  EXPECT_EQ(metrics.requests_submitted + metrics.requests_refused, 200U);
  EXPECT_EQ(metrics.requests_refused, static_cast<uint64_t>(busy.load()));
  EXPECT_EQ(metrics.pages_used, 0U);
  EXPECT_TRUE(engine->is_consistent());
  EXPECT_EQ(model.complaint(), "");
}

TEST(EngineThread, stopping_wakes_those_who_wait) {
  FakeModel model;
  model.before_forward = [] { std::this_thread::sleep_for(2ms); };
  const auto engine = start_engine(model);
  auto handle = engine->submit(request_of(10, 1'000)).value();
  std::thread stopper([&] {
    std::this_thread::sleep_for(20ms);
    engine->stop();
  });
  EXPECT_EQ(read_all(handle).second, FinishReason::cancelled);
  stopper.join();
  EXPECT_FALSE(engine->submit(request_of(10, 1)));
}

TEST(EngineThread, running_out_of_memory_in_a_step_ends_all_requests_with_an_error) {
  FakeModel model;
  std::atomic<bool> both_are_in = false;  // else the engine may fail before the second comes
  std::atomic<int> passes = 0;
  model.before_forward = [&] {
    both_are_in.wait(false);
    if (++passes == 3) throw std::bad_alloc();
  };
  const auto engine = start_engine(model);
  auto first = engine->submit(request_of(10, 100)).value();
  auto second = engine->submit(request_of(20, 100)).value();
  both_are_in = true;
  both_are_in.notify_all();
  for (RequestHandle* handle : {&first, &second}) {
    std::optional<TokenEvent> last;
    while (auto event = handle->next()) last = std::move(event);
    ASSERT_TRUE(last.has_value());
    EXPECT_EQ(last->finish, FinishReason::error);
    EXPECT_EQ(last->error->code, ErrorCode::out_of_memory);
  }
  EXPECT_EQ(engine->submit(request_of(10, 1)).error().code, ErrorCode::cancelled);
}

double cpu_ms() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3;
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

TEST(EngineThread, an_idle_engine_uses_no_cpu) {
  FakeModel model;
  const auto engine = start_engine(model);
  auto handle = engine->submit(request_of(10, 5)).value();
  (void)read_all(handle);
  std::this_thread::sleep_for(10ms);
  const double before = cpu_ms();
  std::this_thread::sleep_for(300ms);
  EXPECT_LT(cpu_ms() - before, 3.0) << "of 300 ms";
}

}  // namespace
}  // namespace squish
