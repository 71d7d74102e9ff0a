#pragma once
// Where the time goes between the start of the program and the first token.
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace squish {

/// Phases one after the other. One thread.
class StartupTrace {
 public:
  struct Phase {
    std::string_view name;
    double ms = 0;
  };

  StartupTrace() : begin_(std::chrono::steady_clock::now()), last_(begin_) {}

  /// Ends a phase: what passed since the last mark (or the construction) is `name`'s. `name` must
  /// be a literal.
  void mark(std::string_view name);
  [[nodiscard]] const std::vector<Phase>& phases() const { return phases_; }
  [[nodiscard]] double total_ms() const;
  /// One line per phase, for SQUISH_TRACE_STARTUP=1.
  [[nodiscard]] std::string report() const;

 private:
  std::chrono::steady_clock::time_point begin_;
  std::chrono::steady_clock::time_point last_;
  std::vector<Phase> phases_;
};

}  // namespace squish
