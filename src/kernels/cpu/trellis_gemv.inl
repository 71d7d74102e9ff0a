// Products with trellis codes, on packed codes, over TrellisLanes: the lanes of a vector are tiles
// of a row block, so that one load brings dword d of all of them and no sum is ever horizontal.
//
// A window of 16-bit lanes holds the states of columns c and c + 8. Two multiplications (mod 2^16)
// give the four bytes whose sum, less a constant, is the weight (t3, t4) or, two and two, two
// weights (t2); the bytes are the operand of an integer dot product with the activations of c and c
// + 8, and the constant times the sum of all activations is where the sum starts. So decoding and
// multiplying 64 weights of t2 takes with AVX-512 1 shift, 2 products, 2 dot products; 32 of t3 or
// t4 as much.
//
// A unit is the least number of dwords that hold whole rows: 1 dword (t2), 2 (t4), 3 with two rows
// (t3). As many units at once as give kAccumulators sums: the next window of the same sum must wait
// for the dot product before it. A block of 8 tile columns (8 to 16 KB) passes from L1 once for
// each group of units; its lines are fetched while the block before is used. Up to 8 activation
// rows share what is decoded. The sum of a row is formed in the same order whatever the number of
// rows.

namespace {

template <int first, int end, class Function>
__attribute__((always_inline)) inline void for_each_index(const Function& function) {
  if constexpr (first < end) {
    function(TrellisIndex<first>{});
    for_each_index<first + 1, end>(function);
  }
}

/// visit(row of the unit, window, c): with the window of columns c (and c + 1, t2), + 8.
struct LanesT2 {
  static constexpr int kDwords = 16;
  static constexpr int kUnitDwords = 1;
  static constexpr int kUnitRows = 1;
  static constexpr bool kHasPairs = true;
  template <class Visit>
  __attribute__((always_inline)) static TrellisLanes unit(const uint8_t* p, size_t,
                                                          TrellisLanes previous,
                                                          const Visit& visit) {
    const TrellisLanes current = TrellisLanes::load(p);
    for_each_index<0, 4>([&](auto j) __attribute__((always_inline)) {
      constexpr int shift = 20 + 4 * decltype(j)::value;
      visit(TrellisIndex<0>{}, TrellisLanes::template shifted<shift>(previous, current),
            TrellisIndex<2 * decltype(j)::value>{});
    });
    return current;
  }
};
struct LanesT3 {
  static constexpr int kDwords = 24;
  static constexpr int kUnitDwords = 3;
  static constexpr int kUnitRows = 2;
  static constexpr bool kHasPairs = false;
  template <class Visit>
  __attribute__((always_inline)) static TrellisLanes unit(const uint8_t* p, size_t stride,
                                                          TrellisLanes previous,
                                                          const Visit& visit) {
    const TrellisLanes w0 = TrellisLanes::load(p);
    const TrellisLanes w1 = TrellisLanes::load(p + stride);
    const TrellisLanes w2 = TrellisLanes::load(p + 2 * stride);
    const TrellisLanes chain[5] = {TrellisLanes::template shifted<16>(previous, w2), w0, w1, w2,
                                   w2};
    for_each_index<0, 16>([&](auto index) __attribute__((always_inline)) {
      constexpr int i = decltype(index)::value;
      constexpr int bit = 3 * i + 3;
      visit(TrellisIndex<i / 8>{},
            TrellisLanes::template shifted_halves<bit % 16>(chain[bit / 16], chain[bit / 16 + 1]),
            TrellisIndex<i % 8>{});
    });
    return w2;
  }
};
struct LanesT4 {
  static constexpr int kDwords = 32;
  static constexpr int kUnitDwords = 2;
  static constexpr int kUnitRows = 1;
  static constexpr bool kHasPairs = false;
  template <class Visit>
  __attribute__((always_inline)) static TrellisLanes unit(const uint8_t* p, size_t stride,
                                                          TrellisLanes previous,
                                                          const Visit& visit) {
    const TrellisLanes w0 = TrellisLanes::load(p);
    const TrellisLanes w1 = TrellisLanes::load(p + stride);
    for_each_index<0, 8>([&](auto index) __attribute__((always_inline)) {
      constexpr int c = decltype(index)::value;
      constexpr int shift = 20 + 4 * (c % 4);
      visit(TrellisIndex<0>{},
            c < 4 ? TrellisLanes::template shifted<shift>(previous, w0)
                  : TrellisLanes::template shifted<shift>(w0, w1),
            TrellisIndex<c>{});
    });
    return w1;
  }
};

/// Activation rows [t0, t0 + kRows) with tiles [tile, tile + kTiles), one block of columns.
template <class Code, int kRows>
__attribute__((always_inline)) inline void trellis_block(const TrellisBlock& w,
                                                         const TrellisRows& x, size_t t0,
                                                         size_t tile, size_t column_block,
                                                         float* sums) {
  constexpr int kSums = Code::kUnitRows * kRows;
  constexpr int kUnits =
      TrellisLanes::kAccumulators > kSums ? TrellisLanes::kAccumulators / kSums : 1;
  constexpr int kAllUnits = Code::kDwords / Code::kUnitDwords;
  const size_t stride = 4 * w.tiles;
  const size_t line_bytes = Code::kDwords * stride;
  const size_t first = 8 * column_block;
  const size_t end = w.tile_columns < first + 8 ? w.tile_columns : first + 8;
  const TrellisLanes c0 = TrellisLanes::set16(w.c0);
  const TrellisLanes c1 = TrellisLanes::set16(w.c1);
  // Few rows leave registers for two sums each, which halves the chain of dot products.
  constexpr int kParts = TrellisLanes::kHasLongChains && kRows <= 2 ? 2 : 1;
  for (int group = 0; group < kAllUnits; group += kUnits) {
    TrellisLanes sum[kUnits * Code::kUnitRows][kRows][kParts];
    for (int t = 0; t < kRows; ++t) {
      const size_t at = (t0 + static_cast<size_t>(t)) * x.block_stride + column_block;
      const TrellisLanes start = TrellisLanes::start(x.sums[at], Code::kHasPairs ? 1 : 2);
      for (auto& row : sum) {
        row[t][kParts - 1] = TrellisLanes::set16(0);
        row[t][0] = start;
      }
    }
    const int before = (group * Code::kUnitDwords + Code::kDwords - 1) % Code::kDwords;
    for (size_t column = first; column < end; ++column) {
      const uint8_t* lines = w.data + column * line_bytes + 4 * tile;
      const uint8_t* codes = x.codes + t0 * x.code_stride + 32 * column;
      TrellisLanes previous = TrellisLanes::load(lines + static_cast<size_t>(before) * stride);
      for_each_index<0, kUnits>([&](auto u) __attribute__((always_inline)) {
        constexpr int unit = decltype(u)::value;
        const uint8_t* p = lines + static_cast<size_t>((group + unit) * Code::kUnitDwords) * stride;
        for (int d = 0; d < Code::kUnitDwords; ++d)
          __builtin_prefetch(p + 8 * line_bytes + static_cast<size_t>(d) * stride);
        previous = Code::unit(
            p, stride, previous,
            [&](auto row, TrellisLanes window, auto c) __attribute__((always_inline)) {
              constexpr int r = unit * Code::kUnitRows + decltype(row)::value;
              const uint8_t* from = codes + 4 * decltype(c)::value;
              const TrellisLanes h0 = TrellisLanes::multiply(window, c0);
              const TrellisLanes h1 = TrellisLanes::multiply(window, c1);
              if constexpr (Code::kHasPairs) {
                const auto left = TrellisLanes::operand(h0);
                const auto right = TrellisLanes::operand(h1);
                for (size_t t = 0; t < kRows; ++t) {
                  const uint8_t* xt = from + t * x.code_stride;
                  TrellisLanes* parts = sum[r][t];
                  parts[0] = TrellisLanes::dot(parts[0], left, xt);
                  parts[kParts - 1] = TrellisLanes::dot(parts[kParts - 1], right, xt + 4);
                }
              } else {
                const auto both = TrellisLanes::operand(h0, h1);
                for (size_t t = 0; t < kRows; ++t)
                  TrellisLanes::dot(sum[r][t][0], sum[r][t][kParts - 1], both,
                                    from + t * x.code_stride);
              }
            });
      });
    }
    for (int r = 0; r < kUnits * Code::kUnitRows; ++r) {
      for (size_t t = 0; t < kRows; ++t) {
        const auto row = static_cast<size_t>(group * Code::kUnitRows + r);
        const TrellisLanes* parts = sum[r][t];
        const TrellisLanes whole =
            kParts == 1 ? parts[0] : TrellisLanes::sum(parts[0], parts[kParts - 1]);
        TrellisLanes::add(whole, x.scales[(t0 + t) * x.block_stride + column_block],
                          sums + t * kTrellisRows + 16 * row + tile);
      }
    }
  }
}

template <class Code, int kRows>
void trellis_rows(const TrellisBlock& w, const TrellisRows& x, size_t t0, float* sums) {
  const size_t blocks = (w.tile_columns + 7) / 8;
  for (size_t block = 0; block < blocks; ++block) {
    for (size_t tile = 0; tile < w.tiles; tile += TrellisLanes::kTiles)
      trellis_block<Code, kRows>(w, x, t0, tile, block, sums);
  }
}

template <class Code>
void trellis_gemv(const TrellisBlock& w, const TrellisRows& x, size_t first, size_t count,
                  float* sums) {
  __builtin_memset(sums, 0, count * kTrellisRows * sizeof(float));
  const size_t end = first + count;
  const auto run = [&](auto rows) {
    constexpr int n = decltype(rows)::value;
    for (; first + n <= end; first += n, sums += n * kTrellisRows)
      trellis_rows<Code, n>(w, x, first, sums);
  };
  run(TrellisIndex<8>{});
  run(TrellisIndex<4>{});
  run(TrellisIndex<2>{});
  run(TrellisIndex<1>{});
}

constexpr TrellisKernels kTrellisGemv = {
    trellis_rotate,
    trellis_quantize<TrellisLanes>,
    {trellis_gemv<LanesT2>, trellis_gemv<LanesT3>, trellis_gemv<LanesT4>},
    {},
    nullptr,
    trellis_finish,
    {}};

}  // namespace
