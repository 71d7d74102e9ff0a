#include "format/json_edit.h"

#include <fmt/format.h>
#include <simdjson.h>

#include "base/limits.h"
#include "base/strings.h"
#include "format/json_text.h"

namespace squish {

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : replace_invalid_utf8(text)) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (code < 0x20) {
      out += fmt::format("\\u{:04x}", code);
    } else {
      out += c;
    }
  }
  return out + '"';
}

namespace {

/// The value as it is written; scalars may have spaces behind them.
simdjson::error_code raw_text(simdjson::ondemand::value value, std::string_view& out) {
  simdjson::ondemand::json_type type = {};
  if (const auto error = value.type().get(type)) return error;
  if (type == simdjson::ondemand::json_type::object) {
    simdjson::ondemand::object object;
    if (const auto error = value.get_object().get(object)) return error;
    return object.raw_json().get(out);
  }
  if (type == simdjson::ondemand::json_type::array) {
    simdjson::ondemand::array array;
    if (const auto error = value.get_array().get(array)) return error;
    return array.raw_json().get(out);
  }
  out = value.raw_json_token();
  return simdjson::SUCCESS;
}

}  // namespace

Result<std::string> with_json_member(std::string_view text, std::string_view key,
                                     std::string_view raw_value, const std::string& name) {
  const auto bad = [&name](std::string_view why) {
    return Error{ErrorCode::bad_file, fmt::format("{}: not a JSON object: {}", name, why)};
  };
  if (text.size() > limits::kConfigBytesMax || json_tokens_bound(text) > limits::kJsonTokensMax) {
    return bad("it is larger than the limit");
  }
  const simdjson::padded_string padded(text);
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  simdjson::ondemand::object object;
  if (const auto error = parser.iterate(padded).get(document)) {
    return bad(simdjson::error_message(error));
  }
  if (const auto error = document.get_object().get(object)) {
    return bad(simdjson::error_message(error));
  }
  std::string out = "{\n";
  for (auto field : object) {
    std::string_view field_key;
    std::string_view value;
    if (const auto error = field.unescaped_key().get(field_key)) {
      return bad(simdjson::error_message(error));
    }
    const std::string quoted = json_quoted(field_key);
    const bool is_replaced = field_key == key;
    if (const auto error = raw_text(field.value(), value)) {
      return bad(simdjson::error_message(error));
    }
    if (!is_replaced) out += fmt::format("  {}: {},\n", quoted, trim(value));
  }
  return out + fmt::format("  {}: {}\n}}\n", json_quoted(key), raw_value);
}

}  // namespace squish
