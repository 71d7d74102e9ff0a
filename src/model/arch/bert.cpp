// BERT: learned positions, token types, norms after each block, attention in both directions.
#include <cmath>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "model/arch/family.h"

namespace squish {
namespace {

constexpr auto kDimensionMax = static_cast<int64_t>(limits::kDimensionMax);

Result<Activation> read_activation(const ConfigReader& reader) {
  SQ_TRY(const std::string name, reader.get_string_or({"", "hidden_act"}, "gelu"));
  if (name == "gelu") return Activation::gelu_erf;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  if (name == "silu" || name == "swish") return Activation::silu;
  return reader.error(ErrorCode::unsupported,
                      fmt::format("activation '{}' is not supported; supported are gelu, gelu_new, "
                                  "gelu_pytorch_tanh, silu",
                                  printable(name)));
}

/// What would make it another network than the one we compute.
Status check_kind(const ConfigReader& reader) {
  SQ_TRY(const std::string positions,
         reader.get_string_or({"", "position_embedding_type"}, "absolute"));
  if (positions != "absolute") {
    return reader.error(ErrorCode::unsupported,
                        fmt::format("position_embedding_type '{}' is not supported; supported is "
                                    "absolute",
                                    printable(positions)));
  }
  SQ_TRY(const bool is_decoder, reader.get_bool_or({"", "is_decoder"}, false));
  if (is_decoder) return reader.error(ErrorCode::unsupported, "BERT as a decoder is not supported");
  return {};
}

}  // namespace

Result<Network> read_bert(ConfigReader& reader, const NetworkOptions& /*options*/) {
  SQ_TRY_STATUS(check_kind(reader));
  Network network;
  ModelConfig& config = network.config;
  config.architecture = reader.architecture();
  config.name = model_name(reader);
  SQ_TRY(config.layer_count, reader.get_int({"", "num_hidden_layers"}, 1,
                                            static_cast<int64_t>(limits::kLayerCountMax)));
  SQ_TRY(config.hidden, reader.get_int({"", "hidden_size"}, 1, kDimensionMax));
  SQ_TRY(config.feed_forward, reader.get_int({"", "intermediate_size"}, 1, kDimensionMax));
  SQ_TRY(config.head_count, reader.get_int({"", "num_attention_heads"}, 1, kDimensionMax));
  if (config.hidden % config.head_count != 0) {
    return reader.error(ErrorCode::bad_file,
                        fmt::format("hidden size {} is not a multiple of {} heads", config.hidden,
                                    config.head_count));
  }
  config.kv_head_count = config.head_count;
  config.head_dim = config.hidden / config.head_count;
  SQ_TRY(config.vocabulary_size,
         reader.get_int({"", "vocab_size"}, 1, static_cast<int64_t>(limits::kVocabularySizeMax)));
  SQ_TRY(config.context_length, reader.get_int({"", "max_position_embeddings"}, 1, kDimensionMax));
  SQ_TRY(const double epsilon, reader.get_float_or({"", "layer_norm_eps"}, 1e-12, 0, 1));
  config.norm_epsilon = static_cast<float>(epsilon);
  SQ_TRY(config.activation, read_activation(reader));
  config.attention_scale = 1 / std::sqrt(static_cast<float>(config.head_dim));
  config.layers.resize(static_cast<size_t>(config.layer_count));
  config.tied_embedding = true;
  config.encoder.is_encoder = true;
  SQ_TRY(config.encoder.type_count, reader.get_int_or({"", "type_vocab_size"}, 2, 1, 1024));
  // A classifier of one class says how well two texts fit; others are of no use here.
  const auto classifier = reader.files().find_tensor("classifier.weight");
  config.encoder.has_score = classifier && classifier->row_count() == 1;
  return network;
}

}  // namespace squish
