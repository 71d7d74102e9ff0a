// squish quantize-remote
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "cli/compress_run.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/progress.h"
#include "cli/publish_model.h"
#include "cli/publish_report.h"
#include "cli/publish_targets.h"
#include "cli/pull_model.h"
#include "cli/verb_rows.h"
#include "compress/memory.h"
#include "compress/output.h"
#include "compress/report.h"
#include "compress/room.h"
#include "engine/engine_options.h"
#include "hub/names.h"

namespace squish::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSamples = 20;
constexpr int64_t kSamplesMax = 2048;
constexpr size_t kSampleTokens = 512;
constexpr uint64_t kReportBytesMax = 16 * limits::kMiB;

/// What one call asks for.
struct Job {
  hub::HfReference source;
  std::string models;  // the directory that the source goes to
  const compress::FormatRow* format = nullptr;
  compress::CompressOptions compress;
  compress::Calibration calibration = compress::Calibration::none;
  std::optional<PublishTarget> target;
  PublishOptions publish;
  bool is_verbose = false;
};

/// "repo" of "org/repo".
std::string name_in(const std::string& repository) {
  return repository.substr(repository.find('/') + 1);
}

Status check_flags(const Arguments& arguments) {
  if (arguments.has("--int8")) {
    SQ_TRY_STATUS(
        arguments.refuse({"--no-awq", "--awq-samples"}, "is about calibration, and int8 has none"));
  }
  if (arguments.has("--no-awq")) {
    SQ_TRY_STATUS(
        arguments.refuse({"--awq-samples"}, "says how much is read, and --no-awq reads nothing"));
  }
  if (arguments.has("--push")) return {};
  return arguments.refuse({"--private", "--commit-message"}, "is for --push REPO");
}

Result<Job> read_job(Context& context, const Arguments& arguments) {
  Job job;
  SQ_TRY_STATUS(check_flags(arguments));
  const std::string given = arguments.text("REPO").value_or("");
  SQ_TRY(job.source, hub::parse_hf_reference(hub::is_hf_reference(given) ? given : "hf:" + given));
  SQ_TRY(const hub::Paths paths, context.paths());
  job.models = paths.models;
  std::error_code error;
  if (const auto models = arguments.text("--models-dir"))
    job.models = compress::output_path(fs::absolute(*models, error).lexically_normal().string());
  const std::string format = arguments.has("--int8") ? "int8" : "int4";
  SQ_TRY(job.format, compress::find_format(format));
  job.compress.format = format;
  job.compress.output =
      arguments.text("--output")
          .value_or(fmt::format("{}/{}-{}", job.models, name_in(job.source.repository), format));
  job.compress.calibrate = !arguments.has("--no-awq");
  if (job.compress.calibrate) job.calibration = job.format->calibration;
  SQ_TRY(const auto samples, arguments.integer("--awq-samples", 1, kSamplesMax));
  job.compress.calibration_tokens =
      static_cast<size_t>(samples ? *samples : kSamples) * kSampleTokens;
  SQ_TRY(const LoadOptions load, load_options(context, arguments));
  job.compress.threads = load.threads == 0 ? usable_cpu_count() : load.threads;
  SQ_TRY(job.publish, publish_options(arguments));
  job.publish.base_model = job.source.repository;
  if (const auto repository = arguments.text("--push")) {
    job.target.emplace();
    SQ_TRY_STATUS(set_repository(*repository, *job.target));
    job.target->model = fs::absolute(job.compress.output, error).lexically_normal().string();
  }
  job.is_verbose = arguments.has("--verbose");
  return job;
}

/// Whether a report of compress says that it made this of that source, in this way.
bool is_result_of(const Job& job, const Value& report) {
  const std::string source = text_below(report, {"source"});
  const std::string& repository = job.source.repository;
  const bool is_named = job.source.file.empty() ? source == name_in(repository) ||
                                                      source == replace_all(repository, "/", "--")
                                                : source == hub::base_name(job.source.file);
  const size_t tokens = job.compress.calibration_tokens;
  return is_named && text_below(report, {"format"}) == job.compress.format &&
         text_below(report, {"calibration"}) ==
             compress::calibration_note(job.calibration, tokens, true);
}

/// True: an earlier call of the same words came to its end. Errors: invalid_argument for anything
/// else at the place of the result.
Result<bool> is_made(const Job& job) {
  const std::string output = compress::output_path(job.compress.output);
  std::error_code error;
  if (!fs::exists(output, error) || (is_directory(output) && fs::is_empty(output, error)))
    return false;
  const Result<std::string> text = read_file(output + "/report.json", kReportBytesMax);
  if (text) {
    const auto report = parse_json(*text);
    if (report && is_result_of(job, *report)) return true;
  }
  return Error{ErrorCode::invalid_argument,
               fmt::format("{} exists already and is not what these words make; name another "
                           "--output or delete it",
                           printable(output, 512))};
}

uint64_t bytes_in(const std::string& directory) {
  uint64_t sum = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    std::error_code failed;
    const uint64_t bytes = entry.file_size(failed);
    if (!failed) sum += bytes;
  }
  return sum;
}

/// "calibrated as a whole (2 x 988 MB + 2 GB = 3.98 GB, this machine has 25.2 GB)"
std::string way_text(const Job& job, const compress::Room& room, uint64_t memory_bytes) {
  const bool is_whole = room.reading == compress::Reading::whole;
  const char* work =
      job.calibration == compress::Calibration::none ? "coded without calibration" : "calibrated";
  return fmt::format("{} {}: 2 x {} + 2 GB = {} of memory, and this machine has {}", work,
                     is_whole ? "as a whole" : "layer by layer from the disk",
                     human_bytes(room.source_bytes), human_bytes(room.peak_bytes),
                     human_bytes(memory_bytes));
}

/// Says which way the model takes. Errors: io where a disk has no room for it.
Status decide(const Job& job, const compress::ListedModel& model, size_t file_count,
              uint64_t missing_bytes, hub::ProgressSink& progress) {
  const uint64_t memory_bytes = machine_memory_bytes();
  const compress::Room room = compress::room_for(model, *job.format, memory_bytes);
  progress.on_note(fmt::format("{}: {} of weights in {} file{}, {}", job.source.repository,
                               human_bytes(model.weight_bytes), file_count,
                               file_count == 1 ? "" : "s", way_text(job, room, memory_bytes)));
  const std::string output = compress::output_path(job.compress.output);
  compress::DiskNeeds needs{job.models, missing_bytes, output, room.result_bytes};
  needs.output_bytes += std::min(room.unpacked_bytes, UINT64_MAX - room.result_bytes);
  // An interrupted run has taken its room already.
  const uint64_t there = bytes_in(compress::partial_path(output)) + bytes_in(output + ".unpacked");
  needs.output_bytes -= std::min(there, needs.output_bytes);
  if (job.is_verbose) {
    progress.on_note(fmt::format("  {} to fetch into {}, at most {} to write to {}",
                                 human_bytes(needs.source_bytes), needs.source,
                                 human_bytes(needs.output_bytes), output));
  }
  return compress::check_disk(needs);
}

void list_files(const std::vector<hub::HubFile>& files, hub::ProgressSink& progress) {
  for (const hub::HubFile& file : files)
    progress.on_note(fmt::format("  {} {}", printable(file.path), human_bytes(file.bytes)));
}

/// The source in the models directory. Errors: those of hub::pull and of decide(), before any byte
/// of a weight came.
Result<hub::PulledModel> fetch(Context& context, const Job& job, ProgressLine& line) {
  PullOptions options;
  options.source = job.source.text();
  options.models_directory = job.models;
  options.token = job.publish.token;
  options.choice = hub::WeightChoice::original;
  options.approve = [&](const hub::HfPlan& plan, uint64_t missing_bytes) -> Status {
    if (job.is_verbose) list_files(plan.files, line);
    compress::ListedModel model{0, plan.packed_bits};
    const std::vector<hub::HubFile> weights = plan.weights();
    for (const hub::HubFile& file : weights) model.weight_bytes += file.bytes;
    return decide(job, model, weights.size(), missing_bytes, line);
  };
  SQ_TRY(hub::PulledModel pulled, pull_model(context, options, line));
  line.clear();
  if (!pulled.already_present) return pulled;
  hub::HfPlan plan;
  for (const hub::StoredFile& file : pulled.files)
    plan.files.push_back({file.name, file.bytes, file.sha256, ""});
  line.on_note(fmt::format("{} is already here: {}", pulled.id, pulled.path));
  SQ_TRY_STATUS(options.approve(plan, 0));
  return pulled;
}

Status code(const Context& context, const Job& job, const std::string& path) {
  compress::CompressOptions options = job.compress;
  options.input = path;
  // A packed source has no plan before it is unpacked; the run itself says what is wrong with it.
  if (const auto preview = compress::preview(options)) {
    if (job.is_verbose) print_plan(context, *preview, options);
    const uint64_t available = compress::available_memory();
    const bool is_calibrated = job.calibration != compress::Calibration::none;
    if (is_calibrated && available != 0 && preview->peak_memory_bytes > available) {
      return Error{ErrorCode::refused,
                   fmt::format("this run takes {} of memory besides the pages of its files, {} is "
                               "available; use fewer --awq-samples, or --no-awq",
                               human_bytes(preview->peak_memory_bytes), human_bytes(available))};
    }
  }
  return compress_and_tell(context, options, false);
}

Status send(Context& context, const Arguments& arguments, const Job& job, ProgressLine& line) {
  const PublishOutcome outcome = publish_model(context, arguments, job.publish, *job.target, line);
  line.clear();
  if (!outcome.error) {
    print(push_text(context.terminal, outcome));
    return {};
  }
  line.on_note(fmt::format("the result stays in {}: squish push sends it", job.target->model));
  return *outcome.error;
}

Result<int> run(Context& context, const Arguments& arguments) {
  SQ_TRY(const Job job, read_job(context, arguments));
  SQ_TRY(const bool is_there, is_made(job));
  ProgressLine line(context.terminal);
  if (job.target) {
    if (context.environment.flag("SQUISH_OFFLINE")) {
      return Error{ErrorCode::unsupported,
                   "--push needs the network, and SQUISH_OFFLINE (or --offline) forbids it"};
    }
    SQ_TRY_STATUS(check_destination(context, job.publish, *job.target, line));
  }
  if (is_there) {
    print(fmt::format("{} is already there\n", job.compress.output));
  } else {
    SQ_TRY(const hub::PulledModel source, fetch(context, job, line));
    SQ_TRY_STATUS(code(context, job, source.path));
    print(fmt::format("The source stays in {}\n", source.directory));
  }
  if (job.target) SQ_TRY_STATUS(send(context, arguments, job, line));
  return 0;
}

}  // namespace

Verb make_quantize_remote_verb() {
  return {
      .name = "quantize-remote",
      .summary = "Fetch a model from the hub, compress it and, if asked, send the result",
      .details =
          "  squish quantize-remote Qwen/Qwen2.5-0.5B-Instruct\n"
          "  squish quantize-remote Qwen/Qwen2.5-7B --push org/Qwen2.5-7B-int4 --private\n"
          "  squish quantize-remote org/repo --int8 --output /data/repo-int8\n"
          "\n"
          "The sizes that the hub lists say whether twice the weights and 2 GB fit into this "
          "machine's memory. If not, the\n"
          "weights are read from the disk layer by layer: slower, the same bytes. Too little room "
          "on the disk (exit code 1),\n"
          "an unsafe repository (2) and a --push that could not work are told before any weight "
          "is fetched. The source is\n"
          "pulled into the models directory and stays; an interrupted run goes on with the same "
          "words. See docs/publish.md.",
      .arguments = {{.name = "REPO",
                     .required = true,
                     .help = "org/repo, hf:org/repo[@revision][:file], or its web address"}},
      .options = {{.flag = "--int8", .help = "8 bits a weight instead of 4"},
                  {.flag = "--no-awq", .help = "code the weights without looking at activations"},
                  {.flag = "--awq-samples",
                   .value = "N",
                   .help = "passages of 512 tokens that are read for it (default 20)"},
                  {.flag = "--push",
                   .value = "REPO",
                   .help = "send the result to this repository, as squish push does"},
                  {.flag = "--private",
                   .help = "with --push: a repository that has to be created is private"},
                  {.flag = "--commit-message",
                   .short_flag = "-m",
                   .value = "TEXT",
                   .help = "with --push: of the commit"},
                  {.flag = "--output",
                   .short_flag = "-o",
                   .value = "DIR",
                   .help = "the result (default: REPO's name and -int4 in the models directory)",
                   .completion = Completion::file},
                  {.flag = "--models-dir",
                   .value = "DIR",
                   .help = "where source and result go (default: the models directory)",
                   .completion = Completion::file},
                  {.flag = "--token",
                   .value = "TOKEN",
                   .help = "for the hub; else HF_TOKEN or HUGGING_FACE_HUB_TOKEN"},
                  {.flag = "--verbose",
                   .help = "list the files that are fetched, what goes to which disk, and the plan "
                           "tensor by tensor"}},
      .writes_files = true,
      .run = run,
  };
}

}  // namespace squish::cli
