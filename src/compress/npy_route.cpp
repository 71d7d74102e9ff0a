#include "compress/npy_route.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/strings.h"
#include "compress/formats.h"

namespace squish::compress {
namespace {

constexpr std::array<std::string_view, 5> kFormats = {"sqint2", "int4", "int3", "int8", "fp16"};
constexpr std::array<std::string_view, 4> kMarks = {"layers", "layer", "h", "blk"};
// Hugging Face's names, then GGUF's; joined matrices count as what they are made of.
constexpr std::array<std::string_view, 10> kGateUp = {
    "gate_proj",     "up_proj",     "gate_up_proj",   "w1",          "w3", "ffn_gate",
    "ffn_gate_exps", "ffn_up_exps", "ffn_gate_shexp", "ffn_up_shexp"};
constexpr std::array<std::string_view, 10> kAttention = {
    "q_proj", "k_proj", "v_proj", "o_proj",      "qkv_proj",
    "attn_q", "attn_k", "attn_v", "attn_output", "attn_qkv"};
constexpr std::string_view kGgufUp = "ffn_up";

bool is_among(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

std::span<const std::string_view> npy_format_names() { return kFormats; }

std::optional<int> layer_in_name(std::string_view tensor_name) {
  const std::vector<std::string_view> parts = split(tensor_name, '.');
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (!is_among(kMarks, parts[i])) continue;
    // ".h." has something before it: "transformer.h.0".
    if (parts[i] == "h" && i == 0) continue;
    const std::optional<int64_t> index = parse_int(parts[i + 1]);
    if (index && *index >= 0 && *index < 100'000) return static_cast<int>(*index);
  }
  return std::nullopt;
}

std::optional<NpyKind> route_sqint2(std::string_view tensor_name, size_t rank, int layer_count) {
  constexpr std::string_view kWeight = ".weight";
  const std::optional<int> layer = layer_in_name(tensor_name);
  if (!tensor_name.ends_with(kWeight) || !layer || rank < 2) return std::nullopt;
  if (*layer >= layer_count || is_boundary_layer(*layer, layer_count)) return NpyKind::int4;
  std::string_view name = tensor_name.substr(0, tensor_name.size() - kWeight.size());
  name = name.substr(name.rfind('.') + 1);
  if (is_among(kGateUp, name) || name == kGgufUp) return NpyKind::sqint2;
  return is_among(kAttention, name) ? NpyKind::int3 : NpyKind::int4;
}

NpyKind npy_kind(std::string_view format, std::string_view tensor_name, const Shape& shape,
                 int layer_count) {
  SQ_CHECK(is_among(kFormats, format));
  if (format == "sqint2") {
    const NpyKind kind =
        route_sqint2(tensor_name, shape.rank, layer_count).value_or(NpyKind::plain);
    return kind == NpyKind::sqint2 && shape.rank > 2 ? NpyKind::int4 : kind;
  }
  const bool is_matrix = shape.rank >= 2 && tensor_name.ends_with(".weight");
  if (format == "fp16" || !is_matrix || !layer_in_name(tensor_name)) return NpyKind::plain;
  if (format == "int8") return NpyKind::int8;
  return format == "int3" ? NpyKind::int3 : NpyKind::int4;
}

}  // namespace squish::compress
