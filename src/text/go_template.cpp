#include "text/go_template.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/limits.h"
#include "base/strings.h"
#include "text/go_template_fields.h"
#include "text/go_template_lexer.h"

namespace squish {
namespace {

constexpr int kDepthMax = 64;

std::optional<std::string_view> jinja_field(std::span<const FieldName> table, std::string_view go) {
  const auto found = std::ranges::find(table, go, &FieldName::go);
  return found == table.end() ? std::nullopt : std::optional(found->jinja);
}

/// Functions of two operands or more that are operators in Jinja. eq takes any number.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kOperators = {{
    {"eq", "=="},
    {"ne", "!="},
    {"lt", "<"},
    {"le", "<="},
    {"gt", ">"},
    {"ge", ">="},
    {"and", "and"},
    {"or", "or"},
}};

std::string jinja_string(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\\\";
        break;
      case '\'':
        out += "\\'";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        out += c;
    }
  }
  return out + "'";
}

/// How Ollama makes turns of messages for templates that know no messages.
constexpr std::string_view kTurns =
    "{%- set go = namespace(turns=[], system='', prompt='', response='') -%}"
    "{%- for m in messages -%}"
    "{%- if (m.role == 'system' and (go.prompt or go.response)) or "
    "(m.role == 'user' and go.response) -%}"
    "{%- set go.turns = go.turns + [{'system': go.system, 'prompt': go.prompt, "
    "'response': go.response}] -%}"
    "{%- set go.system = '' -%}{%- set go.prompt = '' -%}{%- set go.response = '' -%}"
    "{%- endif -%}"
    "{%- if m.role == 'system' -%}{%- set go.system = m.content -%}"
    "{%- elif m.role == 'user' -%}{%- set go.prompt = m.content -%}"
    "{%- elif m.role == 'assistant' -%}{%- set go.response = m.content -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- for turn in go.turns + [{'system': go.system, 'prompt': go.prompt, "
    "'response': go.response, 'is_last': true}] -%}";
/// For the others: all system texts together, and the last thing that the user said.
constexpr std::string_view kTexts =
    "{%- set go = namespace(system='', prompt='') -%}"
    "{%- for m in messages -%}"
    "{%- if m.role == 'system' -%}"
    "{%- set go.system = go.system + ('\\n\\n' if go.system else '') + m.content -%}"
    "{%- elif m.role == 'user' -%}{%- set go.prompt = m.content -%}{%- endif -%}"
    "{%- endfor -%}";

class Translator {
 public:
  explicit Translator(std::vector<GoPiece> pieces) : pieces_(std::move(pieces)) {}
  Result<std::string> run();

 private:
  enum class Block : uint8_t { condition, loop };
  struct Open {
    Block kind;
    size_t variables;  // how many were known before
    bool has_dot;      // it gave '.' another meaning
  };

  Status action(const GoPiece& piece);
  Status open_range();
  Status open_with();
  Status open_if(std::string_view word);
  Status otherwise();
  Status end();
  Status assign(const std::string& name);
  Status output();

  Result<std::string> pipeline(int depth);
  Result<std::string> command(int depth, std::optional<std::string> piped);
  Result<std::string> operand(int depth);
  Result<std::string> call(std::string_view function, std::vector<std::string> arguments);
  Result<std::string> fields(std::string base, bool is_root);

  [[nodiscard]] const GoToken& peek() const { return (*tokens_)[position_]; }
  const GoToken& take() { return (*tokens_)[position_++]; }
  [[nodiscard]] bool at(GoToken::Kind kind, std::string_view text = {}) const {
    return peek().kind == kind && (text.empty() || peek().text == text);
  }
  [[nodiscard]] Error error(ErrorCode code, std::string_view what) const {
    return {code, fmt::format("template: line {}: {}", line_, what)};
  }
  Status expect_end() {
    if (at(GoToken::Kind::end)) return {};
    return error(ErrorCode::bad_file, fmt::format("did not expect {}", printable(peek().text, 40)));
  }
  void statement(std::string_view text) { out_ += fmt::format("{{%- {} -%}}", text); }

  std::vector<GoPiece> pieces_;
  std::string out_;
  const std::vector<GoToken>* tokens_ = nullptr;
  size_t position_ = 0;
  size_t line_ = 1;
  int names_ = 0;
  bool has_messages_ = false;
  bool has_response_ = false;
  std::vector<Open> blocks_;
  std::vector<std::string> dots_ = {""};                        // "": the whole input
  std::vector<std::pair<std::string, std::string>> variables_;  // of Go and of Jinja
};

Result<std::string> Translator::fields(std::string base, bool is_root) {
  while (at(GoToken::Kind::field)) {
    const std::string name = take().text;
    std::optional<std::string_view> jinja;
    if (is_root && !has_messages_) jinja = jinja_field(kTurnFields, name);
    if (!jinja) jinja = is_root ? jinja_field(kRootFields, name) : jinja_field(kInnerFields, name);
    if (!jinja) {
      return error(ErrorCode::unsupported,
                   fmt::format("the field .{} is not known", printable(name, 40)));
    }
    if (is_root && name == "Response" && blocks_.empty()) has_response_ = true;
    base = is_root ? std::string(*jinja) : fmt::format("{}.{}", base, *jinja);
    is_root = false;
  }
  if (is_root) return error(ErrorCode::unsupported, "the whole input is no text");
  return base;
}

Result<std::string> Translator::operand(int depth) {
  const GoToken token = take();
  switch (token.kind) {
    case GoToken::Kind::text:
      return jinja_string(token.text);
    case GoToken::Kind::number:
      return token.text;
    case GoToken::Kind::dot:
      return fields(dots_.back(), dots_.back().empty());
    case GoToken::Kind::field:
      --position_;
      return fields(dots_.back(), dots_.back().empty());
    case GoToken::Kind::variable: {
      if (token.text.empty()) return fields("", true);
      for (size_t i = variables_.size(); i-- > 0;) {
        if (variables_[i].first == token.text) return fields(variables_[i].second, false);
      }
      return error(ErrorCode::bad_file,
                   fmt::format("the variable ${} is not defined", printable(token.text, 40)));
    }
    case GoToken::Kind::name:
      if (token.text == "true" || token.text == "false") return token.text;
      if (token.text == "nil") return std::string("none");
      return call(token.text, {});
    case GoToken::Kind::symbol:
      if (token.text == "(") {
        SQ_TRY(std::string inner, pipeline(depth + 1));
        if (!at(GoToken::Kind::symbol, ")")) return error(ErrorCode::bad_file, "a ) is missing");
        take();
        return fields("(" + inner + ")", false);
      }
      break;
    case GoToken::Kind::end:
      return error(ErrorCode::bad_file, "the action ends too early");
  }
  return error(ErrorCode::bad_file, fmt::format("did not expect {}", printable(token.text, 40)));
}

Result<std::string> Translator::call(std::string_view function,
                                     std::vector<std::string> arguments) {
  const size_t count = arguments.size();
  for (const auto& [name, symbol] : kOperators) {
    if (name != function || count < 2) continue;
    if (name == "and" || name == "or")
      return fmt::format("({})", fmt::join(arguments, fmt::format(" {} ", symbol)));
    if (count == 2) return fmt::format("({} {} {})", arguments[0], symbol, arguments[1]);
    if (name == "eq")
      return fmt::format("({} in [{}])", arguments[0],
                         fmt::join(arguments.begin() + 1, arguments.end(), ", "));
  }
  if (function == "not" && count == 1) return fmt::format("(not {})", arguments[0]);
  if (function == "len" && count == 1) return fmt::format("({} | length)", arguments[0]);
  if (function == "json" && count == 1) return fmt::format("({} | tojson)", arguments[0]);
  if (function == "index" && count == 2) return fmt::format("{}[{}]", arguments[0], arguments[1]);
  if (function == "slice" && count == 2) return fmt::format("{}[{}:]", arguments[0], arguments[1]);
  if (function == "slice" && count == 3)
    return fmt::format("{}[{}:{}]", arguments[0], arguments[1], arguments[2]);
  if (function == "currentDate" && count == 0) return std::string("strftime_now('%Y-%m-%d')");
  return error(ErrorCode::unsupported,
               fmt::format("{} with {} arguments is not known", printable(function, 40), count));
}

Result<std::string> Translator::command(int depth, std::optional<std::string> piped) {
  if (at(GoToken::Kind::name) && !at(GoToken::Kind::name, "true") &&
      !at(GoToken::Kind::name, "false") && !at(GoToken::Kind::name, "nil")) {
    const std::string function = take().text;
    std::vector<std::string> arguments;
    while (!at(GoToken::Kind::end) && !at(GoToken::Kind::symbol, ")") &&
           !at(GoToken::Kind::symbol, "|")) {
      SQ_TRY(std::string argument, operand(depth));
      arguments.push_back(std::move(argument));
    }
    if (piped) arguments.push_back(std::move(*piped));
    return call(function, std::move(arguments));
  }
  if (piped) return error(ErrorCode::bad_file, "only a function can take what comes from |");
  return operand(depth);
}

Result<std::string> Translator::pipeline(int depth) {
  if (depth > kDepthMax) return error(ErrorCode::bad_file, "nests too deep");
  SQ_TRY(std::string value, command(depth, std::nullopt));
  while (at(GoToken::Kind::symbol, "|")) {
    take();
    SQ_TRY(value, command(depth, std::move(value)));
  }
  return value;
}

Status Translator::open_if(std::string_view word) {
  SQ_TRY(const std::string condition, pipeline(0));
  SQ_TRY_STATUS(expect_end());
  if (word == "if") blocks_.push_back({Block::condition, variables_.size(), false});
  statement(fmt::format("{} {}", word, condition));
  return {};
}

Status Translator::open_with() {
  SQ_TRY(const std::string value, pipeline(0));
  SQ_TRY_STATUS(expect_end());
  const std::string name = fmt::format("d{}", ++names_);
  blocks_.push_back({Block::condition, variables_.size(), true});
  statement(fmt::format("set {} = {}", name, value));
  statement("if " + name);
  dots_.push_back(name);
  return {};
}

Status Translator::open_range() {
  // range VALUE, range $element := VALUE, range $key, $element := VALUE
  std::vector<std::string> names;
  const size_t begin = position_;
  while (at(GoToken::Kind::variable) && names.size() < 2) {
    names.push_back(take().text);
    if (!at(GoToken::Kind::symbol, ",")) break;
    take();
  }
  if (at(GoToken::Kind::symbol, ":=")) {
    take();
  } else {
    names.clear();
    position_ = begin;
  }
  SQ_TRY(const std::string value, pipeline(0));
  SQ_TRY_STATUS(expect_end());
  const int number = ++names_;
  const std::string element = fmt::format("d{}", number);
  const std::string key = fmt::format("k{}", number);
  blocks_.push_back({Block::loop, variables_.size(), true});
  statement(fmt::format("set r{} = {}", number, value));
  statement(fmt::format("for e{0} in (r{0}.items() if r{0} is mapping else (r{0} or []))", number));
  statement(fmt::format("set {1} = e{0}[1] if r{0} is mapping else e{0}", number, element));
  statement(fmt::format("set {1} = e{0}[0] if r{0} is mapping else loop.index0", number, key));
  dots_.push_back(element);
  if (names.size() == 2) variables_.emplace_back(names[0], key);
  if (!names.empty()) variables_.emplace_back(names.back(), element);
  return {};
}

Status Translator::otherwise() {
  if (blocks_.empty()) return error(ErrorCode::bad_file, "else without if, range or with");
  if (at(GoToken::Kind::name, "if")) {
    if (blocks_.back().kind == Block::loop)
      return error(ErrorCode::bad_file, "else if after range");
    take();
    return open_if("elif");
  }
  SQ_TRY_STATUS(expect_end());
  // In an else branch '.' is what it was before.
  if (blocks_.back().has_dot) {
    dots_.pop_back();
    blocks_.back().has_dot = false;
  }
  statement("else");
  return {};
}

Status Translator::end() {
  if (blocks_.empty()) return error(ErrorCode::bad_file, "end without if, range or with");
  SQ_TRY_STATUS(expect_end());
  const Open open = blocks_.back();
  blocks_.pop_back();
  if (open.has_dot) dots_.pop_back();
  variables_.resize(open.variables);
  statement(open.kind == Block::loop ? "endfor" : "endif");
  return {};
}

Status Translator::assign(const std::string& name) {
  const bool is_new = take().text == ":=";
  SQ_TRY(const std::string value, pipeline(0));
  SQ_TRY_STATUS(expect_end());
  // In a namespace, since Jinja forgets at the end of a loop what was set in it.
  std::string target;
  if (is_new) {
    target = fmt::format("go.v{}", ++names_);
    variables_.emplace_back(name, target);
  } else {
    for (const auto& [go, jinja] : variables_) {
      if (go == name && jinja.starts_with("go.")) target = jinja;
    }
    if (target.empty())
      return error(ErrorCode::bad_file,
                   fmt::format("the variable ${} is not defined", printable(name, 40)));
  }
  statement(fmt::format("set {} = {}", target, value));
  return {};
}

Status Translator::output() {
  const bool had_response = has_response_;
  SQ_TRY(const std::string value, pipeline(0));
  SQ_TRY_STATUS(expect_end());
  if (value.starts_with('d') || value.find('.') != std::string::npos) {
    // What is no text prints as JSON, as tools and arguments do in Ollama.
    statement(fmt::format("set o = {}", value));
    out_ +=
        "{{- '' if o is not defined or o is none else o if o is string or o is number else "
        "(o | tojson(separators=(',', ':'))) -}}";
  } else {
    out_ += fmt::format("{{{{- {} -}}}}", value);
  }
  if (!has_messages_ && value == "turn.response") {
    // Here the model goes on; a template may be given its answer inside a condition, too.
    has_response_ = true;
    const bool in_loop =
        std::ranges::any_of(blocks_, [](const Open& open) { return open.kind == Block::loop; });
    if (!in_loop) out_ += "{%- if turn.is_last -%}{%- break -%}{%- endif -%}";
  } else {
    has_response_ = had_response;
  }
  return {};
}

Status Translator::action(const GoPiece& piece) {
  tokens_ = &piece.tokens;
  position_ = 0;
  if (at(GoToken::Kind::end)) return {};
  if (at(GoToken::Kind::variable) && tokens_->size() > 1 &&
      (*tokens_)[1].kind == GoToken::Kind::symbol &&
      ((*tokens_)[1].text == ":=" || (*tokens_)[1].text == "=")) {
    const std::string name = take().text;
    return assign(name);
  }
  if (!at(GoToken::Kind::name)) return output();
  const std::string word = take().text;
  if (word == "if") return open_if("if");
  if (word == "range") return open_range();
  if (word == "with") return open_with();
  if (word == "else") return otherwise();
  if (word == "end") return end();
  if (word == "break" || word == "continue") {
    const bool in_loop =
        std::ranges::any_of(blocks_, [](const Open& open) { return open.kind == Block::loop; });
    if (!in_loop) return error(ErrorCode::bad_file, word + " outside of range");
    SQ_TRY_STATUS(expect_end());
    statement(word);
    return {};
  }
  for (const std::string_view other : {"define", "template", "block"}) {
    if (word == other)
      return error(ErrorCode::unsupported, fmt::format("{} is not supported", other));
  }
  --position_;
  return output();
}

Result<std::string> Translator::run() {
  for (const GoPiece& piece : pieces_) {
    for (const GoToken& token : piece.tokens) {
      const bool is_it = token.kind == GoToken::Kind::field && token.text == "Messages";
      has_messages_ = has_messages_ || is_it;
    }
  }
  out_ = has_messages_ ? kTexts : kTurns;
  for (const GoPiece& piece : pieces_) {
    line_ = piece.line;
    if (!piece.text.empty()) out_ += fmt::format("{{{{- {} -}}}}", jinja_string(piece.text));
    SQ_TRY_STATUS(action(piece));
    if (blocks_.size() > static_cast<size_t>(kDepthMax))
      return error(ErrorCode::bad_file, "nests too deep");
  }
  if (!blocks_.empty()) return error(ErrorCode::bad_file, "an end is missing");
  if (!has_messages_) {
    if (!has_response_) out_ += "{{- turn.response -}}";
    statement("endfor");
  }
  return std::move(out_);
}

}  // namespace

Result<std::string> go_template_to_jinja(std::string_view source) {
  if (source.size() > limits::kTemplateBytesMax) {
    return Error{ErrorCode::bad_file, fmt::format("the template has {} bytes, the limit is {}",
                                                  source.size(), limits::kTemplateBytesMax)};
  }
  SQ_TRY(std::vector<GoPiece> pieces, lex_go_template(source));
  return Translator(std::move(pieces)).run();
}

}  // namespace squish
