#pragma once
// Shared by the JSON readers of this folder: a bound on what a document makes the parser allocate.
#include <cstdint>
#include <string_view>

namespace squish {

/// No fewer than the tokens (brackets, commas, colons, scalars) that simdjson will index, 4 bytes
/// each; words inside strings count too. Cost: one pass, about 1 GB/s.
uint64_t json_tokens_bound(std::string_view text);

}  // namespace squish
