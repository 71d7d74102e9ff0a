#include "compress/describe.h"

#include <array>
#include <cstring>

#include <fmt/format.h>

#include "base/strings.h"
#include "format/json_config.h"
#include "format/json_edit.h"
#include "format/squish_directory.h"
#include "model/arch_table.h"

namespace squish::compress {
namespace {

struct ArchitectureNames {
  std::string_view gguf;
  std::string_view model_type;
  std::string_view hugging_face;
};
constexpr std::array kArchitectures = {
    ArchitectureNames{"llama", "llama", "LlamaForCausalLM"},
    ArchitectureNames{"qwen2", "qwen2", "Qwen2ForCausalLM"},
    ArchitectureNames{"qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM"},
    ArchitectureNames{"qwen3", "qwen3", "Qwen3ForCausalLM"},
    ArchitectureNames{"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM"},
    ArchitectureNames{"gemma3", "gemma3_text", "Gemma3ForCausalLM"},
    ArchitectureNames{"phi3", "phi3", "Phi3ForCausalLM"},
};

std::string quantization_config(const Source& source, const Plan& plan, const Entries& entries) {
  std::string out = "{\n";
  out += "    \"quant_method\": \"squish\",\n";
  out += fmt::format("    \"format_version\": {},\n", kSquishFormatVersion);
  out += fmt::format("    \"format\": {},\n", json_quoted(plan.format->name));
  if (source.files.gguf) {
    out += fmt::format("    \"metadata\": \"{}\",\n", kGgufMetadataName);
    const bool is_neighbours = source.network.config.rope_style == RopeStyle::neighbours;
    out += fmt::format("    \"rope_layout\": \"{}\",\n", is_neighbours ? "neighbours" : "halves");
  }
  out += "    \"tensors\": {";
  bool is_first = true;
  for (const PlannedTensor& planned : plan.tensors) {
    const auto entry = entries.find(planned.source.name);
    SQ_CHECK(entry != entries.end());
    const SquishTensor tensor = {planned.target, planned.source.shape, entry->second.hash};
    out += fmt::format("{}\n      {}: \"{}\"", is_first ? "" : ",",
                       json_quoted(planned.source.name), to_string(tensor));
    is_first = false;
  }
  return out + "\n    }\n  }";
}

bool is_about_tensors(std::string_view key) {
  return key.starts_with("split.") || key.starts_with("quantize.") || key == "general.file_type" ||
         key == "general.quantization_version" || key == "general.alignment";
}

void append_number(std::string& out, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8 * i)) & 0xFF);
}

}  // namespace

/// The facts in the words of Hugging Face, for people and tools; squish itself reads the metadata.
std::string config_of_gguf(const ModelConfig& config) {
  std::string_view model_type = config.architecture;
  std::string_view architecture = config.architecture;
  for (const ArchitectureNames& names : kArchitectures) {
    if (names.gguf != config.architecture) continue;
    model_type = names.model_type;
    architecture = names.hugging_face;
  }
  std::string out = "{\n";
  const auto add = [&out](std::string_view key, const std::string& value) {
    out += fmt::format("  {}: {},\n", json_quoted(key), value);
  };
  add("architectures", "[" + json_quoted(architecture) + "]");
  add("model_type", json_quoted(model_type));
  add("name", json_quoted(config.name));
  add("num_hidden_layers", std::to_string(config.layer_count));
  add("hidden_size", std::to_string(config.hidden));
  add("intermediate_size", std::to_string(config.feed_forward));
  add("num_attention_heads", std::to_string(config.head_count));
  add("num_key_value_heads", std::to_string(config.kv_head_count));
  add("head_dim", std::to_string(config.head_dim));
  add("vocab_size", std::to_string(config.vocabulary_size));
  add("max_position_embeddings", std::to_string(config.context_length));
  add("rms_norm_eps", fmt::format("{}", config.norm_epsilon));
  if (config.moe.expert_count > 0) {
    add("num_experts", std::to_string(config.moe.expert_count));
    add("num_experts_per_tok", std::to_string(config.moe.experts_used));
  }
  add("tie_word_embeddings", config.tied_embedding ? "true" : "false");
  out.resize(out.size() - 2);
  return out + "\n}\n";
}

Result<std::string> make_config_json(const Source& source, const Plan& plan,
                                     const Entries& entries) {
  const bool is_gguf = source.files.gguf != nullptr;
  const std::string base =
      is_gguf ? config_of_gguf(source.network.config) : source.files.directory->config_json();
  return with_json_member(base, "quantization_config", quantization_config(source, plan, entries),
                          source.files.path + "/config.json");
}

Result<std::string> make_plain_config(const ModelFiles& files) {
  if (files.gguf) {
    SQ_TRY(const Network network, read_network(files, {}));
    return config_of_gguf(network.config);
  }
  // null where the key was, which readers take for absent.
  const std::string& config = files.directory->config_json();
  const std::string where = files.path + "/config.json";
  SQ_TRY(const JsonConfig json, JsonConfig::parse(config, where));
  if (!json.has("quantization_config")) return config;
  return with_json_member(config, "quantization_config", "null", where);
}

std::string make_gguf_metadata(const GgufFile& file, std::string_view key, uint32_t value) {
  uint64_t count = 0;
  std::string body;
  for (const GgufEntry& entry : file.metadata()) {
    if (is_about_tensors(entry.key)) continue;
    ++count;
    append_number(body, entry.key.size(), 8);
    body += entry.key;
    if (!key.empty() && entry.key == key) {
      append_number(body, static_cast<uint64_t>(GgufType::u32), 4);
      append_number(body, value, 4);
      continue;
    }
    append_number(body, static_cast<uint64_t>(entry.value.type), 4);
    if (entry.value.type == GgufType::string) append_number(body, entry.value.bytes.size(), 8);
    if (entry.value.type == GgufType::array) {
      append_number(body, static_cast<uint64_t>(entry.value.element_type), 4);
      append_number(body, entry.value.count, 8);
    }
    body += as_text(entry.value.bytes);
  }
  std::string out = "GGUF";
  append_number(out, 3, 4);
  append_number(out, 0, 8);  // tensors
  append_number(out, count, 8);
  return out + body;
}

}  // namespace squish::compress
