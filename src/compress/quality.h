#pragma once
// What a comparison with the source means, in words.
#include <string>
#include <string_view>

#include "evaluate/compare.h"

namespace squish::compress {

/// One sentence for a person; `a` of the comparison is the source.
std::string loss_sentence(const Comparison& comparison, std::string_view format);

}  // namespace squish::compress
