#pragma once
// Small changes of a JSON text that leave everything else as it was written.
#include <string>
#include <string_view>

#include "base/result.h"

namespace squish {

/// The JSON object `text` with member `key` set to `raw_value` (JSON text), as its last member; any
/// earlier member of that name goes. Members are separated by newlines and indented by two spaces;
/// their values stay byte for byte. `name` stands in errors. Errors: bad_file when `text` is no
/// JSON object.
Result<std::string> with_json_member(std::string_view text, std::string_view key,
                                     std::string_view raw_value, const std::string& name);

/// `text` between quotes, with the escapes that JSON needs; invalid UTF-8 becomes U+FFFD.
std::string json_quoted(std::string_view text);

}  // namespace squish
