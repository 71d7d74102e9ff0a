// The next panel of several decode rows, made while this one is multiplied.
//
// Products keep the ports that multiply and leave those that shuffle nearly idle; a panel is the
// other way round. So each group of the products comes with one piece of the next panel, a step
// of it after each of the group's lines. Zen 4, nanoseconds for 256 columns of 16 rows of Q4_K with
// 8, 6 and 4 activation rows, whole panels and pieces: 268 242, 215 193, 164 153.
//
// Lost: pieces of 48 instructions after each eighth of the products (262: the processor does not
// see far enough ahead), and a piece of scales with each group (246). Q6_K in pieces of four kinds,
// bits and nibbles and scales (343 for 337, 283 for 222 with 4 rows: their shuffles and shifts take
// a port that multiplies).
//
// A maker of pieces has kSteps, the lines of a group; Maker(rows, i, panel) begins the piece of
// columns [32 i, 32 i + 32), take<step>() goes on with it.

namespace {

/// 32 bytes of 8 rows, transposed in four steps: two that load, unpack_dwords to y and unpack_pairs
/// back, which leaves dwords j (lanes 0 and 2, four rows each) and 4 + j (lanes 1 and 3) in z[j].
struct EightRows {
  __m512i z[4];
  __m512i y[4];

  inline __attribute__((always_inline)) void load(const uint8_t* const* rows, size_t at, size_t r) {
    const auto half = [&](size_t row) __attribute__((always_inline)) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[row] + at));
    };
    z[r] = _mm512_inserti64x4(_mm512_castsi256_si512(half(r)), half(r + 4), 1);
  }
};

/// Half a line each of dwords j and 4 + j, which are `apart` bytes apart.
inline __attribute__((always_inline)) void store_halves(__m512i value, uint8_t* to, size_t apart) {
  const __m512i halves = _mm512_shuffle_i64x2(value, value, 0xd8);
  _mm256_store_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(halves));
  _mm256_store_si256(reinterpret_cast<__m256i*>(to + apart), _mm512_extracti64x4_epi64(halves, 1));
}

/// Q4_K with the nibbles of both groups of 64 columns in one line (NibblePairs): 64 columns of 8
/// rows a piece, and the scales of a super-block with its first, odd groups' divided by 16.
struct PiecesK4 {
  static constexpr size_t kSteps = 8;

  const uint8_t* const* rows;
  size_t at;
  uint8_t* to;
  EightRows eight;

  inline __attribute__((always_inline)) PiecesK4(const uint8_t* const* all, size_t i,
                                                 const Panel& out) {
    const size_t b = i / 8;
    const size_t half = i % 2;
    rows = all + 8 * half;
    at = b * K4::kBytes + 16 + 16 * (i % 8 - half);
    to = out.codes + 64 * 4 * (i - half) + 32 * half;
    if (i % 8 == 0)
      panel_factors_k45<4>(all, b * K4::kBytes, out.scale + 128 * b, out.offset + 128 * b);
  }
  template <int step>
  inline __attribute__((always_inline)) void take() {
    if constexpr (step < 2) {
      eight.load(rows, at, 2 * step);
      eight.load(rows, at, 2 * step + 1);
    } else if constexpr (step == 2) {
      unpack_dwords(eight.z, eight.y);
    } else if constexpr (step == 3) {
      unpack_pairs(eight.y, eight.z);
    } else {
      store_halves(eight.z[step - 4], to + 64 * (step - 4), 64 * 4);
    }
  }
};

/// The whole panel before its products.
template <MakePanel make_panel>
struct WholePanel {
  static constexpr size_t kSteps = 0;
};

template <int step, class Maker>
inline __attribute__((always_inline)) void take_from(Maker& piece) {
  if constexpr (step < Maker::kSteps) {
    piece.template take<step>();
    take_from<step + 1>(piece);
  }
}

/// Where the next panel is to lie, and what of it is made.
template <class Maker, class AnyPanel>
struct NextPanel {
  const uint8_t* rows[kPanelRows];
  AnyPanel panel;
  size_t depth;
  size_t done;  // pieces

  /// The piece beside group g of the products. More groups than pieces: the last one again.
  inline __attribute__((always_inline)) Maker piece(size_t g) {
    const size_t last = depth / 32 - 1;
    return Maker(rows, g < last ? g : last, panel);
  }
  /// What the products had no groups for.
  void finish() {
    for (; done < depth / 32; ++done) {
      Maker rest = piece(done);
      take_from<0>(rest);
    }
  }
};
template <MakePanel make_panel, class AnyPanel>
struct NextPanel<WholePanel<make_panel>, AnyPanel> {
  const uint8_t* rows[kPanelRows];
  AnyPanel panel;
  size_t depth;
  size_t done;

  __attribute__((noinline)) void finish() { make_panel(rows, depth, panel); }
};

}  // namespace
