// Filters that compare the elements of a sequence: sort, unique, min, max, groupby, and sum.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_filters.h"
#include "text/jinja_operators.h"

namespace squish::jinja {
namespace {

using Arguments = BoundArguments;

Value undefined_because(const char* why) {
  return Value(Value::Undefined{std::make_shared<const std::string>(why)});
}

Result<Value> dict_sort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const bool case_sensitive = arguments.boolean(0, false);
  SQ_TRY(const std::string by, arguments.string(1, "key"));
  if (by != "key" && by != "value")
    return template_error("You can only sort by either \"key\" or \"value\"");
  if (value.is_undefined()) return undefined_error(value);
  if (!value.is_dict())
    return template_error(fmt::format("'{} object' has no attribute 'items'", type_name(value)));
  Value::List pairs;
  Value::List keys;
  for (const Value::Entry& entry : value.entries()) {
    SQ_TRY(Value pair, runtime.list({entry.key, entry.value}, ListFlavor::tuple));
    pairs.push_back(std::move(pair));
    const Value& key = by == "key" ? entry.key : entry.value;
    SQ_TRY(Value sort_key, case_sensitive ? Result<Value>(key) : without_case(runtime, key));
    keys.push_back(std::move(sort_key));
  }
  SQ_TRY(Value::List out, sorted(runtime, std::move(pairs), keys, arguments.boolean(2, false)));
  return runtime.list(std::move(out));
}

/// The attribute of `item` that a filter compares, lower case unless `case_sensitive`.
Result<Value> key_of(Runtime& runtime, const Value& item, const Value* attribute,
                     bool case_sensitive, const Value* fallback = nullptr) {
  SQ_TRY(Value key,
         follow_path(runtime, item, attribute == nullptr ? Value::none() : *attribute, fallback));
  return case_sensitive ? Result<Value>(std::move(key)) : without_case(runtime, key);
}

Result<Value> sort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const bool case_sensitive = arguments.boolean(1, false);
  SQ_TRY(Value::List items, iterate(runtime, value));
  std::vector<Value> attributes = {arguments.given(2) ? *arguments[2] : Value::none()};
  if (attributes.front().is_string()) {
    const std::string names = attributes.front().as_string();
    attributes.clear();
    for (const std::string_view name : split(names, ',')) attributes.emplace_back(name);
  }
  Value::List keys;
  for (const Value& item : items) {
    Value::List parts;
    for (const Value& attribute : attributes) {
      SQ_TRY(Value part, key_of(runtime, item, &attribute, case_sensitive));
      parts.push_back(std::move(part));
    }
    SQ_TRY(Value key, runtime.list(std::move(parts)));
    keys.push_back(std::move(key));
  }
  SQ_TRY(Value::List out, sorted(runtime, std::move(items), keys, arguments.boolean(0, false)));
  return runtime.list(std::move(out));
}

Result<Value> unique(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const Value::List items, iterate(runtime, value));
  Value::List out;
  DictObject seen;
  Status failure;
  for (const Value& item : items) {
    SQ_TRY_STATUS(runtime.work(4));
    Result<Value> key = key_of(runtime, item, arguments[1], arguments.boolean(0, false));
    if (key && !is_hashable(*key))
      key = template_error(fmt::format("unhashable type: '{}'", type_name(*key)));
    if (!key) {
      failure = key.error();
      break;
    }
    if (seen.find(*key) != nullptr) continue;
    seen.set(*key, Value::none());
    out.push_back(item);
  }
  return runtime.iterator(std::move(out), failure);
}

template <bool kMax>
Result<Value> extreme(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const Value::List items, iterate(runtime, value));
  if (items.empty()) return undefined_because("No aggregated item, sequence was empty.");
  const bool case_sensitive = arguments.boolean(0, false);
  const Value* best = &items.front();
  SQ_TRY(Value best_key, key_of(runtime, *best, arguments[1], case_sensitive));
  for (size_t i = 1; i < items.size(); ++i) {
    SQ_TRY(Value key, key_of(runtime, items[i], arguments[1], case_sensitive));
    SQ_TRY(const bool better, kMax ? less(runtime, best_key, key) : less(runtime, key, best_key));
    if (!better) continue;
    best = &items[i];
    best_key = std::move(key);
  }
  return *best;
}

Result<Value> sum(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const Value::List items, iterate(runtime, value));
  Value total = arguments[1] == nullptr ? Value(0) : *arguments[1];
  if (total.is_string()) return template_error("sum() can't sum strings");
  for (const Value& item : items) {
    SQ_TRY(const Value part,
           arguments.given(0) ? follow_path(runtime, item, *arguments[0]) : Result<Value>(item));
    SQ_TRY(total, binary(runtime, Op::add, total, part));
  }
  return total;
}

Result<Value> group_by(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const Value::List items, iterate(runtime, value));
  const bool case_sensitive = arguments.boolean(2, false);
  Value::List keys;
  Value::List pairs;  // (key, item), sorted together
  for (const Value& item : items) {
    SQ_TRY(Value key, key_of(runtime, item, arguments[0], case_sensitive, arguments[1]));
    SQ_TRY(Value pair, runtime.list({key, item}, ListFlavor::tuple));
    keys.push_back(std::move(key));
    pairs.push_back(std::move(pair));
  }
  SQ_TRY(pairs, sorted(runtime, std::move(pairs), keys, false));
  Value::List groups;
  for (size_t start = 0; start < pairs.size();) {
    Value::List members;
    size_t end = start;
    for (; end < pairs.size(); ++end) {
      SQ_TRY(const bool same, equal(runtime, pairs[start].items()[0], pairs[end].items()[0]));
      if (!same) break;
      members.push_back(pairs[end].items()[1]);
    }
    if (end == start) ++end;  // NaN equals not even itself
    SQ_TRY(Value grouper,
           key_of(runtime, pairs[start].items()[1], arguments[0], true, arguments[1]));
    SQ_TRY(Value list, runtime.list(std::move(members)));
    auto group = std::make_shared<ListObject>();
    group->depth = std::max(list.depth(), grouper.depth()) + 1;
    group->items = {std::move(grouper), std::move(list)};
    group->flavor = ListFlavor::tuple;
    group->label = kGroupLabel;
    groups.emplace_back(std::move(group));
    start = end;
  }
  return runtime.list(std::move(groups));
}

constexpr std::array kOrderFilters = {
    FilterRow{"dictsort", "case_sensitive=,by=,reverse=", dict_sort},
    FilterRow{"sort", "reverse=,case_sensitive=,attribute=", sort},
    FilterRow{"unique", "case_sensitive=,attribute=", unique},
    FilterRow{"min", "case_sensitive=,attribute=", extreme<false>},
    FilterRow{"max", "case_sensitive=,attribute=", extreme<true>},
    FilterRow{"sum", "attribute=,start=", sum},
    FilterRow{"groupby", "attribute,default=,case_sensitive=", group_by},
};

}  // namespace

std::span<const FilterRow> order_filters() { return kOrderFilters; }

}  // namespace squish::jinja
