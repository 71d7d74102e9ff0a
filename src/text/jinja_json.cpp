// JSON text to Value and back. Reading is simdjson's; writing follows Python's json.dumps to the
// byte.
#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/limits.h"
#include "base/strings.h"
#include "text/jinja_value.h"

namespace squish {
namespace {

namespace ondemand = simdjson::ondemand;

Error json_error(std::string_view what) {
  return {ErrorCode::bad_file, fmt::format("JSON: {}", what)};
}
Error json_error(simdjson::error_code code) { return json_error(simdjson::error_message(code)); }

/// Whether `token` is a number of JSON's grammar, and whether it is an integer.
struct NumberShape {
  bool valid = false;
  bool integer = false;
};
NumberShape number_shape(std::string_view token) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t start = i;
    while (i < token.size() && token[i] >= '0' && token[i] <= '9') ++i;
    return i - start;
  };
  if (i < token.size() && token[i] == '-') ++i;
  const bool leading_zero = i < token.size() && token[i] == '0';
  const size_t whole = digits();
  if (whole == 0 || (leading_zero && whole > 1)) return {};
  if (i == token.size()) return {true, true};
  if (token[i] == '.') {
    ++i;
    if (digits() == 0) return {};
  }
  if (i < token.size() && (token[i] | 32) == 'e') {
    ++i;
    if (i < token.size() && (token[i] == '+' || token[i] == '-')) ++i;
    if (digits() == 0) return {};
  }
  return {i == token.size(), false};
}

Result<Value> number_from(std::string_view token) {
  token = trim(token);
  const NumberShape shape = number_shape(token);
  if (!shape.valid) return json_error(fmt::format("'{}' is not a number", printable(token, 40)));
  if (shape.integer) {
    int64_t whole = 0;
    if (std::from_chars(token.data(), token.data() + token.size(), whole).ec == std::errc())
      return Value(whole);
    return Value::big_integer(std::string(token));
  }
  // strtod, since from_chars does not tell 1e999 (infinity) from 1e-999 (zero).
  return Value(std::strtod(std::string(token).c_str(), nullptr));
}

Result<Value> read_value(ondemand::value source, int depth);

Result<Value> read_array(ondemand::array array, int depth) {
  Value::List items;
  for (auto element : array) {
    ondemand::value value;
    if (const auto code = element.get(value)) return json_error(code);
    SQ_TRY(Value item, read_value(value, depth));
    items.push_back(std::move(item));
  }
  return Value::list(std::move(items));
}

Result<Value> read_object(ondemand::object object, int depth) {
  Value dict = Value::dict();
  for (auto element : object) {
    std::string_view key;
    if (const auto code = element.unescaped_key().get(key)) return json_error(code);
    ondemand::value value;
    if (const auto code = element.value().get(value)) return json_error(code);
    SQ_TRY(Value item, read_value(value, depth));
    dict.set(std::string(key), std::move(item));
  }
  return dict;
}

/// Numbers and null are taken as tokens, without moving simdjson's cursor: its loops skip what was
/// not consumed.
Result<Value> read_value(ondemand::value source, int depth) {
  if (depth >= limits::kJsonDepthMax) {
    return json_error(fmt::format("nested deeper than {} levels", limits::kJsonDepthMax));
  }
  ondemand::json_type type{};
  if (const auto code = source.type().get(type)) return json_error(code);
  switch (type) {
    case ondemand::json_type::array: {
      ondemand::array array;
      if (const auto code = source.get_array().get(array)) return json_error(code);
      return read_array(array, depth + 1);
    }
    case ondemand::json_type::object: {
      ondemand::object object;
      if (const auto code = source.get_object().get(object)) return json_error(code);
      return read_object(object, depth + 1);
    }
    case ondemand::json_type::string: {
      std::string_view text;
      if (const auto code = source.get_string().get(text)) return json_error(code);
      return Value(text);
    }
    case ondemand::json_type::boolean: {
      bool flag = false;
      if (const auto code = source.get_bool().get(flag)) return json_error(code);
      return Value(flag);
    }
    case ondemand::json_type::null: {
      const std::string_view token = trim(source.raw_json_token());
      if (token != "null")
        return json_error(fmt::format("'{}' is not a value", printable(token, 40)));
      return Value::none();
    }
    case ondemand::json_type::number:
      return number_from(source.raw_json_token());
  }
  return json_error("unknown type");
}

Result<Value> read_document(std::string_view text) {
  const simdjson::padded_string padded(text);
  ondemand::parser parser;
  ondemand::document document;
  if (const auto code = parser.iterate(padded).get(document)) return json_error(code);
  std::optional<Value> value;
  if (text.front() == '[') {
    ondemand::array array;
    if (const auto code = document.get_array().get(array)) return json_error(code);
    SQ_TRY(value, read_array(array, 1));
  } else {
    ondemand::object object;
    if (const auto code = document.get_object().get(object)) return json_error(code);
    SQ_TRY(value, read_object(object, 1));
  }
  // Past the last token there is no location.
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
    return json_error("text after the value");
  return *std::move(value);
}

}  // namespace

Result<Value> parse_json(std::string_view text) {
  text = trim(text);
  if (text.empty()) return json_error("no value in an empty text");
  if (text.front() == '[' || text.front() == '{') return read_document(text);
  // A scalar is read as the only element of an array.
  SQ_TRY(const Value wrapped, read_document("[" + std::string(text) + "]"));
  if (wrapped.size() != 1) return json_error("more than one value");
  return wrapped.items().front();
}

namespace {

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  Status write(const Value& value, int level) {
    if (out_.size() > limits::kTemplateOutputBytesMax) {
      return Error{ErrorCode::invalid_argument, fmt::format("JSON text is larger than {} bytes",
                                                            limits::kTemplateOutputBytesMax)};
    }
    switch (value.kind()) {
      case Value::Kind::none:
        out_ += "null";
        return {};
      case Value::Kind::boolean:
        out_ += value.as_bool() ? "true" : "false";
        return {};
      case Value::Kind::integer:
        out_ += std::to_string(value.as_integer());
        return {};
      case Value::Kind::big_integer:
        out_ += value.as_string();
        return {};
      case Value::Kind::floating:
        out_ += float_text(value.as_floating());
        return {};
      case Value::Kind::string:
        write_string(value.as_string());
        return {};
      case Value::Kind::list:
        return write_list(value, level);
      case Value::Kind::dict:
        return write_dict(value, level);
      case Value::Kind::undefined:
        return not_serializable("Undefined");
      case Value::Kind::object:
        return not_serializable("a template object");
    }
    return {};
  }
  std::string take() { return std::move(out_); }

 private:
  static Error not_serializable(std::string_view what) {
    return {ErrorCode::invalid_argument,
            fmt::format("Object of type {} is not JSON serializable", what)};
  }

  static std::string float_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return jinja::float_repr(value);
  }

  void break_line(int level) {
    if (!style_.indented) return;
    out_ += '\n';
    for (int i = 0; i < level; ++i) out_ += style_.indent;
  }

  Status write_list(const Value& value, int level) {
    const jinja::ListObject& list = value.list_object();
    if (list.flavor > jinja::ListFlavor::tuple) return not_serializable("iterator");
    if (list.items.empty()) {
      out_ += "[]";
      return {};
    }
    out_ += '[';
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      break_line(level + 1);
      SQ_TRY_STATUS(write(list.items[i], level + 1));
    }
    break_line(level);
    out_ += ']';
    return {};
  }

  Status write_dict(const Value& value, int level) {
    const std::vector<Value::Entry>& entries = value.entries();
    if (entries.empty()) {
      out_ += "{}";
      return {};
    }
    std::vector<const Value::Entry*> order;
    order.reserve(entries.size());
    for (const Value::Entry& entry : entries) order.push_back(&entry);
    if (style_.sort_keys) {
      SQ_TRY_STATUS(sort_entries(order));
    }
    out_ += '{';
    for (size_t i = 0; i < order.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      break_line(level + 1);
      SQ_TRY_STATUS(write_key(order[i]->key));
      out_ += style_.key_separator;
      SQ_TRY_STATUS(write(order[i]->value, level + 1));
    }
    break_line(level);
    out_ += '}';
    return {};
  }

  static Status sort_entries(std::vector<const Value::Entry*>& order) {
    const bool strings = order.front()->key.is_string();
    for (const Value::Entry* entry : order) {
      const Value::Kind kind = entry->key.kind();
      const bool number = kind == Value::Kind::boolean || kind == Value::Kind::integer ||
                          kind == Value::Kind::floating;
      if (entry->key.is_string() == strings && (strings || number)) continue;
      return Error{ErrorCode::invalid_argument, "keys of different types cannot be sorted"};
    }
    std::sort(order.begin(), order.end(), [](const Value::Entry* left, const Value::Entry* right) {
      return jinja::KeyLess{}(left->key, right->key);
    });
    return {};
  }

  Status write_key(const Value& key) {
    if (key.is_string()) {
      write_string(key.as_string());
      return {};
    }
    if (key.is_list() || key.kind() == Value::Kind::undefined ||
        key.kind() == Value::Kind::object) {
      return Error{ErrorCode::invalid_argument, "keys must be str, int, float, bool or None"};
    }
    out_ += '"';
    SQ_TRY_STATUS(write(key, 0));
    out_ += '"';
    return {};
  }

  void write_string(std::string_view text) {
    out_ += '"';
    for (size_t i = 0; i < text.size();) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (byte >= 0x7f && style_.ensure_ascii) {
        const DecodedCodePoint point = decode_utf8(text.substr(i));
        write_escaped(point.code_point);
        i += static_cast<size_t>(point.bytes);
        continue;
      }
      write_byte(byte);
      ++i;
    }
    out_ += '"';
  }

  void write_byte(unsigned char byte) {
    switch (byte) {
      case '"':
        out_ += "\\\"";
        return;
      case '\\':
        out_ += "\\\\";
        return;
      case '\n':
        out_ += "\\n";
        return;
      case '\r':
        out_ += "\\r";
        return;
      case '\t':
        out_ += "\\t";
        return;
      case '\f':
        out_ += "\\f";
        return;
      case '\b':
        out_ += "\\b";
        return;
      default:
        break;
    }
    if (byte < 0x20) return write_escaped(byte);
    out_ += static_cast<char>(byte);
  }

  void write_escaped(uint32_t point) {
    if (point < 0x10000) {
      out_ += fmt::format("\\u{:04x}", point);
      return;
    }
    point -= 0x10000;
    out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (point >> 10), 0xdc00 + (point & 0x3ff));
  }

  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

Result<std::string> to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  SQ_TRY_STATUS(writer.write(value, 0));
  return writer.take();
}

namespace jinja {

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  std::string text(buffer, end);  // "-1.5e+02": the shortest digits that read back
  const size_t mark = text.find('e');
  const int exponent = std::stoi(text.substr(mark + 1));
  std::string digits = text.substr(0, mark);
  const bool negative = digits.front() == '-';
  if (negative) digits.erase(0, 1);
  std::erase(digits, '.');
  const std::string sign = negative ? "-" : "";
  const auto count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    if (count > 1) digits.insert(1, ".");
    return fmt::format("{}{}e{}{:02}", sign, digits, exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1)
    return sign + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  return sign + digits.insert(static_cast<size_t>(exponent + 1), ".");
}

}  // namespace jinja
const Value* find_below(const Value& value, std::initializer_list<std::string_view> keys) {
  const Value* at = &value;
  for (const std::string_view key : keys) {
    if (at == nullptr || !at->is_dict()) return nullptr;
    at = at->find(key);
  }
  return at;
}

std::string text_below(const Value& value, std::initializer_list<std::string_view> keys) {
  const Value* found = find_below(value, keys);
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : "";
}

}  // namespace squish
