#include "format/json_tree.h"

#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "format/json_text.h"

namespace squish {
namespace {

/// The grammar of RFC 8259: no leading zeros, digits on both sides of the point.
bool is_json_number(std::string_view text) {
  size_t at = 0;
  const auto digits = [&] {
    const size_t start = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at - start;
  };
  const auto accept = [&](std::string_view any) {
    const bool found = at < text.size() && any.find(text[at]) != std::string_view::npos;
    if (found) ++at;
    return found;
  };
  (void)accept("-");
  const size_t first = at;
  const size_t whole = digits();
  if (whole == 0 || (whole > 1 && text[first] == '0')) return false;
  if (accept(".") && digits() == 0) return false;
  if (accept("eE")) {
    (void)accept("+-");
    if (digits() == 0) return false;
  }
  return at == text.size();
}

}  // namespace

Status JsonTree::add_number(std::string_view token, JsonNode& node) const {
  std::optional<double> real;
  if (is_json_number(token)) {
    if (const auto integer = parse_int(token)) {
      node.kind = JsonKind::integer;
      node.integer = *integer;
      return {};
    }
    real = parse_double(token);  // also integers beyond 64 bits: transformers writes 10^30
  }
  if (!real || !std::isfinite(*real)) {
    return bad(fmt::format("not valid JSON: number '{}'", printable(token)));
  }
  node.kind = JsonKind::number;
  node.number = *real;
  return {};
}

Status JsonTree::add_object(simdjson::ondemand::object object, size_t at, int depth) {
  for (auto field : object) {
    if (field.error() != simdjson::SUCCESS) return not_json(field.error());
    std::string_view key;
    if (const auto error = field.unescaped_key().get(key)) return not_json(error);
    simdjson::ondemand::value value;
    if (const auto error = field.value().get(value)) return not_json(error);
    SQ_TRY_STATUS(add(value, key, depth + 1));
    ++nodes_[at].child_count;
  }
  return {};
}

Status JsonTree::add_array(simdjson::ondemand::array array, size_t at, int depth) {
  for (auto element : array) {
    simdjson::ondemand::value value;
    if (const auto error = element.get(value)) return not_json(error);
    SQ_TRY_STATUS(add(value, {}, depth + 1));
    ++nodes_[at].child_count;
  }
  return {};
}

Status JsonTree::add(simdjson::ondemand::value value, std::string_view key, int depth) {
  if (depth > limits::kJsonDepthMax) {
    return bad(fmt::format("JSON nests deeper than the limit of {}", limits::kJsonDepthMax));
  }
  simdjson::ondemand::json_type type = {};
  if (const auto error = value.type().get(type)) return not_json(error);
  const size_t at = nodes_.size();
  nodes_.emplace_back();
  nodes_[at].key = key;
  auto error = simdjson::SUCCESS;
  switch (type) {
    case simdjson::ondemand::json_type::object: {
      nodes_[at].kind = JsonKind::object;
      simdjson::ondemand::object object;
      error = value.get_object().get(object);
      if (error == simdjson::SUCCESS) SQ_TRY_STATUS(add_object(object, at, depth));
      break;
    }
    case simdjson::ondemand::json_type::array: {
      nodes_[at].kind = JsonKind::array;
      simdjson::ondemand::array array;
      error = value.get_array().get(array);
      if (error == simdjson::SUCCESS) SQ_TRY_STATUS(add_array(array, at, depth));
      break;
    }
    case simdjson::ondemand::json_type::string:
      nodes_[at].kind = JsonKind::string;
      error = value.get_string().get(nodes_[at].text);
      break;
    case simdjson::ondemand::json_type::boolean:
      nodes_[at].kind = JsonKind::boolean;
      error = value.get_bool().get(nodes_[at].boolean);
      break;
    case simdjson::ondemand::json_type::number: {
      const std::string_view token = value.raw_json_token();  // up to the next token
      SQ_TRY_STATUS(add_number(token.substr(0, token.find_last_not_of(" \t\r\n") + 1), nodes_[at]));
      break;
    }
    case simdjson::ondemand::json_type::null: {
      nodes_[at].kind = JsonKind::null;
      bool is_null = false;
      error = value.is_null().get(is_null);
      if (error == simdjson::SUCCESS && !is_null) error = simdjson::N_ATOM_ERROR;
      break;
    }
  }
  if (error != simdjson::SUCCESS) return not_json(error);
  nodes_[at].end = static_cast<uint32_t>(nodes_.size());
  return {};
}

Status JsonTree::build(simdjson::ondemand::document& document) {
  simdjson::ondemand::object object;
  if (const auto error = document.get_object().get(object)) {
    if (error == simdjson::INCORRECT_TYPE) return bad("the top level of the JSON is not an object");
    return not_json(error);
  }
  nodes_.emplace_back();
  nodes_[0].kind = JsonKind::object;
  SQ_TRY_STATUS(add_object(object, 0, 1));
  nodes_[0].end = static_cast<uint32_t>(nodes_.size());
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    return bad("not valid JSON: something follows the closing bracket");
  }
  return {};
}

Status JsonTree::parse(std::string text) {
  if (trim(text).empty()) return bad("is empty, expected a JSON object");
  const uint64_t tokens = json_tokens_bound(text);
  if (tokens > limits::kJsonTokensMax) {
    return bad(fmt::format("{} JSON tokens, the limit is {}", tokens, limits::kJsonTokensMax));
  }
  nodes_.reserve(static_cast<size_t>(tokens));  // pages that are not used are not committed
  text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  const simdjson::padded_string_view padded(text.data(), text.size(), text.capacity());
  simdjson::ondemand::document document;
  if (const auto error = parser_.iterate(padded).get(document)) return not_json(error);
  return build(document);
}

}  // namespace squish
