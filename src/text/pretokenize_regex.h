#pragma once
// A compiled regular expression (PCRE2, UTF and Unicode properties, JIT where the machine has it).
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace squish::text {

/// Immutable after compile(); search() may run on many threads.
class Regex {
 public:
  /// `pattern` in the common subset of Oniguruma and Perl syntax. Errors: unsupported with PCRE2's
  /// words.
  static Result<Regex> compile(const std::string& pattern);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// Scratch for one thread.
  class Scratch {
   public:
    explicit Scratch(const Regex& regex);
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

   private:
    friend class Regex;
    void* match_data_;
  };

  /// First non-empty match at or behind `from`: [begin, end). Nothing when there is none, and also
  /// when a pattern with nested repeats runs into the step limit (1,000,000): the rest then counts
  /// as unmatched.
  std::optional<std::pair<size_t, size_t>> search(std::string_view text, size_t from,
                                                  Scratch& scratch) const;

 private:
  Regex() = default;
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace squish::text
