#include "model/arch/family.h"

namespace squish {

const TensorNames& gguf_names() {
  static constexpr TensorNames kNames = {
      .embedding = "token_embd.weight",
      .final_norm = "output_norm.weight",
      .head = "output.weight",
      .layer = "blk.{}.",
      .attention_norm = "attn_norm",
      .q = "attn_q",
      .k = "attn_k",
      .v = "attn_v",
      .qkv = "",
      .o = "attn_output",
      .q_norm = "attn_q_norm",
      .k_norm = "attn_k_norm",
      .post_attention_norm = "post_attention_norm",
      .mlp_norm = "ffn_norm",
      .gate = "ffn_gate",
      .up = "ffn_up",
      .gate_up = "",
      .down = "ffn_down",
      .post_mlp_norm = "post_ffw_norm",
      .router = "ffn_gate_inp",
      .expert_gate = "ffn_gate_exps",
      .expert_up = "ffn_up_exps",
      .expert_down = "ffn_down_exps",
      .shared_gate = "ffn_gate_shexp",
      .shared_up = "ffn_up_shexp",
      .shared_down = "ffn_down_shexp",
      .shared_router = "ffn_gate_inp_shexp",
  };
  return kNames;
}

const TensorNames& hf_names() {
  static constexpr TensorNames kNames = {
      .embedding = "model.embed_tokens.weight",
      .final_norm = "model.norm.weight",
      .head = "lm_head.weight",
      .layer = "model.layers.{}.",
      .attention_norm = "input_layernorm",
      .q = "self_attn.q_proj",
      .k = "self_attn.k_proj",
      .v = "self_attn.v_proj",
      .qkv = "",
      .o = "self_attn.o_proj",
      .q_norm = "self_attn.q_norm",
      .k_norm = "self_attn.k_norm",
      .post_attention_norm = "",
      .mlp_norm = "post_attention_layernorm",
      .gate = "mlp.gate_proj",
      .up = "mlp.up_proj",
      .gate_up = "",
      .down = "mlp.down_proj",
      .post_mlp_norm = "",
      .router = "mlp.gate",
      .expert_gate = "mlp.experts.{}.gate_proj",
      .expert_up = "mlp.experts.{}.up_proj",
      .expert_down = "mlp.experts.{}.down_proj",
      .shared_gate = "mlp.shared_expert.gate_proj",
      .shared_up = "mlp.shared_expert.up_proj",
      .shared_down = "mlp.shared_expert.down_proj",
      .shared_router = "mlp.shared_expert_gate",
  };
  return kNames;
}

}  // namespace squish
