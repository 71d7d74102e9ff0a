// Filters over lists, dicts and iterators. Those that are generators in Jinja give an iterator
// here: it can be walked once, has no length, and raises where it would have raised.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_filters.h"
#include "text/jinja_operators.h"
#include "text/jinja_unicode.h"

namespace squish::jinja {

Result<Value> follow_path(Runtime& runtime, const Value& item, const Value& path,
                          const Value* fallback) {
  Value current = item;
  const auto step = [&](const Value& key) -> Status {
    SQ_TRY(current, get_item(runtime, current, key));
    if (fallback != nullptr && current.is_undefined()) current = *fallback;
    return {};
  };
  if (path.is_none()) return current;
  if (!path.is_string()) {
    SQ_TRY_STATUS(step(path));
    return current;
  }
  for (const std::string_view part : split(path.as_string(), '.')) {
    const bool digits =
        !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    const auto index = digits ? parse_int(part) : std::nullopt;
    SQ_TRY_STATUS(step(index ? Value(*index) : Value(part)));
  }
  return current;
}

Result<Value> without_case(Runtime& runtime, const Value& value) {
  if (!value.is_string()) return value;
  SQ_TRY_STATUS(runtime.work(value.as_string().size() / 4));
  return runtime.text(to_lower_text(value.as_string()));
}

namespace {

using Arguments = BoundArguments;

Result<Value> length_of(Runtime& runtime, const Value& value, const Arguments&) {
  SQ_TRY_STATUS(runtime.work(weight(value)));
  SQ_TRY(const int64_t size, length(value));
  return Value(size);
}

Value undefined_because(const char* why) {
  return Value(Value::Undefined{std::make_shared<const std::string>(why)});
}

Result<Value> first(Runtime& runtime, const Value& value, const Arguments&) {
  if (value.is_list()) {
    const ListObject& list = value.list_object();
    const bool once = list.flavor == ListFlavor::iterator;
    const size_t at = once ? list.consumed : 0;
    if (at < list.items.size()) {
      if (once) ++list.consumed;
      return list.items[at];
    }
  } else if (value.is_string() && !value.as_string().empty()) {
    return get_item(runtime, value, Value(0));
  }
  SQ_TRY(const Value::List items, iterate(runtime, value));
  return items.empty() ? undefined_because("No first item, sequence was empty.") : items.front();
}

Result<Value> last(Runtime& runtime, const Value& value, const Arguments&) {
  if (value.is_list() && value.list_object().flavor == ListFlavor::iterator) {
    return template_error("'generator' object is not reversible");
  }
  if (value.is_list() && !value.items().empty()) return value.items().back();
  SQ_TRY(const Value::List items, iterate(runtime, value));
  return items.empty() ? undefined_because("No last item, sequence was empty.") : items.back();
}

Result<Value> list_of(Runtime& runtime, const Value& value, const Arguments&) {
  SQ_TRY(Value::List items, iterate(runtime, value));
  return runtime.list(std::move(items));
}

Result<Value> items_of(Runtime& runtime, const Value& value, const Arguments&) {
  if (value.is_undefined()) return runtime.iterator({});
  if (!value.is_dict())
    return runtime.iterator({}, template_error("Can only get item pairs from a mapping."));
  Value::List items;
  for (const Value::Entry& entry : value.entries()) {
    SQ_TRY(Value pair, runtime.list({entry.key, entry.value}, ListFlavor::tuple));
    items.push_back(std::move(pair));
  }
  return runtime.iterator(std::move(items));
}

Result<Value> join(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const std::string separator, arguments[0] == nullptr ? Result<std::string>(std::string())
                                                              : to_text(runtime, *arguments[0]));
  SQ_TRY(const Value::List items, iterate(runtime, value));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    SQ_TRY(const Value item, arguments.given(1) ? follow_path(runtime, items[i], *arguments[1])
                                                : Result<Value>(items[i]));
    SQ_TRY(const std::string piece, to_text(runtime, item));
    SQ_TRY_STATUS(runtime.work_on_text(piece.size() + separator.size()));
    SQ_TRY_STATUS(runtime.reserve(out.size() + piece.size() + separator.size()));
    if (i > 0) out += separator;
    out += piece;
  }
  return runtime.text(std::move(out));
}

Result<Value> reverse(Runtime& runtime, const Value& value, const Arguments&) {
  if (value.is_string()) return get_slice(runtime, value, Value::none(), Value::none(), Value(-1));
  SQ_TRY(Value::List items, iterate(runtime, value));
  std::reverse(items.begin(), items.end());
  const bool generator = value.is_list() && value.list_object().flavor == ListFlavor::iterator;
  return generator ? runtime.list(std::move(items)) : runtime.iterator(std::move(items));
}

Result<Value> batch(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const int64_t size, arguments.integer(0, 0));
  SQ_TRY(const Value::List items, iterate(runtime, value));
  Value::List rows;
  Value::List row;
  for (const Value& item : items) {
    if (static_cast<int64_t>(row.size()) == size) {
      SQ_TRY(Value full, runtime.list(std::exchange(row, {})));
      rows.push_back(std::move(full));
    }
    row.push_back(item);
  }
  if (!row.empty()) {
    if (arguments.given(1)) {
      SQ_TRY_STATUS(runtime.reserve(static_cast<uint64_t>(std::clamp<int64_t>(size, 0, INT32_MAX)) *
                                    sizeof(Value)));
      SQ_TRY_STATUS(runtime.work(static_cast<uint64_t>(std::max<int64_t>(size, 0))));
      while (static_cast<int64_t>(row.size()) < size) row.push_back(*arguments[1]);
    }
    SQ_TRY(Value full, runtime.list(std::move(row)));
    rows.push_back(std::move(full));
  }
  return runtime.iterator(std::move(rows));
}

Result<Value> slice(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const int64_t slices, arguments.integer(0, 0));
  SQ_TRY(const Value::List items, iterate(runtime, value));
  if (slices == 0)
    return runtime.iterator({}, template_error("integer division or modulo by zero"));
  Value::List out;
  const auto size = static_cast<int64_t>(items.size());
  int64_t start = 0;
  for (int64_t i = 0; i < slices; ++i) {
    SQ_TRY_STATUS(runtime.work(1));
    const bool extra = i < size % slices;
    const int64_t end = start + size / slices + (extra ? 1 : 0);
    Value::List part(items.begin() + start, items.begin() + end);
    if (arguments.given(1) && !extra) part.push_back(*arguments[1]);
    SQ_TRY(Value list, runtime.list(std::move(part)));
    out.push_back(std::move(list));
    start = end;
  }
  return runtime.iterator(std::move(out));
}

Result<Value> attribute(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const std::string name, arguments.string(0, ""));
  return get_own_attribute(runtime, value, name);
}

/// Positional arguments from `from` on, with all keywords.
CallArguments rest_of(const CallArguments& all, size_t from) {
  CallArguments rest;
  rest.positional.assign(all.positional.begin() + static_cast<std::ptrdiff_t>(from),
                         all.positional.end());
  rest.keywords = all.keywords;
  return rest;
}

/// One item of map(): an attribute, or the result of a filter.
Result<Value> map_item(Runtime& runtime, const Value& item, const CallArguments& all,
                       const CallArguments& rest) {
  if (!all.positional.empty()) {
    if (!all.positional.front().is_string())
      return template_error("map requires the name of a filter");
    return call_filter(runtime, all.positional.front().as_string(), item, rest);
  }
  const Value* path = all.keyword("attribute");
  if (path == nullptr) return template_error("map requires a filter argument");
  for (const auto& [name, value] : all.keywords) {
    if (name != "attribute" && name != "default") {
      return template_error(fmt::format("Unexpected keyword argument '{}'", name));
    }
  }
  const Value* fallback = all.keyword("default");
  return follow_path(runtime, item, *path,
                     fallback != nullptr && !fallback->is_none() ? fallback : nullptr);
}

Result<Value> map(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (!is_true(value)) return runtime.iterator({});
  const CallArguments& all = arguments.all();
  const CallArguments rest = all.positional.empty() ? CallArguments{} : rest_of(all, 1);
  Result<Value::List> items = iterate(runtime, value);
  if (!items) return runtime.iterator({}, items.error());
  Value::List out;
  Status failure;
  for (const Value& item : *items) {
    Result<Value> mapped = map_item(runtime, item, all, rest);
    if (!mapped) {
      failure = mapped.error();
      break;
    }
    out.push_back(std::move(*mapped));
  }
  return runtime.iterator(std::move(out), failure);
}

/// select, reject, selectattr and rejectattr.
template <bool kKeep, bool kByAttribute>
Result<Value> choose(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (!is_true(value)) return runtime.iterator({});
  const CallArguments& all = arguments.all();
  constexpr size_t kTest = kByAttribute ? 1 : 0;
  if (all.positional.size() < kTest)
    return runtime.iterator({}, template_error("Missing parameter for attribute name"));
  const bool has_name = all.positional.size() > kTest;
  if (has_name && !all.positional[kTest].is_string())
    return runtime.iterator({}, template_error("the test must be named"));
  const CallArguments rest = has_name ? rest_of(all, kTest + 1) : CallArguments{};
  Result<Value::List> items = iterate(runtime, value);
  if (!items) return runtime.iterator({}, items.error());
  const auto decide = [&](const Value& item) -> Result<bool> {
    SQ_TRY(const Value subject,
           kByAttribute ? follow_path(runtime, item, all.positional[0]) : Result<Value>(item));
    if (!has_name) return is_true(subject);
    return call_test(runtime, all.positional[kTest].as_string(), subject, rest);
  };
  Value::List out;
  Status failure;
  for (const Value& item : *items) {
    const Result<bool> wanted = decide(item);
    if (!wanted) {
      failure = wanted.error();
      break;
    }
    if (*wanted == kKeep) out.push_back(item);
  }
  return runtime.iterator(std::move(out), failure);
}

constexpr std::array kSequenceFilters = {
    FilterRow{"length", "", length_of},
    FilterRow{"count", "", length_of},
    FilterRow{"items", "", items_of},
    FilterRow{"first", "", first},
    FilterRow{"last", "", last},
    FilterRow{"list", "", list_of},
    FilterRow{"join", "d=,attribute=", join},
    FilterRow{"map", "*", map},
    FilterRow{"select", "*", choose<true, false>},
    FilterRow{"reject", "*", choose<false, false>},
    FilterRow{"selectattr", "*", choose<true, true>},
    FilterRow{"rejectattr", "*", choose<false, true>},
    FilterRow{"reverse", "", reverse},
    FilterRow{"batch", "linecount,fill_with=", batch},
    FilterRow{"slice", "slices,fill_with=", slice},
    FilterRow{"attr", "name", attribute},
};

}  // namespace

std::span<const FilterRow> sequence_filters() { return kSequenceFilters; }

}  // namespace squish::jinja
