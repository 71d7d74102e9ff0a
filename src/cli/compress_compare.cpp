#include "cli/compress_compare.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/strings.h"
#include "cli/count_progress.h"
#include "cli/eval_run.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "compress/texts.h"
#include "evaluate/compare.h"
#include "model/kv_cache.h"

namespace squish::cli {
namespace {

constexpr int kContextTokens = 512;
constexpr size_t kPromptTokens = 64;
constexpr size_t kSteps = 16;  // timed at a time
constexpr int kRounds = 5;     // of each model, in turns, so that what else runs disturbs both

struct Speed {
  double lowest = 0;
  double median = 0;
  double highest = 0;
};

/// Decodes after a short prompt, one token a step.
class Stepper {
 public:
  static Result<Stepper> create(Model& model, std::span<const TokenId> text) {
    const ModelConfig& config = model.config();
    const auto pages =
        static_cast<int32_t>((kPromptTokens + kSteps + kPageTokens) / kPageTokens + 1);
    std::vector<KvLayout> layouts(config.layers.size(),
                                  KvLayout{config.kv_head_count, config.head_dim});
    SQ_TRY(KvCache cache, KvCache::create(std::move(layouts), pages));
    Stepper out(model, std::move(cache));
    out.pages_.resize(static_cast<size_t>(pages));
    std::iota(out.pages_.begin(), out.pages_.end(), 0);
    out.logits_.resize(static_cast<size_t>(config.vocabulary_size));
    out.prompt_.assign(text.begin(),
                       text.begin() + static_cast<ptrdiff_t>(std::min(text.size(), kPromptTokens)));
    return out;
  }

  /// Tokens a second of one round.
  double run() {
    read(prompt_, 0, prompt_.size());
    const auto begin = std::chrono::steady_clock::now();
    auto position = static_cast<int32_t>(prompt_.size());
    for (size_t i = 0; i < kSteps; ++i) {
      const auto best = std::ranges::max_element(logits_) - logits_.begin();
      read({static_cast<TokenId>(best)}, position++, 0);
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(kSteps) / seconds.count();
  }

 private:
  Stepper(Model& model, KvCache cache) : model_(&model), cache_(std::move(cache)) {}
  void read(std::vector<TokenId> tokens, int32_t position, size_t prefill_rows) {
    Batch batch;
    batch.sequences = {SequenceRows{pages_.data(), position, 0, tokens.size()}};
    batch.logit_rows = {static_cast<int32_t>(tokens.size()) - 1};
    batch.prefill_row_count = prefill_rows;
    batch.tokens = std::move(tokens);
    model_->forward(batch, cache_, logits_);
  }

  Model* model_;
  KvCache cache_;
  std::vector<int32_t> pages_;
  std::vector<TokenId> prompt_;
  std::vector<float> logits_;
};

Result<std::array<Speed, 2>> measure_speeds(EvalModel& a, EvalModel& b,
                                            std::span<const TokenId> text) {
  SQ_TRY(Stepper first, Stepper::create(*a.model, text));
  SQ_TRY(Stepper second, Stepper::create(*b.model, text));
  std::array<std::vector<double>, 2> runs;
  first.run();  // pages are touched, buffers grow
  second.run();
  for (int round = 0; round < kRounds; ++round) {
    if (interrupted()) return Error{ErrorCode::cancelled, "interrupted"};
    runs[0].push_back(first.run());
    runs[1].push_back(second.run());
  }
  std::array<Speed, 2> out;
  for (size_t i = 0; i < out.size(); ++i) {
    std::ranges::sort(runs.at(i));
    out.at(i) = {runs.at(i).front(), runs.at(i)[kRounds / 2], runs.at(i).back()};
  }
  return out;
}

Value side_value(const EvalModel& model, double perplexity, const Speed& speed) {
  const EvalSubject subject = model.subject();
  return Value::dict({{"model", json_text(subject.id)},
                      {"path", json_text(subject.path)},
                      {"bytes", json_count(subject.bytes)},
                      {"bits_per_weight", json_number(subject.bits_per_weight, 4)},
                      {"perplexity", json_number(perplexity, 4)},
                      {"tokens_per_second", json_number(speed.median)},
                      {"lowest", json_number(speed.lowest)},
                      {"highest", json_number(speed.highest)}});
}

void print_table(const Context& context, const EvalModel& a, const EvalModel& b,
                 const Comparison& c, const std::array<Speed, 2>& speeds) {
  const EvalSubject first = a.subject();
  const EvalSubject second = b.subject();
  const auto percent = [](double part, double whole) {
    return whole > 0 ? fmt::format("{:.0f} %", 100 * part / whole) : std::string();
  };
  const auto speed = [](const Speed& s) {
    return fmt::format("{:.1f} tok/s ({:.1f} to {:.1f})", s.median, s.lowest, s.highest);
  };
  Table table({"", ">" + printable(first.id, 40), ">" + printable(second.id, 40), ">Share"});
  table.add({"size", human_bytes(first.bytes), human_bytes(second.bytes),
             percent(static_cast<double>(second.bytes), static_cast<double>(first.bytes))});
  table.add({"bits a weight", fmt::format("{:.3f}", first.bits_per_weight),
             fmt::format("{:.3f}", second.bits_per_weight),
             percent(second.bits_per_weight, first.bits_per_weight)});
  table.add({"perplexity", fmt::format("{:.3f}", c.perplexity_a),
             fmt::format("{:.3f}", c.perplexity_b), percent(c.perplexity_b, c.perplexity_a)});
  table.add(
      {"KL, nats", "0",
       fmt::format("{:.5f} ({:.5f} to {:.5f})", c.kl_mean, c.kl_interval.low, c.kl_interval.high),
       ""});
  table.add({"same first choice", "", fmt::format("{:.1f} %", 100 * c.top1_agreement), ""});
  table.add(
      {"decode", speed(speeds[0]), speed(speeds[1]), percent(speeds[1].median, speeds[0].median)});
  print(table.text(context.terminal));
  print(fmt::format("{} tokens of held-out text; speeds are medians of {} rounds of {} steps.\n",
                    c.tokens, kRounds, kSteps));
}

}  // namespace

Result<int> compare_two(Context& context, const Arguments& arguments, const std::string& reference,
                        const std::string& other) {
  SQ_TRY(const auto wanted, arguments.integer("--compare-tokens", 64, 1 << 20));
  SQ_TRY(const hub::LocalModel local_a, find_local_model(context, reference).at("--compare"));
  SQ_TRY(const hub::LocalModel local_b, find_local_model(context, other));
  SQ_TRY(const LoadOptions load, load_options(context, arguments));
  ThreadPool pool(load.threads == 0 ? compute_thread_count() : load.threads);
  SQ_TRY(const std::unique_ptr<Backend> backend, make_cpu_backend(pool, load.isa));
  SQ_TRY(const std::unique_ptr<EvalModel> a, EvalModel::open(local_a, *backend, kContextTokens));
  SQ_TRY(const std::unique_ptr<EvalModel> b, EvalModel::open(local_b, *backend, kContextTokens));
  catch_interrupt();
  const auto context_length = static_cast<size_t>(a->model->config().context_length);
  const compress::CalibrationText text = compress::tokenize_text(
      *a->tokenizer, compress::held_out_text(), std::min<size_t>(kContextTokens, context_length),
      static_cast<size_t>(wanted.value_or(2048)));
  CompareOptions options;
  options.pool = &pool;
  options.on_progress = [&](uint64_t done, uint64_t total) {
    if (context.terminal.talk_is_terminal()) {
      talk(fmt::format("\r\x1b[K{} of {} tokens", done, total));
    }
    return !interrupted().load();
  };
  SQ_TRY(const Comparison c, compare_models(*a->model, *b->model, text.sequences, options));
  if (context.terminal.talk_is_terminal()) talk("\r\x1b[K");
  if (!c.is_complete) return Error{ErrorCode::cancelled, "interrupted"};
  SQ_TRY(const auto speeds, measure_speeds(*a, *b, text.sequences.front()));
  if (!arguments.has("--json")) {
    print_table(context, *a, *b, c, speeds);
    return 0;
  }
  print_json(Value::dict({{"reference", side_value(*a, c.perplexity_a, speeds[0])},
                          {"model", side_value(*b, c.perplexity_b, speeds[1])},
                          {"tokens", json_count(c.tokens)},
                          {"kl_nats", json_number(c.kl_mean, 6)},
                          {"kl_interval", Value::list({json_number(c.kl_interval.low, 6),
                                                       json_number(c.kl_interval.high, 6)})},
                          {"top1_agreement", json_number(c.top1_agreement, 4)},
                          {"backend", json_text(backend->description())}}));
  return 0;
}

}  // namespace squish::cli
