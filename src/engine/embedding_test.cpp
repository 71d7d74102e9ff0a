// Embeddings through the scheduler: the same vector alone, in a crowd, in any chunks and after a
// preemption.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/testing/fake_model.h"

namespace squish {
namespace {

using testing::FakeModel;
using testing::FakeModelOptions;

Request text_of(int32_t count, int32_t first, Pooling pooling = Pooling::mean) {
  Request request;
  for (int32_t i = 0; i < count; ++i) request.tokens.push_back((first * 7 + i * i) % 61);
  request.embedding = EmbeddingWish{.pooling = pooling};
  return request;
}

std::unique_ptr<Engine> made(Model& model, const EngineOptions& options = {}) {
  return std::move(Engine::create(model, options)).value();
}

std::vector<float> finished(RequestHandle& handle) {
  const auto event = handle.try_next();
  EXPECT_TRUE(event.has_value() && event->is_terminal()) << "no tokens, one end";
  if (!handle.finished()) return {};
  EXPECT_EQ(event->finish, FinishReason::stop);
  return handle.embedding();
}

std::vector<float> alone(const Request& request, const EngineOptions& options = {},
                         const FakeModelOptions& kind = {}) {
  FakeModel model(kind);
  const auto engine = made(model, options);
  auto handle = engine->submit(testing::copy_of(request)).value();
  while (!engine->idle()) engine->step();
  EXPECT_EQ(model.complaint(), "");
  return finished(handle);
}

TEST(EngineEmbedding, mean_is_the_mean_of_all_states_and_cls_and_last_are_the_ends) {
  constexpr FakeModelOptions kAlike = {.tells_kinds_apart = false};
  // Causal states: the last state of a text's beginning is that beginning's own.
  std::vector<double> sum(FakeModel::kHidden);
  for (int32_t count = 1; count <= 70; ++count) {
    const auto last = alone(text_of(count, 3, Pooling::last), {}, kAlike);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(last[i]);
  }
  const auto mean = alone(text_of(70, 3), {}, kAlike);
  for (size_t i = 0; i < sum.size(); ++i) EXPECT_NEAR(mean[i], sum[i] / 70, 1e-6);
  EXPECT_EQ(alone(text_of(70, 3, Pooling::cls), {}, kAlike),
            alone(text_of(1, 3, Pooling::last), {}, kAlike));
}

TEST(EngineEmbedding, the_size_of_the_steps_does_not_change_a_vector) {
  for (const Pooling pooling : {Pooling::mean, Pooling::cls, Pooling::last}) {
    for (const int32_t count : {1, 2, 64, 65, 129, 300}) {
      const Request request = text_of(count, 1, pooling);
      EXPECT_EQ(alone(request, {.batch_tokens_max = 64}), alone(request)) << count;
    }
  }
}

TEST(EngineEmbedding, in_a_crowd_with_answers_and_short_of_pages_each_vector_is_its_own) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 generator(seed);
    const auto pick = [&](int32_t low, int32_t high) {
      return std::uniform_int_distribution<int32_t>(low, high)(generator);
    };
    FakeModel model;
    const auto engine = made(model, {.context_tokens = 400,
                                     .kv_pages = pick(7, 12),
                                     .batch_tokens_max = 64 * pick(1, 4),
                                     .batch_tokens_mixed = 64,
                                     .sequences_max = pick(1, 6)});
    std::vector<Request> requests;
    std::vector<RequestHandle> handles;
    for (int i = 0; i < 20; ++i) {
      Request request = text_of(pick(1, 300), pick(0, 2), static_cast<Pooling>(pick(0, 2)));
      if (pick(0, 2) == 0) request.embedding.reset();
      request.sampling.temperature = 0;
      request.sampling.max_tokens = pick(1, 90);
      requests.push_back(testing::copy_of(request));
      handles.push_back(engine->submit(testing::copy_of(request)).value());
      if (pick(0, 3) == 0) engine->step();
    }
    for (int step = 0; step < 10'000 && !engine->idle(); ++step) {
      engine->step();
      ASSERT_EQ(model.complaint(), "");
      ASSERT_TRUE(engine->is_consistent());
    }
    ASSERT_TRUE(engine->idle());
    uint64_t embeddings = 0;
    for (size_t i = 0; i < requests.size(); ++i) {
      if (!requests[i].embedding) continue;
      ++embeddings;
      EXPECT_EQ(finished(handles[i]), alone(requests[i])) << i;
    }
    EXPECT_EQ(engine->metrics().embeddings, embeddings);
    EXPECT_EQ(engine->metrics().pages_used, 0U);
  }
}

TEST(EngineEmbedding, answers_go_on_while_long_texts_are_read) {
  FakeModel model;
  const auto engine = made(model, {.context_tokens = 2048});
  Request chat = text_of(20, 0);
  chat.embedding.reset();
  chat.sampling.max_tokens = 30;
  auto answer = engine->submit(testing::copy_of(chat)).value();
  engine->step();
  std::vector<RequestHandle> texts;
  for (int i = 0; i < 8; ++i) texts.push_back(engine->submit(text_of(1000, i)).value());
  for (int i = 0; i < 29; ++i) {
    model.rows_max = 0;
    engine->step();
    EXPECT_LE(model.rows_max, 129U) << "a step is as short as with other prompts";
  }
  int tokens = 0;
  while (auto event = answer.try_next()) tokens += event->is_terminal() ? 0 : 1;
  EXPECT_EQ(tokens, 30) << "one token in each step";
}

TEST(EngineEmbedding, an_encoder_gets_whole_texts_and_scores_pairs) {
  constexpr FakeModelOptions kEncoder = {.context_length = 512, .is_encoder = true};
  FakeModel model(kEncoder);
  // Steps of 64 tokens would cut: an encoder's are as long as its context.
  const auto engine = made(model, {.batch_tokens_max = 64, .batch_tokens_mixed = 64});
  EXPECT_EQ(engine->context_tokens(), 512);
  std::vector<Request> requests;
  std::vector<RequestHandle> handles;
  for (const int32_t count : {1, 65, 512, 300, 2, 129}) {
    requests.push_back(text_of(count, count));
    handles.push_back(engine->submit(testing::copy_of(requests.back())).value());
  }
  Request pair = text_of(50, 2);
  pair.embedding = EmbeddingWish{.wants_score = true, .second_begin = 20};
  auto score = engine->submit(testing::copy_of(pair)).value();
  while (!engine->idle()) engine->step();
  EXPECT_EQ(model.complaint(), "");
  for (size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ(finished(handles[i]), alone(requests[i], {}, kEncoder)) << i;
  EXPECT_EQ(finished(score).size(), 1U);
}

TEST(EngineEmbedding, what_a_model_does_not_make_is_refused_by_name) {
  FakeModel encoder({.is_encoder = true});
  Request chat = text_of(3, 0);
  chat.embedding.reset();
  EXPECT_EQ(made(encoder)->submit(testing::copy_of(chat)).error().code, ErrorCode::unsupported);
  FakeModel decoder;
  Request pair = text_of(3, 0);
  pair.embedding->wants_score = true;
  EXPECT_EQ(made(decoder)->submit(testing::copy_of(pair)).error().code, ErrorCode::unsupported);
  const auto error = made(decoder, {.context_tokens = 64})->submit(text_of(65, 0)).error();
  EXPECT_EQ(error.code, ErrorCode::refused);
  EXPECT_NE(error.message.find("65"), std::string::npos);
}

TEST(EngineEmbedding, a_text_that_is_cancelled_ends_without_a_vector) {
  FakeModel model;
  const auto engine = made(model, {.context_tokens = 1000});
  auto handle = engine->submit(text_of(900, 1)).value();
  engine->step();
  handle.cancel();
  engine->step();
  const auto event = handle.try_next();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->finish, FinishReason::cancelled);
  EXPECT_TRUE(handle.embedding().empty());
  EXPECT_EQ(engine->metrics().embeddings, 0U);
}

}  // namespace
}  // namespace squish
