#pragma once
// Filters (value | name(arguments)) and tests (value is name(arguments)).
#include <span>
#include <string_view>

#include "text/jinja_arguments.h"

namespace squish::jinja {

bool has_filter(std::string_view name);
bool has_test(std::string_view name);

/// value | name(arguments). Errors: no such filter, wrong arguments, what the filter itself
/// refuses.
Result<Value> call_filter(Runtime& runtime, std::string_view name, const Value& value,
                          const CallArguments& arguments);
/// value is name(arguments).
Result<bool> call_test(Runtime& runtime, std::string_view name, const Value& value,
                       const CallArguments& arguments);

struct FilterRow {
  std::string_view name;
  std::string_view parameters;  // as BoundArguments::bind takes them
  Result<Value> (*run)(Runtime& runtime, const Value& value, const BoundArguments& arguments);
};
/// The tables that call_filter looks in.
std::span<const FilterRow> text_filters();
std::span<const FilterRow> sequence_filters();
std::span<const FilterRow> order_filters();

/// A path such as "function.name" or 0, looked up step by step in each item; the whole item if
/// `path` is none.
Result<Value> follow_path(Runtime& runtime, const Value& item, const Value& path,
                          const Value* fallback = nullptr);
/// Lower case of a string, other values as they are: what comparisons without regard to case
/// compare.
Result<Value> without_case(Runtime& runtime, const Value& value);

}  // namespace squish::jinja
