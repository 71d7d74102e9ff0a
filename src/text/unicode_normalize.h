#pragma once
// The normalizer stages of tokenizers, over text that may hold invalid UTF-8 (such bytes pass
// unchanged).
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer_spec.h"

namespace squish::text {

/// Canonical composition. Fast where nothing can change (most text).
std::string to_nfc(std::string_view text);

/// A compiled chain of stages. Immutable; threads may share it.
class Normalizer {
 public:
  /// Borrows the maps inside `steps` (charsmap) only while they live in the returned object.
  static Result<Normalizer> create(std::vector<TextStep> steps);
  Normalizer();
  Normalizer(Normalizer&&) noexcept;
  Normalizer& operator=(Normalizer&&) noexcept;
  ~Normalizer();

  /// The normalized text: a view of `text` itself where no stage changes it, else of `scratch`.
  /// `at_start`: `text` is the beginning of the whole input. A chain that makes the text more than
  /// 64 times longer stops before the stage that does.
  std::string_view apply(std::string_view text, bool at_start, std::string& scratch) const;

 private:
  struct Stage;
  std::vector<Stage> stages_;
};

}  // namespace squish::text
