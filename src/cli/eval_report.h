#pragma once
// What `squish eval` found, as a table and as JSON.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/term.h"
#include "evaluate/compare.h"
#include "evaluate/multiple_choice.h"
#include "evaluate/perplexity.h"
#include "evaluate/task.h"
#include "text/jinja_value.h"

namespace squish::cli {

/// Facts of a model that stand beside its figures.
struct EvalSubject {
  std::string id;
  std::string path;
  uint64_t bytes = 0;  // of its file or files
  std::string quantization;
  double bits_per_weight = 0;  // of all tensors
};

struct TaskOutcome {
  const Task* task = nullptr;
  std::string file;
  size_t question_count = 0;
  std::vector<QuestionAnswer> answers;
  std::optional<std::vector<QuestionAnswer>> baseline;
  double seconds = 0;  // of the model itself
};

struct TextOutcome {
  std::string file;
  size_t context = 0;
  uint64_t text_tokens = 0;
  bool has_bos = false;
  PerplexityResult model;
  std::optional<PerplexityResult> baseline;
  std::optional<Comparison> pair;  // a: the baseline, b: the model
  double seconds = 0;
};

struct EvalReport {
  EvalSubject model;
  std::optional<EvalSubject> baseline;
  std::string backend;
  std::string timestamp;  // UTC, "2026-01-31T12:00:00Z"
  size_t limit = 0;
  size_t examples = 0;
  uint64_t seed = 0;
  std::vector<TaskOutcome> tasks;
  std::optional<TextOutcome> text;
  double seconds = 0;
  bool is_complete = true;
};

/// The metric by which a task is judged: acc_norm where it is defined, else acc.
Metric main_metric(const Task& task);

std::string report_text(const Terminal& terminal, const EvalReport& report);
Value report_value(const EvalReport& report);
/// "lmeval_NAME_20260131T120000.json"
std::string report_file_name(const EvalReport& report);

}  // namespace squish::cli
