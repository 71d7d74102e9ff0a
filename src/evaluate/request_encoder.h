#pragma once
// A context and its continuation as tokens, the way lm-eval does it.
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "evaluate/likelihood.h"
#include "evaluate/task.h"
#include "text/tokenizer.h"

namespace squish {

/// The token that the model's own files want before every text, if any.
std::optional<TokenId> added_bos(const Tokenizer& tokenizer);

/// White space at the end of the context belongs to the continuation; both together are encoded,
/// and what follows as many tokens as the context alone has is the continuation. Special tokens in
/// the text count as such; bos stands in front where added_bos() says so and the text does not have
/// it, eos never at the end. An empty context is bos, or eos in a vocabulary without. More than
/// `length_max` + 1 tokens are cut from the left: the last is scored but never read.
class RequestEncoder {
 public:
  /// Borrows the tokenizer. `length_max` at least 1.
  RequestEncoder(const Tokenizer& tokenizer, size_t length_max)
      : tokenizer_(tokenizer), length_max_(length_max), bos_(added_bos(tokenizer)) {}

  /// Errors: invalid_argument for a continuation of no tokens or of more than `length_max`, and for
  /// an empty context where the vocabulary has neither bos nor eos.
  [[nodiscard]] Result<TokenRequest> encode(const ChoiceText& request) const;

 private:
  [[nodiscard]] std::vector<TokenId> encode_text(std::string_view text) const;
  const Tokenizer& tokenizer_;
  size_t length_max_;
  std::optional<TokenId> bos_;
};

}  // namespace squish
