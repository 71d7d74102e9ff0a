#include "cuda/driver.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "base/strings.h"

namespace squish::cuda {
namespace {

constexpr const char* kLibrary = "libcuda.so.1";

/// A name with a version suffix is the one that cuda.h maps the plain name to.
template <class Function>
bool find(void* library, const char* name, Function& out) {
  out = reinterpret_cast<Function>(::dlsym(library, name));  // NOLINT
  return out != nullptr;
}

const char* first_missing(void* library, Driver& d) {
  const char* missing = nullptr;
  const auto need = [&](const char* name, auto& out) {
    if (!find(library, name, out) && missing == nullptr) missing = name;
  };
  need("cuInit", d.init);
  need("cuDriverGetVersion", d.driver_version);
  need("cuDeviceGetCount", d.device_count);
  need("cuDeviceGet", d.device);
  need("cuDeviceGetName", d.device_name);
  need("cuDeviceTotalMem_v2", d.device_memory);
  need("cuDeviceGetAttribute", d.device_attribute);
  need("cuDevicePrimaryCtxRetain", d.retain_context);
  need("cuDevicePrimaryCtxRelease_v2", d.release_context);
  need("cuCtxSetCurrent", d.set_context);
  need("cuCtxSynchronize", d.synchronize);
  need("cuMemGetInfo_v2", d.memory_info);
  need("cuMemAlloc_v2", d.allocate);
  need("cuMemFree_v2", d.free);
  need("cuMemHostAlloc", d.allocate_host);
  need("cuMemFreeHost", d.free_host);
  need("cuMemcpyHtoD_v2", d.copy_in);
  need("cuMemcpyDtoH_v2", d.copy_out);
  need("cuModuleLoadData", d.load_module);
  need("cuModuleUnload", d.unload_module);
  need("cuModuleGetFunction", d.function);
  need("cuFuncSetAttribute", d.function_attribute);
  need("cuLaunchKernel", d.launch);
  need("cuGetErrorName", d.error_name);
  return missing;
}

Result<Driver> open_library() {
  void* library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    return Error{ErrorCode::unsupported,
                 fmt::format("there is no NVIDIA driver here ({}); install it, or use the cpu",
                             printable(why == nullptr ? kLibrary : why, 200))};
  }
  Driver driver;
  if (const char* missing = first_missing(library, driver)) {
    ::dlclose(library);
    return Error{ErrorCode::unsupported,
                 fmt::format("{} has no {}: the driver is too old; install a newer one, or use the "
                             "cpu",
                             kLibrary, missing)};
  }
  return driver;  // the library stays open: it must not be unloaded after cuInit
}

}  // namespace

Result<const Driver*> Driver::load() {
  static const Result<Driver> driver = open_library();
  if (!driver) return driver.error();
  return &driver.value();
}

Error Driver::error(const char* call, Code code) const {
  const char* name = nullptr;
  if (error_name(code, &name) != kSuccess || name == nullptr) name = "unknown";
  const ErrorCode kind = code == kOutOfMemory ? ErrorCode::out_of_memory : ErrorCode::internal;
  return {kind, fmt::format("the GPU's driver answers {} ({}) to {}", name, code, call)};
}

}  // namespace squish::cuda
