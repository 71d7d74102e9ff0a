#pragma once
// Counts calls of operator new in a test program that links squish_model_testing.
#include <cstddef>

namespace squish::testing {

/// Calls since the start. Naming this function replaces operator new of the whole program.
size_t allocation_count();

}  // namespace squish::testing
