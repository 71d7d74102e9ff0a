// squish sparsity-trim, gen-masks, merge, and rotate, which says why it does nothing.

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/strings.h"
#include "cli/compress_progress.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/verb_rows.h"
#include "compress/masks.h"
#include "compress/merge.h"
#include "compress/texts.h"
#include "compress/trim.h"

namespace squish::cli {
namespace {

void print_trim(const Context& context, const compress::TrimPlan& plan, const std::string& output,
                uint64_t before, bool is_dry) {
  double lost = 0;
  for (const double share : plan.magnitude_lost) lost += share;
  lost /= static_cast<double>(std::max<size_t>(1, plan.magnitude_lost.size()));
  Facts facts;
  facts.add(is_dry ? "would write" : "wrote", output);
  facts.add("neurons a layer", fmt::format("{} of {}", plan.inner_after, plan.inner_before));
  facts.add("magnitude cut", fmt::format("{:.2f} % of up, on average", 100 * lost));
  facts.add("size", fmt::format("{} of 16-bit weights; the source has {}",
                                human_bytes(plan.bytes_after), human_bytes(before)));
  print(facts.text(context.terminal));
}

Result<int> trim(Context& context, const Arguments& arguments) {
  const std::string given = arguments.text("MODEL").value_or("");
  SQ_TRY(const hub::LocalModel model, find_stored_model(context, given));
  compress::TrimOptions options;
  if (const auto text = arguments.text("--threshold")) {
    const std::optional<double> value = parse_double(*text);
    if (!value) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("--threshold is '{}', expected a share above 0 and below 1",
                               printable(*text, 32))};
    }
    options.threshold = *value;
  }
  SQ_TRY(const auto group, arguments.integer("--group-size", 8, 1 << 20));
  if (group) options.group_size = static_cast<uint64_t>(*group);
  std::string output = arguments.text("--output").value_or("");
  if (output.empty()) {
    SQ_TRY(output, default_output(context, model, given, "trimmed"));
  }
  SQ_TRY(const LoadOptions load, load_options(context, arguments));
  ThreadPool pool(load.threads == 0 ? usable_cpu_count() : load.threads);
  SQ_TRY(const ModelFiles files, ModelFiles::open(model.path));
  SQ_TRY(const compress::TrimPlan plan, compress::plan_trim(files, options, pool));
  const bool is_dry = arguments.has("--dry-run");
  if (!is_dry) {
    catch_interrupt();
    const Status written = compress::write_trimmed(files, plan, options, output, pool,
                                                   [] { return interrupted().load(); });
    if (!written) {
      interrupted() = false;
      return written.error();
    }
  }
  if (!arguments.has("--json")) {
    print_trim(context, plan, output, files.file_bytes(), is_dry);
    if (!is_dry) {
      print(fmt::format("What it lost: squish compress --compare {} {}\n", model.path, output));
    }
    return 0;
  }
  Value::List layers;
  for (const double share : plan.magnitude_lost) layers.push_back(json_number(share, 6));
  print_json(Value::dict({{"output", json_text(output)},
                          {"written", !is_dry},
                          {"neurons_before", json_count(plan.inner_before)},
                          {"neurons", json_count(plan.inner_after)},
                          {"bytes", json_count(plan.bytes_after)},
                          {"magnitude_lost", Value::list(std::move(layers))}}));
  return 0;
}

Result<int> merge(Context& context, const Arguments& arguments) {
  compress::MergeOptions options;
  options.method = arguments.text("--method").value_or(options.method);
  if (const auto text = arguments.text("--drop")) {
    options.drop = parse_double(*text).value_or(-1);
  }
  SQ_TRY(const auto seed, arguments.integer("--seed", 0, INT64_MAX));
  if (seed) options.seed = static_cast<uint64_t>(*seed);
  if (options.method == "ties") {
    SQ_TRY_STATUS(arguments.refuse({"--drop", "--seed"}, "is for dare and dare-ties"));
  }
  const auto output = arguments.text("--output-path");
  if (!output) {
    return Error{ErrorCode::invalid_argument, "merge needs --output-path DIR"};
  }
  std::vector<compress::AdapterSource> adapters;
  for (const std::string& word : arguments.all("--adapters")) {
    const size_t colon = word.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == word.size()) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("--adapters is '{}', expected DOMAIN:PATH", printable(word, 200))};
    }
    adapters.push_back({word.substr(0, colon), word.substr(colon + 1)});
  }
  SQ_TRY(const auto summary, compress::merge_adapters(adapters, options, *output));
  if (arguments.has("--json")) {
    print_json(Value::dict({{"output", json_text(*output)},
                            {"method", json_text(options.method)},
                            {"tensors", json_count(summary.tensors)},
                            {"elements", json_count(summary.elements)},
                            {"sign_conflicts", json_number(summary.sign_conflicts, 6)}}));
    return 0;
  }
  Facts facts;
  facts.add("wrote", *output);
  facts.add("merged", fmt::format("{} adapters by {}: {} tensors of {} elements", adapters.size(),
                                  options.method, summary.tensors, summary.elements));
  facts.add("sign conflicts", fmt::format("{:.2f} % of the elements that any adapter changes",
                                          100 * summary.sign_conflicts));
  print(facts.text(context.terminal));
  return 0;
}

/// Short sequences from all over the built-in text.
compress::CalibrationText sample_text(const Tokenizer& tokenizer, size_t samples) {
  constexpr size_t kSampleTokens = 128;
  compress::CalibrationText text =
      compress::tokenize_text(tokenizer, compress::calibration_text(samples * kSampleTokens * 5),
                              kSampleTokens, samples * kSampleTokens);
  return text;
}

Result<int> gen_masks(Context& context, const Arguments& arguments) {
  SQ_TRY(const hub::LocalModel model,
         find_local_model(context, arguments.text("MODEL").value_or("")));
  compress::MaskOptions options;
  for (const auto& [flag, value] :
       {std::pair{"--activation-threshold", &options.activation_threshold},
        std::pair{"--keep-threshold", &options.keep_threshold}}) {
    if (const auto text = arguments.text(flag)) *value = parse_double(*text).value_or(-1);
  }
  SQ_TRY(const auto samples, arguments.integer("--samples", 1, 10'000));
  const bool is_file = model.path.ends_with(".gguf");
  const std::string output =
      arguments.text("--output")
          .value_or(is_file ? compress_output_stem(model.path) + "-sparse_masks.npz"
                            : model.path + "/sparse_masks.npz");
  SQ_TRY(const LoadOptions load, load_options(context, arguments));
  ThreadPool pool(load.threads == 0 ? usable_cpu_count() : load.threads);
  SQ_TRY(const std::unique_ptr<Backend> backend, make_cpu_backend(pool, load.isa));
  SQ_TRY(ModelFiles files, ModelFiles::open(model.path));
  SQ_TRY(const Tokenizer tokenizer, files.load_tokenizer());
  catch_interrupt();
  const auto masks =
      compress::find_masks(files, sample_text(tokenizer, static_cast<size_t>(samples.value_or(20))),
                           options, *backend, pool, [] { return interrupted().load(); });
  if (!masks) {
    interrupted() = false;
    return masks.error();
  }
  SQ_TRY_STATUS(compress::write_masks(*masks, output));
  double fired = 0;
  for (const double share : masks->fired) fired += share / static_cast<double>(masks->fired.size());
  if (arguments.has("--json")) {
    Value::List layers;
    for (const double share : masks->fired) layers.push_back(json_number(share, 4));
    print_json(Value::dict({{"output", json_text(output)},
                            {"tokens", json_count(masks->tokens)},
                            {"sparsity", json_number(masks->sparsity(), 6)},
                            {"fired", json_number(fired, 4)},
                            {"fired_by_layer", Value::list(std::move(layers))}}));
    return 0;
  }
  Facts facts;
  facts.add("wrote", output);
  facts.add("mean sparsity", fmt::format("{:.2f} % of the neurons fire on fewer than {} of 100 "
                                         "tokens",
                                         100 * masks->sparsity(), 100 * options.keep_threshold));
  facts.add("firing", fmt::format("{:.1f} % of the neurons a token, of {} tokens", 100 * fired,
                                  masks->tokens));
  print(facts.text(context.terminal));
  return 0;
}

Result<int> no_rotation(Context& /*context*/, const Arguments& /*arguments*/) {
  return Error{ErrorCode::unsupported,
               "rotations are not learned: the trellis formats turn every matrix by themselves "
               "(docs/encoders.md); use squish compress --format sq4, sq3 or sq2"};
}

}  // namespace

Verb make_trim_verb() {
  return {
      .name = "sparsity-trim",
      .summary = "Cut the weakest neurons out of every layer",
      .details =
          "  squish sparsity-trim smollm2:135m --dry-run          how many, and how weak\n"
          "  squish sparsity-trim ./model --threshold 0.05 --output ./model-trimmed\n"
          "\n"
          "The result has 16-bit weights: compress it afterwards. A neuron is as weak as the sum\n"
          "of its weights in up; all layers lose the same number.",
      .arguments = {{.name = "MODEL",
                     .required = true,
                     .completion = Completion::model,
                     .help = "a GGUF file, a Hugging Face directory, or a local model's name"}},
      .options = {{.flag = "--threshold",
                   .value = "X",
                   .help = "share of the groups that go, above 0 and below 1 (default 0.10)"},
                  {.flag = "--group-size",
                   .value = "N",
                   .help = "neurons that stay or go together, a multiple of 8 (default 64)"},
                  {.flag = "--output",
                   .short_flag = "-o",
                   .value = "DIR",
                   .help = "the new model's directory (default: NAME-trimmed, as squish compress)",
                   .completion = Completion::file},
                  {.flag = "--dry-run", .help = "say what would be cut and end"},
                  {.flag = "--threads",
                   .short_flag = "-t",
                   .value = "N",
                   .help = "threads that compute; 0 = all that this process may use"},
                  {.flag = "--json", .help = "the answer as a JSON object"}},
      .groups = {},
      .writes_files = true,
      .run = trim,
  };
}

Verb make_merge_verb() {
  return {
      .name = "merge",
      .summary = "Make one low-rank adapter of several (DARE, TIES)",
      .details =
          "  squish merge --adapters law:./law --adapters code:./code --output-path ./both\n"
          "\n"
          "Adapters are directories as PEFT writes them, of one model and one rank.",
      .arguments = {},
      .options = {{.flag = "--adapters",
                   .value = "DOMAIN:PATH",
                   .help = "an adapter; give it once for each, at least twice",
                   .repeatable = true,
                   .completion = Completion::file},
                  {.flag = "--method",
                   .value = "NAME",
                   .help = "dare-ties (default), dare or ties"},
                  {.flag = "--drop",
                   .value = "X",
                   .help = "share of the elements that DARE drops (default 0.99)"},
                  {.flag = "--seed", .value = "N", .help = "which ones (default 42)"},
                  {.flag = "--output-path",
                   .value = "DIR",
                   .help = "where adapter_model.safetensors goes",
                   .completion = Completion::file},
                  {.flag = "--json", .help = "the answer as a JSON object"}},
      .groups = {},
      .writes_files = true,
      .run = merge,
  };
}

Verb make_masks_verb() {
  return {
      .name = "gen-masks",
      .summary = "Write which neurons of each layer ever fire",
      .details =
          "An .npz of arrays layer_0, layer_1 ... of 1 (kept) and 0, for other programs: squish\n"
          "runs without masks, since hardly any neuron of the models that it runs is ever off\n"
          "(docs/encoders.md has the figures).",
      .arguments = {{.name = "MODEL",
                     .required = true,
                     .completion = Completion::model,
                     .help = "a name or path"}},
      .options = {{.flag = "--samples",
                   .value = "N",
                   .help = "texts of 128 tokens that are read (default 20)"},
                  {.flag = "--activation-threshold",
                   .value = "X",
                   .help = "a neuron fires where its value is farther from 0 (default 0.01)"},
                  {.flag = "--keep-threshold",
                   .value = "X",
                   .help = "share of the tokens on which a kept neuron fires (default 0.05)"},
                  {.flag = "--output",
                   .short_flag = "-o",
                   .value = "FILE",
                   .help = "the file to write (default: sparse_masks.npz in the model's directory, "
                           "NAME-sparse_masks.npz beside a file)",
                   .completion = Completion::file},
                  {.flag = "--threads",
                   .short_flag = "-t",
                   .value = "N",
                   .help = "threads that compute; 0 = all that this process may use"},
                  {.flag = "--json", .help = "the answer as a JSON object"}},
      .groups = {},
      .writes_files = true,
      .run = gen_masks,
  };
}

Verb make_rotate_verb() {
  return {.name = "rotate",
          .summary = "Refused, with the reason: learned rotations",
          .details = "",
          .arguments = {{.name = "MODEL", .completion = Completion::model, .help = "not read"}},
          .options = {},
          .groups = {},
          .run = no_rotation};
}

}  // namespace squish::cli
