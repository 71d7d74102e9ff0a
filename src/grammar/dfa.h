#pragma once
// Deterministic automata as tables: what patterns and numbers are worked out with.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace squish {

/// Begins in state 0. From each state one edge for each of `width` classes of characters.
class Dfa {
 public:
  static constexpr int32_t kNone = -1;  // leads nowhere

  explicit Dfa(size_t width) : width_(width) {}

  /// Adds a state without edges.
  void add(bool is_end) {
    next_.resize(next_.size() + width_, kNone);
    is_end_.push_back(is_end);
  }
  [[nodiscard]] size_t size() const { return is_end_.size(); }
  [[nodiscard]] size_t width() const { return width_; }
  [[nodiscard]] bool is_end(size_t state) const { return is_end_[state]; }
  [[nodiscard]] std::span<int32_t> edges(size_t state) {
    return std::span(next_).subspan(state * width_, width_);
  }
  [[nodiscard]] std::span<const int32_t> edges(size_t state) const {
    return std::span(next_).subspan(state * width_, width_);
  }

 private:
  size_t width_;
  std::vector<int32_t> next_;  // [size, width]
  std::vector<bool> is_end_;
};

/// The smallest automaton of the same texts: equal states are one, and each, but for the first
/// where there is no text at all, leads to an end. States keep their order, by the first of those
/// that became one. `dfa` must have a state. Cost: a few passes over all edges and as many sorts of
/// the states.
Dfa minimized(Dfa dfa);

}  // namespace squish
