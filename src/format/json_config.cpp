#include "format/json_config.h"

#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "format/json_tree.h"

namespace squish {
namespace {

using Node = JsonNode;

std::string_view kind_name(JsonKind kind) {
  switch (kind) {
    case JsonKind::absent:
      return "missing";
    case JsonKind::null:
      return "null";
    case JsonKind::boolean:
      return "a boolean";
    case JsonKind::integer:
      return "an integer";
    case JsonKind::number:
      return "a number";
    case JsonKind::string:
      return "a string";
    case JsonKind::array:
      return "an array";
    case JsonKind::object:
      return "an object";
  }
  return "";
}

}  // namespace

struct JsonConfig::State {
  explicit State(std::string name) : tree(std::move(name)) {}
  JsonTree tree;

  [[nodiscard]] const Node* find(std::string_view path) const;
  [[nodiscard]] const Node* child(const Node& parent, std::string_view key) const;

  [[nodiscard]] Error unexpected(std::string_view path, const Node* node,
                                 std::string_view expected) const;
  Result<int64_t> as_int(std::string_view path, const Node& node, IntRange range) const;
  Result<double> as_float(std::string_view path, const Node& node, FloatRange range) const;
  Result<std::string_view> as_string(std::string_view path, const Node& node) const;
  template <class T, class Convert>
  Result<std::vector<T>> as_list(std::string_view path, std::string_view expected,
                                 Convert convert) const;
};

const Node* JsonConfig::State::child(const Node& parent, std::string_view key) const {
  if (parent.child_count == 0) return nullptr;
  const Node* node = tree.first_child(parent);
  if (parent.kind == JsonKind::array) {
    const auto index = parse_int(key);
    if (!index || *index < 0 || *index >= int64_t{parent.child_count}) return nullptr;
    for (int64_t i = 0; i < *index; ++i) node = tree.next(*node);
    return node;
  }
  const Node* found = nullptr;
  for (uint32_t i = 0; i < parent.child_count; ++i, node = tree.next(*node)) {
    if (node->key == key) found = node;  // of a repeated key the last counts, as in Python
  }
  return found;
}

const Node* JsonConfig::State::find(std::string_view path) const {
  const Node* node = &tree.root();
  while (!path.empty()) {
    if (const Node* whole = child(*node, path)) return whole;
    const size_t dot = path.find('.');
    if (dot == std::string_view::npos) return nullptr;
    node = child(*node, path.substr(0, dot));
    if (node == nullptr) return nullptr;
    path.remove_prefix(dot + 1);
  }
  return node;
}

Error JsonConfig::State::unexpected(std::string_view path, const Node* node,
                                    std::string_view expected) const {
  const std::string where = fmt::format("{}: {}", tree.name(), printable(path));
  if (node == nullptr || node->kind == JsonKind::null) {
    return {ErrorCode::not_found, fmt::format("{} is {}, expected {}", where,
                                              node == nullptr ? "missing" : "null", expected)};
  }
  std::string found(kind_name(node->kind));
  if (node->kind == JsonKind::integer) found = fmt::to_string(node->integer);
  if (node->kind == JsonKind::number) found = fmt::to_string(node->number);
  if (node->kind == JsonKind::boolean) found = node->boolean ? "true" : "false";
  if (node->kind == JsonKind::string) {
    found = fmt::format("the string '{}'", printable(node->text, 40));
  }
  return {ErrorCode::bad_file, fmt::format("{} is {}, expected {}", where, found, expected)};
}

Result<int64_t> JsonConfig::State::as_int(std::string_view path, const Node& node,
                                          IntRange range) const {
  std::optional<int64_t> value;
  if (node.kind == JsonKind::integer) value = node.integer;
  // Doubles hold every integer up to 2^53.
  if (node.kind == JsonKind::number && std::trunc(node.number) == node.number &&
      std::fabs(node.number) <= 0x1p53) {
    value = static_cast<int64_t>(node.number);
  }
  if (!value && node.kind != JsonKind::number) return unexpected(path, &node, "an integer");
  if (!value || *value < range.min || *value > range.max) {
    const bool bounded = range.min != IntRange{}.min || range.max != IntRange{}.max;
    return unexpected(path, &node,
                      bounded ? fmt::format("an integer from {} to {}", range.min, range.max)
                              : "an integer of 64 bits");
  }
  return *value;
}

Result<double> JsonConfig::State::as_float(std::string_view path, const Node& node,
                                           FloatRange range) const {
  if (node.kind != JsonKind::integer && node.kind != JsonKind::number) {
    return unexpected(path, &node, "a number");
  }
  const double value =
      node.kind == JsonKind::integer ? static_cast<double>(node.integer) : node.number;
  if (value < range.min || value > range.max) {
    return unexpected(path, &node, fmt::format("a number from {} to {}", range.min, range.max));
  }
  return value;
}

Result<std::string_view> JsonConfig::State::as_string(std::string_view path,
                                                      const Node& node) const {
  if (node.kind != JsonKind::string) return unexpected(path, &node, "a string");
  return node.text;
}

template <class T, class Convert>
Result<std::vector<T>> JsonConfig::State::as_list(std::string_view path, std::string_view expected,
                                                  Convert convert) const {
  const Node* node = find(path);
  if (node == nullptr || node->kind == JsonKind::null || node->kind == JsonKind::object) {
    return unexpected(path, node, expected);
  }
  std::vector<T> values;
  if (node->kind != JsonKind::array) {
    SQ_TRY(T value, convert(path, *node));
    values.push_back(value);
    return values;
  }
  const Node* element = tree.first_child(*node);
  for (uint32_t i = 0; i < node->child_count; ++i, element = tree.next(*element)) {
    SQ_TRY(T value, convert(fmt::format("{}.{}", path, i), *element));
    values.push_back(value);
  }
  return values;
}

JsonConfig::JsonConfig(std::unique_ptr<State> state) : state_(std::move(state)) {}
JsonConfig::JsonConfig(JsonConfig&&) noexcept = default;
JsonConfig& JsonConfig::operator=(JsonConfig&&) noexcept = default;
JsonConfig::~JsonConfig() = default;

Result<JsonConfig> JsonConfig::parse(std::string_view text, std::string name) {
  if (text.size() > limits::kConfigBytesMax) {
    return Error{ErrorCode::bad_file, fmt::format("{}: {} bytes of JSON, the limit is {}", name,
                                                  text.size(), limits::kConfigBytesMax)};
  }
  auto state = std::make_unique<State>(std::move(name));
  SQ_TRY_STATUS(state->tree.parse(std::string(text)));
  return JsonConfig(std::move(state));
}

Result<JsonConfig> JsonConfig::open(const std::string& path) {
  SQ_TRY(std::string text, read_file(path, limits::kConfigBytesMax));
  auto state = std::make_unique<State>(printable(path, 512));
  SQ_TRY_STATUS(state->tree.parse(std::move(text)));
  return JsonConfig(std::move(state));
}

const std::string& JsonConfig::name() const { return state_->tree.name(); }

JsonKind JsonConfig::kind(std::string_view path) const {
  const Node* node = state_->find(path);
  return node == nullptr ? JsonKind::absent : node->kind;
}

bool JsonConfig::has(std::string_view path) const {
  const JsonKind found = kind(path);
  return found != JsonKind::absent && found != JsonKind::null;
}

size_t JsonConfig::count(std::string_view path) const {
  const Node* node = state_->find(path);
  return node == nullptr ? 0 : node->child_count;
}

std::vector<std::string_view> JsonConfig::keys(std::string_view path) const {
  std::vector<std::string_view> keys;
  const Node* node = state_->find(path);
  if (node == nullptr || node->kind != JsonKind::object) return keys;
  keys.reserve(node->child_count);
  const Node* member = state_->tree.first_child(*node);
  for (uint32_t i = 0; i < node->child_count; ++i, member = state_->tree.next(*member)) {
    keys.push_back(member->key);
  }
  return keys;
}

Result<int64_t> JsonConfig::get_int(std::string_view path, IntRange range) const {
  const Node* node = state_->find(path);
  if (node == nullptr) return state_->unexpected(path, node, "an integer");
  return state_->as_int(path, *node, range);
}

Result<int64_t> JsonConfig::get_int_or(std::string_view path, int64_t fallback,
                                       IntRange range) const {
  return has(path) ? get_int(path, range) : fallback;
}

Result<double> JsonConfig::get_float(std::string_view path, FloatRange range) const {
  const Node* node = state_->find(path);
  if (node == nullptr) return state_->unexpected(path, node, "a number");
  return state_->as_float(path, *node, range);
}

Result<double> JsonConfig::get_float_or(std::string_view path, double fallback,
                                        FloatRange range) const {
  return has(path) ? get_float(path, range) : fallback;
}

Result<bool> JsonConfig::get_bool(std::string_view path) const {
  const Node* node = state_->find(path);
  if (node == nullptr || node->kind != JsonKind::boolean) {
    return state_->unexpected(path, node, "true or false");
  }
  return node->boolean;
}

Result<bool> JsonConfig::get_bool_or(std::string_view path, bool fallback) const {
  return has(path) ? get_bool(path) : fallback;
}

Result<std::string_view> JsonConfig::get_string(std::string_view path) const {
  const Node* node = state_->find(path);
  if (node == nullptr) return state_->unexpected(path, node, "a string");
  return state_->as_string(path, *node);
}

Result<std::string_view> JsonConfig::get_string_or(std::string_view path,
                                                   std::string_view fallback) const {
  return has(path) ? get_string(path) : fallback;
}

Result<std::vector<int64_t>> JsonConfig::get_ints(std::string_view path, IntRange range) const {
  return state_->as_list<int64_t>(
      path, "a list of integers",
      [&](std::string_view at, const Node& node) { return state_->as_int(at, node, range); });
}

Result<std::vector<double>> JsonConfig::get_floats(std::string_view path, FloatRange range) const {
  return state_->as_list<double>(
      path, "a list of numbers",
      [&](std::string_view at, const Node& node) { return state_->as_float(at, node, range); });
}

Result<std::vector<std::string_view>> JsonConfig::get_strings(std::string_view path) const {
  return state_->as_list<std::string_view>(
      path, "a list of strings",
      [&](std::string_view at, const Node& node) { return state_->as_string(at, node); });
}

Result<std::vector<JsonConfig::StringPair>> JsonConfig::get_string_pairs(
    std::string_view path) const {
  const Node* node = state_->find(path);
  if (node == nullptr || node->kind != JsonKind::object) {
    return state_->unexpected(path, node, "an object of strings");
  }
  std::vector<StringPair> pairs;
  pairs.reserve(node->child_count);
  const Node* member = state_->tree.first_child(*node);
  for (uint32_t i = 0; i < node->child_count; ++i, member = state_->tree.next(*member)) {
    SQ_TRY(const std::string_view text,
           state_->as_string(fmt::format("{}.{}", path, member->key), *member));
    pairs.emplace_back(member->key, text);
  }
  return pairs;
}

}  // namespace squish
