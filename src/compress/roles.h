#pragma once
// What each tensor of a model is for, from the names that its family gives them.
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "model/arch/family.h"

namespace squish::compress {

enum class Role : uint8_t {
  embedding,
  head,
  q,
  k,
  v,
  qkv,
  o,
  gate,
  up,
  gate_up,
  down,
  expert_gate,
  expert_up,
  expert_down,
  router,  // also the shared expert's
  attention_norm,
  mlp_norm,
  v_bias,
  other,  // norms, biases and whatever the network has no name for
};
std::string_view name_of(Role role);

struct Place {
  Role role = Role::other;
  int layer = -1;
};

/// Answers by name. Immutable; any thread.
class RoleTable {
 public:
  explicit RoleTable(const Network& network);
  [[nodiscard]] Place find(std::string_view tensor_name) const;

 private:
  void add_layer(const TensorNames& names, const MoeFacts& moe, int layer);
  std::unordered_map<std::string, Place> places_;
};

}  // namespace squish::compress
