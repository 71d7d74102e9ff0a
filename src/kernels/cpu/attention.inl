// Attention over f16 pages, online softmax. Included after elementwise.inl.
//
// One job is one KV head of one sequence. For a tile of query rows (rows x heads that share the KV
// head: kTile at most) and each page of 64 keys: scores S = Q K^T (keys converted from f16 once per
// tile), running maximum and sum, then O = O * correction + P V. Keys beyond a row's own position,
// or before its window, get weight 0. Bytes moved: each page once per tile of kTile query vectors.
// Decode rows have a kernel of their own: attention_decode.inl.
//
// Both products work on kQueries queries times four vectors, of keys or of values, kSums sums in
// registers, so that 8 loads serve 16 multiply-adds. Keys are transposed while they are converted,
// so that lanes are keys and no sum is horizontal. A row's arithmetic does not depend on what
// shares its tile: a key that it does not see adds 0 times a value.
//
// Of the time here (SmolLM2, 2,048 tokens, Zen 5) 69 % are those multiply-adds, 20 % the weights.
//
// Lost: horizontal sums of 16 scores together (45 operations, 32 loads and stores of sums): a sixth
// slower with heads of 64 values.

namespace {

constexpr int kPage = 64;
constexpr int kTile = 32;  // query vectors a tile
constexpr int kMaxHeadDim = 512;
constexpr size_t kQueries = Vec::kSums / 4;

/// Scratch: scores of a tile, one page's converted keys or values, and running state. Rows of
/// `sums`, `queries` and `converted` follow each other without gaps: at a stride of 2 KB 64 of them
/// would share a few sets of L1.
struct AttentionScratch {
  alignas(64) float scores[kTile][kPage];
  alignas(64) float largest[kTile];
  float total[kTile];
  float correction[kTile];
  alignas(64) float sums[kTile * kMaxHeadDim];
  alignas(64) float queries[kTile * kMaxHeadDim];
  alignas(64) float converted[kPage * kMaxHeadDim];
};

size_t attention_scratch_bytes(int, int) { return sizeof(AttentionScratch); }

struct QueryRef {
  const float* q;
  float* out;
  int position;
};

/// Rows [0, count) of `dim` halves to rows of `padded` floats.
inline void convert_values(const uint16_t* rows, int count, size_t dim, size_t padded, float* out) {
  for (int k = 0; k < count; ++k, rows += dim, out += padded) {
    for (size_t i = 0; i < dim; i += Vec::kWidth) Vec::load_f16(rows + i).store(out + i);
  }
}

/// Keys [0, count) of `dim` halves to out[padded][kPage]; behind the last key that key again, to a
/// whole vector.
inline void convert_keys(const uint16_t* rows, int count, size_t dim, float* out) {
  constexpr int kWidth = static_cast<int>(Vec::kWidth);
  for (int k0 = 0; k0 < count; k0 += kWidth) {
    for (size_t i = 0; i < dim; i += Vec::kWidth) {
      Vec block[Vec::kWidth];
      for (int r = 0; r < kWidth; ++r) {
        const int k = k0 + r < count ? k0 + r : count - 1;
        block[r] = Vec::load_f16(rows + static_cast<size_t>(k) * dim + i);
      }
      Vec::transpose(block);
      for (size_t j = 0; j < Vec::kWidth; ++j) block[j].store(out + (i + j) * kPage + k0);
    }
  }
}

/// scores[t][k] = q_t . k_k for one page, kVectors vectors of keys from k0 on. Of a tile that does
/// not divide, the last query is taken again.
template <size_t kVectors>
inline void page_scores_at(AttentionScratch& s, int tile, int k0, size_t dim, size_t padded) {
  constexpr int kStep = static_cast<int>(kQueries);
  for (int t0 = 0; t0 < tile; t0 += kStep) {
    int rows[kQueries];
    Vec sum[kQueries][kVectors];
    for (int t = 0; t < kStep; ++t) {
      rows[t] = t0 + t < tile ? t0 + t : tile - 1;
      for (Vec& one : sum[t]) one = Vec::zero();
    }
    for (size_t i = 0; i < dim; ++i) {
      Vec key[kVectors];
      for (size_t j = 0; j < kVectors; ++j)
        key[j] = Vec::load(s.converted + i * kPage + static_cast<size_t>(k0) + j * Vec::kWidth);
      for (size_t t = 0; t < kQueries; ++t) {
        const Vec query = Vec::set1(s.queries[static_cast<size_t>(rows[t]) * padded + i]);
        for (size_t j = 0; j < kVectors; ++j) sum[t][j] = Vec::fma(query, key[j], sum[t][j]);
      }
    }
    for (size_t t = 0; t < kQueries; ++t) {
      for (size_t j = 0; j < kVectors; ++j)
        sum[t][j].store(s.scores[rows[t]] + static_cast<size_t>(k0) + j * Vec::kWidth);
    }
  }
}

inline void page_scores(AttentionScratch& s, int tile, int keys, size_t dim, size_t padded) {
  constexpr int kWidth = static_cast<int>(Vec::kWidth);
  int k = 0;
  for (; k + 3 * kWidth < keys; k += 4 * kWidth) page_scores_at<4>(s, tile, k, dim, padded);
  for (; k < keys; k += kWidth) page_scores_at<1>(s, tile, k, dim, padded);
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

/// sums[t] = sums[t] * correction[t] + sum_k weight[t][k] * v_k, kVectors vectors from column i on.
template <size_t kVectors>
inline void page_values_at(AttentionScratch& s, int tile, int first, int last, size_t padded,
                           size_t i) {
  constexpr int kStep = static_cast<int>(kQueries);
  for (int t0 = 0; t0 < tile; t0 += kStep) {
    int rows[kQueries];
    for (int t = 0; t < kStep; ++t) rows[t] = t0 + t < tile ? t0 + t : tile - 1;
    Vec sum[kQueries][kVectors];
    for (size_t t = 0; t < kQueries; ++t) {
      const float* from = s.sums + static_cast<size_t>(rows[t]) * padded + i;
      for (size_t j = 0; j < kVectors; ++j)
        sum[t][j] = Vec::load(from + j * Vec::kWidth) * Vec::set1(s.correction[rows[t]]);
    }
    const float* values = s.converted + static_cast<size_t>(first) * padded + i;
    for (int k = first; k <= last; ++k, values += padded) {
      Vec value[kVectors];
      for (size_t j = 0; j < kVectors; ++j) value[j] = Vec::load(values + j * Vec::kWidth);
      for (size_t t = 0; t < kQueries; ++t) {
        const Vec weight = Vec::set1(s.scores[rows[t]][k]);
        for (size_t j = 0; j < kVectors; ++j) sum[t][j] = Vec::fma(weight, value[j], sum[t][j]);
      }
    }
    for (size_t t = 0; t < kQueries; ++t) {
      float* to = s.sums + static_cast<size_t>(rows[t]) * padded + i;
      for (size_t j = 0; j < kVectors; ++j) sum[t][j].store(to + j * Vec::kWidth);
    }
  }
}

inline void page_values(AttentionScratch& s, int tile, int first, int last, size_t padded) {
  size_t i = 0;
  for (; i + 4 * Vec::kWidth <= padded; i += 4 * Vec::kWidth)
    page_values_at<4>(s, tile, first, last, padded, i);
  for (; i < padded; i += Vec::kWidth) page_values_at<1>(s, tile, first, last, padded, i);
}

/// Keys [first, last] of a page that a query sees; none: last < first.
struct KeyRange {
  int first;
  int last;
};
inline KeyRange visible_keys(const AttentionJob& job, int position, int start) {
  const int last = position - start < kPage - 1 ? position - start : kPage - 1;
  const int first = job.window > 0 ? position - job.window + 1 - start : 0;
  return {first > 0 ? first : 0, last};
}

/// The weights of one page, 0 for keys that a query does not see; returns the keys that any sees.
inline KeyRange page_weights(AttentionScratch& s, const AttentionJob& job, const QueryRef* refs,
                             int tile, int start) {
  constexpr int kWidth = static_cast<int>(Vec::kWidth);
  KeyRange all = {kPage, -1};
  for (int t = 0; t < tile; ++t) {
    const KeyRange keys = visible_keys(job, refs[t].position, start);
    int begin = 0;
    int end = 0;
    s.correction[t] = 1;
    if (keys.first <= keys.last) {
      s.correction[t] =
          page_softmax(s.scores[t], keys.first, keys.last, job.softcap, s.largest[t], s.total[t]);
      begin = keys.first / kWidth * kWidth;
      end = (keys.last / kWidth + 1) * kWidth;
      if (keys.first < all.first) all.first = keys.first;
      if (keys.last > all.last) all.last = keys.last;
    }
    for (int k = 0; k < begin; ++k) s.scores[t][k] = 0;
    for (int k = end; k < kPage; ++k) s.scores[t][k] = 0;
  }
  return all;
}

void attend_tile(const AttentionJob& job, const QueryRef* refs, int tile) {
  auto& s = *static_cast<AttentionScratch*>(job.scratch);
  const auto dim = static_cast<size_t>(job.head_dim);
  const size_t padded = (dim + Vec::kWidth - 1) / Vec::kWidth * Vec::kWidth;
  int lowest = refs[0].position;
  int highest = refs[0].position;
  for (int t = 0; t < tile; ++t) {
    const size_t row = static_cast<size_t>(t) * padded;
    for (size_t i = 0; i < padded; ++i) {
      s.queries[row + i] = i < dim ? refs[t].q[i] * job.scale : 0.0F;
      s.sums[row + i] = 0;
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
    convert_keys(k_rows, keys, dim, s.converted);
    page_scores(s, tile, keys, dim, padded);
    const KeyRange seen = page_weights(s, job, refs, tile, start);
    if (seen.first > seen.last) continue;
    convert_values(k_rows + static_cast<size_t>(kPage) * dim, keys, dim, padded, s.converted);
    page_values(s, tile, seen.first, seen.last, padded);
  }
  for (int t = 0; t < tile; ++t) {
    const float inverse = 1.0F / s.total[t];
    for (size_t i = 0; i < dim; ++i)
      refs[t].out[i] = s.sums[static_cast<size_t>(t) * padded + i] * inverse;
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
