#include "evaluate/multiple_choice.h"

#include <algorithm>

#include <fmt/format.h>

#include "evaluate/request_encoder.h"

namespace squish {
namespace {

/// The first of the highest values.
template <class Value>
size_t place_of_highest(size_t count, const Value& value) {
  size_t best = 0;
  for (size_t i = 1; i < count; ++i) {
    if (value(i) > value(best)) best = i;
  }
  return best;
}

}  // namespace

QuestionAnswer choose(const Question& question, std::span<const Likelihood> choices) {
  SQ_CHECK(choices.size() == question.requests.size());
  QuestionAnswer out;
  out.row = question.row;
  out.group = question.group;
  out.gold = question.gold;
  out.choices.assign(choices.begin(), choices.end());
  const auto plain = [&](size_t i) { return choices[i].log_likelihood; };
  // A choice of length 0 divides to -inf and is never taken.
  const auto by_char = [&](size_t i) {
    return choices[i].log_likelihood / static_cast<double>(question.characters[i]);
  };
  const auto by_byte = [&](size_t i) {
    return choices[i].log_likelihood / static_cast<double>(question.bytes[i]);
  };
  out.plain = place_of_highest(choices.size(), plain);
  out.by_char = place_of_highest(choices.size(), by_char);
  out.by_byte = place_of_highest(choices.size(), by_byte);
  return out;
}

std::string_view name_of(Metric metric) {
  switch (metric) {
    case Metric::acc:
      return "acc";
    case Metric::acc_norm:
      return "acc_norm";
    case Metric::acc_bytes:
      return "acc_bytes";
  }
  return "";
}

bool is_right(const QuestionAnswer& answer, Metric metric) {
  switch (metric) {
    case Metric::acc:
      return answer.plain == answer.gold;
    case Metric::acc_norm:
      return answer.by_char == answer.gold;
    case Metric::acc_bytes:
      return answer.by_byte == answer.gold;
  }
  return false;
}

Accuracy accuracy(std::span<const QuestionAnswer> answers, Metric metric) {
  Accuracy out;
  out.count = answers.size();
  for (const QuestionAnswer& answer : answers) out.hits += is_right(answer, metric) ? 1U : 0U;
  return out;
}

PairedShares compare_answers(std::span<const QuestionAnswer> first,
                             std::span<const QuestionAnswer> second, Metric metric) {
  PairedShares out;
  const size_t count = std::min(first.size(), second.size());
  for (size_t i = 0; i < count; ++i) {
    SQ_CHECK(first[i].row == second[i].row);
    out.add(is_right(first[i], metric), is_right(second[i], metric));
  }
  return out;
}

Result<std::vector<QuestionAnswer>> answer_questions(Model& model, const Tokenizer& tokenizer,
                                                     std::span<const Question> questions,
                                                     const ChoiceOptions& options) {
  size_t length_max = options.length_max;
  if (length_max == 0) length_max = static_cast<size_t>(std::max(1, model.config().context_length));
  const RequestEncoder encoder(tokenizer, length_max);
  std::vector<std::vector<TokenRequest>> groups;
  groups.reserve(questions.size());
  for (const Question& question : questions) {
    std::vector<TokenRequest>& group = groups.emplace_back();
    for (const ChoiceText& request : question.requests) {
      SQ_TRY(TokenRequest encoded,
             encoder.encode(request).at(fmt::format("question {}", question.row)));
      group.push_back(std::move(encoded));
    }
  }
  std::vector<QuestionAnswer> answers;
  const auto on_group = [&](size_t index, std::span<const Likelihood> results) {
    answers.push_back(choose(questions[index], results));
    return !options.on_progress || options.on_progress(answers.size(), questions.size());
  };
  SQ_TRY_STATUS(score_groups(model, groups, options.likelihood, on_group));
  return answers;
}

}  // namespace squish
