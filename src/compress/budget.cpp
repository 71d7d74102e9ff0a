#include "compress/budget.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace squish::compress {
namespace {

/// From choice `from` to choice `to` of a part, neighbours on its hull.
struct Step {
  size_t part = 0;
  size_t to = 0;
  uint64_t bytes = 0;  // more
  double gain = 0;     // loss saved a byte
};

/// Choices on the lower convex hull, smallest first: each saves more loss a byte than the next.
std::vector<size_t> hull_of(const std::vector<Choice>& choices) {
  std::vector<size_t> order(choices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) {
    if (choices[a].bytes != choices[b].bytes) return choices[a].bytes < choices[b].bytes;
    return choices[a].loss < choices[b].loss;
  });
  const auto slope = [&](size_t a, size_t b) {
    return (choices[a].loss - choices[b].loss) /
           static_cast<double>(choices[b].bytes - choices[a].bytes);
  };
  std::vector<size_t> hull;
  for (const size_t next : order) {
    if (!hull.empty() && choices[next].loss >= choices[hull.back()].loss) continue;
    while (hull.size() >= 2 &&
           slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), next)) {
      hull.pop_back();
    }
    hull.push_back(next);
  }
  return hull;
}

}  // namespace

std::optional<std::vector<size_t>> spend_budget(std::span<const std::vector<Choice>> parts,
                                                uint64_t bytes_max) {
  std::vector<size_t> chosen(parts.size());
  std::vector<Step> steps;
  uint64_t used = 0;
  for (size_t part = 0; part < parts.size(); ++part) {
    const std::vector<Choice>& choices = parts[part];
    SQ_CHECK(!choices.empty());
    const std::vector<size_t> hull = hull_of(choices);
    chosen[part] = hull.front();
    used += choices[hull.front()].bytes;
    for (size_t i = 1; i < hull.size(); ++i) {
      const Choice& from = choices[hull[i - 1]];
      const Choice& to = choices[hull[i]];
      const uint64_t more = to.bytes - from.bytes;
      steps.push_back({part, hull[i], more, (from.loss - to.loss) / static_cast<double>(more)});
    }
  }
  if (used > bytes_max) return std::nullopt;
  // Steps of one part stand in their order, since its gains fall: the sort is stable for equals.
  std::ranges::stable_sort(steps, [](const Step& a, const Step& b) { return a.gain > b.gain; });
  std::vector<bool> is_closed(parts.size());
  for (const Step& step : steps) {
    if (is_closed[step.part]) continue;
    if (step.bytes > bytes_max - used) {
      is_closed[step.part] = true;  // what comes after begins where this one would have ended
      continue;
    }
    used += step.bytes;
    chosen[step.part] = step.to;
  }
  return chosen;
}

}  // namespace squish::compress
