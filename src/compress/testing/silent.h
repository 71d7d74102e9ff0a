#pragma once
// For tests: a listener to compressions that keeps quiet, and a cancel that never does.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "compress/compress.h"

namespace squish::compress {

/// Expects that no more is done than there is; counts the steps and keeps the notes.
class Silent final : public ProgressSink {
 public:
  void on_progress(std::string_view, std::string_view, uint64_t done, uint64_t total) override {
    EXPECT_LE(done, total);
    ++steps;
  }
  void on_note(std::string_view line) override { notes.emplace_back(line); }
  size_t steps = 0;
  std::vector<std::string> notes;
};

inline bool never() { return false; }

}  // namespace squish::compress
