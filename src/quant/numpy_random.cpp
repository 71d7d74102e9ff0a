#include "quant/numpy_random.h"

#include <array>
#include <bit>
#include <cmath>

namespace squish::quant {
namespace {

constexpr Word128 kMultiplier =
    (static_cast<Word128>(2549297995355413924ULL) << 64) | 4865540595714422341ULL;

/// numpy's SeedSequence of one integer: a pool of four words, hashed and mixed, then drawn from.
class SeedSequence {
 public:
  explicit SeedSequence(uint64_t seed) {
    const std::array<uint32_t, 2> entropy = {static_cast<uint32_t>(seed),
                                             static_cast<uint32_t>(seed >> 32)};
    uint32_t constant = 0x43b0d7e5U;
    const auto hash = [&constant](uint32_t value) {
      value ^= constant;
      constant *= 0x931e8875U;
      value *= constant;
      return value ^ (value >> 16);
    };
    for (size_t i = 0; i < pool_.size(); ++i) pool_[i] = hash(i < 2 ? entropy[i] : 0);
    for (size_t from = 0; from < pool_.size(); ++from) {
      for (size_t to = 0; to < pool_.size(); ++to) {
        if (from == to) continue;
        const uint32_t mixed = 0xca01f9ddU * pool_[to] - 0x4973f715U * hash(pool_[from]);
        pool_[to] = mixed ^ (mixed >> 16);
      }
    }
  }
  uint64_t next() {
    const uint64_t low = next_word();
    return low | static_cast<uint64_t>(next_word()) << 32;
  }

 private:
  uint32_t next_word() {
    uint32_t value = pool_[position_++ % pool_.size()] ^ constant_;
    constant_ *= 0x58f38dedU;
    value *= constant_;
    return value ^ (value >> 16);
  }
  std::array<uint32_t, 4> pool_ = {};
  size_t position_ = 0;
  uint32_t constant_ = 0x8b51f9ddU;
};

// The ziggurat: 256 layers of one area under exp(-x^2 / 2); layer 0 is the base with the tail.
constexpr double kTailStart = 3.6541528853610087963519472518;
constexpr double kTailInverse = 0.27366123732975827203338247596;

struct Ziggurat {
  std::array<uint64_t, 256> inside;  // a 52-bit magnitude below this is surely under the curve
  std::array<double, 256> width;     // of the layer, over 2^52
  std::array<double, 256> height;    // of the curve at the layer's edge
};

Ziggurat make_ziggurat() {
  constexpr long double kScale = 0x1p52L;
  Ziggurat z = {};
  const long double edge = 3.6541528853610087963519472518L;
  const long double at_edge = std::exp(-0.5L * edge * edge);
  const long double area =
      edge * at_edge + std::sqrt(std::acos(0.0L)) * std::erfc(edge / std::sqrt(2.0L));
  const long double base = area / at_edge;
  z.inside[0] = static_cast<uint64_t>(edge / base * kScale);
  z.inside[1] = 0;
  z.width[0] = static_cast<double>(base / kScale);
  z.width[255] = static_cast<double>(edge / kScale);
  z.height[0] = 1;
  z.height[255] = static_cast<double>(at_edge);
  long double x = edge;
  for (size_t i = 254; i >= 1; --i) {
    const long double inner = std::sqrt(-2.0L * std::log(area / x + std::exp(-0.5L * x * x)));
    z.inside[i + 1] = static_cast<uint64_t>(inner / x * kScale);
    z.width[i] = static_cast<double>(inner / kScale);
    z.height[i] = static_cast<double>(std::exp(-0.5L * inner * inner));
    x = inner;
  }
  return z;
}

const Ziggurat& ziggurat() {
  static const Ziggurat z = make_ziggurat();
  return z;
}

}  // namespace

NumpyRandom::NumpyRandom(uint64_t seed) {
  SeedSequence words(seed);
  const uint64_t state_high = words.next();
  const uint64_t state_low = words.next();
  const uint64_t stream_high = words.next();
  const uint64_t stream_low = words.next();
  increment_ = ((static_cast<Word128>(stream_high) << 64 | stream_low) << 1) | 1;
  state_ = increment_ + (static_cast<Word128>(state_high) << 64 | state_low);
  state_ = state_ * kMultiplier + increment_;
}

uint64_t NumpyRandom::next_u64() {
  state_ = state_ * kMultiplier + increment_;
  const auto high = static_cast<uint64_t>(state_ >> 64);
  const auto low = static_cast<uint64_t>(state_);
  return std::rotr(high ^ low, static_cast<int>(high >> 58));
}

uint32_t NumpyRandom::next_u32() {
  if (has_half_) {
    has_half_ = false;
    return half_;
  }
  const uint64_t both = next_u64();
  has_half_ = true;
  half_ = static_cast<uint32_t>(both >> 32);
  return static_cast<uint32_t>(both);
}

std::vector<float> NumpyRandom::signs(size_t count) {
  // An index below 2 is the upper bit of a 32-bit draw (Lemire's method never rejects here).
  std::vector<float> out(count);
  for (float& sign : out) sign = next_u32() >> 31 != 0 ? 1.0F : -1.0F;
  return out;
}

double NumpyRandom::next_double() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

double NumpyRandom::normal_tail(uint64_t magnitude) {
  for (;;) {
    const double x = -kTailInverse * std::log1p(-next_double());
    const double y = -std::log1p(-next_double());
    if (y + y > x * x) {
      return ((magnitude >> 8) & 1) != 0 ? -(kTailStart + x) : kTailStart + x;
    }
  }
}

double NumpyRandom::standard_normal() {
  const Ziggurat& z = ziggurat();
  for (;;) {
    const uint64_t draw = next_u64();
    const size_t layer = draw & 0xff;
    const uint64_t magnitude = (draw >> 9) & 0xfffffffffffffULL;
    const double positive = static_cast<double>(magnitude) * z.width[layer];
    const double x = ((draw >> 8) & 1) != 0 ? -positive : positive;
    if (magnitude < z.inside[layer]) return x;
    if (layer == 0) return normal_tail(magnitude);
    const double between = (z.height[layer - 1] - z.height[layer]) * next_double();
    if (between + z.height[layer] < std::exp(-0.5 * x * x)) return x;
  }
}

}  // namespace squish::quant
