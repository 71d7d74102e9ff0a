// The search of one group, lane by lane: each lane is a group of its own, so results do not depend
// on how many lanes there are. Included after one of lanes_*.h.
//
// A start narrows or widens the interval [min, max] by a factor; rounds of {round to codes, refit
// the line by weighted least squares, round the line to what the format holds} follow; the line
// with the least error of what the decoder will give is kept. A pass is 14 operations a weight and
// lane (17 with importance): 0.2 ns a weight with 16 lanes.

namespace {

inline Lanes zeros() { return Lanes::set1(0); }
inline Lanes clamp(Lanes v, float low, float high) {
  return Lanes::min(Lanes::max(v, Lanes::set1(low)), Lanes::set1(high));
}
/// 1 / v, and 0 for 0.
inline Lanes inverse_of(Lanes v) {
  return Lanes::select(Lanes::less(zeros(), Lanes::abs(v)), Lanes::set1(1) / v, zeros());
}
/// To the nearest finite 16-bit float. NaN becomes the largest: measure() then finds it wanting.
inline Lanes to_finite_half(Lanes v) { return Lanes::to_half(clamp(v, -65504.0F, 65504.0F)); }

/// Weight i of lane l is w[i * kWidth + l]; its importance lies likewise.
struct Group {
  const float* w;
  const float* importance;
};

/// Over the weights of a group, times importance: the squared error, codes, their squares, and
/// codes times weights.
struct Sums {
  Lanes error;
  Lanes code;
  Lanes code2;
  Lanes product;
};

inline Lanes code_of(Lanes x, Lanes offset, Lanes inverse, float low, float high) {
  return clamp(Lanes::round((x - offset) * inverse), low, high);
}

template <bool kWeighted, int kCount>
inline Sums measure(const Group& g, Lanes scale, Lanes offset, float low, float high) {
  const Lanes inverse = inverse_of(scale);
  Sums s = {zeros(), zeros(), zeros(), zeros()};
  for (int i = 0; i < kCount; ++i) {
    const Lanes x = Lanes::load(g.w + static_cast<size_t>(i) * Lanes::kWidth);
    const Lanes q = code_of(x, offset, inverse, low, high);
    const Lanes gap = x - (scale * q + offset);
    if constexpr (kWeighted) {
      const Lanes weight = Lanes::load(g.importance + static_cast<size_t>(i) * Lanes::kWidth);
      const Lanes weighted = weight * q;
      s.error = s.error + weight * gap * gap;
      s.code = s.code + weighted;
      s.code2 = s.code2 + weighted * q;
      s.product = s.product + weighted * x;
    } else {
      s.error = s.error + gap * gap;
      s.code = s.code + q;
      s.code2 = s.code2 + q * q;
      s.product = s.product + q * x;
    }
  }
  return s;
}

/// What does not change during the search of a group.
struct GroupFacts {
  Lanes low;
  Lanes high;
  Lanes largest;  // of greatest magnitude, with its sign
  Lanes total;    // of importance
  Lanes sum;      // of importance times weight
};

template <bool kWeighted, int kCount>
inline GroupFacts facts_of(const Group& g) {
  const Lanes first = Lanes::load(g.w);
  GroupFacts f = {first, first, first, zeros(), zeros()};
  for (int i = 0; i < kCount; ++i) {
    const Lanes x = Lanes::load(g.w + static_cast<size_t>(i) * Lanes::kWidth);
    f.low = Lanes::min(x, f.low);
    f.high = Lanes::max(x, f.high);
    f.largest = Lanes::select(Lanes::less(Lanes::abs(f.largest), Lanes::abs(x)), x, f.largest);
    if constexpr (kWeighted) {
      const Lanes weight = Lanes::load(g.importance + static_cast<size_t>(i) * Lanes::kWidth);
      f.total = f.total + weight;
      f.sum = f.sum + weight * x;
    } else {
      f.sum = f.sum + x;
    }
  }
  if constexpr (!kWeighted) f.total = Lanes::set1(kCount);
  return f;
}

struct Line {
  Lanes scale;
  Lanes offset;
  Lanes error;

  void keep_better(Lanes new_scale, Lanes new_offset, Lanes new_error) {
    const Mask better = Lanes::less(new_error, error);
    scale = Lanes::select(better, new_scale, scale);
    offset = Lanes::select(better, new_offset, offset);
    error = Lanes::select(better, new_error, error);
  }
};
inline Line worst_line() { return {zeros(), zeros(), Lanes::set1(3.0e38F)}; }

/// Start k of n, at even distances.
inline float interval_at(int k, int n, float widest, float narrowest) {
  if (n == 1) return 0.5F * (widest + narrowest);
  return widest - (widest - narrowest) * static_cast<float>(k) / static_cast<float>(n - 1);
}

/// Which lines a format can hold.
struct HalfRule {  // both as 16-bit floats
  static constexpr bool kNonPositive = false;
  static Lanes round(Lanes v) { return to_finite_half(v); }
};
struct FreeRule {  // rounded later, with the other groups of the super-block
  static constexpr bool kNonPositive = false;
  static Lanes round(Lanes v) { return v; }
};
struct NonPositiveRule {  // offsets are -dmin * min
  static constexpr bool kNonPositive = true;
  static Lanes round(Lanes v) { return v; }
};

// Steps a little larger than the range needs leave the end codes to the extremes: worth 0.08 dB at
// 4 bits, measured against starts from 1.0.
constexpr float kWidest = 1.08F;

/// Codes 0 to `levels`, a scale and an offset.
template <bool kWeighted, int kCount, class Rule>
inline Line fit_line(const Group& g, const GroupFacts& facts, int levels, float narrowest,
                     const SearchSize& size) {
  const auto high_code = static_cast<float>(levels);
  Lanes low = facts.low;
  if constexpr (Rule::kNonPositive) low = Lanes::min(low, zeros());
  const Lanes span = facts.high - low;
  Line best = worst_line();
  for (int k = 0; k < size.intervals; ++k) {
    const float interval = interval_at(k, size.intervals, kWidest, narrowest);
    // In turn the lower end stays, both ends move, the upper end stays: 0.1 dB at 4 bits.
    const float moved = 0.5F * static_cast<float>(k % 3);
    Lanes scale = Rule::round(span * Lanes::set1(interval / high_code));
    Lanes offset = Rule::round(low + span * Lanes::set1(moved * (1.0F - interval)));
    if constexpr (Rule::kNonPositive) offset = Lanes::min(offset, zeros());
    for (int round = 0; round < size.rounds; ++round) {
      const Sums s = measure<kWeighted, kCount>(g, scale, offset, 0, high_code);
      best.keep_better(scale, offset, s.error);
      const Lanes spread = facts.total * s.code2 - s.code * s.code;
      const Lanes slope = (facts.total * s.product - s.code * facts.sum) / spread;
      scale = Rule::round(Lanes::select(Lanes::less(zeros(), spread), slope, scale));
      offset = Rule::round((facts.sum - scale * s.code) / facts.total);
      if constexpr (Rule::kNonPositive) {
        const Mask above = Lanes::less(zeros(), offset);
        const Lanes through_zero =
            Lanes::select(Lanes::less(zeros(), s.code2), s.product / s.code2, scale);
        scale = Lanes::select(above, through_zero, scale);
        offset = Lanes::min(offset, zeros());
      }
    }
  }
  return best;
}

/// Codes `low` to `high` and a scale of either sign: the largest weight may sit at either end.
template <bool kWeighted, int kCount, class Rule>
inline Line fit_scale(const Group& g, const GroupFacts& facts, float low, float high,
                      float narrowest, const SearchSize& size) {
  Line best = worst_line();
  const int ends = low == -high ? 1 : 2;
  for (int end = 0; end < ends; ++end) {
    const Lanes widest = facts.largest * Lanes::set1(1.0F / (end == 0 ? low : high));
    for (int k = 0; k < size.intervals; ++k) {
      Lanes scale =
          Rule::round(widest * Lanes::set1(interval_at(k, size.intervals, 1.0F, narrowest)));
      for (int round = 0; round < size.rounds; ++round) {
        const Sums s = measure<kWeighted, kCount>(g, scale, zeros(), low, high);
        best.keep_better(scale, zeros(), s.error);
        scale =
            Rule::round(Lanes::select(Lanes::less(zeros(), s.code2), s.product / s.code2, scale));
      }
    }
  }
  return best;
}

}  // namespace
