// Elementwise bodies over Vec. Included by isa files after a simd_*.h; everything is in an
// anonymous namespace.
//
// exp: Cody-Waite reduction to [-ln2/2, ln2/2] and a degree-6 polynomial: relative error below
// 2^-22 over the range that does not underflow; below -104 the result is 0.

namespace {

inline Vec exp_vec(Vec x) {
  x = Vec::min(Vec::max(x, Vec::set1(-104.0F)), Vec::set1(88.7F));
  const Vec n = Vec::round(x * Vec::set1(1.44269504F));
  Vec r = Vec::fma(n, Vec::set1(-0.693359375F), x);
  r = Vec::fma(n, Vec::set1(2.12194440e-4F), r);
  Vec p = Vec::set1(1.0F / 720);
  p = Vec::fma(p, r, Vec::set1(1.0F / 120));
  p = Vec::fma(p, r, Vec::set1(1.0F / 24));
  p = Vec::fma(p, r, Vec::set1(1.0F / 6));
  p = Vec::fma(p, r, Vec::set1(0.5F));
  p = Vec::fma(p, r, Vec::set1(1.0F));
  p = Vec::fma(p, r, Vec::set1(1.0F));
  return Vec::scale2(p, n);
}

/// tanh(x) = 1 - 2 / (exp(2x) + 1): absolute error below 2^-21.
inline Vec tanh_vec(Vec x) {
  const Vec e = exp_vec(x + x);
  return Vec::set1(1.0F) - Vec::set1(2.0F) / (e + Vec::set1(1.0F));
}

/// Calls body(offset, count) for whole vectors, then once for the rest.
template <class Whole, class Part>
inline void for_vectors(size_t length, Whole whole, Part part) {
  size_t i = 0;
  for (; i + Vec::kWidth <= length; i += Vec::kWidth) whole(i);
  if (i < length) part(i, length - i);
}

// Four accumulators: the adds of one chain take 4 cycles, a load 0.5.
void rms_norm(const float* x, const float* weight, float weight_offset, float epsilon,
              size_t length, float* out) {
  Vec sums[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  size_t i = 0;
  for (; i + 4 * Vec::kWidth <= length; i += 4 * Vec::kWidth) {
    for (size_t j = 0; j < 4; ++j) {
      const Vec v = Vec::load(x + i + j * Vec::kWidth);
      sums[j] = Vec::fma(v, v, sums[j]);
    }
  }
  for (; i + Vec::kWidth <= length; i += Vec::kWidth) {
    const Vec v = Vec::load(x + i);
    sums[0] = Vec::fma(v, v, sums[0]);
  }
  if (i < length) {
    const Vec v = Vec::load_part(x + i, length - i);
    sums[1] = Vec::fma(v, v, sums[1]);
  }
  const float mean = ((sums[0] + sums[1]) + (sums[2] + sums[3])).sum() / static_cast<float>(length);
  const Vec scale = Vec::set1(1.0F / __builtin_sqrtf(mean + epsilon));
  const Vec offset = Vec::set1(weight_offset);
  for_vectors(
      length,
      [&](size_t at) {
        (Vec::load(x + at) * scale * (Vec::load(weight + at) + offset)).store(out + at);
      },
      [&](size_t at, size_t n) {
        (Vec::load_part(x + at, n) * scale * (Vec::load_part(weight + at, n) + offset))
            .store_part(out + at, n);
      });
}

/// Sum of term(x[i]) over all i, in four accumulators.
template <class Term>
inline float sum_of(const float* x, size_t length, Term term) {
  Vec sums[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
  size_t i = 0;
  for (; i + 4 * Vec::kWidth <= length; i += 4 * Vec::kWidth) {
    for (size_t j = 0; j < 4; ++j) sums[j] = sums[j] + term(Vec::load(x + i + j * Vec::kWidth));
  }
  for (; i + Vec::kWidth <= length; i += Vec::kWidth) sums[0] = sums[0] + term(Vec::load(x + i));
  float rest[Vec::kWidth] = {};
  if (i < length) term(Vec::load_part(x + i, length - i)).store_part(rest, length - i);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])).sum() + Vec::load(rest).sum();
}

// Two passes: the variance of what the mean was taken from keeps its digits.
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon,
                size_t length, float* out) {
  const auto count = static_cast<float>(length);
  const Vec mean = Vec::set1(sum_of(x, length, [](Vec v) { return v; }) / count);
  const float squares = sum_of(x, length, [mean](Vec v) {
    const Vec distance = v - mean;
    return distance * distance;
  });
  const Vec scale = Vec::set1(1.0F / __builtin_sqrtf(squares / count + epsilon));
  for_vectors(
      length,
      [&](size_t at) {
        Vec::fma((Vec::load(x + at) - mean) * scale, Vec::load(weight + at), Vec::load(bias + at))
            .store(out + at);
      },
      [&](size_t at, size_t n) {
        Vec::fma((Vec::load_part(x + at, n) - mean) * scale, Vec::load_part(weight + at, n),
                 Vec::load_part(bias + at, n))
            .store_part(out + at, n);
      });
}

inline Vec silu_of(Vec x) { return x / (Vec::set1(1.0F) + exp_vec(Vec::zero() - x)); }

inline Vec gelu_of(Vec x) {
  const Vec inner = Vec::set1(0.7978845608F) * Vec::fma(Vec::set1(0.044715F) * x * x, x, x);
  return Vec::set1(0.5F) * x * (Vec::set1(1.0F) + tanh_vec(inner));
}

/// 0.5 * (x + |x| * erf(|x| / sqrt 2)). erf by Abramowitz and Stegun 7.1.26: absolute error below
/// 2^-21 with the rounding of f32.
inline Vec gelu_erf_of(Vec x) {
  const Vec size = Vec::abs(x);
  const Vec z = size * Vec::set1(0.70710678F);
  const Vec t = Vec::set1(1.0F) / Vec::fma(Vec::set1(0.3275911F), z, Vec::set1(1.0F));
  Vec p = Vec::set1(1.061405429F);
  p = Vec::fma(p, t, Vec::set1(-1.453152027F));
  p = Vec::fma(p, t, Vec::set1(1.421413741F));
  p = Vec::fma(p, t, Vec::set1(-0.284496736F));
  p = Vec::fma(p, t, Vec::set1(0.254829592F));
  const Vec rest = p * t * exp_vec(Vec::zero() - z * z);  // 1 - erf
  return Vec::set1(0.5F) * (x + size - size * rest);
}

// One template a shape of loop; the tables point at the functions below them.
template <class Function>
inline void map_mul(const float* gate, const float* up, size_t length, float* out, Function f) {
  for_vectors(
      length, [&](size_t i) { (f(Vec::load(gate + i)) * Vec::load(up + i)).store(out + i); },
      [&](size_t i, size_t n) {
        (f(Vec::load_part(gate + i, n)) * Vec::load_part(up + i, n)).store_part(out + i, n);
      });
}
template <class Function>
inline void map(float* x, size_t length, Function f) {
  for_vectors(
      length, [&](size_t i) { f(Vec::load(x + i)).store(x + i); },
      [&](size_t i, size_t n) { f(Vec::load_part(x + i, n)).store_part(x + i, n); });
}

void silu_mul(const float* gate, const float* up, size_t length, float* out) {
  map_mul(gate, up, length, out, [](Vec x) { return silu_of(x); });
}
void gelu_mul(const float* gate, const float* up, size_t length, float* out) {
  map_mul(gate, up, length, out, [](Vec x) { return gelu_of(x); });
}
void gelu_erf_mul(const float* gate, const float* up, size_t length, float* out) {
  map_mul(gate, up, length, out, [](Vec x) { return gelu_erf_of(x); });
}
void silu(float* x, size_t length) {
  map(x, length, [](Vec v) { return silu_of(v); });
}
void gelu(float* x, size_t length) {
  map(x, length, [](Vec v) { return gelu_of(v); });
}
void gelu_erf(float* x, size_t length) {
  map(x, length, [](Vec v) { return gelu_erf_of(v); });
}

void add(float* x, const float* y, size_t length) {
  for_vectors(
      length, [&](size_t i) { (Vec::load(x + i) + Vec::load(y + i)).store(x + i); },
      [&](size_t i, size_t n) {
        (Vec::load_part(x + i, n) + Vec::load_part(y + i, n)).store_part(x + i, n);
      });
}

void softcap(float* x, float c, size_t length) {
  const Vec cap = Vec::set1(c);
  for_vectors(
      length, [&](size_t i) { (cap * tanh_vec(Vec::load(x + i) / cap)).store(x + i); },
      [&](size_t i, size_t n) {
        (cap * tanh_vec(Vec::load_part(x + i, n) / cap)).store_part(x + i, n);
      });
}

void to_f16(const float* x, size_t length, uint16_t* out) {
  size_t i = 0;
  for (; i + Vec::kWidth <= length; i += Vec::kWidth) Vec::load(x + i).store_f16(out + i);
  if (i < length) {
    uint16_t rest[Vec::kWidth];
    Vec::load_part(x + i, length - i).store_f16(rest);
    for (size_t j = 0; i + j < length; ++j) out[i + j] = rest[j];
  }
}

inline void rope_halves(float* head, size_t pairs, const float* cos_sin) {
  size_t j = 0;
  for (; j + Vec::kWidth <= pairs; j += Vec::kWidth) {
    Vec c = Vec::zero();
    Vec s = Vec::zero();
    Vec::load2(cos_sin + 2 * j, c, s);
    const Vec a = Vec::load(head + j);
    const Vec b = Vec::load(head + pairs + j);
    (a * c - b * s).store(head + j);
    Vec::fma(a, s, b * c).store(head + pairs + j);
  }
  for (; j < pairs; ++j) {
    const float c = cos_sin[2 * j];
    const float s = cos_sin[2 * j + 1];
    const float a = head[j];
    const float b = head[pairs + j];
    head[j] = a * c - b * s;
    head[pairs + j] = a * s + b * c;
  }
}

inline void rope_neighbours(float* head, size_t pairs, const float* cos_sin) {
  size_t j = 0;
  for (; j + Vec::kWidth <= pairs; j += Vec::kWidth) {
    Vec c = Vec::zero();
    Vec s = Vec::zero();
    Vec a = Vec::zero();
    Vec b = Vec::zero();
    Vec::load2(cos_sin + 2 * j, c, s);
    Vec::load2(head + 2 * j, a, b);
    Vec::store2(head + 2 * j, a * c - b * s, Vec::fma(a, s, b * c));
  }
  for (; j < pairs; ++j) {
    const float c = cos_sin[2 * j];
    const float s = cos_sin[2 * j + 1];
    const float a = head[2 * j];
    const float b = head[2 * j + 1];
    head[2 * j] = a * c - b * s;
    head[2 * j + 1] = a * s + b * c;
  }
}

void rope(float* heads, int head_count, int head_dim, int pair_count, bool halves,
          const float* cos_sin) {
  const auto pairs = static_cast<size_t>(pair_count);
  for (int h = 0; h < head_count; ++h) {
    float* head = heads + static_cast<size_t>(h) * static_cast<size_t>(head_dim);
    if (halves) {
      rope_halves(head, pairs, cos_sin);
    } else {
      rope_neighbours(head, pairs, cos_sin);
    }
  }
}

}  // namespace
