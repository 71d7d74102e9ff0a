#pragma once
// The methods of Python's str.
#include <span>
#include <string_view>

#include "text/jinja_arguments.h"

namespace squish::jinja {

struct MethodRow {
  std::string_view name;
  std::string_view parameters;  // as BoundArguments::bind takes them
  Result<Value> (*run)(Runtime& runtime, const Value& self, const BoundArguments& arguments);
};
std::span<const MethodRow> string_methods();

/// `pieces` as values that keep the markup of `self`.
Result<Value> pieces_to_list(Runtime& runtime, const Value& self,
                             const std::vector<std::string_view>& pieces,
                             ListFlavor flavor = ListFlavor::list);
/// str.split(sep, maxsplit) and rsplit; an empty optional splits at white space.
Result<Value> split_text(Runtime& runtime, const Value& self, const Value* separator,
                         int64_t splits_max, bool from_right);
/// The lines of `text`, without their ends unless `keep_ends`.
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends = false);
/// str.replace(from, to, count); count < 0 replaces all.
Result<std::string> replace_text(Runtime& runtime, std::string_view text, std::string_view from,
                                 std::string_view to, int64_t count);

}  // namespace squish::jinja
