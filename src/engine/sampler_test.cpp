#include "engine/sampler.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <span>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/random.h"
#include "engine/testing/sample_plain.h"
#include "engine/vector_scan.h"
#include "engine/vector_scan_isa.h"

namespace squish {
namespace {

using testing::is_plain_draw;
using testing::plain_distribution;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

SamplingParams plain_params(float temperature) {
  SamplingParams params;
  params.temperature = temperature;
  params.top_p = 1;
  return params;
}

std::vector<float> normal_logits(std::mt19937_64& generator, size_t size, float spread) {
  std::normal_distribution<float> distribution(0, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = distribution(generator);
  return logits;
}

TokenId sample_one(std::vector<float> logits, const SamplingParams& params, uint64_t position = 0) {
  Sampler sampler(logits.size());
  return sampler.sample({.logits = logits, .tokens = {}, .seed = 1, .position = position}, params)
      .value()
      .token;
}

// --- one parameter at a time

TEST(Sampler, temperature_0_takes_the_likeliest_and_of_equals_the_lowest_id) {
  EXPECT_EQ(sample_one({0, 5, 3, 5}, plain_params(0)), 1);
  EXPECT_EQ(sample_one({kNan, -kInfinity, -3, kNan, -3}, plain_params(0)), 2);
  EXPECT_EQ(sample_one({1, kInfinity, 2, kInfinity}, plain_params(1)), 1);
  std::vector<float> flat(1000, -7.0F);
  EXPECT_EQ(sample_one(flat, plain_params(0)), 0);
  flat[999] = -6.5F;
  EXPECT_EQ(sample_one(flat, plain_params(0)), 999);
}

TEST(Sampler, without_any_possible_token_it_reports_an_error) {
  const std::vector<uint32_t> none(1, 0);
  for (const float temperature : {0.0F, 1.0F}) {
    std::vector<float> logits = {kNan, -kInfinity, kNan};
    Sampler sampler(logits.size());
    const auto nan = sampler.sample({.logits = logits, .tokens = {}}, plain_params(temperature));
    ASSERT_FALSE(nan);
    EXPECT_EQ(nan.error().code, ErrorCode::internal);
    logits = {1, 2, 3};
    EXPECT_FALSE(sampler.sample({.logits = logits, .tokens = {}, .allowed = none},
                                plain_params(temperature)));
    EXPECT_TRUE(sampler.sample({.logits = logits, .tokens = {}}, plain_params(temperature)))
        << "it works again";
  }
}

TEST(Sampler, top_k_of_1_is_greedy) {
  SamplingParams params = plain_params(2);
  params.top_k = 1;
  for (uint64_t position = 0; position < 50; ++position)
    EXPECT_EQ(sample_one({1, 2, 2, 1}, params, position), 1);
}

TEST(Sampler, top_p_0_keeps_one_token_and_1_keeps_all) {
  SamplingParams params = plain_params(1);
  params.top_p = 0;
  std::vector<int> seen(3);
  for (uint64_t position = 0; position < 200; ++position)
    EXPECT_EQ(sample_one({0, 0.5F, 0.4F}, params, position), 1);
  params.top_p = 1;
  for (uint64_t position = 0; position < 200; ++position) {
    ++seen[static_cast<size_t>(sample_one({0, 0.5F, 0.4F}, params, position))];
  }
  EXPECT_THAT(seen, ::testing::Each(::testing::Gt(20)));
}

TEST(Sampler, top_p_keeps_the_token_that_crosses_the_bound_and_ties_by_lowest_id) {
  SamplingParams params = plain_params(1);
  params.top_p = 0.5F;  // four equal tokens: exactly two reach it
  std::vector<int> seen(4);
  for (uint64_t position = 0; position < 200; ++position) {
    ++seen[static_cast<size_t>(sample_one({1, 1, 1, 1}, params, position))];
  }
  EXPECT_GT(seen[0], 50);
  EXPECT_GT(seen[1], 50);
  EXPECT_EQ(seen[2] + seen[3], 0);
}

TEST(Sampler, bias_of_100_forces_and_of_minus_100_bans) {
  SamplingParams params = plain_params(1);
  params.logit_bias = {{2, 100}};
  for (uint64_t position = 0; position < 50; ++position)
    EXPECT_EQ(sample_one({9, 9, -9, 9}, params, position), 2);
  params.logit_bias = {{0, -100}, {1, -100}};
  for (uint64_t position = 0; position < 50; ++position)
    EXPECT_EQ(sample_one({30, 20, 1}, params, position), 2);
}

TEST(Sampler, penalties_look_where_they_should) {
  Sampler sampler(4);
  const std::vector<TokenId> tokens = {0, 1, 2, 2};  // prompt 0 1, answer 2 2
  const auto greedy = [&](std::vector<float> logits, const SamplingParams& params) {
    return sampler.sample({.logits = logits, .tokens = tokens, .prompt_count = 2}, params)
        .value()
        .token;
  };
  SamplingParams params = plain_params(0);
  params.repetition_penalty = 2;
  EXPECT_EQ(greedy({4, 4, 4, 2.5F}, params), 3) << "prompt and answer are both penalized";
  EXPECT_EQ(greedy({-1, -1, -1, -1.5F}, params), 3) << "a negative logit is multiplied";
  params.repeat_last_n = 2;
  EXPECT_EQ(greedy({4, 4.5F, 8, 2.5F}, params), 1)
      << "the window holds the last two only: 8 / 2 < 4.5";
  params.repeat_last_n = 0;
  EXPECT_EQ(greedy({4, 4, 8, 2.5F}, params), 2);
  params = plain_params(0);
  params.presence_penalty = 1;
  EXPECT_EQ(greedy({4, 4.4F, 5.2F, 0}, params), 1)
      << "once, whatever the count, and not for the prompt";
  params.presence_penalty = 0;
  params.frequency_penalty = 1;
  EXPECT_EQ(greedy({4, 4.4F, 6.2F, 0}, params), 1) << "for each time: 6.2 - 2 < 4.4";
  params.frequency_penalty = -1;
  EXPECT_EQ(greedy({4, 4.4F, 2.6F, 0}, params), 2) << "a negative penalty favours";
}

TEST(Sampler, logits_are_restored_and_logprobs_are_those_of_the_model) {
  std::vector<float> logits = {1, 2, 3, kNan};
  const std::vector<float> before = logits;
  const std::vector<TokenId> tokens = {0, 2};
  SamplingParams params = plain_params(0);
  params.repetition_penalty = 1.7F;
  params.frequency_penalty = 0.5F;
  params.logit_bias = {{2, -50}, {1, 1}, {1, 1}};
  params.logprobs = true;
  params.top_logprobs = 2;
  Sampler sampler(4);
  const auto sample =
      sampler.sample({.logits = logits, .tokens = tokens, .prompt_count = 1}, params);
  ASSERT_TRUE(sample);
  EXPECT_EQ(0, std::memcmp(before.data(), logits.data(), sizeof(float) * 4));
  EXPECT_EQ(sample->token, 1);
  const double log_total = std::log(std::exp(1.0) + std::exp(2.0) + std::exp(3.0));
  EXPECT_NEAR(static_cast<double>(sample->logprob), 2 - log_total, 1e-6);
  ASSERT_EQ(sample->top.size(), 2U);
  EXPECT_EQ(sample->top[0].token, 2);
  EXPECT_NEAR(static_cast<double>(sample->top[0].logprob), 3 - log_total, 1e-6);
  EXPECT_EQ(sample->top[1].token, 1);
}

TEST(Sampler, the_mask_comes_before_everything_else) {
  std::vector<float> logits(100, 0.0F);
  logits[70] = 50;
  std::vector<uint32_t> allowed(4, 0);
  allowed[1] = 1U << 3;  // token 35
  allowed[3] = 1U << 1;  // token 97
  SamplingParams params = plain_params(1);
  params.logit_bias = {{70, 100}};
  Sampler sampler(100);
  std::vector<int> seen(100);
  for (uint64_t position = 0; position < 100; ++position) {
    const SampleInput input{
        .logits = logits, .tokens = {}, .allowed = allowed, .seed = 3, .position = position};
    ++seen[static_cast<size_t>(sampler.sample(input, params).value().token)];
  }
  EXPECT_EQ(seen[35] + seen[97], 100);
  EXPECT_GT(seen[35], 25);
  EXPECT_GT(seen[97], 25);
}

TEST(Sampler, the_draw_depends_on_seed_and_position_alone) {
  std::mt19937_64 generator(5);
  const auto logits_a = normal_logits(generator, 500, 1);
  Sampler used(500);
  Sampler fresh(500);
  auto noise = normal_logits(generator, 500, 3);
  for (uint64_t position = 0; position < 50; ++position) {
    auto logits = logits_a;
    (void)used.sample({.logits = noise, .tokens = {}, .seed = position}, plain_params(1));
    const SampleInput input{.logits = logits, .tokens = {}, .seed = 9, .position = position};
    EXPECT_EQ(used.sample(input, plain_params(1)).value().token,
              fresh.sample(input, plain_params(1)).value().token);
  }
}

// --- against the plain implementation

SamplingParams random_params(std::mt19937_64& generator, size_t size) {
  const auto chance = [&](double p) { return std::bernoulli_distribution(p)(generator); };
  const auto uniform = [&](float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(generator);
  };
  const auto integer = [&](size_t high) {
    return static_cast<int32_t>(std::uniform_int_distribution<size_t>(0, high)(generator));
  };
  SamplingParams params = plain_params(chance(0.1) ? 0 : uniform(0.05F, 2));
  if (chance(0.4)) params.top_k = integer(chance(0.5) ? 50 : size + 10);
  if (chance(0.5)) params.top_p = uniform(0, 1);
  if (chance(0.4)) params.min_p = uniform(0, 1) * uniform(0, 1);
  if (chance(0.3)) params.typical_p = uniform(0.05F, 1);
  if (chance(0.3)) params.repetition_penalty = uniform(0.5F, 2);
  if (chance(0.3)) params.repeat_last_n = integer(40) - 1;
  if (chance(0.3)) params.presence_penalty = uniform(-2, 2);
  if (chance(0.3)) params.frequency_penalty = uniform(-2, 2);
  for (int32_t i = chance(0.3) ? integer(5) : 0; i > 0; --i) {
    params.logit_bias.push_back({integer(size - 1), uniform(-100, 100)});
  }
  return params;
}

TEST(SamplerEquality, thousands_of_random_cases_agree_with_sorting_everything) {
  std::mt19937_64 generator(2026);
  const auto pick = [&](size_t low, size_t high) {
    return std::uniform_int_distribution<size_t>(low, high)(generator);
  };
  int boundary_cases = 0;
  for (int round = 0; round < 6000; ++round) {
    const size_t size = round % 10 == 0   ? pick(1, 5)
                        : round % 10 == 1 ? pick(5000, 20000)
                                          : pick(2, 1500);
    auto logits =
        normal_logits(generator, size, std::uniform_real_distribution<float>(0.1F, 8)(generator));
    if (round % 5 == 0) {  // ties
      for (float& logit : logits) logit = std::round(logit * 2) / 2;
    }
    if (round % 7 == 0) {
      for (size_t i = 0; i < size; i += pick(1, 9)) logits[i] = i % 2 == 0 ? kNan : -kInfinity;
    }
    const SamplingParams params = random_params(generator, size);
    std::vector<TokenId> tokens(pick(1, 60));
    for (TokenId& token : tokens) token = static_cast<TokenId>(pick(0, size - 1));
    std::vector<uint32_t> allowed;
    if (round % 4 == 0) {
      allowed.resize((size + 31) / 32);
      for (uint32_t& word : allowed) word = static_cast<uint32_t>(generator());
    }
    const SampleInput input{.logits = logits,
                            .tokens = tokens,
                            .prompt_count = pick(0, tokens.size()),
                            .allowed = allowed,
                            .seed = generator(),
                            .position = pick(0, 1000)};
    const auto expected = plain_distribution(input, params);
    Sampler sampler(size);
    const auto sample = sampler.sample(input, params);
    ASSERT_EQ(sample.has_value(), !expected.empty()) << "round " << round;
    if (!sample) continue;
    const double draw = uniform_draw(input.seed, 0, input.position);
    boundary_cases += sample->token != testing::plain_draw(expected, draw) ? 1 : 0;
    ASSERT_TRUE(is_plain_draw(expected, draw, sample->token, 1e-5))
        << "round " << round << ": token " << sample->token << ", " << expected.size()
        << " left, draw " << draw;
  }
  EXPECT_LE(boundary_cases, 3) << "only draws within rounding of a boundary may differ";
}

TEST(SamplerEquality, draws_follow_the_distribution_that_the_filters_leave) {
  std::mt19937_64 generator(11);
  for (int round = 0; round < 12; ++round) {
    const size_t size = 400;
    auto logits = normal_logits(generator, size, 2);
    SamplingParams params = plain_params(0.8F);
    if (round % 4 == 1) params.top_k = 20;
    if (round % 4 == 2) params.top_p = 0.8F;
    if (round % 4 == 3) params.typical_p = 0.6F;
    if (round >= 8) params.min_p = 0.05F;
    Sampler sampler(size);
    const auto expected = plain_distribution({.logits = logits, .tokens = {}}, params);
    constexpr int kDraws = 40'000;
    std::vector<int> seen(size);
    for (uint64_t position = 0; position < kDraws; ++position) {
      const SampleInput input{.logits = logits, .tokens = {}, .seed = 77, .position = position};
      ++seen[static_cast<size_t>(sampler.sample(input, params).value().token)];
    }
    double chi_square = 0;
    double rest_expected = 0;  // bins under 10 go together, as the test wants it
    double rest_seen = 0;
    int freedom = 0;
    int total_seen = 0;
    for (const auto& entry : expected) {
      const double mean = entry.probability * kDraws;
      const double count = seen[static_cast<size_t>(entry.token)];
      total_seen += seen[static_cast<size_t>(entry.token)];
      if (mean < 10) {
        rest_expected += mean;
        rest_seen += count;
      } else {
        chi_square += (count - mean) * (count - mean) / mean;
        ++freedom;
      }
    }
    EXPECT_EQ(total_seen, kDraws) << "round " << round << ": a filtered token was drawn";
    if (rest_expected > 10) {
      chi_square += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
      ++freedom;
    }
    // Mean `freedom`, variance twice that: 4.5 sigma.
    EXPECT_LT(chi_square, freedom + 4.5 * std::sqrt(2.0 * freedom)) << "round " << round;
  }
}

TEST(VectorScan, exp_is_within_its_bound_and_0_where_it_says) {
  double worst = 0;
  for (float x = -29.99F; x <= 0; x += 0.0007F) {
    const double exact = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(exp_negative(x)) - exact) / exact);
  }
  EXPECT_LT(worst, 0x1p-21);
  EXPECT_EQ(exp_negative(0), 1.0F);
  for (const float x : {kExpFloor, -1e9F, -kInfinity, kNan}) EXPECT_EQ(exp_negative(x), 0.0F) << x;
}

TEST(VectorScan, maxima_and_sums_are_right_at_every_size_around_a_block) {
  std::mt19937_64 generator(3);
  for (size_t size = 1; size < 200; ++size) {
    auto values = normal_logits(generator, size, 3);
    values[generator() % size] = kNan;
    if (size > 1) values[0] = 1;
    std::vector<float> block_max(scan_block_count(size));
    std::vector<double> block_sum(block_max.size());
    const float max = scan_max(values, block_max);
    if (size == 1) continue;
    float expected = -kInfinity;
    for (const float value : values) expected = std::fmax(expected, value);
    EXPECT_EQ(max, expected);
    double sum = 0;
    for (const float value : values)
      sum += std::isnan(value) ? 0 : std::exp(static_cast<double>(value - max));
    EXPECT_NEAR(scan_exp_sum(values, block_max, max, 1, block_sum), sum, sum * 1e-6);
    EXPECT_EQ(find_first(values, max),
              static_cast<size_t>(std::ranges::find(values, max) - values.begin()));
  }
}

/// Median over some calls, printed. The bound is loose: machines differ and tests share them.
/// All that a table makes of a row, as bits.
std::vector<uint32_t> bits_of(const scan::ScanTable& table, const std::vector<float>& values,
                              float factor) {
  std::vector<float> block_max(scan_block_count(values.size()));
  std::vector<double> block_sum(block_max.size());
  std::vector<float> weights = values;
  const float max = table.max(values.data(), values.size(), block_max.data());
  block_sum.push_back(
      table.exp_sum(values.data(), values.size(), block_max.data(), max, factor, block_sum.data()));
  table.exp_in_place(weights.data(), weights.size(), max, factor);
  block_max.push_back(max);
  std::vector<uint32_t> bits(block_max.size() + weights.size() + 2 * block_sum.size());
  uint32_t* at = bits.data();
  for (const auto bytes : {std::as_bytes(std::span(block_max)), std::as_bytes(std::span(weights)),
                           std::as_bytes(std::span(block_sum))}) {
    std::memcpy(at, bytes.data(), bytes.size());
    at += bytes.size() / sizeof(uint32_t);
  }
  return bits;
}

TEST(VectorScan, every_instruction_set_gives_the_same_bits_at_every_size) {
  std::mt19937_64 generator(4);
  std::vector<size_t> sizes(300);
  std::iota(sizes.begin(), sizes.end(), 1);
  sizes.insert(sizes.end(), {1023, 4097, 50'257, 151'936});
  for (const size_t size : sizes) {
    auto values = normal_logits(generator, size, 9);
    if (size % 3 == 0) values[generator() % size] = kNan;
    if (size % 5 == 0) values[generator() % size] = -kInfinity;
    if (size % 7 == 0) {
      values.assign(size, -0.0F);
      values[generator() % size] = 0;
    }
    const float factor = 1 / (0.1F + static_cast<float>(size % 17) / 8);
    const auto expected = bits_of(*usable_scan_tables().front(), values, factor);
    for (const scan::ScanTable* table : usable_scan_tables())
      ASSERT_EQ(bits_of(*table, values, factor), expected) << table->name << ", " << size;
  }
}

TEST(VectorScan, an_exponential_alone_is_that_of_its_vector) {
  std::vector<float> values(997);
  for (size_t i = 0; i < values.size(); ++i) values[i] = -0.0317F * static_cast<float>(i);
  auto weights = values;
  exp_in_place(weights, 0, 1);
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(exp_negative(values[i]), weights[i]) << i;
}

TEST(SamplerTiming, stays_within_its_budget_at_152k_tokens) {
  constexpr size_t kVocabulary = 151'936;
  std::mt19937_64 generator(1);
  auto logits = normal_logits(generator, kVocabulary, 2.5F);
  auto flat = logits;  // thousands of tokens share the 0.9
  for (int i = 0; i < 40; ++i)
    logits[generator() % kVocabulary] += 8;  // some likely ones, as a trained model has
  std::vector<TokenId> tokens(2000);
  for (TokenId& token : tokens) token = static_cast<TokenId>(generator() % kVocabulary);
  SamplingParams usual = plain_params(0.7F);
  usual.top_p = 0.9F;
  SamplingParams all = usual;
  all.top_k = 40;
  all.min_p = 0.05F;
  all.repetition_penalty = 1.1F;
  all.frequency_penalty = 0.1F;
  SamplingParams min_p = plain_params(1);
  min_p.min_p = 0.05F;
  SamplingParams typical = plain_params(1);
  typical.typical_p = 0.9F;
  SamplingParams logprobs = plain_params(0);
  logprobs.top_logprobs = 20;
  struct Case {
    const char* name;
    SamplingParams params;
    double limit_us;
    std::vector<float>* logits;
  };
  Sampler sampler(kVocabulary);
  const std::vector<Case> cases = {{"greedy", plain_params(0), 40, &logits},
                                   {"temperature", plain_params(1), 250, &logits},
                                   {"top_p 0.9", usual, 250, &logits},
                                   {"top_p 0.9, flat", usual, 500, &flat},
                                   {"all filters and penalties", all, 250, &logits},
                                   {"min_p", min_p, 250, &logits},
                                   {"typical_p without top_k", typical, 2500, &logits},
                                   {"greedy, top_logprobs 20", logprobs, 250, &logits}};
  for (const Case& c : cases) {
    std::vector<double> times;
    for (uint64_t i = 0; i < 31; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      const auto sample = sampler.sample(
          {.logits = *c.logits, .tokens = tokens, .prompt_count = 1000, .seed = 5, .position = i},
          c.params);
      times.push_back(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
              .count());
      ASSERT_TRUE(sample);
    }
    std::ranges::sort(times);
    printf("%-28s %8.1f us\n", c.name, times[times.size() / 2]);
#ifdef __OPTIMIZE__
    EXPECT_LT(times[0], 20 * c.limit_us) << c.name;
#endif
  }
}

}  // namespace
}  // namespace squish
