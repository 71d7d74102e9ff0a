#pragma once
// The work of `squish eval`: models that stay open, questions asked, text scored.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "cli/context.h"
#include "cli/count_progress.h"
#include "cli/eval_report.h"
#include "hub/local_model.h"
#include "kernels/backend.h"
#include "model/model.h"
#include "model/model_files.h"
#include "text/tokenizer.h"

namespace squish::cli {

/// A model with its vocabulary and nothing else. Not movable: its parts point at each other.
struct EvalModel {
  /// `context_tokens` as in ModelOptions. The backend must outlive it. Errors: as opening a model.
  static Result<std::unique_ptr<EvalModel>> open(const hub::LocalModel& local, Backend& backend,
                                                 int context_tokens);
  [[nodiscard]] EvalSubject subject() const;

  hub::LocalModel local;
  ModelFiles files;
  std::unique_ptr<Model> model;
  std::optional<Tokenizer> tokenizer;
};

/// Bits that a weight takes over all tensors of the files.
double bits_per_weight(const ModelFiles& files);

/// One task with its questions read, before any model runs.
struct TaskPlan {
  const Task* task = nullptr;
  std::string file;
  std::vector<Question> questions;
};

struct TextPlan {
  std::string file;
  std::string text;
  size_t context = 512;
  size_t tokens_max = 0;
};

class EvalRunner {
 public:
  /// `baseline` may be null. `length_max`: of a question in tokens; 0 = as the model was trained.
  EvalRunner(ThreadPool& pool, EvalModel& model, EvalModel* baseline, size_t length_max,
             CountProgress& progress)
      : pool_(pool),
        model_(model),
        baseline_(baseline),
        length_max_(length_max),
        progress_(progress) {}

  /// Ends early, with what there is, when the program is interrupted. Errors: those of
  /// answer_questions().
  Result<TaskOutcome> run(const TaskPlan& plan);
  /// With a baseline of the same vocabulary both read the text side by side; with another
  /// vocabulary each gets its own perplexity and there is no divergence. Errors: those of
  /// perplexity() and compare_models().
  Result<TextOutcome> run(const TextPlan& plan);

 private:
  Result<std::vector<QuestionAnswer>> ask(EvalModel& model, const TaskPlan& plan,
                                          const std::string& label);
  Result<PerplexityResult> score(EvalModel& model, const TextPlan& plan, const std::string& label);
  [[nodiscard]] std::string label_of(std::string_view work, const EvalModel& model) const;

  ThreadPool& pool_;
  EvalModel& model_;
  EvalModel* baseline_;
  size_t length_max_;
  CountProgress& progress_;
};

/// Every request of a task with its tokens and log-likelihood, one JSON object a line: what
/// tests/quality/test_lm_eval.py hands to lm-eval.
Result<std::string> likelihood_lines(const EvalModel& model, const TaskPlan& plan,
                                     const TaskOutcome& outcome, size_t length_max);

}  // namespace squish::cli
