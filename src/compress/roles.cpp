#include "compress/roles.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/strings.h"

namespace squish::compress {

std::string_view name_of(Role role) {
  static constexpr std::array<std::string_view, 19> kNames = {
      "embedding", "head",        "q",      "k",
      "v",         "qkv",         "o",      "gate",
      "up",        "gate_up",     "down",   "expert_gate",
      "expert_up", "expert_down", "router", "attention_norm",
      "mlp_norm",  "v_bias",      "other"};
  return kNames.at(static_cast<size_t>(role));
}

void RoleTable::add_layer(const TensorNames& names, const MoeFacts& moe, int layer) {
  const std::string prefix = replace_all(std::string(names.layer), "{}", std::to_string(layer));
  const auto add = [&](std::string_view name, Role role, std::string_view suffix = ".weight") {
    if (!name.empty()) places_[fmt::format("{}{}{}", prefix, name, suffix)] = {role, layer};
  };
  const std::array<std::pair<std::string_view, Role>, 15> plain = {{
      {names.attention_norm, Role::attention_norm},
      {names.mlp_norm, Role::mlp_norm},
      {names.q, Role::q},
      {names.k, Role::k},
      {names.v, Role::v},
      {names.qkv, Role::qkv},
      {names.o, Role::o},
      {names.gate, Role::gate},
      {names.up, Role::up},
      {names.gate_up, Role::gate_up},
      {names.down, Role::down},
      {names.router, Role::router},
      {names.shared_router, Role::router},
      {names.shared_gate, Role::expert_gate},
      {names.shared_up, Role::expert_up},
  }};
  // gate_up first in the families that have it: their name for it is another's `up`.
  for (const auto& [name, role] : plain) {
    const bool is_shadowed = !names.gate_up.empty() && (role == Role::gate || role == Role::up);
    const bool is_fused_part =
        !names.qkv.empty() && (role == Role::q || role == Role::k || role == Role::v);
    if (!is_shadowed && !is_fused_part) add(name, role);
  }
  add(names.shared_down, Role::expert_down);
  add(names.v, Role::v_bias, ".bias");
  const std::array<std::pair<std::string_view, Role>, 3> experts = {
      {{names.expert_gate, Role::expert_gate},
       {names.expert_up, Role::expert_up},
       {names.expert_down, Role::expert_down}}};
  for (const auto& [pattern, role] : experts) {
    const bool is_one_each = pattern.find("{}") != std::string_view::npos;
    const int count = is_one_each ? moe.expert_count : 1;
    for (int i = 0; i < count; ++i) {
      add(replace_all(std::string(pattern), "{}", std::to_string(i)), role);
    }
  }
}

RoleTable::RoleTable(const Network& network) {
  const TensorNames& names = network.names;
  for (int i = 0; i < network.config.layer_count; ++i) {
    add_layer(names, network.config.moe, i);
  }
  places_[std::string(names.embedding)] = {Role::embedding, -1};
  if (!network.config.tied_embedding) places_[std::string(names.head)] = {Role::head, -1};
}

Place RoleTable::find(std::string_view tensor_name) const {
  const auto found = places_.find(std::string(tensor_name));
  return found == places_.end() ? Place() : found->second;
}

}  // namespace squish::compress
