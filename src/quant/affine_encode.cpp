#include "quant/affine_encode.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "quant/affine_isa.h"
#include "quant/affine_pack.h"
#include "tensor/formats.h"

namespace squish::quant {
namespace {

// Blocks that one call of the search takes: the fits of 64 super-blocks are 19 KB. A multiple of
// every lane count, so that only the last call of a chunk has idle lanes.
constexpr size_t kBlocksAtOnce = 64;
constexpr float kHalfMax = 65504.0F;
// Importance below this part of the mean counts as this much: a group without any would have no
// best line.
constexpr float kImportanceFloor = 1e-5F;

struct Isa {
  std::string_view name;
  const AffineTable* (*table)();
  bool (*usable)();
};

bool always() { return true; }
#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#else
bool has_avx2() { return false; }
bool has_avx512() { return false; }
#endif
constexpr std::array<Isa, 4> kIsas = {{{"avx512", affine_avx512_table, has_avx512},
                                       {"avx2", affine_avx2_table, has_avx2},
                                       {"neon", affine_neon_table, always},
                                       {"scalar", affine_scalar_table, always}}};

bool is_usable(const Isa& isa) { return isa.table() != nullptr && isa.usable(); }

const AffineTable& best_table() {
  static const AffineTable* const table = [] {
    return std::ranges::find_if(kIsas, is_usable)->table();
  }();
  return *table;
}

/// Measured on Gaussian weights: see docs/encoders.md.
SearchSize search_size(Effort effort) {
  switch (effort) {
    case Effort::fast:
      return {3, 3, 0};
    case Effort::normal:
      return {8, 4, 2};
    case Effort::best:
      return {18, 6, 5};
  }
  return {};
}

/// What is the same for all rows of a call.
struct Shape {
  const AffineTable* table;
  const AffineRow* row;
  size_t row_weights;
  size_t block_weights;
  size_t block_bytes;
  const float* importance;  // prepared: positive, or null
  SearchSize size;
};

/// Blocks of consecutive rows; either output may be null.
void fit_rows(const Shape& shape, const float* rows, size_t row_count, std::byte* packed,
              float* decoded) {
  std::array<const float*, kBlocksAtOnce> weights;
  std::array<const float*, kBlocksAtOnce> importance;
  std::array<float*, kBlocksAtOnce> values;
  std::vector<BlockFit> fits(packed != nullptr ? kBlocksAtOnce : 0);
  const size_t blocks_a_row = shape.row_weights / shape.block_weights;
  const size_t blocks = row_count * blocks_a_row;
  for (size_t first = 0; first < blocks; first += kBlocksAtOnce) {
    const size_t count = std::min(kBlocksAtOnce, blocks - first);
    for (size_t i = 0; i < count; ++i) {
      const size_t at = (first + i) * shape.block_weights;
      weights[i] = rows + at;
      if (decoded != nullptr) values[i] = decoded + at;
      if (shape.importance != nullptr) importance[i] = shape.importance + at % shape.row_weights;
    }
    const FitJob job = {weights.data(),
                        shape.importance != nullptr ? importance.data() : nullptr,
                        decoded != nullptr ? values.data() : nullptr,
                        packed != nullptr ? fits.data() : nullptr,
                        count,
                        shape.size};
    shape.table->fit[static_cast<size_t>(shape.row->format)](job);
    for (size_t i = 0; packed != nullptr && i < count; ++i)
      pack_block(shape.row->format, fits[i], packed + (first + i) * shape.block_bytes);
  }
}

Error bad_weight(const float* rows, size_t row_count, size_t row_weights) {
  for (size_t i = 0; i < row_count * row_weights; ++i) {
    const std::string place = fmt::format("at row {}, column {}", i / row_weights, i % row_weights);
    if (!std::isfinite(rows[i])) {
      return {ErrorCode::invalid_argument,
              fmt::format("the weight {} is {}: nothing can hold it", place,
                          std::isnan(rows[i]) ? "NaN" : "an infinity")};
    }
    if (std::fabs(rows[i]) > kHalfMax) {
      return {ErrorCode::unsupported,
              fmt::format("the weight {} is {}; scales are 16-bit floats up to 65504: keep this "
                          "tensor in 16 or 32 bits",
                          place, rows[i])};
    }
  }
  return {ErrorCode::internal, "weights changed while they were encoded"};
}

/// Whether all are finite and within what a 16-bit scale can reach.
bool are_usable(const float* values, size_t count) {
  bool bad = false;  // one pass without branches: 0.1 ns a weight
  for (size_t i = 0; i < count; ++i) bad |= !(std::fabs(values[i]) <= kHalfMax);
  return !bad;
}

/// Importance relative to its mean and above the floor; empty when every column is the same.
Result<std::vector<float>> prepare_importance(const float* importance, size_t count) {
  double sum = 0;
  bool is_uniform = true;
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(importance[i]) || importance[i] < 0) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("the importance of column {} is {}; it must be finite and at least "
                               "0",
                               i, importance[i])};
    }
    sum += static_cast<double>(importance[i]);
    is_uniform = is_uniform && importance[i] == importance[0];
  }
  if (is_uniform) return std::vector<float>();
  const double mean = sum / static_cast<double>(count);
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) {
    out[i] =
        std::max(static_cast<float>(static_cast<double>(importance[i]) / mean), kImportanceFloor);
  }
  return out;
}

Status run(DType dtype, const float* rows, size_t row_count, size_t row_weights,
           const float* importance, std::byte* packed, float* decoded, ThreadPool* pool,
           Effort effort) {
  const AffineRow* row = find_affine_row(dtype);
  const TypeInfo& info = type_info(dtype);
  if (row == nullptr) {
    return Error{ErrorCode::unsupported, fmt::format("there is no encoder for {}", info.name)};
  }
  if (row_weights % info.block_weights != 0) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("rows of {} weights cannot be {}: its blocks have {}", row_weights,
                             info.name, info.block_weights)};
  }
  if (row_count == 0 || row_weights == 0) return {};
  std::vector<float> prepared;
  if (importance != nullptr) {
    SQ_TRY(prepared, prepare_importance(importance, row_weights));
  }
  const Shape shape = {&best_table(),      row,
                       row_weights,        info.block_weights,
                       info.block_bytes,   prepared.empty() ? nullptr : prepared.data(),
                       search_size(effort)};
  const size_t row_bytes_packed = row_bytes(dtype, row_weights);
  std::atomic<bool> is_bad = false;
  const auto chunk = [&](size_t begin, size_t end, int) {
    const float* from = rows + begin * row_weights;
    if (!are_usable(from, (end - begin) * row_weights)) {
      is_bad = true;
      return;
    }
    fit_rows(shape, from, end - begin,
             packed != nullptr ? packed + begin * row_bytes_packed : nullptr,
             decoded != nullptr ? decoded + begin * row_weights : nullptr);
  };
  if (pool != nullptr) {
    // Chunks of about 64K weights: 0.5 ms.
    pool->parallel_for(row_count, std::max<size_t>(1, 65536 / row_weights), chunk);
  } else {
    chunk(0, row_count, 0);
  }
  if (is_bad) return bad_weight(rows, row_count, row_weights);
  return {};
}

}  // namespace

bool can_encode_affine(DType dtype) { return find_affine_row(dtype) != nullptr; }

Status encode_rows(DType dtype, const float* rows, size_t row_count, size_t row_weights,
                   const float* importance, std::byte* out, ThreadPool* pool, Effort effort) {
  return run(dtype, rows, row_count, row_weights, importance, out, nullptr, pool, effort);
}

Status quantize_dequantize_rows(DType dtype, const float* rows, size_t row_count,
                                size_t row_weights, const float* importance, float* out,
                                ThreadPool* pool, Effort effort) {
  return run(dtype, rows, row_count, row_weights, importance, nullptr, out, pool, effort);
}

CodeRange code_range(DType dtype) {
  const AffineRow* row = find_affine_row(dtype);
  SQ_CHECK(row != nullptr);
  return {row->low_code, row->high_code};
}

void replace_codes(DType dtype, std::span<const int8_t> codes, std::byte* row_data) {
  const AffineRow* row = find_affine_row(dtype);
  SQ_CHECK(row != nullptr);
  const TypeInfo& info = type_info(dtype);
  SQ_CHECK(codes.size() % info.block_weights == 0);
  std::array<uint8_t, 256> shifted;
  for (size_t at = 0; at < codes.size(); at += info.block_weights, row_data += info.block_bytes) {
    for (size_t i = 0; i < info.block_weights; ++i)
      shifted[i] = static_cast<uint8_t>(codes[at + i] - row->low_code);
    pack_codes(row->format, shifted.data(), row_data);
  }
}

std::span<const std::string_view> encoder_isas() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> out;
    for (const Isa& isa : kIsas) {
      if (is_usable(isa)) out.push_back(isa.name);
    }
    return out;
  }();
  return names;
}

void encode_rows_on(std::string_view isa, DType dtype, const float* rows, size_t row_count,
                    size_t row_weights, const float* importance, std::byte* out, Effort effort) {
  const auto* const found = std::ranges::find(kIsas, isa, &Isa::name);
  SQ_CHECK(found != kIsas.end());
  SQ_CHECK(is_usable(*found));
  const TypeInfo& info = type_info(dtype);
  std::vector<float> prepared;
  if (importance != nullptr) prepared = prepare_importance(importance, row_weights).value();
  const Shape shape = {found->table(),     find_affine_row(dtype),
                       row_weights,        info.block_weights,
                       info.block_bytes,   prepared.empty() ? nullptr : prepared.data(),
                       search_size(effort)};
  fit_rows(shape, rows, row_count, out, nullptr);
}

}  // namespace squish::quant
