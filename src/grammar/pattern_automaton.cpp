// Two patterns as automata over the classes of characters that they tell apart, the states of both
// at a time, and the way back to a pattern by leaving out one state after another.
#include "grammar/pattern_automaton.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "grammar/dfa.h"

namespace squish {
namespace {

// As far as patterns of schemas go: a UUID has 37 states, a date and time 60.
constexpr size_t kNfaStatesMax = 4000;
constexpr size_t kStatesMax = 600;     // of a deterministic automaton, and of two together
constexpr size_t kEdgesMax = 200'000;  // states times classes
constexpr int64_t kPartsMax = 3000;    // of what it becomes

/// Characters that no set of the patterns tells apart have one number.
class Alphabet {
 public:
  explicit Alphabet(const std::vector<Pattern>& patterns) {
    std::set<uint32_t> borders = {0};
    for (const Pattern& pattern : patterns) add_borders(pattern, borders);
    begins_.assign(borders.begin(), borders.end());
  }
  [[nodiscard]] size_t size() const { return begins_.size(); }
  [[nodiscard]] std::vector<size_t> classes_of(const CharacterSet& set) const {
    std::vector<size_t> out;
    for (size_t i = 0; i < begins_.size(); ++i) {
      if (set.contains(begins_[i])) out.push_back(i);
    }
    return out;
  }
  [[nodiscard]] CodePointRange range_of(size_t i) const {
    return {begins_[i], i + 1 < begins_.size() ? begins_[i + 1] - 1 : CharacterSet::kLast};
  }

 private:
  static void add_borders(const Pattern& node, std::set<uint32_t>& out) {
    for (const CodePointRange& range : node->set.ranges()) {
      out.insert(range.first);
      if (range.last < CharacterSet::kLast) out.insert(range.last + 1);
    }
    for (const Pattern& child : node->children) add_borders(child, out);
  }
  std::vector<uint32_t> begins_;
};

/// Edges without a character and with one class.
struct Nfa {
  std::vector<std::vector<size_t>> free;
  std::vector<std::vector<std::pair<size_t, size_t>>> edges;  // class, state
  size_t end = 0;

  size_t add() {
    free.emplace_back();
    edges.emplace_back();
    return free.size() - 1;
  }
};

class NfaBuilder {
 public:
  explicit NfaBuilder(const Alphabet& alphabet) : alphabet_(alphabet) {}

  std::optional<Nfa> run(const Pattern& pattern) {
    const size_t begin = nfa_.add();
    nfa_.end = add(pattern, begin);
    if (is_too_large()) return std::nullopt;
    return std::move(nfa_);
  }

 private:
  bool is_too_large() const { return nfa_.free.size() > kNfaStatesMax; }

  /// The state behind the texts of `node` from `from` on.
  size_t add(const Pattern& node, size_t from) {
    if (is_too_large()) return from;
    size_t at = from;
    switch (node->kind) {
      case PatternNode::Kind::nothing:
        return nfa_.add();  // no edge leads there
      case PatternNode::Kind::characters: {
        const size_t to = nfa_.add();
        for (const size_t c : alphabet_.classes_of(node->set)) nfa_.edges[from].emplace_back(c, to);
        return to;
      }
      case PatternNode::Kind::sequence:
        for (const Pattern& child : node->children) at = add(child, at);
        return at;
      case PatternNode::Kind::choice: {
        const size_t to = nfa_.add();
        for (const Pattern& child : node->children) {
          const size_t last = add(child, from);
          nfa_.free[last].push_back(to);
        }
        return to;
      }
      case PatternNode::Kind::repetition:
        return add_rounds(node, from);
    }
    return at;
  }

  size_t add_rounds(const Pattern& node, size_t from) {
    const Pattern& child = node->children.front();
    size_t at = from;
    for (int64_t i = 0; i < node->rounds.least && !is_too_large(); ++i) at = add(child, at);
    const size_t to = nfa_.add();
    if (node->rounds.most == CountRange::kUnbounded) {
      nfa_.free[at].push_back(to);
      const size_t again = add(child, to);
      nfa_.free[again].push_back(to);
      return to;
    }
    for (int64_t i = node->rounds.least; i < node->rounds.most && !is_too_large(); ++i) {
      nfa_.free[at].push_back(to);
      at = add(child, at);
    }
    nfa_.free[at].push_back(to);
    return to;
  }

  const Alphabet& alphabet_;
  Nfa nfa_;
};

std::vector<size_t> closure_of(const Nfa& nfa, std::vector<size_t> states) {
  std::vector<bool> is_in(nfa.free.size());
  for (const size_t state : states) is_in[state] = true;
  for (size_t i = 0; i < states.size(); ++i) {
    for (const size_t to : nfa.free[states[i]]) {
      if (!is_in[to]) states.push_back(to);
      is_in[to] = true;
    }
  }
  std::ranges::sort(states);
  const auto again = std::ranges::unique(states);
  states.erase(again.begin(), again.end());
  return states;
}

std::optional<Dfa> determinized(const Nfa& nfa, size_t classes) {
  Dfa out(classes);
  std::map<std::vector<size_t>, int32_t> numbers;
  std::vector<std::vector<size_t>> open;
  const auto number_of = [&](std::vector<size_t> states) {
    const auto [found, is_new] =
        numbers.emplace(std::move(states), static_cast<int32_t>(open.size()));
    if (is_new) open.push_back(found->first);
    return found->second;
  };
  number_of(closure_of(nfa, {0}));
  for (size_t i = 0; i < open.size(); ++i) {
    if (open.size() > kStatesMax || open.size() * classes > kEdgesMax) return std::nullopt;
    std::vector<std::vector<size_t>> to(classes);
    for (const size_t state : open[i]) {
      for (const auto& [c, target] : nfa.edges[state]) to[c].push_back(target);
    }
    out.add(std::ranges::binary_search(open[i], nfa.end));
    for (size_t c = 0; c < classes; ++c) {
      if (!to[c].empty()) out.edges(i)[c] = number_of(closure_of(nfa, std::move(to[c])));
    }
  }
  return out;
}

/// Texts of `a` that are (`is_in`) or are not texts of `b`.
std::optional<Dfa> product_of(const Dfa& a, const Dfa& b, bool is_in) {
  using Pair = std::pair<int32_t, int32_t>;
  Dfa out(a.width());
  std::map<Pair, int32_t> numbers;
  std::vector<Pair> open;
  const auto number_of = [&](Pair states) {
    const auto [found, is_new] = numbers.emplace(states, static_cast<int32_t>(open.size()));
    if (is_new) open.push_back(states);
    return found->second;
  };
  number_of({0, 0});
  for (size_t i = 0; i < open.size(); ++i) {
    if (open.size() > kStatesMax) return std::nullopt;
    const auto in_a = static_cast<size_t>(open[i].first);
    const auto in_b = static_cast<size_t>(open[i].second);  // meaningless where b is left
    const bool is_left = open[i].second == Dfa::kNone;
    const bool is_end_b = !is_left && b.is_end(in_b);
    out.add(a.is_end(in_a) && is_end_b == is_in);
    for (size_t c = 0; c < out.width(); ++c) {
      const int32_t to_a = a.edges(in_a)[c];
      const int32_t to_b = is_left ? Dfa::kNone : b.edges(in_b)[c];
      if (to_a == Dfa::kNone || (is_in && to_b == Dfa::kNone)) continue;
      out.edges(i)[c] = number_of({to_a, to_b});
    }
  }
  return out;
}

/// Edges by patterns between the states that are left.
class Eliminator {
 public:
  Eliminator(const Dfa& dfa, const Alphabet& alphabet)
      : begin_(dfa.size()), end_(dfa.size() + 1), edges_(dfa.size() + 2) {
    for (size_t i = 0; i < dfa.size(); ++i) {
      std::map<int32_t, std::vector<CodePointRange>> ranges;
      for (size_t c = 0; c < dfa.width(); ++c) {
        const int32_t to = dfa.edges(i)[c];
        if (to != Dfa::kNone) ranges[to].push_back(alphabet.range_of(c));
      }
      for (auto& [to, list] : ranges)
        set(i, static_cast<size_t>(to), pattern::one_of(CharacterSet(std::move(list))));
      if (dfa.is_end(i)) set(i, end_, pattern::empty());
    }
    set(begin_, 0, pattern::empty());
  }

  std::optional<Pattern> run() {
    std::set<size_t> left;
    for (size_t i = 0; i < begin_; ++i) left.insert(i);
    while (!left.empty()) {
      const size_t state =
          *std::ranges::min_element(left, {}, [&](size_t i) { return cost_of(i); });
      left.erase(state);
      if (!leave_out(state)) return std::nullopt;
    }
    const auto found = edges_[begin_].find(end_);
    return found == edges_[begin_].end() ? pattern::nothing() : found->second;
  }

 private:
  void set(size_t from, size_t to, const Pattern& pattern) {
    if (pattern::is_nothing(pattern)) return;
    const auto found = edges_[from].find(to);
    edges_[from][to] =
        found == edges_[from].end() ? pattern : pattern::choice({found->second, pattern});
    sources_[to].insert(from);
  }

  int64_t cost_of(size_t state) {
    int64_t in = 0;
    int64_t out = 0;
    int64_t in_parts = 0;
    int64_t out_parts = 0;
    for (const size_t from : sources_[state]) {
      const auto found = edges_[from].find(state);
      if (from == state || found == edges_[from].end()) continue;
      ++in;
      in_parts += found->second->parts;
    }
    for (const auto& [to, pattern] : edges_[state]) {
      if (to == state) continue;
      ++out;
      out_parts += pattern->parts;
    }
    const auto loop = edges_[state].find(state);
    const int64_t loop_parts = loop == edges_[state].end() ? 0 : loop->second->parts;
    return in * out_parts + out * in_parts + in * out * loop_parts;
  }

  bool leave_out(size_t state) {
    Pattern loop = pattern::empty();
    if (const auto found = edges_[state].find(state); found != edges_[state].end())
      loop = pattern::repetition(found->second, {});
    const auto out = edges_[state];
    for (const size_t from : sources_[state]) {
      const auto in = edges_[from].find(state);
      if (from == state || in == edges_[from].end()) continue;
      const Pattern before = in->second;
      edges_[from].erase(in);
      for (const auto& [to, after] : out) {
        if (to == state) continue;
        set(from, to, pattern::sequence({before, loop, after}));
        if (edges_[from].find(to)->second->parts > kPartsMax) return false;
      }
    }
    edges_[state].clear();
    return true;
  }

  size_t begin_;
  size_t end_;
  std::vector<std::map<size_t, Pattern>> edges_;
  std::map<size_t, std::set<size_t>> sources_;
};

/// Texts of `a` that are or are not texts of `b`.
std::optional<Dfa> both_of(const Pattern& a, const Pattern& b, bool is_in,
                           const Alphabet& alphabet) {
  const auto nfa_a = NfaBuilder(alphabet).run(a);
  const auto nfa_b = NfaBuilder(alphabet).run(b);
  if (!nfa_a || !nfa_b) return std::nullopt;
  const auto dfa_a = determinized(*nfa_a, alphabet.size());
  const auto dfa_b = determinized(*nfa_b, alphabet.size());
  if (!dfa_a || !dfa_b) return std::nullopt;
  return product_of(*dfa_a, *dfa_b, is_in);
}

bool has_text(const Dfa& dfa) {
  for (size_t i = 0; i < dfa.size(); ++i) {
    if (dfa.is_end(i)) return true;
  }
  return false;
}

std::optional<Pattern> combined(const Pattern& a, const Pattern& b, bool is_in) {
  const Alphabet alphabet({a, b});
  const auto both = both_of(a, b, is_in, alphabet);
  if (!both) return std::nullopt;
  if (!has_text(*both)) return pattern::nothing();
  return Eliminator(minimized(*both), alphabet).run();
}

}  // namespace

Pattern any_text() { return pattern::repetition(pattern::one_of(json_characters()), CountRange{}); }

std::optional<Pattern> pattern_difference(const Pattern& a, const Pattern& b) {
  return combined(a, b, false);
}

bool are_disjoint(const Pattern& a, const Pattern& b) {
  const Alphabet alphabet({a, b});
  const auto both = both_of(a, b, true, alphabet);
  return both && !has_text(*both);
}

std::optional<Pattern> pattern_intersection(const Pattern& a, const Pattern& b) {
  return combined(a, b, true);
}

}  // namespace squish
