#pragma once
// The chart of `squish eval --chart`: this report beside the earlier ones of the same baseline.
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/eval_report.h"
#include "evaluate/chart.h"

namespace squish::cli {

struct Chart {
  std::string baseline;  // what is lost of
  std::vector<ChartPoint> points;
};

/// The reports lmeval_*.json in `directory` ("" = none) whose baseline has the path of this
/// report's, the newest of each model, and `report` itself. Files that are no reports are passed
/// over. Errors: invalid_argument when `report` has no KL divergence.
Result<Chart> chart_beside(const EvalReport& report, const std::string& directory);

/// The reports in `directory` alone: those of the baseline of the last one. Errors: not_found when
/// none has a KL divergence.
Result<Chart> chart_of_directory(const std::string& directory);

}  // namespace squish::cli
