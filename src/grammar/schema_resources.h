#pragma once
// Schemas in schemas: $id, and what references mean relative to it.
#include "base/result.h"
#include "text/jinja_value.h"

namespace squish::schema_rules {

/// `root` with every $ref that leads to a place of it as the place, "#/...", and without the $id of
/// schemas inside: relative to them, by a name ($anchor), or by the whole address. As it is where
/// it has nothing of these. Others stay and are refused where they are used. Errors:
/// invalid_argument for a schema inside that is of another draft, and for an address that two have.
Result<Value> with_local_references(const Value& root);

}  // namespace squish::schema_rules
