// Facts from files: what each form of configuration means, and what wrong ones get.
#include <cmath>
#include <functional>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "format/testing/gguf_builder.h"
#include "format/testing/temporary_directory.h"
#include "model/arch_table.h"
#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"

namespace squish {
namespace {

using squish::testing::GgufBuilder;
using squish::testing::LoadedModel;
using squish::testing::TemporaryDirectory;
using squish::testing::TinyModel;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// The error of loading `path`.
Error load_error(const std::string& path) {
  const std::unique_ptr<Backend> backend = make_ref_backend();
  Result<ModelFiles> files = ModelFiles::open(path);
  if (!files) return files.error();
  const auto model = Model::create(*files, *backend);
  if (model) return {ErrorCode::internal, "it loaded"};
  return model.error();
}

/// The error of a tiny GGUF after a change.
Error error_of_gguf(std::string_view name, const std::function<void(GgufBuilder&)>& change) {
  const TemporaryDirectory directory;
  GgufBuilder builder = TinyModel(name).gguf(DType::f16);
  change(builder);
  return load_error(builder.write(directory.file("changed.gguf")));
}

/// The error of a tiny HF directory whose config.json has `from` replaced by `to`.
Error error_of_hf(std::string_view name, std::string_view from, std::string_view to) {
  const TemporaryDirectory directory;
  const TinyModel tiny(name);
  tiny.write_hf(directory, DType::bf16);
  EXPECT_THAT(tiny.config_json(), HasSubstr(std::string(from)));
  directory.write("config.json", replace_all(tiny.config_json(), from, to));
  return load_error(directory.path());
}

/// Facts of a tiny HF directory whose config.json has `from` replaced by `to`.
ModelConfig config_of_hf(std::string_view name, std::string_view from, std::string_view to) {
  const TemporaryDirectory directory;
  const TinyModel tiny(name);
  tiny.write_hf(directory, DType::bf16);
  EXPECT_THAT(tiny.config_json(), HasSubstr(std::string(from)));
  directory.write("config.json", replace_all(tiny.config_json(), from, to));
  const LoadedModel loaded(directory.path());
  return loaded.model ? loaded.model->config() : ModelConfig();
}

GgufBuilder::Tensor& tensor_of(GgufBuilder& builder, std::string_view name) {
  for (GgufBuilder::Tensor& tensor : builder.tensors) {
    if (tensor.name == name) return tensor;
  }
  ADD_FAILURE() << name;
  return builder.tensors.front();
}

TEST(ArchitectureTable, lists_every_name_once_for_messages) {
  for (const std::string_view name :
       {"llama", "gemma3", "Qwen3MoeForCausalLM", "Phi3ForCausalLM"}) {
    EXPECT_THAT(supported_architectures(), ::testing::Contains(name));
  }
  EXPECT_EQ(supported_architectures().size(), architecture_table().size());
}

TEST(ArchitectureTable, refuses_an_unknown_gguf_architecture_by_name_with_the_list) {
  const TemporaryDirectory directory;
  GgufBuilder builder;
  builder.add_metadata("general.architecture", "mamba");
  const Error error = load_error(builder.write(directory.file("mamba.gguf")));
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.message, AllOf(HasSubstr("'mamba'"), HasSubstr("qwen3moe"),
                                   HasSubstr("LlamaForCausalLM"), Not(HasSubstr("\n"))));
}

TEST(ArchitectureTable, refuses_an_unknown_hf_architecture_by_name_with_the_list) {
  const Error error = error_of_hf("llama", "LlamaForCausalLM", "MambaForCausalLM");
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.message, AllOf(HasSubstr("'MambaForCausalLM'"), HasSubstr("llama")));
}

TEST(ArchitectureTable, does_not_take_a_name_of_the_other_kind_of_file) {
  const Error error = error_of_hf("llama", "LlamaForCausalLM", "llama");
  EXPECT_EQ(error.code, ErrorCode::unsupported);
}

TEST(Config, of_a_gguf_without_architecture_is_refused) {
  const TemporaryDirectory directory;
  const Error error = load_error(GgufBuilder().write(directory.file("empty.gguf")));
  EXPECT_EQ(error.code, ErrorCode::unsupported);
}

struct BadValue {
  std::string_view name;
  std::string_view key;
  int64_t value;
};

TEST(Config, refuses_sizes_out_of_range_naming_key_value_and_limits) {
  const BadValue cases[] = {
      {"heads", "llama.attention.head_count", 0},
      {"negative_heads", "llama.attention.head_count", -4},
      {"kv_heads", "llama.attention.head_count_kv", 0},
      {"more_kv_heads", "llama.attention.head_count_kv", 5},
      {"layers", "llama.block_count", 0},
      {"many_layers", "llama.block_count", 2'000'000'000},
      {"hidden", "llama.embedding_length", 0},
      {"huge_hidden", "llama.embedding_length", INT64_MAX},
      {"context", "llama.context_length", 0},
      {"head_dim", "llama.attention.key_length", 1'000'000},
      {"experts", "llama.expert_count", 1 << 30},
      {"rotated", "llama.rope.dimension_count", 1 << 20},
  };
  for (const BadValue& bad : cases) {
    const TemporaryDirectory directory;
    // Metadata cannot be changed in place: the first of two equal keys would be refused. So the
    // whole file is written again under other keys.
    GgufBuilder builder;
    builder.tensors = TinyModel("llama").gguf(DType::f16).tensors;
    builder.add_metadata("general.architecture", "llama");
    const std::pair<std::string_view, int64_t> usual[] = {
        {"llama.block_count", 2},          {"llama.context_length", 256},
        {"llama.embedding_length", 64},    {"llama.feed_forward_length", 96},
        {"llama.attention.head_count", 4}, {"llama.attention.head_count_kv", 2}};
    for (const auto& [key, value] : usual) {
      if (key != bad.key) builder.add_metadata(key, value);
    }
    builder.add_metadata(bad.key, bad.value);
    const Error error = load_error(builder.write(directory.file("bad.gguf")));
    EXPECT_EQ(error.code, ErrorCode::bad_file) << bad.name << ": " << error.message;
    EXPECT_THAT(error.message, AllOf(HasSubstr(std::string(bad.key)),
                                     HasSubstr(std::to_string(bad.value)), HasSubstr("expected")))
        << bad.name;
  }
}

TEST(Config, refuses_heads_that_do_not_divide) {
  const Error error =
      error_of_hf("llama", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3");
  EXPECT_THAT(error.message, HasSubstr("4 heads are not a multiple of 3 key/value heads"));
}

TEST(Config, refuses_a_hidden_size_that_heads_do_not_divide) {
  const Error error = error_of_hf("llama", "\"hidden_size\": 64", "\"hidden_size\": 66");
  EXPECT_THAT(error.message, HasSubstr("hidden size 66 is not a multiple of 4 heads"));
}

TEST(Config, refuses_a_missing_key_by_name) {
  const Error error = error_of_hf("llama", "\"hidden_size\"", "\"hidden_sizes\"");
  EXPECT_THAT(error.message, HasSubstr("hidden_size"));
}

TEST(Config, refuses_an_activation_that_the_decoder_lacks) {
  const Error error =
      error_of_hf("llama", "\"rope_theta\"", "\"hidden_act\": \"relu\", \"rope_theta\"");
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.message, HasSubstr("'relu'"));
}

TEST(Config, refuses_more_tokens_than_the_embedding_has_rows) {
  const TemporaryDirectory directory;
  GgufBuilder builder;
  builder.tensors = TinyModel("llama").gguf(DType::f16).tensors;
  builder.add_metadata("general.architecture", "llama");
  builder.add_metadata("llama.block_count", 2).add_metadata("llama.context_length", 256);
  builder.add_metadata("llama.embedding_length", 64).add_metadata("llama.attention.head_count", 4);
  builder.add_metadata("tokenizer.ggml.tokens", std::vector<std::string>(301, "x"));
  const Error error = load_error(builder.write(directory.file("tokens.gguf")));
  EXPECT_THAT(error.message, AllOf(HasSubstr("301"), HasSubstr("300")));
}

TEST(Config, takes_the_newer_form_of_rope_parameters) {
  const ModelConfig old_form = config_of_hf("llama", "", "");
  const ModelConfig new_form = config_of_hf("llama", "\"rope_scaling\": {",
                                            "\"rope_parameters\": {\"rope_theta\": 10000.0, ");
  ASSERT_EQ(old_form.rope.size(), 1U);
  ASSERT_EQ(new_form.rope.size(), 1U);
  EXPECT_EQ(old_form.rope[0].inverse_frequency, new_form.rope[0].inverse_frequency);
}

TEST(Config, takes_the_newer_form_of_rope_parameters_for_both_kinds_of_layers) {
  const ModelConfig old_form = config_of_hf("gemma3", "", "");
  const TinyModel tiny("gemma3");
  const TemporaryDirectory directory;
  tiny.write_hf(directory, DType::bf16);
  std::string text = replace_all(tiny.config_json(), "\"rope_theta\": 1000000.0, ", "");
  text = replace_all(text, "\"rope_local_base_freq\": 10000.0, ", "");
  text = replace_all(text, R"("rope_scaling": {"rope_type": "linear", "factor": 8.0})",
                     R"("rope_parameters": {
           "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
           "sliding_attention": {"rope_type": "default", "rope_theta": 20000.0}})");
  directory.write("config.json", text);
  const LoadedModel loaded(directory.path());
  ASSERT_NE(loaded.model, nullptr);
  const ModelConfig& new_form = loaded.model->config();
  ASSERT_EQ(old_form.rope.size(), 2U);
  EXPECT_EQ(old_form.rope[0].inverse_frequency, new_form.rope[0].inverse_frequency);
  EXPECT_FLOAT_EQ(old_form.rope[1].inverse_frequency[1], std::pow(10000.0F, -1.0F / 16));
  EXPECT_FLOAT_EQ(new_form.rope[1].inverse_frequency[1], std::pow(20000.0F, -1.0F / 16));
}

TEST(Config, scales_scores_of_gemma_as_the_file_says) {
  const ModelConfig config =
      config_of_hf("gemma3", "\"query_pre_attn_scalar\": 32", "\"query_pre_attn_scalar\": 64");
  EXPECT_EQ(config.attention_scale, 0.125F);
}

TEST(Config, refuses_unknown_rope_scaling_by_name) {
  const Error error =
      error_of_hf("llama", "\"rope_type\": \"llama3\"", "\"rope_type\": \"dynamic\"");
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.message, AllOf(HasSubstr("'dynamic'"), HasSubstr("longrope")));
}

TEST(Config, refuses_rope_factors_of_another_number_than_pairs) {
  const Error error = error_of_hf("phi3", "\"long_factor\": [1.0, ", "\"long_factor\": [");
  EXPECT_THAT(error.message, HasSubstr("5 rope factors for 6 rotated pairs"));
}

TEST(Config, refuses_rope_factors_of_zero) {
  const Error error = error_of_hf("phi3", "\"long_factor\": [1.0, ", "\"long_factor\": [0.0, ");
  EXPECT_THAT(error.message, HasSubstr("rope factor 0 is 0"));
}

TEST(Config, chooses_rope_factors_by_the_context_that_is_used) {
  const TinyModel tiny("phi3");
  const TemporaryDirectory directory;
  tiny.write_hf(directory, DType::bf16);
  const LoadedModel as_trained(directory.path());
  const LoadedModel at_most_64(directory.path(), 64);
  const LoadedModel above_64(directory.path(), 65);
  EXPECT_NE(as_trained.model->config().rope[0].inverse_frequency,
            at_most_64.model->config().rope[0].inverse_frequency);
  EXPECT_EQ(as_trained.model->config().rope[0].inverse_frequency,
            above_64.model->config().rope[0].inverse_frequency);
}

TEST(Config, lists_layer_types) {
  const std::string types =
      "\"layer_types\": [\"full_attention\", \"sliding_attention\"], \"rope_theta\"";
  const ModelConfig config = config_of_hf("qwen2_window", "\"rope_theta\"", types);
  ASSERT_EQ(config.layers.size(), 2U);
  EXPECT_EQ(config.layers[0].window, 0);
  EXPECT_EQ(config.layers[1].window, 16);
  const Error error =
      error_of_hf("qwen2_window", "\"rope_theta\"", "\"layer_types\": [\"x\"], \"rope_theta\"");
  EXPECT_THAT(error.message, HasSubstr("layer_types has 1 entries for 2 layers"));
}

TEST(Config, finds_the_text_network_of_a_multimodal_file) {
  const TinyModel tiny("gemma3");
  const TemporaryDirectory directory;
  tiny.write_hf(directory, DType::bf16);
  const std::string text = replace_all(tiny.config_json(), "Gemma3ForCausalLM", "x");
  directory.write("config.json",
                  fmt::format(R"({{"architectures": ["Gemma3ForConditionalGeneration"],
                                   "text_config": {}}})",
                              text));
  std::string weights = tiny.safetensors(DType::bf16).build();
  // The header's length changes with the names: it is rebuilt by file_of.
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, weights.data(), sizeof(header_bytes));
  const std::string header =
      replace_all(weights.substr(8, header_bytes), "\"model.", "\"language_model.model.");
  directory.write("model.safetensors", squish::testing::SafetensorsBuilder::file_of(
                                           header, weights.substr(8 + header_bytes)));
  LoadedModel multimodal(directory.path());
  ASSERT_NE(multimodal.model, nullptr);
  const TemporaryDirectory plain_directory;
  LoadedModel plain(tiny.write_hf(plain_directory, DType::bf16));
  EXPECT_EQ(multimodal.run({1, 2, 3}, 3), plain.run({1, 2, 3}, 3));
}

TEST(Weights, that_are_missing_are_named) {
  const Error error = error_of_gguf("qwen3", [](GgufBuilder& builder) {
    tensor_of(builder, "blk.1.attn_q_norm.weight").name = "blk.1.other.weight";
  });
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_THAT(error.message, HasSubstr("blk.1.attn_q_norm.weight"));
}

TEST(Weights, of_another_shape_are_refused_with_both_shapes) {
  const Error error = error_of_gguf("qwen2", [](GgufBuilder& builder) {
    GgufBuilder::Tensor& tensor = tensor_of(builder, "blk.0.ffn_down.weight");
    std::swap(tensor.dims[0], tensor.dims[1]);
  });
  EXPECT_EQ(error.code, ErrorCode::bad_file);
  EXPECT_THAT(error.message, AllOf(HasSubstr("blk.0.ffn_down.weight is [96, 64]"),
                                   HasSubstr("expected [64, 96]")));
}

TEST(Weights, of_experts_are_refused_when_their_number_differs) {
  const Error error = error_of_gguf("mixtral", [](GgufBuilder& builder) {
    GgufBuilder::Tensor& tensor = tensor_of(builder, "blk.0.ffn_up_exps.weight");
    tensor.dims[0] = 3;
    tensor.bytes.resize(tensor.bytes.size() / 4 * 3);
  });
  EXPECT_THAT(error.message, AllOf(HasSubstr("[3, 96, 64]"), HasSubstr("expected [4, 96, 64]")));
}

TEST(Weights, without_a_place_in_the_wiring_are_refused) {
  const Error error = error_of_gguf("qwen3", [](GgufBuilder& builder) {
    builder.add_tensor("blk.0.attn_q.bias", {128}, std::vector<float>(128, 0.5F));
  });
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.message, HasSubstr("blk.0.attn_q.bias"));
}

TEST(Weights, of_norms_must_be_floats) {
  const Error error = error_of_gguf("llama", [](GgufBuilder& builder) {
    GgufBuilder::Tensor& tensor = tensor_of(builder, "output_norm.weight");
    tensor.type_id = type_info(DType::q8_0).gguf_id;
    tensor.bytes.resize(2 * 34);
  });
  EXPECT_EQ(error.code, ErrorCode::bad_file);
  EXPECT_THAT(error.message, AllOf(HasSubstr("output_norm.weight is q8_0"), HasSubstr("f32")));
}

TEST(Weights, take_half_precision_norms_and_biases) {
  const TinyModel tiny("qwen2");
  const TemporaryDirectory wide;
  const TemporaryDirectory narrow;
  LoadedModel f32(tiny.write_hf(wide, DType::f32));
  LoadedModel f16(tiny.write_hf(narrow, DType::f16));
  ASSERT_NE(f16.model, nullptr);
  EXPECT_EQ(f32.run({5, 6, 7}, 3), f16.run({5, 6, 7}, 3));
}

TEST(Weights, of_an_untied_head_must_be_there) {
  const Error error =
      error_of_hf("qwen2", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_THAT(error.message, HasSubstr("lm_head.weight"));
}

}  // namespace
}  // namespace squish
