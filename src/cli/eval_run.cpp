#include "cli/eval_run.h"

#include <chrono>

#include <fmt/format.h>

#include "chat/loaded_model.h"
#include "cli/json.h"
#include "evaluate/request_encoder.h"

namespace squish::cli {
namespace {

class Clock {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

/// One stream of tokens, without the bos that every chunk gets of its own where the model wants
/// one.
std::vector<TokenId> text_tokens(const Tokenizer& tokenizer, const std::string& text) {
  return tokenizer.encode(text, {.add_special = added_bos(tokenizer).has_value()});
}

PerplexityResult one_side(const Comparison& pair, uint64_t chunks, bool is_baseline) {
  PerplexityResult out;
  out.perplexity = is_baseline ? pair.perplexity_a : pair.perplexity_b;
  out.standard_error = is_baseline ? pair.perplexity_a_error : pair.perplexity_b_error;
  out.interval = is_baseline ? pair.perplexity_a_interval : pair.perplexity_b_interval;
  out.scored_tokens = pair.tokens;
  out.chunks = chunks;
  out.is_complete = pair.is_complete;
  return out;
}

}  // namespace

double bits_per_weight(const ModelFiles& files) {
  double bits = 0;
  double weights = 0;
  for (const NamedTensor& named : files.tensors()) {
    bits += 8.0 * static_cast<double>(named.tensor.bytes());
    weights += static_cast<double>(named.tensor.shape.elements());
  }
  return weights > 0 ? bits / weights : 0;
}

Result<std::unique_ptr<EvalModel>> EvalModel::open(const hub::LocalModel& local, Backend& backend,
                                                   int context_tokens) {
  auto out = std::make_unique<EvalModel>();
  out->local = local;
  SQ_TRY(out->files, open_model_files(local.path));
  SQ_TRY(out->model, Model::create(out->files, backend, {.context_length = context_tokens}));
  SQ_TRY(out->tokenizer, out->files.load_tokenizer());
  return out;
}

EvalSubject EvalModel::subject() const {
  return {local.id, local.path, files.file_bytes(), model->config().quantization,
          bits_per_weight(files)};
}

std::string EvalRunner::label_of(std::string_view work, const EvalModel& model) const {
  return fmt::format("{}{}", work, &model == baseline_ ? " (baseline)" : "");
}

Result<std::vector<QuestionAnswer>> EvalRunner::ask(EvalModel& model, const TaskPlan& plan,
                                                    const std::string& label) {
  ChoiceOptions options;
  options.length_max = length_max_;
  options.likelihood.pool = &pool_;
  options.on_progress = [&](uint64_t done, uint64_t total) {
    progress_.step(label, "questions", done, total);
    return !interrupted();
  };
  return answer_questions(*model.model, *model.tokenizer, plan.questions, options).at(label);
}

Result<TaskOutcome> EvalRunner::run(const TaskPlan& plan) {
  TaskOutcome out;
  out.task = plan.task;
  out.file = file_name(plan.file);
  out.question_count = plan.questions.size();
  const Clock clock;
  SQ_TRY(out.answers, ask(model_, plan, label_of(plan.task->name, model_)));
  out.seconds = clock.seconds();
  if (baseline_ == nullptr || interrupted()) return out;
  SQ_TRY(out.baseline, ask(*baseline_, plan, label_of(plan.task->name, *baseline_)));
  return out;
}

Result<PerplexityResult> EvalRunner::score(EvalModel& model, const TextPlan& plan,
                                           const std::string& label) {
  PerplexityOptions options{.context = plan.context, .tokens_max = plan.tokens_max, .pool = &pool_};
  options.on_progress = [&](uint64_t done, uint64_t total) {
    progress_.step(label, "tokens", done, total);
    return !interrupted();
  };
  const std::vector<TokenId> tokens = text_tokens(*model.tokenizer, plan.text);
  return perplexity(*model.model, tokens, added_bos(*model.tokenizer), options).at(label);
}

Result<TextOutcome> EvalRunner::run(const TextPlan& plan) {
  TextOutcome out;
  out.file = file_name(plan.file);
  out.context = plan.context;
  const std::vector<TokenId> tokens = text_tokens(*model_.tokenizer, plan.text);
  const auto bos = added_bos(*model_.tokenizer);
  out.text_tokens = tokens.size();
  out.has_bos = bos.has_value();
  const Clock clock;
  const bool is_pair =
      baseline_ != nullptr &&
      baseline_->model->config().vocabulary_size == model_.model->config().vocabulary_size &&
      text_tokens(*baseline_->tokenizer, plan.text) == tokens;
  if (!is_pair) {
    SQ_TRY(out.model, score(model_, plan, label_of("wikitext2", model_)));
    out.seconds = clock.seconds();
    if (baseline_ != nullptr && !interrupted()) {
      SQ_TRY(out.baseline, score(*baseline_, plan, label_of("wikitext2", *baseline_)));
    }
    return out;
  }
  SQ_TRY(const auto chunks, perplexity_chunks(tokens, bos, plan.context, plan.tokens_max));
  CompareOptions options{.first_scored = first_scored(plan.context), .pool = &pool_};
  options.on_progress = [&](uint64_t done, uint64_t total) {
    progress_.step("wikitext2 (both models)", "tokens", done, total);
    return !interrupted();
  };
  SQ_TRY(out.pair, compare_models(*baseline_->model, *model_.model, chunks, options));
  const uint64_t scored_a_chunk = plan.context - 1 - first_scored(plan.context);
  const uint64_t chunk_count = out.pair->tokens / scored_a_chunk;
  out.model = one_side(*out.pair, chunk_count, false);
  out.baseline = one_side(*out.pair, chunk_count, true);
  out.seconds = clock.seconds();
  return out;
}

Result<std::string> likelihood_lines(const EvalModel& model, const TaskPlan& plan,
                                     const TaskOutcome& outcome, size_t length_max) {
  if (length_max == 0) length_max = static_cast<size_t>(model.model->config().context_length);
  const RequestEncoder encoder(*model.tokenizer, length_max);
  std::string out;
  for (size_t i = 0; i < outcome.answers.size(); ++i) {
    const Question& question = plan.questions[i];
    const QuestionAnswer& answer = outcome.answers[i];
    for (size_t choice = 0; choice < question.requests.size(); ++choice) {
      const ChoiceText& request = question.requests[choice];
      SQ_TRY(const TokenRequest encoded, encoder.encode(request));
      Value::List tokens;
      for (const TokenId token : encoded.tokens) tokens.push_back(token);
      const Value line = Value::dict({{"task", std::string(plan.task->name)},
                                      {"row", json_count(question.row)},
                                      {"choice", json_count(choice)},
                                      {"gold", json_count(question.gold)},
                                      {"context", json_text(request.context)},
                                      {"continuation", json_text(request.continuation)},
                                      {"tokens", Value::list(std::move(tokens))},
                                      {"scored", json_count(encoded.scored)},
                                      {"log_likelihood", answer.choices[choice].log_likelihood},
                                      {"is_greedy", answer.choices[choice].is_greedy},
                                      {"acc", is_right(answer, Metric::acc)},
                                      {"acc_norm", is_right(answer, Metric::acc_norm)},
                                      {"acc_bytes", is_right(answer, Metric::acc_bytes)}});
      SQ_TRY(const std::string text, to_json(line));
      out += text + "\n";
    }
  }
  return out;
}

}  // namespace squish::cli
