#include "compress/awq.h"

#include <cmath>
#include <filesystem>

#include "compress/source.h"
#include "format/testing/safetensors_builder.h"
#include "format/testing/temporary_directory.h"
#include "model/arch_table.h"
#include "model/decoder.h"
#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"
#include "model/weights.h"
#include "tensor/formats.h"

namespace squish::compress {
namespace {

using ::squish::testing::LoadedModel;
using ::squish::testing::SafetensorsBuilder;
using ::squish::testing::TemporaryDirectory;
using ::squish::testing::TinyModel;

std::vector<float> values_of(const TensorView& view) {
  std::vector<float> out(view.shape.elements());
  for (uint64_t row = 0; row < view.row_count(); ++row) {
    decode_row(view.dtype, view.row(row), view.row_length(), out.data() + row * view.row_length());
  }
  return out;
}

/// The scales of every layer of a tiny model, found on its own prompt.
class AwqTest : public ::testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    tiny_.write_hf(directory_, DType::f32);
    auto opened = Source::open(directory_.path(), false);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    source_ = std::make_unique<Source>(std::move(opened).value());
    PlanOptions options;
    options.calibration = Calibration::awq;
    auto plan = make_plan(**find_format("int4"), source_->facts, source_->tensors, options);
    ASSERT_TRUE(plan.has_value()) << plan.error().message;
    plan_ = std::move(plan).value();
  }

  std::map<std::string, Scaling> find_all(ThreadPool& pool) {
    const std::unique_ptr<Backend> backend = make_ref_backend();
    auto weights = load_weights(source_->files, source_->network);
    Decoder model(source_->network.config, std::move(weights).value(), *backend);
    auto calibrator = Calibrator::create(model, pool, {{tiny_.prompt(), tiny_.prompt()}}, 32);
    SQ_CHECK(calibrator.has_value());
    std::map<std::string, Scaling> all;
    for (int layer = 0; layer < source_->network.config.layer_count; ++layer) {
      const LayerStatistics statistics =
          calibrator->run_layer(static_cast<size_t>(layer), {.statistics = true}).value();
      all.merge(
          find_scales(plan_, source_->files, source_->network, layer, statistics, *backend, pool));
    }
    return all;
  }

  /// The source with the scales multiplied in, as another model.
  std::string write_scaled(const TemporaryDirectory& to,
                           const std::map<std::string, Scaling>& scales) {
    SafetensorsBuilder builder;
    for (const SourceTensor& tensor : source_->tensors) {
      const TensorView view = source_->files.find_tensor(tensor.name).value();
      std::vector<float> values = values_of(view);
      if (const auto found = scales.find(tensor.name); found != scales.end()) {
        const Transform& transform = found->second.transform;
        for (size_t i = 0; i < values.size(); ++i) {
          const size_t length = view.row_length();
          if (!transform.column_scale.empty()) values[i] *= transform.column_scale[i % length];
          if (!transform.row_scale.empty()) values[i] *= transform.row_scale[i / length];
        }
        if (!found->second.vector.empty()) values = found->second.vector;
      }
      const std::vector<uint64_t> dims(tensor.shape.dims.begin(),
                                       tensor.shape.dims.begin() + tensor.shape.rank);
      builder.add_tensor(tensor.name, dims, values);
    }
    builder.write(to.file("model.safetensors"));
    for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"}) {
      std::filesystem::copy(directory_.file(name), to.file(name));
    }
    return to.path();
  }

  TinyModel tiny_{GetParam()};
  TemporaryDirectory directory_;
  std::unique_ptr<Source> source_;
  Plan plan_;
};

TEST_P(AwqTest, scales_leave_what_the_network_computes_as_it_was) {
  ThreadPool pool(1);
  const std::map<std::string, Scaling> scales = find_all(pool);
  size_t scaled = 0;
  for (const auto& [name, scaling] : scales) scaled += scaling.exponent > 0 ? 1 : 0;
  EXPECT_GT(scaled, 0U) << "nothing was scaled: the test would prove nothing";
  const TemporaryDirectory directory;
  LoadedModel before(directory_.path(), tiny_.context_length());
  LoadedModel after(write_scaled(directory, scales), tiny_.context_length());
  const std::vector<float> expected = before.run(tiny_.prompt(), 64);
  const std::vector<float> actual = after.run(tiny_.prompt(), 64);
  float largest = 0;
  for (const float value : expected) largest = std::max(largest, std::fabs(value));
  // Values are kept in the cache as f16, and scaled ones round otherwise: 2^-11 of each. A scale
  // that is forgotten on one side moves logits by a tenth of their size and more.
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], 1e-3F * largest) << i;
  }
}

TEST_P(AwqTest, scales_do_not_depend_on_the_number_of_threads) {
  ThreadPool one(1);
  ThreadPool three(3);
  const std::map<std::string, Scaling> a = find_all(one);
  const std::map<std::string, Scaling> b = find_all(three);
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, scaling] : a) {
    const Scaling& other = b.at(name);
    EXPECT_EQ(scaling.exponent, other.exponent) << name;
    EXPECT_EQ(scaling.vector, other.vector) << name;
    EXPECT_EQ(scaling.transform.column_scale, other.transform.column_scale) << name;
    EXPECT_EQ(scaling.transform.row_scale, other.transform.row_scale) << name;
    EXPECT_EQ(scaling.transform.importance, other.transform.importance) << name;
  }
}

// Families with biases, offset norms, heads that share values, norms of heads, fused matrices, and
// mixtures, whose experts are left alone.
INSTANTIATE_TEST_SUITE_P(Families, AwqTest,
                         ::testing::Values("llama", "qwen2", "qwen3", "gemma3", "phi3",
                                           "llama_bias", "qwen2moe"),
                         [](const auto& one) { return std::string(one.param); });

TEST(Calibrator, carries_tokens_through_the_layers_as_forward_does) {
  const TinyModel tiny("llama");
  const TemporaryDirectory directory;
  LoadedModel loaded(tiny.write_hf(directory, DType::f32));
  Network network = read_network(loaded.files, {}).value();
  const std::unique_ptr<Backend> backend = make_ref_backend();
  Decoder model(network.config, load_weights(loaded.files, network).value(), *backend);
  // With the hidden state after the last layer the head gives the logits of forward().
  const std::vector<int32_t> tokens = tiny.prompt();
  Batch batch;
  batch.tokens = tokens;
  const std::vector<int32_t> pages = {0, 1, 2, 3};
  batch.sequences = {SequenceRows{pages.data(), 0, 0, tokens.size()}};
  batch.prefill_row_count = tokens.size();
  batch.logit_rows = {static_cast<int32_t>(tokens.size() - 1)};
  const auto hidden_size = static_cast<size_t>(network.config.hidden);
  std::vector<float> hidden(tokens.size() * hidden_size);
  KvCache cache = loaded.make_cache(4);
  model.embed(batch, hidden);
  for (size_t i = 0; i < network.config.layers.size(); ++i) {
    model.run_layer(i, batch, cache.layer(0), hidden, nullptr);
  }
  const auto vocabulary = static_cast<size_t>(network.config.vocabulary_size);
  std::vector<float> normed(hidden_size);
  backend->rms_norm(
      {hidden.data() + (tokens.size() - 1) * hidden_size, 1, hidden_size, hidden_size},
      model.weights().final_norm, network.config.norm_weight_offset, network.config.norm_epsilon,
      {normed.data(), 1, hidden_size, hidden_size});
  std::vector<float> logits(vocabulary);
  const MatmulTarget head = {
      model.weights().head, nullptr, {logits.data(), 1, vocabulary, vocabulary}, false};
  backend->matmul({normed.data(), 1, hidden_size, hidden_size}, {&head, 1}, 1);
  const std::vector<float> all = loaded.run(tokens, tokens.size());
  EXPECT_EQ(logits, std::vector<float>(all.end() - static_cast<ptrdiff_t>(vocabulary), all.end()));
}

}  // namespace
}  // namespace squish::compress
