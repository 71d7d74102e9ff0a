#include "cli/npy_output.h"

#include <chrono>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/file.h"
#include "base/strings.h"
#include "cli/compress_progress.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "compress/export_npy.h"
#include "compress/report.h"
#include "format/npy_directory.h"
#include "model/model_files.h"

namespace squish::cli {
namespace {

Value counts_value(const std::map<std::string, size_t>& counts) {
  Value out = Value::dict();
  for (const auto& [kind, count] : counts) out.set(kind, json_count(count));
  return out;
}

void show_plan(const Context& context, const std::vector<compress::NpyPlanned>& plan,
               const compress::CompressOptions& options, bool is_json) {
  uint64_t bytes = 0;
  uint64_t weights = 0;
  std::map<std::string, size_t> counts;
  Table table({"Tensor", "From", "To", ">Size", "Shape"});
  Value::List tensors;
  for (const compress::NpyPlanned& planned : plan) {
    const std::string from(type_info(planned.source.dtype).name);
    const std::string to(name_of(planned.kind));
    bytes += planned.bytes;
    weights += planned.source.shape.elements();
    ++counts[to];
    table.add({printable(planned.name, 120), from, to, human_bytes(planned.bytes),
               to_string(planned.source.shape)});
    tensors.push_back(Value::dict({{"name", json_text(planned.name)},
                                   {"from", json_text(from)},
                                   {"type", json_text(to)},
                                   {"shape", to_string(planned.source.shape)},
                                   {"bytes", json_count(planned.bytes)}}));
  }
  const double bits =
      weights == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(weights);
  if (is_json) {
    print_json_line(Value::dict({{"event", "plan"},
                                 {"format", json_text(options.format)},
                                 {"output", json_text(options.output)},
                                 {"bytes", json_count(bytes)},
                                 {"bits_per_weight", json_number(bits, 4)},
                                 {"counts", counts_value(counts)},
                                 {"tensors", Value::list(std::move(tensors))}}));
    return;
  }
  Facts facts;
  facts.add("format", options.format + ", an npy directory");
  facts.add("output", options.output);
  facts.add("size", human_bytes(bytes));
  facts.add("bits per weight", fmt::format("{:.3f}", bits));
  facts.add("tensors", counts_text(counts));
  print(table.text(context.terminal) + "\n" + facts.text(context.terminal));
}

}  // namespace

Result<int> compress_to_npy(Context& context, const Arguments& arguments,
                            const compress::CompressOptions& options) {
  compress::NpyExportOptions npy;
  npy.format = options.format;
  npy.force = options.force;
  SQ_TRY(const auto level, arguments.integer("--zstd-level", 1, 22));
  if (level) npy.zstd_level = static_cast<int>(*level);
  for (const std::string_view flag :
       {"--delete-source", "--max-kl", "--target-bits", "--target-size", "--passthrough"}) {
    if (!arguments.has(flag)) continue;
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} is not for npy directories; sq2 is the 2-bit format that it works "
                             "with",
                             flag)};
  }
  SQ_TRY(const ModelFiles files, ModelFiles::open(options.input));
  const bool is_json = arguments.has("--json");
  if (arguments.has("--dry-run")) {
    SQ_TRY(const auto plan, compress::plan_npy(files, npy.format));
    show_plan(context, plan, options, is_json);
    return 0;
  }
  ThreadPool pool(options.threads);
  catch_interrupt();
  CompressProgress progress(context.terminal, is_json);
  const auto summary = compress::export_npy(files, options.output, npy, pool, progress,
                                            [] { return interrupted().load(); });
  progress.clear();
  if (!summary) {
    interrupted() = false;
    return summary.error();
  }
  const double decibels = compress::decibels(summary->energy, summary->error);
  if (is_json) {
    print_json_line(Value::dict({{"event", "done"},
                                 {"output", json_text(options.output)},
                                 {"bytes", json_count(summary->bytes)},
                                 {"counts", counts_value(summary->tensors)},
                                 {"signal_to_error_db", json_number(decibels, 2)}}));
    return 0;
  }
  print(fmt::format("{} {}\n", context.terminal.paint(Role::good, "✓"), options.output));
  Facts facts;
  facts.add("size", human_bytes(summary->bytes));
  facts.add("tensors", counts_text(summary->tensors));
  facts.add("signal to error", fmt::format("{:.2f} dB over all coded weights", decibels));
  print(facts.text(context.terminal));
  print(fmt::format("Run it: squish run {}\n", options.output));
  return 0;
}

Result<hub::LocalModel> runnable(Context& context, hub::LocalModel model) {
  if (!NpyDirectory::is_one(model.path)) return model;
  SQ_TRY(const NpyDirectory directory, NpyDirectory::open(model.path));
  const std::string cache = default_cache_directory();
  if (cache.empty()) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: an npy directory runs from an unpacked copy in the cache, which "
                             "SQUISH_CACHE=0 forbids; unpack it with squish compress {} --format "
                             "int8",
                             printable(model.path, 512), printable(model.path, 512))};
  }
  const std::string path = fmt::format("{}/npy-{:016x}", cache, directory.identity());
  if (!file_exists(path + "/config.json")) {
    talk(fmt::format("{} is an npy directory: unpacking it to int8 in {}, once\n",
                     printable(model.path, 512), path));
    compress::CompressOptions options;
    options.input = model.path;
    options.output = path;
    options.format = "int8";
    options.calibrate = false;
    options.evaluation_tokens = 0;
    options.threads = usable_cpu_count();
    ThreadPool pool(options.threads);
    catch_interrupt();
    CompressProgress progress(context.terminal, false);
    const auto summary =
        compress::run(options, pool, progress, [] { return interrupted().load(); });
    progress.clear();
    if (!summary) {
      interrupted() = false;
      return summary.error();
    }
  }
  model.path = path;
  return model;
}

}  // namespace squish::cli
