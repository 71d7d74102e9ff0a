#include "grammar/pattern_tree.h"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"

namespace squish {
namespace {

using Kind = PatternNode::Kind;
constexpr int64_t kUnbounded = CountRange::kUnbounded;

int64_t sum_of(int64_t a, int64_t b) { return std::min(a + b, kUnbounded); }

int64_t product_of(int64_t a, int64_t b) {
  if (a == 0 || b == 0) return 0;
  return a > kUnbounded / b ? kUnbounded : a * b;
}

Pattern make(PatternNode node) { return std::make_shared<const PatternNode>(std::move(node)); }

/// Times that a repetition is written out.
int64_t written_rounds(CountRange rounds) {
  return rounds.most == kUnbounded ? std::max<int64_t>(rounds.least, 1) : rounds.most;
}

/// x, x?, x{2,5}: a repetition of at least one child, as the child and its rounds.
struct Rounds {
  Pattern child;
  CountRange rounds;
};
Rounds rounds_of(const Pattern& node) {
  if (node->kind == Kind::repetition) return {node->children.front(), node->rounds};
  return {node, {1, 1}};
}

bool are_same(const Pattern& a, const Pattern& b) {
  return a == b || (a->kind == Kind::characters && b->kind == Kind::characters && a->set == b->set);
}

/// Adds `node` to a sequence: [a-z][a-z]* becomes [a-z]+, which shares a length in one way only.
void append(std::vector<Pattern>& out, const Pattern& node) {
  if (!out.empty() && (node->kind == Kind::repetition || out.back()->kind == Kind::repetition)) {
    const Rounds last = rounds_of(out.back());
    const Rounds next = rounds_of(node);
    if (are_same(last.child, next.child)) {
      out.back() = pattern::repetition(last.child, {sum_of(last.rounds.least, next.rounds.least),
                                                    sum_of(last.rounds.most, next.rounds.most)});
      return;
    }
  }
  out.push_back(node);
}

/// Are the rounds of a repetition in a repetition all numbers between the least and the most? Of
/// (a{2,3}){1,4} they are: each number of outer rounds goes on where the one before ends.
bool joins(CountRange inner, CountRange outer) {
  return outer.least == outer.most ||
         product_of(outer.least + 1, inner.least) <= sum_of(product_of(outer.least, inner.most), 1);
}

/// (b?a+c?)+ without the rounds of a, which are rounds of the whole as well: (b?ac?)+. The same
/// texts, but no longer in many ways, of which the engine would follow each.
Pattern without_inner_rounds(const Pattern& child) {
  if (child->kind != Kind::sequence) return child;
  std::vector<Pattern> parts = child->children;
  const auto is_needed = [](const Pattern& part) { return part->length.least > 0; };
  const auto first = std::ranges::find_if(parts, is_needed);
  if (first == parts.end() || std::ranges::count_if(parts, is_needed) > 1) return child;
  if ((*first)->kind == Kind::repetition && (*first)->rounds == CountRange{1, kUnbounded})
    *first = (*first)->children.front();
  return pattern::sequence(parts);
}

}  // namespace

namespace pattern {

bool is_nothing(const Pattern& node) { return node->kind == Kind::nothing; }
bool is_empty(const Pattern& node) {
  return node->kind == Kind::sequence && node->children.empty();
}

Pattern nothing() {
  static const Pattern out = make({.kind = Kind::nothing, .length = {kUnbounded, 0}});
  return out;
}

Pattern empty() {
  static const Pattern out = make({.kind = Kind::sequence, .length = {0, 0}});
  return out;
}

Pattern one_of(const CharacterSet& set) {
  static const CharacterSet never = json_characters().complement();
  CharacterSet possible = set.without(never);
  if (possible.is_empty()) return nothing();
  const auto weight = static_cast<int64_t>(std::bit_width(possible.size()));
  return make({.kind = Kind::characters,
               .set = std::move(possible),
               .length = {1, 1},
               .parts = 1,
               .weight = weight});
}

Pattern sequence(const std::vector<Pattern>& children) {
  PatternNode out{.kind = Kind::sequence, .length = {0, 0}};
  for (const Pattern& child : children) {
    if (is_nothing(child)) return nothing();
    if (child->kind != Kind::sequence) {
      append(out.children, child);
      continue;
    }
    for (const Pattern& grandchild : child->children) append(out.children, grandchild);
  }
  if (out.children.empty()) return empty();
  if (out.children.size() == 1) return out.children.front();
  int64_t fixed_weight = 0;
  for (const Pattern& child : out.children) {
    out.length.least = sum_of(out.length.least, child->length.least);
    out.length.most = sum_of(out.length.most, child->length.most);
    out.parts = sum_of(out.parts, child->parts);
    if (child->has_one_length()) {
      fixed_weight = std::max(fixed_weight, child->weight);
    } else {
      out.weight = sum_of(out.weight, child->weight);
    }
  }
  if (out.weight == 0) out.weight = fixed_weight;
  return make(std::move(out));
}

Pattern choice(const std::vector<Pattern>& children) {
  PatternNode out{.kind = Kind::choice, .length = {kUnbounded, 0}};
  bool has_empty = false;
  std::vector<CodePointRange> characters;  // a|b is [ab]
  const auto add = [&](const Pattern& child) {
    if (child->kind == Kind::characters) {
      characters.insert(characters.end(), child->set.ranges().begin(), child->set.ranges().end());
    } else {
      out.children.push_back(child);
    }
  };
  for (const Pattern& child : children) {
    if (is_empty(child)) has_empty = true;
    if (is_nothing(child) || is_empty(child)) continue;
    if (child->kind == Kind::choice) {
      for (const Pattern& grandchild : child->children) add(grandchild);
    } else {
      add(child);
    }
  }
  if (!characters.empty()) out.children.push_back(one_of(CharacterSet(std::move(characters))));
  if (has_empty) return out.children.empty() ? empty() : repetition(choice(out.children), {0, 1});
  if (out.children.empty()) return nothing();
  if (out.children.size() == 1) return out.children.front();
  for (const Pattern& child : out.children) {
    out.length.least = std::min(out.length.least, child->length.least);
    out.length.most = std::max(out.length.most, child->length.most);
    out.parts = sum_of(out.parts, child->parts);
    out.weight = std::max(out.weight, child->weight);
  }
  return make(std::move(out));
}

Pattern repetition(const Pattern& given, CountRange rounds) {
  if (rounds.least > rounds.most) return nothing();
  if (is_nothing(given)) return rounds.least == 0 ? empty() : nothing();
  if (is_empty(given) || rounds.most == 0) return empty();
  if (rounds == CountRange{1, 1}) return given;
  const bool is_open = rounds.most == kUnbounded && rounds.least <= 1;
  const Pattern child = is_open ? without_inner_rounds(given) : given;
  if (child->kind == Kind::repetition && joins(child->rounds, rounds))
    return repetition(child->children.front(), {product_of(child->rounds.least, rounds.least),
                                                product_of(child->rounds.most, rounds.most)});
  return make({.kind = Kind::repetition,
               .children = {child},
               .rounds = rounds,
               .length = {product_of(child->length.least, rounds.least),
                          product_of(child->length.most, rounds.most)},
               .parts = product_of(child->parts, written_rounds(rounds)),
               .weight = child->weight});
}

}  // namespace pattern

namespace {

/// Writes a tree; its parts and its bytes are bounded, and so is its depth (parse_pattern()).
class Writer {
 public:
  std::string text;

  void write(const Pattern& node) {
    if (text.size() > limits::kGrammarBytesMax) return;
    switch (node->kind) {
      case Kind::nothing:
        break;
      case Kind::characters:
        text += regex_text(node->set);
        break;
      case Kind::sequence:
        for (const Pattern& child : node->children) {
          child->kind == Kind::choice ? write_group(child) : write(child);
        }
        break;
      case Kind::choice:
        for (size_t i = 0; i < node->children.size(); ++i) {
          if (i > 0) text += '|';
          write(node->children[i]);
        }
        break;
      case Kind::repetition:
        write_repetition(node->children.front(), node->rounds);
        break;
    }
  }

 private:
  // The engine writes out repetitions of so many rounds or parts, of which each needs a mask (1 ms
  // at 150,000 tokens), and counts the rounds of longer ones.
  static constexpr int64_t kRoundsWritten = 128;
  static constexpr int64_t kPartsWritten = 256;

  void write_group(const Pattern& node) {
    text += "(?:";
    write(node);
    text += ')';
  }

  /// x{0,300} as (?:x{48}){0,4}x{0,108}. Tokens that go beyond a round which the engine counts are
  /// tried at each step (4 to 30 ms a mask where a round is one character). Of larger rounds these
  /// are few, and they are known to fit where what follows, which may have begun instead, goes on.
  void write_repetition(const Pattern& child, CountRange rounds) {
    const int64_t written = written_rounds(rounds);
    const bool is_long =
        written > kRoundsWritten || product_of(written, child->parts) > kPartsWritten;
    if (!is_long || child->length.least == 0) {
      write_rounds(child, rounds);
      return;
    }
    constexpr int64_t kTokenCharacters = 32;  // of nearly all tokens
    constexpr int64_t kRoundParts = 48;
    const int64_t times = std::max<int64_t>(kRoundParts / child->parts, 1);
    const int64_t beyond = std::max<int64_t>(kTokenCharacters / child->parts, 1);
    const int64_t rest = rounds.least % times;
    if (rounds.least >= times)
      write_rounds(pattern::repetition(child, {times, times}),
                   {rounds.least / times, rounds.least / times});
    if (rounds.most == kUnbounded) {
      write_rounds(child, {rest, kUnbounded});
      return;
    }
    if (rest > 0) write_rounds(child, {rest, rest});
    // What follows makes up for every count between two numbers of whole rounds.
    const int64_t optional = rounds.most - rounds.least;
    const int64_t whole = std::max<int64_t>(optional - (times - 1) - beyond, 0) / times;
    if (whole > 0) write_rounds(pattern::repetition(child, {times, times}), {0, whole});
    if (optional > 0) write_rounds(child, {0, optional - whole * times});
  }

  void write_rounds(const Pattern& child, CountRange rounds) {
    const bool is_alone = child->kind == Kind::characters ||
                          (rounds == CountRange{1, 1} && child->kind != Kind::choice);
    is_alone ? write(child) : write_group(child);
    if (rounds == CountRange{1, 1}) return;
    if (rounds == CountRange{0, 1}) {
      text += '?';
    } else if (rounds.most == kUnbounded && rounds.least <= 1) {
      text += rounds.least == 0 ? '*' : '+';
    } else if (rounds.most == kUnbounded) {
      text += fmt::format("{{{},}}", rounds.least);
    } else if (rounds.least == rounds.most) {
      text += fmt::format("{{{}}}", rounds.least);
    } else {
      text += fmt::format("{{{},{}}}", rounds.least, rounds.most);
    }
  }
};

}  // namespace

Result<std::string> pattern_text(const Pattern& node) {
  SQ_CHECK(!pattern::is_nothing(node));
  if (node->parts > static_cast<int64_t>(limits::kGrammarPartsMax))
    return Error{ErrorCode::invalid_argument,
                 fmt::format("it has more than {} parts when its repetitions are written out; make "
                             "it simpler",
                             limits::kGrammarPartsMax)};
  Writer writer;
  writer.write(node);
  if (writer.text.size() > limits::kGrammarBytesMax)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("it has more than {} bytes when its classes are written out; make it "
                             "simpler",
                             limits::kGrammarBytesMax)};
  return std::move(writer.text);
}

}  // namespace squish
