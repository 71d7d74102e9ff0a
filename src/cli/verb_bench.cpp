// squish bench: speed of a model, beside the speed of the memory that it is read from.
#include <algorithm>

#include <fmt/format.h>
#include <sys/resource.h>

#include "base/strings.h"
#include "cli/answer.h"
#include "cli/bandwidth.h"
#include "cli/json.h"
#include "cli/kernel_bench.h"
#include "cli/model_choice.h"
#include "cli/table.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

constexpr int64_t kTokensMax = 1'000'000;
constexpr int64_t kRepeatMax = 1000;
constexpr int kWarmUpTokens = 4;

struct Plan {
  int32_t prompt = 512;
  int32_t generate = 128;
  int64_t repeat = 5;
};

/// Speeds of one kind of work, in tokens per second.
struct Speeds {
  std::vector<double> runs;
  [[nodiscard]] double median() const {
    std::vector<double> sorted = runs;
    std::ranges::sort(sorted);
    const size_t count = sorted.size();
    return count == 0 ? 0 : (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
  }
  [[nodiscard]] double lowest() const { return runs.empty() ? 0 : *std::ranges::min_element(runs); }
  [[nodiscard]] double highest() const {
    return runs.empty() ? 0 : *std::ranges::max_element(runs);
  }
};

struct Measurement {
  Speeds prompt;
  Speeds generate;
  double open_ms = 0;
  double bandwidth = 0;  // bytes per second
  uint64_t peak_bytes = 0;
  std::string hash;  // of the tokens of the last generation
};

Result<Plan> make_plan(const Arguments& arguments) {
  Plan plan;
  SQ_TRY(const auto prompt, arguments.integer("--prompt", 0, kTokensMax));
  SQ_TRY(const auto generate, arguments.integer("--generate", 0, kTokensMax));
  SQ_TRY(const auto repeat, arguments.integer("--repeat", 1, kRepeatMax));
  plan.prompt = static_cast<int32_t>(prompt.value_or(plan.prompt));
  plan.generate = static_cast<int32_t>(generate.value_or(plan.generate));
  plan.repeat = repeat.value_or(plan.repeat);
  if (plan.prompt == 0 && plan.generate == 0) {
    return Error{ErrorCode::invalid_argument,
                 "bench: --prompt 0 and --generate 0 leave nothing to measure"};
  }
  return plan;
}

/// The same ordinary tokens on every run: what they are does not matter for the time, but special
/// ones may be absent from a vocabulary.
std::vector<TokenId> made_up_tokens(const Tokenizer& tokenizer, int32_t count) {
  std::vector<TokenId> tokens;
  uint32_t state = 1;
  const auto size = static_cast<uint32_t>(tokenizer.vocabulary_size());
  while (tokens.size() < static_cast<size_t>(count)) {
    state = state * 1664525U + 1013904223U;
    const auto id = static_cast<TokenId>((state >> 8) % size);
    if (tokenizer.kind(id) == TokenKind::normal || size < 1000) tokens.push_back(id);
  }
  return tokens;
}

struct OneRun {
  RequestStats stats;
  std::vector<TokenId> tokens;
};

Result<OneRun> run_once(LoadedModel& model, std::vector<TokenId> prompt, int32_t generate) {
  Request request;
  request.tokens = std::move(prompt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = generate;
  request.sampling.ignore_eos = true;
  SQ_TRY(RequestHandle handle, model.engine().submit(std::move(request)));
  OneRun out;
  while (!handle.finished()) {
    if (interrupted()) return Error{ErrorCode::cancelled, "interrupted"};
    const auto event = handle.next(std::chrono::milliseconds(100));
    if (!event) continue;
    if (event->error) return *event->error;
    if (!event->is_terminal()) out.tokens.push_back(event->token);
  }
  out.stats = handle.stats();
  return out;
}

uint64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

void show_step(const Terminal& terminal, std::string_view what, int64_t index, int64_t count) {
  if (terminal.talk_is_terminal()) talk(fmt::format("\r\x1b[K{} {} of {}", what, index + 1, count));
}

Result<Measurement> measure(const Terminal& terminal, LoadedModel& model, const Plan& plan) {
  Measurement out;
  const std::vector<TokenId> prompt = made_up_tokens(model.tokenizer(), plan.prompt);
  const std::vector<TokenId> start = made_up_tokens(model.tokenizer(), 1);
  // One run that does not count: pages are touched, buffers grow, the clock of the processor
  // settles.
  SQ_TRY(const OneRun warm, run_once(model, prompt.empty() ? start : prompt, kWarmUpTokens));
  static_cast<void>(warm);
  for (int64_t i = 0; i < plan.repeat && plan.prompt > 0; ++i) {
    show_step(terminal, "prompt", i, plan.repeat);
    SQ_TRY(const OneRun run, run_once(model, prompt, 1));
    out.prompt.runs.push_back(plan.prompt / (run.stats.prefill_ms / 1000));
  }
  for (int64_t i = 0; i < plan.repeat && plan.generate > 1; ++i) {
    show_step(terminal, "generate", i, plan.repeat);
    SQ_TRY(const OneRun run, run_once(model, start, plan.generate));
    out.generate.runs.push_back(decode_rate(run.stats));
    out.hash = token_hash(run.tokens);
  }
  out.peak_bytes = peak_memory_bytes();
  if (terminal.talk_is_terminal()) talk("\r\x1b[K");
  return out;
}

double share_of_bandwidth(const Measurement& measured, uint64_t bytes_per_token) {
  return measured.bandwidth > 0 ? measured.generate.median() *
                                      static_cast<double>(bytes_per_token) / measured.bandwidth
                                : 0;
}

std::string speed_text(const Speeds& speeds) {
  if (speeds.runs.empty()) return "";
  return fmt::format("{:.1f} tok/s (median of {}; {:.1f} to {:.1f})", speeds.median(),
                     speeds.runs.size(), speeds.lowest(), speeds.highest());
}

std::string rate_text(double bytes_per_second) {
  return fmt::format("{:.1f} GB/s", bytes_per_second / 1e9);
}

void print_facts(const Terminal& terminal, const hub::LocalModel& local, const LoadedModel& model,
                 const Plan& plan, const Measurement& measured) {
  const uint64_t bytes = model.model().bytes_per_token();
  Facts facts;
  facts.add("model",
            fmt::format("{} ({}, {}, {})", local.id, model.config().architecture,
                        model.config().quantization, human_bytes(model.files().file_bytes())));
  facts.add("backend", model.backend().description());
  facts.add("open to ready", fmt::format("{:.1f} ms", measured.open_ms));
  facts.add(fmt::format("prompt {}", plan.prompt), speed_text(measured.prompt));
  facts.add(fmt::format("generate {}", plan.generate), speed_text(measured.generate));
  facts.add("read per token", human_bytes(bytes));
  if (!measured.generate.runs.empty()) {
    facts.add(
        "memory",
        fmt::format("{} of {} measured ({:.0f} %)",
                    rate_text(measured.generate.median() * static_cast<double>(bytes)),
                    rate_text(measured.bandwidth), 100 * share_of_bandwidth(measured, bytes)));
    facts.add("tokens", measured.hash);
  }
  facts.add("peak memory", human_bytes(measured.peak_bytes));
  print(facts.text(terminal));
}

Value speeds_value(const Speeds& speeds, int32_t tokens) {
  if (speeds.runs.empty()) return Value::none();
  Value::List runs;
  for (const double run : speeds.runs) runs.push_back(json_number(run));
  return Value::dict({{"tokens", tokens},
                      {"tokens_per_second", json_number(speeds.median())},
                      {"lowest", json_number(speeds.lowest())},
                      {"highest", json_number(speeds.highest())},
                      {"runs", Value::list(std::move(runs))}});
}

void print_json_facts(const hub::LocalModel& local, const LoadedModel& model, const Plan& plan,
                      const Measurement& measured) {
  const uint64_t bytes = model.model().bytes_per_token();
  print_json(Value::dict({{"model", json_text(local.id)},
                          {"path", json_text(local.path)},
                          {"architecture", json_text(model.config().architecture)},
                          {"quantization", json_text(model.config().quantization)},
                          {"file_bytes", json_count(model.files().file_bytes())},
                          {"backend", json_text(model.backend().description())},
                          {"threads", model.backend().thread_count()},
                          {"open_ms", json_number(measured.open_ms)},
                          {"prompt", speeds_value(measured.prompt, plan.prompt)},
                          {"generate", speeds_value(measured.generate, plan.generate)},
                          {"bytes_per_token", json_count(bytes)},
                          {"memory_bytes_per_second", json_number(measured.bandwidth, 0)},
                          {"memory_share", json_number(share_of_bandwidth(measured, bytes))},
                          {"token_hash", json_text_or_null(measured.hash)},
                          {"peak_memory_bytes", json_count(measured.peak_bytes)}}));
}

Result<int> run(Context& context, const Arguments& arguments) {
  if (wants_kernel_bench(arguments)) return run_kernel_bench(context, arguments);
  SQ_TRY(const Plan plan, make_plan(arguments));
  SQ_TRY(const hub::LocalModel local,
         find_local_model(context, arguments.text("MODEL").value_or("")));
  SQ_TRY(LoadOptions options, load_options(context, arguments));
  if (options.engine.context_tokens == 0)
    options.engine.context_tokens = std::max(plan.prompt, plan.generate) + kWarmUpTokens + 1;
  options.engine.sequences_max = 1;
  options.engine.prefix_cache = false;  // the same prompt comes again and again
  options.engine.speculation = arguments.has("--speculation");
  StartupTrace trace;
  SQ_TRY(const std::unique_ptr<LoadedModel> model, LoadedModel::open(local.path, options, &trace));
  SQ_TRY(Measurement measured, measure(context.terminal, *model, plan));
  measured.open_ms = trace.total_ms();
  if (!measured.generate.runs.empty()) {
    ThreadPool pool(model->backend().thread_count());
    SQ_TRY(measured.bandwidth, measure_read_bandwidth(pool));
  }
  if (arguments.has("--json")) {
    print_json_facts(local, *model, plan, measured);
  } else {
    print_facts(context.terminal, local, *model, plan, measured);
  }
  return 0;
}

}  // namespace

Verb make_bench_verb() {
  Verb verb = {
      .name = "bench",
      .summary = "Measure the speed of a model, or of one product, on this machine",
      .details =
          "Prompt: tokens per second of one prompt of that length. Generate: tokens per second "
          "after the first token.\n"
          "Memory: what generating reads, beside what the same threads read from memory in the "
          "same run.\n"
          "With --format (or --batch, --in-features, ...): one product of random matrices, its "
          "times, "
          "and its error against the reference.",
      .arguments = {{.name = "MODEL",
                     .completion = Completion::model,
                     .help = "a name or path; without it the default model"}},
      .options = {{.flag = "--prompt",
                   .short_flag = "-p",
                   .value = "N",
                   .help = "tokens of the prompt; 0 leaves this part out (default 512)"},
                  {.flag = "--generate",
                   .short_flag = "-g",
                   .value = "N",
                   .help = "tokens to generate; 0 leaves this part out (default 128)"},
                  {.flag = "--repeat",
                   .short_flag = "-r",
                   .value = "N",
                   .help = "runs of each, after one that does not count (default 5)"},
                  {.flag = "--speculation",
                   .help = "let it guess tokens that the text had before; without it each step "
                           "makes one token"},
                  {.flag = "--json", .help = "a JSON object"}},
      .groups = {OptionGroup::load},
      .run = run,
  };
  for (const OptionRow& row : kernel_bench_options()) verb.options.push_back(row);
  return verb;
}

}  // namespace squish::cli
