#include "model/testing/tiny_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/check.h"
#include "base/file.h"
#include "base/limits.h"
#include "tensor/block_formats.h"
#include "tensor/formats.h"
#include "tensor/half.h"

namespace squish::testing {
namespace {

/// The last kHfOnlyCount have facts that GGUF cannot state.
constexpr std::array<std::string_view, 13> kNames = {
    "llama",  "mixtral", "qwen2",      "qwen2_yarn", "qwen2moe", "qwen3",       "qwen3moe",
    "gemma3", "phi3",    "phi3_short", "llama_bias", "mistral",  "qwen2_window"};
constexpr size_t kHfOnlyCount = 3;

std::string golden_path(std::string_view file) {
  return fmt::format("{}/tests/golden/model/{}", SQUISH_SOURCE_DIR, file);
}

std::string read_golden(std::string_view file) {
  Result<std::string> text = read_file(golden_path(file), limits::kConfigBytesMax);
  SQ_CHECK(text.has_value());
  return std::move(text).value();
}

JsonConfig parse_golden(std::string_view file) {
  Result<JsonConfig> json = JsonConfig::parse(read_golden(file), std::string(file));
  SQ_CHECK(json.has_value());
  return std::move(json).value();
}

template <class T>
T need(Result<T> result) {
  SQ_CHECK(result.has_value());
  return std::move(result).value();
}

uint64_t fnv1a64(std::string_view text) {
  uint64_t value = 0xCBF29CE484222325U;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return value;
}

uint64_t splitmix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

/// The values as `dtype`; they must be representable.
std::string packed(const std::vector<float>& values, DType dtype, size_t row_length) {
  const TypeInfo& info = type_info(dtype);
  std::string out;
  if (info.is_quantized) {
    SQ_CHECK(dtype == DType::q8_0 && row_length % info.block_weights == 0);
    for (size_t i = 0; i < values.size(); i += info.block_weights) {
      // The smallest power of two that keeps codes below 128: then every value is a whole code.
      float largest = 0;
      for (size_t j = 0; j < info.block_weights; ++j) {
        largest = std::max(largest, std::abs(values[i + j]));
      }
      float step = 1;
      while (largest > 127 * step) step *= 2;
      while (largest != 0 && largest <= 63 * step) step /= 2;
      BlockQ8_0 block = {};
      block.d = f16_from_float(step);
      for (size_t j = 0; j < info.block_weights; ++j) {
        const float code = values[i + j] / step;
        SQ_CHECK(code == std::floor(code) && std::abs(code) < 128);
        block.codes[j] = static_cast<int8_t>(code);
      }
      out.append(reinterpret_cast<const char*>(&block), sizeof(block));
    }
    return out;
  }
  for (const float value : values) {
    if (dtype == DType::f32) {
      out += encoded(value);
    } else if (dtype == DType::f16) {
      SQ_CHECK(float_from_f16(f16_from_float(value)) == value);
      out += encoded(f16_from_float(value));
    } else {
      SQ_CHECK(float_from_bf16(bf16_from_float(value)) == value);
      out += encoded(bf16_from_float(value));
    }
  }
  return out;
}

/// Rows of each head in the order in which neighbours rotate together: (i, i + n/2) to (2i, 2i +
/// 1).
std::vector<float> neighbours_from_halves(const std::vector<float>& values, size_t head_count,
                                          size_t row_length) {
  const size_t row_count = values.size() / row_length;
  const size_t head_dim = row_count / head_count;
  std::vector<float> out(values.size());
  for (size_t row = 0; row < row_count; ++row) {
    const size_t in_head = row % head_dim;
    const size_t half = head_dim / 2;
    const size_t target = row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
    std::memcpy(out.data() + target * row_length, values.data() + row * row_length,
                row_length * sizeof(float));
  }
  return out;
}

}  // namespace

std::span<const std::string_view> tiny_model_names() { return kNames; }
std::span<const std::string_view> tiny_gguf_names() {
  return std::span(kNames).first(kNames.size() - kHfOnlyCount);
}

TinyModel::TinyModel(std::string_view name)
    : name_(name), golden_(parse_golden(fmt::format("{}.json", name))) {}

std::string TinyModel::config_json() const {
  return std::string(need(golden_.get_string("config")));
}

int TinyModel::context_length() const {
  return static_cast<int>(need(golden_.get_int("context_length")));
}

std::vector<int32_t> TinyModel::prompt() const {
  const std::vector<int64_t> ids = need(golden_.get_ints("prompt"));
  return {ids.begin(), ids.end()};
}

std::vector<int32_t> TinyModel::rows() const {
  const std::vector<int64_t> rows = need(golden_.get_ints("rows"));
  return {rows.begin(), rows.end()};
}

std::vector<double> TinyModel::logits(size_t index) const {
  return need(golden_.get_floats(fmt::format("logits.{}", index)));
}

bool TinyModel::has_gguf() const { return golden_.has("gguf_tensors"); }

std::vector<uint64_t> TinyModel::shape(std::string_view tensor_name) const {
  for (size_t i = 0; i < golden_.count("tensors"); ++i) {
    if (need(golden_.get_string(fmt::format("tensors.{}.name", i))) != tensor_name) continue;
    const std::vector<int64_t> dims = need(golden_.get_ints(fmt::format("tensors.{}.shape", i)));
    return {dims.begin(), dims.end()};
  }
  SQ_CHECK(!"a tensor of the golden file");
  return {};
}

std::vector<float> TinyModel::values(std::string_view tensor_name) const {
  size_t index = 0;
  while (need(golden_.get_string(fmt::format("tensors.{}.name", index))) != tensor_name) ++index;
  const double scale = need(golden_.get_float(fmt::format("tensors.{}.scale", index)));
  const double offset = need(golden_.get_float(fmt::format("tensors.{}.offset", index)));
  uint64_t count = 1;
  for (const uint64_t dim : shape(tensor_name)) count *= dim;
  std::vector<float> out(count);
  const uint64_t seed = fnv1a64(tensor_name);
  for (size_t i = 0; i < count; ++i) {
    const auto code = static_cast<double>(splitmix64(seed + i) >> 57);
    out[i] = static_cast<float>(offset + scale * (code - 64) / 64);
  }
  return out;
}

SafetensorsBuilder TinyModel::safetensors(DType dtype) const {
  const char* spelling = dtype == DType::f32 ? "F32" : dtype == DType::f16 ? "F16" : "BF16";
  SafetensorsBuilder builder;
  builder.add_metadata("format", "pt");
  for (size_t i = 0; i < golden_.count("tensors"); ++i) {
    const auto name = need(golden_.get_string(fmt::format("tensors.{}.name", i)));
    const std::vector<uint64_t> dims = shape(name);
    builder.add_tensor(name, dims, spelling, packed(values(name), dtype, dims.back()));
  }
  return builder;
}

std::string TinyModel::write_hf(const TemporaryDirectory& directory, DType dtype) const {
  directory.write("config.json", config_json());
  directory.write("tokenizer.json", read_golden("tokenizer.json"));
  directory.write("tokenizer_config.json", read_golden("tokenizer_config.json"));
  safetensors(dtype).write(directory.file("model.safetensors"));
  return directory.path();
}

void TinyModel::add_gguf_tensor(GgufBuilder& builder, const std::string& path, DType dtype) const {
  const std::string name(need(golden_.get_string(path + ".name")));
  if (golden_.has(path + ".values")) {
    const std::vector<double> literal = need(golden_.get_floats(path + ".values"));
    builder.add_tensor(name, {literal.size()}, std::vector<float>(literal.begin(), literal.end()));
    return;
  }
  const std::vector<std::string_view> sources = need(golden_.get_strings(path + ".sources"));
  std::vector<uint64_t> dims = shape(sources.front());
  const uint64_t row_length = dims.back();
  const int64_t heads = need(golden_.get_int_or(path + ".neighbours", 0));
  const double add = need(golden_.get_float_or(path + ".add", 0));
  std::vector<float> all;
  for (const std::string_view source : sources) {
    std::vector<float> part = values(source);
    if (heads != 0) part = neighbours_from_halves(part, static_cast<size_t>(heads), row_length);
    all.insert(all.end(), part.begin(), part.end());
  }
  for (float& value : all) value += static_cast<float>(add);
  const bool is_vector = dims.size() == 1 || dims.front() == 1;
  if (is_vector) dims = {row_length};
  if (sources.size() > 1) dims.insert(dims.begin(), sources.size());
  builder.add_tensor(name, dims, is_vector ? DType::f32 : dtype,
                     packed(all, is_vector ? DType::f32 : dtype, row_length));
}

GgufBuilder TinyModel::gguf(DType dtype) const {
  SQ_CHECK(has_gguf());
  GgufBuilder builder;
  for (const std::string_view key : golden_.keys("gguf_texts")) {
    builder.add_metadata(key, need(golden_.get_string(fmt::format("gguf_texts.{}", key))));
  }
  for (const std::string_view key : golden_.keys("gguf_integers")) {
    const int64_t value = need(golden_.get_int(fmt::format("gguf_integers.{}", key)));
    builder.add_metadata(key, static_cast<uint32_t>(value));
  }
  for (const std::string_view key : golden_.keys("gguf_numbers")) {
    const double value = need(golden_.get_float(fmt::format("gguf_numbers.{}", key)));
    builder.add_metadata(key, static_cast<float>(value));
  }
  const JsonConfig vocabulary = parse_golden("vocabulary.json");
  const auto strings = [&](std::string_view key) {
    const std::vector<std::string_view> views = need(vocabulary.get_strings(key));
    return std::vector<std::string>(views.begin(), views.end());
  };
  const std::vector<int64_t> kinds = need(vocabulary.get_ints("kinds"));
  builder.add_metadata("tokenizer.ggml.model", "gpt2")
      .add_metadata("tokenizer.ggml.pre", "gpt-2")
      .add_metadata("tokenizer.ggml.tokens", strings("tokens"))
      .add_metadata("tokenizer.ggml.token_type", std::vector<int32_t>(kinds.begin(), kinds.end()))
      .add_metadata("tokenizer.ggml.merges", strings("merges"))
      .add_metadata("tokenizer.ggml.eos_token_id",
                    static_cast<uint32_t>(need(vocabulary.get_int("eos"))))
      .add_metadata("tokenizer.ggml.add_bos_token", false)
      .add_metadata("tokenizer.chat_template", need(vocabulary.get_string("chat_template")));
  for (size_t i = 0; i < golden_.count("gguf_tensors"); ++i) {
    add_gguf_tensor(builder, fmt::format("gguf_tensors.{}", i), dtype);
  }
  return builder;
}

std::string TinyModel::write_gguf(const TemporaryDirectory& directory, DType dtype) const {
  return gguf(dtype).write(directory.file(name_ + ".gguf"));
}

}  // namespace squish::testing
