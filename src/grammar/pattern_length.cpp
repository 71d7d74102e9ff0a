#include "grammar/pattern_length.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <numeric>
#include <span>
#include <utility>

#include "base/limits.h"

namespace squish {
namespace {

using Kind = PatternNode::Kind;
using pattern::choice;
using pattern::is_nothing;
using pattern::nothing;
using pattern::repetition;
using pattern::sequence;
constexpr int64_t kUnbounded = CountRange::kUnbounded;

int64_t rounded_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// What a node may take beyond its shortest text.
int64_t spare_of(const Pattern& node) {
  return node->length.most == kUnbounded ? kUnbounded : node->length.most - node->length.least;
}

/// Where rounds and their length share `most`. Words and parts of names are seldom longer than 16.
int64_t round_length(int64_t most) {
  return std::min(static_cast<int64_t>(std::sqrt(2.0 * static_cast<double>(most))), int64_t{16});
}

/// How much of `most` a node deserves. Of (a+)+ each round is a text of its own, of a+ all are one.
int64_t weight_of(const Pattern& node, int64_t most) {
  if (node->kind != Kind::repetition || node->children.front()->has_one_length())
    return node->weight;
  const int64_t rounds = most / std::max<int64_t>(round_length(most), 1);
  return node->weight * std::clamp<int64_t>(rounds, 1, std::min<int64_t>(node->rounds.most, 1024));
}

class Fitter {
 public:
  explicit Fitter(size_t ways_max) : ways_max_(ways_max) {}

  /// Texts of at most `most` characters; nothing only where none is that short.
  Pattern limit(const Pattern& node, int64_t most) {
    if (node->length.least > most || is_out_of_steps(node)) return nothing();
    if (node->length.most <= most) return node;
    if (node->kind == Kind::repetition) return limit_repetition(node, most);
    if (node->kind == Kind::sequence) return limit_sequence(node->children, most);
    std::vector<Pattern> branches;
    for (const Pattern& child : node->children) branches.push_back(limit(child, most));
    return choice(branches);
  }

  /// Texts of at least `least` characters; nothing only where none is that long. `most` is what
  /// limit() will ask for later: of several ways those are taken that leave something then.
  Pattern raise(const Pattern& node, int64_t least, int64_t most) {
    if (node->length.most < least || is_out_of_steps(node)) return nothing();
    if (node->length.least >= least) return node;
    if (node->kind == Kind::repetition) return raise_repetition(node, least, most);
    if (node->kind == Kind::sequence) return raise_sequence(node->children, least, most);
    std::vector<Pattern> branches;
    for (const Pattern& child : node->children) branches.push_back(raise(child, least, most));
    return choice(branches);
  }

 private:
  bool is_out_of_steps(const Pattern& node) {
    steps_ += 1 + node->children.size();
    return steps_ > kStepsMax;
  }

  Pattern limit_repetition(const Pattern& node, int64_t most) {
    const Pattern& child = node->children.front();
    const auto [least_rounds, most_rounds] = node->rounds;
    const CountRange length = child->length;
    if (child->has_one_length())
      return repetition(child, {least_rounds, std::min(most_rounds, most / length.most)});
    if (length.least > most) return pattern::empty();  // no round at all
    const int64_t wanted =
        std::max({std::min(round_length(most), length.most), length.least, int64_t{1}});
    const int64_t rounds =
        std::clamp(most / wanted, std::max<int64_t>(least_rounds, 1), most_rounds);
    return repetition(limit(child, most / rounds), {least_rounds, rounds});
  }

  Pattern limit_sequence(const std::vector<Pattern>& children, int64_t most) {
    std::vector<size_t> open;  // that vary, those that need little first
    int64_t spare = most;
    for (size_t i = 0; i < children.size(); ++i) {
      spare -= children[i]->length.least;
      if (!children[i]->has_one_length()) open.push_back(i);
    }
    std::ranges::stable_sort(
        open, {}, [&](size_t i) { return std::pair(spare_of(children[i]), children[i]->weight); });
    constexpr int64_t kPartsExact = 128;  // which take 0.1 s to compile at 150,000 tokens
    if (open.size() <= kWaysKept && most <= kPartsExact) {
      std::vector<Pattern> ways;
      std::vector<Pattern> begun = children;
      if (keep_ways(begun, open, spare, ways)) {
        const Pattern out = choice(ways);
        if (out->parts <= kPartsExact) return out;
      }
    }
    return share(children, open, spare);
  }

  /// Every way to spend up to `spare` characters on the parts that are `open`, of which those
  /// before are settled in `begun`: of a?b* with two bb? and ab?. False when there are too many.
  bool keep_ways(std::vector<Pattern>& begun, std::span<const size_t> open, int64_t spare,
                 std::vector<Pattern>& ways) {
    const Pattern child = begun[open.front()];
    int64_t needed = 0;  // by the parts after it
    for (const size_t i : open.subspan(1)) needed += spare_of(begun[i]);
    // With so few characters for this part the others have all that they need.
    const int64_t free = std::min(spare - needed, spare_of(child));
    if (free >= 0) {
      begun[open.front()] = limit(child, child->length.least + free);
      ways.push_back(sequence(begun));
    }
    for (int64_t taken = std::max<int64_t>(free + 1, 0); taken <= std::min(spare, spare_of(child));
         ++taken) {
      const Pattern raised = raised_by(child, taken, spare);
      taken = raised->length.least - child->length.least;
      if (is_nothing(raised) || taken > spare) break;
      begun[open.front()] = limit(raised, raised->length.least);
      if (ways.size() >= kWaysKept || !keep_ways(begun, open.subspan(1), spare - taken, ways))
        return false;
    }
    begun[open.front()] = child;
    return ways.size() <= kWaysKept;
  }

  /// Each part that is `open` gets a share of `spare`. Those that need less than an even one get
  /// what they need, the others by their weight: after a name in letters a text of any characters
  /// is the longer one. What one leaves goes to the next.
  Pattern share(const std::vector<Pattern>& children, std::span<const size_t> open, int64_t spare) {
    std::vector<Pattern> out = children;
    std::vector<int64_t> weights;
    for (const size_t i : open) weights.push_back(weight_of(children[i], spare));
    int64_t weight = std::accumulate(weights.begin(), weights.end(), int64_t{0});
    for (size_t k = 0; k < open.size(); ++k) {
      const Pattern& child = children[open[k]];
      const auto left = static_cast<int64_t>(open.size() - k);
      const double by_weight = static_cast<double>(spare) * static_cast<double>(weights[k]) /
                               static_cast<double>(weight);
      const int64_t part =
          spare_of(child) <= spare / left ? spare_of(child) : static_cast<int64_t>(by_weight);
      out[open[k]] = limit(child, child->length.least + part);
      spare -= out[open[k]]->length.most - child->length.least;
      weight -= weights[k];
    }
    return sequence(out);
  }

  Pattern raise_repetition(const Pattern& node, int64_t least, int64_t most) {
    const Pattern& child = node->children.front();
    const auto [least_rounds, most_rounds] = node->rounds;
    if (child->length.least == 0) {  // (a?){2,5} is a{0,5}: a round of nothing counts for nothing
      const Pattern same = repetition(raise(child, 1, most), {0, most_rounds});
      return raise(same, least, most);
    }
    const int64_t rounds = rounded_up(least, child->length.least);
    const Pattern more_rounds = repetition(child, {std::max(rounds, least_rounds), most_rounds});
    const bool is_exact = child->has_one_length() || (rounds == 1 && least_rounds == 0);
    if (is_exact) return more_rounds;
    // Or one round that is long, the first.
    const int64_t others_most = most_rounds == kUnbounded ? kUnbounded : most_rounds - 1;
    const Pattern others = repetition(child, {std::max<int64_t>(least_rounds, 1) - 1, others_most});
    const Pattern first = raise(child, least, most - others->length.least);
    const Pattern out = choice_within({more_rounds, sequence({first, others})}, most);
    if (!is_nothing(out) || most_rounds == kUnbounded) return out;
    // Or all that there can be, each of a part of it.
    return repetition(raise(child, rounded_up(least, most_rounds), most),
                      {most_rounds, most_rounds});
  }

  Pattern raise_sequence(const std::vector<Pattern>& children, int64_t least, int64_t most) {
    std::vector<size_t> open;  // that vary
    int64_t missing = least;
    for (size_t i = 0; i < children.size(); ++i) {
      missing -= children[i]->length.least;
      most -= children[i]->length.least;
      if (!children[i]->has_one_length()) open.push_back(i);
    }
    // From here on `most` is what may be added, as `missing` is what must be.
    std::vector<Pattern> ways;
    std::vector<Pattern> begun = children;
    if (open.size() <= ways_max_ && add_ways(begun, open, missing, most, ways)) {
      const Pattern out = choice(ways);
      if (!is_nothing(out)) return out;
    }
    // One of the heaviest, or else as many as it takes, those first that can take most.
    std::ranges::stable_sort(open, std::greater(), [&](size_t i) {
      return std::pair(children[i]->weight, spare_of(children[i]));
    });
    for (size_t k = 0; k < std::min(open.size(), ways_max_); ++k) {
      const Pattern& child = children[open[k]];
      const Pattern raised = raised_by(child, missing, most);
      if (is_nothing(raised) || raised->length.least - child->length.least > most) continue;
      std::vector<Pattern> out = children;
      out[open[k]] = raised;
      return sequence(out);
    }
    std::ranges::stable_sort(open, std::greater(), [&](size_t i) { return spare_of(children[i]); });
    std::vector<Pattern> out = children;
    for (const size_t i : open) {
      if (missing <= 0) break;
      out[i] = raised_by(children[i], std::min(missing, spare_of(children[i])), most);
      missing -= out[i]->length.least - children[i]->length.least;
    }
    return sequence(out);
  }

  Pattern raised_by(const Pattern& child, int64_t added, int64_t added_most) {
    const int64_t least = child->length.least;
    return raise(child, least + added, std::min(least + added_most, kUnbounded));
  }

  /// Every way to add `missing` characters to the parts that are `open`, of which those before are
  /// settled in `begun`: of a*b* with two more b{2,}, ab+ and a{2,}b*, no text in two of them.
  /// False when there are too many.
  bool add_ways(std::vector<Pattern>& begun, std::span<const size_t> open, int64_t missing,
                int64_t most, std::vector<Pattern>& ways) {
    if (open.empty()) return true;
    const Pattern child = begun[open.front()];
    int64_t spare = 0;  // of the parts after it
    for (const size_t i : open.subspan(1)) spare += spare_of(begun[i]);
    for (int64_t added = std::max<int64_t>(missing - spare, 0); added <= missing; ++added) {
      const Pattern raised = raised_by(child, added, most);
      if (is_nothing(raised)) break;
      added = raised->length.least - child->length.least;
      if (added < missing) {
        begun[open.front()] = limit(raised, raised->length.least);
        if (!add_ways(begun, open.subspan(1), missing - added, most - added, ways)) return false;
      } else {
        begun[open.front()] = raised;
        ways.push_back(added <= most ? sequence(begun) : nothing());
        if (ways.size() > ways_max_) return false;
      }
    }
    begun[open.front()] = child;
    return true;
  }

  static Pattern choice_within(const std::vector<Pattern>& ways, int64_t most) {
    std::vector<Pattern> out;
    std::ranges::copy_if(ways, std::back_inserter(out),
                         [&](const Pattern& way) { return way->length.least <= most; });
    return choice(out);
  }

  static constexpr size_t kStepsMax = 2'000'000;  // 0.1 s; 16 KiB of pattern have 16,000 nodes
  static constexpr size_t kWaysKept = 4;          // to be short enough
  const size_t ways_max_;                         // to be long enough
  size_t steps_ = 0;                              // nodes and children that were looked at
};

/// With at most `ways_max` ways to be long enough in one sequence; nothing, too, when that took too
/// much time.
Pattern fitted(const Pattern& node, CountRange length, size_t ways_max) {
  constexpr auto kPartsMax = static_cast<int64_t>(limits::kGrammarPartsMax);
  Fitter fitter(ways_max);
  const Pattern raised = fitter.raise(node, length.least, length.most);
  if (raised->length.most <= length.most) return raised;
  int64_t most = std::min(length.most, std::max(kPartsMax, raised->length.least));
  while (true) {
    const Pattern out = fitter.limit(raised, most);
    const int64_t next = most - most / 4;
    const bool can_be_less = next < most && next >= raised->length.least;
    if (out->parts <= kPartsMax || !can_be_less) return out;
    most = next;
  }
}

}  // namespace

Pattern with_length(const Pattern& node, CountRange length) {
  constexpr int64_t kPartsOfWays = 1000;  // 1 s of masks at 150,000 tokens
  const Pattern out = fitted(node, length, 16);
  if (out->parts > 0 && out->parts <= kPartsOfWays) return out;
  const Pattern simple = fitted(node, length, 1);
  return is_nothing(simple) ? out : simple;
}

}  // namespace squish
