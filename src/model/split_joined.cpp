// Matrices that hold several: every part becomes a tensor of its own.
#include <array>
#include <span>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/strings.h"
#include "model/arch/family.h"
#include "model/model_files.h"

namespace squish {
namespace {

struct Part {
  std::string_view name;
  uint64_t rows = 0;
};

/// A matrix of the file and what its rows are, in their order.
struct Joined {
  std::string_view name;
  std::vector<Part> parts;
};

std::vector<Joined> joined_matrices(const Network& network) {
  const TensorNames& names = network.names;
  const ModelConfig& config = network.config;
  const auto head_dim = static_cast<uint64_t>(config.head_dim);
  const uint64_t q_rows = static_cast<uint64_t>(config.head_count) * head_dim;
  const uint64_t kv_rows = static_cast<uint64_t>(config.kv_head_count) * head_dim;
  const auto inner = static_cast<uint64_t>(config.feed_forward);
  std::vector<Joined> out;
  if (!names.qkv.empty())
    out.push_back({names.qkv, {{names.q, q_rows}, {names.k, kv_rows}, {names.v, kv_rows}}});
  if (!names.gate_up.empty())
    out.push_back({names.gate_up, {{names.gate, inner}, {names.up, inner}}});
  return out;
}

/// Where a file's tensor of that name is one of the joined ones.
using JoinedByName = std::unordered_map<std::string, std::pair<std::string, const Joined*>>;

JoinedByName by_name(const Network& network, std::span<const Joined> joined) {
  JoinedByName out;
  for (int layer = 0; layer < network.config.layer_count; ++layer) {
    const std::string prefix =
        replace_all(std::string(network.names.layer), "{}", std::to_string(layer));
    for (const Joined& matrix : joined)
      out[fmt::format("{}{}.weight", prefix, matrix.name)] = {prefix, &matrix};
  }
  return out;
}

Status check_parts(const std::string& path, const NamedTensor& named, const Joined& joined) {
  uint64_t rows = 0;
  for (const Part& part : joined.parts) rows += part.rows;
  const TensorView& view = named.tensor;
  if (!type_info(view.dtype).has_rows) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: tensor {} is {}, whose rows cannot be taken apart", path,
                             printable(named.name), type_info(view.dtype).name)};
  }
  if (view.shape.rank == 2 && view.shape[0] == rows) return {};
  return Error{ErrorCode::bad_file,
               fmt::format("{}: tensor {} is {}, expected {} rows", path, printable(named.name),
                           to_string(view.shape), rows)};
}

}  // namespace

Status ModelFiles::split_joined(const Network& network) {
  const std::vector<Joined> joined = joined_matrices(network);
  if (joined.empty() || split) return {};
  const JoinedByName places = by_name(network, joined);
  auto out = std::make_unique<SplitTensors>();
  for (const NamedTensor& named : tensors()) {
    const auto place = places.find(std::string(named.name));
    if (place == places.end()) {
      out->tensors.push_back(named);
      continue;
    }
    const auto& [prefix, matrix] = place->second;
    SQ_TRY_STATUS(check_parts(path, named, *matrix));
    uint64_t begin = 0;
    for (const Part& part : matrix->parts) {
      out->names.push_back(fmt::format("{}{}.weight", prefix, part.name));
      out->tensors.push_back({out->names.back(), named.tensor.rows(begin, part.rows)});
      begin += part.rows;
    }
  }
  split = std::move(out);
  return {};
}

}  // namespace squish
