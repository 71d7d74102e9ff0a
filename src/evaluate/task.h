#pragma once
// Multiple-choice benchmarks as lm-eval (0.4.13) defines them: which text stands before the
// choices, what the choices are, and where the questions come from.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "evaluate/data_file.h"

namespace squish {

/// One row of a data file as its task reads it. ChoiceText i is contexts[i] or, where there is one
/// context for all, contexts[0], followed by " " and answers[i] (or answers[0]).
struct TaskDocument {
  std::string description;            // stands before everything; MMLU's names the subject
  std::vector<std::string> contexts;  // one, or one a choice (WinoGrande)
  std::vector<std::string> answers;   // one a choice, or one (WinoGrande)
  size_t gold = 0;
  std::string group;  // MMLU: the subject. --limit counts within it.

  [[nodiscard]] size_t choice_count() const {
    return contexts.size() > answers.size() ? contexts.size() : answers.size();
  }
  [[nodiscard]] const std::string& context_of(size_t choice) const {
    return contexts.size() == 1 ? contexts[0] : contexts[choice];
  }
  [[nodiscard]] const std::string& answer_of(size_t choice) const {
    return answers.size() == 1 ? answers[0] : answers[choice];
  }
  /// As an example in the prompt of another question, with the blank line after it.
  [[nodiscard]] std::string example() const;
};

struct Task {
  std::string_view name;
  std::string_view title;
  /// Names of the data file, without ".jsonl" or ".jsonl.gz"; the first that exists counts.
  std::vector<std::string_view> files;
  /// Where few-shot examples come from, likewise; empty: from the questions themselves.
  std::vector<std::string_view> example_files;
  Result<TaskDocument> (*read)(const DataRow& row) = nullptr;
  bool has_norm = true;         // acc_norm is defined
  bool first_examples = false;  // few-shot takes the first rows of the group instead of drawing
  /// lm-eval draws one example more than it shows where a task has no test split, in case the
  /// question is among them. That moves the random numbers of all later questions.
  bool draws_one_more = false;
};

std::span<const Task> tasks();
/// Errors: invalid_argument with the names there are.
Result<const Task*> find_task(std::string_view name);
/// The data file of a task, in `directory` or in its folder "eval". Errors: not_found with the
/// names that were looked for.
Result<std::string> find_task_file(const Task& task, const std::string& directory);

/// What is asked about one choice: how likely is the continuation after the context?
struct ChoiceText {
  std::string context;
  std::string continuation;
};

/// A question, ready to be asked.
struct Question {
  size_t row = 0;  // in its data file, from 0, blank lines not counted
  std::string group;
  std::vector<ChoiceText> requests;  // one a choice
  std::vector<uint32_t> characters;  // of each choice, by which acc_norm divides
  std::vector<uint32_t> bytes;       // of each choice, by which acc_bytes divides
  size_t gold = 0;
};

struct QuestionOptions {
  size_t limit = 0;  // 0: all; of MMLU's in each of its subjects, as lm-eval
  size_t examples = 0;
  uint64_t seed = 1234;  // of the draw of examples; lm-eval's default
};

/// Reads and lays out the questions of a task. Examples never include the question itself. Errors:
/// those of for_each_row(); invalid_argument when there are fewer rows than examples; bad_file for
/// a file without rows.
Result<std::vector<Question>> read_questions(const Task& task, const std::string& directory,
                                             const QuestionOptions& options);

}  // namespace squish
