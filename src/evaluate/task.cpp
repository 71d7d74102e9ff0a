#include "evaluate/task.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/file.h"
#include "base/strings.h"
#include "evaluate/python_random.h"
#include "evaluate/task_rows.h"
#include "text/jinja_unicode.h"

namespace squish {
namespace {

constexpr std::string_view kTargetDelimiter = " ";
constexpr std::string_view kExampleDelimiter = "\n\n";

std::vector<Task> make_tasks() {
  return {
      {.name = "arc_easy",
       .title = "ARC, easy",
       .files = {"arc_easy_test", "arc_easy", "ai2_arc_ARC-Easy.test"},
       .example_files = {"arc_easy_train", "ai2_arc_ARC-Easy.train", "ai2_arc_ARC-Easy.validation"},
       .read = read_arc},
      {.name = "arc_challenge",
       .title = "ARC, challenge",
       .files = {"arc_challenge_test", "arc_challenge", "ai2_arc_ARC-Challenge.test"},
       .example_files = {"arc_challenge_train", "ai2_arc_ARC-Challenge.train",
                         "ai2_arc_ARC-Challenge.validation"},
       .read = read_arc},
      {.name = "hellaswag",
       .title = "HellaSwag",
       .files = {"hellaswag.validation", "hellaswag"},
       .example_files = {"hellaswag.train"},
       .read = read_hellaswag,
       .draws_one_more = true},
      {.name = "winogrande",
       .title = "WinoGrande XL",
       .files = {"winogrande_winogrande_xl.validation", "winogrande"},
       .example_files = {"winogrande_winogrande_xl.train"},
       .read = read_winogrande,
       .has_norm = false,
       .draws_one_more = true},
      {.name = "piqa",
       .title = "PIQA",
       .files = {"piqa_plain_text.validation", "piqa.validation", "piqa"},
       .example_files = {"piqa_plain_text.train", "piqa.train"},
       .read = read_piqa,
       .draws_one_more = true},
      {.name = "openbookqa",
       .title = "OpenBookQA",
       .files = {"openbookqa_main.test", "openbookqa_main.validation", "openbookqa"},
       .example_files = {"openbookqa_main.train"},
       .read = read_openbookqa},
      {.name = "mmlu",
       .title = "MMLU",
       .files = {"mmlu.test", "mmlu"},
       .example_files = {"mmlu.dev"},
       .read = read_mmlu,
       .has_norm = false,
       .first_examples = true},
  };
}

/// "" when none of them is there.
std::string existing_file(std::span<const std::string_view> names, const std::string& directory) {
  for (const std::string_view name : names) {
    for (const std::string_view folder : {"", "eval/"}) {
      for (const std::string_view ending : {".jsonl", ".jsonl.gz"}) {
        const std::string path = fmt::format("{}/{}{}{}", directory, folder, name, ending);
        if (file_exists(path)) return path;
      }
    }
  }
  return "";
}

Result<std::vector<TaskDocument>> read_documents(const Task& task, const std::string& path) {
  std::vector<TaskDocument> documents;
  SQ_TRY_STATUS(for_each_row(path, [&](const DataRow& row) -> Status {
    SQ_TRY(TaskDocument document, task.read(row));
    documents.push_back(std::move(document));
    return {};
  }));
  if (documents.empty())
    return Error{ErrorCode::bad_file, fmt::format("{} has no question in it", path)};
  return documents;
}

/// What stands before a question: the examples that lm-eval would take.
class Examples {
 public:
  Examples(const Task& task, std::vector<TaskDocument> pool, bool pool_has_question,
           const QuestionOptions& options)
      : pool_(std::move(pool)),
        pool_has_question_(pool_has_question),
        takes_first_(task.first_examples),
        draws_one_more_(task.draws_one_more),
        count_(options.examples),
        random_(options.seed) {
    for (size_t i = 0; i < pool_.size(); ++i) groups_[pool_[i].group].push_back(i);
  }

  /// `index`: of the question in the pool, where it is one of it.
  Result<std::string> before(const std::string& group, size_t index) {
    if (count_ == 0) return std::string();
    const std::vector<size_t>& members = groups_[takes_first_ ? group : ""];
    const size_t drawn = count_ + (pool_has_question_ || draws_one_more_ ? 1 : 0);
    if (members.size() < drawn) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("--fewshot {} needs {} rows{}, there are {}", count_, drawn,
                               group.empty() ? "" : " of " + group, members.size())};
    }
    std::string text;
    size_t taken = 0;
    const auto take = [&](size_t row) {
      if (taken == count_ || (pool_has_question_ && row == index)) return;
      text += pool_[row].example();
      ++taken;
    };
    if (takes_first_) {
      for (size_t i = 0; i < drawn; ++i) take(members[i]);
    } else {
      for (const size_t i : random_.sample(members.size(), drawn)) take(members[i]);
    }
    return text;
  }

 private:
  std::vector<TaskDocument> pool_;
  bool pool_has_question_;
  bool takes_first_;
  bool draws_one_more_;
  size_t count_;
  PythonRandom random_;
  std::map<std::string, std::vector<size_t>> groups_;
};

Question lay_out(const TaskDocument& document, size_t row, const std::string& examples) {
  Question question;
  question.row = row;
  question.group = document.group;
  question.gold = document.gold;
  const std::string before = document.description + examples;
  for (size_t i = 0; i < document.choice_count(); ++i) {
    question.requests.push_back(
        {before + document.context_of(i), std::string(kTargetDelimiter) + document.answer_of(i)});
    // The choice is what differs between the requests.
    const std::string& choice =
        document.contexts.size() > 1 ? document.contexts[i] : document.answers[i];
    question.characters.push_back(static_cast<uint32_t>(jinja::code_point_count(choice)));
    question.bytes.push_back(static_cast<uint32_t>(choice.size()));
  }
  return question;
}

}  // namespace

std::string TaskDocument::example() const {
  const std::string& answer = answer_of(gold);
  if (answer.empty()) return context_of(gold);
  return fmt::format("{}{}{}{}", context_of(gold), kTargetDelimiter, answer, kExampleDelimiter);
}

std::span<const Task> tasks() {
  static const std::vector<Task> table = make_tasks();
  return table;
}

Result<const Task*> find_task(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Task& task : tasks()) {
    if (task.name == name) return &task;
    names.push_back(task.name);
  }
  return Error{ErrorCode::invalid_argument,
               fmt::format("there is no task '{}'; there are wikitext2, {}", printable(name, 40),
                           fmt::join(names, ", "))};
}

Result<std::string> find_task_file(const Task& task, const std::string& directory) {
  std::string path = existing_file(task.files, directory);
  if (!path.empty()) return path;
  return Error{ErrorCode::not_found,
               fmt::format("{}: no data in {}: it needs one of {} (.jsonl or .jsonl.gz); --data "
                           "names another directory",
                           task.name, printable(directory, 200), fmt::join(task.files, ", "))};
}

Result<std::vector<Question>> read_questions(const Task& task, const std::string& directory,
                                             const QuestionOptions& options) {
  SQ_TRY(const std::string path, find_task_file(task, directory));
  SQ_TRY(const std::vector<TaskDocument> documents, read_documents(task, path));
  const std::string example_path =
      options.examples > 0 ? existing_file(task.example_files, directory) : "";
  std::vector<TaskDocument> pool;
  if (options.examples > 0) {
    pool = documents;
    if (!example_path.empty()) {
      SQ_TRY(pool, read_documents(task, example_path));
    }
    if (!task.first_examples) {
      for (TaskDocument& document : pool) document.group.clear();
    }
  }
  Examples examples(task, std::move(pool), example_path.empty(), options);
  std::vector<Question> questions;
  std::map<std::string, size_t> taken;
  for (size_t row = 0; row < documents.size(); ++row) {
    const TaskDocument& document = documents[row];
    if (options.limit > 0 && taken[document.group]++ >= options.limit) continue;
    SQ_TRY(const std::string before,
           examples.before(document.group, row).at(std::string(task.name)));
    questions.push_back(lay_out(document, row, before));
  }
  return questions;
}

}  // namespace squish
