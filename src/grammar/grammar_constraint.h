#pragma once
// The state of one answer under a grammar, with the thought that may come before it.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/constraint.h"
#include "grammar/grammar.h"

namespace squish {

inline constexpr std::string_view kThoughtOpen = "<think>";
inline constexpr std::string_view kThoughtClose = "</think>";

/// `texts[i]`: bytes of token i. `model_size`: bits of a mask. `open`: the token <think>, or -1.
ThoughtTokens make_thought_tokens(const std::vector<std::string>& texts, size_t model_size,
                                  std::span<const TokenId> end_tokens, TokenId open);

/// In a thought any text may come, but not the end of the answer; after </think> the grammar holds.
class GrammarConstraint final : public Constraint {
 public:
  GrammarConstraint(std::shared_ptr<const CompiledMask> mask,
                    std::shared_ptr<const ThoughtTokens> thought_tokens, Grammar::Thought thought);

  std::span<const uint32_t> allowed() override;
  bool accept(TokenId token) override;
  void rollback(int32_t count) override;
  bool must_end() override;
  std::optional<TokenId> forced() override;

 private:
  void compute();
  void think(TokenId token);

  std::shared_ptr<const CompiledMask> compiled_;
  std::shared_ptr<const ThoughtTokens> tokens_;
  MaskState state_;
  Grammar::Thought thought_;              // of the token that comes next
  std::vector<uint8_t> close_lengths_;    // bytes of </think> at the end of the thought, by token
  int32_t grammar_count_ = 0;             // tokens that the grammar has taken
  const Grammar::Thought first_thought_;  // at the start
  std::vector<uint32_t> mask_;            // bit per token of the model
  bool is_current_ = false;
  size_t text_token_count_ = 0;  // allowed, without end tokens
  bool may_end_ = false;
};

}  // namespace squish
