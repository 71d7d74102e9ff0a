#pragma once
// JSON text, written front to back into a string.
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace squish::server {

/// Appends `text` with quotes and escapes. What is not UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

/// Commas are put where they belong; nesting is the caller's to close. Numbers that JSON cannot
/// say become null. One thread; borrows the string.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);

  JsonWriter& text(std::string_view value);
  JsonWriter& integer(int64_t value);
  JsonWriter& number(double value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  /// JSON that is ready.
  JsonWriter& raw(std::string_view json);

  JsonWriter& field(std::string_view name, std::string_view value) { return key(name).text(value); }
  JsonWriter& field(std::string_view name, const char* value) { return key(name).text(value); }
  template <std::same_as<bool> Bool>
  JsonWriter& field(std::string_view name, Bool value) {
    return key(name).boolean(value);
  }
  template <std::integral Integer>
    requires(!std::same_as<Integer, bool>)
  JsonWriter& field(std::string_view name, Integer value) {
    return key(name).integer(static_cast<int64_t>(value));
  }
  template <std::floating_point Number>
  JsonWriter& field(std::string_view name, Number value) {
    return key(name).number(static_cast<double>(value));
  }
  JsonWriter& null_field(std::string_view name) { return key(name).null(); }
  JsonWriter& object_field(std::string_view name) { return key(name).begin_object(); }
  JsonWriter& array_field(std::string_view name) { return key(name).begin_array(); }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void separate();

  std::string& out_;
  bool needs_comma_ = false;
};

}  // namespace squish::server
