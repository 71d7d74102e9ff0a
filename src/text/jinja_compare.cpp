// Equality, order, membership and sorting, by Python's rules.
#include <algorithm>

#include <fmt/format.h>

#include "text/jinja_runtime.h"

namespace squish::jinja {
namespace {

bool is_number(const Value& value) {
  return value.is_bool() || value.is_integer() || value.is_floating();
}

long double number(const Value& value) {
  if (value.is_bool()) return value.as_bool() ? 1.0L : 0.0L;
  if (value.is_integer()) return static_cast<long double>(value.as_integer());
  return static_cast<long double>(value.as_floating());
}

bool same_sequence_type(const Value& left, const Value& right) {
  return left.list_object().flavor == right.list_object().flavor &&
         left.list_object().flavor != ListFlavor::iterator &&
         left.list_object().flavor != ListFlavor::values;
}

Result<bool> equal_lists(Runtime& runtime, const Value::List& left, const Value::List& right) {
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    SQ_TRY(const bool same, equal(runtime, left[i], right[i]));
    if (!same) return false;
  }
  return true;
}

Result<bool> equal_dicts(Runtime& runtime, const DictObject& left, const DictObject& right) {
  if (left.entries.size() != right.entries.size()) return false;
  for (const Value::Entry& entry : left.entries) {
    const Value* other = right.find(entry.key);
    if (other == nullptr) return false;
    SQ_TRY(const bool same, equal(runtime, entry.value, *other));
    if (!same) return false;
  }
  return true;
}

}  // namespace

Result<bool> equal(Runtime& runtime, const Value& left, const Value& right) {
  SQ_TRY_STATUS(runtime.work(1));
  if (is_number(left) && is_number(right)) return number(left) == number(right);
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Value::Kind::string:
      SQ_TRY_STATUS(
          runtime.work_on_text(std::min(left.as_string().size(), right.as_string().size())));
      return left.as_string() == right.as_string();
    case Value::Kind::big_integer:
      return left.as_string() == right.as_string();
    case Value::Kind::list:
      if (&left.list_object() == &right.list_object()) return true;
      if (!same_sequence_type(left, right)) return false;
      return equal_lists(runtime, left.items(), right.items());
    case Value::Kind::dict:
      if (&left.dict_object() == &right.dict_object()) return true;
      return equal_dicts(runtime, left.dict_object(), right.dict_object());
    case Value::Kind::object:
      return &left.as_object() == &right.as_object();
    case Value::Kind::undefined:
    case Value::Kind::none:
      return true;
    case Value::Kind::boolean:
    case Value::Kind::integer:
    case Value::Kind::floating:
      break;
  }
  return false;
}

Result<bool> less(Runtime& runtime, const Value& left, const Value& right) {
  SQ_TRY_STATUS(runtime.work(1));
  if (is_number(left) && is_number(right)) return number(left) < number(right);
  if (left.is_undefined()) return undefined_error(left);
  if (right.is_undefined()) return undefined_error(right);
  if (left.is_string() && right.is_string()) {
    SQ_TRY_STATUS(
        runtime.work_on_text(std::min(left.as_string().size(), right.as_string().size())));
    return left.as_string() < right.as_string();  // byte order of UTF-8 is code point order
  }
  const bool sequences = left.is_list() && right.is_list() && same_sequence_type(left, right) &&
                         left.list_object().flavor <= ListFlavor::tuple;
  if (!sequences) {
    return template_error(fmt::format("'<' not supported between instances of '{}' and '{}'",
                                      type_name(left), type_name(right)));
  }
  const size_t common = std::min(left.size(), right.size());
  for (size_t i = 0; i < common; ++i) {
    SQ_TRY(const bool same, equal(runtime, left.items()[i], right.items()[i]));
    if (!same) return less(runtime, left.items()[i], right.items()[i]);
  }
  return left.size() < right.size();
}

Result<bool> contains(Runtime& runtime, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Value::Kind::string:
      if (item.is_undefined()) return undefined_error(item);
      if (!item.is_string()) {
        return template_error(
            fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
      }
      SQ_TRY_STATUS(runtime.work_on_text(container.as_string().size()));
      return find_text(container.as_string(), item.as_string()) != std::string::npos;
    case Value::Kind::dict:
      if (!is_hashable(item))
        return template_error(fmt::format("unhashable type: '{}'", type_name(item)));
      return container.dict_object().find(item) != nullptr;
    case Value::Kind::list: {
      const ListObject& list = container.list_object();
      const bool once = list.flavor == ListFlavor::iterator;
      for (size_t i = once ? list.consumed : 0; i < list.items.size(); ++i) {
        if (once) list.consumed = i + 1;
        SQ_TRY(const bool same, equal(runtime, list.items[i], item));
        if (same) return true;
      }
      if (list.failure) return *std::exchange(list.failure, nullptr);
      return false;
    }
    case Value::Kind::undefined:
      return false;
    case Value::Kind::none:
    case Value::Kind::boolean:
    case Value::Kind::integer:
    case Value::Kind::big_integer:
    case Value::Kind::floating:
    case Value::Kind::object:
      break;
  }
  return template_error(fmt::format("argument of type '{}' is not iterable", type_name(container)));
}

Result<Value::List> sorted(Runtime& runtime, Value::List items, const Value::List& keys,
                           bool reverse) {
  // Merge sort: it stays in bounds whatever order a failing comparison leaves.
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::vector<size_t> merged(order.size());
  for (size_t width = 1; width < order.size(); width *= 2) {
    for (size_t start = 0; start < order.size(); start += 2 * width) {
      const size_t middle = std::min(start + width, order.size());
      const size_t end = std::min(start + 2 * width, order.size());
      size_t left = start;
      size_t right = middle;
      for (size_t out = start; out < end; ++out) {
        bool take_right = left == middle;
        if (!take_right && right < end) {
          const Value& a = keys[order[left]];
          const Value& b = keys[order[right]];
          SQ_TRY(take_right, reverse ? less(runtime, a, b) : less(runtime, b, a));
        }
        merged[out] = take_right ? order[right++] : order[left++];
      }
    }
    std::swap(order, merged);
  }
  Value::List out;
  out.reserve(items.size());
  for (const size_t i : order) out.push_back(std::move(items[i]));
  return out;
}

}  // namespace squish::jinja
