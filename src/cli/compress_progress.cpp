#include "cli/compress_progress.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "hub/local_model.h"

namespace squish::cli {
namespace {

constexpr auto kDrawInterval = std::chrono::milliseconds(100);
constexpr auto kLineInterval = std::chrono::seconds(15);
constexpr int kBarColumns = 24;

}  // namespace

std::string CompressProgress::line(std::string_view stage, std::string_view tensor, uint64_t done,
                                   uint64_t total, double rate) const {
  std::string out = fmt::format("{:<9} ", stage);
  if (total > 0) {
    const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    if (terminal_.talk_is_terminal()) {
      const int filled = static_cast<int>(share * kBarColumns);
      std::string bar;
      for (int i = 0; i < kBarColumns; ++i) bar += i < filled ? "█" : "·";
      out += terminal_.paint_talk(Role::accent, bar) + " ";
    }
    out += fmt::format("{:3.0f} %  {} of {}", 100 * share, human_bytes(done), human_bytes(total));
    if (rate > 0) {
      out += fmt::format("  {}/s  {} left", human_bytes(static_cast<uint64_t>(rate)),
                         clock_text(static_cast<double>(total - std::min(done, total)) / rate));
    }
    out += "  ";
  }
  return out + printable(tensor, 60);
}

void CompressProgress::on_progress(std::string_view stage, std::string_view tensor,
                                   uint64_t done_bytes, uint64_t total_bytes) {
  const auto now = std::chrono::steady_clock::now();
  // Reading the calibration text and coding take turns; together they are one piece of work.
  const std::string part(stage == "calibrate" ? "encode" : stage);
  const bool is_new = part != last_stage_;
  if (is_new) {
    last_stage_ = part;
    stage_start_ = now;
    first_done_ = done_bytes;
  }
  const bool is_terminal = terminal_.talk_is_terminal() && !is_json_;
  const auto interval = is_terminal || is_json_ ? std::chrono::nanoseconds(kDrawInterval)
                                                : std::chrono::nanoseconds(kLineInterval);
  if (!is_new && now - last_ < interval) return;
  last_ = now;
  const std::chrono::duration<double> seconds = now - stage_start_;
  const double rate = seconds.count() > 0.5 && done_bytes > first_done_
                          ? static_cast<double>(done_bytes - first_done_) / seconds.count()
                          : 0;
  if (is_json_) {
    print_json_line(Value::dict({{"event", "progress"},
                                 {"stage", std::string(stage)},
                                 {"tensor", json_text(tensor)},
                                 {"done_bytes", json_count(done_bytes)},
                                 {"total_bytes", json_count(total_bytes)},
                                 {"bytes_per_second", json_number(rate)}}));
    return;
  }
  const std::string text = line(stage, tensor, done_bytes, total_bytes, rate);
  if (!is_terminal) {
    talk(text + "\n");
    return;
  }
  talk("\r\x1b[K" + text);
  is_drawn_ = true;
}

void CompressProgress::on_note(std::string_view line) {
  if (is_json_) {
    print_json_line(Value::dict({{"event", "note"}, {"text", json_text(line)}}));
    return;
  }
  clear();
  talk(fmt::format("{} {}\n", terminal_.paint_talk(Role::warning, "·"), line));
}

void CompressProgress::clear() {
  if (is_drawn_) talk("\r\x1b[K");
  is_drawn_ = false;
}

std::string compress_output_stem(const std::string& model_path) {
  std::string path = model_path;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (!path.ends_with(".gguf")) return path;
  const size_t slash = path.rfind('/');
  const size_t begin = slash == std::string::npos ? 0 : slash + 1;
  const hub::SplitName split = hub::parse_split_name(std::string_view(path).substr(begin));
  if (split.count > 0) return path.substr(0, begin) + split.stem;
  return path.substr(0, path.size() - 5);
}

Result<std::string> default_output(const Context& context, const hub::LocalModel& model,
                                   const std::string& given, std::string_view suffix) {
  const bool is_path = given.find('/') != std::string::npos || given.ends_with(".gguf") ||
                       given.starts_with('.') || given.starts_with('~');
  if (is_path) return fmt::format("{}-{}", compress_output_stem(model.path), suffix);
  SQ_TRY(const hub::Paths paths, context.paths());
  std::string name = model.id;
  for (char& c : name) {
    if (c == ':' || c == '/') c = '-';
  }
  return fmt::format("{}/{}-{}", paths.models, name, suffix);
}

}  // namespace squish::cli
