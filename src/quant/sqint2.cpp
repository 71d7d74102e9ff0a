#include "quant/sqint2.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "base/limits.h"
#include "quant/group_affine.h"
#include "quant/linear_algebra.h"
#include "tensor/half.h"

namespace squish::quant {
namespace {

constexpr size_t kRowGrain = 16;
using Codebook = std::array<float, 4>;

template <class Function>
void for_rows(size_t rows, ThreadPool* pool, const Function& function) {
  const auto run = [&](size_t begin, size_t end, int) {
    for (size_t r = begin; r < end; ++r) function(r);
  };
  if (pool == nullptr) {
    run(0, rows, 0);
  } else {
    pool->parallel_for(rows, kRowGrain, run);
  }
}

uint8_t nearest(const Codebook& book, float y) {
  uint8_t best = 0;
  for (uint8_t k = 1; k < 4; ++k) {
    if (std::abs(y - book[k]) < std::abs(y - book[best])) best = k;
  }
  return best;
}

/// The groups of a rotated matrix while their one common codebook is refined.
class Grouping {
 public:
  Grouping(const std::vector<float>& rotated, Sqint2Matrix& out, ThreadPool* pool)
      : rotated_(rotated), out_(out), pool_(pool), groups_(out.padded / out.options.group) {}

  void fit();
  /// What the codes decode to, in the rotated frame.
  [[nodiscard]] std::vector<float> decoded() const;

 private:
  struct Sums {
    std::array<double, 4> sum = {};
    std::array<uint64_t, 4> count = {};
  };
  void start_row(size_t r);
  void refine(Codebook& book);
  void pack();
  [[nodiscard]] float scaled(size_t r, size_t c) const {
    const size_t g = r * groups_ + c / out_.options.group;
    return rotated_[r * out_.padded + c] / out_.scales[g] + out_.zeros[g];
  }
  [[nodiscard]] bool is_constant(size_t r, size_t g) const {
    return constant_[r * groups_ + g] != 0;
  }

  const std::vector<float>& rotated_;
  Sqint2Matrix& out_;
  ThreadPool* pool_;
  size_t groups_;
  std::vector<uint8_t> codes_;
  std::vector<uint8_t> constant_;  // a flag a group
};

void Grouping::start_row(size_t r) {
  const size_t group = out_.options.group;
  for (size_t g = 0; g < groups_; ++g) {
    const float* w = rotated_.data() + r * out_.padded + g * group;
    const auto [low, high] = std::minmax_element(w, w + group);
    float& scale = out_.scales[r * groups_ + g];
    float& zero = out_.zeros[r * groups_ + g];
    scale = (*high - *low) / 3;
    // A scale that is zero or whose quotient overflows cannot code anything: one value for all.
    if (!(scale > 0) || !std::isfinite(*low / scale) || !std::isfinite(scale)) {
      constant_[r * groups_ + g] = 1;
      scale = 1;
      zero = -0.5F - *low;
      std::fill_n(codes_.begin() + static_cast<ptrdiff_t>(r * out_.padded + g * group), group,
                  uint8_t{1});
      continue;
    }
    zero = -1.5F - *low / scale;
    for (size_t i = 0; i < group; ++i) {
      codes_[r * out_.padded + g * group + i] = nearest(kSqint2Levels, w[i] / scale + zero);
    }
  }
}

/// Lloyd and Max: levels become the means of what they stand for, then every weight its nearest.
void Grouping::refine(Codebook& book) {
  std::vector<Sums> sums(out_.rows);
  for_rows(out_.rows, pool_, [&](size_t r) {
    for (size_t c = 0; c < out_.padded; ++c) {
      if (is_constant(r, c / out_.options.group)) continue;
      const uint8_t code = codes_[r * out_.padded + c];
      sums[r].sum[code] += static_cast<double>(scaled(r, c));
      ++sums[r].count[code];
    }
  });
  Sums all;
  for (const Sums& row : sums) {
    for (size_t k = 0; k < 4; ++k) {
      all.sum[k] += row.sum[k];
      all.count[k] += row.count[k];
    }
  }
  for (size_t k = 0; k < 4; ++k) {
    if (all.count[k] > 0) {
      book[k] = static_cast<float>(all.sum[k] / static_cast<double>(all.count[k]));
    }
  }
  std::ranges::sort(book);
  for_rows(out_.rows, pool_, [&](size_t r) {
    for (size_t c = 0; c < out_.padded; ++c) {
      if (is_constant(r, c / out_.options.group)) continue;
      codes_[r * out_.padded + c] = nearest(book, scaled(r, c));
    }
  });
}

void Grouping::pack() {
  for_rows(out_.rows, pool_, [&](size_t r) {
    for (size_t c = 0; c < out_.padded; ++c) {
      const auto code = static_cast<unsigned>(codes_[r * out_.padded + c]);
      uint8_t& byte = out_.indices[r * (out_.padded / 4) + c / 4];
      byte = static_cast<uint8_t>(byte | (code << (2 * (c % 4))));
    }
  });
}

void Grouping::fit() {
  codes_.resize(out_.rows * out_.padded);
  constant_.assign(out_.rows * groups_, 0);
  out_.scales.resize(out_.rows * groups_);
  out_.zeros.resize(out_.rows * groups_);
  out_.indices.assign(out_.rows * (out_.padded / 4), 0);
  for_rows(out_.rows, pool_, [&](size_t r) { start_row(r); });
  Codebook book = kSqint2Levels;
  for (uint32_t i = 0; i < out_.options.refine; ++i) refine(book);
  // The file has no codebook: the two end levels go into scale and zero, the inner two become a
  // third of the way between.
  const float width = (book[3] - book[0]) / 3;
  if (out_.options.refine > 0 && width > 0) {
    for (size_t i = 0; i < out_.scales.size(); ++i) {
      if (constant_[i] != 0) continue;
      const float scale = width * out_.scales[i];
      if (!(scale > 0)) continue;
      out_.zeros[i] = -1.5F - (book[0] - out_.zeros[i]) * out_.scales[i] / scale;
      out_.scales[i] = scale;
    }
  }
  pack();
}

void add_codes(const Sqint2Matrix& m, ThreadPool* pool, std::vector<float>& out) {
  const size_t groups = m.padded / m.options.group;
  for_rows(m.rows, pool, [&](size_t r) {
    for (size_t c = 0; c < m.padded; ++c) {
      const unsigned byte = m.indices[r * (m.padded / 4) + c / 4];
      const size_t g = r * groups + c / m.options.group;
      out[r * m.padded + c] =
          (kSqint2Levels[(byte >> (2 * (c % 4))) & 3] - m.zeros[g]) * m.scales[g];
    }
  });
}

std::vector<float> Grouping::decoded() const {
  std::vector<float> out(out_.rows * out_.padded);
  add_codes(out_, pool_, out);
  return out;
}

void subtract_factors(const Sqint2Matrix& m, float sign, ThreadPool* pool, std::vector<float>& e) {
  const size_t rank = m.options.rank;
  if (m.left.empty()) return;
  for_rows(m.rows, pool, [&](size_t r) {
    float* row = e.data() + r * m.padded;
    for (size_t k = 0; k < rank; ++k) {
      const float factor = sign * m.left[r * rank + k];
      const float* right = m.right.data() + k * m.padded;
      for (size_t c = 0; c < m.padded; ++c) row[c] += factor * right[c];
    }
  });
}

void round_factors(std::vector<float>& values) {
  for (float& value : values) value = float_from_f16(f16_from_float(value));
}

/// The `count` largest of |e|, in order of their place; of equal ones the first.
void choose_sparse(const std::vector<float>& e, size_t count, Sqint2Matrix& m) {
  if (count == 0) return;
  std::vector<float> sizes(e.size());
  std::ranges::transform(e, sizes.begin(), [](float x) { return std::abs(x); });
  std::ranges::nth_element(sizes, sizes.begin() + static_cast<ptrdiff_t>(count - 1),
                           std::greater<>());
  const float threshold = sizes[count - 1];
  size_t equal = static_cast<size_t>(
      std::count(sizes.begin(), sizes.begin() + static_cast<ptrdiff_t>(count), threshold));
  for (size_t i = 0; i < e.size(); ++i) {
    const float size = std::abs(e[i]);
    if (size < threshold || (size == threshold && equal == 0)) continue;
    if (size == threshold) --equal;
    m.sparse_rows.push_back(static_cast<int32_t>(i / m.padded));
    m.sparse_columns.push_back(static_cast<int32_t>(i % m.padded));
    m.sparse_values.push_back(f16_from_float(e[i]));
  }
}

size_t round_up(size_t value, size_t to) { return (value + to - 1) / to * to; }

Error bad(const std::string& text) { return {ErrorCode::bad_file, "SQINT2 " + text}; }

/// A whole number of the header within its range.
Result<uint64_t> whole(std::span<const double> meta, size_t at, double least, double most) {
  const double value = meta[at];
  if (value >= least && value <= most && value == std::floor(value)) {
    return static_cast<uint64_t>(value);
  }
  return bad(fmt::format("header: number {} is {}, expected {} to {}", at, value, least, most));
}

}  // namespace

Result<Sqint2Matrix> encode_sqint2(std::span<const float> weights, size_t rows, size_t columns,
                                   const Sqint2Options& options, RotationCache& rotations,
                                   ThreadPool* pool) {
  SQ_CHECK(weights.size() == rows * columns && rows > 0 && columns > 0);
  if (options.group == 0 || options.group % 4 != 0) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("groups of {}: four codes share a byte", options.group)};
  }
  SQ_TRY_STATUS(check_finite(weights, columns));
  Sqint2Matrix out;
  out.options = options;
  out.rows = rows;
  out.columns = columns;
  out.padded = round_up(columns, options.group);
  std::vector<float> rotated(rows * out.padded, 0);
  for (size_t r = 0; r < rows; ++r) {
    std::ranges::copy(weights.subspan(r * columns, columns),
                      rotated.begin() + static_cast<ptrdiff_t>(r * out.padded));
  }
  if (options.rotate_left) {
    SQ_TRY(const Rotation* left, rotations.get(rows, options.seed, pool));
    left->turn_columns(rotated, out.padded, false, pool);
  }
  if (options.rotate_right) {
    SQ_TRY(const Rotation* right, rotations.get(out.padded, options.seed + 1, pool));
    right->turn_rows(rotated, rows, false, pool);
  }
  Grouping grouping(rotated, out, pool);
  grouping.fit();
  const std::vector<float> coded = grouping.decoded();
  for (size_t i = 0; i < rotated.size(); ++i) rotated[i] -= coded[i];
  out.options.rank = static_cast<uint32_t>(std::min({size_t{options.rank}, rows, out.padded}));
  if (out.options.rank > 0) {
    LowRank factors = low_rank(rotated.data(), rows, out.padded, out.options.rank, pool);
    out.left = std::move(factors.left);
    out.right = std::move(factors.right);
    if (!options.factors_are_f32) {
      round_factors(out.left);
      round_factors(out.right);
    }
    subtract_factors(out, -1, pool, rotated);
  }
  const double wanted = options.sparse_fraction * static_cast<double>(rotated.size());
  choose_sparse(rotated, static_cast<size_t>(std::nearbyint(wanted)), out);
  return out;
}

Result<std::vector<float>> decode_sqint2(const Sqint2Matrix& matrix, RotationCache& rotations,
                                         ThreadPool* pool) {
  std::vector<float> out(matrix.rows * matrix.padded);
  add_codes(matrix, pool, out);
  subtract_factors(matrix, 1, pool, out);
  for (size_t i = 0; i < matrix.sparse_values.size(); ++i) {
    const auto row = static_cast<size_t>(matrix.sparse_rows[i]);
    const auto column = static_cast<size_t>(matrix.sparse_columns[i]);
    out[row * matrix.padded + column] += float_from_f16(matrix.sparse_values[i]);
  }
  const Sqint2Options& options = matrix.options;
  if (options.rotate_left) {
    SQ_TRY(const Rotation* left, rotations.get(matrix.rows, options.seed, pool));
    left->turn_columns(out, matrix.padded, true, pool);
  }
  if (options.rotate_right) {
    SQ_TRY(const Rotation* right, rotations.get(matrix.padded, options.seed + 1, pool));
    right->turn_rows(out, matrix.rows, true, pool);
  }
  if (matrix.padded == matrix.columns) return out;
  for (size_t r = 1; r < matrix.rows; ++r) {
    std::copy_n(out.begin() + static_cast<ptrdiff_t>(r * matrix.padded), matrix.columns,
                out.begin() + static_cast<ptrdiff_t>(r * matrix.columns));
  }
  out.resize(matrix.rows * matrix.columns);
  return out;
}

std::array<double, 16> sqint2_meta(const Sqint2Matrix& matrix) {
  const Sqint2Options& o = matrix.options;
  return {kSqint2Version,
          static_cast<double>(matrix.columns),
          static_cast<double>(matrix.rows),
          static_cast<double>(o.group),
          static_cast<double>(o.seed),
          static_cast<double>(o.refine),
          o.rotate_left ? 1.0 : 0.0,
          o.rotate_right ? 1.0 : 0.0,
          static_cast<double>(o.rank),
          o.factors_are_f32 ? 32.0 : 16.0,
          o.sparse_fraction};
}

Result<Sqint2Matrix> sqint2_from_meta(std::span<const double> meta) {
  if (meta.size() != 16) return bad(fmt::format("header of {} numbers, expected 16", meta.size()));
  if (meta[0] != kSqint2Version) {
    return Error{ErrorCode::unsupported, fmt::format("SQINT2 version {}, this program reads {:.1f}",
                                                     meta[0], kSqint2Version)};
  }
  constexpr auto kDimension = static_cast<double>(limits::kDimensionMax);
  Sqint2Matrix out;
  SQ_TRY(out.columns, whole(meta, 1, 1, kDimension));
  SQ_TRY(out.rows, whole(meta, 2, 1, kDimension));
  SQ_TRY(const uint64_t group, whole(meta, 3, 4, 4096));
  SQ_TRY(out.options.seed, whole(meta, 4, 0, 0x1p53));
  SQ_TRY(const uint64_t refine, whole(meta, 5, 0, 1000));
  SQ_TRY(const uint64_t left, whole(meta, 6, 0, 1));
  SQ_TRY(const uint64_t right, whole(meta, 7, 0, 1));
  SQ_TRY(const uint64_t rank, whole(meta, 8, 0, 4096));
  SQ_TRY(const uint64_t factor, whole(meta, 9, 16, 32));
  if (factor != 16 && factor != 32) return bad(fmt::format("header: factors of {} bits", factor));
  if (!(meta[10] >= 0 && meta[10] <= 1)) {
    return bad(fmt::format("header: a sparse share of {}, expected 0 to 1", meta[10]));
  }
  if (group % 4 != 0) return bad(fmt::format("header: groups of {} are no whole bytes", group));
  for (size_t i = 11; i < 16; ++i) {
    if (meta[i] != 0) return bad(fmt::format("header: reserved number {} is {}", i, meta[i]));
  }
  out.options.group = static_cast<uint32_t>(group);
  out.options.refine = static_cast<uint32_t>(refine);
  out.options.rotate_left = left == 1;
  out.options.rotate_right = right == 1;
  out.options.rank = static_cast<uint32_t>(rank);
  out.options.factors_are_f32 = factor == 32;
  out.options.sparse_fraction = meta[10];
  out.padded = round_up(out.columns, group);
  return out;
}

Status check_sqint2(const Sqint2Matrix& m) {
  const size_t groups = m.padded / m.options.group;
  if (m.indices.size() != m.rows * (m.padded / 4)) return bad("codes do not fit the header");
  if (m.scales.size() != m.rows * groups || m.zeros.size() != m.rows * groups) {
    return bad("scales or zeros do not fit the header");
  }
  if (m.left.empty() != m.right.empty()) return bad("factors: one of L and R is missing");
  if (!m.left.empty() &&
      (m.left.size() != m.rows * m.options.rank || m.right.size() != m.options.rank * m.padded)) {
    return bad("factors do not fit the header");
  }
  if (m.sparse_rows.size() != m.sparse_columns.size() ||
      m.sparse_rows.size() != m.sparse_values.size()) {
    return bad("sparse rows, columns and values are of different lengths");
  }
  for (size_t i = 0; i < m.sparse_rows.size(); ++i) {
    const int32_t row = m.sparse_rows[i];
    const int32_t column = m.sparse_columns[i];
    if (row < 0 || column < 0 || static_cast<size_t>(row) >= m.rows ||
        static_cast<size_t>(column) >= m.padded) {
      return bad(fmt::format("sparse entry {} is at [{}, {}], outside of [{}, {}]", i, row, column,
                             m.rows, m.padded));
    }
  }
  return {};
}

uint64_t sqint2_peak_bytes(size_t rows, size_t columns) {
  return 5 * sizeof(float) * uint64_t{rows} * (uint64_t{columns} + 4096);
}

}  // namespace squish::quant
