#pragma once
// Which variable each name of a template means, decided once before it runs, by the rules of
// Jinja's compiler.
#include "base/result.h"
#include "text/jinja_ast.h"

namespace squish::jinja {

/// Fills every Reference and Scope of `program`. Errors: bad_file "line N: ..." for an assignment
/// to the loop variable and for filters and tests that do not exist, unless they stand in a
/// condition (then calling them is the error).
Status resolve_names(Program& program);

}  // namespace squish::jinja
