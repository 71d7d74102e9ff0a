#include "quant/group_affine.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace squish::quant {
namespace {

constexpr int kIntervals = 10;
constexpr int kRounds = 8;
constexpr size_t kRowGrain = 16;

struct Fit {
  double error = std::numeric_limits<double>::infinity();
  float scale = 1;
  float offset = 0;
};

/// The nearest codes of a group and the squared error of what they decode to.
double assign(std::span<const float> w, float scale, float offset, int top, uint8_t* codes) {
  double error = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    const float level = std::nearbyint((w[i] - offset) / scale);
    const float code = std::clamp(level, 0.0F, static_cast<float>(top));
    codes[i] = static_cast<uint8_t>(code);
    const double miss = static_cast<double>(scale * code + offset) - static_cast<double>(w[i]);
    error += miss * miss;
  }
  return error;
}

/// Scale and offset of least squares for given codes; false when all codes are one.
bool regress(std::span<const float> w, const uint8_t* codes, float& scale, float& offset) {
  double sum_q = 0, sum_w = 0, sum_qq = 0, sum_qw = 0;
  const auto n = static_cast<double>(w.size());
  for (size_t i = 0; i < w.size(); ++i) {
    const double q = codes[i];
    sum_q += q;
    sum_w += static_cast<double>(w[i]);
    sum_qq += q * q;
    sum_qw += q * static_cast<double>(w[i]);
  }
  const double variance = sum_qq - sum_q * sum_q / n;
  if (variance <= 0) return false;
  const double slope = (sum_qw - sum_q * sum_w / n) / variance;
  if (!(slope > 0)) return false;
  scale = static_cast<float>(slope);
  offset = static_cast<float>((sum_w - slope * sum_q) / n);
  return scale > 0;
}

void encode_group(std::span<const float> w, int top, uint8_t* codes, float& scale, float& offset) {
  const auto [low, high] = std::ranges::minmax(w);
  const float range = high - low;
  if (!(range > 0) || !std::isfinite(range) || !(range / static_cast<float>(top) > 0)) {
    std::fill(codes, codes + w.size(), uint8_t{0});
    scale = 1;
    offset = low;
    if (range > 0) assign(w, scale, offset, top, codes);
    return;
  }
  Fit best;
  const auto consider = [&](float s, float o) {
    const double error = assign(w, s, o, top, codes);
    if (error < best.error) best = {error, s, o};
  };
  for (int i = 0; i < kIntervals; ++i) {
    const float share = 0.55F + 0.05F * static_cast<float>(i);
    float s = range * share / static_cast<float>(top);
    float o = low + range * (1 - share) / 2;
    if (!(s > 0)) continue;
    consider(s, o);
    for (int round = 0; round < kRounds; ++round) {
      if (!regress(w, codes, s, o)) break;
      consider(s, o);
    }
  }
  consider(range / static_cast<float>(top), low);  // the plain interval: 0.55 + 9 * 0.05 rounds
  assign(w, best.scale, best.offset, top, codes);
  scale = best.scale;
  offset = best.offset;
}

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

GroupCodes prepare(size_t rows, size_t columns, size_t group, bool has_offsets) {
  SQ_CHECK(group > 0 && columns % group == 0);
  GroupCodes out;
  out.rows = rows;
  out.columns = columns;
  out.group = group;
  out.codes.resize(rows * columns);
  out.scales.resize(rows * (columns / group));
  if (has_offsets) out.offsets.resize(out.scales.size());
  return out;
}

}  // namespace

Status check_finite(std::span<const float> weights, size_t columns) {
  for (size_t i = 0; i < weights.size(); ++i) {
    if (std::isfinite(weights[i])) continue;
    return Error{ErrorCode::invalid_argument,
                 fmt::format("the weight at [{}, {}] is {}", i / columns, i % columns,
                             std::isnan(weights[i]) ? "no number" : "infinite")};
  }
  return {};
}

Result<GroupCodes> encode_groups(std::span<const float> weights, size_t rows, size_t columns,
                                 size_t group, int bits, ThreadPool* pool) {
  SQ_CHECK(weights.size() == rows * columns && bits >= 2 && bits <= 4);
  SQ_TRY_STATUS(check_finite(weights, columns));
  GroupCodes out = prepare(rows, columns, group, true);
  const size_t groups = columns / group;
  for_rows(rows, pool, [&](size_t r) {
    for (size_t g = 0; g < groups; ++g) {
      const size_t at = r * columns + g * group;
      encode_group(weights.subspan(at, group), (1 << bits) - 1, out.codes.data() + at,
                   out.scales[r * groups + g], out.offsets[r * groups + g]);
    }
  });
  return out;
}

Result<GroupCodes> encode_groups_int8(std::span<const float> weights, size_t rows, size_t columns,
                                      size_t group, ThreadPool* pool) {
  SQ_CHECK(weights.size() == rows * columns);
  SQ_TRY_STATUS(check_finite(weights, columns));
  GroupCodes out = prepare(rows, columns, group, false);
  const size_t groups = columns / group;
  for_rows(rows, pool, [&](size_t r) {
    for (size_t g = 0; g < groups; ++g) {
      const size_t at = r * columns + g * group;
      float top = 0;
      for (size_t i = 0; i < group; ++i) top = std::max(top, std::abs(weights[at + i]));
      const float scale = top / 127 > 0 ? top / 127 : 1.0F;
      out.scales[r * groups + g] = scale;
      for (size_t i = 0; i < group; ++i) {
        const float code = std::clamp(std::nearbyint(weights[at + i] / scale), -127.0F, 127.0F);
        out.codes[at + i] = static_cast<uint8_t>(static_cast<int8_t>(code));
      }
    }
  });
  return out;
}

size_t fitting_group(size_t columns, size_t wanted) {
  size_t group = 1;
  while (group * 2 <= wanted && columns % (group * 2) == 0) group *= 2;
  return group;
}

}  // namespace squish::quant
