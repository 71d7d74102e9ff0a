// A small BERT against a plain implementation in double, on both backends.
#include "model/encoder.h"

#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/testing/safetensors_builder.h"
#include "format/testing/temporary_directory.h"
#include "kernels/testing/random_tensor.h"
#include "model/pooling.h"
#include "model/testing/loaded_model.h"
#include "tensor/half.h"

namespace squish {
namespace {

using squish::testing::LoadedModel;
using squish::testing::random_floats;
using squish::testing::SafetensorsBuilder;
using squish::testing::TemporaryDirectory;
using ::testing::HasSubstr;

constexpr size_t kHidden = 32;
constexpr size_t kHeads = 4;
constexpr size_t kInner = 48;
constexpr size_t kWords = 40;
constexpr size_t kPositions = 100;
constexpr size_t kLayers = 2;

using Row = std::vector<double>;
using Matrix = std::vector<Row>;

/// Names, shapes and values of a BERT with a head of one class.
struct SmallBert {
  std::map<std::string, std::pair<std::vector<uint64_t>, std::vector<float>>> tensors;
  uint32_t seed = 1;

  explicit SmallBert(std::string_view prefix = "") {
    const std::string p(prefix);
    add(p + "embeddings.word_embeddings.weight", {kWords, kHidden}, 1, 0);
    add(p + "embeddings.position_embeddings.weight", {kPositions, kHidden}, 0.3F, 0);
    add(p + "embeddings.token_type_embeddings.weight", {2, kHidden}, 0.3F, 0);
    add_norm(p + "embeddings.LayerNorm");
    for (size_t i = 0; i < kLayers; ++i) {
      const std::string layer = fmt::format("{}encoder.layer.{}.", p, i);
      for (const char* name : {"query", "key", "value"})
        add_linear(layer + "attention.self." + name, kHidden, kHidden);
      add_linear(layer + "attention.output.dense", kHidden, kHidden);
      add_norm(layer + "attention.output.LayerNorm");
      add_linear(layer + "intermediate.dense", kInner, kHidden);
      add_linear(layer + "output.dense", kHidden, kInner);
      add_norm(layer + "output.LayerNorm");
    }
    add_linear(p + "pooler.dense", kHidden, kHidden);
    add_linear("classifier", 1, kHidden);
  }

  void add(const std::string& name, std::vector<uint64_t> shape, float scale, float offset) {
    const uint64_t count =
        std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>());
    std::vector<float> values = random_floats(count, ++seed);
    for (float& value : values)
      value = float_from_f16(f16_from_float(value * scale + offset));  // exact in the file
    tensors[name] = {std::move(shape), std::move(values)};
  }
  void add_linear(const std::string& name, size_t out, size_t in) {
    add(name + ".weight", {out, in}, 0.3F, 0);
    add(name + ".bias", {out}, 0.1F, 0);
  }
  void add_norm(const std::string& name) {
    add(name + ".weight", {kHidden}, 0.2F, 1);
    add(name + ".bias", {kHidden}, 0.2F, 0);
  }

  [[nodiscard]] std::string write(const TemporaryDirectory& directory,
                                  std::string_view architecture = "BertModel",
                                  std::string_view more = "") const {
    SafetensorsBuilder builder;
    for (const auto& [name, tensor] : tensors) {
      std::string bytes;
      for (const float value : tensor.second) {
        const uint16_t half = f16_from_float(value);
        bytes.append(reinterpret_cast<const char*>(&half), 2);
      }
      builder.add_tensor(name, tensor.first, "F16", bytes);
    }
    directory.write("model.safetensors", builder.build());
    directory.write(
        "config.json",
        fmt::format(
            R"({{"architectures":["{}"],"vocab_size":{},"hidden_size":{},"num_hidden_layers":{},
          "num_attention_heads":{},"intermediate_size":{},"max_position_embeddings":{},"type_vocab_size":2{}}})",
            architecture, kWords, kHidden, kLayers, kHeads, kInner, kPositions, more));
    return directory.path();
  }
};

/// The same network once more: every step written out in double.
class Reference {
 public:
  explicit Reference(const SmallBert& bert) : bert_(bert) {}

  Matrix states(const std::vector<int32_t>& tokens, size_t second_begin) {
    Matrix x(tokens.size(), Row(kHidden));
    for (size_t t = 0; t < tokens.size(); ++t) {
      for (size_t i = 0; i < kHidden; ++i) {
        x[t][i] = at("embeddings.word_embeddings.weight", static_cast<size_t>(tokens[t]), i) +
                  at("embeddings.position_embeddings.weight", t, i) +
                  at("embeddings.token_type_embeddings.weight", t >= second_begin ? 1 : 0, i);
      }
    }
    norm("embeddings.LayerNorm", x);
    for (size_t layer = 0; layer < kLayers; ++layer) {
      const std::string p = fmt::format("encoder.layer.{}.", layer);
      const Matrix mixed = attention(p + "attention.self.", x);
      add(x, linear(p + "attention.output.dense", mixed, kHidden));
      norm(p + "attention.output.LayerNorm", x);
      Matrix inner = linear(p + "intermediate.dense", x, kInner);
      for (Row& row : inner) {
        for (double& value : row) value = 0.5 * value * (1 + std::erf(value / std::sqrt(2.0)));
      }
      add(x, linear(p + "output.dense", inner, kHidden));
      norm(p + "output.LayerNorm", x);
    }
    return x;
  }

  double score(const Row& first) {
    Matrix pooled = linear("pooler.dense", {first}, kHidden);
    for (double& value : pooled[0]) value = std::tanh(value);
    return linear("classifier", pooled, 1)[0][0];
  }

 private:
  double at(const std::string& name, size_t row, size_t column) {
    const auto& [shape, values] = bert_.tensors.at(name);
    return static_cast<double>(values[row * shape.back() + column]);
  }
  static void add(Matrix& x, const Matrix& y) {
    for (size_t t = 0; t < x.size(); ++t) {
      for (size_t i = 0; i < x[t].size(); ++i) x[t][i] += y[t][i];
    }
  }
  Matrix linear(const std::string& name, const Matrix& x, size_t out) {
    Matrix y(x.size(), Row(out));
    for (size_t t = 0; t < x.size(); ++t) {
      for (size_t o = 0; o < out; ++o) {
        y[t][o] = at(name + ".bias", 0, o);
        for (size_t i = 0; i < x[t].size(); ++i) y[t][o] += x[t][i] * at(name + ".weight", o, i);
      }
    }
    return y;
  }
  void norm(const std::string& name, Matrix& x) {
    for (Row& row : x) {
      const double mean = std::accumulate(row.begin(), row.end(), 0.0) / kHidden;
      double variance = 0;
      for (const double value : row) variance += (value - mean) * (value - mean) / kHidden;
      for (size_t i = 0; i < kHidden; ++i) {
        row[i] = (row[i] - mean) / std::sqrt(variance + 1e-12) * at(name + ".weight", 0, i) +
                 at(name + ".bias", 0, i);
      }
    }
  }
  Matrix attention(const std::string& p, const Matrix& x) {
    const Matrix q = linear(p + "query", x, kHidden);
    const Matrix k = linear(p + "key", x, kHidden);
    const Matrix v = linear(p + "value", x, kHidden);
    Matrix out(x.size(), Row(kHidden));
    constexpr size_t kDim = kHidden / kHeads;
    for (size_t t = 0; t < x.size(); ++t) {
      for (size_t head = 0; head < kHeads; ++head) {
        Row weights(x.size());
        double total = 0;
        for (size_t s = 0; s < x.size(); ++s) {
          double score = 0;
          for (size_t i = head * kDim; i < (head + 1) * kDim; ++i) score += q[t][i] * k[s][i];
          weights[s] = std::exp(score / std::sqrt(static_cast<double>(kDim)));
          total += weights[s];
        }
        for (size_t s = 0; s < x.size(); ++s) {
          for (size_t i = head * kDim; i < (head + 1) * kDim; ++i)
            out[t][i] += weights[s] / total * v[s][i];
        }
      }
    }
    return out;
  }

  const SmallBert& bert_;
};

std::vector<int32_t> words(size_t count, int32_t first) {
  std::vector<int32_t> out(count);
  for (size_t i = 0; i < count; ++i)
    out[i] = static_cast<int32_t>((static_cast<size_t>(first) + i * i) % kWords);
  return out;
}

/// States of all rows of several texts in one pass. `second_begin` holds for each of them.
std::vector<float> run(LoadedModel& loaded, const std::vector<std::vector<int32_t>>& texts,
                       size_t second_begin = kPositions) {
  Batch batch;
  std::vector<std::vector<int32_t>> tables;
  int32_t page = 0;
  for (const auto& text : texts) {
    tables.emplace_back();
    for (size_t p = 0; p < text.size(); p += kPageTokens) tables.back().push_back(page++);
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    batch.sequences.push_back({tables[i].data(), 0, batch.tokens.size(), texts[i].size()});
    batch.tokens.insert(batch.tokens.end(), texts[i].begin(), texts[i].end());
    for (size_t p = 0; p < texts[i].size(); ++p) batch.types.push_back(p >= second_begin ? 1 : 0);
  }
  batch.prefill_row_count = batch.tokens.size();
  batch.hidden_rows.resize(batch.tokens.size());
  std::iota(batch.hidden_rows.begin(), batch.hidden_rows.end(), 0);
  std::vector<float> states(batch.tokens.size() * kHidden);
  batch.hidden = states;
  KvCache cache = loaded.make_cache(page);
  loaded.model->forward(batch, cache, {});
  return states;
}

/// K and V are rounded to f16 (2^-11 of each), everything else to f32; norms keep values near 1.
constexpr double kBound = 4e-3;

void expect_states(const std::vector<float>& found, const Matrix& expected) {
  ASSERT_EQ(found.size(), expected.size() * kHidden);
  for (size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(found[i], expected[i / kHidden][i % kHidden], kBound) << "row " << i / kHidden;
}

class EncoderTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend() { return std::move(make_backend(GetParam(), pool)).value(); }
  ThreadPool pool{2};
  TemporaryDirectory directory;
};

TEST_P(EncoderTest, states_and_score_equal_the_plain_implementation) {
  const SmallBert bert;
  LoadedModel loaded(bert.write(directory), 0, backend());
  ASSERT_NE(loaded.model, nullptr);
  Reference reference(bert);
  for (const size_t count : {1U, 2U, 17U, 64U, 65U, 100U}) {
    const auto tokens = words(count, 5);
    const Matrix expected = reference.states(tokens, count / 2);
    const std::vector<float> states = run(loaded, {tokens}, count / 2);
    expect_states(states, expected);
    EXPECT_NEAR(loaded.model->score(std::span(states).first(kHidden)), reference.score(expected[0]),
                kBound * 4);
  }
}

TEST_P(EncoderTest, a_text_has_the_same_states_alone_and_among_others) {
  const SmallBert bert;
  LoadedModel loaded(bert.write(directory), 0, backend());
  ASSERT_NE(loaded.model, nullptr);
  const std::vector<std::vector<int32_t>> texts = {words(9, 1), words(70, 2), words(1, 3),
                                                   words(64, 4)};
  const std::vector<float> together = run(loaded, texts);
  size_t at = 0;
  for (const auto& text : texts) {
    const std::vector<float> alone = run(loaded, {text});
    EXPECT_TRUE(
        std::equal(alone.begin(), alone.end(), together.begin() + static_cast<ptrdiff_t>(at)));
    at += alone.size();
  }
}

INSTANTIATE_TEST_SUITE_P(backends, EncoderTest, ::testing::Values("ref", "cpu"),
                         [](const auto& test) { return test.param; });

TEST(Encoder, names_with_the_prefix_of_task_models_are_found) {
  TemporaryDirectory directory;
  const SmallBert bert("bert.");
  LoadedModel loaded(bert.write(directory, "BertForSequenceClassification"));
  ASSERT_NE(loaded.model, nullptr);
  EXPECT_TRUE(loaded.model->config().encoder.has_score);
  EXPECT_EQ(loaded.model->config().context_length, static_cast<int>(kPositions));
}

std::string error_of(const std::string& path) {
  const auto backend = make_ref_backend();
  const ModelFiles files = ModelFiles::open(path).value();
  const auto model = Model::create(files, *backend);
  return model ? "no error" : model.error().message;
}

TEST(Encoder, what_would_be_another_network_is_refused) {
  TemporaryDirectory directory;
  const SmallBert bert;
  EXPECT_THAT(
      error_of(bert.write(directory, "BertModel", R"(,"position_embedding_type":"relative_key")")),
      HasSubstr("relative_key"));
  EXPECT_THAT(error_of(bert.write(directory, "BertModel", R"(,"hidden_act":"relu")")),
              HasSubstr("relu"));
  EXPECT_THAT(error_of(bert.write(directory, "BertModel", R"(,"is_decoder":true)")),
              HasSubstr("decoder"));
  EXPECT_THAT(error_of(bert.write(directory, "BertModel", R"(,"layer_norm_eps":0)")),
              HasSubstr("epsilon"));
}

TEST(Encoder, a_tensor_of_another_shape_is_refused_by_name) {
  TemporaryDirectory directory;
  SmallBert bert;
  bert.add("encoder.layer.1.output.dense.weight", {kHidden, kInner + 1}, 1, 0);
  EXPECT_THAT(error_of(bert.write(directory)),
              HasSubstr("encoder.layer.1.output.dense.weight is [32, 49], expected [32, 48]"));
  bert.tensors.erase("encoder.layer.1.output.dense.weight");
  EXPECT_THAT(error_of(bert.write(directory)), HasSubstr("encoder.layer.1.output.dense.weight"));
}

// --- pooling

Result<Pooling> pooling_with(const std::string& modules, const std::string& config) {
  TemporaryDirectory directory;
  const std::string path = SmallBert().write(directory);
  if (!modules.empty()) directory.write("modules.json", modules);
  EXPECT_TRUE(make_directories(path + "/1_Pooling"));
  if (!config.empty()) directory.write("1_Pooling/config.json", config);
  return read_pooling(ModelFiles::open(path).value());
}

constexpr const char* kModules =
    R"([{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
  {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
  {"idx":2,"name":"2","path":"2_Normalize","type":"sentence_transformers.models.Normalize"}])";

TEST(Pooling, comes_from_the_models_own_files_and_is_the_mean_without_them) {
  EXPECT_EQ(pooling_with("", "").value(), Pooling::mean);
  EXPECT_EQ(pooling_with(kModules, R"({"pooling_mode_cls_token":true})").value(), Pooling::cls);
  EXPECT_EQ(pooling_with("", R"({"pooling_mode_lasttoken":true,"pooling_mode_mean_tokens":false})")
                .value(),
            Pooling::last);
}

TEST(Pooling, what_we_lack_is_refused_and_not_ignored) {
  EXPECT_THAT(pooling_with("", R"({"pooling_mode_max_tokens":true})").error().message,
              HasSubstr("pooling_mode_max_tokens"));
  EXPECT_THAT(pooling_with("", R"({"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":true})")
                  .error()
                  .message,
              HasSubstr("beside another"));
  EXPECT_THAT(
      pooling_with(R"([{"path":"2_Dense","type":"sentence_transformers.models.Dense"}])", "")
          .error()
          .message,
      HasSubstr("Dense"));
  EXPECT_EQ(pooling_with(R"([{"path":"../x","type":"a.Pooling"}])", "").error().code,
            ErrorCode::unsafe);
  EXPECT_EQ(pooling_with("{", "").error().code, ErrorCode::bad_file);
}

}  // namespace
}  // namespace squish
