#pragma once
// A transfer on stderr: one line that is drawn again on a terminal, else a line every few seconds.
#include <chrono>
#include <string>

#include "cli/term.h"
#include "hub/progress.h"

namespace squish::cli {

class ProgressLine final : public hub::ProgressSink {
 public:
  explicit ProgressLine(const Terminal& terminal) : terminal_(terminal) {}
  ~ProgressLine() override { clear(); }
  void on_progress(const hub::Progress& progress) override;
  void on_note(std::string_view line) override;
  /// Takes the bar off the screen.
  void clear();

 private:
  [[nodiscard]] std::string bar(const hub::Progress& progress) const;
  [[nodiscard]] std::string plain(const hub::Progress& progress) const;

  const Terminal& terminal_;
  bool is_drawn_ = false;
  std::string last_file_;
  hub::Stage last_stage_ = hub::Stage::resolve;
  bool is_complete_ = false;  // the last line said 100 %
  std::chrono::steady_clock::time_point last_line_;
};

/// One JSON object per line on stdout: {"event": "progress" | "note", ...}.
class ProgressEvents final : public hub::ProgressSink {
 public:
  void on_progress(const hub::Progress& progress) override;
  void on_note(std::string_view line) override;
};

/// "2:05", "1:02:05"; "--:--" when it is not known.
std::string clock_text(double seconds);

}  // namespace squish::cli
