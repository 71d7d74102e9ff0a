#pragma once
// A byte budget spent where a byte saves most: which of several sizes each part gets.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace squish::compress {

/// One way to store a part, and what it is expected to lose.
struct Choice {
  uint64_t bytes = 0;
  double loss = 0;
};

/// `parts`: of each part its choices, in any order, at least one. Begins with the smallest of each
/// and goes on, one step at a time, to where a byte saves the most loss: only choices on the lower
/// convex hull of a part's (bytes, loss) are taken. What is left at the end is less than the next
/// useful step of any part. Returns the index of each part's choice, or nothing when even the
/// smallest ones take more than `bytes_max`. Cost: n log n in the number of choices. Deterministic.
std::optional<std::vector<size_t>> spend_budget(std::span<const std::vector<Choice>> parts,
                                                uint64_t bytes_max);

}  // namespace squish::compress
