// parse_pattern(): a regular expression by recursive descent.
#include <algorithm>
#include <array>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "grammar/pattern_automaton.h"
#include "grammar/pattern_characters.h"
#include "grammar/pattern_tree.h"

namespace squish {
namespace {

using namespace pattern_characters;

struct Lookahead {
  size_t at = 0;  // before this item
  Pattern what;   // what the rest of the text is, or must not be
  bool is_negative = false;
};

/// The items of a sequence whose end is that of the text. Nothing: too large.
std::optional<Pattern> looking_ahead(const std::vector<Pattern>& items,
                                     const std::vector<Lookahead>& lookaheads) {
  const auto at = [&](size_t i) { return items.begin() + static_cast<ptrdiff_t>(i); };
  Pattern out = pattern::empty();
  size_t end = items.size();
  for (size_t i = lookaheads.size(); i-- > 0; end = lookaheads[i].at) {
    const Lookahead& one = lookaheads[i];
    std::vector<Pattern> rest(at(one.at), at(end));
    rest.push_back(out);
    const Pattern all = pattern::sequence(rest);
    const auto left =
        one.is_negative ? pattern_difference(all, one.what) : pattern_intersection(all, one.what);
    if (!left) return std::nullopt;
    out = *left;
  }
  std::vector<Pattern> whole(items.begin(), at(end));
  whole.push_back(out);
  return pattern::sequence(whole);
}

class Parser {
 public:
  Parser(std::string_view text, PatternReading reading)
      : text_(text), is_wide_(reading == PatternReading::wide) {}

  Result<Pattern> run() {
    ignores_case_ = take("(?i)");
    SQ_TRY(Pattern out, read_choice());
    if (!is_at_end()) return wrong("')' without '('");
    return out;
  }

 private:
  [[nodiscard]] bool is_at_end() const { return at_ == text_.size(); }
  [[nodiscard]] bool is_next(char c) const { return !is_at_end() && text_[at_] == c; }
  bool take(std::string_view what) {
    const bool is_there = text_.substr(at_).starts_with(what);
    if (is_there) at_ += what.size();
    return is_there;
  }
  [[nodiscard]] Error wrong(std::string_view what) const {
    return {ErrorCode::invalid_argument,
            fmt::format("{} (after {} of its {} bytes)", what, at_, text_.size())};
  }

  /// Up to the end of the group or text. An anchor says nothing where the whole text has to match
  /// and it stands first or last in it.
  Result<Pattern> read_choice() {
    std::vector<Pattern> branches;
    const bool has_begun = has_begun_;
    bool has_begun_after = false;
    bool has_ended_after = false;
    do {
      has_begun_ = has_begun;
      has_ended_ = false;
      const bool is_from_begin = is_next('^');
      SQ_TRY(Pattern branch, read_sequence());
      if (is_wide_ && depth_ == 0) branch = found_anywhere(branch, is_from_begin);
      branches.push_back(std::move(branch));
      has_begun_after = has_begun_after || has_begun_;
      has_ended_after = has_ended_after || has_ended_;
    } while (take("|"));
    has_begun_ = has_begun_after;
    has_ended_ = has_ended_after;
    return pattern::choice(branches);
  }

  /// A branch of the whole pattern that may begin and end anywhere, but for its anchors.
  [[nodiscard]] Pattern found_anywhere(const Pattern& branch, bool is_from_begin) const {
    const Pattern any =
        pattern::repetition(pattern::one_of(CharacterSet({{0, CharacterSet::kLast}})), {});
    return pattern::sequence({is_from_begin ? pattern::empty() : any, branch,
                              follows_dollar() ? pattern::empty() : any});
  }
  [[nodiscard]] bool follows_dollar() const {
    const std::string_view before = text_.substr(0, at_);
    if (!before.ends_with('$')) return false;
    const size_t escapes = before.size() - 1 - before.find_last_not_of('\\', before.size() - 2);
    return escapes % 2 == 1;
  }

  Result<Pattern> read_sequence() {
    std::vector<Pattern> items;
    std::vector<Lookahead> lookaheads;
    bool is_closed = false;  // a group looks ahead to the end of the text, which this is then
    while (!is_at_end() && !is_next('|') && !is_next(')')) {
      if (const bool is_negative = take("(?!"); is_negative || take("(?=")) {
        SQ_TRY(Pattern what, read_lookahead(is_negative));
        lookaheads.push_back({items.size(), std::move(what), is_negative});
        continue;
      }
      if (is_next('^') || is_next('$')) {
        SQ_TRY(Pattern anchor, read_anchor());
        items.push_back(std::move(anchor));
        continue;
      }
      if (has_ended_) return wrong("'$' is supported at the end only");
      if (is_closed)
        return wrong("a lookahead in a group is supported where that ends the pattern");
      const int64_t lookaheads_before = lookahead_count_;
      SQ_TRY(Pattern item, read_repeated());
      is_closed = lookahead_count_ > lookaheads_before;
      items.push_back(std::move(item));
    }
    // Without lookaheads it is all that may match, and more.
    if (is_wide_ || lookaheads.empty()) return pattern::sequence(items);
    // A pattern that ends by looking ahead goes on with what it sees.
    const bool sees_rest = lookaheads.back().at == items.size() && depth_ == 0 && !has_ended_;
    if (sees_rest) items.push_back(any_text());
    const auto out = looking_ahead(items, lookaheads);
    if (!out) return wrong("what is left of it after a lookahead is too large");
    return *out;
  }

  Result<Pattern> read_anchor() {
    const bool is_begin = take("^");
    if (is_begin && has_begun_) return wrong("'^' is supported at the beginning only");
    if (!is_begin) take("$");
    if (is_quantifier_next()) return wrong("an anchor cannot be repeated");
    ++(is_begin ? begin_count_ : end_count_);
    if (is_begin) return pattern::empty();
    if (goes_on_) return pattern::nothing();
    has_ended_ = true;
    return pattern::empty();
  }

  /// An item with its quantifier. Of a group that may end the text only the last round may.
  Result<Pattern> read_repeated() {
    const size_t begin = at_;
    const std::tuple before(begin_count_, end_count_, lookahead_count_, has_begun_);
    SQ_TRY(const Pattern item, read_item());
    SQ_TRY(const CountRange rounds, read_quantifier());
    if (is_quantifier_next()) return wrong("there is nothing to repeat");
    if (rounds.most <= 1) return pattern::repetition(item, rounds);
    if (lookahead_count_ > std::get<2>(before)) return wrong("a lookahead cannot be repeated");
    if (begin_count_ > std::get<0>(before)) return wrong("an anchor cannot be repeated");
    if (is_wide_ || goes_on_ || end_count_ == std::get<1>(before))
      return pattern::repetition(item, rounds);
    const std::tuple after(at_, end_count_, has_begun_, has_ended_);
    at_ = begin;
    std::tie(has_begun_, has_ended_) = std::pair(std::get<3>(before), false);
    goes_on_ = true;
    SQ_TRY(const Pattern going_on, read_item());
    goes_on_ = false;
    std::tie(at_, end_count_, has_begun_, has_ended_) = after;
    const bool is_open = rounds.most == CountRange::kUnbounded;
    const CountRange all_but_one{std::max<int64_t>(rounds.least - 1, 0),
                                 is_open ? rounds.most : rounds.most - 1};
    return pattern::choice({pattern::repetition(going_on, rounds),
                            pattern::sequence({pattern::repetition(going_on, all_but_one), item})});
  }

  /// After "(?=" or "(?!": what the rest of the text begins with, or is up to a '$'. Of what must
  /// not be there, all that it may match.
  Result<Pattern> read_lookahead(bool is_negative) {
    if (looks_ahead_) return wrong("a lookahead in another is not supported");
    if (++depth_ > limits::kGrammarDepthMax)
      return wrong(fmt::format("its groups are deeper than {}", limits::kGrammarDepthMax));
    const std::tuple before(has_begun_, has_ended_, begin_count_, end_count_, is_wide_);
    looks_ahead_ = true;
    is_wide_ = is_wide_ || is_negative;
    std::vector<Pattern> branches;
    do {
      std::tie(has_begun_, has_ended_) = std::pair(std::get<0>(before), false);
      SQ_TRY(Pattern branch, read_sequence());
      const bool is_to_end = is_wide_ ? follows_dollar() : has_ended_;
      branches.push_back(is_to_end ? branch : pattern::sequence({branch, any_text()}));
    } while (take("|"));
    looks_ahead_ = false;
    std::tie(has_begun_, has_ended_, begin_count_, end_count_, is_wide_) = before;
    if (!take(")")) return wrong("a '(' is not closed");
    if (is_quantifier_next()) return wrong("a lookahead cannot be repeated");
    --depth_;
    ++lookahead_count_;
    return pattern::choice(branches);
  }

  Result<Pattern> read_item() {
    if (is_next('(')) return read_group();
    has_begun_ = true;
    if (take("[")) return read_class();
    if (take(".")) return pattern::one_of(is_wide_ ? json_characters() : any_character());
    if (is_quantifier_next()) return wrong("there is nothing to repeat");
    SQ_TRY(Item item, read_character(false));
    Ranges& ranges = is_wide_ ? item.maybe : item.surely;
    if (ignores_case_) ignore_case(ranges);
    return pattern::one_of(CharacterSet(std::move(ranges)));
  }

  Result<Pattern> read_group() {
    if (++depth_ > limits::kGrammarDepthMax)
      return wrong(fmt::format("its groups are deeper than {}", limits::kGrammarDepthMax));
    SQ_TRY_STATUS(read_group_begin());
    SQ_TRY(Pattern out, read_choice());
    if (!take(")")) return wrong("a '(' is not closed");
    --depth_;
    return out;
  }

  Status read_group_begin() {
    take("(");
    if (!take("?") || take(":")) return {};
    take("P");  // Python's names
    if (!take("<")) return wrong("this kind of group is not supported");
    if (is_next('=') || is_next('!')) return wrong("lookbehind is not supported");
    const size_t end = text_.find('>', at_);
    const std::string_view name = text_.substr(at_, end == text_.npos ? 0 : end - at_);
    constexpr std::string_view kLetters =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$";
    if (end == text_.npos || name.empty() || name.find_first_not_of(kLetters) != name.npos)
      return wrong("the name of a group is not a name");
    at_ = end + 1;
    return {};
  }

  /// A '{' that Python and ECMAScript take for a quantifier, or one of them does.
  [[nodiscard]] bool is_quantifier_next() const {
    if (is_at_end()) return false;
    const char c = text_[at_];
    const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    return c == '*' || c == '+' || c == '?' ||
           (c == '{' && (next == ',' || (next >= '0' && next <= '9')));
  }

  /// {1, 1} when there is none.
  Result<CountRange> read_quantifier() {
    if (!is_quantifier_next()) return CountRange{1, 1};
    CountRange out;
    if (take("?")) {
      out.most = 1;
    } else if (take("+")) {
      out.least = 1;
    } else if (take("{")) {
      SQ_TRY(out, read_braces());
    } else {
      take("*");
    }
    take("?");  // as few as possible: the same whole texts
    return out;
  }

  /// 2}, 2,} or 2,5}
  Result<CountRange> read_braces() {
    const size_t end = text_.find('}', at_);
    const auto parts = split(text_.substr(at_, end == text_.npos ? 0 : end - at_), ',');
    const auto number = [](std::string_view text) -> std::optional<int64_t> {
      // Nine digits: the engine's own bound.
      const bool is_number =
          text.size() <= 9 && text.find_first_not_of("0123456789") == std::string_view::npos;
      return is_number ? parse_int(text) : std::nullopt;
    };
    const auto least = number(parts.front());
    const auto most = parts.size() == 1 ? least : number(parts.back());
    const bool is_open = parts.size() == 2 && parts.back().empty();
    if (parts.size() > 2 || !least || (!most && !is_open) || (!is_open && *most < *least))
      return wrong("a repetition must be {2}, {2,} or {2,5}");
    at_ = end + 1;
    return CountRange{*least, is_open ? CountRange::kUnbounded : *most};
  }

  /// After '['.
  Result<Pattern> read_class() {
    const bool is_negated = take("^");
    // ECMAScript's [] and [^] are Python's beginnings of longer classes.
    if (is_next(']')) return wrong("an empty class is not supported");
    Ranges surely;
    Ranges maybe;
    bool has_space = false;
    bool has_no_space = false;
    while (!take("]")) {
      has_space = has_space || text_.substr(at_).starts_with("\\s");
      has_no_space = has_no_space || text_.substr(at_).starts_with("\\S");
      SQ_TRY(Item item, read_character(true));
      const bool is_range = is_next('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (is_range) {
        take("-");
        SQ_TRY(Item last, read_character(true));
        if (item.single && last.single) {
          if (*last.single < *item.single) return wrong("a range of a class is upside down");
          const Ranges range = {{*item.single, *last.single}};
          item = {range, range};
        } else {  // ECMAScript: the two and the dash
          for (const Item& more : {last, single('-')}) {
            insert(item.surely, more.surely);
            insert(item.maybe, more.maybe);
          }
        }
      }
      insert(surely, item.surely);
      insert(maybe, item.maybe);
    }
    // Whatever a reader calls white space, [\s\S] is everything.
    if (has_space && has_no_space) surely.push_back({0, CharacterSet::kLast});
    if (ignores_case_) {
      ignore_case(surely);
      ignore_case(maybe);
    }
    Ranges& ranges = is_negated == is_wide_ ? surely : maybe;
    const CharacterSet set(std::move(ranges));
    return pattern::one_of(is_negated ? set.complement() : set);
  }

  void ignore_case(Ranges& ranges) const {
    // Python has letters beyond ASCII that are one of ASCII in another case.
    if (is_wide_) ranges.push_back({0x80, CharacterSet::kLast});
    const size_t count = ranges.size();
    for (size_t i = 0; i < count; ++i) {
      for (const uint32_t first : {uint32_t{'a'}, uint32_t{'A'}}) {
        const uint32_t from = std::max(ranges[i].first, first);
        const uint32_t to = std::min(ranges[i].last, first + 25);
        if (from <= to) ranges.push_back({from ^ 0x20U, to ^ 0x20U});
      }
    }
  }

  /// A character or an escape, of a class or outside.
  Result<Item> read_character(bool is_class) {
    if (is_at_end()) return wrong(is_class ? "a '[' is not closed" : "it ends too early");
    if (take("\\")) return read_escape(is_class);
    const DecodedCodePoint point = decode_utf8(text_.substr(at_));
    if (!point.valid) return wrong("it is not UTF-8");
    at_ += static_cast<size_t>(point.bytes);
    return single(point.code_point);
  }

  /// After the backslash.
  Result<Item> read_escape(bool is_class) {
    if (is_at_end()) return wrong("it ends with a backslash");
    const DecodedCodePoint point = decode_utf8(text_.substr(at_));
    if (!point.valid) return wrong("it is not UTF-8");
    at_ += static_cast<size_t>(point.bytes);
    if (point.code_point > 0x7F) return single(point.code_point);
    const auto c = static_cast<char>(point.code_point);
    if (auto item = class_escape(c, is_wide_)) return std::move(*item);
    constexpr std::array<std::pair<char, uint32_t>, 5> kControls = {
        {{'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'f', '\f'}, {'v', '\v'}}};
    for (const auto& [name, control] : kControls) {
      if (c == name) return single(control);
    }
    if (c == 'b' && is_class) return single('\b');
    if (c == '0' && (is_at_end() || text_[at_] < '0' || text_[at_] > '9')) return single(0);
    if (c == 'x') return read_hexadecimal(2);
    if (c == 'u') return read_unicode();
    const bool is_word = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    if (is_word) return wrong(fmt::format("the escape \\{} is not supported", c));
    return single(point.code_point);
  }

  Result<Item> read_hexadecimal(size_t count) {
    uint32_t out = 0;
    for (size_t i = 0; i < count; ++i, ++at_) {
      const char c = is_at_end() ? '\0' : text_[at_];
      const auto lower = static_cast<char>(c | 0x20);
      const bool is_digit = c >= '0' && c <= '9';
      if (!is_digit && (lower < 'a' || lower > 'f'))
        return wrong("\\x has two hexadecimal digits, \\u four or some in braces");
      out = out * 16 + static_cast<uint32_t>(is_digit ? c - '0' : lower - 'a' + 10);
    }
    if (out > CharacterSet::kLast) return wrong("a code point is beyond U+10FFFF");
    return single(out);
  }

  /// After \u: 00e9, {1f600}, or a pair of surrogates.
  Result<Item> read_unicode() {
    if (take("{")) {
      const size_t end = text_.find('}', at_);
      const size_t count = end == text_.npos ? 0 : end - at_;
      if (count == 0 || count > 6) return wrong("\\u{...} has one to six hexadecimal digits");
      SQ_TRY(Item out, read_hexadecimal(count));
      take("}");
      return out;
    }
    SQ_TRY(Item out, read_hexadecimal(4));
    const bool is_high = *out.single >= 0xD800 && *out.single < 0xDC00;
    const size_t before = at_;
    if (!is_high || !take("\\u") || is_next('{')) {
      at_ = before;
      return out;
    }
    SQ_TRY(const Item low, read_hexadecimal(4));
    if (*low.single >= 0xDC00 && *low.single < 0xE000)
      return single(0x10000 + ((*out.single - 0xD800) << 10U) + (*low.single - 0xDC00));
    at_ = before;
    return out;
  }

  std::string_view text_;
  bool is_wide_;
  size_t at_ = 0;
  int depth_ = 0;
  bool ignores_case_ = false;
  bool has_begun_ = false;   // something that may be a character came before
  bool has_ended_ = false;   // a '$' did
  bool goes_on_ = false;     // another round comes: a '$' does not hold
  int64_t begin_count_ = 0;  // of '^'
  int64_t end_count_ = 0;    // of '$'
  int64_t lookahead_count_ = 0;
  bool looks_ahead_ = false;
};

}  // namespace

Result<Pattern> parse_pattern(std::string_view text, PatternReading reading) {
  return Parser(text, reading).run();
}

}  // namespace squish
