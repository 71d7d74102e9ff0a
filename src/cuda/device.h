#pragma once
// An NVIDIA GPU through its driver, which is opened at run time: a program that holds kernels
// starts and works where there is no driver (docs/adr/0031-cuda.md).
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"

namespace squish::cuda {

struct DeviceFacts {
  std::string name;            // "NVIDIA H100 80GB HBM3"
  int compute_capability = 0;  // 90 for 9.0
  int multiprocessors = 0;
  uint64_t memory_bytes = 0;
  uint64_t shared_bytes = 0;  // what one block may take of a multiprocessor's memory
};

class Device;

/// Memory of a device, or page-locked memory of the host, which the device copies three to six
/// times as fast. Freed with the object; the device must outlive it.
class Memory {
 public:
  Memory() = default;
  Memory(Device* device, uint64_t address, uint64_t bytes, bool is_host)
      : device_(device), address_(address), bytes_(bytes), is_host_(is_host) {}
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    std::swap(is_host_, other.is_host_);
    return *this;
  }
  ~Memory();

  /// Of the device's, or of the host's when this is host memory.
  [[nodiscard]] uint64_t address() const { return address_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  template <class T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(address_);  // NOLINT
  }

 private:
  Device* device_ = nullptr;
  uint64_t address_ = 0;
  uint64_t bytes_ = 0;
  bool is_host_ = false;
};

/// A function of a loaded image; lives as long as its device.
struct Kernel {
  void* function = nullptr;
};

struct Launch {
  uint32_t blocks = 1;
  uint32_t threads = 1;
  uint32_t shared_bytes = 0;  // dynamic
};

/// Everything is done in the order of the calls. For the thread that opened it. Errors of all:
/// internal, with the driver's name for it; out_of_memory.
class Device {
 public:
  virtual ~Device() = default;
  [[nodiscard]] virtual const DeviceFacts& facts() const = 0;
  virtual Result<uint64_t> free_bytes() = 0;
  /// Not zeroed. `bytes` at least 1.
  virtual Result<Memory> allocate(uint64_t bytes) = 0;
  virtual Result<Memory> allocate_host(uint64_t bytes) = 0;
  /// Return when the host's memory may be used again; copy_out() after all work that came before.
  virtual Status copy_in(uint64_t to, const void* from, uint64_t bytes) = 0;
  virtual Status copy_out(void* to, uint64_t from, uint64_t bytes) = 0;
  /// `image` is a fatbin; it is loaded once. `dynamic_shared_bytes`: the most that a launch takes.
  virtual Result<Kernel> kernel(std::span<const std::byte> image, const char* name,
                                uint32_t dynamic_shared_bytes) = 0;
  /// `argument` is the kernel's only one, passed by value. Returns before the kernel has run; what
  /// goes wrong in it is the error of the next copy_out() or wait().
  virtual Status launch(Kernel kernel, const Launch& launch, const void* argument) = 0;
  virtual Status wait() = 0;

 protected:
  friend class Memory;
  virtual void release(uint64_t address, bool is_host) = 0;
};

inline Memory::~Memory() {
  if (device_ != nullptr) device_->release(address_, is_host_);
}

/// The first GPU that the driver names (CUDA_VISIBLE_DEVICES chooses). Errors: unsupported, saying
/// which: this program was built without CUDA, there is no driver, it is too old, it finds no GPU,
/// or the GPU is older than compute capability 8.0. Cost: 0.2 s or more, 300 MB of its memory.
Result<std::unique_ptr<Device>> open_device();

}  // namespace squish::cuda
