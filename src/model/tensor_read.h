#pragma once
// Small tensors as floats.
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/model_files.h"

namespace squish {

/// The `length` values of a vector of type f32, f16 or bf16 (trailing dimensions of 1 do not
/// matter). Errors: not_found; bad_file naming the tensor, the expected and the found shape or
/// type.
Result<std::vector<float>> read_vector(const ModelFiles& files, std::string_view name,
                                       uint64_t length);

}  // namespace squish
