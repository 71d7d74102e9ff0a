#pragma once
// JSON that is still being written: where a byte stands in it, and how to close it early.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace squish {

/// Walks over one value, byte by byte. Knows nesting and strings, not numbers and literals. A byte
/// that cannot stand where it stands is `invalid`; the walk goes on as if it were not there.
class JsonWalker {
 public:
  enum class Event : uint8_t {
    other,       // white space, a comma, a colon, a byte of a string, number or literal
    open,        // '{' or '['
    close,       // '}' or ']'; is_done() after the outermost
    key_end,     // the quote after a key: key() is it
    string_end,  // the quote after a string that is no key: text() is it
    invalid,
  };
  Event feed(char byte);

  [[nodiscard]] size_t depth() const { return brackets_.size(); }
  /// The open brackets, outermost first: "[{".
  [[nodiscard]] const std::string& brackets() const { return brackets_; }
  [[nodiscard]] bool is_done() const { return is_done_; }
  [[nodiscard]] bool in_string() const { return in_string_; }
  /// The string that is open is a key.
  [[nodiscard]] bool in_key() const { return in_string_ && is_key_; }
  /// A '{' is the last byte but white space, or a ',' in an object: a key comes next.
  [[nodiscard]] bool expects_key() const { return expects_key_; }
  /// Of the last string, with its escapes; at most the first 256 bytes.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  Event feed_string(char byte);
  Event close(char bracket);

  std::string brackets_;
  std::string text_;
  bool in_string_ = false;
  bool is_escaped_ = false;
  bool is_key_ = false;
  bool expects_key_ = false;
  bool is_done_ = false;
};

/// `text`, the first part of a JSON value, closed: strings and brackets ended, what is incomplete
/// (a key without value, half a literal or escape) dropped. Nothing when that gives no JSON.
/// Cost: a few passes.
std::optional<std::string> close_json(std::string_view text);

/// Appends `byte`, which stands in `walker`'s string or not, as JSON wants it: line breaks and
/// other control characters in strings, which models write as they are, become escapes.
void append_json_byte(std::string& out, char byte, bool in_string);

}  // namespace squish
