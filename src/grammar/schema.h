#pragma once
// JSON schemas in the form that masks are compiled from: what a mask cannot hold to is refused here
// by name, never left out.
#include <string>

#include "base/result.h"
#include "text/jinja_value.h"

namespace squish {

/// An equivalent of `schema`, or a narrower one: every text that it allows validates against
/// `schema`, under the draft that it names, or any from 4 to 2020-12 where it has no `not`, `oneOf`
/// and `if`. It has no allOf, oneOf, not, if and dependencies, no keywords beside $ref, anyOf or
/// enum, and a single type in each place. Narrower are: objects with properties, which get no
/// others; properties, in the order of the schema; patterns, which the whole text must match and
/// whose parts share the lengths beside them; what is left of a schema when another is taken from
/// it. `strict`: words that are no keyword of JSON Schema are refused, too. Errors:
/// invalid_argument with the place ("#/properties/a") and the keyword that is wrong or not
/// supported; also when nothing can be valid, and past limits::kSchemaNodesMax.
Result<Value> normalize_schema(const Value& schema, bool strict);

}  // namespace squish
