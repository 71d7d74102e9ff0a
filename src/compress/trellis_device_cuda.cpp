#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/strings.h"
#include "compress/cuda/code_rows.h"
#include "compress/trellis_device.h"
#include "cuda/device.h"
#include "quant/cuda/trellis_job.h"
#include "quant/trellis_branches.h"

namespace squish::compress {
namespace {

using quant::TrellisJob;

constexpr size_t kPanel = PanelMatrix::kPanel;
constexpr uint64_t kWindowBytes = 256 << 20;
/// Context, code and tables.
constexpr uint64_t kProgramBytes = 512 << 20;
constexpr uint64_t kSumBytes = sizeof(float) * 2 * kTrellisTile * kPanel;

uint64_t decision_bytes(DType dtype) {
  const TrellisCode& code = trellis_code(dtype);
  const uint64_t bits = code.step_bits() == 3 ? 32 : 16;  // of a thread and step
  return static_cast<uint64_t>(code.steps()) * quant::kCodingThreads * bits / 8;
}

/// The branches in the order in which the threads keep them. t3 and t4 have the square negated: 128
/// does not fit in the signed byte that it is multiplied by, -128 does.
std::vector<int32_t> make_table(const TrellisCode& code) {
  const quant::Branches branches(code);
  std::vector<int32_t> table(quant::kTableWords);
  for (uint32_t i = 0; i < table.size(); ++i) {
    const auto word =
        static_cast<uint32_t>(branches.by_state[quant::trellis_table_state(code.step_bits(), i)]);
    const uint32_t negated = (0U - (word >> 16)) << 16 | (word & 0xffffU);
    table[i] = static_cast<int32_t>(code.step_weights == 2 ? word : negated);
  }
  return table;
}

/// Memory that grows and is kept.
class Grown {
 public:
  Status reserve(cuda::Device& device, uint64_t bytes, bool is_host = false) {
    if (memory_.bytes() >= bytes) return {};
    memory_ = cuda::Memory();  // first, or both would be held
    SQ_TRY(memory_, is_host ? device.allocate_host(bytes) : device.allocate(bytes));
    return {};
  }
  [[nodiscard]] const cuda::Memory& memory() const { return memory_; }
  template <class T>
  [[nodiscard]] T* as() const {
    return memory_.as<T>();
  }

 private:
  cuda::Memory memory_;
};

/// One of the three codes on the device.
struct CodeOnDevice {
  cuda::Kernel kernel;
  cuda::Memory table;
  uint32_t shared_bytes = 0;
};

/// What is kept from frame to frame.
struct Shared {
  Shared(std::unique_ptr<cuda::Device> opened, uint64_t shared_bytes_max)
      : device(std::move(opened)),
        shared_bytes(std::min(device->facts().shared_bytes, shared_bytes_max)) {}

  Result<const CodeOnDevice*> code(DType dtype);

  std::unique_ptr<cuda::Device> device;  // first: the memories below go before it
  uint64_t shared_bytes;                 // that a block may take
  std::array<std::unique_ptr<CodeOnDevice>, 3> codes;
  std::array<Grown, 3> host_window;
  std::array<Grown, 3> window;
  Grown feedback, codes_out, wanted, errors, sums, decisions;
};

Result<const CodeOnDevice*> Shared::code(DType dtype) {
  const TrellisCode& code = trellis_code(dtype);
  std::unique_ptr<CodeOnDevice>& slot = codes.at(static_cast<size_t>(code.bits) - 2);
  if (slot) return slot.get();
  auto made = std::make_unique<CodeOnDevice>();
  const uint32_t large = quant::kCostBytes + quant::kSharedTableBytes;
  constexpr uint32_t kStatic = 3 << 10;
  const bool is_large = shared_bytes >= large + kStatic;
  made->shared_bytes = is_large ? large : quant::kCostBytes;
  const std::string name =
      fmt::format("squish_code_rows_{}t{}", is_large ? "" : "small_", code.bits);
  SQ_TRY(made->kernel, device->kernel(code_rows_image(), name.c_str(), made->shared_bytes));
  const std::vector<int32_t> table = make_table(code);
  const uint64_t bytes = table.size() * sizeof(int32_t);
  SQ_TRY(made->table, device->allocate(bytes));
  SQ_TRY_STATUS(device->copy_in(made->table.address(), table.data(), bytes));
  slot = std::move(made);
  return slot.get();
}

class CudaFrameCoder final : public FrameCoder {
 public:
  CudaFrameCoder(Shared& shared, const LdlFactor* factor, size_t columns)
      : shared_(shared), is_fed_(factor != nullptr), columns_(columns) {}

  /// F to the device: of each panel the rows from its own columns on.
  Status upload(const PanelMatrix& feedback);
  Result<TrellisWindow> window(size_t rows) override;
  Status code(DType dtype, quant::TrellisEffort effort, size_t rows, std::byte* codes) override;

 private:
  Status reserve(DType dtype, size_t rows, uint32_t blocks);
  [[nodiscard]] size_t buffers() const { return is_fed_ ? 3 : 1; }

  Shared& shared_;
  bool is_fed_;
  size_t columns_;
  uint64_t stored_ = 0;
};

Status CudaFrameCoder::upload(const PanelMatrix& feedback) {
  cuda::Device& device = *shared_.device;
  stored_ = feedback.stored();
  SQ_TRY_STATUS(shared_.feedback.reserve(device, stored_ * stored_ * sizeof(float)));
  for (size_t p = 0; p < feedback.panels(); ++p) {
    const uint64_t first = p * kPanel * kPanel;
    const uint64_t address =
        shared_.feedback.memory().address() + (p * stored_ * kPanel + first) * sizeof(float);
    SQ_TRY_STATUS(device.copy_in(address, feedback.panel(p) + first,
                                 (stored_ * kPanel - first) * sizeof(float)));
  }
  return {};
}

Result<TrellisWindow> CudaFrameCoder::window(size_t rows) {
  const uint64_t bytes = rows * columns_ * sizeof(float);
  for (size_t i = 0; i < buffers(); ++i) {
    SQ_TRY_STATUS(shared_.host_window.at(i).reserve(*shared_.device, bytes, true));
    SQ_TRY_STATUS(shared_.window.at(i).reserve(*shared_.device, bytes));
  }
  TrellisWindow out;
  out.values = shared_.host_window[0].as<float>();
  if (!is_fed_) return out;
  out.fed_back = shared_.host_window[1].as<float>();
  out.noise = shared_.host_window[2].as<float>();
  return out;
}

Status CudaFrameCoder::reserve(DType dtype, size_t rows, uint32_t blocks) {
  cuda::Device& device = *shared_.device;
  const uint64_t row_bytes = columns_ * kTrellisTile * sizeof(float);
  SQ_TRY_STATUS(shared_.codes_out.reserve(device, TrellisLayout(dtype, rows, columns_).su_offset));
  SQ_TRY_STATUS(shared_.decisions.reserve(device, blocks * decision_bytes(dtype)));
  if (!is_fed_) return {};
  SQ_TRY_STATUS(shared_.wanted.reserve(device, blocks * row_bytes));
  SQ_TRY_STATUS(shared_.errors.reserve(device, blocks * row_bytes));
  return shared_.sums.reserve(device, blocks * kSumBytes);
}

Status CudaFrameCoder::code(DType dtype, quant::TrellisEffort effort, size_t rows,
                            std::byte* codes) {
  const uint64_t bytes = rows * columns_ * sizeof(float);
  SQ_CHECK(rows % kTrellisTile == 0 && shared_.host_window[0].memory().bytes() >= bytes);
  cuda::Device& device = *shared_.device;
  SQ_TRY(const CodeOnDevice* on_device, shared_.code(dtype));
  // A block takes a whole multiprocessor, so more at a time would only wait.
  const auto blocks = static_cast<uint32_t>(device.facts().multiprocessors);
  const auto tile_rows = static_cast<uint32_t>(rows / kTrellisTile);
  SQ_TRY_STATUS(reserve(dtype, rows, blocks));
  SQ_TRY_STATUS(device.copy_in(shared_.window[0].memory().address(),
                               shared_.host_window[0].as<float>(), bytes));
  const TrellisCode& code = trellis_code(dtype);
  const quant::SeamSearch seam = quant::seam_search(effort);
  TrellisJob job = {};
  job.table = on_device->table.as<int32_t>();
  job.values = shared_.window[0].as<float>();
  if (is_fed_) {
    job.fed_back = shared_.window[1].as<float>();
    job.noise = shared_.window[2].as<float>();
    job.feedback = shared_.feedback.as<float>();
    job.wanted = shared_.wanted.as<float>();
    job.errors = shared_.errors.as<float>();
    job.sums = shared_.sums.as<float>();
  }
  job.decisions = shared_.decisions.as<uint32_t>();
  job.codes = shared_.codes_out.as<uint16_t>();
  job.stored = stored_;
  job.columns = static_cast<uint32_t>(columns_);
  job.tile_rows = tile_rows;
  job.c0 = code.c0;
  job.c1 = code.c1;
  job.unit = code.unit;
  job.seam_choose = seam.choose;
  job.seam_again = seam.again;
  for (job.first_tile = 0; job.first_tile < tile_rows; job.first_tile += blocks) {
    const uint32_t count = std::min(blocks, tile_rows - job.first_tile);
    SQ_TRY_STATUS(device.launch(on_device->kernel,
                                {count, quant::kCodingThreads, on_device->shared_bytes}, &job));
  }
  for (size_t i = 0; i < buffers(); ++i) {
    SQ_TRY_STATUS(device.copy_out(shared_.host_window.at(i).as<float>(),
                                  shared_.window.at(i).memory().address(), bytes));
  }
  return device.copy_out(codes, shared_.codes_out.memory().address(),
                         TrellisLayout(dtype, rows, columns_).su_offset);
}

class CudaDevice final : public TrellisDevice {
 public:
  CudaDevice(std::unique_ptr<cuda::Device> device, uint64_t shared_bytes_max)
      : shared_(std::move(device), shared_bytes_max) {}

  [[nodiscard]] std::string description() const override {
    const cuda::DeviceFacts& facts = shared_.device->facts();
    return fmt::format("cuda ({}, {})", facts.name, human_bytes(facts.memory_bytes));
  }
  [[nodiscard]] uint64_t window_bytes() const override { return kWindowBytes; }
  [[nodiscard]] uint64_t device_bytes(DType dtype, size_t columns, size_t window_rows,
                                      bool is_fed) const override {
    const auto blocks = static_cast<uint64_t>(shared_.device->facts().multiprocessors);
    const uint64_t window = window_rows * columns * sizeof(float);
    uint64_t bytes = kProgramBytes + window + TrellisLayout(dtype, window_rows, columns).su_offset +
                     blocks * decision_bytes(dtype);
    if (!is_fed) return bytes;
    bytes += 2 * window + PanelMatrix::bytes_for(columns);
    return bytes + blocks * (kSumBytes + 2 * columns * kTrellisTile * sizeof(float));
  }
  [[nodiscard]] uint64_t host_bytes(size_t /*columns*/, int /*threads*/) const override {
    return kProgramBytes;
  }
  Result<uint64_t> free_bytes() override { return shared_.device->free_bytes(); }
  Result<std::unique_ptr<FrameCoder>> open(const LdlFactor* factor, size_t columns,
                                           ThreadPool& /*pool*/) override {
    auto coder = std::make_unique<CudaFrameCoder>(shared_, factor, columns);
    if (factor != nullptr) SQ_TRY_STATUS(coder->upload(factor->feedback));
    return std::unique_ptr<FrameCoder>(std::move(coder));
  }

 private:
  Shared shared_;
};

}  // namespace

Result<std::unique_ptr<TrellisDevice>> make_cuda_trellis_device(uint64_t shared_bytes_max) {
  SQ_TRY(std::unique_ptr<cuda::Device> device, cuda::open_device());
  return std::unique_ptr<TrellisDevice>(
      std::make_unique<CudaDevice>(std::move(device), shared_bytes_max));
}

}  // namespace squish::compress
