// Verbs that change a model or an adapter as a whole: trim, merge, bills of materials.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "compress/masks.h"
#include "compress/merge.h"
#include "compress/sbom.h"
#include "compress/testing/silent.h"
#include "compress/trim.h"
#include "format/safetensors.h"
#include "format/testing/safetensors_builder.h"
#include "format/testing/temporary_directory.h"
#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"

namespace squish::compress {
namespace {

namespace fs = std::filesystem;
using ::squish::testing::LoadedModel;
using ::squish::testing::TemporaryDirectory;
using ::squish::testing::TinyModel;
using ::testing::HasSubstr;

class TrimTest : public ::testing::Test {
 protected:
  Result<TrimPlan> cut(const std::string& input, const TrimOptions& options) {
    SQ_TRY(const ModelFiles files, ModelFiles::open(input));
    ThreadPool pool(2);
    SQ_TRY(TrimPlan plan, plan_trim(files, options, pool));
    SQ_TRY_STATUS(write_trimmed(files, plan, options, output(), pool, never));
    return plan;
  }
  [[nodiscard]] std::string output() const { return directory_.file("out"); }
  TemporaryDirectory source_;
  TemporaryDirectory directory_;
};

TEST_F(TrimTest, keeps_the_strongest_groups_and_the_model_runs) {
  const TinyModel tiny("llama");
  for (const bool is_gguf : {false, true}) {
    const std::string input =
        is_gguf ? tiny.write_gguf(source_, DType::f16) : tiny.write_hf(source_, DType::bf16);
    TrimOptions options;
    options.group_size = 8;
    options.threshold = 0.25;
    const auto plan = cut(input, options);
    ASSERT_TRUE(plan.has_value()) << plan.error().message;
    EXPECT_LT(plan->inner_after, plan->inner_before);
    const auto groups = static_cast<double>(plan->inner_before) / 8;
    EXPECT_EQ(static_cast<double>(plan->inner_before - plan->inner_after) / 8,
              std::round(groups * 0.25));
    for (const double lost : plan->magnitude_lost) {
      EXPECT_GT(lost, 0);
      EXPECT_LE(lost, 0.25) << "the weakest quarter has at most a quarter of the magnitude";
    }
    LoadedModel model(output(), tiny.context_length());
    const std::vector<float> logits = model.run(tiny.prompt(), 64);
    EXPECT_TRUE(std::ranges::all_of(logits, [](float value) { return std::isfinite(value); }));
    EXPECT_EQ(fs::exists(output() + "/gguf_metadata.bin"), is_gguf);
    fs::remove_all(output());
  }
}

TEST_F(TrimTest, cuts_rows_and_columns_that_belong_together) {
  const TinyModel tiny("llama");
  const std::string input = tiny.write_hf(source_, DType::f32);
  TrimOptions options;
  options.group_size = 8;
  options.threshold = 0.25;
  const auto plan = cut(input, options);
  ASSERT_TRUE(plan.has_value()) << plan.error().message;
  const ModelFiles before = ModelFiles::open(input).value();
  const ModelFiles after = ModelFiles::open(output()).value();
  const auto values = [](const ModelFiles& files, std::string_view name, uint64_t row) {
    const TensorView view = files.find_tensor(name).value();
    std::vector<float> out(view.row_length());
    std::memcpy(out.data(), view.row(row), out.size() * sizeof(float));
    return out;
  };
  std::vector<uint64_t> kept;
  for (uint64_t i = 0; i < plan->inner_before; ++i) {
    if (plan->kept[0][i / 8]) kept.push_back(i);
  }
  for (uint64_t i = 0; i < kept.size(); ++i) {
    for (const std::string_view name :
         {"model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight"}) {
      ASSERT_EQ(values(after, name, i), values(before, name, kept[i]));
    }
  }
  const std::vector<float> whole = values(before, "model.layers.0.mlp.down_proj.weight", 3);
  const std::vector<float> cut_row = values(after, "model.layers.0.mlp.down_proj.weight", 3);
  ASSERT_EQ(cut_row.size(), kept.size());
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(cut_row[i], whole[kept[i]]);
}

TEST_F(TrimTest, refuses_what_it_cannot_cut) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  TrimOptions options;
  options.group_size = 8;
  const auto error_with = [&](double threshold, uint64_t group, const std::string& model) {
    TrimOptions changed;
    changed.threshold = threshold;
    changed.group_size = group;
    const auto plan = cut(model, changed);
    return plan ? std::string("no error") : plan.error().message;
  };
  EXPECT_THAT(error_with(0, 8, input), HasSubstr("above 0 and below 1"));
  EXPECT_THAT(error_with(0.1, 12, input), HasSubstr("multiple of 8"));
  EXPECT_THAT(error_with(0.1, 1000, input), HasSubstr("not whole groups"));
  EXPECT_THAT(error_with(0.999, 8, input), HasSubstr("nothing would be left"));
  TemporaryDirectory other;
  EXPECT_THAT(error_with(0.1, 8, TinyModel("qwen3moe").write_hf(other, DType::bf16)),
              HasSubstr("mixture"));
  ASSERT_TRUE(cut(input, options).has_value());
  EXPECT_THAT(error_with(0.1, 8, input), HasSubstr("exists already"));
}

TEST(Masks, keep_all_at_threshold_zero_and_none_at_a_high_one) {
  TemporaryDirectory directory;
  const TinyModel tiny("llama");
  const ModelFiles files = ModelFiles::open(tiny.write_hf(directory, DType::bf16)).value();
  ThreadPool pool(2);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool).value();
  CalibrationText text;
  text.sequences = {tiny.prompt(), tiny.prompt()};
  const auto all = find_masks(files, text, {0.0, 0.5}, *backend, pool, never);
  ASSERT_TRUE(all.has_value()) << all.error().message;
  EXPECT_EQ(all->sparsity(), 0) << "an activation is hardly ever exactly 0";
  EXPECT_GT(all->fired.front(), 0.99);
  const auto none = find_masks(files, text, {1e9, 0.05}, *backend, pool, never);
  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(none->sparsity(), 1);
  EXPECT_FALSE(find_masks(files, text, {-1, 0.05}, *backend, pool, never).has_value());
  const std::string path = directory.file("masks.npz");
  ASSERT_TRUE(write_masks(*none, path).has_value());
  const std::string zip = read_file(path, 1 << 20).value();
  EXPECT_EQ(zip.substr(0, 4), std::string("PK\3\4", 4));
  EXPECT_THAT(zip, HasSubstr("layer_0.npy"));
}

class MergeTest : public ::testing::Test {
 protected:
  AdapterSource adapter(const std::string& domain, const std::vector<float>& values, int rank = 2) {
    const std::string path = directory_.file(domain);
    SQ_CHECK(make_directories(path).has_value());
    SQ_CHECK(write_file_atomic(path + "/adapter_config.json",
                               as_bytes(fmt::format(R"({{"r": {}, "peft_type": "LORA"}})", rank)))
                 .has_value());
    const uint64_t columns = values.size() / 2;
    std::string header = fmt::format(
        R"({{"a.lora_A.weight":{{"dtype":"F32","shape":[2,{}],"data_offsets":[0,{}]}}}})", columns,
        values.size() * sizeof(float));
    header.resize((header.size() + 7) / 8 * 8, ' ');
    const uint64_t length = header.size();
    std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
    file += header;
    file.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    SQ_CHECK(write_file_atomic(path + "/adapter_model.safetensors", as_bytes(file)).has_value());
    return {domain, path};
  }
  std::vector<float> merged(std::span<const AdapterSource> adapters, const MergeOptions& options) {
    fs::remove_all(directory_.file("out"));
    summary_ = merge_adapters(adapters, options, directory_.file("out"));
    SQ_CHECK(summary_.has_value());
    const auto file =
        SafetensorsFile::open(directory_.file("out/adapter_model.safetensors")).value();
    const TensorView view = file.find_tensor("a.lora_A.weight").value();
    std::vector<float> out(view.shape.elements());
    std::memcpy(out.data(), view.data, out.size() * sizeof(float));
    return out;
  }
  TemporaryDirectory directory_;
  Result<MergeSummary> summary_ = MergeSummary();
};

TEST_F(MergeTest, ties_takes_the_sign_of_the_sum_and_the_mean_of_those_that_have_it) {
  const std::vector<AdapterSource> adapters = {
      adapter("a", {4, -1, 2, 0}), adapter("b", {-2, -3, 2, 0}), adapter("c", {1, 5, 0, 0})};
  MergeOptions options;
  options.method = "ties";
  EXPECT_EQ(merged(adapters, options), (std::vector<float>{2.5F, 5, 2, 0}));
  EXPECT_NEAR(summary_->sign_conflicts, 2.0 / 3, 1e-9) << "of the three that any adapter changes";
}

TEST_F(MergeTest, dare_keeps_the_mean_over_many_elements) {
  const std::vector<float> ones(200'000, 1);
  const std::vector<AdapterSource> adapters = {adapter("a", ones), adapter("b", ones)};
  MergeOptions options;
  options.method = "dare";
  options.drop = 0.9;
  const std::vector<float> out = merged(adapters, options);
  double sum = 0;
  size_t zeros = 0;
  for (const float value : out) {
    sum += static_cast<double>(value);
    zeros += value == 0 ? 1U : 0U;
  }
  EXPECT_NEAR(sum / 200'000, 1, 0.03);
  EXPECT_NEAR(static_cast<double>(zeros) / 200'000, 0.81, 0.01) << "both dropped: 0.9 * 0.9";
  EXPECT_EQ(merged(adapters, options), out) << "the seed decides";
  options.seed = 7;
  EXPECT_NE(merged(adapters, options), out);
}

TEST_F(MergeTest, without_drops_dare_ties_is_ties) {
  const std::vector<AdapterSource> adapters = {adapter("a", {4, -1}), adapter("b", {2, 3})};
  MergeOptions options;
  options.drop = 0;
  EXPECT_EQ(merged(adapters, options), (std::vector<float>{3, 3}));
}

TEST_F(MergeTest, refuses_adapters_that_do_not_belong_together) {
  const auto error_of = [&](const std::vector<AdapterSource>& adapters, MergeOptions options = {}) {
    const auto result = merge_adapters(adapters, options, directory_.file("never"));
    return result ? std::string("no error") : result.error().message;
  };
  const AdapterSource a = adapter("a", {1, 2});
  EXPECT_THAT(error_of({a}), HasSubstr("two adapters"));
  EXPECT_THAT(error_of({a, adapter("wide", {1, 2, 3, 4})}), HasSubstr("in the first adapter"));
  EXPECT_THAT(error_of({a, adapter("rank", {1, 2}, 4)}), HasSubstr("rank 4"));
  EXPECT_THAT(error_of({a, {"none", directory_.file("nowhere")}}), HasSubstr("nowhere"));
  MergeOptions odd;
  odd.method = "soup";
  EXPECT_THAT(error_of({a, adapter("b", {1, 2})}, odd), HasSubstr("soup"));
  EXPECT_FALSE(fs::exists(directory_.file("never")));
}

TEST(Sbom, is_the_same_for_the_same_files_and_another_for_others) {
  TemporaryDirectory directory;
  const std::string path = TinyModel("llama").write_hf(directory, DType::bf16);
  const auto files = hash_files(path);
  ASSERT_TRUE(files.has_value());
  const SbomFacts facts = {"tiny", "safetensors", "LlamaForCausalLM", ""};
  const std::string bill = make_sbom(facts, *files);
  EXPECT_EQ(make_sbom(facts, hash_files(path).value()), bill);
  EXPECT_THAT(bill, HasSubstr("\"specVersion\": \"1.5\""));
  EXPECT_THAT(bill, HasSubstr(composite_hash(*files)));
  std::string weights = read_file(path + "/model.safetensors", 1 << 26).value();
  weights.back() = static_cast<char>(weights.back() ^ 1);
  ASSERT_TRUE(write_file_atomic(path + "/model.safetensors", as_bytes(weights)).has_value());
  EXPECT_NE(composite_hash(hash_files(path).value()), composite_hash(*files));
  EXPECT_FALSE(hash_files("/nowhere").has_value());
}

}  // namespace
}  // namespace squish::compress
