#include <algorithm>
#include <iterator>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/strings.h"
#include "cuda/device.h"
#include "cuda/driver.h"

namespace squish::cuda {
namespace {

constexpr int kDriverMin = 13000;   // the machine code in the image is CUDA 13.0's
constexpr int kCapabilityMin = 80;  // of which it has code
// Attributes, by their numbers in cuda.h.
constexpr int kMultiprocessors = 16;
constexpr int kCapabilityMajor = 75;
constexpr int kCapabilityMinor = 76;
constexpr int kSharedOptin = 97;         // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
constexpr int kFunctionSharedBytes = 8;  // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES

class DriverDevice final : public Device {
 public:
  DriverDevice(const Driver& driver, int device, DeviceFacts facts)
      : driver_(driver), device_(device), facts_(std::move(facts)) {}
  ~DriverDevice() override {
    for (const Image& image : images_) driver_.unload_module(image.module);
    driver_.release_context(device_);
  }
  DriverDevice(const DriverDevice&) = delete;
  DriverDevice& operator=(const DriverDevice&) = delete;

  [[nodiscard]] const DeviceFacts& facts() const override { return facts_; }

  Result<uint64_t> free_bytes() override {
    size_t free = 0;
    size_t total = 0;
    SQ_TRY_STATUS(call("cuMemGetInfo", driver_.memory_info(&free, &total)));
    return uint64_t{free};
  }

  Result<Memory> allocate(uint64_t bytes) override {
    uint64_t address = 0;
    SQ_TRY_STATUS(call("cuMemAlloc", driver_.allocate(&address, bytes)));
    return Memory(this, address, bytes, false);
  }

  Result<Memory> allocate_host(uint64_t bytes) override {
    void* address = nullptr;
    SQ_TRY_STATUS(call("cuMemHostAlloc", driver_.allocate_host(&address, bytes, 0)));
    return Memory(this, reinterpret_cast<uint64_t>(address), bytes, true);  // NOLINT
  }

  Status copy_in(uint64_t to, const void* from, uint64_t bytes) override {
    return call("cuMemcpyHtoD", driver_.copy_in(to, from, bytes));
  }

  Status copy_out(void* to, uint64_t from, uint64_t bytes) override {
    return call("cuMemcpyDtoH", driver_.copy_out(to, from, bytes));
  }

  Result<Kernel> kernel(std::span<const std::byte> image, const char* name,
                        uint32_t dynamic_shared_bytes) override {
    SQ_CHECK(!image.empty());
    const auto known = std::find_if(images_.begin(), images_.end(),
                                    [&](const Image& row) { return row.bytes == image.data(); });
    void* module = known == images_.end() ? nullptr : known->module;
    if (module == nullptr) {
      SQ_TRY_STATUS(call("cuModuleLoadData", driver_.load_module(&module, image.data())));
      images_.push_back({image.data(), module});
    }
    Kernel kernel;
    SQ_TRY_STATUS(call(name, driver_.function(&kernel.function, module, name)));
    SQ_TRY_STATUS(call("cuFuncSetAttribute",
                       driver_.function_attribute(kernel.function, kFunctionSharedBytes,
                                                  static_cast<int>(dynamic_shared_bytes))));
    return kernel;
  }

  Status launch(Kernel kernel, const Launch& launch, const void* argument) override {
    void* arguments[] = {const_cast<void*>(argument)};  // NOLINT: the driver only reads it
    return call("cuLaunchKernel",
                driver_.launch(kernel.function, launch.blocks, 1, 1, launch.threads, 1, 1,
                               launch.shared_bytes, nullptr, arguments, nullptr));
  }

  Status wait() override { return call("cuCtxSynchronize", driver_.synchronize()); }

 protected:
  void release(uint64_t address, bool is_host) override {
    if (is_host) {
      driver_.free_host(reinterpret_cast<void*>(address));  // NOLINT
    } else {
      driver_.free(address);
    }
  }

 private:
  struct Image {
    const std::byte* bytes;
    void* module;
  };
  [[nodiscard]] Status call(const char* what, Code code) const {
    if (code == kSuccess) return {};
    return driver_.error(what, code);
  }

  const Driver& driver_;
  int device_;
  DeviceFacts facts_;
  std::vector<Image> images_;
};

Error unusable(std::string why) { return {ErrorCode::unsupported, std::move(why)}; }

Result<DeviceFacts> facts_of(const Driver& driver, int device) {
  DeviceFacts facts;
  char name[256] = {};
  driver.device_name(name, static_cast<int>(std::size(name)) - 1, device);
  facts.name = printable(name, 100);
  size_t memory = 0;
  int major = 0;
  int minor = 0;
  int shared = 0;
  for (const Code code : {driver.device_memory(&memory, device),
                          driver.device_attribute(&facts.multiprocessors, kMultiprocessors, device),
                          driver.device_attribute(&major, kCapabilityMajor, device),
                          driver.device_attribute(&minor, kCapabilityMinor, device),
                          driver.device_attribute(&shared, kSharedOptin, device)}) {
    if (code != kSuccess) return driver.error("cuDeviceGetAttribute", code);
  }
  facts.memory_bytes = memory;
  facts.compute_capability = 10 * major + minor;
  facts.shared_bytes = static_cast<uint64_t>(shared);
  return facts;
}

}  // namespace

Result<std::unique_ptr<Device>> open_device() {
  SQ_TRY(const Driver* driver, Driver::load());
  int version = 0;
  driver->driver_version(&version);
  if (version < kDriverMin) {
    return unusable(
        fmt::format("the NVIDIA driver here is for CUDA {}.{}, this needs 13.0 (driver "
                    "580) or newer; update it, or use the cpu",
                    version / 1000, version % 1000 / 10));
  }
  int count = 0;
  Code code = driver->init(0);
  if (code == kSuccess) code = driver->device_count(&count);
  if (code == kNoDevice || (code == kSuccess && count == 0)) {
    return unusable(
        "the NVIDIA driver finds no GPU (look at nvidia-smi and CUDA_VISIBLE_DEVICES); "
        "use the cpu");
  }
  if (code != kSuccess) return unusable(driver->error("cuInit", code).message + "; use the cpu");
  int device = 0;
  if (const Code found = driver->device(&device, 0); found != kSuccess) {
    return driver->error("cuDeviceGet", found);
  }
  SQ_TRY(DeviceFacts facts, facts_of(*driver, device));
  if (facts.compute_capability < kCapabilityMin) {
    return unusable(
        fmt::format("{} has compute capability {}.{}, this needs 8.0 or newer (Ampere); "
                    "use the cpu",
                    facts.name, facts.compute_capability / 10, facts.compute_capability % 10));
  }
  void* context = nullptr;
  if (const Code made = driver->retain_context(&context, device); made != kSuccess) {
    return driver->error("cuDevicePrimaryCtxRetain", made);
  }
  if (const Code set = driver->set_context(context); set != kSuccess) {
    driver->release_context(device);
    return driver->error("cuCtxSetCurrent", set);
  }
  return std::unique_ptr<Device>(std::make_unique<DriverDevice>(*driver, device, std::move(facts)));
}

}  // namespace squish::cuda
