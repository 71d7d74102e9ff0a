#pragma once
// Reading JSON from strangers without exceptions: a missing field or one of the wrong type is a
// default. Private to hub's .cpp files.
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace squish::hub {

/// Errors: bad_file, `where` and what is wrong. Nesting is bounded by limits::kJsonDepthMax.
Result<nlohmann::json> parse_json(std::string_view text, const std::string& where);
/// The member `key`, or null when `object` is no object or lacks it. The reference lives as long as
/// `object`.
const nlohmann::json& member(const nlohmann::json& object, const char* key);
std::string text_field(const nlohmann::json& object, const char* key);
/// 0 unless the member is a number that fits; a negative one is 0.
uint64_t count_field(const nlohmann::json& object, const char* key);
/// JSON in one line; what is no UTF-8 is replaced.
std::string one_line(const nlohmann::json& value);

}  // namespace squish::hub
