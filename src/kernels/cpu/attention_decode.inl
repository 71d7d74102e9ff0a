// Attention of one decode row over f16 pages, online softmax. Included after attention.inl.
//
// One job is one KV head and a range of pages; all query heads that share the KV head are served
// together, up to kHeadTile of them, so that K and V are read from memory once and converted in
// registers. Scores: each key is multiplied with all heads, and the sums of kWidth keys are added
// up across lanes together (45 shuffles and adds for 16 x 16 with AVX-512; one by one it is 9 for
// each score). Values: kSums accumulators, heads x vectors. While K is read the same rows of V are
// fetched, while V is read the next page's K.
//
// Cost of a page with 6 heads of 128 and AVX-512: 64 keys x (8 conversions, 48 FMA, 18 for sums)
// and 64 x (16 conversions, 48 FMA): 9,100 vector operations for 32 KB, two a cycle.
//
// Lost: a page converted to f32 first, as the kernel for prompts does: 32 KB more of L1 written and
// read for 6 heads, and rows 2 KB apart fall into the same sets.

namespace {

constexpr size_t kHeadTile = 8;

struct DecodeScratch {
  alignas(64) float parts[kHeadTile][Vec::kWidth * Vec::kWidth];  // of kWidth keys
  alignas(64) float queries[kHeadTile][kMaxHeadDim];              // times scale
  alignas(64) float scores[kHeadTile][kPage];
  alignas(64) float sums[kHeadTile][kMaxHeadDim];
  float largest[kHeadTile];
  float total[kHeadTile];
};
static_assert(sizeof(DecodeScratch) <= sizeof(AttentionScratch));

/// Fetches the first `bytes` at p.
inline void fetch(const void* p, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(p) + i);
}

/// scores[h][k] = q_h . k_k for `keys` keys.
template <size_t kHeads>
inline void decode_scores(DecodeScratch& s, const uint16_t* rows, int keys, size_t dim) {
  constexpr int kWidth = static_cast<int>(Vec::kWidth);
  const uint16_t* values = rows + static_cast<size_t>(kPage) * dim;
  for (int k0 = 0; k0 < keys; k0 += kWidth) {
    const int count = keys - k0 < kWidth ? keys - k0 : kWidth;
    for (int k = 0; k < count; ++k) {
      const size_t at = static_cast<size_t>(k0 + k) * dim;
      fetch(values + at, 2 * dim);
      Vec sum[kHeads];
      for (size_t h = 0; h < kHeads; ++h) sum[h] = Vec::zero();
      for (size_t i = 0; i < dim; i += Vec::kWidth) {
        const Vec x = Vec::load_f16(rows + at + i);
        for (size_t h = 0; h < kHeads; ++h)
          sum[h] = Vec::fma(Vec::load(s.queries[h] + i), x, sum[h]);
      }
      for (size_t h = 0; h < kHeads; ++h)
        sum[h].store(s.parts[h] + static_cast<size_t>(k) * Vec::kWidth);
    }
    for (size_t h = 0; h < kHeads; ++h) Vec::sum_rows(s.parts[h]).store(s.scores[h] + k0);
  }
}

/// sums[h][i, i + kVecs * kWidth) = those * correction[h] + sum_k weight[h][k] * v_k.
template <size_t kHeads, size_t kVecs>
inline void decode_columns(DecodeScratch& s, const uint16_t* rows, int first, int last, size_t dim,
                           const float* correction, size_t i, const uint16_t* next) {
  Vec sum[kHeads][kVecs];
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t j = 0; j < kVecs; ++j) {
      sum[h][j] = Vec::load(s.sums[h] + i + j * Vec::kWidth) * Vec::set1(correction[h]);
    }
  }
  for (int k = first; k <= last; ++k) {
    const size_t at = static_cast<size_t>(k) * dim + i;
    fetch(next + at, 2 * kVecs * Vec::kWidth);
    Vec value[kVecs];
    for (size_t j = 0; j < kVecs; ++j) value[j] = Vec::load_f16(rows + at + j * Vec::kWidth);
    for (size_t h = 0; h < kHeads; ++h) {
      const Vec weight = Vec::set1(s.scores[h][k]);
      for (size_t j = 0; j < kVecs; ++j) sum[h][j] = Vec::fma(weight, value[j], sum[h][j]);
    }
  }
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t j = 0; j < kVecs; ++j) sum[h][j].store(s.sums[h] + i + j * Vec::kWidth);
  }
}

template <size_t kHeads>
inline void decode_values(DecodeScratch& s, const uint16_t* rows, int first, int last, size_t dim,
                          const float* correction, const uint16_t* next) {
  constexpr size_t kFit = Vec::kSums / kHeads;
  constexpr size_t kVecs = kFit >= 4 ? 4 : kFit >= 2 ? 2 : 1;
  constexpr size_t kStep = kVecs * Vec::kWidth;
  size_t i = 0;
  for (; i + kStep <= dim; i += kStep)
    decode_columns<kHeads, kVecs>(s, rows, first, last, dim, correction, i, next);
  for (; i < dim; i += Vec::kWidth)
    decode_columns<kHeads, 1>(s, rows, first, last, dim, correction, i, next);
}

/// Heads [head, head + kHeads) of the job.
template <size_t kHeads>
void decode_heads(const AttentionJob& job, size_t head) {
  auto& s = *static_cast<DecodeScratch*>(job.scratch);
  const auto dim = static_cast<size_t>(job.head_dim);
  const size_t padded = (dim + Vec::kWidth - 1) / Vec::kWidth * Vec::kWidth;
  for (size_t h = 0; h < kHeads; ++h) {
    const float* q = job.q + (head + h) * dim;
    for (size_t i = 0; i < padded; ++i) {
      s.queries[h][i] = i < dim ? q[i] * job.scale : 0.0F;
      s.sums[h][i] = 0;
    }
    s.largest[h] = -3.0e38F;
    s.total[h] = 0;
  }
  const int lowest = job.window > 0 ? job.position - job.window + 1 : 0;
  const auto page_rows = [&](int page) {
    return reinterpret_cast<const uint16_t*>(job.kv +
                                             static_cast<size_t>(job.pages[page]) * job.page_bytes);
  };
  for (int page = job.page_begin; page < job.page_end; ++page) {
    const int start = page * kPage;
    const int last = job.position - start < kPage - 1 ? job.position - start : kPage - 1;
    const int first = lowest - start > 0 ? lowest - start : 0;
    if (first > last) continue;
    const uint16_t* rows = page_rows(page);
    const uint16_t* next = page + 1 < job.page_end ? page_rows(page + 1) : rows;
    decode_scores<kHeads>(s, rows, last + 1, dim);
    float correction[kHeads];
    for (size_t h = 0; h < kHeads; ++h) {
      correction[h] = page_softmax(s.scores[h], first, last, job.softcap, s.largest[h], s.total[h]);
    }
    decode_values<kHeads>(s, rows + static_cast<size_t>(kPage) * dim, first, last, dim, correction,
                          next);
  }
  for (size_t h = 0; h < kHeads; ++h) {
    float* out = job.out + (head + h) * dim;
    const float factor = job.state == nullptr ? 1.0F / s.total[h] : 1.0F;
    for (size_t i = 0; i < dim; ++i) out[i] = s.sums[h][i] * factor;
    if (job.state == nullptr) continue;
    job.state[2 * (head + h)] = s.largest[h];
    job.state[2 * (head + h) + 1] = s.total[h];
  }
}

void attention_decode(const AttentionJob& job) {
  const auto heads = static_cast<size_t>(job.heads);
  for (size_t head = 0; head < heads; head += kHeadTile) {
    switch (heads - head < kHeadTile ? heads - head : kHeadTile) {
      case 1:
        decode_heads<1>(job, head);
        break;
      case 2:
        decode_heads<2>(job, head);
        break;
      case 3:
        decode_heads<3>(job, head);
        break;
      case 4:
        decode_heads<4>(job, head);
        break;
      case 5:
        decode_heads<5>(job, head);
        break;
      case 6:
        decode_heads<6>(job, head);
        break;
      case 7:
        decode_heads<7>(job, head);
        break;
      default:
        decode_heads<kHeadTile>(job, head);
        break;
    }
  }
}

}  // namespace
