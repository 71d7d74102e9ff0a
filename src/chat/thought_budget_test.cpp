#include "chat/thought_budget.h"

#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/testing/byte_tokenizer.h"

namespace squish {
namespace {

constexpr size_t kModelSize = 300;
TokenId token_of(char c) { return 1 + static_cast<unsigned char>(c); }

/// Lets only one byte come, for as long as it is asked.
class Only final : public Constraint {
 public:
  explicit Only(char c) : token_(token_of(c)) {}
  std::span<const uint32_t> allowed() override {
    mask_.assign((kModelSize + 31) / 32, 0U);
    mask_[static_cast<size_t>(token_) / 32] |= 1U << (token_ % 32);
    return mask_;
  }
  bool accept(TokenId token) override {
    taken.push_back(token);
    return true;
  }
  void rollback(int32_t count) override { taken.resize(taken.size() - static_cast<size_t>(count)); }
  bool must_end() override { return false; }
  std::optional<TokenId> forced() override { return std::nullopt; }
  std::vector<TokenId> taken;

 private:
  TokenId token_;
  std::vector<uint32_t> mask_;
};

/// What comes when the model would write `script`: bytes that the budget forces stand in between.
std::string written(ThoughtBudget& budget, std::string_view script) {
  std::string out;
  for (const char c : script) {
    while (const auto forced = budget.forced()) {
      EXPECT_EQ(budget.allowed()[static_cast<size_t>(*forced) / 32], 1U << (*forced % 32));
      EXPECT_FALSE(budget.accept(token_of('x'))) << "nothing else may come";
      EXPECT_TRUE(budget.accept(*forced));
      out += static_cast<char>(*forced - 1);
    }
    EXPECT_FALSE(budget.must_end());
    EXPECT_TRUE(budget.accept(token_of(c)));
    out += c;
  }
  return out;
}

class ThoughtBudgetTest : public ::testing::Test {
 protected:
  std::unique_ptr<ThoughtBudget> made(int32_t count, bool is_open,
                                      std::unique_ptr<Constraint> inner = nullptr) {
    return std::make_unique<ThoughtBudget>(tokenizer_, kModelSize, count, is_open,
                                           std::move(inner));
  }
  Tokenizer tokenizer_ = testing::byte_tokenizer();
};

TEST_F(ThoughtBudgetTest, a_thought_that_is_too_long_is_closed_and_the_answer_goes_on) {
  const auto budget = made(5, true);
  EXPECT_EQ(written(*budget, "abcdefgh"), "abcde\n</think>\n\nfgh");
  EXPECT_TRUE(budget->is_over());
  EXPECT_TRUE(budget->allowed().empty()) << "any token";
}

TEST_F(ThoughtBudgetTest, a_thought_that_ends_by_itself_is_left_alone) {
  const auto budget = made(20, true);
  EXPECT_EQ(written(*budget, "ab</think>the answer is much longer than twenty tokens"),
            "ab</think>the answer is much longer than twenty tokens");
  EXPECT_TRUE(budget->is_over());
}

TEST_F(ThoughtBudgetTest, a_thought_that_the_model_opens_counts_from_there) {
  const auto budget = made(3, false);
  EXPECT_EQ(written(*budget, "\n<think>abcdef"), "\n<think>abc\n</think>\n\ndef");
}

TEST_F(ThoughtBudgetTest, an_answer_without_a_thought_is_free_from_its_first_token_on) {
  const auto budget = made(3, false);
  EXPECT_EQ(written(*budget, "H"), "H");
  EXPECT_TRUE(budget->is_over());
  EXPECT_EQ(written(*budget, "ello <think>is text here"), "ello <think>is text here");
}

TEST_F(ThoughtBudgetTest, a_constraint_inside_sees_every_token_and_holds_after_the_thought) {
  auto inner = std::make_unique<Only>('j');
  Only& seen = *inner;
  const auto budget = made(2, true, std::move(inner));
  EXPECT_EQ(written(*budget, "abj"), "ab\n</think>j") << "a grammar begins at once";
  EXPECT_EQ(seen.taken.size(), std::string_view("ab\n</think>j").size());
  EXPECT_FALSE(budget->is_over()) << "the constraint inside still holds";
  EXPECT_EQ(budget->allowed()[static_cast<size_t>(token_of('j')) / 32], 1U << (token_of('j') % 32));
}

TEST_F(ThoughtBudgetTest, tokens_taken_back_count_no_more) {
  const auto budget = made(4, true);
  EXPECT_EQ(written(*budget, "abc"), "abc");
  budget->rollback(2);
  EXPECT_EQ(written(*budget, "xyzq"), "xyz\n</think>\n\nq");
  written(*budget, "answer");  // as guesses are tried past the end of the thought
  budget->rollback(static_cast<int32_t>(std::string_view("yz\n</think>\n\nqanswer").size()));
  EXPECT_EQ(written(*budget, "1234"), "12\n</think>\n\n34");
}

}  // namespace
}  // namespace squish
