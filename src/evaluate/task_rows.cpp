#include "evaluate/task_rows.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_unicode.h"

namespace squish {
namespace {

/// The place of `key` ("B", "2") among the labels.
Result<size_t> index_of_label(const DataRow& row, const DataRow& choices, size_t count,
                              std::string_view key) {
  SQ_TRY(const std::vector<std::string> labels, choices.texts("label"));
  if (labels.size() != count) {
    return choices.wrong("label",
                         fmt::format("has {} elements, 'text' has {}", labels.size(), count));
  }
  const auto found = std::ranges::find(labels, key);
  if (found == labels.end()) {
    return row.wrong("answerKey",
                     fmt::format("is '{}', which is none of the labels", printable(key, 20)));
  }
  return static_cast<size_t>(found - labels.begin());
}

Status check_choices(const DataRow& row, std::string_view field,
                     const std::vector<std::string>& choices) {
  if (choices.size() >= 2) return {};
  return row.wrong(field, fmt::format("has {} choices, at least 2 are needed", choices.size()));
}

/// `choices` {text, label} and `answerKey`, or a list of texts and `gold`.
Status read_choices(const DataRow& row, TaskDocument& out) {
  if (row.has("gold")) {
    SQ_TRY(out.answers, row.texts("choices"));
    SQ_TRY_STATUS(check_choices(row, "choices", out.answers));
    SQ_TRY(out.gold, row.index("gold", out.answers.size()));
    return {};
  }
  SQ_TRY(const DataRow choices, row.row("choices"));
  SQ_TRY(out.answers, choices.texts("text"));
  SQ_TRY_STATUS(check_choices(choices, "text", out.answers));
  SQ_TRY(const std::string key, row.text("answerKey"));
  SQ_TRY(out.gold,
         index_of_label(row, choices, out.answers.size(), jinja::strip_space(key, true, false)));
  return {};
}

}  // namespace

Result<TaskDocument> read_arc(const DataRow& row) {
  TaskDocument out;
  SQ_TRY(const std::string question, row.text("question"));
  out.contexts = {fmt::format("Question: {}\nAnswer:", question)};
  SQ_TRY_STATUS(read_choices(row, out));
  return out;
}

Result<TaskDocument> read_openbookqa(const DataRow& row) {
  TaskDocument out;
  SQ_TRY(std::string stem, row.text("question_stem"));
  if (stem.empty()) return row.wrong("question_stem", "is empty");
  out.contexts = {std::move(stem)};
  SQ_TRY_STATUS(read_choices(row, out));
  return out;
}

std::string clean_hellaswag(std::string_view text) {
  const std::string titled =
      replace_all(std::string(jinja::strip_space(text, true, true)), " [title]", ". ");
  std::string out;
  for (size_t i = 0; i < titled.size(); ++i) {
    if (titled[i] == '[') {
      // Up to the nearest bracket that closes, unless the line ends before it.
      const size_t end = titled.find_first_of("]\n", i + 1);
      if (end != std::string::npos && titled[end] == ']') {
        i = end;
        continue;
      }
    }
    out += titled[i];
  }
  return replace_all(std::move(out), "  ", " ");
}

Result<TaskDocument> read_hellaswag(const DataRow& row) {
  TaskDocument out;
  SQ_TRY(const std::string activity, row.text("activity_label"));
  SQ_TRY(const std::string first, row.text("ctx_a"));
  SQ_TRY(const std::string second, row.text("ctx_b"));
  out.contexts = {
      clean_hellaswag(fmt::format("{}: {} {}", activity, first, jinja::capitalize_text(second)))};
  SQ_TRY(const std::vector<std::string> endings, row.texts("endings"));
  SQ_TRY_STATUS(check_choices(row, "endings", endings));
  for (const std::string& ending : endings) out.answers.push_back(clean_hellaswag(ending));
  SQ_TRY(out.gold, row.index("label", out.answers.size()));
  return out;
}

Result<TaskDocument> read_winogrande(const DataRow& row) {
  TaskDocument out;
  SQ_TRY(const std::string sentence, row.text("sentence"));
  const size_t blank = sentence.find('_');
  if (blank == std::string::npos) return row.wrong("sentence", "has no _ to fill");
  for (const std::string_view field : {"option1", "option2"}) {
    SQ_TRY(const std::string option, row.text(field));
    if (blank == 0 && option.empty()) return row.wrong(field, "is empty");
    out.contexts.push_back(sentence.substr(0, blank) + option);
  }
  out.answers = {
      std::string(jinja::strip_space(std::string_view(sentence).substr(blank + 1), true, true))};
  SQ_TRY(const int64_t answer, row.integer("answer"));
  if (answer < 1 || answer > 2)
    return row.wrong("answer", fmt::format("is {}, expected 1 or 2", answer));
  out.gold = static_cast<size_t>(answer - 1);
  return out;
}

Result<TaskDocument> read_piqa(const DataRow& row) {
  TaskDocument out;
  SQ_TRY(const std::string goal, row.text("goal"));
  out.contexts = {fmt::format("Question: {}\nAnswer:", goal)};
  for (const std::string_view field : {"sol1", "sol2"}) {
    SQ_TRY(std::string solution, row.text(field));
    out.answers.push_back(std::move(solution));
  }
  SQ_TRY(out.gold, row.index("label", 2));
  return out;
}

Result<TaskDocument> read_mmlu(const DataRow& row) {
  TaskDocument out;
  SQ_TRY(out.group, row.text("subject"));
  SQ_TRY(const std::string question, row.text("question"));
  SQ_TRY(const std::vector<std::string> choices, row.texts("choices"));
  if (choices.size() != 4)
    return row.wrong("choices", fmt::format("has {} elements, MMLU has 4", choices.size()));
  out.description =
      fmt::format("The following are multiple choice questions (with answers) about {}.\n\n",
                  replace_all(out.group, "_", " "));
  out.contexts = {fmt::format(
      "{}\nA. {}\nB. {}\nC. {}\nD. {}\nAnswer:", jinja::strip_space(question, true, true),
      choices[0], choices[1], choices[2], choices[3])};
  out.answers = {"A", "B", "C", "D"};
  SQ_TRY(out.gold, row.index("answer", 4));
  return out;
}

}  // namespace squish
