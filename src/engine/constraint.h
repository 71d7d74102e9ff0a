#pragma once
// What may follow in one answer. The engine asks; who answers knows the language of the answer.
#include <cstdint>
#include <optional>
#include <span>

#include "text/tokenizer.h"

namespace squish {

/// The state of one answer: it has taken the tokens that accept() was given. Engine thread only
/// once the request is submitted. It follows tokens, not pages, so that a preempted sequence keeps
/// it. The engine allocates nothing for it; an implementation may, for what it remembers of a
/// token.
class Constraint {
 public:
  virtual ~Constraint() = default;

  /// Which tokens may come next, end tokens among them where the answer may end here: bit (t % 32)
  /// of word t / 32, for every token of the model's vocabulary. Empty: any token. Valid until the
  /// next call of a changing function. Cost: a mask is computed by the first call after a
  /// change (docs/structured-output.md has the times), later calls are free.
  virtual std::span<const uint32_t> allowed() = 0;
  /// Takes a token that allowed() allows. False, and nothing taken, for any other.
  virtual bool accept(TokenId token) = 0;
  /// Takes back the last `count` tokens, at most those taken.
  virtual void rollback(int32_t count) = 0;
  /// The answer is complete and nothing but its end can follow. As costly as allowed().
  virtual bool must_end() = 0;
  /// Whatever comes now may come: the engine may forget the constraint.
  [[nodiscard]] virtual bool is_over() const { return false; }
  /// The one token that may come next, when it is only one and no end token: no need to compute
  /// logits for it. As costly as allowed().
  virtual std::optional<TokenId> forced() = 0;
};

}  // namespace squish
