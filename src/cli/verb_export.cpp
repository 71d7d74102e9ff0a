// squish export
#include <chrono>

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/strings.h"
#include "cli/compress_progress.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/npy_output.h"
#include "cli/verb_rows.h"
#include "compress/export_gguf.h"

namespace squish::cli {
namespace {

Result<int> run(Context& context, const Arguments& arguments) {
  SQ_TRY(const hub::LocalModel model,
         find_stored_model(context, arguments.text("MODEL").value_or("")));
  const auto path = arguments.text("--gguf");
  if (path.has_value() == arguments.has("--npy")) {
    return Error{ErrorCode::invalid_argument,
                 "say where to: squish export MODEL --gguf FILE, or --npy DIR"};
  }
  if (!path) {
    compress::CompressOptions options;
    options.input = model.path;
    options.output = arguments.text("--npy").value_or("");
    options.format = arguments.text("--type").value_or("int4");
    options.force = arguments.has("--force");
    SQ_TRY(const LoadOptions load, load_options(context, arguments));
    options.threads = load.threads == 0 ? usable_cpu_count() : load.threads;
    return compress_to_npy(context, arguments, options);
  }
  if (arguments.has("--zstd-level")) {
    return Error{ErrorCode::invalid_argument, "--zstd-level is for --npy: GGUF has no compression"};
  }
  compress::ExportOptions options;
  options.type = arguments.text("--type").value_or("");
  options.force = arguments.has("--force");
  SQ_TRY(const LoadOptions load, load_options(context, arguments));
  SQ_TRY(const ModelFiles files, ModelFiles::open(model.path));
  ThreadPool pool(load.threads == 0 ? usable_cpu_count() : load.threads);
  catch_interrupt();
  const bool is_json = arguments.has("--json");
  CompressProgress progress(context.terminal, is_json);
  const auto summary = compress::export_gguf(files, *path, options, pool, progress,
                                             [] { return interrupted().load(); });
  progress.clear();
  if (!summary) {
    interrupted() = false;
    return summary.error();
  }
  if (is_json) {
    print_json_line(Value::dict({{"event", json_text("done")},
                                 {"path", json_text(*path)},
                                 {"bytes", json_count(summary->bytes)},
                                 {"tensors", json_count(summary->tensors)},
                                 {"copied", json_count(summary->copied)}}));
    return 0;
  }
  print(fmt::format("{}: {}, {} of {} tensors copied as they are\n", printable(*path, 512),
                    human_bytes(summary->bytes), summary->copied, summary->tensors));
  return 0;
}

}  // namespace

Verb make_export_verb() {
  return {
      .name = "export",
      .summary = "Write a model as a GGUF file or an npy directory, for other programs",
      .details =
          "  squish export smollm2-int4 --gguf smollm2-int4.gguf     blocks are copied\n"
          "  squish export model.gguf --gguf small.gguf --type q4_k  matrices become q4_k\n"
          "\n"
          "int8, int4 and int4x are types of GGUF (q8_0, q4_1, q4_k), so the file computes\n"
          "the same. What GGUF has no name for (i3, the trellis codes) becomes q4_k or q8_0.\n"
          "The model must be a GGUF file or compressed from one.\n"
          "\n"
          "  squish export ./Qwen2.5-1.5B --npy qwen-npy --type int4   arrays, a manifest\n"
          "\n"
          "--npy writes the directory format of docs/format.md, from any model; types there\n"
          "are sqint2, int4, int3, int8 and fp16. squish run and compress read it again.",
      .arguments = {{.name = "MODEL",
                     .required = true,
                     .completion = Completion::model,
                     .help = "a GGUF file, a directory made from one, or a local model's name"}},
      .options = {{.flag = "--gguf",
                   .value = "FILE",
                   .help = "the file to write",
                   .completion = Completion::file},
                  {.flag = "--npy",
                   .value = "DIR",
                   .help = "the npy directory to write",
                   .completion = Completion::file},
                  {.flag = "--zstd-level",
                   .value = "N",
                   .help = "compress the arrays of --npy with zstd, 1 to 22"},
                  {.flag = "--type",
                   .value = "NAME",
                   .help =
                       "what matrices become: q8_0, q6_k, q5_k, q4_k, q4_1, q4_0, q3_k, q2_k, "
                       "bf16, f16 or f32 (default: as they are); of --npy: sqint2, int4 (default), "
                       "int3, int8 or fp16"},
                  {.flag = "--force", .short_flag = "-f", .help = "replace a file that is there"},
                  {.flag = "--threads",
                   .short_flag = "-t",
                   .value = "N",
                   .help = "threads that compute; 0 = all that this process may use"},
                  {.flag = "--json", .help = "events as JSON lines on standard output"}},
      .groups = {},
      .events = true,
      .writes_files = true,
      .run = run,
  };
}

}  // namespace squish::cli
