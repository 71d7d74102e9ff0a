#include "text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_unicode.h"

namespace squish::jinja {
namespace {

std::string normalize_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

/// Longest first, so that the first match is the right one.
constexpr std::array<std::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> run() {
    while (position_ < source_.size()) SQ_TRY_STATUS(lex_root());
    push(TokenKind::end);
    return std::move(tokens_);
  }

 private:
  [[nodiscard]] Error error(std::string_view what) const {
    return {ErrorCode::bad_file, fmt::format("line {}: {}", line_, what)};
  }
  [[nodiscard]] bool at(std::string_view text) const {
    return source_.substr(position_).starts_with(text);
  }
  [[nodiscard]] size_t skip_space_from(size_t offset) const {
    return source_.size() - strip_space(source_.substr(offset), true, false).size();
  }

  void push(TokenKind kind, std::string text = {}) {
    Token token;
    token.kind = kind;
    token.line = line_;
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
  }

  void advance_to(size_t offset) {
    line_ +=
        static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(position_),
                                    source_.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
    line_starting_ = offset > position_ ? source_[offset - 1] == '\n' : line_starting_;
    position_ = offset;
  }

  /// The end of a raw tag "{% raw %}" that starts at `offset`, or 0.
  [[nodiscard]] size_t raw_tag_end(size_t offset, std::string_view word) const {
    offset += 2;
    if (offset < source_.size() && (source_[offset] == '-' || source_[offset] == '+')) ++offset;
    offset = skip_space_from(offset);
    if (!source_.substr(offset).starts_with(word)) return 0;
    offset = skip_space_from(offset + word.size());
    const std::string_view rest = source_.substr(offset);
    if (rest.starts_with("-%}")) return skip_space_from(offset + 3);
    if (word == "endraw" && rest.starts_with("+%}")) return offset + 3;
    if (!rest.starts_with("%}")) return 0;
    return offset + 2 + (word == "endraw" && rest.substr(2).starts_with('\n') ? 1 : 0);
  }

  /// Emits the text up to the tag at `tag`, stripped as the tag's sign and lstrip_blocks demand.
  void emit_data(size_t tag, bool is_variable) {
    std::string_view text = source_.substr(position_, tag - position_);
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (sign == '-') {
      text = strip_space(text, false, true);
    } else if (sign != '+' && !is_variable) {
      const size_t newline = text.rfind('\n');
      const size_t start = newline == std::string_view::npos ? 0 : newline + 1;
      if ((start > 0 || line_starting_) && strip_space(text.substr(start), true, false).empty()) {
        text = text.substr(0, start);
      }
    }
    if (!text.empty()) push(TokenKind::data, std::string(text));
    advance_to(tag);
  }

  [[nodiscard]] bool has_sign(size_t offset) const {
    return offset < source_.size() && (source_[offset] == '-' || source_[offset] == '+');
  }

  Status lex_root() {
    size_t tag = source_.find('{', position_);
    while (tag != std::string_view::npos &&
           (tag + 1 >= source_.size() ||
            std::string_view("{%#").find(source_[tag + 1]) == std::string_view::npos)) {
      tag = source_.find('{', tag + 1);
    }
    if (tag == std::string_view::npos) {
      push(TokenKind::data, std::string(source_.substr(position_)));
      advance_to(source_.size());
      return {};
    }
    const char type = source_[tag + 1];
    emit_data(tag, type == '{');
    if (type == '%') {
      if (const size_t end = raw_tag_end(tag, "raw"); end != 0) return lex_raw(end);
    }
    advance_to(tag + 2 + (has_sign(tag + 2) ? 1 : 0));
    line_starting_ = false;
    if (type == '#') return lex_comment();
    push(type == '{' ? TokenKind::variable_begin : TokenKind::block_begin);
    return lex_tag(type == '{');
  }

  Status lex_comment() {
    const size_t end = source_.find("#}", position_);
    if (end == std::string_view::npos) {
      if (position_ == source_.size()) return {};
      return error("Missing end of comment tag");
    }
    const char sign = end > position_ ? source_[end - 1] : '\0';
    size_t next = end + 2;
    if (sign == '-') {
      next = skip_space_from(next);
    } else if (sign != '+' && source_.substr(next).starts_with('\n')) {
      ++next;
    }
    advance_to(next);
    return {};
  }

  Status lex_raw(size_t body) {
    advance_to(body);
    for (size_t tag = source_.find("{%", position_); tag != std::string_view::npos;
         tag = source_.find("{%", tag + 1)) {
      const size_t end = raw_tag_end(tag, "endraw");
      if (end == 0) continue;
      emit_data(tag, false);
      advance_to(end);
      return {};
    }
    // As in Jinja, a tag at the very end of the template may stay open.
    if (position_ == source_.size()) return {};
    return error("Missing end of raw directive");
  }

  /// The length of the closing mark at the cursor with its sign, or 0. `strip`: white space after
  /// it goes too.
  [[nodiscard]] size_t closing_mark(bool is_variable, bool& strip) const {
    const std::string_view mark = is_variable ? "}}" : "%}";
    const std::string_view rest = source_.substr(position_);
    strip = false;
    if (rest.starts_with(mark)) return 2;
    if (!rest.substr(std::min<size_t>(1, rest.size())).starts_with(mark)) return 0;
    strip = rest.front() == '-';
    return strip || (rest.front() == '+' && !is_variable) ? 3 : 0;
  }

  Status lex_tag(bool is_variable) {
    std::string brackets;  // the closing ones that are due
    while (position_ < source_.size()) {
      bool strip = false;
      if (const size_t length = brackets.empty() ? closing_mark(is_variable, strip) : 0;
          length > 0) {
        push(is_variable ? TokenKind::variable_end : TokenKind::block_end);
        size_t next = position_ + length;
        if (strip) {
          next = skip_space_from(next);
        } else if (!is_variable && length == 2 && source_.substr(next).starts_with('\n')) {
          ++next;
        }
        advance_to(next);
        return {};
      }
      if (const size_t next = skip_space_from(position_); next != position_) {
        advance_to(next);
        continue;
      }
      SQ_TRY_STATUS(lex_token(brackets));
    }
    return {};  // the parser reports the missing end
  }

  Status lex_token(std::string& brackets) {
    const char c = source_[position_];
    if (is_ascii_digit(c)) return lex_number();
    if (c == '"' || c == '\'') return lex_string(c);
    const CodePoint point = code_point_at(source_, position_);
    if (c == '_' || is_alpha(point.value)) return lex_name();
    for (const std::string_view op : kOperators) {
      if (!at(op)) continue;
      SQ_TRY_STATUS(balance(op.front(), brackets));
      push(TokenKind::op, std::string(op));
      advance_to(position_ + op.size());
      return {};
    }
    return error(
        fmt::format("unexpected char '{}'", printable(source_.substr(position_, point.bytes), 20)));
  }

  Status balance(char bracket, std::string& brackets) const {
    if (bracket == '{') brackets += '}';
    if (bracket == '(') brackets += ')';
    if (bracket == '[') brackets += ']';
    if (bracket != '}' && bracket != ')' && bracket != ']') return {};
    if (brackets.empty()) return error(fmt::format("unexpected '{}'", bracket));
    if (brackets.back() != bracket)
      return error(fmt::format("unexpected '{}', expected '{}'", bracket, brackets.back()));
    brackets.pop_back();
    return {};
  }

  Status lex_name() {
    size_t end = position_;
    while (end < source_.size()) {
      const CodePoint point = code_point_at(source_, end);
      if (source_[end] != '_' && !is_alnum(point.value)) break;
      end += point.bytes;
    }
    push(TokenKind::name, std::string(source_.substr(position_, end - position_)));
    advance_to(end);
    return {};
  }

  /// Moves `offset` over digits of `base` that single underscores may separate; false if there is
  /// none.
  [[nodiscard]] bool skip_digits(size_t& offset, int base) const {
    const auto is_digit_of_base = [&](size_t i) {
      if (i >= source_.size()) return false;
      const char c = source_[i];
      if (base == 16 && (c | 32) >= 'a' && (c | 32) <= 'f') return true;
      return c >= '0' && c < '0' + std::min(base, 10);
    };
    if (!is_digit_of_base(offset)) return false;
    while (is_digit_of_base(offset) ||
           (offset < source_.size() && source_[offset] == '_' && is_digit_of_base(offset + 1))) {
      ++offset;
    }
    return true;
  }

  Status lex_number() {
    if (source_[position_] == '0' && position_ + 1 < source_.size()) {
      const char mark = static_cast<char>(source_[position_ + 1] | 32);
      const int base = mark == 'x' ? 16 : (mark == 'o' ? 8 : (mark == 'b' ? 2 : 0));
      size_t end = position_ + 2;
      if (end < source_.size() && source_[end] == '_') ++end;
      if (base != 0 && skip_digits(end, base)) return push_integer(position_ + 2, end, base);
    }
    size_t end = position_;
    static_cast<void>(skip_digits(end, 10));
    const size_t whole_end = end;
    const bool after_dot = position_ > 0 && source_[position_ - 1] == '.';
    if (size_t fraction = end + 1;
        end < source_.size() && source_[end] == '.' && skip_digits(fraction, 10))
      end = fraction;
    if (end < source_.size() && (source_[end] | 32) == 'e') {
      size_t exponent = end + 1;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-'))
        ++exponent;
      if (skip_digits(exponent, 10)) end = exponent;
    }
    if (end == whole_end || after_dot) {
      if (source_[position_] == '0') {  // "0", "00": a zero takes no other digit with it
        size_t zeros = position_;
        while (zeros < whole_end && (source_[zeros] == '0' || source_[zeros] == '_')) ++zeros;
        return push_integer(position_, zeros, 10);
      }
      return push_integer(position_, whole_end, 10);
    }
    std::string digits(source_.substr(position_, end - position_));
    std::erase(digits, '_');
    push(TokenKind::floating);
    tokens_.back().floating = std::strtod(digits.c_str(), nullptr);
    advance_to(end);
    return {};
  }

  Status push_integer(size_t start, size_t end, int base) {
    std::string digits(source_.substr(start, end - start));
    std::erase(digits, '_');
    int64_t value = 0;
    if (std::from_chars(digits.data(), digits.data() + digits.size(), value, base).ec !=
        std::errc()) {
      return error(fmt::format("integer {} does not fit in 64 bits", printable(digits, 40)));
    }
    push(TokenKind::integer);
    tokens_.back().integer = value;
    advance_to(end);
    return {};
  }

  Status lex_string(char quote) {
    size_t end = position_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2U : 1U;
    if (end >= source_.size()) return error("a string has no end");
    SQ_TRY(std::string text, unescape(source_.substr(position_ + 1, end - position_ - 1)));
    push(TokenKind::string, std::move(text));
    advance_to(end + 1);
    return {};
  }

  /// Python's unicode-escape decoding.
  [[nodiscard]] Result<std::string> unescape(std::string_view text) const {
    constexpr std::string_view kFrom = "\\'\"abfnrtv";
    constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
    std::string out;
    for (size_t i = 0; i < text.size();) {
      if (text[i] != '\\') {
        out += text[i++];
        continue;
      }
      const char c = text[i + 1];  // lex_string leaves no backslash at the end
      i += 2;
      if (const size_t simple = kFrom.find(c); simple != std::string_view::npos) {
        out += kTo[simple];
      } else if (c == '\n') {
        continue;
      } else if (c >= '0' && c <= '7') {
        uint32_t point = static_cast<uint32_t>(c - '0');
        for (int digit = 1; digit < 3 && i < text.size() && text[i] >= '0' && text[i] <= '7';
             ++digit) {
          point = point * 8 + static_cast<uint32_t>(text[i++] - '0');
        }
        append_utf8(out, point);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t digits = c == 'x' ? 2 : (c == 'u' ? 4 : 8);
        const std::string_view hex = text.substr(i, digits);
        uint32_t point = 0;
        const auto parsed = std::from_chars(hex.data(), hex.data() + hex.size(), point, 16);
        if (hex.size() < digits || parsed.ptr != hex.data() + hex.size()) {
          return error(fmt::format("truncated \\{} escape in a string", c));
        }
        append_utf8(out, point);
        i += digits;
      } else if (c == 'N') {
        return error(
            "character names (\\N) in strings are not supported; write the character itself");
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  std::string_view source_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) {
  if (!is_valid_utf8(source)) return Error{ErrorCode::bad_file, "the text is not valid UTF-8"};
  const std::string normalized = normalize_lines(source);
  return Lexer(normalized).run();
}

}  // namespace squish::jinja
