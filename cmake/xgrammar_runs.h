#pragma once
// How many characters of one class a state of xgrammar's automata takes in a row, so that a mask
// need not parse the tokens that are shorter. Part of the corrected grammar_compiler.cc (see
// xgrammar.cmake); knows its internals.
//
// A text of at most n characters is n states in a chain, and each needs a mask of its own: 20 ms
// by parsing 150,000 tokens byte by byte, 1 ms where their characters were counted once.
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fsm.h"
#include "grammar_impl.h"

namespace xgrammar {

/// Characters of each token of the vocabulary, 0 where one is not of the class (or there are too
/// many).
struct SquishCounts {
  std::bitset<256> ascii;
  bool has_others = false;
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
        ascii_[static_cast<size_t>(byte)] = byte < 0x80;
    }
    const auto first = after_ascii(state);
    has_others_ = first && takes_others(state, *first);
    for (auto next = first; next && length_ < kMax; ++length_) next = after(*next);
    // The last step is over with the loop either way: it was taken.
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

  const uint8_t* counted(const SortedVocabulary& vocabulary) const {
    for (const SquishCounts& counts : squish_counts) {
      if (counts.ascii == ascii_ && counts.has_others == has_others_) return counts.of_token.data();
    }
    if (squish_counts.size() == kClasses) squish_counts.erase(squish_counts.begin());
    squish_counts.push_back({ascii_, has_others_, std::vector<uint8_t>(vocabulary.size())});
    auto& of_token = squish_counts.back().of_token;
    for (size_t i = 0; i < vocabulary.size(); ++i) of_token[i] = characters(vocabulary[i].second);
    return of_token.data();
  }

  [[nodiscard]] uint8_t characters(const std::string& token) const {
    size_t count = 0;
    for (size_t i = 0; i < token.size(); ++count) {
      const auto byte = static_cast<uint8_t>(token[i]);
      const size_t size = byte < 0x80 ? 1 : has_others_ ? whole_character(token, i) : 0;
      if (size == 0 || (size == 1 && !ascii_[byte])) return 0;
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
      if (!ascii_[static_cast<size_t>(byte)]) continue;
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
      if (target && (!has_others_ || takes_others(from[i], *target))) return target;
      for (const auto& edge : edges(from[i])) {
        if (edge.IsEpsilon()) from.push_back(edge.target);
        if (edge.IsRuleRef() && is_plain(edge.GetRefRuleId()))
          from.push_back(grammar_->per_rule_fsms[edge.GetRefRuleId()]->GetFsm().GetStart());
      }
    }
    return std::nullopt;
  }

  /// Does every character beyond ASCII lead from `state` to `target`? All first bytes of a size,
  /// and all bytes that may follow, have to.
  bool takes_others(int32_t state, int32_t target) const {
    for (int32_t byte = 0xC2; byte <= 0xF4; ++byte) {
      const auto next = after_byte(state, byte);
      if (!next || !continues(*next, second_byte(byte), size_of(byte) - 1, target)) return false;
    }
    return true;
  }

  struct Range {
    int32_t min, max;
  };
  static Range second_byte(int32_t first) {
    return {first == 0xE0   ? 0xA0
            : first == 0xF0 ? 0x90
                            : 0x80,
            first == 0xED   ? 0x9F
            : first == 0xF4 ? 0x8F
                            : 0xBF};
  }
  static int size_of(int32_t first) { return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4; }

  bool continues(int32_t state, Range range, int count, int32_t target) const {
    if (count == 0) return state == target;
    for (int32_t byte = range.min; byte <= range.max;) {
      int32_t end = byte;
      std::optional<int32_t> next;
      for (const auto& edge : edges(state)) {
        if (!edge.IsCharRange() || edge.min > byte || byte > edge.max) continue;
        next = edge.target;
        end = edge.max;
        break;
      }
      if (!next || !continues(*next, {0x80, 0xBF}, count - 1, target)) return false;
      byte = end + 1;
    }
    return true;
  }

  /// Bytes of the whole character at `i`; 0 if it is none.
  static size_t whole_character(const std::string& token, size_t i) {
    const auto first = static_cast<uint8_t>(token[i]);
    if (first < 0xC2 || first > 0xF4) return 0;
    const auto size = static_cast<size_t>(size_of(first));
    if (token.size() - i < size) return 0;
    Range range = second_byte(first);
    for (size_t j = 1; j < size; ++j, range = {0x80, 0xBF}) {
      const auto byte = static_cast<uint8_t>(token[i + j]);
      if (byte < range.min || byte > range.max) return 0;
    }
    return size;
  }

  const Grammar& grammar_;
  std::bitset<256> ascii_;
  bool has_others_ = false;
  size_t length_ = 0;
  const uint8_t* counts_ = nullptr;
};

}  // namespace xgrammar
