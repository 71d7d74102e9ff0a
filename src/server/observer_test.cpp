#include "server/observer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/memory_governor.h"
#include "text/jinja_value.h"

namespace squish::server {
namespace {

using testing::HasSubstr;
using testing::Not;

Value json(const std::string& text) {
  auto parsed = parse_json(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed ? std::move(parsed).value() : Value();
}

TEST(Tracer, keeps_nothing_while_it_is_off) {
  Tracer tracer;
  tracer.record({.name = "a"});
  EXPECT_TRUE(tracer.spans().empty());
  EXPECT_THAT(tracer.summary_json(), HasSubstr("SQUISH_TRACE=1"));
}

TEST(Tracer, keeps_the_last_ten_thousand_of_a_million) {
  Tracer tracer;
  tracer.enable(true);
  for (uint64_t i = 0; i < 1'000'000; ++i) tracer.record({.id = i, .name = "a"});
  const auto spans = tracer.spans();
  ASSERT_EQ(spans.size(), Tracer::kSpansMax);
  EXPECT_EQ(spans.front().id, 1'000'000 - Tracer::kSpansMax);
  tracer.clear();
  EXPECT_TRUE(tracer.spans().empty());
}

TEST(Tracer, shows_the_slowest_and_all_as_chrome_events) {
  Tracer tracer;
  tracer.enable(true);
  for (int i = 0; i < 30; ++i)
    tracer.record({.id = static_cast<uint64_t>(i + 1),
                   .name = "gen.prefill",
                   .start_ms = 1.0 * i,
                   .end_ms = 2.0 * i,
                   .error = i == 7 ? "bad \"x\"" : "",
                   .tags = {{"m", "x"}}});
  const Value summary = json(tracer.summary_json());
  EXPECT_EQ(summary.find("total_spans")->as_integer(), 30);
  const Value* slowest = summary.find("slowest_spans");
  ASSERT_EQ(slowest->size(), 20U);
  EXPECT_EQ(slowest->items().front().find("id")->as_string(), "000000000000001e");
  const Value chrome = json(tracer.chrome_json("1.0"));
  const Value* events = chrome.find("traceEvents");
  ASSERT_EQ(events->size(), 30U);
  for (const Value& event : events->items()) {
    EXPECT_EQ(event.find("ph")->as_string(), "X");
    for (const char* name : {"ts", "dur", "pid", "tid", "args"})
      EXPECT_NE(event.find(name), nullptr) << name;
  }
}

TEST(Profiler, percentiles_lie_between_the_ranks) {
  std::vector<double> values;
  for (int i = 1; i <= 100; ++i) values.push_back(i);
  EXPECT_NEAR(percentile_of(values, 0.5), 50.5, 1e-9);
  EXPECT_NEAR(percentile_of(values, 0.99), 99.01, 1e-9);
  EXPECT_NEAR(percentile_of(values, 1), 100, 1e-9);
  EXPECT_EQ(percentile_of({7}, 0.5), 7);
  EXPECT_EQ(percentile_of({}, 0.5), 0);
}

TEST(Profiler, forgets_all_but_the_last_thousand) {
  Profiler profiler;
  for (int i = 0; i < 3000; ++i) profiler.record("x", i);
  const auto rows = profiler.rows();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].count, 1000U);
  EXPECT_EQ(rows[0].min_ms, 2000);
}

TEST(Report, a_slow_operation_degrades_it_and_comes_with_advice) {
  Profiler profiler;
  const Tracer tracer;
  profiler.record("ttft_ms", 300);
  EXPECT_THAT(report_json(profiler, tracer, 0), HasSubstr("\"status\":\"ok\""));
  profiler.record("decode_step_ms", 300);
  profiler.record("other", 250);
  const Value report = json(report_json(profiler, tracer, 0));
  EXPECT_EQ(report.find("status")->as_string(), "degraded");
  const Value* slow = report.find("bottlenecks");
  ASSERT_EQ(slow->size(), 2U);
  EXPECT_EQ(slow->items()[0].find("op")->as_string(), "decode_step_ms");
  EXPECT_THAT(slow->items()[0].find("hint")->as_string(), HasSubstr("--threads"));
  EXPECT_EQ(slow->items()[1].find("hint")->as_string(), "");
  EXPECT_EQ(json(report_json(profiler, tracer, 1000)).find("bottlenecks")->size(), 0U);
  EXPECT_EQ(json(report_json(profiler, tracer, 1)).find("bottlenecks")->size(), 3U);
}

TEST(Report, advice_goes_by_name_then_by_beginning) {
  EXPECT_THAT(std::string(hint_for("gen.queue")), HasSubstr("--sequences"));
  EXPECT_FALSE(hint_for("http.chat_completions").empty());
  EXPECT_TRUE(hint_for("nothing").empty());
}

TEST(QualityLog, counts_errors_and_latencies_by_model) {
  QualityLog log;
  for (int i = 1; i <= 4; ++i)
    log.record({.model = "a", .is_error = i == 4, .latency_ms = 10.0 * i, .tokens_per_s = 5});
  log.record({.model = "b", .latency_ms = 1});
  log.record({.time = QualityLog::Clock::now() - std::chrono::hours(2), .model = "a"});
  const Value report = json(log.report_json(3600, ""));
  EXPECT_EQ(report.find("total_requests")->as_integer(), 5);
  const Value& a = report.find("models")->items().front();
  EXPECT_EQ(a.find("n_requests")->as_integer(), 4);
  EXPECT_EQ(a.find("n_errors")->as_integer(), 1);
  EXPECT_DOUBLE_EQ(a.find("error_rate")->as_floating(), 0.25);
  EXPECT_TRUE(a.find("ttft_p50")->is_none());
  EXPECT_EQ(json(log.report_json(3600, "b")).find("total_requests")->as_integer(), 1);
}

TEST(Traceparent, is_taken_only_when_it_is_one) {
  const std::string trace = "0af7651916cd43dd8448eb211c80319c";
  const std::string good = "00-" + trace + "-b7ad6b7169203331-01";
  EXPECT_EQ(parse_traceparent(good).trace_id, trace);
  EXPECT_EQ(parse_traceparent(good).parent_id, "b7ad6b7169203331");
  EXPECT_EQ(parse_traceparent("01" + good.substr(2) + "-more").trace_id, trace);
  for (const std::string& bad :
       {std::string(), good + "-more", "ff" + good.substr(2), good.substr(1),
        "00-" + std::string(32, '0') + "-b7ad6b7169203331-01",
        "00-" + trace + "-" + std::string(16, '0') + "-01", "00-" + trace + "-B7AD6B7169203331-01"})
    EXPECT_EQ(parse_traceparent(bad).trace_id, "") << bad;
}

TEST(MemoryGovernor, levels_follow_free_memory_and_pressure) {
  constexpr uint64_t kMiB = 1 << 20;
  EXPECT_EQ(level_of({}), MemoryLevel::normal);
  EXPECT_EQ(level_of({.available_bytes = 1400 * kMiB}), MemoryLevel::warning);
  EXPECT_EQ(level_of({.available_bytes = 800 * kMiB}), MemoryLevel::urgent);
  EXPECT_EQ(level_of({.available_bytes = 300 * kMiB}), MemoryLevel::critical);
  EXPECT_EQ(level_of({.some10 = 10}), MemoryLevel::warning);
  EXPECT_EQ(level_of({.some10 = 30}), MemoryLevel::urgent);
  EXPECT_EQ(level_of({.full10 = 20}), MemoryLevel::critical);
}

TEST(MemoryGovernor, the_prefix_cache_gets_less_the_shorter_memory_is) {
  EXPECT_EQ(cache_share_of(MemoryLevel::normal), 1);
  EXPECT_EQ(cache_share_of(MemoryLevel::warning), 0.5);
  EXPECT_EQ(cache_share_of(MemoryLevel::urgent), 0.2);
  EXPECT_EQ(cache_share_of(MemoryLevel::critical), 0);
}

TEST(MemoryGovernor, rises_at_once_and_falls_after_a_calm) {
  MemoryGovernor governor;
  const auto begin = std::chrono::steady_clock::now();
  const MemoryState low{.available_bytes = 0};
  EXPECT_EQ(governor.observe({}, begin), std::nullopt);
  EXPECT_EQ(governor.observe(low, begin), MemoryLevel::critical);
  EXPECT_EQ(governor.observe(low, begin), std::nullopt);
  EXPECT_EQ(governor.observe({}, begin + std::chrono::seconds(1)), std::nullopt);
  EXPECT_EQ(governor.observe(low, begin + std::chrono::seconds(9)), std::nullopt);
  EXPECT_EQ(governor.observe({}, begin + std::chrono::seconds(10)), std::nullopt);
  EXPECT_EQ(governor.observe({}, begin + std::chrono::seconds(19)), std::nullopt);
  EXPECT_EQ(governor.level(), MemoryLevel::critical);
  EXPECT_EQ(governor.observe({}, begin + std::chrono::seconds(20)), MemoryLevel::normal);
}

TEST(MemoryGovernor, this_machine_can_be_asked) {
  const MemoryState state = read_memory_state();
  EXPECT_GT(state.available_bytes, 0U);
  EXPECT_LT(state.available_bytes, UINT64_MAX);
  EXPECT_GE(state.some10, 0);
}

}  // namespace
}  // namespace squish::server
