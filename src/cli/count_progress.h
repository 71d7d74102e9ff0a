#pragma once
// Work that is counted, on stderr: one line that is drawn again on a terminal, else a line now and
// then.
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "cli/term.h"

namespace squish::cli {

class CountProgress {
 public:
  explicit CountProgress(const Terminal& terminal) : terminal_(terminal) {}
  ~CountProgress() { clear(); }
  CountProgress(const CountProgress&) = delete;
  CountProgress& operator=(const CountProgress&) = delete;

  /// `done` of `total` of `unit` ("questions") of the piece of work `label`. A new label starts the
  /// clock anew.
  void step(std::string_view label, std::string_view unit, uint64_t done, uint64_t total);
  /// Takes the line off the screen.
  void clear();

 private:
  const Terminal& terminal_;
  std::string label_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_;
  bool is_drawn_ = false;
};

}  // namespace squish::cli
