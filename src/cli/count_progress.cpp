#include "cli/count_progress.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/progress.h"

namespace squish::cli {
namespace {

constexpr auto kDrawInterval = std::chrono::milliseconds(100);
constexpr auto kLineInterval = std::chrono::seconds(15);
constexpr int kBarColumns = 24;

}  // namespace

void CountProgress::step(std::string_view label, std::string_view unit, uint64_t done,
                         uint64_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (label != label_) {
    label_ = label;
    start_ = now;
    last_ = now;
  }
  const bool is_terminal = terminal_.talk_is_terminal();
  const auto interval = is_terminal ? std::chrono::nanoseconds(kDrawInterval)
                                    : std::chrono::nanoseconds(kLineInterval);
  if (now - last_ < interval) return;
  last_ = now;
  const std::chrono::duration<double> seconds = now - start_;
  const double rate = static_cast<double>(done) / std::max(1e-9, seconds.count());
  const double share = total == 0 ? 0 : static_cast<double>(done) / static_cast<double>(total);
  std::string line = fmt::format("{}  ", label);
  if (is_terminal) {
    std::string bar;
    for (int i = 0; i < kBarColumns; ++i)
      bar += i < static_cast<int>(share * kBarColumns) ? "█" : "·";
    line += terminal_.paint_talk(Role::accent, bar) + " ";
  }
  line += fmt::format("{} of {} {}", done, total, unit);
  if (done > 0) {
    line += fmt::format("  {:.1f}/s  {} left", rate,
                        clock_text(static_cast<double>(total - std::min(done, total)) / rate));
  }
  talk(is_terminal ? "\r\x1b[K" + line : line + "\n");
  is_drawn_ = is_terminal;
}

void CountProgress::clear() {
  if (is_drawn_) talk("\r\x1b[K");
  is_drawn_ = false;
}

}  // namespace squish::cli
