#include "text/jinja_methods.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_string_methods.h"

namespace squish::jinja {
namespace {

constexpr std::array<std::string_view, 8> kListRefused = {"append", "clear", "pop",    "reverse",
                                                          "insert", "sort",  "extend", "remove"};
constexpr std::array<std::string_view, 5> kDictRefused = {"clear", "pop", "popitem", "setdefault",
                                                          "update"};

template <size_t kCount>
bool is_one_of(const std::array<std::string_view, kCount>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Result<Value> list_count(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  int64_t count = 0;
  for (const Value& item : self.items()) {
    SQ_TRY(const bool same, equal(runtime, item, *arguments[0]));
    count += same ? 1 : 0;
  }
  return Value(count);
}

Result<Value> list_index(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  const auto size = static_cast<int64_t>(self.size());
  SQ_TRY(int64_t start, arguments.integer(1, 0));
  SQ_TRY(int64_t stop, arguments.integer(2, size));
  if (start < 0) start = std::max<int64_t>(0, start + size);
  if (stop < 0) stop += size;
  for (int64_t i = start; i < std::min(stop, size); ++i) {
    SQ_TRY(const bool same, equal(runtime, self.items()[static_cast<size_t>(i)], *arguments[0]));
    if (same) return Value(i);
  }
  return template_error("the value is not in the list");
}

Result<Value> copy_of(Runtime&, const Value& self, const BoundArguments&) { return self; }

Result<Value> dict_get(Runtime&, const Value& self, const BoundArguments& arguments) {
  if (!is_hashable(*arguments[0])) {
    return template_error(fmt::format("unhashable type: '{}'", type_name(*arguments[0])));
  }
  const Value* found = self.dict_object().find(*arguments[0]);
  if (found != nullptr) return *found;
  return arguments[1] == nullptr ? Value::none() : *arguments[1];
}

Result<Value> dict_keys(Runtime& runtime, const Value& self, const BoundArguments&) {
  Value::List keys;
  for (const Value::Entry& entry : self.entries()) keys.push_back(entry.key);
  return runtime.list(std::move(keys), ListFlavor::keys);
}

Result<Value> dict_values(Runtime& runtime, const Value& self, const BoundArguments&) {
  Value::List values;
  for (const Value::Entry& entry : self.entries()) values.push_back(entry.value);
  return runtime.list(std::move(values), ListFlavor::values);
}

Result<Value> dict_items(Runtime& runtime, const Value& self, const BoundArguments&) {
  SQ_TRY_STATUS(runtime.work(self.size()));
  Value::List items;
  for (const Value::Entry& entry : self.entries()) {
    SQ_TRY(Value pair, runtime.list({entry.key, entry.value}, ListFlavor::tuple));
    items.push_back(std::move(pair));
  }
  return runtime.list(std::move(items), ListFlavor::items);
}

Result<Value> float_is_integer(Runtime&, const Value& self, const BoundArguments&) {
  const double value = self.as_floating();
  return Value(value == static_cast<double>(static_cast<int64_t>(std::clamp(value, -9e18, 9e18))));
}

constexpr std::array<MethodRow, 3> kListMethods = {{{"count", "/value", list_count},
                                                    {"index", "/value,start=,stop=", list_index},
                                                    {"copy", "/", copy_of}}};
constexpr std::array<MethodRow, 5> kDictMethods = {{{"get", "/key,default=", dict_get},
                                                    {"items", "/", dict_items},
                                                    {"keys", "/", dict_keys},
                                                    {"values", "/", dict_values},
                                                    {"copy", "/", copy_of}}};
constexpr std::array<MethodRow, 1> kFloatMethods = {{{"is_integer", "/", float_is_integer}}};

const MethodRow* find_row(std::span<const MethodRow> rows, std::string_view name) {
  for (const MethodRow& row : rows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const MethodRow* find_method(const Value& value, std::string_view name) {
  if (value.is_string()) return find_row(string_methods(), name);
  if (value.is_dict()) return find_row(kDictMethods, name);
  if (value.is_floating()) return find_row(kFloatMethods, name);
  if (!value.is_list()) return nullptr;
  const ListFlavor flavor = value.list_object().flavor;
  if (flavor == ListFlavor::list) return find_row(kListMethods, name);
  const bool indexable = flavor == ListFlavor::tuple || flavor == ListFlavor::range;
  return indexable ? find_row(std::span(kListMethods).first(2), name) : nullptr;
}

}  // namespace

MethodAccess method_access(const Value& value, std::string_view name) {
  if (find_method(value, name) != nullptr) return MethodAccess::allowed;
  if (name.starts_with("__") && name.ends_with("__")) return MethodAccess::refused;
  const bool plain_list = value.is_list() && value.list_object().flavor == ListFlavor::list;
  if (plain_list && is_one_of(kListRefused, name)) return MethodAccess::refused;
  if (value.is_dict() && is_one_of(kDictRefused, name)) return MethodAccess::refused;
  return MethodAccess::none;
}

Result<Value> call_method(Runtime& runtime, const Value& value, std::string_view name,
                          const CallArguments& arguments) {
  SQ_TRY_STATUS(runtime.work(weight(value)));
  const MethodRow* row = find_method(value, name);
  if (row == nullptr) {
    return template_error(
        fmt::format("'{} object' has no method '{}'", type_name(value), printable(name, 60)));
  }
  SQ_TRY(const BoundArguments bound, BoundArguments::bind(arguments, name, row->parameters));
  return row->run(runtime, value, bound);
}

}  // namespace squish::jinja
