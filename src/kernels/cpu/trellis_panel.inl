// Prompts with trellis codes without tiles: the weights of a strip are decoded once for all rows.
//
// The decode kernel decodes all weights anew for every 8 activation rows. Here two rows of each of
// a block's 16 tiles become two panels [columns / 4][16 tiles][4 codes] of bytes, which stay in L2
// while up to kPanelPromptRows rows are multiplied. A weight is a sum of 2 bytes (t2) or 4 (t3,
// t4); its byte here is their mean, rounded: 46 dB (t2) and 42 dB below the weights, whose own
// errors are at -11 to -23 dB. What rounding adds on average, and the constant that makes weights
// signed, are subtracted at the end, times the sum of a row's activations: one number for all
// weights.
//
// Lanes are tiles, as the dwords of a payload lie, so nothing is transposed. With AVX-512 decoding
// takes 9 instructions for 64 weights of t2 and 17 of t3 and t4, a dot product with them one; sums
// leave the integers every 128 columns (2 instructions for each, where Q4_K has 16).
//
// PanelOps (trellis_panel_avx512.inl, _avx2.inl and _neon.inl) gives the bytes and the products.

namespace {

constexpr size_t kPanelPromptRows = 256;  // their sums are 256 KB
constexpr size_t kTrellisPanels = 2;      // weight rows at a time

size_t trellis_panel_bytes(size_t columns) {
  return kTrellisPanels * 16 * columns + kPanelPromptRows * sizeof(float);
}

/// What a weight is, from its byte: kFactor * (byte - kCentre).
template <class Code>
struct PanelByte {
  // t2: twice the mean less 255, where the mean is half a unit too large in every second case. t3
  // and t4: four times the mean less 510, of three means, each too large by as much.
  static constexpr float kFactor = Code::kHasPairs ? 2.0F : 4.0F;
  static constexpr float kCentre = (Code::kHasPairs ? 127.75F : 128.0F) - PanelOps::kBias;
};

/// One unit of rows of all tiles to panels: line 4 * column + c / 2 has columns c, c + 1, c + 8 and
/// c + 9 of each tile.
template <class Code>
void decode_panels(const TrellisBlock& w, size_t unit, uint8_t* const* panels) {
  const size_t stride = 4 * w.tiles;
  const size_t line_bytes = Code::kDwords * stride;
  const TrellisLanes c0 = TrellisLanes::set16(w.c0);
  const TrellisLanes c1 = TrellisLanes::set16(w.c1);
  const size_t first = unit * Code::kUnitDwords;
  const size_t before = (first + Code::kDwords - 1) % Code::kDwords;
  for (size_t i = 0; i < w.tile_columns * 16 / TrellisLanes::kTiles; ++i) {
    const size_t column = i * TrellisLanes::kTiles / 16;
    const size_t tile = i * TrellisLanes::kTiles % 16;
    if (tile >= w.tiles) continue;  // what stands there is multiplied and not looked at
    const uint8_t* lines = w.data + column * line_bytes + 4 * tile;
    PanelOps::Bytes even[Code::kUnitRows];  // of the column before
    Code::unit(lines + first * stride, stride, TrellisLanes::load(lines + before * stride),
               [&](auto row, TrellisLanes window, auto c) __attribute__((always_inline)) {
                 constexpr int r = decltype(row)::value;
                 constexpr int at = decltype(c)::value;
                 uint8_t* out = panels[r] + 64 * (4 * column + at / 2) + 4 * tile;
                 const PanelOps::Bytes h0 = TrellisLanes::multiply(window, c0).v;
                 const PanelOps::Bytes h1 = TrellisLanes::multiply(window, c1).v;
                 if constexpr (Code::kHasPairs) {
                   PanelOps::store(out, PanelOps::mean_low(h0), PanelOps::mean_high(h1));
                 } else if constexpr (at % 2 == 0) {
                   even[r] = PanelOps::mean(PanelOps::mean_low(h0), PanelOps::mean_low(h1));
                 } else {
                   PanelOps::store(
                       out, even[r],
                       PanelOps::mean(PanelOps::mean_high(h0), PanelOps::mean_high(h1)));
                 }
               });
  }
}

/// Brings the lines of the next strip into L2, some at a time.
struct StripFetch {
  const uint8_t* next;
  size_t column_bytes;  // from one tile column to the next
  size_t strip_bytes;   // of the strip in each
  size_t columns;       // that are left
  size_t some_columns;

  void some() {
    for (size_t i = 0; i < some_columns && columns > 0; ++i, --columns, next += column_bytes) {
      for (size_t at = 0; at < strip_bytes; at += 64) __builtin_prefetch(next + at, 0, 2);
    }
  }
};

/// Columns of a prompt row times their scales, all summed up, times `centre`.
inline float panel_total(const TrellisRows& x, size_t t, size_t blocks, float centre) {
  float total = 0;
  for (size_t b = 0; b < blocks; ++b)
    total += x.scales[t * x.block_stride + b] * static_cast<float>(x.sums[t * x.block_stride + b]);
  return total * centre;
}

template <class Code>
void trellis_panel(const TrellisBlock& w, const TrellisRows& x, size_t first, size_t count,
                   float* sums, void* scratch) {
  auto* memory = static_cast<uint8_t*>(scratch);
  const size_t panel_bytes = 16 * 16 * w.tile_columns;
  uint8_t* const panels[kTrellisPanels] = {memory, memory + panel_bytes};
  auto* totals = reinterpret_cast<float*>(memory + kTrellisPanels * panel_bytes);
  const size_t blocks = (w.tile_columns + 7) / 8;
  for (size_t t = 0; t < count; ++t)
    totals[t] = panel_total(x, first + t, blocks, PanelByte<Code>::kCentre);
  constexpr size_t kUnits = kTrellisPanels / Code::kUnitRows;
  const size_t stride = 4 * w.tiles;
  const size_t strip_bytes = kUnits * Code::kUnitDwords * stride;
  const size_t times = kTrellisPanels / PanelOps::kPanels * (count / PanelOps::kRows + 1) * blocks;
  for (size_t row = 0; row < 16; row += kTrellisPanels) {
    const size_t unit = row / Code::kUnitRows;
    for (size_t u = 0; u < kUnits; ++u) decode_panels<Code>(w, unit + u, panels + u);
    StripFetch fetch = {
        w.data + (unit + kUnits) * Code::kUnitDwords * stride, Code::kDwords * stride, strip_bytes,
        row + kTrellisPanels < 16 ? w.tile_columns : 0, (w.tile_columns + times - 1) / times};
    size_t t = 0;
    const auto run = [&](auto rows) {
      constexpr int n = decltype(rows)::value;
      for (; t + n <= count; t += n) {
        for (size_t p = 0; p < kTrellisPanels; p += PanelOps::kPanels) {
          PanelOps::multiply<n>(
              panels + p, w.tile_columns, x, first + t,
              {totals + t, PanelByte<Code>::kFactor, sums + t * kTrellisRows + 16 * (row + p)},
              fetch);
        }
      }
    };
    run(TrellisIndex<PanelOps::kRows>{});
    if constexpr (PanelOps::kRows > 4) run(TrellisIndex<4>{});
    run(TrellisIndex<2>{});
    run(TrellisIndex<1>{});
  }
}

constexpr TrellisPanels kTrellisPanel = {
    {trellis_panel<LanesT2>, trellis_panel<LanesT3>, trellis_panel<LanesT4>},
    trellis_quantize<PanelOps, 16>,
    trellis_panel_bytes,
    kPanelPromptRows};

}  // namespace
