// squish bench: speed of a model, beside the speed of the memory that it is read from.
#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <sys/resource.h>

#include "base/strings.h"
#include "chat/model_memory.h"
#include "cli/answer.h"
#include "cli/bandwidth.h"
#include "cli/json.h"
#include "cli/kernel_bench.h"
#include "cli/model_choice.h"
#include "cli/table.h"
#include "cli/verb_rows.h"
#include "model/arch_table.h"

namespace squish::cli {
namespace {

constexpr int64_t kTokensMax = 1'000'000;
constexpr int64_t kRepeatMax = 1000;
constexpr int64_t kSequencesMax = 256;
constexpr int kWarmUpTokens = 4;

struct Plan {
  int32_t prompt = 512;
  int32_t generate = 128;
  int64_t repeat = 5;
  int32_t sequences = 1;  // generating at a time
  int32_t depth = 0;      // tokens in the cache of each before it generates
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
  SQ_TRY(const auto sequences, arguments.integer("--sequences", 1, kSequencesMax));
  SQ_TRY(const auto depth, arguments.integer("--depth", 0, kTokensMax));
  plan.sequences = static_cast<int32_t>(sequences.value_or(plan.sequences));
  plan.depth = static_cast<int32_t>(depth.value_or(plan.depth));
  plan.prompt = static_cast<int32_t>(prompt.value_or(plan.prompt));
  plan.generate = static_cast<int32_t>(generate.value_or(plan.generate));
  plan.repeat = repeat.value_or(plan.repeat);
  if (plan.prompt == 0 && plan.generate == 0) {
    return Error{ErrorCode::invalid_argument,
                 "bench: --prompt 0 and --generate 0 leave nothing to measure"};
  }
  return plan;
}

/// Tokens of the longest sequence that `plan` makes. The last token of an answer is in no cache.
int32_t tokens_needed(const Plan& plan) {
  const int32_t answered = plan.generate > 1 ? std::max(1, plan.depth) + plan.generate - 1 : 0;
  return std::max(plan.prompt, answered);
}

/// The flags that ask for the longest sequence, with their values.
std::string longest_flags(const Plan& plan) {
  if (plan.prompt >= tokens_needed(plan)) return fmt::format("--prompt {}", plan.prompt);
  if (plan.depth == 0) return fmt::format("--generate {}", plan.generate);
  return fmt::format("--depth {} with --generate {}", plan.depth, plan.generate);
}

/// Errors: invalid_argument for a sequence beyond the context, which the engine would refuse or
/// cut, and for sequences whose caches are not all held at a time: the engine would measure their
/// waiting.
Status check_lengths(const Plan& plan, const std::string& path, const EngineOptions& engine) {
  const int32_t needed = tokens_needed(plan);
  SQ_TRY(const ModelFiles files, ModelFiles::open(path));
  SQ_TRY(const Network network, read_network(files, {.context_length = engine.context_tokens}));
  const int32_t trained = network.config.context_length;
  const bool is_set = engine.context_tokens > 0;
  const int32_t limit = is_set ? engine.context_tokens : trained;
  if (limit > 0 && needed > limit) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} takes a context of {} tokens, {} {}; ask for fewer, or for more "
                             "with --context {}",
                             longest_flags(plan), needed,
                             is_set ? "the context is set to" : "the model's is", limit, needed)};
  }
  EngineOptions wanted = engine;
  wanted.context_tokens = needed;
  wanted.sequences_max = plan.sequences;
  SQ_TRY(const ModelFootprint footprint, footprint_of(files, network.config, wanted));
  const uint64_t cache_bytes = static_cast<uint64_t>(footprint.pages_least) *
                               static_cast<uint64_t>(plan.sequences) * footprint.page;
  const uint64_t memory_bytes = machine_memory_bytes();
  const auto share_bytes =
      static_cast<uint64_t>(kKvMemoryShare * static_cast<double>(memory_bytes));
  const uint64_t limit_bytes = plan.sequences > 1 ? share_bytes : memory_bytes;
  if (cache_bytes <= limit_bytes) return {};
  return Error{ErrorCode::invalid_argument,
               fmt::format("--sequences {} of {} tokens each ({}) take {} of cache, this machine "
                           "gives {}; ask for fewer sequences or tokens",
                           plan.sequences, needed, longest_flags(plan), human_bytes(cache_bytes),
                           human_bytes(limit_bytes))};
}

/// The same ordinary tokens for the same `seed`: what they are does not matter for the time, but
/// special ones may be absent from a vocabulary.
std::vector<TokenId> made_up_tokens(const Tokenizer& tokenizer, int32_t count, uint32_t seed) {
  std::vector<TokenId> tokens;
  uint32_t state = seed;
  const auto size = static_cast<uint32_t>(tokenizer.vocabulary_size());
  while (tokens.size() < static_cast<size_t>(count)) {
    state = state * 1664525U + 1013904223U;
    const auto id = static_cast<TokenId>((state >> 8) % size);
    if (tokenizer.kind(id) == TokenKind::normal || size < 1000) tokens.push_back(id);
  }
  return tokens;
}

struct OneRun {
  double prefill_ms = 0;  // of the last sequence
  double rate = 0;        // tokens a second of all sequences, from the first one's first token on
  std::vector<TokenId> tokens;
};

/// Generates for all prompts at once.
Result<OneRun> run_once(LoadedModel& model, const std::vector<std::vector<TokenId>>& prompts,
                        int32_t generate) {
  using Clock = std::chrono::steady_clock;
  const auto milliseconds = [](Clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
  };
  const Clock::time_point begin = Clock::now();
  std::vector<RequestHandle> handles;
  std::vector<double> submitted_ms;
  for (const std::vector<TokenId>& prompt : prompts) {
    Request request;
    request.tokens = prompt;
    request.sampling.temperature = 0;
    request.sampling.max_tokens = generate;
    request.sampling.ignore_eos = true;
    submitted_ms.push_back(milliseconds(Clock::now() - begin));
    SQ_TRY(RequestHandle handle, model.engine().submit(std::move(request)));
    handles.push_back(std::move(handle));
  }
  OneRun out;
  int64_t tokens = 0;
  double first_ms = 0;
  double last_ms = 0;
  for (size_t i = 0; i < handles.size(); ++i) {
    RequestHandle& handle = handles[i];
    while (!handle.finished()) {
      if (interrupted()) return Error{ErrorCode::cancelled, "interrupted"};
      const auto event = handle.next(std::chrono::milliseconds(100));
      if (!event) continue;
      if (event->error) return *event->error;
      if (!event->is_terminal()) out.tokens.push_back(event->token);
    }
    const RequestStats& stats = handle.stats();
    const double first = submitted_ms[i] + stats.queue_ms + stats.prefill_ms;
    first_ms = i == 0 ? first : std::min(first_ms, first);
    last_ms = std::max(last_ms, first + stats.decode_ms);
    tokens += stats.generated_tokens - 1;
    out.prefill_ms = stats.prefill_ms;
  }
  if (last_ms > first_ms) out.rate = static_cast<double>(tokens) / ((last_ms - first_ms) / 1000);
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
  const Tokenizer& tokenizer = model.tokenizer();
  std::vector<std::vector<TokenId>> starts;
  starts.reserve(static_cast<size_t>(plan.sequences));
  for (int32_t i = 0; i < plan.sequences; ++i) {
    starts.push_back(
        made_up_tokens(tokenizer, std::max(1, plan.depth), 1 + static_cast<uint32_t>(i)));
  }
  // Not those of a start: with --depth the cache of prefixes is on.
  const auto prompt = [&](int64_t i) {
    // With its type spelled out: vector{a vector} is a copy of that vector.
    return std::vector<std::vector<TokenId>>{
        made_up_tokens(tokenizer, plan.prompt, 1'000'000 + static_cast<uint32_t>(i))};
  };
  // One run that does not count: pages are touched, buffers grow, the clock of the processor
  // settles; with --depth the starts are computed.
  if (plan.generate > 1 || plan.depth > 0) show_step(terminal, "warming up", 0, 1);
  SQ_TRY(const OneRun warm,
         run_once(model, plan.generate > 1 ? starts : prompt(-1), kWarmUpTokens));
  static_cast<void>(warm);
  for (int64_t i = 0; i < plan.repeat && plan.prompt > 0; ++i) {
    show_step(terminal, "prompt", i, plan.repeat);
    SQ_TRY(const OneRun run, run_once(model, prompt(i), 1));
    out.prompt.runs.push_back(plan.prompt / (run.prefill_ms / 1000));
  }
  for (int64_t i = 0; i < plan.repeat && plan.generate > 1; ++i) {
    show_step(terminal, "generate", i, plan.repeat);
    SQ_TRY(const OneRun run, run_once(model, starts, plan.generate));
    out.generate.runs.push_back(run.rate);
    out.hash = token_hash(run.tokens);
  }
  out.peak_bytes = peak_memory_bytes();
  if (terminal.talk_is_terminal()) talk("\r\x1b[K");
  return out;
}

/// Weights read a second while generating: once for each step, which makes a token of every
/// sequence.
double bytes_read(const Measurement& measured, const Plan& plan, uint64_t bytes_per_token) {
  return measured.generate.median() / plan.sequences * static_cast<double>(bytes_per_token);
}

double share_of_bandwidth(const Measurement& measured, const Plan& plan, uint64_t bytes_per_token) {
  return measured.bandwidth > 0 ? bytes_read(measured, plan, bytes_per_token) / measured.bandwidth
                                : 0;
}

std::string generate_name(const Plan& plan) {
  std::string name = fmt::format("generate {}", plan.generate);
  if (plan.sequences > 1) name += fmt::format(", {} at once", plan.sequences);
  if (plan.depth > 0) name += fmt::format(", after {}", plan.depth);
  return name;
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
  facts.add(generate_name(plan), speed_text(measured.generate));
  facts.add("read per step", human_bytes(bytes));
  if (!measured.generate.runs.empty()) {
    facts.add("memory", fmt::format("{} of {} measured ({:.0f} %)",
                                    rate_text(bytes_read(measured, plan, bytes)),
                                    rate_text(measured.bandwidth),
                                    100 * share_of_bandwidth(measured, plan, bytes)));
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
                          {"sequences", plan.sequences},
                          {"depth", plan.depth},
                          {"bytes_per_token", json_count(bytes)},
                          {"memory_bytes_per_second", json_number(measured.bandwidth, 0)},
                          {"memory_share", json_number(share_of_bandwidth(measured, plan, bytes))},
                          {"token_hash", json_text_or_null(measured.hash)},
                          {"peak_memory_bytes", json_count(measured.peak_bytes)}}));
}

Result<int> run(Context& context, const Arguments& arguments) {
  if (wants_kernel_bench(arguments)) return run_kernel_bench(context, arguments);
  SQ_TRY(const Plan plan, make_plan(arguments));
  SQ_TRY(const hub::LocalModel local,
         find_local_model(context, arguments.text("MODEL").value_or("")));
  SQ_TRY(LoadOptions options, load_options(context, arguments));
  SQ_TRY_STATUS(check_lengths(plan, local.path, options.engine));
  if (options.engine.context_tokens == 0)
    options.engine.context_tokens = tokens_needed(plan) + kWarmUpTokens + 1;
  options.engine.sequences_max = plan.sequences;
  // Only what comes before generating may be kept from run to run; prompts differ.
  options.engine.prefix_cache = plan.depth > 0;
  options.engine.cache_answers = false;
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
          "Memory: what generating reads of the weights, beside what the same threads read from "
          "memory in the "
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
                  {.flag = "--sequences",
                   .value = "N",
                   .help = "answers generated together; the rate is that of all (default 1)"},
                  {.flag = "--depth",
                   .value = "N",
                   .help = "tokens that each answer has before it (default 1)"},
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
