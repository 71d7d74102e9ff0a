#include "grammar/dfa.h"

#include <algorithm>
#include <compare>
#include <numeric>
#include <utility>

namespace squish {
namespace {

/// Which states lead to an end; takes away the edges to those that do not.
std::vector<bool> prune(Dfa& dfa) {
  std::vector<bool> is_alive(dfa.size());
  for (size_t i = 0; i < dfa.size(); ++i) is_alive[i] = dfa.is_end(i);
  const auto leads_on = [&](int32_t to) {
    return to != Dfa::kNone && is_alive[static_cast<size_t>(to)];
  };
  for (bool has_changed = true; has_changed;) {
    has_changed = false;
    // Backwards: states lead to later ones, but for those that repeat.
    for (size_t i = dfa.size(); i-- > 0;) {
      if (is_alive[i] || std::ranges::none_of(dfa.edges(i), leads_on)) continue;
      is_alive[i] = true;
      has_changed = true;
    }
  }
  for (size_t i = 0; i < dfa.size(); ++i) {
    for (int32_t& to : dfa.edges(i)) {
      if (!leads_on(to)) to = Dfa::kNone;
    }
  }
  return is_alive;
}

/// The group of each state: one that ends is no other, and each class leads from all of a group to
/// one group. Groups are split until that holds (Moore).
std::vector<int32_t> groups_of(const Dfa& dfa) {
  std::vector<int32_t> group(dfa.size());
  for (size_t i = 0; i < group.size(); ++i) group[i] = dfa.is_end(i) ? 1 : 0;
  std::vector<size_t> order(dfa.size());  // by group
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return group[i]; });
  const auto group_at = [&](int32_t state) {
    return state == Dfa::kNone ? Dfa::kNone : group[static_cast<size_t>(state)];
  };
  const auto compared = [&](size_t a, size_t b) {
    const auto from_a = dfa.edges(a);
    const auto from_b = dfa.edges(b);
    for (size_t c = 0; c < from_a.size(); ++c) {
      const int32_t to_a = group_at(from_a[c]);
      const int32_t to_b = group_at(from_b[c]);
      if (to_a != to_b) return to_a <=> to_b;
    }
    return std::strong_ordering::equal;
  };
  for (int32_t count = 0;;) {
    std::vector<int32_t> finer(group.size());
    int32_t finer_count = 0;
    for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
      while (end < order.size() && group[order[end]] == group[order[begin]]) ++end;
      const auto same = std::span(order).subspan(begin, end - begin);
      std::ranges::sort(same, [&](size_t a, size_t b) { return compared(a, b) < 0; });
      for (size_t i = 0; i < same.size(); ++i) {
        if (i == 0 || compared(same[i - 1], same[i]) != 0) ++finer_count;
        finer[same[i]] = finer_count - 1;
      }
    }
    group = std::move(finer);
    if (finer_count == count) return group;
    count = finer_count;
  }
}

}  // namespace

Dfa minimized(Dfa dfa) {
  const std::vector<bool> is_alive = prune(dfa);
  const std::vector<int32_t> groups = groups_of(dfa);
  std::vector<int32_t> number_of(dfa.size(), Dfa::kNone);  // of a group
  std::vector<size_t> firsts;                              // of the groups that stay
  for (size_t i = 0; i < dfa.size(); ++i) {
    int32_t& number = number_of[static_cast<size_t>(groups[i])];
    if (number != Dfa::kNone || !(is_alive[i] || i == 0)) continue;
    number = static_cast<int32_t>(firsts.size());
    firsts.push_back(i);
  }
  Dfa out(dfa.width());
  for (const size_t first : firsts) {
    out.add(dfa.is_end(first));
    std::ranges::transform(dfa.edges(first), out.edges(out.size() - 1).begin(), [&](int32_t to) {
      if (to == Dfa::kNone) return Dfa::kNone;
      return number_of[static_cast<size_t>(groups[static_cast<size_t>(to)])];
    });
  }
  return out;
}

}  // namespace squish
