#include "evaluate/compare.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evaluate/distribution.h"
#include "evaluate/perplexity.h"
#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"

namespace squish {
namespace {

using squish::testing::LoadedModel;
using squish::testing::TemporaryDirectory;
using squish::testing::TinyModel;
using ::testing::HasSubstr;

TEST(Distribution, knows_the_best_two_and_the_normaliser) {
  const std::vector<float> logits = {1, 3, 3, -2};
  const Distribution row = distribution_of(logits);
  EXPECT_EQ(row.best, 1) << "ties go to the lowest id";
  EXPECT_EQ(row.best_logit, 3.0F);
  EXPECT_EQ(row.second_logit, 3.0F);
  EXPECT_NEAR(row.log_sum, std::log(std::exp(1.0) + 2 * std::exp(3.0) + std::exp(-2.0)), 1e-14);
  EXPECT_TRUE(row.is_valid());
}

TEST(Distribution, is_invalid_with_what_is_no_number) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(distribution_of(std::vector<float>{1, NAN}).is_valid());
  EXPECT_FALSE(distribution_of(std::vector<float>{NAN, NAN}).is_valid());
  EXPECT_FALSE(distribution_of(std::vector<float>{1, kInfinity}).is_valid());
  EXPECT_FALSE(distribution_of(std::vector<float>{-kInfinity, -kInfinity}).is_valid());
  EXPECT_TRUE(distribution_of(std::vector<float>{1, -kInfinity}).is_valid()) << "a masked token";
}

TEST(Distribution, of_a_pair_gives_the_divergence) {
  const std::vector<float> a = {std::log(0.5F), std::log(0.25F), std::log(0.25F)};
  const std::vector<float> b = {std::log(0.25F) + 7, std::log(0.5F) + 7, std::log(0.25F) + 7};
  const DistributionPair pair = compare_distributions(a, b);
  EXPECT_NEAR(pair.kl, 0.5 * std::log(2.0) + 0.25 * std::log(0.5), 1e-6);
  EXPECT_EQ(pair.first.best, 0);
  EXPECT_EQ(pair.second.best, 1);
  EXPECT_EQ(compare_distributions(a, a).kl, 0.0);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> masked = {0, -kInfinity};
  const std::vector<float> open = {0, 0};
  EXPECT_NEAR(compare_distributions(masked, open).kl, std::log(2.0), 1e-12);
  EXPECT_EQ(compare_distributions(open, masked).kl, kInfinity);
}

class Compare : public ::testing::Test {
 protected:
  TinyModel tiny{"qwen2"};
  TemporaryDirectory exact_directory;
  TemporaryDirectory other_directory;
  LoadedModel a{tiny.write_gguf(exact_directory, DType::f16), tiny.context_length()};
  LoadedModel same{tiny.write_hf(other_directory, DType::f32), tiny.context_length()};
  TinyModel other_tiny{"llama"};
  TemporaryDirectory llama_directory;
  LoadedModel b{other_tiny.write_gguf(llama_directory, DType::f16), other_tiny.context_length()};
  std::vector<TokenId> tokens = tiny.prompt();

  void SetUp() override {
    ASSERT_NE(a.model, nullptr);
    ASSERT_NE(same.model, nullptr);
    ASSERT_NE(b.model, nullptr);
  }

  static std::vector<double> log_softmax(std::span<const float> logits) {
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    std::vector<double> out;
    for (const float logit : logits) out.push_back(static_cast<double>(logit) - std::log(sum));
    return out;
  }
};

TEST_F(Compare, a_model_with_itself_differs_by_nothing) {
  const auto result = compare_models(*a.model, *same.model, tokens, {});
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->tokens, tokens.size() - 1);
  EXPECT_EQ(result->kl_mean, 0.0);
  EXPECT_EQ(result->kl_max, 0.0);
  EXPECT_EQ(result->top1_agreement, 1.0);
  EXPECT_EQ(result->perplexity_a, result->perplexity_b);
  EXPECT_EQ(result->log_ratio, 0.0);
  EXPECT_TRUE(result->is_complete);
}

TEST_F(Compare, equals_a_plain_computation_over_whole_sequences) {
  const std::vector<float> logits_a = a.run(tokens, tokens.size());
  const std::vector<float> logits_b = b.run(tokens, tokens.size());
  ASSERT_EQ(a.vocabulary(), b.vocabulary());
  constexpr size_t kFirst = 5;
  double kl = 0;
  double kl_max = 0;
  double loss_a = 0;
  double loss_b = 0;
  for (size_t row = kFirst; row + 1 < tokens.size(); ++row) {
    const auto p = log_softmax(std::span(logits_a).subspan(row * a.vocabulary(), a.vocabulary()));
    const auto q = log_softmax(std::span(logits_b).subspan(row * a.vocabulary(), a.vocabulary()));
    double here = 0;
    for (size_t i = 0; i < p.size(); ++i) here += std::exp(p[i]) * (p[i] - q[i]);
    kl += here;
    kl_max = std::max(kl_max, here);
    loss_a -= p[static_cast<size_t>(tokens[row + 1])];
    loss_b -= q[static_cast<size_t>(tokens[row + 1])];
  }
  const auto n = static_cast<double>(tokens.size() - 1 - kFirst);
  for (const size_t rows : {size_t{1}, size_t{7}, size_t{64}}) {
    ThreadPool pool(2);
    const auto result = compare_models(
        *a.model, *b.model, tokens, {.first_scored = kFirst, .rows_at_once = rows, .pool = &pool});
    ASSERT_TRUE(result.has_value()) << result.error().message;
    EXPECT_EQ(result->tokens, tokens.size() - 1 - kFirst);
    EXPECT_NEAR(result->kl_mean, kl / n, 1e-9);
    EXPECT_NEAR(result->kl_max, kl_max, 1e-6);
    EXPECT_NEAR(result->perplexity_a, std::exp(loss_a / n), 1e-6);
    EXPECT_NEAR(result->perplexity_b, std::exp(loss_b / n), 1e-6);
    EXPECT_NEAR(result->log_ratio, (loss_b - loss_a) / n, 1e-9);
    EXPECT_LE(result->kl_median, result->kl_p99);
    EXPECT_LE(result->kl_p99, result->kl_max);
  }
}

TEST_F(Compare, several_sequences_are_scored_each_from_its_own_start) {
  const std::vector<TokenId> short_one(tokens.begin(), tokens.begin() + 9);
  const std::vector<std::vector<TokenId>> both = {short_one, tokens};
  const auto together = compare_models(*a.model, *b.model, both, {});
  const auto first = compare_models(*a.model, *b.model, short_one, {});
  const auto second = compare_models(*a.model, *b.model, tokens, {});
  ASSERT_TRUE(together && first && second);
  const auto n = static_cast<double>(first->tokens);
  const auto m = static_cast<double>(second->tokens);
  EXPECT_EQ(together->tokens, first->tokens + second->tokens);
  EXPECT_NEAR(together->kl_mean, (n * first->kl_mean + m * second->kl_mean) / (n + m), 1e-12);
  EXPECT_LT(together->kl_interval.low, together->kl_mean);
  EXPECT_GT(together->kl_interval.high, together->kl_mean);
}

TEST_F(Compare, that_is_stopped_says_so_and_keeps_what_it_has) {
  CompareOptions options{.rows_at_once = 4};
  options.on_progress = [](uint64_t done, uint64_t total) {
    EXPECT_LE(done, total);
    return done < 8;
  };
  const auto part = compare_models(*a.model, *b.model, tokens, options);
  ASSERT_TRUE(part.has_value());
  EXPECT_FALSE(part->is_complete);
  EXPECT_EQ(part->tokens, 8U);
  options.first_scored = 20;
  const auto nothing = compare_models(*a.model, *b.model, tokens, options);
  ASSERT_FALSE(nothing.has_value());
  EXPECT_EQ(nothing.error().code, ErrorCode::cancelled);
}

TEST_F(Compare, bad_sequences_are_refused_with_the_reason) {
  const auto expect = [&](const std::vector<TokenId>& bad, const char* says) {
    const auto result = compare_models(*a.model, *b.model, bad, {});
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(result.error().message, HasSubstr(says));
  };
  expect({}, "at least 2 tokens, there are 0");
  expect({1}, "at least 2 tokens, there are 1");
  expect({1, 2, -1}, "token -1 is outside the vocabulary");
  expect({1, static_cast<TokenId>(a.vocabulary())}, "outside the vocabulary");
  expect(std::vector<TokenId>(100'000, 1), "more than");
  const auto empty =
      compare_models(*a.model, *b.model, std::span<const std::vector<TokenId>>(), {});
  ASSERT_FALSE(empty.has_value());
  EXPECT_THAT(empty.error().message, HasSubstr("no token to compare"));
}

TEST_F(Compare, perplexity_of_one_model_is_that_of_the_comparison) {
  constexpr size_t kContext = 8;
  std::vector<TokenId> text;
  for (int i = 0; i < 3; ++i) text.insert(text.end(), tokens.begin(), tokens.end());
  const auto alone = perplexity(*a.model, text, std::nullopt, {.context = kContext});
  const auto chunks = perplexity_chunks(text, std::nullopt, kContext, 0);
  ASSERT_TRUE(alone && chunks);
  const auto pair =
      compare_models(*a.model, *b.model, *chunks, {.first_scored = first_scored(kContext)});
  ASSERT_TRUE(pair.has_value());
  EXPECT_EQ(alone->chunks, chunks->size());
  EXPECT_EQ(alone->scored_tokens, chunks->size() * 3) << "positions 4, 5 and 6 of each 8";
  EXPECT_EQ(alone->scored_tokens, pair->tokens);
  EXPECT_NEAR(alone->perplexity, pair->perplexity_a, 1e-9);
  EXPECT_NEAR(alone->standard_error, pair->perplexity_a_error, 1e-9);
  EXPECT_LT(alone->interval.low, alone->perplexity);
  EXPECT_GT(alone->interval.high, alone->perplexity);
}

TEST_F(Compare, chunks_do_not_overlap_and_start_with_bos) {
  const std::vector<TokenId> text = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const auto chunks = perplexity_chunks(text, 0, 4, 0);
  ASSERT_TRUE(chunks.has_value());
  EXPECT_EQ(*chunks, (std::vector<std::vector<TokenId>>{{0, 2, 3, 4}, {0, 6, 7, 8}}));
  EXPECT_EQ(perplexity_chunks(text, 0, 4, 7)->size(), 1U);
  EXPECT_THAT(perplexity_chunks(text, 0, 3, 0).error().message, HasSubstr("below the least"));
  EXPECT_THAT(perplexity_chunks(text, 0, 10, 0).error().message, HasSubstr("9 tokens"));
}

}  // namespace
}  // namespace squish
