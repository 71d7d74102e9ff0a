#pragma once
// Which kind of codes a tensor of an npy directory gets, from its name: the rule of the
// compatibility format.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "format/npy_directory.h"
#include "tensor/tensor.h"

namespace squish::compress {

/// The names that --type of an npy directory may have: "sqint2", "int4", "int3", "int8", "fp16".
std::span<const std::string_view> npy_format_names();

/// Index behind "layers.", "layer.", ".h." or GGUF's "blk."; nothing for other names.
std::optional<int> layer_in_name(std::string_view tensor_name);

/// SQINT2's rule: nothing (16 bits) for names that do not end in ".weight" or have no layer, and
/// for vectors; int4 in the first two and the last two layers, in all of a network of fewer than
/// four, and for an index beyond the last; else sqint2 for gate and up, int3 for q, k, v and o,
/// int4 for the rest. `rank` counts dimensions.
std::optional<NpyKind> route_sqint2(std::string_view tensor_name, size_t rank, int layer_count);

/// The kind for `format`, which is one of npy_format_names(): sqint2 as above (stacked experts,
/// which are several matrices, take int4); the others take their kind for every matrix that has a
/// layer, and 16 bits for the rest.
NpyKind npy_kind(std::string_view format, std::string_view tensor_name, const Shape& shape,
                 int layer_count);

}  // namespace squish::compress
