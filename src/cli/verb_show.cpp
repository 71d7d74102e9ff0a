// squish show
#include <fmt/format.h>

#include "base/strings.h"
#include "chat/loaded_model.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/table.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

/// What a template can do; nothing when the model has none.
struct TemplateFacts {
  bool exists = false;
  bool system = false;
  bool tools = false;
  std::string thinking;
  std::string problem;  // why it cannot be used
};

TemplateFacts facts_of_template(const ModelFiles& files) {
  TemplateFacts facts;
  const auto source = files.chat_template_text();
  if (!source || source->empty()) return facts;
  facts.exists = true;
  const auto parsed = ChatTemplate::parse(*source);
  if (!parsed) {
    facts.problem = parsed.error().message;
    return facts;
  }
  facts.system = parsed.value().supports_system();
  facts.tools = parsed.value().supports_tools();
  facts.thinking = parsed.value().thinking_variable();
  return facts;
}

std::string text_of(const TemplateFacts& facts) {
  if (!facts.exists) return "none: a base model (squish run --no-template)";
  if (!facts.problem.empty()) return "unusable: " + facts.problem;
  std::string out = "chat";
  if (facts.system) out += ", system";
  if (facts.tools) out += ", tools";
  if (!facts.thinking.empty()) out += fmt::format(", thinking switch ({})", facts.thinking);
  return out;
}

/// Everything that is shown; the model is null when this program cannot run the file, and `problem`
/// says why.
struct ModelFacts {
  hub::LocalModel local;
  ModelFiles files;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
  std::string problem;
  TemplateFacts chat_template;
};

/// "1.54 B", "134.5 M".
std::string count_text(uint64_t count) {
  const auto value = static_cast<double>(count);
  return count >= 1'000'000'000 ? fmt::format("{:.2f} B", value / 1e9)
                                : fmt::format("{:.1f} M", value / 1e6);
}

std::string experts_text(const MoeFacts& moe) {
  if (moe.expert_count == 0) return "";
  return fmt::format(
      "{} of {} a token, {} wide{}", moe.experts_used, moe.expert_count, moe.feed_forward,
      moe.shared_feed_forward > 0 ? fmt::format(", one shared of {}", moe.shared_feed_forward)
                                  : "");
}

/// Bytes of KV cache that one token takes, in f16.
uint64_t kv_bytes_per_token(const ModelConfig& config) {
  return 4 * static_cast<uint64_t>(config.layer_count) *
         static_cast<uint64_t>(config.kv_head_count) * static_cast<uint64_t>(config.head_dim);
}

void print_facts(const Terminal& terminal, const ModelFacts& facts) {
  Facts out;
  out.add("model", facts.local.id);
  out.add("path", facts.local.path);
  out.add("source", facts.local.source);
  out.add("size", human_bytes(facts.files.file_bytes()));
  out.add("architecture", facts.files.architecture());
  if (facts.model) {
    const ModelConfig& config = facts.model->config();
    out.add("name", printable(config.name, 200));
    out.add("parameters", count_text(facts.model->parameter_count()));
    out.add("quantisation", config.quantization);
    out.add("context", fmt::format("{} tokens", config.context_length));
    out.add("layers", fmt::format("{}, {} wide, feed-forward {}", config.layer_count, config.hidden,
                                  config.feed_forward));
    out.add("attention", fmt::format("{} heads of {}, {} for keys and values", config.head_count,
                                     config.head_dim, config.kv_head_count));
    out.add("experts", experts_text(config.moe));
    out.add("vocabulary", fmt::format("{} tokens{}", config.vocabulary_size,
                                      config.tied_embedding ? ", embedding tied" : ""));
    out.add("read per token", human_bytes(facts.model->bytes_per_token()));
    out.add("cache per token", human_bytes(kv_bytes_per_token(config)));
  } else {
    out.add("cannot run", facts.problem);
  }
  out.add("template", text_of(facts.chat_template));
  out.add("tensors", fmt::format("{}", facts.files.tensors().size()));
  print(out.text(terminal));
}

void print_tensors(const Terminal& terminal, const ModelFiles& files) {
  Table table({"Tensor", "Type", ">Size", "Shape"});
  for (const NamedTensor& named : files.tensors()) {
    table.add({printable(named.name, 120), std::string(type_info(named.tensor.dtype).name),
               human_bytes(named.tensor.bytes()), to_string(named.tensor.shape)});
  }
  print("\n" + table.text(terminal));
}

Value tensors_value(const ModelFiles& files) {
  Value::List items;
  for (const NamedTensor& named : files.tensors()) {
    Value::List dims;
    for (size_t i = 0; i < named.tensor.shape.rank; ++i)
      dims.push_back(json_count(named.tensor.shape[i]));
    items.push_back(Value::dict({{"name", json_text(named.name)},
                                 {"type", std::string(type_info(named.tensor.dtype).name)},
                                 {"shape", Value::list(std::move(dims))},
                                 {"bytes", json_count(named.tensor.bytes())}}));
  }
  return Value::list(std::move(items));
}

void print_json_facts(const ModelFacts& facts, bool with_tensors) {
  Value out = Value::dict({{"id", json_text(facts.local.id)},
                           {"path", json_text(facts.local.path)},
                           {"source", json_text_or_null(facts.local.source)},
                           {"bytes", json_count(facts.files.file_bytes())},
                           {"architecture", json_text(facts.files.architecture())},
                           {"runnable", facts.model != nullptr},
                           {"problem", json_text_or_null(facts.problem)}});
  if (facts.model) {
    const ModelConfig& config = facts.model->config();
    out.set("name", json_text(config.name));
    out.set("parameters", json_count(facts.model->parameter_count()));
    out.set("quantization", json_text(config.quantization));
    out.set("context", config.context_length);
    out.set("layers", config.layer_count);
    out.set("hidden", config.hidden);
    out.set("feed_forward", config.feed_forward);
    out.set("heads", config.head_count);
    out.set("kv_heads", config.kv_head_count);
    out.set("head_dim", config.head_dim);
    out.set("vocabulary", config.vocabulary_size);
    out.set("experts", config.moe.expert_count);
    out.set("experts_used", config.moe.experts_used);
    out.set("bytes_per_token", json_count(facts.model->bytes_per_token()));
    out.set("kv_bytes_per_token", json_count(kv_bytes_per_token(config)));
  }
  const TemplateFacts& chat = facts.chat_template;
  out.set("template", chat.exists ? Value::dict({{"system", chat.system},
                                                 {"tools", chat.tools},
                                                 {"thinking", json_text_or_null(chat.thinking)},
                                                 {"problem", json_text_or_null(chat.problem)}})
                                  : Value::none());
  if (with_tensors) out.set("tensors", tensors_value(facts.files));
  print_json(out);
}

Result<int> run(Context& context, const Arguments& arguments) {
  ModelFacts facts;
  SQ_TRY(facts.local, find_local_model(context, arguments.text("MODEL").value_or("")));
  SQ_TRY(facts.files, open_model_files(facts.local.path));
  facts.backend = make_ref_backend();
  auto model = Model::create(facts.files, *facts.backend);
  if (model) {
    facts.model = std::move(model).value();
  } else {
    facts.problem = model.error().message;
  }
  facts.chat_template = facts_of_template(facts.files);
  const bool with_tensors = arguments.has("--tensors");
  if (arguments.has("--json")) {
    print_json_facts(facts, with_tensors);
    return 0;
  }
  print_facts(context.terminal, facts);
  if (with_tensors) print_tensors(context.terminal, facts.files);
  return 0;
}

}  // namespace

Verb make_show_verb() {
  return {
      .name = "show",
      .summary = "Show the facts of a model",
      .details = {},
      .arguments = {{.name = "MODEL",
                     .completion = Completion::model,
                     .help = "a name or path; without it the default model"}},
      .options = {{.flag = "--tensors", .help = "each tensor with type, size and shape"},
                  {.flag = "--json", .help = "a JSON object"}},
      .groups = {},
      .run = run,
  };
}

}  // namespace squish::cli
