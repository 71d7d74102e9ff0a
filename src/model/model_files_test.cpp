// Opening models and preparing their vocabularies.
#include "model/model_files.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/testing/temporary_directory.h"
#include "model/arch_table.h"
#include "model/testing/tiny_model.h"
#include "model/weights.h"
#include "text/tokenizer.h"

namespace squish {
namespace {

namespace fs = std::filesystem;
using squish::testing::TemporaryDirectory;
using squish::testing::TinyModel;
using ::testing::HasSubstr;

constexpr std::string_view kText = "<|im_start|>user\nthe thing and the other<|im_end|>\n";

ModelFiles open(const std::string& path) {
  Result<ModelFiles> files = ModelFiles::open(path);
  EXPECT_TRUE(files.has_value()) << (files ? "" : files.error().message);
  return std::move(files).value();
}

std::vector<std::string> files_in(const std::string& directory) {
  std::vector<std::string> out;
  if (!fs::exists(directory)) return out;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) out.push_back(entry.path().string());
  }
  return out;
}

TEST(ModelFiles, give_the_same_tokens_and_template_from_both_kinds_of_files) {
  const TemporaryDirectory gguf_directory;
  const TemporaryDirectory hf_directory;
  const TinyModel tiny("llama");
  ModelFiles gguf = open(tiny.write_gguf(gguf_directory, DType::f16));
  ModelFiles hf = open(tiny.write_hf(hf_directory, DType::f16));
  EXPECT_EQ(gguf.architecture(), "llama");
  EXPECT_EQ(hf.architecture(), "LlamaForCausalLM");
  EXPECT_EQ(gguf.chat_template_text(), hf.chat_template_text());
  EXPECT_THAT(gguf.chat_template_text().value_or(""), HasSubstr("<|im_start|>"));
  const Result<Tokenizer> a = gguf.load_tokenizer("");
  const Result<Tokenizer> b = hf.load_tokenizer("");
  ASSERT_TRUE(a.has_value()) << a.error().message;
  ASSERT_TRUE(b.has_value()) << b.error().message;
  EXPECT_EQ(a->encode(kText), b->encode(kText));
  EXPECT_LE(a->vocabulary_size(), 300U);
}

TEST(ModelFiles, give_parts_of_joined_matrices_names_of_their_own) {
  const TinyModel tiny("phi3");
  const TemporaryDirectory directory;
  const std::string path = tiny.write_hf(directory, DType::f32);
  ModelFiles files = open(path);
  const ModelFiles whole = open(path);
  const Network network = read_network(files, {}).value();
  EXPECT_EQ(network.names.qkv, "self_attn.qkv_proj");
  ASSERT_TRUE(files.split_joined(network).has_value());
  EXPECT_FALSE(files.has_tensor("model.layers.1.self_attn.qkv_proj.weight"));
  const Network split = read_network(files, {}).value();
  EXPECT_EQ(split.names.qkv, "");
  EXPECT_EQ(split.names.gate_up, "");
  const Weights expected = load_weights(whole, network).value();
  const Weights actual = load_weights(files, split).value();
  EXPECT_EQ(actual.parameter_count, expected.parameter_count);
  for (size_t i = 0; i < expected.layers.size(); ++i) {
    for (const auto part : {&LayerWeights::q, &LayerWeights::k, &LayerWeights::v,
                            &LayerWeights::gate, &LayerWeights::up}) {
      const TensorView& one = actual.layers[i].*part;
      const TensorView& other = expected.layers[i].*part;
      ASSERT_EQ(one.shape, other.shape);
      EXPECT_EQ(std::memcmp(one.data, other.data, other.bytes()), 0);
    }
  }
}

TEST(ModelFiles, refuse_joined_matrices_with_other_rows_than_their_parts) {
  const TinyModel tiny("phi3");
  const TemporaryDirectory directory;
  ModelFiles files = open(tiny.write_hf(directory, DType::f32));
  Network network = read_network(files, {}).value();
  network.config.feed_forward -= 1;
  const Status status = files.split_joined(network);
  ASSERT_FALSE(status.has_value());
  EXPECT_THAT(status.error().message, HasSubstr("mlp.gate_up_proj.weight is"));
}

TEST(ModelFiles, refuse_what_is_not_a_model_by_path) {
  const TemporaryDirectory directory;
  for (const std::string& path : {directory.file("absent.gguf"), directory.path(),
                                  directory.write("text.gguf", "not a model")}) {
    const Result<ModelFiles> files = ModelFiles::open(path);
    ASSERT_FALSE(files.has_value());
    EXPECT_THAT(files.error().message, HasSubstr(directory.path()));
  }
}

TEST(ModelFiles, of_a_directory_must_state_an_architecture) {
  const TemporaryDirectory directory;
  TinyModel("llama").write_hf(directory, DType::f16);
  directory.write("config.json", "{}");
  const Result<ModelFiles> files = ModelFiles::open(directory.path());
  ASSERT_FALSE(files.has_value());
  EXPECT_THAT(files.error().message, HasSubstr("architectures"));
}

class PreparedTokenizer : public ::testing::Test {
 protected:
  TemporaryDirectory models;
  TemporaryDirectory cache;
  std::string model = TinyModel("llama").write_gguf(models, DType::f16);

  /// Loads through the cache; true when the tokenizer came from a prepared file.
  bool load() {
    ModelFiles files = open(model);
    const Result<Tokenizer> tokenizer = files.load_tokenizer(cache.path());
    EXPECT_TRUE(tokenizer.has_value()) << (tokenizer ? "" : tokenizer.error().message);
    const Result<Tokenizer> fresh = open(model).load_tokenizer("");
    EXPECT_EQ(tokenizer->encode(kText), fresh->encode(kText));
    return files.prepared_tokenizer.has_value();
  }
  std::string prepared_file() {
    const std::vector<std::string> files = files_in(cache.path());
    EXPECT_EQ(files.size(), 1U);
    return files.at(0);
  }
};

TEST_F(PreparedTokenizer, is_written_once_and_then_mapped) {
  EXPECT_FALSE(load());
  EXPECT_TRUE(load());
  EXPECT_EQ(files_in(cache.path()).size(), 1U);
}

TEST_F(PreparedTokenizer, is_rebuilt_when_the_model_changes) {
  EXPECT_FALSE(load());
  fs::last_write_time(model, fs::last_write_time(model) + std::chrono::seconds(1));
  EXPECT_FALSE(load());
  EXPECT_TRUE(load());
}

TEST_F(PreparedTokenizer, is_rebuilt_when_any_byte_of_it_is_wrong) {
  EXPECT_FALSE(load());
  const std::string path = prepared_file();
  const std::string good = read_file(path, 1 << 24).value();
  // Every field of the header, and every 97th byte behind it.
  for (size_t at = 0; at < good.size(); at += at < 64 ? 1 : 97) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    ASSERT_TRUE(write_file_atomic(path, as_bytes(bad)).has_value());
    ModelFiles files = open(model);
    ASSERT_TRUE(files.load_tokenizer(cache.path()).has_value());
    ASSERT_FALSE(files.prepared_tokenizer.has_value()) << "byte " << at;
    ASSERT_EQ(read_file(path, 1 << 24).value(), good);
  }
}

TEST_F(PreparedTokenizer, is_rebuilt_when_it_is_cut_short) {
  EXPECT_FALSE(load());
  const std::string path = prepared_file();
  for (const uintmax_t length : {uintmax_t{0}, uintmax_t{63}, uintmax_t{64}, uintmax_t{1000}}) {
    fs::resize_file(path, length);
    EXPECT_FALSE(load()) << length;
  }
}

TEST_F(PreparedTokenizer, is_not_needed_where_the_cache_cannot_be_written) {
  const std::string blocked = cache.write("file", "where a directory should be");
  ModelFiles files = open(model);
  EXPECT_TRUE(files.load_tokenizer(blocked).has_value());
  EXPECT_EQ(files_in(cache.path()).size(), 1U);
}

TEST_F(PreparedTokenizer, follows_every_file_of_a_directory) {
  const TemporaryDirectory directory;
  model = TinyModel("llama").write_hf(directory, DType::f16);
  EXPECT_FALSE(load());
  EXPECT_TRUE(load());
  directory.write("tokenizer_config.json", R"({"eos_token": "<|endoftext|>"})");
  EXPECT_FALSE(load());
  EXPECT_TRUE(load());
}

/// Puts a variable back to what it was.
class KeptVariable {
 public:
  explicit KeptVariable(const char* name) : name_(name) {
    if (const char* value = std::getenv(name)) value_ = value;
  }
  KeptVariable(const KeptVariable&) = delete;
  KeptVariable& operator=(const KeptVariable&) = delete;
  ~KeptVariable() { value_ ? ::setenv(name_, value_->c_str(), 1) : ::unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> value_;
};

TEST(DefaultCacheDirectory, follows_the_environment) {
  const KeptVariable kept[] = {KeptVariable("SQUISH_CACHE"), KeptVariable("SQUISH_HOME"),
                               KeptVariable("XDG_CACHE_HOME"), KeptVariable("HOME")};
  ::setenv("SQUISH_CACHE", "0", 1);
  EXPECT_EQ(default_cache_directory(), "");
  ::unsetenv("SQUISH_CACHE");
  ::setenv("SQUISH_HOME", "/home/somebody/squish", 1);
  EXPECT_EQ(default_cache_directory(), "/home/somebody/squish/cache");
  ::unsetenv("SQUISH_HOME");
  ::setenv("XDG_CACHE_HOME", "/var/cache", 1);
  EXPECT_EQ(default_cache_directory(), "/var/cache/squish");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  ::setenv("HOME", "/home/somebody", 1);
  EXPECT_EQ(default_cache_directory(), "/home/somebody/.cache/squish");
}

}  // namespace
}  // namespace squish
