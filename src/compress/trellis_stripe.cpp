#include "compress/trellis_stripe.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace squish::compress {
namespace {

const quant::TrellisTable& loops() {
  static const quant::TrellisTable* const table = quant::trellis_table().value();
  return *table;
}

}  // namespace

StripeCoder::StripeCoder(const quant::TileEncoder& encoder, const LdlFactor* factor, size_t columns,
                         quant::TrellisEffort effort)
    : encoder_(encoder),
      factor_(factor),
      columns_(columns),
      effort_(effort),
      scratch_(encoder),
      tiles_(kTilesMax * kTileWeights),
      dwords_(kTilesMax * static_cast<size_t>(encoder.code().dwords())) {
  if (factor_ == nullptr) return;
  wanted_ = AlignedBuffer<float>(columns * kRows);
  errors_ = AlignedBuffer<float>(columns * kRows);
  wanted_sum_ = AlignedBuffer<float>(kRows * kPanel);
  error_sum_ = AlignedBuffer<float>(kRows * kPanel);
}

uint64_t StripeCoder::bytes_for(size_t columns) {
  constexpr uint64_t kScratch = quant::kTilesAtOnce * 2'200'000;  // a search: 2.1 MB
  return kScratch + sizeof(float) * (2 * columns * kRows + 2 * kRows * kPanel);
}

/// sums[64][128] += the errors of a block of columns times what they add to the earlier columns of
/// their own panel. `from`: that block's [16][64].
void StripeCoder::feed_within_panel(size_t column, const float* from, float* sums) const {
  const size_t width = column % kPanel;  // earlier columns of the panel
  const float* feedback = factor_->feedback.panel(column / kPanel) + column * kPanel;
  for (size_t r = 0; r < kRows; ++r) {
    float* sum = sums + r * kPanel;
    for (size_t k = 0; k < kTrellisTile; ++k) {
      const float value = from[k * kRows + r];
      const float* row = feedback + k * kPanel;
      for (size_t j = 0; j < width; ++j) sum[j] += value * row[j];
    }
  }
}

void StripeCoder::write_codes(const Job& job, size_t column) const {
  const auto dwords = static_cast<size_t>(encoder_.code().dwords());
  std::byte* line = job.codes + column / kTrellisTile * job.block_tiles * dwords * 4;
  for (size_t tile = 0; tile < job.rows / kTrellisTile; ++tile) {
    for (size_t d = 0; d < dwords; ++d) {
      std::memcpy(line + (d * job.block_tiles + job.first_tile + tile) * 4,
                  &dwords_[tile * dwords + d], 4);
    }
  }
}

void StripeCoder::code_block(const Job& job, size_t column) {
  const size_t tile_count = job.rows / kTrellisTile;
  const auto dwords = static_cast<size_t>(encoder_.code().dwords());
  const size_t in_panel = column % kPanel;
  for (size_t r = 0; r < job.rows; ++r) {
    float* tile = tiles_.data() + r * kTrellisTile;
    std::copy_n(job.values + r * columns_ + column, kTrellisTile, tile);
    if (factor_ == nullptr) continue;
    const float* sum = error_sum_.data() + r * kPanel + in_panel;
    const float* wanted_sum = wanted_sum_.data() + r * kPanel + in_panel;
    for (size_t c = 0; c < kTrellisTile; ++c) {
      job.fed_back[r * columns_ + column + c] = tile[c] + wanted_sum[c];
      tile[c] += sum[c];
      job.noise[r * columns_ + column + c] = tile[c];
    }
  }
  for (size_t tile = 0; tile < tile_count; tile += quant::kTilesAtOnce) {
    float* weights = tiles_.data() + tile * kTileWeights;
    encoder_.encode(weights, std::min(quant::kTilesAtOnce, tile_count - tile), effort_, scratch_,
                    weights, dwords_.data() + tile * dwords);
  }
  write_codes(job, column);
  for (size_t r = 0; r < job.rows; ++r) {
    const float* coded = tiles_.data() + r * kTrellisTile;
    float* value = job.values + r * columns_ + column;
    for (size_t c = 0; c < kTrellisTile; ++c) {
      if (factor_ != nullptr) {
        job.noise[r * columns_ + column + c] -= coded[c];
        errors_[(column + c) * kRows + r] = value[c] - coded[c];
      }
      value[c] = coded[c];
    }
  }
  if (factor_ == nullptr) return;
  feed_within_panel(column, errors_.data() + column * kRows, error_sum_.data());
  feed_within_panel(column, wanted_.data() + column * kRows, wanted_sum_.data());
}

void StripeCoder::code(const Job& job) {
  SQ_CHECK(job.rows % kTrellisTile == 0 && job.rows <= kRows);
  if (factor_ != nullptr) {
    for (size_t c = 0; c < columns_; ++c) {
      for (size_t r = 0; r < kRows; ++r) {
        wanted_[c * kRows + r] = r < job.rows ? job.values[r * columns_ + c] : 0.0F;
      }
    }
    std::fill_n(errors_.data(), errors_.size(), 0.0F);
  }
  for (size_t panel = (columns_ + kPanel - 1) / kPanel; panel-- > 0;) {
    const size_t begin = panel * kPanel;
    const size_t end = std::min(columns_, begin + kPanel);
    if (factor_ != nullptr) {
      std::fill_n(error_sum_.data(), error_sum_.size(), 0.0F);
      std::fill_n(wanted_sum_.data(), wanted_sum_.size(), 0.0F);
      if (end < columns_) {
        const float* feedback = factor_->feedback.panel(panel) + end * kPanel;
        loops().multiply({errors_.data() + end * kRows, kRows, feedback, kPanel, error_sum_.data(),
                          kPanel, columns_ - end, 1});
        loops().multiply({wanted_.data() + end * kRows, kRows, feedback, kPanel, wanted_sum_.data(),
                          kPanel, columns_ - end, 1});
      }
    }
    for (size_t column = end; column > begin; column -= kTrellisTile) {
      code_block(job, column - kTrellisTile);
    }
  }
}

}  // namespace squish::compress
