#pragma once
// How many characters of one class a state of xgrammar's automata takes in a row, so that a mask
// need not parse the tokens that are shorter. Part of the corrected grammar_compiler.cc (see
// xgrammar.cmake); knows its internals.
//
// A text of at most n characters is n states in a chain, and each needs a mask of its own: 20 ms
// by parsing 150,000 tokens byte by byte, 1 ms where their characters were counted once.
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fsm.h"
#include "grammar_impl.h"

namespace xgrammar {

/// Bytes of a character beyond ASCII, each from its range; sizes are 2 to 4.
struct SquishPath {
  struct Range {
    int32_t min = 0, max = 0;
    bool operator==(const Range& other) const { return min == other.min && max == other.max; }
  };
  std::array<Range, 4> bytes;
  size_t size = 0;
  bool operator==(const SquishPath& other) const {
    return size == other.size && bytes == other.bytes;
  }
};
/// A class of characters.
struct SquishClass {
  std::bitset<256> ascii;
  std::vector<SquishPath> others;
  bool operator==(const SquishClass& other) const {
    return ascii == other.ascii && others == other.others;
  }
};
/// Characters of each token of the vocabulary, 0 where one is not of the class (or there are too
/// many).
struct SquishCounts {
  SquishClass of;
  std::vector<uint8_t> of_token;
};
/// Of the compilation that this thread is in, which forgets them.
inline thread_local std::vector<SquishCounts> squish_counts;

class SquishRuns {
 public:
  using SortedVocabulary = std::vector<std::pair<int32_t, std::string>>;

  /// A state of a rule's automaton. Cost: steps times edges of a state, at most kMax steps.
  SquishRuns(const Grammar& grammar, int32_t rule, int32_t state) : grammar_(grammar) {
    if (!is_plain(rule)) return;
    for (const auto& edge : edges(state)) {
      for (int32_t byte = edge.min; edge.IsCharRange() && byte <= edge.max; ++byte)
        class_.ascii[static_cast<size_t>(byte)] = byte < 0x80;
    }
    const auto first = after_ascii(state);
    if (first) class_.others = others(state, *first);
    for (auto next = first; next && length_ < kMax; ++length_) next = after(*next);
  }

  /// Are all characters of token i of the class, and few enough? The first call for a class takes
  /// 3 ms at 150,000 tokens.
  [[nodiscard]] bool takes(int32_t i, const SortedVocabulary& vocabulary) {
    if (length_ < kMin) return false;
    if (counts_ == nullptr) counts_ = counted(vocabulary);
    const size_t count = counts_[i];
    return count > 0 && count <= length_;
  }

 private:
  static constexpr size_t kMin = 4;  // a shorter text has no state worth the count
  static constexpr size_t kMax = 255;
  static constexpr size_t kClasses = 16;
  static constexpr size_t kPaths = 64;  // "." without the ends of lines has 9

  const uint8_t* counted(const SortedVocabulary& vocabulary) const {
    for (const SquishCounts& counts : squish_counts) {
      if (counts.of == class_) return counts.of_token.data();
    }
    if (squish_counts.size() == kClasses) squish_counts.erase(squish_counts.begin());
    squish_counts.push_back({class_, std::vector<uint8_t>(vocabulary.size())});
    auto& of_token = squish_counts.back().of_token;
    for (size_t i = 0; i < vocabulary.size(); ++i) of_token[i] = characters(vocabulary[i].second);
    return of_token.data();
  }

  [[nodiscard]] uint8_t characters(const std::string& token) const {
    size_t count = 0;
    for (size_t i = 0; i < token.size(); ++count) {
      const auto byte = static_cast<uint8_t>(token[i]);
      const size_t size = byte < 0x80 ? class_.ascii[byte] : whole_character(token, i);
      if (size == 0) return 0;
      i += size;
    }
    return count > kMax ? 0 : static_cast<uint8_t>(count);
  }

  Compact2DArray<FSMEdge>::Row edges(int32_t state) const {
    return grammar_->complete_fsm.GetEdges(state);
  }

  /// Nothing but its text says what a rule takes.
  bool is_plain(int32_t rule) const {
    const auto& r = grammar_->GetRule(rule);
    const auto type = grammar_->GetGrammarExpr(r.body_expr_id).type;
    return !r.is_lazy && r.max_tokens < 0 && r.max_chars < 0 &&
           grammar_->GetSuffixStopInfo(rule) == nullptr &&
           type != Grammar::Impl::GrammarExprType::kTagDispatch &&
           type != Grammar::Impl::GrammarExprType::kTokenTagDispatch;
  }

  /// Where the byte leads, if an edge has it; of several the first.
  std::optional<int32_t> after_byte(int32_t state, int32_t byte) const {
    for (const auto& edge : edges(state)) {
      if (edge.IsCharRange() && edge.min <= byte && byte <= edge.max) return edge.target;
    }
    return std::nullopt;
  }

  /// The state that each byte of the class leads to, if it is one.
  std::optional<int32_t> after_ascii(int32_t state) const {
    std::optional<int32_t> target;
    for (int32_t byte = 0; byte < 0x80; ++byte) {
      if (!class_.ascii[static_cast<size_t>(byte)]) continue;
      const auto here = after_byte(state, byte);
      if (!here || (target && *target != *here)) return std::nullopt;
      target = here;
    }
    return target;
  }

  /// One step of the class from `state` on: itself, or the beginning of a rule that it calls.
  std::optional<int32_t> after(int32_t state) const {
    std::vector<int32_t> from = {state};
    for (size_t i = 0; i < from.size() && i < 8; ++i) {
      const auto target = after_ascii(from[i]);
      if (target && others(from[i], *target) == class_.others) return target;
      for (const auto& edge : edges(from[i])) {
        if (edge.IsEpsilon()) from.push_back(edge.target);
        if (edge.IsRuleRef() && is_plain(edge.GetRefRuleId()))
          from.push_back(grammar_->per_rule_fsms[edge.GetRefRuleId()]->GetFsm().GetStart());
      }
    }
    return std::nullopt;
  }

  using Range = SquishPath::Range;

  /// The characters beyond ASCII that lead from `state` to `target`, in the order of their edges;
  /// none where some lead elsewhere or there are too many to look through.
  std::vector<SquishPath> others(int32_t state, int32_t target) const {
    std::vector<SquishPath> out;
    const bool is_whole = add_paths(state, target, {}, out);
    return is_whole ? out : std::vector<SquishPath>();
  }

  bool add_paths(int32_t state, int32_t target, SquishPath path,
                 std::vector<SquishPath>& out) const {
    const size_t at = path.size++;
    for (const auto& edge : edges(state)) {
      if (!edge.IsCharRange() || edge.max < 0x80) continue;
      path.bytes[at] = {edge.min, edge.max};
      const Range first = path.bytes[0];
      const size_t size = size_of(first.min);
      if (size == 0 || size_of(first.max) != size) return false;
      if (at + 1 < size) {
        if (!add_paths(edge.target, target, path, out)) return false;
        continue;
      }
      if (edge.target != target || out.size() == kPaths) return false;
      out.push_back(path);
    }
    return true;
  }

  /// Bytes of a character that begins so; 0 when none does.
  static size_t size_of(int32_t first) {
    return first < 0xC2 || first > 0xF4 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  }

  /// Bytes of the whole character of the class at `i`; 0 if it is none.
  size_t whole_character(const std::string& token, size_t i) const {
    for (const SquishPath& path : class_.others) {
      bool is_here = token.size() - i >= path.size;
      for (size_t j = 0; is_here && j < path.size; ++j) {
        const auto byte = static_cast<uint8_t>(token[i + j]);
        is_here = path.bytes[j].min <= byte && byte <= path.bytes[j].max;
      }
      if (is_here) return path.size;
    }
    return 0;
  }

  const Grammar& grammar_;
  SquishClass class_;
  size_t length_ = 0;
  const uint8_t* counts_ = nullptr;
};

}  // namespace xgrammar
