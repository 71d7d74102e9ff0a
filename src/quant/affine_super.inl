// Super-blocks of 256: groups whose scales and offsets are small integers times two 16-bit floats.
//   w ~ scale * code + offset, scale = d * scales[g], offset = m * mins[g] - centre * scale
// Q2_K, Q4_K, Q5_K: centre 0, m = -dmin; i3: centre 3.5; Q3_K and Q6_K: no mins.
//
// Each group is fitted on its own; the largest factors give d and m; then, in turn, each group
// chooses among three scales and the two or so mins nearest to its best offset by the error that
// the decoder will make, and d and m are refitted over the whole super-block by least squares and
// rounded.

namespace {

struct TraitsQ2K {
  static constexpr int kGroup = 16, kLowCode = 0, kHighCode = 3;
  static constexpr float kCentre = 0, kScaleLow = 0, kScaleHigh = 15, kMinLow = 0, kMinHigh = 15;
  static constexpr float kNarrowest = 0.55F;
};
struct TraitsQ3K {
  static constexpr int kGroup = 16, kLowCode = -4, kHighCode = 3;
  static constexpr float kCentre = 0, kScaleLow = -32, kScaleHigh = 31, kMinLow = 0, kMinHigh = 0;
  static constexpr float kNarrowest = 0.7F;
};
struct TraitsQ4K {
  static constexpr int kGroup = 32, kLowCode = 0, kHighCode = 15;
  static constexpr float kCentre = 0, kScaleLow = 0, kScaleHigh = 63, kMinLow = 0, kMinHigh = 63;
  static constexpr float kNarrowest = 0.8F;
};
struct TraitsQ5K {
  static constexpr int kGroup = 32, kLowCode = 0, kHighCode = 31;
  static constexpr float kCentre = 0, kScaleLow = 0, kScaleHigh = 63, kMinLow = 0, kMinHigh = 63;
  static constexpr float kNarrowest = 0.9F;
};
struct TraitsQ6K {
  static constexpr int kGroup = 16, kLowCode = -32, kHighCode = 31;
  static constexpr float kCentre = 0, kScaleLow = -128, kScaleHigh = 127, kMinLow = 0, kMinHigh = 0;
  static constexpr float kNarrowest = 0.95F;
};
struct TraitsI3 {
  static constexpr int kGroup = 32, kLowCode = 0, kHighCode = 7;
  static constexpr float kCentre = 3.5F, kScaleLow = 0, kScaleHigh = 15, kMinLow = -8, kMinHigh = 7;
  static constexpr float kNarrowest = 0.65F;
};

template <class T, bool kWeighted>
class Super {
 public:
  static constexpr size_t kGroups = 256 / T::kGroup;
  static constexpr bool kHasMins = T::kMinHigh > 0;
  static constexpr bool kIsCentred = T::kCentre != 0;
  static constexpr bool kIsSigned = T::kScaleLow < 0;

  struct State {
    Lanes d, m, error;
    Lanes scales[kGroups];
    Lanes mins[kGroups];
  };

  Super(const float* w, const float* importance) : w_(w), importance_(importance) {}

  void fit(const SearchSize& size);
  [[nodiscard]] const State& state() const { return state_; }
  [[nodiscard]] Lanes scale_of(size_t g) const { return state_.d * state_.scales[g]; }
  [[nodiscard]] Lanes offset_of(size_t g, Lanes scale) const {
    return offset_with(state_.mins[g], scale);
  }

 private:
  [[nodiscard]] Group group(size_t g) const {
    const size_t at = g * T::kGroup * Lanes::kWidth;
    return {w_ + at, kWeighted ? importance_ + at : nullptr};
  }
  [[nodiscard]] Lanes offset_with(Lanes min, Lanes scale) const {
    if constexpr (!kHasMins) return zeros();
    if constexpr (!kIsCentred) return state_.m * min;
    return state_.m * min - Lanes::set1(T::kCentre) * scale;
  }
  [[nodiscard]] Lanes min_for(Lanes offset, Lanes scale, Lanes m_inverse) const {
    const Lanes target = kIsCentred ? offset + Lanes::set1(T::kCentre) * scale : offset;
    return clamp(Lanes::round(target * m_inverse), T::kMinLow, T::kMinHigh);
  }
  Sums measure_group(size_t g, Lanes scale, Lanes offset) const {
    return measure<kWeighted, T::kGroup>(group(g), scale, offset, T::kLowCode, T::kHighCode);
  }
  void start();
  void choose(int reach);
  void refit();

  const float* w_;
  const float* importance_;
  GroupFacts facts_[kGroups];
  Line lines_[kGroups];
  State state_;
};

/// largest / steps as a 16-bit float. Below 2^-18 those have few digits left: there the unit is
/// larger and fewer steps are used, so that tiny weights do not vanish.
inline Lanes unit_of(Lanes largest, float steps) {
  constexpr float kCoarse = 0x1p-18F;
  const Lanes unit = largest * Lanes::set1(1.0F / steps);
  const Mask fine = Lanes::less(Lanes::set1(kCoarse), Lanes::abs(unit));
  return to_finite_half(Lanes::select(fine, unit, clamp(largest, -kCoarse, kCoarse)));
}

/// d and m from the largest factors, and each group's nearest integers.
template <class T, bool kWeighted>
void Super<T, kWeighted>::start() {
  Lanes widest = zeros();
  Lanes farthest = zeros();
  for (size_t g = 0; g < kGroups; ++g) {
    const Line& line = lines_[g];
    const Lanes target =
        kIsCentred ? line.offset + Lanes::set1(T::kCentre) * line.scale : line.offset;
    widest =
        Lanes::select(Lanes::less(Lanes::abs(widest), Lanes::abs(line.scale)), line.scale, widest);
    farthest =
        Lanes::select(Lanes::less(Lanes::abs(farthest), Lanes::abs(target)), target, farthest);
  }
  // Signed ranges have one integer more below than above: the largest factor takes it.
  state_.d = unit_of(widest, kIsSigned ? T::kScaleLow : T::kScaleHigh);
  state_.m = kHasMins ? unit_of(farthest, T::kMinLow < 0 ? T::kMinLow : T::kMinHigh) : zeros();
  const Lanes d_inverse = inverse_of(state_.d);
  const Lanes m_inverse = inverse_of(state_.m);
  for (size_t g = 0; g < kGroups; ++g) {
    state_.scales[g] =
        clamp(Lanes::round(lines_[g].scale * d_inverse), T::kScaleLow, T::kScaleHigh);
    state_.mins[g] = kHasMins ? min_for(lines_[g].offset, scale_of(g), m_inverse) : zeros();
  }
}

/// Each group: the best of 2 * reach + 1 scales, with the min that suits each.
template <class T, bool kWeighted>
void Super<T, kWeighted>::choose(int reach) {
  const Lanes m_inverse = inverse_of(state_.m);
  state_.error = zeros();
  for (size_t g = 0; g < kGroups; ++g) {
    const Lanes scale_before = state_.scales[g];
    const Lanes min_before = state_.mins[g];
    const Lanes offset_before = offset_of(g, scale_of(g));
    Line best = worst_line();  // of integers: scale and min
    for (int step = -reach; step <= reach; ++step) {
      const Lanes integer =
          clamp(scale_before + Lanes::set1(static_cast<float>(step)), T::kScaleLow, T::kScaleHigh);
      const Lanes scale = state_.d * integer;
      Lanes min = min_before;
      if (kHasMins && step != 0) min = min_for(offset_before, scale, m_inverse);
      const Sums s = measure_group(g, scale, offset_with(min, scale));
      best.keep_better(integer, min, s.error);
      if constexpr (kHasMins) {
        const Lanes wanted = (facts_[g].sum - scale * s.code) / facts_[g].total;
        min = min_for(wanted, scale, m_inverse);
        best.keep_better(integer, min, measure_group(g, scale, offset_with(min, scale)).error);
      }
    }
    state_.scales[g] = best.scale;
    state_.mins[g] = best.offset;
    state_.error = state_.error + best.error;
  }
}

/// d and m by least squares over all groups, their codes and integers as they are; kept where the
/// error after rounding is less.
template <class T, bool kWeighted>
void Super<T, kWeighted>::refit() {
  Lanes aa = zeros();
  Lanes ab = zeros();
  Lanes bb = zeros();
  Lanes aw = zeros();
  Lanes bw = zeros();
  for (size_t g = 0; g < kGroups; ++g) {
    const Lanes scale = scale_of(g);
    Sums s = measure_group(g, scale, offset_of(g, scale));
    const Lanes integer = state_.scales[g];
    if constexpr (kIsCentred) {  // sums of (code - centre)
      const Lanes centre = Lanes::set1(T::kCentre);
      s.code2 = s.code2 - centre * (s.code + s.code - centre * facts_[g].total);
      s.code = s.code - centre * facts_[g].total;
      s.product = s.product - centre * facts_[g].sum;
    }
    aa = aa + integer * integer * s.code2;
    aw = aw + integer * s.product;
    if constexpr (kHasMins) {
      ab = ab + integer * state_.mins[g] * s.code;
      bb = bb + state_.mins[g] * state_.mins[g] * facts_[g].total;
      bw = bw + state_.mins[g] * facts_[g].sum;
    }
  }
  const State before = state_;
  if constexpr (kHasMins) {
    const Lanes determinant = aa * bb - ab * ab;
    // Nearly parallel: m stays, d alone is refitted.
    const Mask solvable = Lanes::less(Lanes::set1(1e-4F) * aa * bb, determinant);
    const Lanes m = (aa * bw - ab * aw) / determinant;
    state_.m = to_finite_half(Lanes::select(solvable, m, state_.m));
    if constexpr (!kIsCentred) state_.m = Lanes::min(state_.m, zeros());  // dmin is not negative
    aw = aw - ab * state_.m;
  }
  state_.d = to_finite_half(Lanes::select(Lanes::less(zeros(), aa), aw / aa, state_.d));
  state_.error = zeros();
  for (size_t g = 0; g < kGroups; ++g) {
    const Lanes scale = scale_of(g);
    state_.error = state_.error + measure_group(g, scale, offset_of(g, scale)).error;
  }
  const Mask better = Lanes::less(state_.error, before.error);
  state_.d = Lanes::select(better, state_.d, before.d);
  state_.m = Lanes::select(better, state_.m, before.m);
  state_.error = Lanes::select(better, state_.error, before.error);
}

template <class T, bool kWeighted>
void Super<T, kWeighted>::fit(const SearchSize& size) {
  for (size_t g = 0; g < kGroups; ++g) {
    facts_[g] = facts_of<kWeighted, T::kGroup>(group(g));
    if constexpr (!kHasMins) {
      lines_[g] = fit_scale<kWeighted, T::kGroup, FreeRule>(group(g), facts_[g], T::kLowCode,
                                                            T::kHighCode, T::kNarrowest, size);
    } else if constexpr (kIsCentred) {
      lines_[g] = fit_line<kWeighted, T::kGroup, FreeRule>(group(g), facts_[g], T::kHighCode,
                                                           T::kNarrowest, size);
    } else {
      lines_[g] = fit_line<kWeighted, T::kGroup, NonPositiveRule>(group(g), facts_[g], T::kHighCode,
                                                                  T::kNarrowest, size);
    }
  }
  start();
  choose(size.refinements > 0 ? 1 : 0);
  for (int i = 0; i < size.refinements; ++i) {
    refit();
    choose(1);
  }
}

}  // namespace
