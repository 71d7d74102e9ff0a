#pragma once
// The functions of libcuda.so.1 that are called, by the names and types of its stable interface.
#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace squish::cuda {

using Code = int;  // CUresult
inline constexpr Code kSuccess = 0;
inline constexpr Code kOutOfMemory = 2;
inline constexpr Code kNoDevice = 100;

/// Function pointers of the driver; all are there once load() succeeded.
struct Driver {
  /// Opens the library and looks every function up, once a process. Errors: unsupported.
  static Result<const Driver*> load();
  /// An error that names the call and the driver's own name of what happened.
  [[nodiscard]] Error error(const char* call, Code code) const;

  Code (*init)(unsigned flags);
  Code (*driver_version)(int* version);
  Code (*device_count)(int* count);
  Code (*device)(int* device, int ordinal);
  Code (*device_name)(char* name, int length, int device);
  Code (*device_memory)(size_t* bytes, int device);
  Code (*device_attribute)(int* value, int attribute, int device);
  Code (*retain_context)(void** context, int device);
  Code (*release_context)(int device);
  Code (*set_context)(void* context);
  Code (*synchronize)();
  Code (*memory_info)(size_t* free_bytes, size_t* total);
  Code (*allocate)(uint64_t* address, size_t bytes);
  Code (*free)(uint64_t address);
  Code (*allocate_host)(void** address, size_t bytes, unsigned flags);
  Code (*free_host)(void* address);
  Code (*copy_in)(uint64_t to, const void* from, size_t bytes);
  Code (*copy_out)(void* to, uint64_t from, size_t bytes);
  Code (*load_module)(void** module, const void* image);
  Code (*unload_module)(void* module);
  Code (*function)(void** function, void* module, const char* name);
  Code (*function_attribute)(void* function, int attribute, int value);
  Code (*launch)(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                 unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                 void* stream, void** arguments, void** extra);
  Code (*error_name)(Code code, const char** name);
};

}  // namespace squish::cuda
