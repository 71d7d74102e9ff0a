#include "text/go_template_lexer.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/go_template.h"

namespace squish {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trim_end(std::string_view text) {
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

/// The tokens of what stands between {{ and }}.
class ActionLexer {
 public:
  ActionLexer(std::string_view text, size_t line) : text_(text), line_(line) {}
  Result<std::vector<GoToken>> run();

 private:
  Result<GoToken> string_token(char quote);
  std::string word() {
    const size_t begin = position_;
    while (position_ < text_.size() && is_word(text_[position_])) ++position_;
    return std::string(text_.substr(begin, position_ - begin));
  }
  [[nodiscard]] Error error(std::string_view what) const {
    return {ErrorCode::bad_file, fmt::format("template: line {}: {}", line_, what)};
  }

  std::string_view text_;
  size_t line_;
  size_t position_ = 0;
};

Result<GoToken> ActionLexer::string_token(char quote) {
  GoToken out{GoToken::Kind::text, ""};
  for (++position_; position_ < text_.size(); ++position_) {
    char c = text_[position_];
    if (c == quote) {
      ++position_;
      return out;
    }
    if (c == '\\' && quote != '`' && position_ + 1 < text_.size()) {
      c = text_[++position_];
      constexpr std::array<std::pair<char, char>, 6> kEscapes = {
          {{'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'"', '"'}, {'\'', '\''}, {'\\', '\\'}}};
      const auto found =
          std::ranges::find(kEscapes, c, [](const auto& escape) { return escape.first; });
      if (found == kEscapes.end())
        return error(fmt::format("the escape \\{} is not known", printable(std::string(1, c))));
      c = found->second;
    }
    out.text += c;
  }
  return error("a string has no end");
}

Result<std::vector<GoToken>> ActionLexer::run() {
  std::vector<GoToken> out;
  while (true) {
    position_ = std::min(text_.find_first_not_of(kSpace, position_), text_.size());
    if (position_ == text_.size()) break;
    const char c = text_[position_];
    if (c == '"' || c == '`' || c == '\'') {
      SQ_TRY(GoToken token, string_token(c));
      out.push_back(std::move(token));
    } else if (c == '.') {
      ++position_;
      std::string name = word();
      const auto kind = name.empty() ? GoToken::Kind::dot : GoToken::Kind::field;
      out.push_back({kind, std::move(name)});
    } else if (c == '$') {
      ++position_;
      out.push_back({GoToken::Kind::variable, word()});
    } else if (is_digit(c) ||
               (c == '-' && position_ + 1 < text_.size() && is_digit(text_[position_ + 1]))) {
      ++position_;
      out.push_back({GoToken::Kind::number, c + word()});
      if (!std::ranges::all_of(out.back().text.substr(1), is_digit))
        return error(fmt::format("{} is no whole number", printable(out.back().text, 40)));
    } else if (is_word(c)) {
      out.push_back({GoToken::Kind::name, word()});
    } else if (text_.substr(position_).starts_with(":=")) {
      position_ += 2;
      out.push_back({GoToken::Kind::symbol, ":="});
    } else if (std::string_view("()|,=").find(c) != std::string_view::npos) {
      ++position_;
      out.push_back({GoToken::Kind::symbol, std::string(1, c)});
    } else {
      return error(fmt::format("did not expect {}", printable(std::string(1, c))));
    }
  }
  out.push_back({GoToken::Kind::end, ""});
  return out;
}

/// Where the action that begins at `begin` ends: at its }}, past strings and comments.
size_t find_action_end(std::string_view source, size_t begin) {
  char quote = 0;
  for (size_t i = begin; i + 1 < source.size(); ++i) {
    const char c = source[i];
    if (quote != 0) {
      if (c == '\\' && quote != '`') ++i;
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '`' || c == '\'') {
      quote = c;
    } else if (c == '}' && source[i + 1] == '}') {
      return i;
    }
  }
  return std::string_view::npos;
}

}  // namespace

bool is_go_template(std::string_view source) {
  if (source.find("{%") != std::string_view::npos) return false;
  for (size_t begin = source.find("{{"); begin != std::string_view::npos;
       begin = source.find("{{", begin + 2)) {
    std::string_view rest = source.substr(begin + 2);
    if (rest.starts_with("- ")) rest.remove_prefix(2);
    rest = trim(rest.substr(0, 64));
    if (rest.starts_with('.') || rest.starts_with('$') || rest.starts_with("/*")) return true;
    for (const std::string_view word : {"if ", "range ", "with ", "else", "end", "json "}) {
      if (rest.starts_with(word)) return true;
    }
  }
  return false;
}

Result<std::vector<GoPiece>> lex_go_template(std::string_view source) {
  std::vector<GoPiece> out;
  size_t line = 1;
  size_t position = 0;
  bool trims_start = false;
  const auto count_lines = [&](size_t end) {
    line += static_cast<size_t>(std::ranges::count(source.substr(position, end - position), '\n'));
  };
  while (true) {
    const size_t begin = source.find("{{", position);
    std::string_view text = source.substr(position, begin - position);
    if (trims_start) text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
    GoPiece piece;
    if (begin == std::string_view::npos) {
      piece.text = text;
      piece.line = line;
      piece.tokens.push_back({GoToken::Kind::end, ""});
      out.push_back(std::move(piece));
      return out;
    }
    count_lines(begin);
    piece.line = line;
    position = begin + 2;
    const bool trims_before = source.substr(position).starts_with("-") &&
                              position + 1 < source.size() &&
                              kSpace.find(source[position + 1]) != std::string_view::npos;
    piece.text = trims_before ? trim_end(text) : text;
    if (trims_before) ++position;
    const std::string_view rest = trim(source.substr(position));
    const bool is_comment = rest.starts_with("/*");
    const size_t end = is_comment ? source.find("}}", source.find("*/", position))
                                  : find_action_end(source, position);
    if (end == std::string_view::npos) {
      return Error{ErrorCode::bad_file,
                   fmt::format("template: line {}: the action has no }}}}", line)};
    }
    std::string_view action = source.substr(position, end - position);
    trims_start = action.size() >= 2 && action.ends_with('-') &&
                  kSpace.find(action[action.size() - 2]) != std::string_view::npos;
    if (trims_start) action.remove_suffix(1);
    if (is_comment) action = {};
    SQ_TRY(piece.tokens, ActionLexer(action, line).run());
    out.push_back(std::move(piece));
    count_lines(end);
    position = end + 2;
  }
}

}  // namespace squish
