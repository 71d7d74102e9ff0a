#pragma once
// Tokens to syntax tree.
#include <string_view>

#include "base/result.h"
#include "text/jinja_ast.h"

namespace squish::jinja {

/// Parses a template and resolves its names. Errors: bad_file "line N: ..." for wrong syntax, for
/// tags that need other files (extends, include, import), unknown filters and tests outside
/// conditions, and nesting past the limits. Cost: about 50 microseconds per kilobyte.
Result<Program> parse_template(std::string_view source);

}  // namespace squish::jinja
