// squish eval: how good a model is, and how far from another.
#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/cpu_count.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "chat/loaded_model.h"
#include "cli/eval_chart.h"
#include "cli/eval_run.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/verb_rows.h"
#include "evaluate/data_file.h"

namespace squish::cli {
namespace {

constexpr std::string_view kDefaultTasks =
    "arc_easy,arc_challenge,hellaswag,winogrande,piqa,openbookqa";
constexpr std::string_view kTextTask = "wikitext2";
constexpr int64_t kCountMax = 1'000'000'000;
constexpr int64_t kContextMax = 1 << 20;
/// For the choice between sets of rope factors (see ModelOptions): questions are short.
constexpr int kQuestionTokens = 4096;

struct Options {
  std::vector<const Task*> tasks;
  bool has_text = false;
  QuestionOptions questions;
  size_t context = 512;
  size_t tokens_max = 0;
  size_t length_max = 0;
  std::string data;
  std::string text_file;
};

Result<size_t> count_of(const Arguments& arguments, std::string_view flag, int64_t minimum,
                        int64_t maximum, size_t otherwise) {
  SQ_TRY(const auto value, arguments.integer(flag, minimum, maximum));
  return value ? static_cast<size_t>(*value) : otherwise;
}

Result<Options> read_options(const Context& context, const Arguments& arguments) {
  Options out;
  const std::string names = arguments.text("--tasks").value_or(std::string(kDefaultTasks));
  for (const std::string_view piece : split(names, ',')) {
    const std::string_view name = trim(piece);
    if (name == kTextTask) {
      out.has_text = true;
      continue;
    }
    SQ_TRY(const Task* const task, find_task(name));
    if (std::ranges::find(out.tasks, task) == out.tasks.end()) out.tasks.push_back(task);
  }
  SQ_TRY(out.questions.limit, count_of(arguments, "--limit", 1, kCountMax, 0));
  SQ_TRY(out.questions.examples, count_of(arguments, "--fewshot", 0, 1000, 0));
  SQ_TRY(out.questions.seed, count_of(arguments, "--seed", 0, INT64_MAX, 1234));
  SQ_TRY(out.context, count_of(arguments, "--context", 4, kContextMax, 512));
  SQ_TRY(out.tokens_max, count_of(arguments, "--tokens", 4, kCountMax, 0));
  SQ_TRY(out.length_max, count_of(arguments, "--max-length", 8, kContextMax, 0));
  out.text_file = arguments.text("--text").value_or("");
  if (arguments.has("--chart") && (!out.has_text || !arguments.has("--baseline"))) {
    return Error{ErrorCode::invalid_argument,
                 "--chart draws KL divergence against size: it needs the task wikitext2 and a "
                 "--baseline"};
  }
  if (!out.has_text) {
    SQ_TRY_STATUS(
        arguments.refuse({"--text", "--context", "--tokens"},
                         "is for the text of the task wikitext2, which is not among the --tasks"));
  }
  if (out.tasks.empty()) {
    SQ_TRY_STATUS(
        arguments.refuse({"--limit", "--fewshot", "--seed", "--max-length", "--dump-loglikelihood"},
                         "is for tasks with questions, and wikitext2 has none"));
  }
  if (const auto data = arguments.text("--data")) {
    out.data = *data;
  } else {
    SQ_TRY(const hub::Paths paths, context.paths());
    out.data = paths.home + "/eval";
  }
  return out;
}

Result<std::string> find_text_file(const Options& options) {
  if (!options.text_file.empty()) return options.text_file;
  constexpr std::array<std::string_view, 3> kNames = {"wiki.test.raw", "wiki.test.raw.gz",
                                                      "wikitext2.txt"};
  for (const std::string_view name : kNames) {
    for (const std::string_view folder : {"", "text/"}) {
      const std::string path = fmt::format("{}/{}{}", options.data, folder, name);
      if (file_exists(path)) return path;
    }
  }
  return Error{ErrorCode::not_found,
               fmt::format("wikitext2: no text in {}: it needs one of {}; --data names another "
                           "directory, --text a file",
                           printable(options.data, 200), fmt::join(kNames, ", "))};
}

/// All data, read before any model runs: what is wrong with it is said at once.
struct Plans {
  std::vector<TaskPlan> tasks;
  std::optional<TextPlan> text;
};

Result<Plans> read_plans(const Options& options) {
  Plans out;
  if (options.has_text) {
    TextPlan plan;
    SQ_TRY(plan.file, find_text_file(options));
    SQ_TRY(plan.text, read_text_file(plan.file, limits::kPromptBytesMax));
    plan.context = options.context;
    plan.tokens_max = options.tokens_max;
    out.text = std::move(plan);
  }
  for (const Task* task : options.tasks) {
    TaskPlan plan;
    plan.task = task;
    SQ_TRY(plan.file, find_task_file(*task, options.data));
    SQ_TRY(plan.questions, read_questions(*task, options.data, options.questions));
    out.tasks.push_back(std::move(plan));
  }
  return out;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), size};
}

Status write_outputs(const Arguments& arguments, const EvalReport& report,
                     const std::string& likelihoods) {
  if (const auto path = arguments.text("--dump-loglikelihood")) {
    SQ_TRY_STATUS(write_file_atomic(*path, as_bytes(likelihoods)));
  }
  if (const auto directory = arguments.text("--output-dir")) {
    SQ_TRY_STATUS(make_directories(*directory));
    SQ_TRY(
        const std::string text,
        to_json(report_value(report),
                {.indented = true, .indent = "  ", .item_separator = ",", .key_separator = ": "}));
    const std::string path = fmt::format("{}/{}", *directory, report_file_name(report));
    SQ_TRY_STATUS(write_file_atomic(path, as_bytes(text + "\n")));
    talk(fmt::format("wrote {}\n", path));
  }
  return {};
}

/// The chart as a file, and on stdout where that is for people.
Status write_chart(const Context& context, const Arguments& arguments, const Chart& chart) {
  const std::string title = fmt::format("What is lost of {}", chart.baseline);
  SQ_TRY_STATUS(write_file_atomic(arguments.text("--chart").value_or(""),
                                  as_bytes(chart_svg(chart.points, title))));
  if (!arguments.has("--json")) {
    constexpr int kColumnsMax = 72;
    print("\n" +
          chart_text(chart.points, std::min(kColumnsMax, context.terminal.width() - 12), 14));
  }
  return {};
}

/// Answers and scores into `report`, as far as the person lets it run.
Status run_plans(EvalRunner& runner, const Plans& plans, const EvalModel& model,
                 const Options& options, bool wants_lines, EvalReport& report,
                 std::string& likelihoods) {
  if (plans.text) {
    auto outcome = runner.run(*plans.text);
    if (!outcome && outcome.error().code == ErrorCode::cancelled) return {};
    if (!outcome) return outcome.error();
    report.text = std::move(outcome).value();
  }
  for (const TaskPlan& plan : plans.tasks) {
    if (interrupted()) return {};
    SQ_TRY(TaskOutcome outcome, runner.run(plan));
    if (wants_lines) {
      SQ_TRY(const std::string lines, likelihood_lines(model, plan, outcome, options.length_max));
      likelihoods += lines;
    }
    if (!outcome.answers.empty()) report.tasks.push_back(std::move(outcome));
  }
  return {};
}

Result<int> run(Context& context, const Arguments& arguments) {
  if (arguments.has("--chart") && !arguments.has("MODEL")) {
    SQ_TRY(const Chart chart, chart_of_directory(arguments.text("--output-dir").value_or(".")));
    SQ_TRY_STATUS(write_chart(context, arguments, chart));
    if (arguments.has("--json")) {
      print_json(Value::dict({{"chart", json_text(*arguments.text("--chart"))},
                              {"points", json_count(chart.points.size())}}));
    }
    return 0;
  }
  SQ_TRY(const Options options, read_options(context, arguments));
  SQ_TRY(const hub::LocalModel local,
         find_local_model(context, arguments.text("MODEL").value_or("")));
  SQ_TRY(const Plans plans, read_plans(options));
  if (const auto directory = arguments.text("--output-dir"))
    SQ_TRY_STATUS(make_directories(*directory));
  SQ_TRY(const LoadOptions load, load_options(context, arguments));
  ThreadPool pool(load.threads == 0 ? compute_thread_count() : load.threads);
  SQ_TRY(const std::unique_ptr<Backend> backend, choose_backend(load, pool));
  const int tokens = std::max(kQuestionTokens, static_cast<int>(options.length_max));
  SQ_TRY(const std::unique_ptr<EvalModel> model, EvalModel::open(local, *backend, tokens));
  std::unique_ptr<EvalModel> baseline;
  if (const auto name = arguments.text("--baseline")) {
    SQ_TRY(const hub::LocalModel other, find_local_model(context, *name).at("--baseline"));
    SQ_TRY(baseline, EvalModel::open(other, *backend, tokens).at("--baseline"));
  }

  EvalReport report;
  report.model = model->subject();
  if (baseline) report.baseline = baseline->subject();
  report.backend = backend->description();
  report.timestamp = utc_now();
  report.limit = options.questions.limit;
  report.examples = options.questions.examples;
  report.seed = options.questions.seed;
  const auto begin = std::chrono::steady_clock::now();
  CountProgress progress(context.terminal);
  EvalRunner runner(pool, *model, baseline.get(), options.length_max, progress);
  std::string likelihoods;
  SQ_TRY_STATUS(run_plans(runner, plans, *model, options, arguments.has("--dump-loglikelihood"),
                          report, likelihoods));
  progress.clear();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  report.is_complete = !interrupted();
  if (!report.is_complete && report.tasks.empty() && !report.text)
    return Error{ErrorCode::cancelled, "interrupted before there was anything to report"};
  if (arguments.has("--json")) {
    print_json(report_value(report));
  } else {
    print(report_text(context.terminal, report));
  }
  // After the figures are out: a full disk must not cost hours of work.
  SQ_TRY_STATUS(write_outputs(arguments, report, likelihoods));
  if (arguments.has("--chart") && report.text) {
    SQ_TRY(const Chart chart, chart_beside(report, arguments.text("--output-dir").value_or("")));
    SQ_TRY_STATUS(write_chart(context, arguments, chart));
  }
  if (report.is_complete) return 0;
  talk("interrupted: these figures are of what was done by then\n");
  return error_row(ErrorCode::cancelled).exit_code;
}

constexpr std::string_view kDetails =
    "Tasks: wikitext2 (perplexity), arc_easy, arc_challenge, hellaswag, winogrande, piqa, "
    "openbookqa, mmlu.\n"
    "Questions are asked as lm-eval 0.4.13 asks them: acc is the choice of the highest "
    "log-likelihood, acc_norm of the\n"
    "highest per character. With --baseline both models answer the same questions and read the "
    "same text: differences\n"
    "in pairs, KL divergence from the baseline, and how often both have the same first choice. "
    "docs/eval.md says how.\n"
    "\n"
    "  squish eval smollm2:135m --tasks arc_easy --limit 500 --data evaldata\n"
    "  squish eval ./model-int4 --baseline ./model --tasks wikitext2 --tokens 20000 --data "
    "evaldata\n";

}  // namespace

Verb make_eval_verb() {
  return {
      .name = "eval",
      .summary = "Measure how good a model is, and how far from another",
      .details = kDetails,
      .arguments = {{.name = "MODEL",
                     .completion = Completion::model,
                     .help = "a name or path; without it the default model, or with --chart only "
                             "the drawing"}},
      .options =
          {{.flag = "--tasks",
            .value = "LIST",
            .help = "which, separated by commas (default arc_easy,arc_challenge,hellaswag,"
                    "winogrande,piqa,openbookqa)"},
           {.flag = "--data",
            .value = "DIR",
            .help = "where the data files lie (default: eval in the home of Squish)",
            .completion = Completion::file},
           {.flag = "--limit",
            .short_flag = "-l",
            .value = "N",
            .help = "only the first N questions of each task; of mmlu, of each subject"},
           {.flag = "--fewshot", .value = "N", .help = "examples before each question (default 0)"},
           {.flag = "--seed", .value = "N", .help = "of the draw of examples (default 1234)"},
           {.flag = "--max-length",
            .value = "N",
            .help = "tokens of a question and a choice; longer ones are cut from the left "
                    "(default: as the model was trained)"},
           {.flag = "--baseline",
            .short_flag = "-b",
            .value = "MODEL",
            .help = "another model to compare with",
            .completion = Completion::model},
           {.flag = "--text",
            .value = "FILE",
            .help = "another text for wikitext2",
            .completion = Completion::file},
           {.flag = "--context",
            .short_flag = "-c",
            .value = "N",
            .help = "tokens of a chunk of the text of wikitext2 (default 512)"},
           {.flag = "--tokens",
            .value = "N",
            .help = "only the first N tokens of the text of wikitext2"},
           {.flag = "--output-dir",
            .value = "DIR",
            .help = "write the report there too, as lmeval_MODEL_TIME.json",
            .completion = Completion::file},
           {.flag = "--chart",
            .value = "FILE",
            .help = "draw KL divergence against size as SVG, with all earlier reports of the same "
                    "baseline in --output-dir",
            .completion = Completion::file},
           {.flag = "--dump-loglikelihood",
            .value = "FILE",
            .help = "write each choice with its tokens and log-likelihood, a JSON object a line",
            .completion = Completion::file},
           {.flag = "--json", .help = "the report as a JSON object"},
           {.flag = "--threads",
            .short_flag = "-t",
            .value = "N",
            .help = "threads that compute; 0 = all that this process may use"},
           {.flag = "--backend",
            .value = "NAME",
            .help = "cpu, or ref: plain and slow, for comparison",
            .completion = Completion::backend},
           {.flag = "--isa",
            .value = "NAME",
            .help = "instruction set of the cpu backend (default: the best that this machine has)",
            .completion = Completion::isa}},
      .groups = {},
      .run = run,
  };
}

}  // namespace squish::cli
