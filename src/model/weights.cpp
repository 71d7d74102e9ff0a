#include "model/weights.h"

#include <algorithm>
#include <array>
#include <string>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "base/strings.h"
#include "model/tensor_read.h"

namespace squish {
namespace {

/// Tensors of old files that repeat what the configuration says.
constexpr std::array<std::string_view, 2> kIgnoredSuffixes = {"rotary_emb.inv_freq",
                                                              "attn_rot_embd.weight"};

std::string fill(std::string_view pattern, size_t index) {
  return replace_all(std::string(pattern), "{}", std::to_string(index));
}

class Loader {
 public:
  Loader(const ModelFiles& files, const Network& network)
      : files_(files), network_(network), names_(network.names), config_(network.config) {}

  Result<Weights> load();

 private:
  Result<TensorView> matrix(const std::string& name, uint64_t out, uint64_t in);
  /// A matrix whose rows are addressed by themselves: tables, and matrices stored as one.
  Result<TensorView> matrix_of_rows(const std::string& name, uint64_t out, uint64_t in);
  Result<const float*> vector(const std::string& name, uint64_t length);
  Result<const float*> bias(const std::string& name, uint64_t length, Presence presence);
  Result<ExpertMatrices> experts(const std::string& prefix, std::string_view pattern, uint64_t out,
                                 uint64_t in);
  Status load_attention(const std::string& prefix, LayerWeights& layer);
  Status load_qkv(const std::string& prefix, LayerWeights& layer);
  Status load_dense(const std::string& prefix, LayerWeights& layer);
  Status load_routed(const std::string& prefix, LayerWeights& layer);
  Status check_unused() const;
  Error mismatch(std::string_view name, const TensorView& found, std::string_view expected) const;
  void count(const TensorView& view, uint64_t bytes_per_token);

  const ModelFiles& files_;
  const Network& network_;
  const TensorNames& names_;
  const ModelConfig& config_;
  Weights weights_;
  std::unordered_set<std::string> used_;
  std::array<uint64_t, kDTypeCount> bytes_of_type_ = {};
};

Error Loader::mismatch(std::string_view name, const TensorView& found,
                       std::string_view expected) const {
  return {ErrorCode::bad_file, fmt::format("{}: tensor {} is {}, expected {}", files_.path, name,
                                           to_string(found.shape), expected)};
}

void Loader::count(const TensorView& view, uint64_t bytes_per_token) {
  weights_.parameter_count += view.shape.elements();
  weights_.bytes_per_token += bytes_per_token;
  bytes_of_type_[static_cast<size_t>(view.dtype)] += view.bytes();
}

Result<TensorView> Loader::matrix(const std::string& name, uint64_t out, uint64_t in) {
  SQ_TRY(TensorView view, files_.find_tensor(name));
  used_.insert(name);
  if (out == 1 && view.shape.rank == 1) view.shape = {{1, view.shape[0], 1, 1}, 2};
  if (view.shape.rank != 2 || view.shape[0] != out || view.shape[1] != in) {
    return mismatch(name, view, fmt::format("[{}, {}]", out, in));
  }
  return view;
}

Result<TensorView> Loader::matrix_of_rows(const std::string& name, uint64_t out, uint64_t in) {
  SQ_TRY(const TensorView view, matrix(name, out, in));
  if (type_info(view.dtype).has_rows) return view;
  return Error{ErrorCode::unsupported,
               fmt::format("{}: tensor {} is {}, whose rows cannot be read one by one, which "
                           "embeddings and joined matrices need; compress it to int4 or int3",
                           files_.path, printable(name), type_info(view.dtype).name)};
}

Result<const float*> Loader::vector(const std::string& name, uint64_t length) {
  SQ_TRY(const TensorView view, files_.find_tensor(name));
  SQ_TRY(std::vector<float> values, read_vector(files_, name, length));
  used_.insert(name);
  weights_.parameter_count += length;
  weights_.bytes_per_token += view.bytes();
  const bool is_aligned = reinterpret_cast<uintptr_t>(view.data) % alignof(float) == 0;
  if (view.dtype == DType::f32 && is_aligned) return reinterpret_cast<const float*>(view.data);
  weights_.owned.push_back(std::move(values));
  return weights_.owned.back().data();
}

Result<const float*> Loader::bias(const std::string& name, uint64_t length, Presence presence) {
  const bool is_wanted =
      presence == Presence::required || (presence == Presence::optional && files_.has_tensor(name));
  if (!is_wanted) return static_cast<const float*>(nullptr);
  return vector(name, length);
}

Status Loader::load_qkv(const std::string& prefix, LayerWeights& layer) {
  const auto hidden = static_cast<uint64_t>(config_.hidden);
  const auto head_dim = static_cast<uint64_t>(config_.head_dim);
  const uint64_t q_rows = static_cast<uint64_t>(config_.head_count) * head_dim;
  const uint64_t kv_rows = static_cast<uint64_t>(config_.kv_head_count) * head_dim;
  if (!names_.qkv.empty()) {
    const std::string name = fmt::format("{}{}.weight", prefix, names_.qkv);
    SQ_TRY(const TensorView qkv, matrix_of_rows(name, q_rows + 2 * kv_rows, hidden));
    layer.q = qkv.rows(0, q_rows);
    layer.k = qkv.rows(q_rows, kv_rows);
    layer.v = qkv.rows(q_rows + kv_rows, kv_rows);
  } else {
    SQ_TRY(layer.q, matrix(fmt::format("{}{}.weight", prefix, names_.q), q_rows, hidden));
    SQ_TRY(layer.k, matrix(fmt::format("{}{}.weight", prefix, names_.k), kv_rows, hidden));
    SQ_TRY(layer.v, matrix(fmt::format("{}{}.weight", prefix, names_.v), kv_rows, hidden));
    const Presence presence = network_.qkv_bias;
    SQ_TRY(layer.q_bias, bias(fmt::format("{}{}.bias", prefix, names_.q), q_rows, presence));
    SQ_TRY(layer.k_bias, bias(fmt::format("{}{}.bias", prefix, names_.k), kv_rows, presence));
    SQ_TRY(layer.v_bias, bias(fmt::format("{}{}.bias", prefix, names_.v), kv_rows, presence));
  }
  for (const TensorView* view : {&layer.q, &layer.k, &layer.v}) count(*view, view->bytes());
  return {};
}

Status Loader::load_attention(const std::string& prefix, LayerWeights& layer) {
  const auto hidden = static_cast<uint64_t>(config_.hidden);
  const auto head_dim = static_cast<uint64_t>(config_.head_dim);
  const uint64_t q_rows = static_cast<uint64_t>(config_.head_count) * head_dim;
  const auto weight = [&](std::string_view name) {
    return fmt::format("{}{}.weight", prefix, name);
  };
  SQ_TRY(layer.attention_norm, vector(weight(names_.attention_norm), hidden));
  SQ_TRY_STATUS(load_qkv(prefix, layer));
  if (network_.qk_norm) {
    SQ_TRY(layer.q_norm, vector(weight(names_.q_norm), head_dim));
    SQ_TRY(layer.k_norm, vector(weight(names_.k_norm), head_dim));
  }
  SQ_TRY(layer.o, matrix(weight(names_.o), hidden, q_rows));
  count(layer.o, layer.o.bytes());
  SQ_TRY(layer.o_bias, bias(fmt::format("{}{}.bias", prefix, names_.o), hidden, network_.o_bias));
  SQ_TRY(layer.mlp_norm, vector(weight(names_.mlp_norm), hidden));
  if (config_.post_norms) {
    SQ_TRY(layer.post_attention_norm, vector(weight(names_.post_attention_norm), hidden));
    SQ_TRY(layer.post_mlp_norm, vector(weight(names_.post_mlp_norm), hidden));
  }
  return {};
}

Status Loader::load_dense(const std::string& prefix, LayerWeights& layer) {
  const auto hidden = static_cast<uint64_t>(config_.hidden);
  const auto inner = static_cast<uint64_t>(config_.feed_forward);
  const auto weight = [&](std::string_view name) {
    return fmt::format("{}{}.weight", prefix, name);
  };
  if (!names_.gate_up.empty()) {
    SQ_TRY(const TensorView both, matrix_of_rows(weight(names_.gate_up), 2 * inner, hidden));
    layer.gate = both.rows(0, inner);
    layer.up = both.rows(inner, inner);
  } else {
    SQ_TRY(layer.gate, matrix(weight(names_.gate), inner, hidden));
    SQ_TRY(layer.up, matrix(weight(names_.up), inner, hidden));
  }
  SQ_TRY(layer.down, matrix(weight(names_.down), hidden, inner));
  for (const TensorView* view : {&layer.gate, &layer.up, &layer.down}) count(*view, view->bytes());
  return {};
}

Result<ExpertMatrices> Loader::experts(const std::string& prefix, std::string_view pattern,
                                       uint64_t out, uint64_t in) {
  const auto expert_count = static_cast<uint64_t>(config_.moe.expert_count);
  const auto used = static_cast<uint64_t>(config_.moe.experts_used);
  ExpertMatrices result;
  if (pattern.find("{}") == std::string_view::npos) {
    const std::string name = fmt::format("{}{}.weight", prefix, pattern);
    SQ_TRY(const TensorView view, files_.find_tensor(name));
    used_.insert(name);
    if (view.shape != Shape{{expert_count, out, in, 1}, 3}) {
      return mismatch(name, view, fmt::format("[{}, {}, {}]", expert_count, out, in));
    }
    result.stacked = view;
    count(view, view.bytes() / expert_count * used);
    return result;
  }
  for (size_t e = 0; e < expert_count; ++e) {
    SQ_TRY(const TensorView view,
           matrix(fmt::format("{}{}.weight", prefix, fill(pattern, e)), out, in));
    result.separate.push_back(view);
    count(view, e < used ? view.bytes() : 0);  // all experts are of one size
  }
  return result;
}

Status Loader::load_routed(const std::string& prefix, LayerWeights& layer) {
  const MoeFacts& moe = config_.moe;
  const auto hidden = static_cast<uint64_t>(config_.hidden);
  const auto inner = static_cast<uint64_t>(moe.feed_forward);
  const auto weight = [&](std::string_view name) {
    return fmt::format("{}{}.weight", prefix, name);
  };
  SQ_TRY(layer.router,
         matrix(weight(names_.router), static_cast<uint64_t>(moe.expert_count), hidden));
  count(layer.router, layer.router.bytes());
  SQ_TRY(layer.expert_gate, experts(prefix, names_.expert_gate, inner, hidden));
  SQ_TRY(layer.expert_up, experts(prefix, names_.expert_up, inner, hidden));
  SQ_TRY(layer.expert_down, experts(prefix, names_.expert_down, hidden, inner));
  if (moe.shared_feed_forward == 0) return {};
  const auto shared = static_cast<uint64_t>(moe.shared_feed_forward);
  SQ_TRY(layer.gate, matrix(weight(names_.shared_gate), shared, hidden));
  SQ_TRY(layer.up, matrix(weight(names_.shared_up), shared, hidden));
  SQ_TRY(layer.down, matrix(weight(names_.shared_down), hidden, shared));
  SQ_TRY(layer.shared_router, matrix(weight(names_.shared_router), 1, hidden));
  for (const TensorView* view : {&layer.gate, &layer.up, &layer.down, &layer.shared_router}) {
    count(*view, view->bytes());
  }
  return {};
}

Status Loader::check_unused() const {
  const std::string_view before = names_.layer.substr(0, names_.layer.find("{}"));
  for (const NamedTensor& tensor : files_.tensors()) {
    if (!tensor.name.starts_with(before)) continue;
    const std::string_view rest = tensor.name.substr(before.size());
    const auto index = parse_int(rest.substr(0, rest.find('.')));
    if (!index || *index < 0 || *index >= config_.layer_count) continue;
    const bool is_ignored = std::any_of(kIgnoredSuffixes.begin(), kIgnoredSuffixes.end(),
                                        [&](auto suffix) { return rest.ends_with(suffix); });
    if (is_ignored || used_.contains(std::string(tensor.name))) continue;
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: tensor {} has no place in architecture '{}' as configured; the "
                             "result would be wrong without it",
                             files_.path, printable(tensor.name), config_.architecture)};
  }
  return {};
}

Result<Weights> Loader::load() {
  const auto hidden = static_cast<uint64_t>(config_.hidden);
  const auto vocabulary = static_cast<uint64_t>(config_.vocabulary_size);
  SQ_TRY(weights_.embedding, matrix_of_rows(std::string(names_.embedding), vocabulary, hidden));
  weights_.head = weights_.embedding;
  count(weights_.embedding, weights_.embedding.row_stride_bytes());
  if (!config_.tied_embedding) {
    SQ_TRY(weights_.head, matrix(std::string(names_.head), vocabulary, hidden));
    count(weights_.head, 0);
  }
  weights_.bytes_per_token += weights_.head.bytes();
  SQ_TRY(weights_.final_norm, vector(std::string(names_.final_norm), hidden));
  for (size_t i = 0; i < config_.layers.size(); ++i) {
    const std::string prefix = fill(names_.layer, i);
    LayerWeights layer;
    SQ_TRY_STATUS(load_attention(prefix, layer));
    SQ_TRY_STATUS(config_.layers[i].is_moe ? load_routed(prefix, layer)
                                           : load_dense(prefix, layer));
    weights_.layers.push_back(std::move(layer));
  }
  SQ_TRY_STATUS(check_unused());
  const auto most = std::max_element(bytes_of_type_.begin(), bytes_of_type_.end());
  weights_.common_dtype = static_cast<DType>(most - bytes_of_type_.begin());
  return std::move(weights_);
}

}  // namespace

Result<Weights> load_weights(const ModelFiles& files, const Network& network) {
  if (network.config.encoder.is_encoder) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: architecture '{}' makes embeddings and writes no text; this "
                             "needs a model that does",
                             files.path, network.config.architecture)};
  }
  return Loader(files, network).load();
}

}  // namespace squish
