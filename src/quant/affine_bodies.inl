// Batches of blocks into lanes, the search, and its results out of them. Included after
// affine_search.inl and affine_super.inl.

namespace {

/// The blocks of one batch, transposed: [weight][lane]. Lanes past the last block repeat it.
template <int kBlockWeights>
struct Batch {
  alignas(64) float w[static_cast<size_t>(kBlockWeights) * Lanes::kWidth];
  alignas(64) float importance[static_cast<size_t>(kBlockWeights) * Lanes::kWidth];
  size_t first;
  size_t count;

  void load(const FitJob& job, size_t from) {
    first = from;
    count = job.count - from < Lanes::kWidth ? job.count - from : Lanes::kWidth;
    for (size_t l = 0; l < Lanes::kWidth; ++l) {
      const size_t block = from + (l < count ? l : count - 1);
      spread(job.weights[block], w + l);
      if (job.importance != nullptr) spread(job.importance[block], importance + l);
    }
  }

 private:
  static void spread(const float* from, float* to) {
    for (size_t i = 0; i < kBlockWeights; ++i) to[i * Lanes::kWidth] = from[i];
  }
};

inline void store_integers(Lanes values, const FitJob& job, size_t first, size_t count,
                           int8_t (BlockFit::*to)[16], size_t g) {
  alignas(64) float lanes[Lanes::kWidth];
  values.store(lanes);
  for (size_t l = 0; l < count; ++l) {
    (job.fits[first + l].*to)[g] = static_cast<int8_t>(static_cast<int>(lanes[l]));
  }
}

inline void store_half_floats(Lanes values, const FitJob& job, size_t first, size_t count,
                              uint16_t BlockFit::* to) {
  alignas(64) uint16_t lanes[Lanes::kWidth < 8 ? 8 : Lanes::kWidth] = {};
  values.store_half(lanes);
  for (size_t l = 0; l < count; ++l) job.fits[first + l].*to = lanes[l];
}

/// Codes and decoded weights of `kCount` weights from `at` on.
template <int kBlockWeights, int kCount>
inline void store_codes(const FitJob& job, const Batch<kBlockWeights>& batch, int at, Lanes scale,
                        Lanes offset, float low, float high) {
  const Lanes inverse = inverse_of(scale);
  alignas(64) float lanes[Lanes::kWidth];
  for (int i = at; i < at + kCount; ++i) {
    const Lanes x = Lanes::load(batch.w + static_cast<size_t>(i) * Lanes::kWidth);
    const Lanes q = code_of(x, offset, inverse, low, high);
    if (job.fits != nullptr) {
      (q - Lanes::set1(low)).store(lanes);
      for (size_t l = 0; l < batch.count; ++l) {
        job.fits[batch.first + l].codes[i] = static_cast<uint8_t>(static_cast<int>(lanes[l]));
      }
    }
    if (job.decoded != nullptr) {
      (scale * q + offset).store(lanes);
      for (size_t l = 0; l < batch.count; ++l) job.decoded[batch.first + l][i] = lanes[l];
    }
  }
}

inline void store_simple(const FitJob& job, const Batch<32>& batch, const Line& line, float low,
                         float high) {
  if (job.fits != nullptr) {
    store_half_floats(line.scale, job, batch.first, batch.count, &BlockFit::scale);
    store_half_floats(line.offset, job, batch.first, batch.count, &BlockFit::offset);
  }
  store_codes<32, 32>(job, batch, 0, line.scale, line.offset, low, high);
}

/// Q8_0 and Q4_0: a scale of 16 bits.
template <bool kWeighted, int kLow, int kHigh>
void fit_symmetric(const FitJob& job) {
  constexpr float kNarrowest = kHigh > 100 ? 0.99F : 0.75F;
  Batch<32> batch;
  for (size_t at = 0; at < job.count; at += Lanes::kWidth) {
    batch.load(job, at);
    const Group group = {batch.w, batch.importance};
    const GroupFacts facts = facts_of<kWeighted, 32>(group);
    store_simple(
        job, batch,
        fit_scale<kWeighted, 32, HalfRule>(group, facts, kLow, kHigh, kNarrowest, job.size), kLow,
        kHigh);
  }
}

/// Q4_1: a scale and an offset of 16 bits.
template <bool kWeighted>
void fit_q4_1(const FitJob& job) {
  Batch<32> batch;
  for (size_t at = 0; at < job.count; at += Lanes::kWidth) {
    batch.load(job, at);
    const Group group = {batch.w, batch.importance};
    const GroupFacts facts = facts_of<kWeighted, 32>(group);
    Line line = fit_line<kWeighted, 32, HalfRule>(group, facts, 15, 0.8F, job.size);
    // A group of one value: the scale holds what the offset rounds away, so that code 15 is exact.
    const Mask varies = Lanes::less(facts.low, facts.high);
    const Lanes offset = to_finite_half(facts.low);
    const Lanes rest = to_finite_half((facts.low - offset) * Lanes::set1(1.0F / 15.0F));
    line.scale = Lanes::select(varies, line.scale, rest);
    line.offset = Lanes::select(varies, line.offset, offset);
    store_simple(job, batch, line, 0, 15);
  }
}

template <class T, bool kWeighted>
void fit_super(const FitJob& job) {
  Batch<256> batch;
  for (size_t at = 0; at < job.count; at += Lanes::kWidth) {
    batch.load(job, at);
    Super<T, kWeighted> super(batch.w, batch.importance);
    super.fit(job.size);
    const auto& state = super.state();
    if (job.fits != nullptr) {
      store_half_floats(state.d, job, batch.first, batch.count, &BlockFit::scale);
      store_half_floats(state.m, job, batch.first, batch.count, &BlockFit::offset);
    }
    for (size_t g = 0; g < Super<T, kWeighted>::kGroups; ++g) {
      if (job.fits != nullptr) {
        store_integers(state.scales[g], job, batch.first, batch.count, &BlockFit::scales, g);
        store_integers(state.mins[g], job, batch.first, batch.count, &BlockFit::mins, g);
      }
      const Lanes scale = super.scale_of(g);
      store_codes<256, T::kGroup>(job, batch, static_cast<int>(g) * T::kGroup, scale,
                                  super.offset_of(g, scale), T::kLowCode, T::kHighCode);
    }
  }
}

template <class T>
void fit_super_format(const FitJob& job) {
  job.importance != nullptr ? fit_super<T, true>(job) : fit_super<T, false>(job);
}
void fit_q4_1_format(const FitJob& job) {
  job.importance != nullptr ? fit_q4_1<true>(job) : fit_q4_1<false>(job);
}
template <int kLow, int kHigh>
void fit_symmetric_format(const FitJob& job) {
  job.importance != nullptr ? fit_symmetric<true, kLow, kHigh>(job)
                            : fit_symmetric<false, kLow, kHigh>(job);
}

constexpr AffineTable affine_table(const char* name) {
  return {name,
          {fit_symmetric_format<-127, 127>, fit_symmetric_format<-8, 7>, fit_q4_1_format,
           fit_super_format<TraitsQ2K>, fit_super_format<TraitsQ3K>, fit_super_format<TraitsQ4K>,
           fit_super_format<TraitsQ5K>, fit_super_format<TraitsQ6K>, fit_super_format<TraitsI3>}};
}

}  // namespace
