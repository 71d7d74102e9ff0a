#pragma once
// A benchmark run: questions in, chosen answers and accuracies out.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "evaluate/likelihood.h"
#include "evaluate/statistics.h"
#include "evaluate/task.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace squish {

/// Which choice a model takes, by each of lm-eval's rules. Ties go to the first.
struct QuestionAnswer {
  size_t row = 0;  // of the question in its data file
  std::string group;
  size_t gold = 0;
  std::vector<Likelihood> choices;
  size_t plain = 0;    // acc: the highest log-likelihood
  size_t by_char = 0;  // acc_norm: the highest per character (code point) of the choice
  size_t by_byte = 0;  // acc_bytes: the highest per UTF-8 byte
};

/// `choices` as many as the question has requests.
QuestionAnswer choose(const Question& question, std::span<const Likelihood> choices);

enum class Metric : uint8_t { acc, acc_norm, acc_bytes };
/// "acc", "acc_norm", "acc_bytes".
std::string_view name_of(Metric metric);
bool is_right(const QuestionAnswer& answer, Metric metric);

struct Accuracy {
  uint64_t hits = 0;
  uint64_t count = 0;
  [[nodiscard]] double share() const {
    return count == 0 ? 0.0 : static_cast<double>(hits) / static_cast<double>(count);
  }
};
Accuracy accuracy(std::span<const QuestionAnswer> answers, Metric metric);
/// Of the questions that both have answered; both must be of the same questions.
PairedShares compare_answers(std::span<const QuestionAnswer> first,
                             std::span<const QuestionAnswer> second, Metric metric);

struct ChoiceOptions {
  size_t length_max = 0;  // tokens of context and choice; 0: as the model was trained
  LikelihoodOptions likelihood;
  /// After each batch of questions; false ends the run with the answers there are.
  std::function<bool(uint64_t done, uint64_t total)> on_progress = {};
};

/// Asks the model. Fewer answers than questions when on_progress ended it. Errors: those of
/// RequestEncoder and score_groups(), with the row of the question.
Result<std::vector<QuestionAnswer>> answer_questions(Model& model, const Tokenizer& tokenizer,
                                                     std::span<const Question> questions,
                                                     const ChoiceOptions& options);

}  // namespace squish
