#include "chat/json_walker.h"

#include <iterator>

#include <fmt/format.h>

#include "text/jinja_value.h"

namespace squish {
namespace {

constexpr size_t kTextBytesMax = 256;
/// What numbers and the literals true, false and null are made of.
constexpr std::string_view kScalarBytes = "0123456789+-.eEtrufalsn";
constexpr std::string_view kSpace = " \t\r\n";

char closing(char bracket) { return bracket == '{' ? '}' : ']'; }

}  // namespace

JsonWalker::Event JsonWalker::feed_string(char byte) {
  if (is_escaped_) {
    is_escaped_ = false;
  } else if (byte == '\\') {
    is_escaped_ = true;
  } else if (byte == '"') {
    in_string_ = false;
    return is_key_ ? Event::key_end : Event::string_end;
  }
  if (text_.size() < kTextBytesMax) text_ += byte;
  return Event::other;
}

JsonWalker::Event JsonWalker::close(char bracket) {
  if (brackets_.empty() || closing(brackets_.back()) != bracket) return Event::invalid;
  brackets_.pop_back();
  expects_key_ = false;
  is_done_ = brackets_.empty();
  return Event::close;
}

JsonWalker::Event JsonWalker::feed(char byte) {
  if (in_string_) return feed_string(byte);
  if (kSpace.find(byte) != std::string_view::npos) return Event::other;
  const bool in_object = !brackets_.empty() && brackets_.back() == '{';
  switch (byte) {
    case '"':
      in_string_ = true;
      is_key_ = in_object && expects_key_;
      text_.clear();
      expects_key_ = false;
      return Event::other;
    case '{':
    case '[': {
      // "{{" is what some models make of "{"; "{[" is nothing.
      const bool is_wrong = expects_key_ && byte == '[';
      brackets_ += byte;
      expects_key_ = byte == '{';
      return is_wrong ? Event::invalid : Event::open;
    }
    case '}':
    case ']':
      return close(byte);
    case ',':
      expects_key_ = in_object;
      return Event::other;
    case ':':
      return in_object ? Event::other : Event::invalid;
    default:
      break;
  }
  const bool is_scalar = kScalarBytes.find(byte) != std::string_view::npos;
  return is_scalar && !expects_key_ ? Event::other : Event::invalid;
}

std::optional<std::string> close_json(std::string_view text) {
  JsonWalker walker;
  // The last place where the value could be closed by brackets alone, and those.
  size_t safe_end = 0;
  std::string safe_brackets;
  for (size_t i = 0; i < text.size() && !walker.is_done(); ++i) {
    const JsonWalker::Event event = walker.feed(text[i]);
    const bool is_before_comma = !walker.in_string() && text[i] == ',';
    if (event == JsonWalker::Event::open || event == JsonWalker::Event::close ||
        event == JsonWalker::Event::string_end || is_before_comma) {
      safe_end = is_before_comma ? i : i + 1;
      safe_brackets = walker.brackets();
    }
  }
  const auto with_brackets = [](std::string out, std::string_view brackets) {
    for (size_t i = brackets.size(); i > 0; --i) out += closing(brackets[i - 1]);
    return out;
  };
  const auto is_json = [](const std::string& candidate) {
    return parse_json(candidate).has_value();
  };
  if (walker.in_string() && !walker.in_key()) {
    // An escape of up to six bytes may be cut.
    for (size_t dropped = 0; dropped <= 6 && dropped < text.size(); ++dropped) {
      std::string whole = with_brackets(std::string(text.substr(0, text.size() - dropped)) + '"',
                                        walker.brackets());
      if (is_json(whole)) return whole;
    }
  } else if (std::string whole = with_brackets(std::string(text), walker.brackets());
             is_json(whole)) {
    return whole;
  }
  if (safe_end == 0) return std::nullopt;
  std::string cut = with_brackets(std::string(text.substr(0, safe_end)), safe_brackets);
  if (is_json(cut)) return cut;
  return std::nullopt;
}

void append_json_byte(std::string& out, char byte, bool in_string) {
  const auto code = static_cast<unsigned char>(byte);
  if (!in_string || code >= 0x20) {
    out += byte;
    return;
  }
  switch (byte) {
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", code);
  }
}

}  // namespace squish
