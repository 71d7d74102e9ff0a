#include "compress/npy_route.h"

#include <fmt/format.h>

namespace squish::compress {
namespace {

constexpr int kLayers = 28;

std::string kind_of(std::string_view name, size_t rank = 2, int layers = kLayers) {
  const auto kind = route_sqint2(name, rank, layers);
  return kind ? std::string(name_of(*kind)) : "fp16";
}

struct Family {
  std::string_view name;
  std::string_view layer;  // "{}" is the index
  std::vector<std::string_view> gate_up;
  std::vector<std::string_view> attention;
  std::vector<std::string_view> rest;
};

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      {"llama, qwen2, mistral, gemma",
       "model.layers.{}.",
       {"mlp.gate_proj", "mlp.up_proj"},
       {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"},
       {"mlp.down_proj", "self_attn.dense"}},
      {"phi3",
       "model.layers.{}.",
       {"mlp.gate_up_proj"},
       {"self_attn.qkv_proj", "self_attn.o_proj"},
       {"mlp.down_proj"}},
      {"qwen2-moe, qwen3-moe",
       "model.layers.{}.",
       {"mlp.experts.0.gate_proj", "mlp.experts.59.up_proj", "mlp.shared_expert.gate_proj",
        "mlp.shared_expert.up_proj"},
       {"self_attn.q_proj", "self_attn.k_proj"},
       {"mlp.gate", "mlp.experts.3.down_proj", "mlp.shared_expert_gate"}},
      {"mixtral",
       "model.layers.{}.",
       {"block_sparse_moe.experts.7.w1", "block_sparse_moe.experts.7.w3"},
       {"self_attn.v_proj"},
       {"block_sparse_moe.experts.7.w2", "block_sparse_moe.gate"}},
      {"gguf",
       "blk.{}.",
       {"ffn_gate", "ffn_up"},
       {"attn_q", "attn_k", "attn_v", "attn_output", "attn_qkv"},
       {"ffn_down", "ffn_gate_inp"}},
      {"gpt", "transformer.h.{}.", {}, {}, {"attn.c_attn", "mlp.c_fc", "mlp.c_proj"}},
      {"one layer a name", "encoder.layer.{}.", {"gate_proj"}, {"q_proj"}, {"output.dense"}},
  };
  return all;
}

TEST(Sqint2Route, follows_the_rule_in_every_family_and_layer) {
  size_t cases = 0;
  for (const Family& family : families()) {
    for (const int layer : {0, 1, 2, 13, kLayers - 3, kLayers - 2, kLayers - 1, kLayers}) {
      const bool is_boundary = layer < 2 || layer >= kLayers - 2;
      const auto check = [&](std::span<const std::string_view> names, std::string_view inside) {
        for (const std::string_view name : names) {
          const std::string full =
              fmt::format(fmt::runtime(family.layer), layer) + std::string(name) + ".weight";
          EXPECT_EQ(kind_of(full), is_boundary ? "int4" : inside) << family.name << ": " << full;
          ++cases;
        }
      };
      check(family.gate_up, "sqint2");
      check(family.attention, "int3");
      check(family.rest, "int4");
    }
  }
  EXPECT_GE(cases, 90U);
}

TEST(Sqint2Route, leaves_what_is_in_no_layer_at_16_bits) {
  for (const std::string_view name :
       {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight", "token_embd.weight",
        "output.weight", "output_norm.weight", "model.layers.x.mlp.up_proj.weight", "layers.weight",
        "h.0.mlp.up_proj.weight", "model.layers.-1.mlp.up_proj.weight"}) {
    EXPECT_EQ(kind_of(name), "fp16") << name;
  }
}

TEST(Sqint2Route, leaves_vectors_and_biases_at_16_bits) {
  EXPECT_EQ(kind_of("model.layers.5.input_layernorm.weight", 1), "fp16");
  EXPECT_EQ(kind_of("model.layers.5.self_attn.q_proj.bias", 1), "fp16");
  EXPECT_EQ(kind_of("model.layers.5.self_attn.q_proj.bias", 2), "fp16");
}

TEST(Sqint2Route, codes_all_of_a_network_of_fewer_than_four_layers_as_int4) {
  for (int layer = 0; layer < 3; ++layer) {
    EXPECT_EQ(kind_of(fmt::format("model.layers.{}.mlp.up_proj.weight", layer), 2, 3), "int4");
  }
  EXPECT_EQ(kind_of("model.layers.2.mlp.up_proj.weight", 2, 5), "sqint2") << "only the middle one";
}

TEST(NpyKinds, of_the_plain_formats_follow_the_format) {
  const Shape matrix = {{64, 64, 1, 1}, 2};
  const Shape stacked = {{8, 64, 64, 1}, 3};
  const std::string_view up = "blk.7.ffn_up.weight";
  EXPECT_EQ(npy_kind("int4", up, matrix, kLayers), NpyKind::int4);
  EXPECT_EQ(npy_kind("int3", up, matrix, kLayers), NpyKind::int3);
  EXPECT_EQ(npy_kind("int8", up, matrix, kLayers), NpyKind::int8);
  EXPECT_EQ(npy_kind("fp16", up, matrix, kLayers), NpyKind::plain);
  EXPECT_EQ(npy_kind("int4", "token_embd.weight", matrix, kLayers), NpyKind::plain);
  EXPECT_EQ(npy_kind("sqint2", up, matrix, kLayers), NpyKind::sqint2);
  EXPECT_EQ(npy_kind("sqint2", "blk.7.ffn_up_exps.weight", stacked, kLayers), NpyKind::int4);
}

}  // namespace
}  // namespace squish::compress
