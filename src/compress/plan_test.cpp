#include "compress/plan.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/limits.h"
#include "compress/layout.h"
#include "format/safetensors.h"
#include "format/squish_directory.h"

namespace squish::compress {
namespace {

using ::testing::HasSubstr;

Shape shape_of(std::initializer_list<uint64_t> dims) {
  Shape shape;
  for (const uint64_t dim : dims) shape.dims[shape.rank++] = dim;
  return shape;
}

/// The tensors of a dense network as its file lists them; no weights.
struct Network {
  int layers = 0;
  uint64_t hidden = 0, inner = 0, q = 0, kv = 0, vocabulary = 0;
  bool tied = false;

  [[nodiscard]] std::vector<SourceTensor> tensors(DType matrix = DType::bf16) const {
    std::vector<SourceTensor> out;
    const auto add = [&](std::string name, Shape shape, Role role, int layer) {
      out.push_back({std::move(name), shape, shape.rank == 1 ? DType::f32 : matrix, {role, layer}});
    };
    add("embed", shape_of({vocabulary, hidden}), Role::embedding, -1);
    for (int i = 0; i < layers; ++i) {
      const std::string at = fmt::format("layers.{}.", i);
      add(at + "norm1", shape_of({hidden}), Role::attention_norm, i);
      add(at + "q", shape_of({q, hidden}), Role::q, i);
      add(at + "k", shape_of({kv, hidden}), Role::k, i);
      add(at + "v", shape_of({kv, hidden}), Role::v, i);
      add(at + "o", shape_of({hidden, q}), Role::o, i);
      add(at + "norm2", shape_of({hidden}), Role::mlp_norm, i);
      add(at + "gate", shape_of({inner, hidden}), Role::gate, i);
      add(at + "up", shape_of({inner, hidden}), Role::up, i);
      add(at + "down", shape_of({hidden, inner}), Role::down, i);
    }
    add("norm", shape_of({hidden}), Role::other, -1);
    if (!tied) add("head", shape_of({vocabulary, hidden}), Role::head, -1);
    return out;
  }
  [[nodiscard]] PlanFacts facts() const {
    return {.family = "", .parameters = 0, .layer_count = layers, .tied_embedding = tied};
  }
};

// Published shapes.
constexpr Network kQwen1_5B = {28, 1536, 8960, 1536, 256, 151936, true};
constexpr Network kQwen7B = {28, 3584, 18944, 3584, 512, 152064, false};
constexpr Network kSmall = {6, 256, 512, 256, 128, 1024, false};

const FormatRow& row(std::string_view name) {
  const auto found = find_format(name);
  SQ_CHECK(found.has_value());
  return **found;
}

Plan plan_of(const Network& network, std::string_view format, const PlanOptions& options = {}) {
  auto plan = make_plan(row(format), network.facts(), network.tensors(), options);
  EXPECT_TRUE(plan.has_value()) << (plan ? "" : plan.error().message);
  return plan ? std::move(plan).value() : Plan();
}

const PlannedTensor& find(const Plan& plan, std::string_view name) {
  const auto found = std::ranges::find_if(
      plan.tensors, [&](const PlannedTensor& planned) { return planned.source.name == name; });
  SQ_CHECK(found != plan.tensors.end());
  return *found;
}

std::string_view type_of(const Plan& plan, std::string_view name) {
  return type_info(find(plan, name).target).name;
}

bool has_trellis() { return dtype_from_name("t2") && can_encode(*dtype_from_name("t2")); }

TEST(Plan, int8_codes_every_matrix_and_no_vector) {
  const Plan plan = plan_of(kSmall, "int8");
  for (const PlannedTensor& planned : plan.tensors) {
    const bool is_vector = planned.source.shape.rank == 1;
    EXPECT_EQ(planned.target, is_vector ? DType::f32 : DType::q8_0) << planned.source.name;
    EXPECT_EQ(planned.is_copied, is_vector);
    EXPECT_EQ(planned.reason, "");
  }
}

TEST(Plan, mixed_attn_leaves_attention_at_the_source_s_16_bits) {
  const Plan plan = plan_of(kSmall, "mixed_attn");
  for (const std::string_view name : {"q", "k", "v", "o"}) {
    EXPECT_EQ(type_of(plan, fmt::format("layers.3.{}", name)), "bf16");
    EXPECT_TRUE(find(plan, fmt::format("layers.3.{}", name)).is_kept);
  }
  EXPECT_EQ(type_of(plan, "layers.3.down"), "q4_1");
  EXPECT_EQ(type_of(plan, "head"), "q4_1");
}

TEST(Plan, takes_the_next_larger_type_that_fits_and_says_why) {
  Network odd = kSmall;
  odd.inner = 96 * 3;  // whole blocks of 32, not of 256
  const Plan plan = plan_of(odd, "int8");
  EXPECT_EQ(type_of(plan, "layers.0.down"), "q8_0");
  odd.inner = 100;  // no block divides it
  const Plan none = plan_of(odd, "int8");
  EXPECT_EQ(type_of(none, "layers.0.down"), "f16");
  EXPECT_THAT(find(none, "layers.0.down").reason, HasSubstr("rows of 100"));
  EXPECT_EQ(type_of(none, "layers.0.up"), "q8_0") << "its rows are of 256";
}

TEST(Plan, copies_what_has_the_type_already) {
  const auto plan =
      make_plan(row("int8"), kSmall.facts(), kSmall.tensors(DType::q8_0), PlanOptions());
  ASSERT_TRUE(plan.has_value());
  EXPECT_TRUE(find(*plan, "layers.0.q").is_copied);
  EXPECT_FALSE(find(*plan, "layers.0.q").is_kept) << "AWQ may still scale it";
}

TEST(Plan, passthrough_leaves_tensors_alone_by_a_part_of_their_name) {
  PlanOptions options;
  options.passthrough = {"layers.1.", "head"};
  const Plan plan = plan_of(kSmall, "int8", options);
  EXPECT_EQ(type_of(plan, "layers.1.gate"), "bf16");
  EXPECT_EQ(type_of(plan, "head"), "bf16");
  EXPECT_EQ(type_of(plan, "layers.2.gate"), "q8_0");
  EXPECT_EQ(find(plan, "head").reason, "--passthrough");
}

TEST(Plan, with_awq_norms_of_16_bits_become_f32_since_they_take_scales) {
  std::vector<SourceTensor> tensors = kSmall.tensors();
  for (SourceTensor& tensor : tensors) tensor.dtype = DType::bf16;
  PlanOptions options;
  options.calibration = Calibration::awq;
  const auto plan = make_plan(row("int4"), kSmall.facts(), tensors, options);
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(type_of(*plan, "layers.0.norm1"), "f32");
  EXPECT_EQ(type_of(*plan, "norm"), "bf16") << "the last norm feeds no scaled matrix";
  const auto plain = make_plan(row("int4"), kSmall.facts(), tensors, PlanOptions());
  EXPECT_EQ(type_of(*plain, "layers.0.norm1"), "bf16");
}

TEST(Plan, leaves_routers_and_unknown_tensors_alone) {
  std::vector<SourceTensor> tensors = kSmall.tensors();
  tensors.push_back({"router", shape_of({64, 256}), DType::bf16, {Role::router, 0}});
  tensors.push_back({"vision", shape_of({64, 256}), DType::bf16, {Role::other, -1}});
  const auto plan = make_plan(row("int4"), kSmall.facts(), tensors, PlanOptions());
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(type_of(*plan, "router"), "bf16");
  EXPECT_EQ(type_of(*plan, "vision"), "bf16");
  EXPECT_TRUE(find(*plan, "router").is_kept);
}

TEST(Plan, gives_tensors_of_several_matrices_a_type_with_rows) {
  std::vector<SourceTensor> tensors = kSmall.tensors();
  tensors.push_back({"fused", shape_of({512, 256}), DType::bf16, {Role::qkv, 1}});
  const auto plan = make_plan(row("sq4"), kSmall.facts(), tensors, PlanOptions());
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(type_of(*plan, "fused"), "q4_k");
  EXPECT_THAT(find(*plan, "fused").reason, HasSubstr("one by one"));
}

TEST(Plan, refuses_blocked_pairs_with_exit_4) {
  PlanFacts facts = kSmall.facts();
  facts.family = "gemma3";
  facts.parameters = 1'000'000'000;
  const auto plan = make_plan(row("int3"), facts, kSmall.tensors(), PlanOptions());
  ASSERT_FALSE(plan.has_value());
  EXPECT_EQ(error_row(plan.error().code).exit_code, 4);
}

TEST(Plan, refuses_a_model_in_which_there_is_nothing_to_code) {
  const std::vector<SourceTensor> tensors = {{"norm", shape_of({64}), DType::f32, {}}};
  const auto plan = make_plan(row("int8"), kSmall.facts(), tensors, PlanOptions());
  ASSERT_FALSE(plan.has_value());
  EXPECT_THAT(plan.error().message, HasSubstr("nothing to code"));
}

TEST(Formats, are_found_by_name_and_others_are_explained) {
  EXPECT_TRUE(find_format("int4").has_value());
  EXPECT_EQ(find_format("int2").error().code, ErrorCode::refused);
  EXPECT_THAT(find_format("int2").error().message, HasSubstr("sq2"));
  EXPECT_EQ(find_format("aqlm").error().code, ErrorCode::unsupported);
  EXPECT_EQ(find_format("q9").error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(find_format("q9").error().message, HasSubstr("int8, int4"));
}

TEST(Formats, name_only_types_of_the_ladder) {
  for (const FormatRow& format : format_table()) {
    for (const std::string_view type :
         {format.linear, format.attention, format.kv, format.boundary, format.embedding,
          format.tied, format.head, format.critical}) {
      const std::vector<std::string_view> known = {"",   "keep", "t2",   "t3",   "i3",
                                                   "t4", "q4_k", "q4_1", "q6_k", "q8_0"};
      EXPECT_NE(std::ranges::find(known, type), known.end()) << format.name << ": " << type;
    }
    EXPECT_NE(format.linear, "");
  }
}

TEST(Formats, know_the_critical_and_the_boundary_layers) {
  std::vector<int> critical;
  for (int i = 0; i < 24; ++i) {
    if (is_critical_layer(i, 24)) critical.push_back(i);
  }
  EXPECT_EQ(critical, (std::vector<int>{0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23}));
  EXPECT_TRUE(is_boundary_layer(1, 24) && is_boundary_layer(22, 24));
  EXPECT_FALSE(is_boundary_layer(2, 24) || is_boundary_layer(21, 24));
  EXPECT_TRUE(is_boundary_layer(1, 3));
}

TEST(Layout, is_a_safetensors_file_without_holes_and_with_aligned_payloads) {
  const Plan plan = plan_of(kSmall, "int8");
  std::string file = plan.header;
  file.resize(plan.file_bytes);
  const auto parsed = SafetensorsFile::parse(as_bytes(file), "plan");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  for (const PlannedTensor& planned : plan.tensors) {
    const uint64_t unit =
        planned.bytes >= kLargePayloadBytes ? kPayloadAlignment : kSmallPayloadAlignment;
    EXPECT_EQ(planned.offset % unit, 0U) << planned.source.name;
    const auto stored = std::ranges::find_if(
        parsed->unusable(), [&](const auto& raw) { return raw.name == planned.source.name; });
    if (stored != parsed->unusable().end()) {
      EXPECT_EQ(stored->file_position, planned.offset);
      EXPECT_EQ(stored->bytes.size(), planned.bytes);
    } else {
      EXPECT_TRUE(parsed->find_tensor(planned.source.name).has_value()) << planned.source.name;
    }
  }
}

TEST(Layout, costs_less_than_a_thousandth_of_a_real_model) {
  const Plan plan = plan_of(kQwen1_5B, "int4");
  const uint64_t payload = std::accumulate(
      plan.tensors.begin(), plan.tensors.end(), uint64_t{0},
      [](uint64_t sum, const PlannedTensor& planned) { return sum + planned.bytes; });
  EXPECT_LT(plan.file_bytes - payload, plan.file_bytes / 1000);
}

TEST(Sizes, of_int4_is_5_bits_a_weight) {
  EXPECT_NEAR(plan_of(kQwen1_5B, "int4").bits_per_weight(), 5.0, 0.01);
  EXPECT_NEAR(static_cast<double>(plan_of(kQwen1_5B, "int4").file_bytes), 0.965e9, 0.003e9);
  EXPECT_NEAR(static_cast<double>(plan_of(kQwen7B, "int4").file_bytes), 4.761e9, 0.01e9);
}

TEST(Sizes, of_the_2_bit_presets_are_at_most_half_of_int4) {
  if (!has_trellis()) GTEST_SKIP() << "this build has no trellis encoder";
  for (const Network& network : {kQwen1_5B, kQwen7B}) {
    const auto whole = static_cast<double>(plan_of(network, "int4").file_bytes);
    for (const std::string_view preset : {"sq2", "sq2-xs"}) {
      const auto bytes = static_cast<double>(plan_of(network, preset).file_bytes);
      RecordProperty(fmt::format("{}_{}", preset, network.hidden),
                     fmt::format("{:.3f}", bytes / whole));
      EXPECT_LE(bytes, 0.5 * whole) << preset << " of hidden size " << network.hidden;
    }
  }
}

TEST(Sizes, grow_with_the_bits_of_the_preset) {
  if (!has_trellis()) GTEST_SKIP() << "this build has no trellis encoder";
  uint64_t before = 0;
  for (const std::string_view format : {"sq2-xs", "sq2", "sq3", "sq4", "int4", "int8"}) {
    const uint64_t bytes = plan_of(kQwen7B, format).file_bytes;
    EXPECT_GT(bytes, before) << format;
    before = bytes;
  }
}

}  // namespace
}  // namespace squish::compress
