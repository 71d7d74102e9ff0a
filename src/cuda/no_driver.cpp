// What a program built without CUDA answers.
#include "cuda/device.h"

namespace squish::cuda {

Result<std::unique_ptr<Device>> open_device() {
  return Error{
      ErrorCode::unsupported,
      "this squish was built without CUDA; build it with ./dev build cuda, or use the cpu"};
}

}  // namespace squish::cuda
