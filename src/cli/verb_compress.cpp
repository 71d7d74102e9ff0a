// squish compress
#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/strings.h"
#include "cli/byte_size.h"
#include "cli/compress_compare.h"
#include "cli/compress_progress.h"
#include "cli/compress_run.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/npy_output.h"
#include "cli/verb_rows.h"
#include "compress/compress.h"
#include "compress/target.h"

namespace squish::cli {
namespace {

/// --target-bits and --target-size choose the format that has no size of its own.
Status read_target(const Arguments& arguments, compress::CompressOptions& options) {
  if (const auto text = arguments.text("--target-bits")) {
    options.target_bits = parse_double(*text);
    if (!options.target_bits || !(*options.target_bits > 0 && *options.target_bits <= 32)) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("--target-bits is '{}', expected bits a weight such as 2.5",
                               printable(*text, 32))};
    }
  }
  if (const auto text = arguments.text("--target-size")) {
    options.target_bytes = parse_bytes(*text);
    if (!options.target_bytes || *options.target_bytes == 0) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("--target-size is '{}', expected bytes, or a size such as 1.2GB",
                               printable(*text, 32))};
    }
  }
  const bool has_format = arguments.has("--format") || arguments.has("--int8") ||
                          arguments.has("--int4") || arguments.has("--int3");
  if ((options.target_bits || options.target_bytes) && !has_format) options.format = "mixed";
  return {};
}

/// --format, or its short form. Errors: more than one of them.
Result<std::string> read_format(const Arguments& arguments) {
  std::string given = arguments.has("--format") ? "--format" : "";
  std::string format = arguments.text("--format").value_or("int4");
  for (const std::string_view alias : {"int8", "int4", "int3"}) {
    const std::string flag = fmt::format("--{}", alias);
    if (!arguments.has(flag)) continue;
    if (!given.empty()) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("{} and {} are two answers to one question", flag,
                               given == "--format" ? given + " " + printable(format, 32) : given)};
    }
    given = flag;
    format = alias;
  }
  return format;
}

/// Flags that the rest of the command makes useless.
Status check_flags(const Arguments& arguments, const compress::CompressOptions& options) {
  if (!options.calibrate) {
    SQ_TRY_STATUS(
        arguments.refuse({"--calibration"}, "names what is read, and --no-awq reads nothing"));
  }
  if (options.format != kNpyFormat) {
    SQ_TRY_STATUS(arguments.refuse(
        {"--zstd-level"},
        fmt::format("is for --format {}: model.safetensors has no compression", kNpyFormat)));
  }
  for (const std::string& part : options.passthrough) {
    if (!part.empty()) continue;
    return Error{ErrorCode::invalid_argument,
                 "--passthrough is empty, and every name has that in it; give a part of a name"};
  }
  return {};
}

Result<compress::CompressOptions> options_of(Context& context, const Arguments& arguments,
                                             const hub::LocalModel& model) {
  compress::CompressOptions options;
  options.input = model.path;
  SQ_TRY(options.format, read_format(arguments));
  SQ_TRY_STATUS(read_target(arguments, options));
  const std::string given = arguments.text("MODEL").value_or("");
  if (const auto output = arguments.text("--output")) {
    options.output = *output;
  } else {
    SQ_TRY(options.output, default_output(context, model, given, options.format));
  }
  options.calibrate = !arguments.has("--no-awq");
  options.calibration_path = arguments.text("--calibration").value_or("");
  options.passthrough = arguments.all("--passthrough");
  SQ_TRY_STATUS(check_flags(arguments, options));
  options.force = arguments.has("--force");
  options.restart = arguments.has("--restart");
  options.delete_source = arguments.has("--delete-source");
  options.isa = arguments.text("--isa").value_or("");
  options.device = arguments.text("--device").value_or("cpu");
  SQ_TRY(const auto tokens, arguments.integer("--calibration-tokens", 512, 1 << 20));
  if (tokens) options.calibration_tokens = static_cast<size_t>(*tokens);
  SQ_TRY(const auto compared, arguments.integer("--compare-tokens", 0, 1 << 20));
  if (compared) options.evaluation_tokens = static_cast<size_t>(*compared);
  if (const auto text = arguments.text("--max-kl")) {
    options.kl_max = parse_double(*text);
    if (!options.kl_max || !(*options.kl_max >= 0)) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("--max-kl is '{}', expected a number of nats such as 0.05",
                               printable(*text, 32))};
    }
    if (options.evaluation_tokens == 0) {
      return Error{ErrorCode::invalid_argument,
                   "--max-kl needs the comparison that --compare-tokens 0 leaves out"};
    }
  }
  return options;
}

/// Types that follow from measurements are in the plan of a dry run, too.
Status route_preview(const Context& context, const compress::CompressOptions& options, bool is_json,
                     compress::Preview& preview) {
  ThreadPool pool(options.threads);
  catch_interrupt();
  CompressProgress progress(context.terminal, is_json);
  const Status routed =
      compress::route_dry(preview, options, pool, progress, [] { return interrupted().load(); });
  progress.clear();
  interrupted() = false;
  return routed;
}

Result<int> run(Context& context, const Arguments& arguments) {
  if (const auto reference = arguments.text("--compare")) {
    SQ_TRY_STATUS(arguments.refuse(
        {"--format", "--int8", "--int4", "--int3", "--target-bits", "--target-size", "--output",
         "--dry-run", "--no-awq", "--calibration", "--calibration-tokens", "--max-kl",
         "--passthrough", "--force", "--restart", "--delete-source", "--zstd-level", "--device"},
        "is about a new model, and --compare makes none"));
    return compare_two(context, arguments, *reference, arguments.text("MODEL").value_or(""));
  }
  SQ_TRY(const hub::LocalModel model,
         find_stored_model(context, arguments.text("MODEL").value_or("")));
  SQ_TRY(compress::CompressOptions options, options_of(context, arguments, model));
  SQ_TRY(const LoadOptions load, load_options(context, arguments));
  options.threads = load.threads == 0 ? usable_cpu_count() : load.threads;
  if (options.format == kNpyFormat && options.device != "cpu") {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--device {}: {} is made on the processor; use sq2, or --device cpu",
                             printable(options.device, 32), kNpyFormat)};
  }
  if (options.format == kNpyFormat) return compress_to_npy(context, arguments, options);
  const bool is_json = arguments.has("--json");
  if (arguments.has("--dry-run")) {
    SQ_TRY(compress::Preview preview, compress::preview(options));
    SQ_TRY_STATUS(route_preview(context, options, is_json, preview));
    if (is_json) {
      print_json_line(plan_value(preview, options));
    } else {
      print_plan(context, preview, options);
    }
    return 0;
  }
  SQ_TRY_STATUS(compress_and_tell(context, options, is_json));
  return 0;
}

std::string_view details() {
  static const std::string text = [] {
    std::string out =
        "  squish compress smollm2:135m                         int4, into the models directory\n"
        "  squish compress ./Qwen2.5-7B --format sq2            a Hugging Face directory\n"
        "  squish compress model.gguf --format int8 -o small    a GGUF file\n"
        "  squish compress model.gguf --target-bits 2.5         the best 2.5 bits a weight\n"
        "  squish compress --compare model.gguf model-sq2       size, loss and speed of both\n"
        "\n"
        "An interrupted run goes on where it stopped when the same command is given again. The\n"
        "source is only read. Formats:\n";
    for (const compress::FormatRow& row : compress::format_table()) {
      out += fmt::format("  {:<11}{}\n", row.name, row.summary);
    }
    out +=
        fmt::format("  {:<11}{}\n", kNpyFormat,
                    "an npy directory of another program's 2-bit codes: larger and worse than sq2");
    out.pop_back();
    return out;
  }();
  return text;
}

}  // namespace

Verb make_compress_verb() {
  return {
      .name = "compress",
      .summary = "Make a model smaller and say what was lost",
      .details = details(),
      .arguments = {{.name = "MODEL",
                     .required = true,
                     .completion = Completion::model,
                     .help =
                         "a GGUF file, a Hugging Face directory, or the name of a local model"}},
      .options =
          {{.flag = "--format", .value = "NAME", .help = "see the list above (default int4)"},
           {.flag = "--int8", .help = "--format int8"},
           {.flag = "--int4", .help = "--format int4"},
           {.flag = "--int3", .help = "--format int3"},
           {.flag = "--target-bits",
            .value = "X",
            .help = "choose types tensor by tensor so that model.safetensors has at most X bits a "
                    "weight and loses least"},
           {.flag = "--target-size",
            .value = "SIZE",
            .help = "the same for a size in bytes, or such as 1.2GB"},
           {.flag = "--output",
            .short_flag = "-o",
            .value = "DIR",
            .help = "the new model's directory (default: beside the source, NAME-FORMAT)",
            .completion = Completion::file},
           {.flag = "--compare",
            .value = "REFERENCE",
            .help = "make nothing: size, loss and speed of MODEL beside those of REFERENCE",
            .completion = Completion::model},
           {.flag = "--dry-run", .help = "show the plan tensor by tensor and end"},
           {.flag = "--no-awq", .help = "code the weights without looking at activations"},
           {.flag = "--calibration",
            .value = "FILE",
            .help = "a text file or a directory of them (default: a built-in text)",
            .completion = Completion::file},
           {.flag = "--calibration-tokens",
            .value = "N",
            .help = "how much of it is read (default 8192; for trellis codes 4 for each column of "
                    "the widest matrix, at most 32768)"},
           {.flag = "--compare-tokens",
            .value = "N",
            .help = "held-out text for the comparison at the end; 0 leaves it out (default 2048)"},
           {.flag = "--max-kl",
            .value = "X",
            .help = "refuse a result whose KL divergence from the source is more, in nats"},
           {.flag = "--passthrough",
            .value = "TEXT",
            .help = "leave tensors with this in their name as they are; may be given several times",
            .repeatable = true},
           {.flag = "--force", .short_flag = "-f", .help = "replace an output that is there"},
           {.flag = "--restart", .help = "forget what an interrupted run left"},
           {.flag = "--delete-source",
            .help = "delete the source's weights once the result is written and verified"},
           {.flag = "--zstd-level",
            .value = "N",
            .help = "compress the arrays of an npy directory with zstd, 1 to 22 (sqint2 only)"},
           {.flag = "--threads",
            .short_flag = "-t",
            .value = "N",
            .help = "threads that compute; 0 = all that this process may use"},
           {.flag = "--device",
            .value = "NAME",
            .help = "what searches for trellis codes: cpu (default) or cuda, with the same bytes"},
           {.flag = "--isa",
            .value = "NAME",
            .help = "instruction set that reads the calibration text",
            .completion = Completion::isa},
           {.flag = "--json", .help = "events as JSON lines on standard output"}},
      .groups = {},
      .events = true,
      .writes_files = true,
      .run = run,
  };
}

}  // namespace squish::cli
