// Attention over f16 pages, online softmax. Included after elementwise.inl.
//
// One job is one KV head of one sequence. For a tile of query rows (rows x heads that share the KV
// head: kTile at most) and each page of 64 keys: scores S = Q K^T (keys converted from f16 once per
// tile), running maximum and sum, then O = O * correction + P V. Keys beyond a row's own position,
// or before its window, get weight 0. Bytes moved: each page once per tile of kTile query vectors.
// Decode rows have a kernel of their own: attention_decode.inl.

namespace {

constexpr int kPage = 64;
constexpr int kTile = 16;  // query vectors a tile
constexpr int kMaxHeadDim = 512;

/// Scratch: scores of a tile, one converted key or value row block, and running state.
struct AttentionScratch {
  float scores[kTile][kPage];
  float largest[kTile];
  float total[kTile];
  float sums[kTile][kMaxHeadDim];
  float queries[kTile][kMaxHeadDim];
  float converted[kPage][kMaxHeadDim];
};

size_t attention_scratch_bytes(int, int) { return sizeof(AttentionScratch); }

struct QueryRef {
  const float* q;
  float* out;
  int position;
};

inline void convert_page(const uint16_t* rows, int count, size_t dim, float (*out)[kMaxHeadDim]) {
  for (int k = 0; k < count; ++k) {
    for (size_t i = 0; i < dim; i += Vec::kWidth)
      Vec::load_f16(rows + static_cast<size_t>(k) * dim + i).store(out[k] + i);
  }
}

/// scores[t][k] = q_t . k_k for one page; four keys share each load of q.
inline void page_scores(AttentionScratch& s, int tile, int keys, size_t dim) {
  for (int t = 0; t < tile; ++t) {
    const float* q = s.queries[t];
    int k = 0;
    for (; k + 4 <= keys; k += 4) {
      Vec a = Vec::zero();
      Vec b = Vec::zero();
      Vec c = Vec::zero();
      Vec d = Vec::zero();
      for (size_t i = 0; i < dim; i += Vec::kWidth) {
        const Vec x = Vec::load(q + i);
        a = Vec::fma(x, Vec::load(s.converted[k] + i), a);
        b = Vec::fma(x, Vec::load(s.converted[k + 1] + i), b);
        c = Vec::fma(x, Vec::load(s.converted[k + 2] + i), c);
        d = Vec::fma(x, Vec::load(s.converted[k + 3] + i), d);
      }
      s.scores[t][k] = a.sum();
      s.scores[t][k + 1] = b.sum();
      s.scores[t][k + 2] = c.sum();
      s.scores[t][k + 3] = d.sum();
    }
    for (; k < keys; ++k) {
      Vec a = Vec::zero();
      for (size_t i = 0; i < dim; i += Vec::kWidth)
        a = Vec::fma(Vec::load(q + i), Vec::load(s.converted[k] + i), a);
      s.scores[t][k] = a.sum();
    }
  }
}

/// Turns the scores of keys [first, last] of a page into weights and takes them into the running
/// maximum and sum; returns the factor for what was summed before. Other entries become anything.
inline float page_softmax(float* row, int first, int last, float cap, float& running_largest,
                          float& running_total) {
  constexpr float kMasked = -3.0e38F;
  constexpr int kWidth = static_cast<int>(Vec::kWidth);
  const int begin = first / kWidth * kWidth;
  const int end = (last / kWidth + 1) * kWidth;
  if (cap > 0) {
    for (int k = begin; k < end; k += kWidth)
      (Vec::set1(cap) * tanh_vec(Vec::load(row + k) / Vec::set1(cap))).store(row + k);
  }
  for (int k = begin; k < first; ++k) row[k] = kMasked;
  for (int k = last + 1; k < end; ++k) row[k] = kMasked;
  Vec top = Vec::load(row + begin);
  for (int k = begin + kWidth; k < end; k += kWidth) top = Vec::max(top, Vec::load(row + k));
  const float page_largest = top.largest();
  const float largest = page_largest > running_largest ? page_largest : running_largest;
  Vec total = Vec::zero();
  const Vec shift = Vec::set1(largest);
  for (int k = begin; k < end; k += kWidth) {
    const Vec weight = exp_vec(Vec::load(row + k) - shift);
    weight.store(row + k);
    total = total + weight;
  }
  float correction = 1;
  if (largest > running_largest) {
    float before[Vec::kWidth];
    exp_vec(Vec::set1(running_largest - largest)).store(before);
    correction = running_total > 0 ? before[0] : 0.0F;
  }
  running_largest = largest;
  running_total = running_total * correction + total.sum();
  return correction;
}

/// sums[t] = sums[t] * correction + sum_k weight[k] * v_k.
inline void page_values(AttentionScratch& s, int t, int first, int last, size_t dim,
                        float correction) {
  const float* weights = s.scores[t];
  constexpr size_t kStep = 4 * Vec::kWidth;
  size_t i = 0;
  for (; i + kStep <= dim; i += kStep) {
    Vec sum[4];
    for (size_t j = 0; j < 4; ++j)
      sum[j] = Vec::load(s.sums[t] + i + j * Vec::kWidth) * Vec::set1(correction);
    for (int k = first; k <= last; ++k) {
      const Vec w = Vec::set1(weights[k]);
      for (size_t j = 0; j < 4; ++j)
        sum[j] = Vec::fma(w, Vec::load(s.converted[k] + i + j * Vec::kWidth), sum[j]);
    }
    for (size_t j = 0; j < 4; ++j) sum[j].store(s.sums[t] + i + j * Vec::kWidth);
  }
  for (; i < dim; i += Vec::kWidth) {
    Vec sum = Vec::load(s.sums[t] + i) * Vec::set1(correction);
    for (int k = first; k <= last; ++k)
      sum = Vec::fma(Vec::set1(weights[k]), Vec::load(s.converted[k] + i), sum);
    sum.store(s.sums[t] + i);
  }
}

void attend_tile(const AttentionJob& job, const QueryRef* refs, int tile) {
  auto& s = *static_cast<AttentionScratch*>(job.scratch);
  const auto dim = static_cast<size_t>(job.head_dim);
  const size_t padded = (dim + Vec::kWidth - 1) / Vec::kWidth * Vec::kWidth;
  int lowest = refs[0].position;
  int highest = refs[0].position;
  for (int t = 0; t < tile; ++t) {
    for (size_t i = 0; i < padded; ++i) {
      s.queries[t][i] = i < dim ? refs[t].q[i] * job.scale : 0.0F;
      s.sums[t][i] = 0;
    }
    s.largest[t] = -3.0e38F;
    s.total[t] = 0;
    if (refs[t].position < lowest) lowest = refs[t].position;
    if (refs[t].position > highest) highest = refs[t].position;
  }
  const int begin = job.window > 0 && lowest - job.window + 1 > 0 ? lowest - job.window + 1 : 0;
  for (int page = begin / kPage; page <= highest / kPage; ++page) {
    const int start = page * kPage;
    const int keys = highest - start + 1 < kPage ? highest - start + 1 : kPage;
    const uint8_t* base = job.kv + static_cast<size_t>(job.pages[page]) * job.page_bytes;
    const auto* k_rows = reinterpret_cast<const uint16_t*>(base);
    convert_page(k_rows, keys, dim, s.converted);
    page_scores(s, tile, keys, dim);
    convert_page(k_rows + static_cast<size_t>(kPage) * dim, keys, dim, s.converted);
    for (int t = 0; t < tile; ++t) {
      const int last = refs[t].position - start < kPage - 1 ? refs[t].position - start : kPage - 1;
      const int window_first = job.window > 0 ? refs[t].position - job.window + 1 - start : 0;
      const int first = window_first > 0 ? window_first : 0;
      if (last < 0 || first > last) continue;
      const float correction =
          page_softmax(s.scores[t], first, last, job.softcap, s.largest[t], s.total[t]);
      page_values(s, t, first, last, dim, correction);
    }
  }
  for (int t = 0; t < tile; ++t) {
    const float inverse = 1.0F / s.total[t];
    for (size_t i = 0; i < dim; ++i) refs[t].out[i] = s.sums[t][i] * inverse;
  }
}

void attention_tiles(const AttentionJob& job) {
  QueryRef refs[kTile];
  int filled = 0;
  for (size_t r = 0; r < job.row_count; ++r) {
    for (int h = 0; h < job.heads; ++h) {
      const size_t at = static_cast<size_t>(h) * static_cast<size_t>(job.head_dim);
      refs[filled++] = {job.q + r * job.q_stride + at, job.out + r * job.out_stride + at,
                        job.last_key >= 0 ? job.last_key : job.position + static_cast<int>(r)};
      if (filled == kTile) {
        attend_tile(job, refs, filled);
        filled = 0;
      }
    }
  }
  if (filled > 0) attend_tile(job, refs, filled);
}

}  // namespace
