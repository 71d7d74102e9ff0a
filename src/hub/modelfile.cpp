#include "hub/modelfile.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"

namespace squish::hub {
namespace {

constexpr std::string_view kTriple = "\"\"\"";
constexpr std::string_view kBlank = " \t\r";

/// Reads a Modelfile front to back.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  /// Past blank lines and comments. False at the end.
  bool next_instruction();
  /// A word up to white space; empty at the end of the line.
  std::string_view word();
  /// The rest of the line, or what the quotes hold. Errors: a quote that is never closed.
  Result<std::string> value();
  [[nodiscard]] Error error(std::string_view what) const {
    return {ErrorCode::invalid_argument, fmt::format("Modelfile, line {}: {}", line_, what)};
  }
  [[nodiscard]] size_t line() const { return line_; }

 private:
  void skip_blanks() {
    position_ = std::min(text_.find_first_not_of(kBlank, position_), text_.size());
  }
  std::string_view take(size_t end) {
    const std::string_view out = text_.substr(position_, end - position_);
    line_ += static_cast<size_t>(std::ranges::count(out, '\n'));
    position_ = end;
    return out;
  }

  std::string_view text_;
  size_t position_ = 0;
  size_t line_ = 1;
};

bool Reader::next_instruction() {
  while (true) {
    const size_t begin = text_.find_first_not_of(" \t\r\n", position_);
    if (begin == std::string_view::npos) return false;
    take(begin);
    if (text_[position_] != '#') return true;
    take(std::min(text_.find('\n', position_), text_.size()));
  }
}

std::string_view Reader::word() {
  skip_blanks();
  return take(std::min(text_.find_first_of(" \t\r\n", position_), text_.size()));
}

Result<std::string> Reader::value() {
  skip_blanks();
  const size_t line = line_;
  if (text_.substr(position_).starts_with(kTriple)) {
    position_ += kTriple.size();
    const size_t end = text_.find(kTriple, position_);
    if (end == std::string_view::npos) {
      line_ = line;
      return error("the text that begins with \"\"\" has no end");
    }
    std::string out(take(end));
    position_ += kTriple.size();
    return out;
  }
  const size_t line_end = std::min(text_.find('\n', position_), text_.size());
  if (position_ < line_end && text_[position_] == '"') {
    ++position_;
    // To a quote that ends its line, so that quotes inside a sentence stay.
    for (size_t end = text_.find('"', position_); end != std::string_view::npos;
         end = text_.find('"', end + 1)) {
      const size_t after = text_.find_first_not_of(kBlank, end + 1);
      if (after != std::string_view::npos && text_[after] != '\n') continue;
      std::string out(take(end));
      ++position_;
      return out;
    }
    line_ = line;
    return error("the text that begins with \" has no end");
  }
  return std::string(trim(take(line_end)));
}

Status read_instruction(Reader& reader, std::string_view word, ModelSettings& out) {
  const std::string name = to_lower(word);
  if (name == "from") {
    SQ_TRY(out.from, reader.value());
    if (out.from.empty()) return reader.error("FROM names no model");
  } else if (name == "template") {
    SQ_TRY(out.chat_template, reader.value());
  } else if (name == "system") {
    SQ_TRY(out.system, reader.value());
  } else if (name == "license") {
    SQ_TRY(const std::string text, reader.value());
    out.license += (out.license.empty() ? "" : "\n") + text;
  } else if (name == "parameter") {
    const std::string parameter = to_lower(reader.word());
    SQ_TRY(std::string text, reader.value());
    if (parameter.empty() || text.empty())
      return reader.error("PARAMETER needs a name and a value, such as: PARAMETER temperature 0.7");
    out.parameters.emplace_back(parameter, std::move(text));
  } else if (name == "message") {
    const std::string role = to_lower(reader.word());
    if (role != "system" && role != "user" && role != "assistant")
      return reader.error("MESSAGE needs a role (system, user or assistant) and a text");
    SQ_TRY(std::string text, reader.value());
    out.messages.emplace_back(role, std::move(text));
  } else if (name == "adapter") {
    return Error{ErrorCode::unsupported,
                 fmt::format("Modelfile, line {}: ADAPTER is not supported; merge the adapter into "
                             "its base model first",
                             reader.line())};
  } else if (name == "requires") {
    // The oldest version of Ollama that may use the model: says nothing about us.
    SQ_TRY([[maybe_unused]] const std::string version, reader.value());
  } else {
    return reader.error(
        fmt::format("{} is no instruction; it must be one of FROM, PARAMETER, "
                    "TEMPLATE, SYSTEM, MESSAGE and LICENSE",
                    printable(word, 40)));
  }
  return {};
}

std::string quoted(std::string_view text) {
  if (text.find('\n') != std::string_view::npos || text.find('"') != std::string_view::npos)
    return fmt::format("{}{}{}", kTriple, text, kTriple);
  return fmt::format("\"{}\"", text);
}

}  // namespace

Result<ModelSettings> parse_modelfile(std::string_view text) {
  if (text.size() > limits::kConfigBytesMax || !is_valid_utf8(text)) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("the Modelfile has {} bytes; it must be UTF-8 of at most {}",
                             text.size(), limits::kConfigBytesMax)};
  }
  ModelSettings out;
  Reader reader(text);
  while (reader.next_instruction()) {
    const std::string_view word = reader.word();
    SQ_TRY_STATUS(read_instruction(reader, word, out));
  }
  return out;
}

std::string to_modelfile(const ModelSettings& settings) {
  std::string out = fmt::format("FROM {}\n", settings.from);
  if (!settings.chat_template.empty())
    out += fmt::format("TEMPLATE {}\n", quoted(settings.chat_template));
  if (!settings.system.empty()) out += fmt::format("SYSTEM {}\n", quoted(settings.system));
  for (const auto& [name, value] : settings.parameters) {
    const bool is_plain = value.find_first_of(" \t\n\"#") == std::string::npos;
    out += fmt::format("PARAMETER {} {}\n", name, is_plain ? value : quoted(value));
  }
  for (const auto& [role, content] : settings.messages)
    out += fmt::format("MESSAGE {} {}\n", role, quoted(content));
  if (!settings.license.empty()) out += fmt::format("LICENSE {}\n", quoted(settings.license));
  return out;
}

}  // namespace squish::hub
