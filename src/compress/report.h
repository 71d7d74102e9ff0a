#pragma once
// stats.json, report.json and SHA256SUMS. None holds a time or a path, so that the same run gives
// the same bytes.
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "compress/describe.h"
#include "compress/plan.h"
#include "compress/quality.h"

namespace squish::compress {

/// One object a tensor: type, bytes, bits a weight, error relative to the weights (dB, weighed by
/// the activations where they were measured), AWQ's exponent, and why the type is another.
std::string make_stats_json(const Plan& plan, const Entries& entries);

/// "awq, 8192 tokens of built-in text"; empty without calibration.
std::string calibration_note(Calibration calibration, size_t tokens, bool is_built_in);

struct ReportFacts {
  std::string source_name;  // the last part of the source's path
  uint64_t source_bytes = 0;
  std::string calibration;  // calibration_note()
  std::optional<Comparison> comparison;
  std::string sentence;
  std::vector<std::string> notes;
};
std::string make_report_json(const Plan& plan, const Entries& entries, const ReportFacts& facts);

/// "<sha256>  <name>" lines of `names` in `directory`, sorted by name. Cost: reads every file.
/// Errors: io.
Result<std::string> make_sha256sums(const std::string& directory, std::vector<std::string> names);

/// Relative error in dB, 10 log10(energy / error); 0 when nothing was measured, 200 at most.
double decibels(double energy, double error);

}  // namespace squish::compress
