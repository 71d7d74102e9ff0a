#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/strings.h"
#include "compress/trellis_device.h"
#include "compress/trellis_stripe.h"

namespace squish::compress {
namespace {

class CpuFrameCoder final : public FrameCoder {
 public:
  CpuFrameCoder(const LdlFactor* factor, size_t columns, ThreadPool& pool)
      : factor_(factor), columns_(columns), pool_(pool) {}

  Result<TrellisWindow> window(size_t rows) override {
    const size_t count = rows * columns_;
    if (values_.size() < count) {
      values_ = AlignedBuffer<float>(count);
      if (factor_ != nullptr) {
        fed_back_ = AlignedBuffer<float>(count);
        noise_ = AlignedBuffer<float>(count);
      }
    }
    return TrellisWindow{values_.data(), fed_back_.data(), noise_.data()};
  }

  Status code(DType dtype, quant::TrellisEffort effort, size_t rows, std::byte* codes) override;

 private:
  /// Tables and one coder a thread, for the code that was asked for last.
  struct Coders {
    DType dtype;
    quant::TrellisEffort effort;
    quant::TileEncoder encoder;
    std::vector<std::unique_ptr<StripeCoder>> of_thread;
  };
  Coders& coders(DType dtype, quant::TrellisEffort effort);

  const LdlFactor* factor_;
  size_t columns_;
  ThreadPool& pool_;
  AlignedBuffer<float> values_, fed_back_, noise_;
  std::unique_ptr<Coders> coders_;
};

CpuFrameCoder::Coders& CpuFrameCoder::coders(DType dtype, quant::TrellisEffort effort) {
  if (coders_ && coders_->dtype == dtype && coders_->effort == effort) return *coders_;
  coders_.reset();
  coders_.reset(new Coders{dtype, effort, {dtype, *quant::trellis_table().value()}, {}});  // NOLINT
  for (int i = 0; i < pool_.thread_count(); ++i) {
    coders_->of_thread.push_back(
        std::make_unique<StripeCoder>(coders_->encoder, factor_, columns_, effort));
  }
  return *coders_;
}

Status CpuFrameCoder::code(DType dtype, quant::TrellisEffort effort, size_t rows,
                           std::byte* codes) {
  SQ_CHECK(rows % kTrellisTile == 0 && rows * columns_ <= values_.size());
  Coders& coders = this->coders(dtype, effort);
  const TrellisLayout layout(dtype, rows, columns_);
  const size_t stripes = (rows + StripeCoder::kRows - 1) / StripeCoder::kRows;
  pool_.parallel_for(stripes, 1, [&](size_t begin, size_t end, int thread) {
    for (size_t stripe = begin; stripe < end; ++stripe) {
      const size_t row = stripe * StripeCoder::kRows;
      const size_t tile = row / kTrellisTile;
      const size_t block = tile / kRowBlockTiles;
      StripeCoder::Job job = {};
      job.values = values_.data() + row * columns_;
      job.fed_back = factor_ != nullptr ? fed_back_.data() + row * columns_ : nullptr;
      job.noise = factor_ != nullptr ? noise_.data() + row * columns_ : nullptr;
      job.rows = std::min(StripeCoder::kRows, rows - row);
      job.codes = codes + layout.line_offset(block, 0);
      job.block_tiles = layout.block_tiles(block);
      job.first_tile = tile % kRowBlockTiles;
      coders.of_thread[static_cast<size_t>(thread)]->code(job);
    }
  });
  return {};
}

class CpuDevice final : public TrellisDevice {
 public:
  [[nodiscard]] std::string description() const override { return "cpu"; }
  [[nodiscard]] uint64_t window_bytes() const override { return 32 << 20; }
  [[nodiscard]] uint64_t device_bytes(DType /*dtype*/, size_t /*columns*/, size_t /*window_rows*/,
                                      bool /*is_fed*/) const override {
    return 0;
  }
  [[nodiscard]] uint64_t host_bytes(size_t columns, int threads) const override {
    return static_cast<uint64_t>(threads) * StripeCoder::bytes_for(columns);
  }
  Result<uint64_t> free_bytes() override { return uint64_t{0}; }
  Result<std::unique_ptr<FrameCoder>> open(const LdlFactor* factor, size_t columns,
                                           ThreadPool& pool) override {
    return std::unique_ptr<FrameCoder>(std::make_unique<CpuFrameCoder>(factor, columns, pool));
  }
};

}  // namespace

std::unique_ptr<TrellisDevice> make_cpu_trellis_device() { return std::make_unique<CpuDevice>(); }

Result<std::unique_ptr<TrellisDevice>> make_trellis_device(std::string_view name) {
  if (name == "cpu") return make_cpu_trellis_device();
  if (name == "cuda") return make_cuda_trellis_device().at("--device cuda");
  return Error{ErrorCode::invalid_argument,
               fmt::format("device '{}' does not exist; use cpu or cuda", printable(name, 32))};
}

}  // namespace squish::compress
