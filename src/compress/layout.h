#pragma once
// Where the tensors of a plan lie in model.safetensors, and what this build can write.
#include <cstdint>

#include "base/result.h"
#include "tensor/tensor.h"

namespace squish::compress {

struct Plan;

/// Whether an encoder for the type is linked in. The float types are.
bool can_encode(DType dtype);

/// Fills offset and bytes of each tensor (again, after types have changed), header and file_bytes.
/// Small payloads come first, each at a multiple of 64; large ones follow in the plan's order at
/// multiples of 4096. Gaps are covered by tensors named "squish.padding.N", since the format allows
/// no holes. Errors: unsupported when the header would pass the format's limit.
Status lay_out(Plan& plan);

}  // namespace squish::compress
