#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "model/arch/family.h"
#include "model/rope_facts.h"

namespace squish {
namespace {

constexpr auto kDimensionMax = static_cast<int64_t>(limits::kDimensionMax);
constexpr auto kLayerCountMax = static_cast<int64_t>(limits::kLayerCountMax);
constexpr auto kExpertCountMax = static_cast<int64_t>(limits::kExpertCountMax);
constexpr int64_t kHeadDimMax = 4096;  // largest known: 512

/// Rows of the embedding: the one number that GGUF files do not have to state.
Result<int> read_vocabulary_size(const ConfigReader& reader, const TensorNames& names) {
  SQ_TRY(const TensorView embedding, reader.files().find_tensor(names.embedding));
  const uint64_t rows = embedding.row_count();
  if (embedding.shape.rank != 2 || rows == 0 || rows > limits::kVocabularySizeMax) {
    return reader.error(
        ErrorCode::bad_file,
        fmt::format("tensor {} is {}, expected [1 to {}, hidden size]", names.embedding,
                    to_string(embedding.shape), limits::kVocabularySizeMax));
  }
  // Every id that the tokenizer can give must have a row.
  const GgufValue* tokens =
      reader.is_gguf() ? reader.files().gguf->find("tokenizer.ggml.tokens") : nullptr;
  if (tokens != nullptr && tokens->type == GgufType::array && tokens->count > rows) {
    return reader.error(ErrorCode::bad_file,
                        fmt::format("tokenizer.ggml.tokens has {} tokens, tensor {} {} rows",
                                    tokens->count, names.embedding, rows));
  }
  return static_cast<int>(rows);
}

Result<Activation> read_activation(const ConfigReader& reader) {
  if (reader.is_gguf()) return Activation::silu;
  SQ_TRY(const std::string old_name, reader.get_string_or({"", "hidden_act"}, "silu"));
  SQ_TRY(const std::string name, reader.get_string_or({"", "hidden_activation"}, old_name));
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::gelu_tanh;
  return reader.error(ErrorCode::unsupported,
                      fmt::format("activation '{}' is not supported; supported are silu, "
                                  "gelu_pytorch_tanh",
                                  printable(name)));
}

Status read_sizes(const ConfigReader& reader, ModelConfig& config) {
  SQ_TRY(config.layer_count,
         reader.get_int({"block_count", "num_hidden_layers"}, 1, kLayerCountMax));
  SQ_TRY(config.hidden, reader.get_int({"embedding_length", "hidden_size"}, 1, kDimensionMax));
  SQ_TRY(config.feed_forward,
         reader.get_int_or({"feed_forward_length", "intermediate_size"}, 0, 0, kDimensionMax));
  SQ_TRY(config.head_count,
         reader.get_int({"attention.head_count", "num_attention_heads"}, 1, kDimensionMax));
  SQ_TRY(config.kv_head_count, reader.get_int_or({"attention.head_count_kv", "num_key_value_heads"},
                                                 config.head_count, 1, config.head_count));
  const bool is_stated = reader.has({"attention.key_length", "head_dim"});
  if (!is_stated && config.hidden % config.head_count != 0) {
    return reader.error(ErrorCode::bad_file,
                        fmt::format("hidden size {} is not a multiple of {} heads", config.hidden,
                                    config.head_count));
  }
  SQ_TRY(config.head_dim, reader.get_int_or({"attention.key_length", "head_dim"},
                                            config.hidden / config.head_count, 1, kHeadDimMax));
  SQ_TRY(const int value_dim,
         reader.get_int_or({"attention.value_length", ""}, config.head_dim, 1, kHeadDimMax));
  if (value_dim != config.head_dim) {
    return reader.error(ErrorCode::unsupported,
                        fmt::format("keys of {} and values of {} numbers a head; they must be "
                                    "equal",
                                    config.head_dim, value_dim));
  }
  SQ_TRY(config.context_length,
         reader.get_int({"context_length", "max_position_embeddings"}, 1, INT32_MAX));
  SQ_TRY(const double epsilon,
         reader.get_float_or({"attention.layer_norm_rms_epsilon", "rms_norm_eps"}, 1e-6, 0, 1));
  config.norm_epsilon = static_cast<float>(epsilon);
  return {};
}

}  // namespace

std::string model_name(const ConfigReader& reader) {
  if (reader.is_gguf()) {
    if (const auto name = reader.files().gguf->get_string("general.name"); name && !name->empty()) {
      return printable(*name, 120);
    }
  }
  std::string_view path = reader.files().path;
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return printable(path.substr(path.rfind('/') + 1), 120);
}

Result<Network> read_base(const ConfigReader& reader, const NetworkOptions& options,
                          const FamilyDefaults& defaults) {
  Network network;
  network.names = defaults.names;
  ModelConfig& config = network.config;
  config.architecture = reader.architecture();
  config.name = model_name(reader);
  SQ_TRY_STATUS(read_sizes(reader, config));
  SQ_TRY(config.vocabulary_size, read_vocabulary_size(reader, network.names));
  SQ_TRY(config.activation, read_activation(reader));
  config.layers.resize(static_cast<size_t>(config.layer_count));
  config.attention_scale = 1 / std::sqrt(static_cast<float>(config.head_dim));

  RopeRequest rope;
  rope.head_dim = config.head_dim;
  rope.trained_context = config.context_length;
  rope.default_base = defaults.rope_base;
  rope.used_context = options.context_length == 0 ? config.context_length : options.context_length;
  SQ_TRY(RopeFacts facts, read_rope(reader, rope));
  config.rope.push_back(std::move(facts));

  const bool has_head = reader.files().has_tensor(network.names.head);
  SQ_TRY(config.tied_embedding, reader.get_bool_or({"", "tie_word_embeddings"}, !has_head));
  return network;
}

Status read_experts(const ConfigReader& reader, FactKey expert_feed_forward, ModelConfig& config) {
  MoeFacts& moe = config.moe;
  // Qwen says num_experts, Mixtral num_local_experts.
  SQ_TRY(const int local, reader.get_int_or({"", "num_local_experts"}, 0, 0, kExpertCountMax));
  SQ_TRY(moe.expert_count,
         reader.get_int_or({"expert_count", "num_experts"}, local, 0, kExpertCountMax));
  if (moe.expert_count == 0) return {};
  SQ_TRY(moe.experts_used,
         reader.get_int({"expert_used_count", "num_experts_per_tok"}, 1, moe.expert_count));
  SQ_TRY(moe.feed_forward,
         reader.get_int_or(expert_feed_forward, config.feed_forward, 1, kDimensionMax));
  for (LayerFacts& layer : config.layers) layer.is_moe = true;
  return {};
}

Status read_dense_layers(const ConfigReader& reader, ModelConfig& config) {
  SQ_TRY(const std::vector<int64_t> dense, reader.get_ints({"", "mlp_only_layers"}));
  SQ_TRY(const int step, reader.get_int_or({"", "decoder_sparse_step"}, 1, 1, kLayerCountMax));
  for (int i = 0; i < config.layer_count; ++i) {
    const bool is_listed = std::find(dense.begin(), dense.end(), i) != dense.end();
    if (is_listed || (i + 1) % step != 0) config.layers[static_cast<size_t>(i)].is_moe = false;
  }
  return {};
}

Result<bool> read_layer_types(const ConfigReader& reader, int window, ModelConfig& config) {
  constexpr FactKey kKey = {"", "layer_types"};
  if (!reader.has(kKey)) return false;
  SQ_TRY(const std::vector<std::string> types, reader.get_strings(kKey));
  if (types.size() != config.layers.size()) {
    return reader.error(ErrorCode::bad_file, fmt::format("layer_types has {} entries for {} layers",
                                                         types.size(), config.layers.size()));
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] != "full_attention" && types[i] != "sliding_attention") {
      return reader.error(ErrorCode::unsupported,
                          fmt::format("layer_types.{} is '{}', expected full_attention or "
                                      "sliding_attention",
                                      i, printable(types[i])));
    }
    config.layers[i].window = types[i] == "sliding_attention" ? window : 0;
  }
  return true;
}

}  // namespace squish
