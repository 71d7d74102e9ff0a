#pragma once
// A thought that may take so many tokens: then it is closed, and the answer goes on.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/constraint.h"
#include "text/tokenizer.h"

namespace squish {

/// Leaves the thought and the answer to the model, or to the constraint inside, but for the tokens
/// of "</think>" once the thought has `token_count` tokens: these have no alternative, so they cost
/// rows of one step and no step of their own. Only a <think> at the start of the answer counts, as
/// in ReasoningSplitter. Borrows the tokenizer.
class ThoughtBudget final : public Constraint {
 public:
  /// `is_open`: the prompt ends inside the thought. `model_size`: tokens that the model gives
  /// logits for. `inner` may be null: any token.
  ThoughtBudget(const Tokenizer& tokenizer, size_t model_size, int32_t token_count, bool is_open,
                std::unique_ptr<Constraint> inner);

  std::span<const uint32_t> allowed() override;
  bool accept(TokenId token) override;
  void rollback(int32_t count) override;
  bool must_end() override;
  [[nodiscard]] bool is_over() const override;
  std::optional<TokenId> forced() override;

 private:
  enum class State : uint8_t { start, thinking, closing, answer };
  /// How far the answer is.
  struct Progress {
    State state = State::start;
    int32_t thought_count = 0;  // tokens
    size_t closing_count = 0;   // of closing_, taken
    std::string text = {};      // the start; in a thought its last few bytes
  };
  void follow(TokenId token);

  const Tokenizer& tokenizer_;
  const int32_t budget_;
  const std::unique_ptr<Constraint> inner_;
  std::vector<TokenId> closing_;  // what ends the thought
  std::vector<uint32_t> mask_;    // of the closing token that comes next
  Progress now_;
  std::vector<Progress> before_;  // each token that was taken
};

}  // namespace squish
