#pragma once
// Finds the first of several stop strings in a text that arrives in pieces.
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace squish {

/// One thread. Cost: one comparison for each byte and stop string.
class StopMatcher {
 public:
  StopMatcher() = default;
  /// At most limits::kStopStringsMax strings of 1 to limits::kStopStringBytesMax bytes. Errors:
  /// invalid_argument.
  static Result<StopMatcher> create(const std::vector<std::string>& stops);

  /// Takes `piece`, gives back all text not given yet that cannot become part of a stop string. A
  /// stop string counts as soon as it is complete; of several that end at the same byte, the
  /// longest. Then the text ends before it, and further calls give nothing.
  std::string push(std::string_view piece);
  /// At the end of the text: what was held back, which did not become a stop string.
  std::string flush();
  /// Index in `stops` of the one that was found.
  [[nodiscard]] std::optional<size_t> matched() const { return matched_; }

 private:
  /// Knuth, Morris, Pratt: how much of the stop string the text ends with.
  struct Pattern {
    std::string text;
    std::vector<size_t>
        fallback;  // [i]: the longest proper prefix of text that text[0..i] ends with
    size_t length = 0;
  };
  static void advance(Pattern& pattern, char byte);

  std::vector<Pattern> patterns_;
  std::string held_;  // ends with the longest prefix of a stop string
  std::optional<size_t> matched_;
};

}  // namespace squish
