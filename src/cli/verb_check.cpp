// squish check: bits per kind of tensor, and whether the weights are sound.
#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/strings.h"
#include "chat/loaded_model.h"
#include "cli/check_model.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/table.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

void print_result(const Terminal& terminal, const hub::LocalModel& local, const Model& model,
                  const CheckResult& result) {
  const ModelConfig& config = model.config();
  Facts facts;
  facts.add("model", local.id);
  facts.add("architecture", config.architecture);
  facts.add("parameters",
            fmt::format("{:.1f} M", static_cast<double>(model.parameter_count()) / 1e6));
  facts.add("layers", fmt::format("{}, {} wide, feed-forward {}, {} heads of {}, {} for keys and "
                                  "values",
                                  config.layer_count, config.hidden, config.feed_forward,
                                  config.head_count, config.head_dim, config.kv_head_count));
  facts.add("vocabulary", fmt::format("{} tokens{}", config.vocabulary_size,
                                      config.tied_embedding ? ", embedding tied" : ""));
  facts.add("weights",
            fmt::format("{}, {:.3f} bits each", human_bytes(result.bytes), result.bits()));
  facts.add("values", result.values.were_read ? "all read" : "not read (--quick)");
  Table table({"Tensors", ">Bits", ">Size", ">Share", "Types"});
  for (const TensorClass& one : result.classes) {
    const double share =
        result.bytes == 0 ? 0 : static_cast<double>(one.bytes) / static_cast<double>(result.bytes);
    table.add({one.name, fmt::format("{:.3f}", one.bits()), human_bytes(one.bytes),
               fmt::format("{:.1f} %", 100 * share), counts_text(one.types)});
  }
  print(facts.text(terminal) + "\n" + table.text(terminal));
  if (!result.warnings.empty()) print("\n");
  for (const std::string& line : result.warnings) {
    print(fmt::format("{} {}\n", terminal.paint(Role::warning, "!"), line));
  }
}

Value result_value(const hub::LocalModel& local, const Model& model, const CheckResult& result) {
  const ModelConfig& config = model.config();
  Value::List classes;
  for (const TensorClass& one : result.classes) {
    Value types = Value::dict();
    for (const auto& [type, count] : one.types) types.set(type, json_count(count));
    classes.push_back(Value::dict({{"class", one.name},
                                   {"tensors", json_count(one.tensors)},
                                   {"weights", json_count(one.weights)},
                                   {"bytes", json_count(one.bytes)},
                                   {"bits_per_weight", json_number(one.bits(), 4)},
                                   {"lowest_bits", json_number(one.lowest_bits, 4)},
                                   {"lowest_tensor", json_text(one.lowest_tensor)},
                                   {"types", std::move(types)}}));
  }
  Value::List warnings;
  for (const std::string& line : result.warnings) warnings.push_back(json_text(line));
  Value out = Value::dict({{"model", json_text(local.id)},
                           {"path", json_text(local.path)},
                           {"architecture", json_text(config.architecture)},
                           {"parameters", json_count(model.parameter_count())},
                           {"layers", config.layer_count},
                           {"hidden", config.hidden},
                           {"vocabulary", config.vocabulary_size},
                           {"weight_bytes", json_count(result.bytes)},
                           {"bits_per_weight", json_number(result.bits(), 4)},
                           {"classes", Value::list(std::move(classes))},
                           {"values_read", result.values.were_read}});
  if (result.values.were_read) {
    out.set("not_finite", json_count(result.values.not_finite));
    out.set("zero_rows", json_count(result.values.zero_rows));
    out.set("constant_tensors", json_count(result.values.constant_tensors.size()));
  }
  out.set("damaged", result.is_damaged);
  out.set("warnings", Value::list(std::move(warnings)));
  return out;
}

Result<int> run(Context& context, const Arguments& arguments) {
  interrupt_ends_at_once(true);
  SQ_TRY(const hub::LocalModel local,
         find_local_model(context, arguments.text("MODEL").value_or("")));
  SQ_TRY(const auto threads, arguments.integer("--threads", 0, 1024));
  ThreadPool pool(static_cast<int>(threads.value_or(0)) == 0 ? usable_cpu_count()
                                                             : static_cast<int>(*threads));
  SQ_TRY(const std::unique_ptr<Backend> backend, make_cpu_backend(pool));
  SQ_TRY(const ModelFiles files, open_model_files(local.path));
  SQ_TRY(const std::unique_ptr<Model> model, Model::create(files, *backend));
  SQ_TRY(const CheckResult result,
         check_model(files, model->parameter_count(), !arguments.has("--quick"), pool));
  if (arguments.has("--json")) {
    print_json(result_value(local, *model, result));
  } else {
    print_result(context.terminal, local, *model, result);
  }
  if (!result.is_damaged) return 0;
  return Error{ErrorCode::bad_file,
               fmt::format("{} is damaged: {}", local.id, result.warnings.back())};
}

}  // namespace

Verb make_check_verb() {
  return {
      .name = "check",
      .summary = "Look at a model's weights: bits per kind of tensor, and whether they are sound",
      .details =
          "Reads every weight: values that are no numbers, matrices of one value, rows of zeros, "
          "and for compressed models\n"
          "the hash of each tensor. Warns of parts with too few bits. A damaged model ends with "
          "exit code 1.",
      .arguments = {{.name = "MODEL",
                     .required = true,
                     .completion = Completion::model,
                     .help = "a name or path"}},
      .options = {{.flag = "--quick", .help = "only names, types and sizes; read no weight"},
                  {.flag = "--threads",
                   .short_flag = "-t",
                   .value = "N",
                   .help = "threads that read; 0 = all that this process may use"},
                  {.flag = "--json", .help = "a JSON object"}},
      .groups = {},
      .run = run,
  };
}

}  // namespace squish::cli
