#include "evaluate/likelihood.h"

#include <cmath>
#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evaluate/multiple_choice.h"
#include "evaluate/request_encoder.h"
#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"

namespace squish {
namespace {

using squish::testing::LoadedModel;
using squish::testing::TemporaryDirectory;
using squish::testing::TinyModel;
using ::testing::HasSubstr;

using Groups = std::vector<std::vector<TokenRequest>>;

std::vector<TokenId> random_tokens(std::mt19937& random, size_t count) {
  std::vector<TokenId> out;
  for (size_t i = 0; i < count; ++i) out.push_back(static_cast<TokenId>(random() % 256));
  return out;
}

/// Questions of all shapes: a shared context, or none; choices of 1 to 90 tokens; choices that
/// begin alike; the same choice twice; contexts that end on a page, before it and after it.
Groups make_groups(size_t count) {
  std::mt19937 random(7);
  Groups groups;
  for (size_t i = 0; i < count; ++i) {
    std::vector<TokenRequest>& group = groups.emplace_back();
    constexpr std::array<size_t, 8> kContexts = {1, 2, 3, 20, 63, 64, 65, 130};
    const std::vector<TokenId> context = random_tokens(random, kContexts[i % kContexts.size()]);
    const size_t choices = 1 + random() % 5;
    for (size_t choice = 0; choice < choices; ++choice) {
      const bool is_own = i % 9 == 8;
      TokenRequest request{is_own ? random_tokens(random, 1 + random() % 30) : context, 0};
      request.scored = random() % 6 == 0 ? 90 : 1 + random() % 6;
      if (choice > 0 && random() % 3 == 0) {
        const std::vector<TokenId>& before = group.back().tokens;
        request.tokens.assign(before.end() - 1 - static_cast<ptrdiff_t>(group.back().scored),
                              before.end());
        request.tokens.insert(request.tokens.begin(), context.begin(), context.end() - 1);
        request.scored = request.tokens.size() - context.size();
      } else {
        const auto more = random_tokens(random, request.scored);
        request.tokens.insert(request.tokens.end(), more.begin(), more.end());
      }
      group.push_back(std::move(request));
    }
  }
  return groups;
}

std::vector<Likelihood> score_all(Model& model, const Groups& groups,
                                  const LikelihoodOptions& options = {}) {
  std::vector<Likelihood> out;
  const Status status =
      score_groups(model, groups, options, [&](size_t, std::span<const Likelihood> results) {
        out.insert(out.end(), results.begin(), results.end());
        return true;
      });
  EXPECT_TRUE(status.has_value()) << status.error().message;
  return out;
}

void expect_equal(const std::vector<Likelihood>& found, const std::vector<Likelihood>& expected,
                  const std::string& what) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].log_likelihood, expected[i].log_likelihood) << what << ", request " << i;
    ASSERT_EQ(found[i].is_greedy, expected[i].is_greedy) << what << ", request " << i;
  }
}

class Likelihoods : public ::testing::Test {
 protected:
  TinyModel tiny{"qwen2"};
  TemporaryDirectory directory;
  std::string path = tiny.write_gguf(directory, DType::q8_0);
};

TEST_F(Likelihoods, equal_a_plain_sum_over_the_whole_sequence) {
  LoadedModel loaded(path, tiny.context_length());
  ASSERT_NE(loaded.model, nullptr);
  const Groups groups = make_groups(18);
  const std::vector<Likelihood> found = score_all(*loaded.model, groups);
  size_t index = 0;
  for (const std::vector<TokenRequest>& group : groups) {
    for (const TokenRequest& request : group) {
      const std::vector<float> logits = loaded.run(request.tokens, 64);
      double sum = 0;
      bool is_greedy = true;
      for (size_t p = request.tokens.size() - 1 - request.scored; p + 1 < request.tokens.size();
           ++p) {
        const auto row = std::span(logits).subspan(p * loaded.vocabulary(), loaded.vocabulary());
        const auto target = static_cast<size_t>(request.tokens[p + 1]);
        double total = 0;
        for (const float logit : row) total += std::exp(static_cast<double>(logit));
        sum += static_cast<double>(row[target]) - std::log(total);
        is_greedy = is_greedy &&
                    std::ranges::max_element(row) - row.begin() == static_cast<ptrdiff_t>(target);
      }
      EXPECT_NEAR(found[index].log_likelihood, sum, 1e-9 * (1 + std::abs(sum)));
      EXPECT_EQ(found[index].is_greedy, is_greedy);
      ++index;
    }
  }
  EXPECT_EQ(index, found.size());
}

TEST_F(Likelihoods, are_bitwise_the_same_however_they_are_batched) {
  const Groups groups = make_groups(27);
  Groups apart;  // every request by itself: nothing shared
  for (const auto& group : groups) {
    for (const TokenRequest& request : group) apart.push_back({request});
  }
  for (const std::string_view isa : available_isas()) {
    ThreadPool pool(2);
    Result<std::unique_ptr<Backend>> backend = make_cpu_backend(pool, isa);
    ASSERT_TRUE(backend.has_value());
    LoadedModel loaded(path, tiny.context_length(), std::move(backend).value());
    ASSERT_NE(loaded.model, nullptr);
    const std::vector<Likelihood> expected = score_all(*loaded.model, groups);
    const auto what = [&](const char* how) { return fmt::format("{}, {}", isa, how); };
    expect_equal(score_all(*loaded.model, apart), expected, what("one by one"));
    expect_equal(score_all(*loaded.model, groups, {.rows_at_once = 16}), expected,
                 what("16 rows at once"));
    expect_equal(score_all(*loaded.model, groups, {.rows_at_once = 17, .logit_bytes_max = 1}),
                 expected, what("17 rows, 16 of logits"));
    expect_equal(score_all(*loaded.model, groups, {.kv_bytes_max = 1}), expected,
                 what("one group at a time"));
    expect_equal(score_all(*loaded.model, groups, {.pool = &pool}), expected,
                 what("softmaxes on two threads"));
  }
}

TEST_F(Likelihoods, of_bad_requests_are_refused) {
  LoadedModel loaded(path, tiny.context_length());
  ASSERT_NE(loaded.model, nullptr);
  const auto error = [&](const TokenRequest& request) {
    const Status status = score_groups(*loaded.model, Groups{{request}}, {},
                                       [](size_t, std::span<const Likelihood>) { return true; });
    return status.has_value() ? "none" : status.error().message;
  };
  EXPECT_THAT(error({{1, 2}, 0}), HasSubstr("0 of 2 tokens"));
  EXPECT_THAT(error({{1, 2}, 2}), HasSubstr("2 of 2 tokens"));
  EXPECT_THAT(error({{}, 0}), HasSubstr("0 of 0 tokens"));
  EXPECT_THAT(error({{1, 300}, 1}), HasSubstr("token 300 is outside the vocabulary of 300"));
}

TEST_F(Likelihoods, end_when_the_caller_says_so) {
  LoadedModel loaded(path, tiny.context_length());
  ASSERT_NE(loaded.model, nullptr);
  size_t seen = 0;
  const Status status = score_groups(*loaded.model, make_groups(30), {.rows_at_once = 16},
                                     [&](size_t group, std::span<const Likelihood>) {
                                       EXPECT_EQ(group, seen);
                                       return ++seen < 4;
                                     });
  EXPECT_TRUE(status.has_value());
  EXPECT_EQ(seen, 4U);
}

class Encoder : public Likelihoods {
 protected:
  ModelFiles files = std::move(ModelFiles::open(path)).value();
  Tokenizer tokenizer = std::move(files.load_tokenizer("")).value();
};

TEST_F(Encoder, continuation_is_what_the_whole_has_beyond_the_context) {
  const RequestEncoder encoder(tokenizer, 1000);
  const auto request = encoder.encode({"ab", " cd"});
  ASSERT_TRUE(request.has_value()) << request.error().message;
  const auto whole = tokenizer.encode("ab cd", {.add_special = false});
  const auto context = tokenizer.encode("ab", {.add_special = false});
  const size_t bos = added_bos(tokenizer) ? 1 : 0;
  EXPECT_EQ(request->tokens.size(), whole.size() + bos);
  EXPECT_EQ(request->scored, whole.size() - context.size());
}

TEST_F(Encoder, space_at_the_end_of_the_context_moves_to_the_continuation) {
  const RequestEncoder encoder(tokenizer, 1000);
  const auto moved = encoder.encode({"ab \n", "cd"});
  const auto plain = encoder.encode({"ab", " \ncd"});
  ASSERT_TRUE(moved && plain);
  EXPECT_EQ(moved->tokens, plain->tokens);
  EXPECT_EQ(moved->scored, plain->scored);
}

TEST_F(Encoder, too_long_a_request_is_cut_from_the_left) {
  const RequestEncoder whole(tokenizer, 1000);
  const RequestEncoder cut(tokenizer, 5);
  const ChoiceText request = {"abcdefghijk", " lm"};
  const auto all = whole.encode(request);
  const auto some = cut.encode(request);
  ASSERT_TRUE(all && some);
  ASSERT_EQ(some->tokens.size(), 6U) << "five are read, the last only scored";
  EXPECT_TRUE(std::equal(some->tokens.rbegin(), some->tokens.rend(), all->tokens.rbegin()));
  EXPECT_EQ(some->scored, all->scored);
  const auto too_long = RequestEncoder(tokenizer, 2).encode({"a", " long choice"});
  ASSERT_FALSE(too_long.has_value());
  EXPECT_THAT(too_long.error().message, HasSubstr("the longest context is 2"));
  const auto empty = whole.encode({"a", ""});
  ASSERT_FALSE(empty.has_value());
  EXPECT_THAT(empty.error().message, HasSubstr("adds no token"));
}

TEST_F(Encoder, an_empty_context_is_the_token_that_texts_start_with) {
  const RequestEncoder encoder(tokenizer, 1000);
  const auto request = encoder.encode({"", "ab"});
  ASSERT_TRUE(request.has_value()) << request.error().message;
  EXPECT_EQ(request->tokens.front(), tokenizer.bos() ? *tokenizer.bos() : *tokenizer.eos());
  EXPECT_EQ(request->scored, request->tokens.size() - 1);
}

TEST(Choice, is_the_highest_by_each_rule_and_the_first_of_equals) {
  Question question;
  question.requests.resize(3);
  question.characters = {10, 2, 4};
  question.bytes = {10, 2, 40};
  question.gold = 2;
  const std::vector<Likelihood> choices = {{-10, false}, {-3, true}, {-4, false}};
  const QuestionAnswer answer = choose(question, choices);
  EXPECT_EQ(answer.plain, 1U);
  EXPECT_EQ(answer.by_char, 0U) << "-1 a character, as the third, which comes later";
  EXPECT_EQ(answer.by_byte, 2U);
  EXPECT_FALSE(is_right(answer, Metric::acc));
  EXPECT_FALSE(is_right(answer, Metric::acc_norm));
  EXPECT_TRUE(is_right(answer, Metric::acc_bytes));
  question.characters[0] = 0;
  EXPECT_EQ(choose(question, choices).by_char, 2U) << "an empty choice is never taken";
}

}  // namespace
}  // namespace squish
