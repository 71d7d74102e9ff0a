#include "cli/eval_chart.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"

namespace squish::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kReportsMax = 1000;

std::optional<double> number_below(const Value& value,
                                   std::initializer_list<std::string_view> keys) {
  const Value* found = find_below(value, keys);
  if (found == nullptr) return std::nullopt;
  if (found->is_integer()) return static_cast<double>(found->as_integer());
  if (found->is_floating()) return found->as_floating();
  return std::nullopt;
}

struct KeptReport {
  std::string baseline_path;
  std::string baseline;
  ChartPoint point;
};

/// What a report file says about KL, if it is one and does.
std::optional<KeptReport> read_report(const std::string& path) {
  const auto text = read_file(path, limits::kConfigBytesMax);
  if (!text) return std::nullopt;
  const auto report = parse_json(text.value());
  if (!report) return std::nullopt;
  const auto kl = number_below(report.value(), {"raw_results", "wikitext2", "paired", "kl_mean"});
  const auto bytes = number_below(report.value(), {"bytes"});
  if (!kl || !bytes || *bytes < 1) return std::nullopt;
  return KeptReport{text_below(report.value(), {"baseline", "model_path"}),
                    text_below(report.value(), {"baseline", "model"}),
                    {text_below(report.value(), {"model"}), *bytes, *kl}};
}

/// Reports in the order of their names, which end in their times.
std::vector<std::string> report_files(const std::string& directory) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with("lmeval_") && name.ends_with(".json")) out.push_back(at->path().string());
    if (out.size() == kReportsMax) break;
  }
  std::ranges::sort(out);
  return out;
}

std::vector<KeptReport> read_reports(const std::string& directory) {
  std::vector<KeptReport> out;
  for (const std::string& path : report_files(directory)) {
    if (auto report = read_report(path)) out.push_back(std::move(*report));
  }
  return out;
}

/// Those of the baseline of the last one; of each model the newest.
Chart chart_of(const std::vector<KeptReport>& kept) {
  std::map<std::string, ChartPoint> newest;
  for (const KeptReport& report : kept) {
    if (report.baseline_path == kept.back().baseline_path)
      newest[report.point.label] = report.point;
  }
  Chart out{kept.back().baseline, {}};
  for (auto& entry : newest) out.points.push_back(std::move(entry.second));
  return out;
}

}  // namespace

Result<Chart> chart_beside(const EvalReport& report, const std::string& directory) {
  if (!report.text || !report.text->pair || !report.baseline) {
    return Error{ErrorCode::invalid_argument,
                 "--chart draws KL divergence against size: it needs the task wikitext2 and a "
                 "--baseline with the same vocabulary"};
  }
  std::vector<KeptReport> kept;
  if (!directory.empty()) kept = read_reports(directory);
  kept.push_back(
      {report.baseline->path,
       report.baseline->id,
       {report.model.id, static_cast<double>(report.model.bytes), report.text->pair->kl_mean}});
  return chart_of(kept);
}

Result<Chart> chart_of_directory(const std::string& directory) {
  const std::vector<KeptReport> kept = read_reports(directory);
  if (kept.empty()) {
    return Error{ErrorCode::not_found,
                 fmt::format("{} has no report (lmeval_*.json) with a KL divergence; `squish eval "
                             "MODEL --baseline M --tasks wikitext2 --output-dir {}` makes one",
                             printable(directory, 200), printable(directory, 200))};
  }
  return chart_of(kept);
}

}  // namespace squish::cli
