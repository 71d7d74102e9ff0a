// Decode of several sequences (or of guessed tokens) for AVX-512: packed rows against 2 to 32
// activation rows. On AMX machines, too: int8 tiles, whose results are whole groups that leave the
// tile after 8 cycles of work to be scaled, were slower for every type and number of rows
// (docs/adr/0028-one-order-of-decode-sums.md).
//
// 16 weight rows become a panel (panel_avx512.inl) once, 512 columns at a time, that lies in L1
// while blocks of 8 activation rows are multiplied with it: per 4 columns one line of the panel and
// 8 vpdpbusd with an embedded broadcast, so 16 products of 4 weights an instruction and none
// for horizontal sums, where the kernel for one row needs 11 shuffles and adds for 4 vpdpbusd. Each
// group's sums are added in the order that blocks_avx512.inl defines (sum g % 16 or g % 8, then
// neighbours at distance 2, 1, 4 and 8), so that every row has the bits of the one-row kernel.
//
// A Zen 4 multiplies 64 bytes a cycle and stores them in two and a half: what multiplies bounds the
// products there, and stores the panel. Hence nibbles stay in pairs where a mask takes one out
// while other ports multiply (Q4_K, Q4_0, Q4_1), biases are what integer sums begin with, offsets
// that nobody reads are not stored, and Q4_K's next panel is made between the products
// (few_pieces_avx512.inl). Nanoseconds for 256 columns of 16 rows with 8 activation rows, before
// and now: Q4_K 290, 240; Q6_K 377, 335; Q4_1 379, 343; Q4_0 443, 333; Q5_0 461, 385; Q8_0 440,
// 421. With 4: Q4_K 255, 158; Q4_1 242, 214; Q4_0 307, 201; Q5_0 355, 260. Odd numbers of rows have
// kernels of their own. A Xeon (Sapphire Rapids), whole panels and separate broadcasts to what is
// here: Q4_K 279 to 246, Q6_K 352 to 315; with 4 rows Q4_K 203 to 182, Q6_K 233 to 237.
//
// Where the time goes, Zen 5, cycles for 256 columns of 16 rows of Q4_K with 8 activation rows: 376
// for the products (the ports that multiply are taken for 352, those that load for 376), 134 to 215
// for the panel, of which 80 are stores: one of 64 bytes keeps both multiplying ports from a
// cycle's work. (Not measured again since pieces are made between the products.)
//
// Lost: activation rows as lanes (16 bytes with four codes of each of four groups, unpacked in
// registers or by a phase before, broadcast to the lanes of four activation rows, no panel and no
// horizontal sum; with 8 rows 145 to 170 ns for 141, although the same instructions without their
// dependencies take 12.3 cycles for what is 13.7 here). Two panels
// that share the broadcasts for 4 rows at once (520 for 590 cycles from L2, with 4 rows 345 for
// 411; from memory nothing is left of it: 122 tokens a second of 4 answers of the 1.5B for 126).
// No panel, but lines of 8 rows and 8 columns unpacked in registers (Q4_1 626 for 779, Q4_K 622,
// Q6_K 1,125 for 852). Lines of what comes next into L1.
//
// From memory a unit of Q4_K takes 713 cycles (1,750 without the fetched lines; 667 is what the
// fetching itself leaves, since broadcasts have taken the ports that load). Lost: every second
// line, loads instead of prefetches, other distances and caches, a line with each group.

namespace {

constexpr size_t kFewRows = 8;       // activation rows of a block
constexpr size_t kFewBlocks = 4;     // blocks that a call takes at most
constexpr size_t kFewColumns = 512;  // 8 KB of panel, 4 KB of activations, 8 KB of sums

struct FewPanel {
  alignas(64) uint8_t codes[kFewColumns * kPanelRows];
  alignas(64) float scale[kFewColumns / 16][16];
  alignas(64) float offset[kFewColumns / 16][16];
};
struct FewScratch {
  FewPanel panels[2];  // the second: where pieces of the next one are made
  alignas(64) float sums[kFewBlocks][16][kFewRows][16];  // [block][group % 16][row][weight row]
  alignas(64) float extra[kFewBlocks * kFewRows][16];    // [row][weight row]: the second plane
  size_t extra_done[kFewBlocks * kFewRows];              // its groups that are in these sums
};
size_t few_scratch_bytes() { return sizeof(FewScratch) + 64; }

/// What activations' sums depend on: the weights' group, and the constant in their codes (0: an
/// offset is stored with each group).
struct FewForm {
  size_t group;
  int bias;
};
constexpr FewForm kForms[] = {{16, 0}, {16, 4}, {16, 32}, {32, 0}, {32, 8}, {32, 16}, {32, 128}};
static_assert(sizeof kForms / sizeof kForms[0] == kFewForms);

/// One block of activation rows: codes [length / 4][8 rows][4], scales [groups][8 rows], and for
/// each group of each row what begins its sum: floats, scale * sum of codes, for stored offsets, or
/// -bias * sum of codes as integers.
inline size_t few_codes_bytes(size_t length) { return (length + 63) / 64 * 64 * kFewRows; }
inline size_t few_block_bytes(size_t length, size_t group) {
  return few_codes_bytes(length) + length / group * 2 * kFewRows * sizeof(float);
}
size_t few_packed_bytes(size_t length, size_t count, size_t form) {
  return (count + kFewRows - 1) / kFewRows * few_block_bytes(length, kForms[form].group);
}

/// Activation rows [8 * block, 8 * block + 8) of x into their place; rows that are not there are 0.
void few_pack(const QuantRows& x, size_t length, size_t form, size_t block, void* packed) {
  const auto [group, bias] = kForms[form];
  uint8_t* out = static_cast<uint8_t*>(packed) + block * few_block_bytes(length, group);
  auto* scales = reinterpret_cast<float*>(out + few_codes_bytes(length));
  float* sums = scales + length / group * kFewRows;
  auto* totals = reinterpret_cast<int32_t*>(sums);
  const size_t first = block * kFewRows;
  const size_t count = x.count - first < kFewRows ? x.count - first : kFewRows;
  for (size_t k = 0; k < length; k += 64) {
    __m512i lines[16];
    for (size_t t = 0; t < 16; ++t) {
      lines[t] =
          t < count ? load512(x.codes + (first + t) * x.code_stride + k) : _mm512_setzero_si512();
    }
    transpose16(lines);
    for (size_t i = 0; i < 16; ++i, out += 32)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(lines[i]));
  }
  for (size_t g = 0; g < length / group; ++g) {
    for (size_t t = 0; t < kFewRows; ++t) {
      const bool is_there = t < count;
      const size_t at = (first + t) * x.group_stride;
      scales[kFewRows * g + t] = is_there ? x.scales[at + g * group / 32] : 0;
      if (bias == 0) {
        sums[kFewRows * g + t] = !is_there     ? 0
                                 : group == 32 ? x.sums32[at + g]
                                               : x.sums16[2 * at + g];
      } else {
        totals[kFewRows * g + t] = !is_there     ? 0
                                   : group == 32 ? bias * x.minus32[at + g]
                                                 : bias * x.minus16[2 * at + g];
      }
    }
  }
}

// How codes lie in the panel: line(codes, g, j, mask) = columns [4 j, 4 j + 4) of group g.

/// A byte each.
struct ByteLines {
  using PanelOf = Panel;
  template <size_t kLines>
  static __m512i line(const uint8_t* codes, size_t g, size_t j, __m512i) {
    return load512(codes + 64 * (g * kLines + j));
  }
};

/// Group g in the low nibbles if it is even, with group g + 1 in the high ones, whose products are
/// 16 times too large and whose scale is that much smaller.
struct NibblePairs {
  using PanelOf = Panel;  // no type has a second plane
  template <size_t kLines>
  static __m512i line(const uint8_t* codes, size_t g, size_t j, __m512i mask) {
    return _mm512_and_si512(load512(codes + 64 * (g / 2 * kLines + j)), mask);
  }
};

/// Both halves of a group in its first four lines, as blocks of 32 have them.
struct NibbleHalves {
  using PanelOf = NibblePanel;
  template <size_t kLines>
  static __m512i line(const uint8_t* codes, size_t g, size_t j, __m512i) {
    static_assert(kLines == 8);
    return nibble_line(codes + 64 * 4 * g, j);
  }
};

template <size_t group, size_t sums, bool is_biased, class LinesOf, class MakerOf>
struct FewLayout {
  static constexpr size_t kGroup = group;
  static constexpr size_t kLines = group / 4;
  static constexpr size_t kSums = sums;
  static constexpr bool kIsBiased = is_biased;
  using Lines = LinesOf;
  using PanelOf = typename LinesOf::PanelOf;
  using Maker = MakerOf;
  using Next = NextPanel<MakerOf, PanelOf>;
  static constexpr bool kHasPieces = MakerOf::kSteps > 0;
  static_assert(!kHasPieces || MakerOf::kSteps == kLines);
};

/// No piece of the next panel.
struct NoPiece {
  template <int>
  void take() {}
};

/// Adds the products of a line and four columns of each activation row. GCC 12 takes no broadcast
/// into this instruction by itself; half the instructions are twice as many that are in sight.
template <int t, int kRows>
inline __attribute__((always_inline)) void add_line(__m512i (&dots)[kRows], __m512i line,
                                                    const uint8_t* columns) {
  if constexpr (t < kRows) {
    using Four __attribute__((may_alias)) = uint32_t;
    const auto& four = *reinterpret_cast<const Four*>(columns + 4 * t);
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(dots[t]) : "v"(line), "m"(four));
    add_line<t + 1>(dots, line, columns);
  }
}

/// Lines j and on of group g, each followed by a step of the piece.
template <class Layout, int j, int kRows, class Piece>
inline __attribute__((always_inline)) void add_lines(__m512i (&dots)[kRows], const uint8_t* codes,
                                                     size_t g, __m512i mask, const uint8_t* columns,
                                                     Piece& piece) {
  constexpr size_t kLines = Layout::kLines;
  if constexpr (j < kLines) {
    const __m512i line = Layout::Lines::template line<kLines>(codes, g, j, mask);
    add_line<0>(dots, line, columns + 4 * j * kFewRows);
    piece.template take<j>();
    add_lines<Layout, j + 1>(dots, codes, g, mask, columns, piece);
  }
}

/// Adds `groups` groups of the panel times kRows activation rows to their sums. `codes`, `xs` and
/// `xo`: the block's, from the panel's first column on. Meanwhile the memory brings what comes
/// next, and the next panel is made, if somebody else does not.
template <class Layout, int kRows, bool makes_next>
__attribute__((noinline)) void few_products(const FewPanel& panel, bool is_first,
                                            const uint8_t* codes, const float* xs, const float* xo,
                                            size_t groups, typename Layout::Next& next,
                                            RowFetch& fetch, float (*sums)[kFewRows][16]) {
  constexpr size_t kSums = Layout::kSums;
  for (size_t slot = 0; slot < kSums; ++slot) {
    fetch.some();
    const __m512i mask = _mm512_set1_epi8(static_cast<char>(slot % 2 == 0 ? 0x0f : 0xf0));
    __m512 sum[kRows];
    for (int t = 0; t < kRows; ++t)
      sum[t] = is_first ? _mm512_setzero_ps() : _mm512_load_ps(sums[slot][t]);
    for (size_t g = slot; g < groups; g += kSums) {
      __m512i dots[kRows];
      for (int t = 0; t < kRows; ++t) {
        dots[t] = _mm512_setzero_si512();
        if constexpr (Layout::kIsBiased) {
          const auto* totals = reinterpret_cast<const int32_t*>(xo);
          dots[t] = _mm512_set1_epi32(totals[kFewRows * g + static_cast<size_t>(t)]);
        }
      }
      const uint8_t* columns = codes + g * Layout::kGroup * kFewRows;
      if constexpr (makes_next) {
        auto piece = next.piece(g);
        add_lines<Layout, 0>(dots, panel.codes, g, mask, columns, piece);
      } else {
        NoPiece piece;
        add_lines<Layout, 0>(dots, panel.codes, g, mask, columns, piece);
      }
      const __m512 scale = _mm512_load_ps(panel.scale[g]);
      for (int t = 0; t < kRows; ++t) {
        const __m512 both =
            _mm512_mul_ps(scale, _mm512_set1_ps(xs[kFewRows * g + static_cast<size_t>(t)]));
        sum[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t]), both, sum[t]);
        if constexpr (!Layout::kIsBiased) {
          const __m512 total = _mm512_set1_ps(xo[kFewRows * g + static_cast<size_t>(t)]);
          sum[t] = _mm512_fmadd_ps(_mm512_load_ps(panel.offset[g]), total, sum[t]);
        }
      }
    }
    for (int t = 0; t < kRows; ++t) _mm512_store_ps(sums[slot][t], sum[t]);
  }
}

/// Of `left` rows as many as a block has; the last block's products make the next panel.
template <class Layout>
inline void few_block(const FewPanel& panel, bool is_first, const uint8_t* codes, const float* xs,
                      const float* xo, size_t groups, size_t left, typename Layout::Next& next,
                      RowFetch& fetch, float (*sums)[kFewRows][16]) {
  constexpr bool kMakes = Layout::kHasPieces;
  const auto take = [&](auto count) {
    few_products<Layout, decltype(count)::value, kMakes>(panel, is_first, codes, xs, xo, groups,
                                                         next, fetch, sums);
  };
  if (kMakes && left > 8)
    return few_products<Layout, 8, false>(panel, is_first, codes, xs, xo, groups, next, fetch,
                                          sums);
  if (left >= 8) return take(Index<8>());
  if (left == 7) return take(Index<7>());
  if (left == 6) return take(Index<6>());
  if (left == 5) return take(Index<5>());
  if (left == 4) return take(Index<4>());
  if (left == 3) return take(Index<3>());
  take(Index<2>());
}

/// The results of activation row t: the order of sum_lanes.
template <size_t kSums>
inline __m512 few_total(const float (*sums)[kFewRows][16], size_t t) {
  const auto four = [&](size_t j) {
    const auto at = [&](size_t i) { return _mm512_load_ps(sums[j + i][t]); };
    return _mm512_add_ps(_mm512_add_ps(at(0), at(2)), _mm512_add_ps(at(1), at(3)));
  };
  const __m512 low = _mm512_add_ps(four(0), four(4));
  if constexpr (kSums == 8) return low;
  return _mm512_add_ps(low, _mm512_add_ps(four(8), four(12)));
}

/// Adds what the second plane's groups of the panel's columns give each activation row.
template <class AnyPanel>
inline void few_extra(FewScratch& s, const AnyPanel& panel, size_t k, size_t depth,
                      const ExtraRows& x, size_t first, size_t count) {
  for (size_t t = 0; t < count; ++t) {
    __m512 sum[1] = {k == 0 ? _mm512_setzero_ps() : _mm512_load_ps(s.extra[t])};
    const size_t done = k == 0 ? 0 : s.extra_done[t];
    s.extra_done[t] = add_extra_groups(&panel, k / 32, depth / 32, x, first + t, done, sum);
    _mm512_store_ps(s.extra[t], sum[0]);
  }
}

/// Results of up to 16 weight rows from r0 on to where they belong.
template <size_t kSums>
void few_finish(const FewScratch& s, size_t r0, size_t rows, size_t first, size_t count,
                bool has_extra, const Sink& sink) {
  const auto valid = static_cast<__mmask16>((1U << rows) - 1);
  for (size_t t = 0; t < count; ++t) {
    float* out = sink.out + (first + t) * sink.stride + r0;
    __m512 value = few_total<kSums>(s.sums[t / kFewRows], t % kFewRows);
    if (sink.bias != nullptr)
      value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(valid, sink.bias + r0));
    if (sink.accumulate) value = _mm512_add_ps(_mm512_maskz_loadu_ps(valid, out), value);
    if (has_extra) value = _mm512_add_ps(value, _mm512_load_ps(s.extra[t]));
    _mm512_mask_storeu_ps(out, valid, value);
  }
}

/// Nothing has fetched the first rows of a chunk yet. Loads, one line after the other: of 200
/// prefetches at a time most are dropped (Zen 5), which leaves each line to a miss of its own.
inline void load_begin(const PackedRows& w) {
  constexpr size_t kBytesMax = size_t{128} << 10;
  const size_t rows = w.count < kPanelRows + 8 ? w.count : kPanelRows + 8;
  const size_t bytes = rows * w.row_bytes < kBytesMax ? rows * w.row_bytes : kBytesMax;
  for (size_t i = 0; i + 64 <= bytes; i += 64) {
    const __m512i line = load512(w.data + i);
    asm volatile("" : : "v"(line));
  }
}

template <class Layout>
void few_rows(unsigned dtype, const PackedRows& w, const ExtraRows* extra, const uint8_t* packed,
              size_t first, size_t count, const Sink& sink, FewScratch& s) {
  constexpr size_t kGroup = Layout::kGroup;
  constexpr size_t kSums = Layout::kSums;
  const size_t block_bytes = few_block_bytes(w.length, kGroup);
  const size_t blocks = (count + kFewRows - 1) / kFewRows;
  const size_t sums = (w.length + kFewColumns - 1) / kFewColumns * kSums * blocks;
  typename Layout::Next next = {};
  size_t place = 0;
  const auto begin_panel = [&](size_t r0, size_t k) {
    FewPanel& memory = s.panels[place];
    next.panel.codes = memory.codes;
    next.panel.scale = memory.scale[0];
    next.panel.offset = memory.offset[0];
    rows_of_panel(dtype, w, r0, k, next.rows);
    next.depth = w.length - k < kFewColumns ? w.length - k : kFewColumns;
    next.done = 0;
  };
  load_begin(w);
  begin_panel(0, 0);
  for (size_t r0 = 0; r0 < w.count; r0 += kPanelRows) {
    const size_t rows = w.count - r0 < kPanelRows ? w.count - r0 : kPanelRows;
    RowFetch fetch =
        fetch_rows(w.data + (r0 + kPanelRows + 8) * w.row_bytes, kPanelRows * w.row_bytes, sums);
    for (size_t k = 0; k < w.length; k += kFewColumns) {
      next.finish();
      const FewPanel& here = s.panels[place];
      const auto panel = next.panel;
      const size_t depth = next.depth;
      if constexpr (Layout::kHasPieces) place = 1 - place;
      // After the last panel of all the first of its rows again, which nobody reads.
      const bool is_last = k + kFewColumns >= w.length;
      begin_panel(is_last && r0 + kPanelRows < w.count ? r0 + kPanelRows : r0,
                  is_last ? 0 : k + kFewColumns);
      for (size_t b = 0; b < blocks; ++b) {
        const uint8_t* block = packed + (first / kFewRows + b) * block_bytes;
        const auto* xs = reinterpret_cast<const float*>(block + few_codes_bytes(w.length));
        const float* xo = xs + w.length / kGroup * kFewRows;
        const size_t g = k / kGroup * kFewRows;
        few_block<Layout>(here, k == 0, block + k * kFewRows, xs + g, xo + g, depth / kGroup,
                          count - b * kFewRows, next, fetch, s.sums[b]);
      }
      next.done = depth / kGroup;
      if (extra != nullptr) few_extra(s, panel, k, depth, *extra, first, count);
    }
    few_finish<kSums>(s, r0, rows, first, count, extra != nullptr, sink);
  }
}

/// Where a panel costs less than the kernel for few rows, by whole models on a Zen 5 (tokens a
/// second of 3 and 4 answers together, here and there): Qwen2.5-Coder-0.5B (Q5_0) 135 174, 105 145
/// with one thread and 212 278, 182 244 with two; SmolLM2-135M (Q4_1) 480 597, 414 540 and 575 768,
/// 581 780. Groups of 16 gain from the fourth row on (Qwen2.5-Coder-1.5B, a third of it Q6_K: 63
/// 83, 62 73 with one thread and 92 127, 95 116 with two), Q8_0 from the fifth (Gemma 273 279, 444
/// 469 with four).
size_t few_rows_min(unsigned dtype) {
  constexpr unsigned kQ8_0 = 7;
  if (dtype == kQ8_0) return 5;
  return kUnpack[dtype].group == 32 ? 3 : 4;
}

struct FewEntry {
  void (*rows)(unsigned dtype, const PackedRows& w, const ExtraRows* extra, const uint8_t* packed,
               size_t first, size_t count, const Sink& sink, FewScratch& s);
  size_t form;
};
template <class Layout>
constexpr FewEntry few_entry(int bias) {
  size_t form = 0;
  while (kForms[form].group != Layout::kGroup || kForms[form].bias != bias) ++form;
  return {few_rows<Layout>, form};
}
/// Blocks of 32 and super-blocks of groups of 32 or 16.
template <class Format, class Maker, class Lines = ByteLines>
constexpr FewEntry few_simple() {
  return few_entry<FewLayout<32, 16, Format::kBias != 0, Lines, Maker>>(Format::kBias);
}
template <class Format, class Maker, class Lines = ByteLines>
constexpr FewEntry few_k32() {
  return few_entry<FewLayout<32, 8, Format::kBias != 0, Lines, Maker>>(Format::kBias);
}
template <class Format, class Maker>
constexpr FewEntry few_k16() {
  return few_entry<FewLayout<16, 16, Format::kBias != 0, ByteLines, Maker>>(Format::kBias);
}
// In the order of DType.
constexpr FewEntry kFew[kDTypes] = {
    {},
    {},
    {},
    few_simple<Simple4_0, WholePanel<panel_nibbles<Simple4_0>>, NibbleHalves>(),
    few_simple<Simple4_1, WholePanel<panel_q4_1<true>>, NibbleHalves>(),
    few_simple<Simple5_0, WholePanel<panel_five<Simple5_0>>>(),
    few_simple<Simple5_1, WholePanel<panel_five<Simple5_1>>>(),
    few_simple<Simple8_0, WholePanel<panel_simple<Simple8_0>>>(),
    few_k16<K2, WholePanel<panel_k16<K2>>>(),
    few_k16<K3, WholePanel<panel_k16<K3>>>(),
    few_k32<K4, PiecesK4, NibblePairs>(),
    few_k32<K5, WholePanel<panel_k45<K5>>>(),
    few_k16<K6, WholePanel<panel_k6<false>>>(),
    few_simple<SimpleIq4Nl, WholePanel<panel_simple<SimpleIq4Nl>>>(),
    few_k32<Iq4Xs, WholePanel<panel_k45<Iq4Xs>>>(),
    few_k32<I3, WholePanel<panel_k45<I3>>>(),
};
size_t few_form(unsigned dtype) { return kFew[dtype].form; }

void few_multiply(unsigned dtype, const PackedRows& w, const QuantRows& x, const ExtraRows* extra,
                  const void* packed, const Sink& sink, void* scratch) {
  const FewEntry& entry = kFew[dtype];
  const auto at = (reinterpret_cast<uintptr_t>(scratch) + 63) / 64 * 64;
  auto& s = *reinterpret_cast<FewScratch*>(at);
  const auto* rows = static_cast<const uint8_t*>(packed);
  constexpr size_t kAtOnce = kFewBlocks * kFewRows;
  for (size_t first = 0; first < x.count; first += kAtOnce) {
    const size_t count = x.count - first < kAtOnce ? x.count - first : kAtOnce;
    entry.rows(dtype, w, extra, rows, first, count, sink, s);
  }
}

}  // namespace
