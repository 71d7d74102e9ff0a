#pragma once
// The machine code of code_rows.cu.
#include <cstddef>
#include <span>

namespace squish::compress {

/// A fatbin; empty in a program built without CUDA.
std::span<const std::byte> code_rows_image();

}  // namespace squish::compress
