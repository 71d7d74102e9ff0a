#include "engine/engine.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/testing/fake_model.h"

namespace squish {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FakeModel;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<TokenId> prompt_of(size_t count, TokenId first = 0) {
  std::vector<TokenId> tokens(count);
  for (size_t i = 0; i < count; ++i)
    tokens[i] = static_cast<TokenId>((static_cast<size_t>(first) + i * i) % 61);
  return tokens;
}

Request request_of(std::vector<TokenId> tokens, int32_t max_tokens) {
  Request request;
  request.tokens = std::move(tokens);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  return request;
}

struct Answer {
  std::vector<TokenId> tokens;
  std::vector<FinishReason> ends;  // exactly one when all is well
  std::optional<Error> error;
};

/// All events that are there now.
Answer collect(RequestHandle& handle) {
  Answer answer;
  while (auto event = handle.try_next()) {
    if (event->is_terminal()) {
      answer.ends.push_back(*event->finish);
      answer.error = event->error;
    } else {
      answer.tokens.push_back(event->token);
    }
  }
  return answer;
}

void run_until_idle(Engine& engine) {
  for (int i = 0; i < 100'000 && !engine.idle(); ++i) engine.step();
  ASSERT_TRUE(engine.idle()) << "the engine does not come to an end";
}

std::unique_ptr<Engine> make_engine(FakeModel& model, const EngineOptions& options = {}) {
  auto engine = Engine::create(model, options);
  EXPECT_TRUE(engine) << engine.error().message;
  return std::move(engine).value();
}

Answer run_alone(const Request& request, EngineOptions options = {}) {
  FakeModel model;
  options.prefix_cache = false;
  const auto engine = make_engine(model, options);
  auto handle = engine->submit(testing::copy_of(request));
  EXPECT_TRUE(handle);
  run_until_idle(*engine);
  EXPECT_EQ(model.complaint(), "");
  return collect(*handle);
}

TEST(Engine, generates_up_to_max_tokens_and_reports_its_times) {
  FakeModel model;
  const auto engine = make_engine(model);
  auto handle = engine->submit(request_of(prompt_of(100), 7)).value();
  run_until_idle(*engine);
  const Answer answer = collect(handle);
  EXPECT_EQ(answer.tokens.size(), 7U);
  EXPECT_THAT(answer.ends, ElementsAre(FinishReason::length));
  EXPECT_TRUE(handle.finished());
  EXPECT_FALSE(handle.next().has_value()) << "nothing follows the terminal event";
  EXPECT_EQ(handle.stats().prompt_tokens, 100);
  EXPECT_EQ(handle.stats().generated_tokens, 7);
  EXPECT_EQ(handle.stats().cached_tokens, 0);
  EXPECT_GE(handle.stats().queue_ms, 0);
  EXPECT_GT(handle.stats().prefill_ms, 0);
  EXPECT_GT(handle.stats().decode_ms, 0);
  EXPECT_EQ(model.rows_computed, 100U + 6U)
      << "nothing is computed twice, and nothing from the last token";
  EXPECT_EQ(model.complaint(), "");
}

TEST(Engine, an_end_token_stops_and_is_not_reported_unless_it_is_ignored) {
  const Answer all = run_alone(request_of(prompt_of(10), 6));
  ASSERT_EQ(all.tokens.size(), 6U);
  Request request = request_of(prompt_of(10), 6);
  request.end_tokens = {all.tokens[3]};
  const auto first = std::ranges::find(all.tokens, all.tokens[3]);
  const Answer stopped = run_alone(request);
  EXPECT_EQ(stopped.tokens, std::vector<TokenId>(all.tokens.begin(), first));
  EXPECT_THAT(stopped.ends, ElementsAre(FinishReason::stop));
  request.sampling.ignore_eos = true;
  EXPECT_EQ(run_alone(request).tokens, all.tokens);
}

TEST(Engine, a_prompt_longer_than_the_context_is_refused_with_both_numbers_and_the_flag) {
  FakeModel model;
  const auto engine = make_engine(model, {.context_tokens = 128});
  const auto refused = engine->submit(request_of(prompt_of(129), 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::refused);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("129"), HasSubstr("128"), HasSubstr("--context")));
  EXPECT_EQ(engine->metrics().requests_refused, 1U);
  auto full = engine->submit(request_of(prompt_of(128), -1)).value();
  auto nearly = engine->submit(request_of(prompt_of(120), -1)).value();
  run_until_idle(*engine);
  EXPECT_EQ(collect(full).tokens.size(), 1U)
      << "the context is full, but the next token needs no place in it";
  const Answer answer = collect(nearly);
  EXPECT_EQ(answer.tokens.size(), 9U);
  EXPECT_THAT(answer.ends, ElementsAre(FinishReason::length));
}

TEST(Engine, invalid_requests_are_refused_at_the_door) {
  FakeModel model;
  const auto engine = make_engine(model);
  EXPECT_THAT(engine->submit(request_of({}, 1)).error().message, HasSubstr("no tokens"));
  EXPECT_THAT(engine->submit(request_of({1, 61}, 1)).error().message,
              AllOf(HasSubstr("61"), HasSubstr("0 to 60")));
  EXPECT_FALSE(engine->submit(request_of({-1}, 1)));
  Request request = request_of({1}, 1);
  request.sampling.top_p = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(engine->submit(testing::copy_of(request)).error().message, HasSubstr("top_p is nan"));
  request = request_of({1}, 1);
  request.sampling.logit_bias = {{61, 1}};
  EXPECT_THAT(engine->submit(testing::copy_of(request)).error().message, HasSubstr("logit_bias"));
}

TEST(Engine, options_outside_their_ranges_are_refused_by_name) {
  FakeModel model;
  EXPECT_THAT(Engine::create(model, {.context_tokens = -1}).error().message,
              HasSubstr("--context is -1"));
  EXPECT_THAT(Engine::create(model, {.context_tokens = 640, .kv_pages = 9}).error().message,
              AllOf(HasSubstr("--kv-pages is 9"), HasSubstr("needs 10")));
  EXPECT_THAT(Engine::create(model, {.batch_tokens_max = 15}).error().message,
              HasSubstr("from 16"));
  EXPECT_THAT(Engine::create(model, {.sequences_max = 0}).error().message,
              HasSubstr("--sequences is 0"));
}

TEST(Engine, sizes_follow_the_memory_of_the_machine) {
  ModelConfig config;
  config.layer_count = 2;
  config.kv_head_count = 1;
  config.head_dim = 64;  // 32 KiB a page
  config.context_length = 100'000;
  const auto sizes = [&](const EngineOptions& options, uint64_t memory) {
    return choose_sizes(config, options, memory).value();
  };
  EXPECT_EQ(sizes({}, uint64_t{1} << 40).context_tokens, kContextDefaultMax);
  EXPECT_EQ(sizes({}, uint64_t{1} << 40).page_count, 16 * kContextDefaultMax / 64);
  EXPECT_EQ(sizes({}, 4 << 20).context_tokens, 32 * 64) << "a quarter of 4 MiB is 32 pages";
  EXPECT_EQ(sizes({.context_tokens = 10'000}, 4 << 20).page_count, 157)
      << "what was asked for wins";
}

TEST(Engine, max_tokens_0_ends_at_once) {
  const Answer answer = run_alone(request_of(prompt_of(5), 0));
  EXPECT_THAT(answer.tokens, IsEmpty());
  EXPECT_THAT(answer.ends, ElementsAre(FinishReason::length));
}

TEST(Engine, the_queue_is_bounded_and_busy_is_said_at_once) {
  FakeModel model;
  const auto engine = make_engine(model, {.sequences_max = 1, .inbox_capacity = 3});
  std::vector<RequestHandle> handles;
  for (int i = 0; i < 3; ++i)
    handles.push_back(engine->submit(request_of(prompt_of(5), 2)).value());
  const auto refused = engine->submit(request_of(prompt_of(5), 2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  engine->step();  // one runs now, two wait
  handles.push_back(engine->submit(request_of(prompt_of(5), 2)).value());
  EXPECT_FALSE(engine->submit(request_of(prompt_of(5), 2)));
  run_until_idle(*engine);
  for (RequestHandle& handle : handles) EXPECT_EQ(collect(handle).tokens.size(), 2U);
  EXPECT_TRUE(engine->submit(request_of(prompt_of(5), 2)));
}

TEST(Engine, a_cancelled_request_gives_its_pages_back_within_one_step) {
  FakeModel model;
  const auto engine = make_engine(model, {.prefix_cache = false});
  auto cancelled = engine->submit(request_of(prompt_of(200), 100)).value();
  auto dropped =
      std::make_unique<RequestHandle>(engine->submit(request_of(prompt_of(200), 100)).value());
  for (int i = 0; i < 5; ++i) engine->step();
  EXPECT_GT(engine->metrics().pages_used, 0U);
  cancelled.cancel();
  dropped.reset();
  engine->step();
  EXPECT_EQ(engine->metrics().pages_used, 0U);
  EXPECT_TRUE(engine->idle());
  EXPECT_THAT(collect(cancelled).ends, ElementsAre(FinishReason::cancelled));
  EXPECT_EQ(engine->metrics().requests_cancelled, 2U);
}

TEST(Engine, logits_without_a_number_end_that_request_with_an_error_and_no_other) {
  FakeModel model;
  model.nan_token = 60;
  const auto engine = make_engine(model);
  auto bad = engine->submit(request_of({1, 2, 60}, 3)).value();
  auto good = engine->submit(request_of({1, 2, 3}, 1)).value();
  run_until_idle(*engine);
  const Answer answer = collect(bad);
  EXPECT_THAT(answer.ends, ElementsAre(FinishReason::error));
  ASSERT_TRUE(answer.error.has_value());
  EXPECT_THAT(answer.error->message, HasSubstr("NaN"));
  EXPECT_THAT(collect(good).ends, ElementsAre(FinishReason::length));
}

TEST(Engine, stopping_ends_running_waiting_and_unread_requests_once_each) {
  FakeModel model;
  auto engine = make_engine(model, {.sequences_max = 1});
  std::vector<RequestHandle> handles;
  for (int i = 0; i < 3; ++i)
    handles.push_back(engine->submit(request_of(prompt_of(5), 50)).value());
  engine->step();
  handles.push_back(engine->submit(request_of(prompt_of(5), 50)).value());
  engine->stop();
  const auto refused = engine->submit(request_of(prompt_of(5), 50));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::cancelled);
  engine.reset();
  for (RequestHandle& handle : handles)
    EXPECT_THAT(collect(handle).ends, ElementsAre(FinishReason::cancelled));
}

TEST(Engine, logprobs_are_reported_when_asked_for) {
  FakeModel model;
  const auto engine = make_engine(model);
  Request request = request_of(prompt_of(5), 2);
  request.sampling.logprobs = true;
  request.sampling.top_logprobs = 3;
  auto handle = engine->submit(testing::copy_of(request)).value();
  run_until_idle(*engine);
  const auto event = handle.try_next();
  ASSERT_TRUE(event.has_value());
  ASSERT_EQ(event->top.size(), 3U);
  EXPECT_EQ(event->top[0].token, event->token);
  EXPECT_EQ(event->top[0].logprob, event->logprob);
  EXPECT_LT(event->logprob, 0);
}

// --- the prefix cache

TEST(EnginePrefix, a_repeated_prompt_is_answered_without_computing_it_again) {
  for (const size_t length : {1U, 5U, 63U, 64U, 65U, 128U, 129U, 300U}) {
    FakeModel model;
    const auto engine = make_engine(model);
    const Request request =
        request_of(prompt_of(length), 90);  // the answer completes the page of the prompt's tail
    const Answer alone = run_alone(request);
    for (int round = 0; round < 3; ++round) {
      auto handle = engine->submit(testing::copy_of(request)).value();
      const uint64_t before = model.rows_computed;
      run_until_idle(*engine);
      EXPECT_EQ(collect(handle).tokens, alone.tokens) << length << ", round " << round;
      EXPECT_EQ(handle.stats().cached_tokens, round == 0 ? 0 : static_cast<int32_t>(length));
      EXPECT_EQ(model.rows_computed - before, round == 0 ? length + 89 : 89) << length;
    }
    EXPECT_EQ(model.complaint(), "");
    EXPECT_EQ(engine->metrics().pages_used, 0U);
  }
}

TEST(EnginePrefix, prompts_that_begin_alike_share_pages_and_the_beginning_of_the_one_that_differs) {
  FakeModel model;
  const auto engine = make_engine(model);
  auto tokens = prompt_of(200);
  auto first = engine->submit(request_of(tokens, 3)).value();
  run_until_idle(*engine);
  tokens[150] = 17;
  const Request changed = request_of(tokens, 3);
  auto second = engine->submit(testing::copy_of(changed)).value();
  run_until_idle(*engine);
  EXPECT_EQ(collect(second).tokens, run_alone(changed).tokens);
  EXPECT_EQ(second.stats().cached_tokens, 128 + 22);
  EXPECT_EQ(model.complaint(), "");
}

TEST(EnginePrefix, a_prompt_shorter_than_a_page_helps_the_next_one_that_begins_like_it) {
  FakeModel model;
  const auto engine = make_engine(model);
  auto tokens = prompt_of(50);
  auto first = engine->submit(request_of(tokens, 3)).value();
  run_until_idle(*engine);
  tokens[40] = 17;
  const Request changed = request_of(tokens, 60);
  for (const int32_t cached : {40, 50}) {
    auto handle = engine->submit(testing::copy_of(changed)).value();
    run_until_idle(*engine);
    EXPECT_EQ(collect(handle).tokens, run_alone(changed).tokens);
    EXPECT_EQ(handle.stats().cached_tokens, cached);
  }
  EXPECT_EQ(model.complaint(), "");
  EXPECT_TRUE(engine->is_consistent());
}

TEST(EnginePrefix, no_beginning_leaves_a_chunk_of_one_row) {
  const auto tokens = prompt_of(64);
  for (const size_t alike : {3U, 4U, 14U, 15U, 16U, 31U, 32U, 33U, 47U, 62U, 63U}) {
    for (const size_t more : {1U, 2U, 3U, 17U, 40U}) {
      FakeModel model;
      const auto engine = make_engine(model, {.batch_tokens_max = 16, .batch_tokens_mixed = 16});
      auto first = engine->submit(request_of(tokens, 1)).value();
      run_until_idle(*engine);
      auto begun = tokens;
      begun.resize(alike);
      for (size_t i = 0; i < more; ++i) begun.push_back(i == 0 ? (tokens[alike] + 1) % 20 : 5);
      const Request request = request_of(begun, 3);
      auto handle = engine->submit(testing::copy_of(request)).value();
      run_until_idle(*engine);
      EXPECT_EQ(collect(handle).tokens, run_alone(request).tokens) << alike << ", " << more;
      const auto cached = handle.stats().cached_tokens;
      EXPECT_LE(cached, static_cast<int32_t>(alike));
      const bool is_taken = alike > 4 && more > 2;
      EXPECT_GE(cached, is_taken ? static_cast<int32_t>(alike) - 1 : 0);
      EXPECT_EQ(model.complaint(), "") << alike << ", " << more;
    }
  }
}

TEST(EnginePrefix, equal_prompts_still_wait_for_the_first_when_a_few_tokens_of_them_are_known) {
  FakeModel model;
  const auto engine = make_engine(model);
  auto tokens = prompt_of(300);
  auto other = engine->submit(request_of(tokens, 1)).value();
  run_until_idle(*engine);
  tokens[20] = 17;
  const uint64_t before = model.rows_computed;
  std::vector<RequestHandle> handles;
  for (int i = 0; i < 3; ++i) handles.push_back(engine->submit(request_of(tokens, 2)).value());
  run_until_idle(*engine);
  EXPECT_EQ(model.rows_computed - before, 300U - 20U + 3U) << "the prompt is computed once";
  EXPECT_EQ(model.complaint(), "");
}

TEST(EnginePrefix, equal_prompts_that_arrive_together_are_computed_once_and_continue_apart) {
  for (const size_t length : {100U, 128U, 500U}) {
    FakeModel model;
    const auto engine = make_engine(model);
    Request request = request_of(prompt_of(length), 40);
    request.sampling.temperature = 2;
    std::vector<RequestHandle> handles;
    std::vector<Answer> alone;
    for (int i = 0; i < 4; ++i) {
      request.sampling.seed = i;
      handles.push_back(engine->submit(testing::copy_of(request)).value());
      alone.push_back(run_alone(request));
    }
    run_until_idle(*engine);
    EXPECT_EQ(model.rows_computed, length + 4 * 39U);
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(collect(handles[i]).tokens, alone[i].tokens);
    EXPECT_EQ(model.complaint(), "");
    EXPECT_NE(alone[0].tokens, alone[1].tokens);
  }
}

TEST(EnginePrefix, a_kept_page_is_written_in_place_when_no_page_is_left_for_a_copy) {
  FakeModel model;
  const auto engine = make_engine(model, {.context_tokens = 128, .kv_pages = 2});
  const Request request = request_of(prompt_of(100), -1);
  const Answer alone = run_alone(request, {.context_tokens = 128});
  for (int round = 0; round < 3; ++round) {
    auto handle = engine->submit(testing::copy_of(request)).value();
    run_until_idle(*engine);
    EXPECT_EQ(collect(handle).tokens, alone.tokens) << "round " << round;
    EXPECT_TRUE(engine->is_consistent());
  }
  EXPECT_EQ(model.complaint(), "");
}

TEST(EnginePrefix, the_next_turn_of_a_chat_finds_the_last_answer) {
  FakeModel model({.tells_kinds_apart = false});
  const auto engine = make_engine(model);
  auto tokens = prompt_of(100);
  auto first = engine->submit(request_of(tokens, 100)).value();
  run_until_idle(*engine);
  for (const TokenId token : collect(first).tokens) tokens.push_back(token);
  tokens.push_back(3);
  auto second = engine->submit(request_of(tokens, 2)).value();
  run_until_idle(*engine);
  EXPECT_EQ(second.finished(), false);
  (void)collect(second);
  EXPECT_EQ(second.stats().cached_tokens, 199);
  EXPECT_EQ(model.complaint(), "");
}

TEST(EnginePrefix, the_next_turn_of_a_chat_goes_on_in_the_middle_of_a_page) {
  FakeModel model({.tells_kinds_apart = false});
  const auto engine = make_engine(model);
  auto tokens = prompt_of(60);
  auto first = engine->submit(request_of(tokens, 52)).value();
  run_until_idle(*engine);
  for (const TokenId token : collect(first).tokens) tokens.push_back(token);
  for (int i = 0; i < 30; ++i) tokens.push_back(3);
  const Request next = request_of(tokens, 2);
  auto second = engine->submit(testing::copy_of(next)).value();
  run_until_idle(*engine);
  EXPECT_EQ(collect(second).tokens.size(), 2U);
  EXPECT_EQ(second.stats().cached_tokens, 110) << "of 111 that were computed: no chunk of one row";
  EXPECT_EQ(model.complaint(), "");
}

TEST(EnginePrefix, with_the_cache_off_nothing_is_found) {
  FakeModel model;
  const auto engine = make_engine(model, {.prefix_cache = false});
  for (int round = 0; round < 2; ++round) {
    auto handle = engine->submit(request_of(prompt_of(100), 2)).value();
    run_until_idle(*engine);
    (void)collect(handle);
    EXPECT_EQ(handle.stats().cached_tokens, 0);
  }
  EXPECT_EQ(engine->metrics().pages_cached, 0U);
}

// --- many at once

TEST(EngineBatch, chunks_stay_within_the_budget_and_decoding_goes_on_beside_them) {
  FakeModel model;
  const auto engine = make_engine(model, {.batch_tokens_max = 256, .batch_tokens_mixed = 32});
  auto decoding = engine->submit(request_of(prompt_of(10), 1000)).value();
  engine->step();
  (void)collect(decoding);
  auto prompt = engine->submit(request_of(prompt_of(640, 5), 1)).value();
  for (int step = 0; step < 20; ++step) {
    model.rows_max = 0;
    engine->step();
    EXPECT_EQ(model.rows_max, 33U) << "half a page of the prompt";
    EXPECT_EQ(collect(decoding).tokens.size(), 1U) << "a token in every step";
  }
  EXPECT_THAT(collect(prompt).ends, ElementsAre(FinishReason::length));
  decoding.cancel();
  auto alone = engine->submit(request_of(prompt_of(640, 9), 1)).value();
  model.rows_max = 0;
  run_until_idle(*engine);
  EXPECT_EQ(model.rows_max, 256U);
}

TEST(EngineBatch, what_is_cached_of_a_prompt_does_not_make_it_a_long_one) {
  FakeModel model;
  const auto engine = make_engine(model, {.batch_tokens_max = 256, .batch_tokens_mixed = 32});
  auto tokens = prompt_of(640, 5);
  auto first = engine->submit(request_of(tokens, 1)).value();
  run_until_idle(*engine);
  auto decoding = engine->submit(request_of(prompt_of(10), 1000)).value();
  engine->step();
  tokens[600] = 17;
  auto second = engine->submit(request_of(tokens, 1)).value();
  model.rows_max = 0;
  engine->step();
  EXPECT_EQ(model.rows_max, 640U - 600U + 1U) << "the rest of it in one step";
  EXPECT_THAT(collect(second).ends, ElementsAre(FinishReason::length));
  EXPECT_EQ(second.stats().cached_tokens, 600);
  EXPECT_EQ(model.complaint(), "");
}

TEST(EngineBatch, prompts_begin_beside_answers_together_and_after_enough_steps_without_any) {
  FakeModel model;
  const auto engine = make_engine(
      model, {.batch_tokens_max = 256, .batch_tokens_mixed = 32, .steps_between_prompts = 4});
  auto decoding = engine->submit(request_of(prompt_of(10), 1000)).value();
  engine->step();
  std::vector<RequestHandle> prompts;
  std::vector<size_t> rows;
  for (int step = 0; step < 12; ++step) {
    if (step == 1 || step == 3 || step == 6) {
      prompts.push_back(engine->submit(request_of(prompt_of(100, step), 1)).value());
    }
    model.rows_max = 0;
    engine->step();
    rows.push_back(model.rows_max);
  }
  EXPECT_THAT(rows, ElementsAre(1, 1, 1, 1, 201, 1, 1, 1, 1, 101, 1, 1));
  for (RequestHandle& prompt : prompts)
    EXPECT_THAT(collect(prompt).ends, ElementsAre(FinishReason::length));
  EXPECT_EQ(collect(decoding).tokens.size(), 13U) << "a token in every step";
}

TEST(EngineBatch, a_prompt_that_has_begun_goes_on_in_every_step_and_others_join_it) {
  FakeModel model;
  const auto engine = make_engine(
      model, {.batch_tokens_max = 64, .batch_tokens_mixed = 32, .steps_between_prompts = 100});
  auto prompt = engine->submit(request_of(prompt_of(160, 5), 1)).value();
  engine->step();  // 64 of it while nobody receives tokens
  auto short_one = engine->submit(request_of(prompt_of(10), 1000)).value();
  engine->step();
  engine->step();
  EXPECT_EQ(collect(prompt).ends.size(), 1U);
  EXPECT_EQ(collect(short_one).tokens.size(), 1U) << "what was left of the last step's rows";
}

TEST(EngineBatch, requests_whose_pages_would_run_out_wait_instead_of_being_preempted) {
  FakeModel model;
  const auto engine = make_engine(model, {.context_tokens = 256, .kv_pages = 6});
  std::vector<RequestHandle> handles;
  for (int i = 0; i < 4; ++i) {
    handles.push_back(engine->submit(request_of(prompt_of(60, i), 100)).value());  // 3 pages each
  }
  engine->step();
  EXPECT_EQ(engine->metrics().sequences_running, 2U);
  run_until_idle(*engine);
  for (RequestHandle& handle : handles) EXPECT_EQ(collect(handle).tokens.size(), 100U);
  EXPECT_EQ(engine->metrics().preemptions, 0U);
}

TEST(EngineBatch, a_preempted_request_continues_with_the_same_answer) {
  // Longer answers than are promised pages at admission: both run, until one must give way.
  const EngineOptions options{.context_tokens = 640, .kv_pages = 12, .cache_answers = false};
  std::vector<Request> requests;
  requests.push_back(request_of(prompt_of(60), -1));
  requests.push_back(request_of(prompt_of(65, 9), 500));
  FakeModel model;
  const auto engine = make_engine(model, options);
  std::vector<RequestHandle> handles;
  for (const Request& request : requests)
    handles.push_back(engine->submit(testing::copy_of(request)).value());
  run_until_idle(*engine);
  for (size_t i = 0; i < 2; ++i)
    EXPECT_EQ(collect(handles[i]).tokens, run_alone(requests[i], options).tokens);
  EXPECT_EQ(handles[0].stats().preemptions, 0) << "the older one goes on";
  EXPECT_GE(handles[1].stats().preemptions, 1);
  EXPECT_EQ(model.complaint(), "");
}

TEST(EngineBatch, clients_take_turns) {
  FakeModel model;
  const auto engine = make_engine(model, {.sequences_max = 2});
  std::vector<RequestHandle> greedy;
  for (int i = 0; i < 6; ++i) {
    Request request = request_of(prompt_of(5, i), 5);
    request.client = "greedy";
    greedy.push_back(engine->submit(testing::copy_of(request)).value());
  }
  Request request = request_of(prompt_of(5, 50), 5);
  request.client = "modest";
  auto modest = engine->submit(testing::copy_of(request)).value();
  for (int i = 0; i < 5; ++i) engine->step();
  EXPECT_THAT(collect(modest).ends, ElementsAre(FinishReason::length))
      << "it was among the first two to run";
  EXPECT_THAT(collect(greedy[0]).ends, ElementsAre(FinishReason::length));
  EXPECT_THAT(collect(greedy[1]).ends, IsEmpty());
  run_until_idle(*engine);
}

TEST(EngineBatch, a_seed_gives_the_same_answer_whatever_runs_beside_it) {
  Request request = request_of(prompt_of(70), 30);
  request.sampling.temperature = 1.2F;
  request.sampling.seed = 99;
  request.sampling.repetition_penalty = 1.2F;
  const Answer alone = run_alone(request);
  FakeModel model;
  const auto engine = make_engine(model, {.batch_tokens_max = 64});
  std::vector<RequestHandle> others;
  for (int i = 0; i < 5; ++i) {
    Request other = request_of(prompt_of(30 + 40 * static_cast<size_t>(i), i), 25);
    other.sampling.temperature = 1;
    others.push_back(engine->submit(testing::copy_of(other)).value());
    engine->step();
  }
  auto handle = engine->submit(testing::copy_of(request)).value();
  run_until_idle(*engine);
  EXPECT_EQ(collect(handle).tokens, alone.tokens);
  request.sampling.seed = 100;
  EXPECT_NE(run_alone(request).tokens, alone.tokens);
}

TEST(EngineBatch, requests_without_a_seed_differ_from_each_other) {
  FakeModel model;
  const auto engine = make_engine(model);
  Request request = request_of(prompt_of(10), 30);
  request.sampling.temperature = 2;
  request.sampling.top_p = 1;
  auto a = engine->submit(testing::copy_of(request)).value();
  auto b = engine->submit(testing::copy_of(request)).value();
  run_until_idle(*engine);
  EXPECT_NE(collect(a).tokens, collect(b).tokens);
}

}  // namespace
}  // namespace squish
