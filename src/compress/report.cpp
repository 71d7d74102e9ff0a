#include "compress/report.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/hash.h"
#include "compress/router.h"
#include "format/json_edit.h"
#include "format/squish_directory.h"

namespace squish::compress {
namespace {

constexpr double kDecibelsMax = 200;

std::string member(std::string_view key, const std::string& value) {
  return fmt::format("{}: {}", json_quoted(key), value);
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string stats_of(const PlannedTensor& planned, const JournalEntry& entry) {
  const double weights = static_cast<double>(planned.source.shape.elements());
  std::vector<std::string> parts = {
      member("from", json_quoted(type_info(planned.source.dtype).name)),
      member("type", json_quoted(type_info(planned.target).name)),
      member("role", json_quoted(name_of(planned.source.place.role))),
      member("bytes", std::to_string(planned.bytes)),
      member("bits_per_weight",
             fmt::format("{:.4f}", 8 * static_cast<double>(planned.bytes) / weights))};
  if (type_info(planned.target).is_quantized) {
    parts.push_back(
        member("signal_to_error_db", fmt::format("{:.2f}", decibels(entry.energy, entry.error))));
  }
  if (entry.awq_exponent >= 0) {
    parts.push_back(member("awq_exponent", fmt::format("{:.2f}", entry.awq_exponent)));
  }
  if (planned.sensitivity >= 0) {
    parts.push_back(member("sensitivity_nats", fmt::format("{:.5g}", planned.sensitivity)));
    parts.push_back(member("feedback", fmt::format("{:.4f}", planned.feedback)));
  }
  if (entry.zero_rows > 0) {
    parts.push_back(member("zero_rows", std::to_string(entry.zero_rows)));
  }
  if (!planned.reason.empty()) parts.push_back(member("reason", json_quoted(planned.reason)));
  return fmt::format("    {}: {{{}}}", json_quoted(planned.source.name), join(parts, ", "));
}

std::string type_totals(const Plan& plan) {
  std::map<std::string_view, std::pair<uint64_t, uint64_t>> totals;  // weights, bytes
  for (const PlannedTensor& planned : plan.tensors) {
    auto& [weights, bytes] = totals[type_info(planned.target).name];
    weights += planned.source.shape.elements();
    bytes += planned.bytes;
  }
  std::vector<std::string> parts;
  parts.reserve(totals.size());
  for (const auto& [name, total] : totals) {
    parts.push_back(fmt::format("{}: {{\"weights\": {}, \"bytes\": {}}}", json_quoted(name),
                                total.first, total.second));
  }
  return "{" + join(parts, ", ") + "}";
}

}  // namespace

double decibels(double energy, double error) {
  if (energy <= 0) return 0;
  if (error <= 0) return kDecibelsMax;
  return std::min(kDecibelsMax, 10 * std::log10(energy / error));
}

std::string make_stats_json(const Plan& plan, const Entries& entries) {
  std::vector<std::string> lines;
  lines.reserve(plan.tensors.size());
  for (const PlannedTensor& planned : plan.tensors) {
    lines.push_back(stats_of(planned, entries.find(planned.source.name)->second));
  }
  return "{\n  \"tensors\": {\n" + join(lines, ",\n") + "\n  }\n}\n";
}

std::string calibration_note(Calibration calibration, size_t tokens, bool is_built_in) {
  if (calibration == Calibration::none) return "";
  return fmt::format("{}, {} tokens of {}", calibration == Calibration::awq ? "awq" : "ldlq",
                     tokens, is_built_in ? "built-in text" : "the user's text");
}

std::string make_report_json(const Plan& plan, const Entries& entries, const ReportFacts& facts) {
  double energy = 0;
  double error = 0;
  for (const PlannedTensor& planned : plan.tensors) {
    if (!type_info(planned.target).is_quantized) continue;
    const JournalEntry& entry = entries.find(planned.source.name)->second;
    if (entry.energy <= 0) continue;
    energy += 1;  // each matrix counts alike: relative errors are averaged, not weights
    error += entry.error / entry.energy;
  }
  std::vector<std::string> parts = {
      member("format", json_quoted(plan.format->name)),
      member("source", json_quoted(facts.source_name)),
      member("source_bytes", std::to_string(facts.source_bytes)),
      member("weight_bytes", std::to_string(plan.file_bytes)),
      member("weights", std::to_string(plan.weights)),
      member("bits_per_weight", fmt::format("{:.4f}", plan.bits_per_weight())),
      member("types", type_totals(plan)),
      member("mean_signal_to_error_db", fmt::format("{:.2f}", decibels(energy, error)))};
  const double expected = expected_loss(plan);
  if (expected > 0) parts.push_back(member("expected_kl_nats", fmt::format("{:.5f}", expected)));
  if (!facts.calibration.empty()) {
    parts.push_back(member("calibration", json_quoted(facts.calibration)));
  }
  if (facts.comparison) {
    const Comparison& c = *facts.comparison;
    parts.push_back(member(
        "held_out",
        fmt::format("{{\"tokens\": {}, \"source_perplexity\": {:.4f}, \"perplexity\": {:.4f}, "
                    "\"kl_nats\": {:.6f}, \"top1_agreement\": {:.4f}}}",
                    c.tokens, c.perplexity_a, c.perplexity_b, c.kl_mean, c.top1_agreement)));
  }
  if (!facts.sentence.empty()) parts.push_back(member("lost", json_quoted(facts.sentence)));
  std::vector<std::string> notes;
  notes.reserve(facts.notes.size());
  for (const std::string& note : facts.notes) notes.push_back(json_quoted(note));
  if (!notes.empty()) parts.push_back(member("notes", "[" + join(notes, ", ") + "]"));
  return "{\n  " + join(parts, ",\n  ") + "\n}\n";
}

Result<std::string> make_sha256sums(const std::string& directory, std::vector<std::string> names) {
  constexpr size_t kWindow = 8 << 20;
  std::sort(names.begin(), names.end());
  std::string out;
  for (const std::string& name : names) {
    SQ_TRY(const MappedFile map, MappedFile::open(directory + "/" + name));
    Sha256 sha;
    const Bytes bytes = map.bytes();
    for (size_t at = 0; at < bytes.size(); at += kWindow) {
      sha.update(bytes.subspan(at, std::min(kWindow, bytes.size() - at)));
    }
    out += fmt::format("{}  {}\n", sha.finish(), name);
  }
  return out;
}

}  // namespace squish::compress
