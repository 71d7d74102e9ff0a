#include "compress/masks.h"

#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/buffer.h"
#include "base/strings.h"
#include "format/npy.h"
#include "model/arch_table.h"
#include "model/decoder.h"
#include "model/weights.h"

namespace squish::compress {
namespace {

/// Counts, of what enters `down`, how often each column is beyond the threshold.
class FireCounter final : public ActivationObserver {
 public:
  FireCounter(const TensorView& down, double threshold, ThreadPool& pool)
      : down_(down), threshold_(static_cast<float>(threshold)), pool_(pool) {}

  void on_input(const TensorView& weight, ConstRows x) override {
    if (weight.data != down_.data) return;
    counts.resize(x.length);
    pool_.parallel_for(x.length, 64, [&](size_t begin, size_t end, int) {
      for (size_t row = 0; row < x.count; ++row) {
        for (size_t i = begin; i < end; ++i) {
          if (std::fabs(x.row(row)[i]) > threshold_) ++counts[i];
        }
      }
    });
  }
  std::vector<uint64_t> counts;

 private:
  TensorView down_;
  float threshold_;
  ThreadPool& pool_;
};

Status check_options(const MaskOptions& options) {
  if (options.activation_threshold >= 0 && options.keep_threshold >= 0 &&
      options.keep_threshold <= 1) {
    return {};
  }
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("thresholds are {} and {}; expected one from 0 on and a share from 0 to 1",
                  options.activation_threshold, options.keep_threshold)};
}

/// CRC-32 as zip files have it.
uint32_t crc32_of(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> out = {};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0);
      out.at(i) = value;
    }
    return out;
  }();
  uint32_t crc = ~0U;
  for (const char c : bytes) {
    crc = table.at((crc ^ static_cast<uint8_t>(c)) & 0xFF) ^ (crc >> 8);
  }
  return ~crc;
}

void append_number(std::string& out, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8 * i)) & 0xFF);
}

/// What the two headers of a stored zip entry have in common: version, flags, method, time, CRC,
/// sizes, length of the name and of the extra field.
std::string entry_facts(const std::string& name, const std::string& data) {
  std::string out;
  append_number(out, 20, 2);
  append_number(out, 0, 2);
  append_number(out, 0, 2);
  append_number(out, 0, 2);
  append_number(out, 0x21, 2);  // 1980-01-01: no time in an output
  append_number(out, crc32_of(data), 4);
  append_number(out, data.size(), 4);
  append_number(out, data.size(), 4);
  append_number(out, name.size(), 2);
  append_number(out, 0, 2);
  return out;
}

std::string stored_zip(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string out;
  std::string directory;
  for (const auto& [name, data] : files) {
    const uint64_t offset = out.size();
    const std::string facts = entry_facts(name, data);
    append_number(out, 0x04034b50, 4);
    out += facts + name + data;
    append_number(directory, 0x02014b50, 4);
    append_number(directory, 20, 2);
    directory += facts;
    append_number(directory, 0, 2 + 2 + 2);  // comment, disk, attributes inside
    append_number(directory, 0, 4);          // and outside
    append_number(directory, offset, 4);
    directory += name;
  }
  const uint64_t start = out.size();
  out += directory;
  append_number(out, 0x06054b50, 4);
  append_number(out, 0, 4);
  append_number(out, files.size(), 2);
  append_number(out, files.size(), 2);
  append_number(out, directory.size(), 4);
  append_number(out, start, 4);
  append_number(out, 0, 2);
  return out;
}

}  // namespace

double Masks::sparsity() const {
  uint64_t off = 0;
  uint64_t all = 0;
  for (const std::vector<float>& layer : layers) {
    all += layer.size();
    for (const float value : layer) off += value == 0 ? 1U : 0U;
  }
  return all == 0 ? 0 : static_cast<double>(off) / static_cast<double>(all);
}

Result<Masks> find_masks(const ModelFiles& files, const CalibrationText& text,
                         const MaskOptions& options, Backend& backend, ThreadPool& pool,
                         const std::function<bool()>& cancel) {
  SQ_TRY_STATUS(check_options(options));
  SQ_TRY(const Network network, read_network(files, {}));
  const ModelConfig& config = network.config;
  if (config.moe.expert_count > 0) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: which experts of a mixture fire is its router's choice",
                             printable(files.path, 512))};
  }
  SQ_TRY(Weights weights, load_weights(files, network));
  Decoder model(config, std::move(weights), backend);
  SQ_TRY(SequenceWalk walk, SequenceWalk::create(model, longest_of(text.sequences)));
  AlignedBuffer<float> states(text.token_count() * static_cast<size_t>(config.hidden));
  walk.embed(text.sequences, states.span());
  Masks out;
  out.tokens = text.token_count();
  const auto tokens = static_cast<double>(out.tokens);
  for (size_t layer = 0; layer < config.layers.size(); ++layer) {
    if (cancel()) return Error{ErrorCode::cancelled, "interrupted"};
    FireCounter counter(model.weights().layers[layer].down, options.activation_threshold, pool);
    walk.run_layer(layer, text.sequences, states.span(), &counter);
    std::vector<float> mask;
    uint64_t fired = 0;
    for (const uint64_t count : counter.counts) {
      fired += count;
      mask.push_back(static_cast<double>(count) >= options.keep_threshold * tokens ? 1.0F : 0.0F);
    }
    out.fired.push_back(static_cast<double>(fired) / (tokens * static_cast<double>(mask.size())));
    out.layers.push_back(std::move(mask));
  }
  return out;
}

Status write_masks(const Masks& masks, const std::string& path) {
  std::vector<std::pair<std::string, std::string>> files;
  for (size_t i = 0; i < masks.layers.size(); ++i) {
    const std::vector<float>& layer = masks.layers[i];
    std::string data = npy_header(NpyType::f32, {{layer.size(), 1, 1, 1}, 1});
    data.append(reinterpret_cast<const char*>(layer.data()), layer.size() * sizeof(float));
    files.emplace_back(fmt::format("layer_{}.npy", i), std::move(data));
  }
  return write_file_atomic(path, as_bytes(stored_zip(files)));
}

}  // namespace squish::compress
