#pragma once
// A parsed JSON document as one flat vector. Private to src/format.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "base/result.h"
#include "format/json_config.h"

namespace squish {

/// Nodes lie depth first: the first child follows its parent, `end` is the position after the last
/// descendant.
struct JsonNode {
  std::string_view key;   // of a member of an object
  std::string_view text;  // of a string
  union {
    int64_t integer;
    double number;
    bool boolean;
  };
  uint32_t end = 0;
  uint32_t child_count = 0;
  JsonKind kind = JsonKind::null;

  JsonNode() : integer(0) {}
};

/// Keys and strings are views into the parser, so a tree stays where it was parsed.
class JsonTree {
 public:
  explicit JsonTree(std::string name) : name_(std::move(name)) {}

  /// Call once. The top level must be an object. Errors: bad_file, with the name. See
  /// JsonConfig::parse.
  Status parse(std::string text);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const JsonNode& root() const { return nodes_.front(); }
  [[nodiscard]] const JsonNode* first_child(const JsonNode& node) const { return &node + 1; }
  /// The node after the last descendant of `node`: its next sibling, if it has one.
  [[nodiscard]] const JsonNode* next(const JsonNode& node) const {
    return nodes_.data() + node.end;
  }

 private:
  Status build(simdjson::ondemand::document& document);
  Status add(simdjson::ondemand::value value, std::string_view key, int depth);
  Status add_object(simdjson::ondemand::object object, size_t at, int depth);
  Status add_array(simdjson::ondemand::array array, size_t at, int depth);
  Status add_number(std::string_view token, JsonNode& node) const;
  [[nodiscard]] Error bad(const std::string& text) const {
    return {ErrorCode::bad_file, name_ + ": " + text};
  }
  [[nodiscard]] Error not_json(simdjson::error_code code) const {
    return bad(std::string("not valid JSON: ") + simdjson::error_message(code));
  }

  std::string name_;
  simdjson::ondemand::parser parser_;
  std::vector<JsonNode> nodes_;  // [0] is the document
};

}  // namespace squish
