#include "cli/progress.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "cli/json.h"

namespace squish::cli {
namespace {

constexpr auto kPlainInterval = std::chrono::seconds(5);
constexpr int kBarColumnsMax = 40;
constexpr int kBarColumnsMin = 8;

double share_of(const hub::Progress& progress) {
  if (progress.total_bytes == 0) return 0;
  return std::min(
      1.0, static_cast<double>(progress.done_bytes) / static_cast<double>(progress.total_bytes));
}

double seconds_left(const hub::Progress& progress) {
  if (progress.bytes_per_second <= 0 || progress.total_bytes < progress.done_bytes) return -1;
  return static_cast<double>(progress.total_bytes - progress.done_bytes) /
         progress.bytes_per_second;
}

std::string rate_text(const hub::Progress& progress) {
  if (progress.bytes_per_second <= 0) return "";
  return human_bytes(static_cast<uint64_t>(progress.bytes_per_second)) + "/s";
}

/// `columns` cells, the last filled one by eighths.
std::string cells(double share, int columns) {
  constexpr std::array<std::string_view, 8> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(share * 8 * columns);
  std::string out;
  for (int i = 0; i < eighths / 8; ++i) out += "█";
  out += kEighths[static_cast<size_t>(eighths % 8)];
  const int used = eighths / 8 + (eighths % 8 == 0 ? 0 : 1);
  return out + std::string(static_cast<size_t>(columns - used), ' ');
}

}  // namespace

std::string clock_text(double seconds) {
  if (!(seconds >= 0) || seconds > 360'000) return "--:--";
  const auto whole = static_cast<int>(seconds + 0.5);
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string ProgressLine::bar(const hub::Progress& progress) const {
  const int width = terminal_.width() - 1;
  const std::string what = fmt::format("{:<8}", name_of(progress.stage));
  const std::string figures =
      progress.total_bytes == 0
          ? fmt::format(" {} {}", human_bytes(progress.done_bytes), rate_text(progress))
          : fmt::format(" {:3.0f} %  {} of {}  {}  {} left", 100 * share_of(progress),
                        human_bytes(progress.done_bytes), human_bytes(progress.total_bytes),
                        rate_text(progress), clock_text(seconds_left(progress)));
  const int room = width - display_width(what) - display_width(figures) - 4;
  const int bar_columns = std::min(kBarColumnsMax, room);
  if (bar_columns < kBarColumnsMin)
    return fit(what + figures, std::min(width, display_width(what + figures)));
  const int name_columns = std::clamp(room - bar_columns - 1, 0, 40);
  const std::string name =
      name_columns < 8 ? "" : fit(printable(progress.file), name_columns) + " ";
  return fmt::format(
      "{} {}{}{}", what, name,
      terminal_.paint_talk(Role::accent, "▕" + cells(share_of(progress), bar_columns) + "▏"),
      figures);
}

std::string ProgressLine::plain(const hub::Progress& progress) const {
  std::string out = fmt::format("{} {}: {}", name_of(progress.stage), printable(progress.file),
                                human_bytes(progress.done_bytes));
  if (progress.total_bytes > 0) {
    out += fmt::format(" of {} ({:.0f} %)", human_bytes(progress.total_bytes),
                       100 * share_of(progress));
  }
  if (const std::string rate = rate_text(progress); !rate.empty()) out += fmt::format(", {}", rate);
  if (const double left = seconds_left(progress); left > 0)
    out += fmt::format(", {} left", clock_text(left));
  return out;
}

void ProgressLine::on_progress(const hub::Progress& progress) {
  if (progress.file.empty()) return;
  if (terminal_.talk_is_terminal()) {
    talk("\r\x1b[K" + bar(progress));
    is_drawn_ = true;
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  const bool is_new = progress.file != last_file_ || progress.stage != last_stage_;
  const bool is_complete = progress.total_bytes > 0 && progress.done_bytes >= progress.total_bytes;
  if (!is_new && now - last_line_ < kPlainInterval && (!is_complete || is_complete_)) return;
  if (!is_new && is_complete && is_complete_) return;
  last_file_ = progress.file;
  last_stage_ = progress.stage;
  last_line_ = now;
  is_complete_ = is_complete;
  talk(plain(progress) + "\n");
}

void ProgressLine::on_note(std::string_view line) {
  clear();
  talk(fmt::format("{} {}\n", terminal_.paint_talk(Role::warning, "·"), line));
}

void ProgressLine::clear() {
  if (is_drawn_) talk("\r\x1b[K");
  is_drawn_ = false;
}

void ProgressEvents::on_progress(const hub::Progress& progress) {
  print_json_line(
      Value::dict({{"event", "progress"},
                   {"stage", name_of(progress.stage)},
                   {"file", json_text(progress.file)},
                   {"done_bytes", json_count(progress.done_bytes)},
                   {"total_bytes",
                    progress.total_bytes == 0 ? Value::none() : json_count(progress.total_bytes)},
                   {"bytes_per_second", progress.bytes_per_second}}));
}

void ProgressEvents::on_note(std::string_view line) {
  print_json_line(Value::dict({{"event", "note"}, {"text", json_text(line)}}));
}

}  // namespace squish::cli
