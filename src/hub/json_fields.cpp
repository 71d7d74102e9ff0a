#include "hub/json_fields.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "base/strings.h"

namespace squish::hub {
namespace {

/// The deepest nesting of brackets outside strings.
int nesting_depth(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
      continue;
    }
    if (c == '"') quoted = true;
    if (c == '{' || c == '[') deepest = std::max(deepest, ++depth);
    if (c == '}' || c == ']') --depth;
  }
  return deepest;
}

}  // namespace

Result<nlohmann::json> parse_json(std::string_view text, const std::string& where) {
  const int depth = nesting_depth(text);
  if (depth > limits::kJsonDepthMax) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: JSON is nested {} levels deep, the limit is {}", where, depth,
                             limits::kJsonDepthMax)};
  }
  nlohmann::json parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) {
    return Error{ErrorCode::bad_file, fmt::format("{}: is not valid JSON; it starts with \"{}\"",
                                                  where, printable(trim(text), 40))};
  }
  return parsed;
}

const nlohmann::json& member(const nlohmann::json& object, const char* key) {
  static const nlohmann::json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string text_field(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

uint64_t count_field(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = member(object, key);
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (!value.is_number_float()) return 0;
  const double number = value.get<double>();
  return number >= 0 && number < 1e18 ? static_cast<uint64_t>(number) : 0;
}

std::string one_line(const nlohmann::json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
}

}  // namespace squish::hub
