// value.name, value[key] and value[start:stop:step].
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_methods.h"
#include "text/jinja_operators.h"
#include "text/jinja_unicode.h"

namespace squish::jinja {
namespace {

Value undefined_because(std::string why) {
  return Value(Value::Undefined{std::make_shared<const std::string>(std::move(why))});
}

Value missing(const Value& value, const std::string& name) {
  const std::string type = value.is_none() ? "None" : type_name(value) + " object";
  return undefined_because(fmt::format("'{}' has no attribute '{}'", type, printable(name, 60)));
}

/// An attribute in Python's sense: a method, or a field of a namespace or a macro. Nothing if there
/// is none.
Result<std::optional<Value>> own_attribute(Runtime& runtime, const Value& value,
                                           const std::string& name) {
  if (value.kind() == Value::Kind::object) return value.as_object().attribute(runtime, name);
  if (value.is_list() && value.list_object().label == kGroupLabel) {
    if (name == "grouper") return std::optional<Value>(value.items()[0]);
    if (name == "list") return std::optional<Value>(value.items()[1]);
  }
  switch (method_access(value, name)) {
    case MethodAccess::none:
      return std::optional<Value>();
    case MethodAccess::refused:
      return std::optional<Value>(
          undefined_because(fmt::format("access to attribute '{}' of '{}' object is unsafe.",
                                        printable(name, 60), type_name(value))));
    case MethodAccess::allowed:
      break;
  }
  SQ_TRY(MethodObject * method, runtime.object<MethodObject>());
  method->subject = value;
  method->name = name;
  return std::optional<Value>(Value::object(*method));
}

std::optional<int64_t> index_of(const Value& key) {
  if (key.is_integer()) return key.as_integer();
  if (key.is_bool()) return key.as_bool() ? 1 : 0;
  return std::nullopt;
}

/// The element that Python's value[key] gives; nothing where Python raises.
Result<std::optional<Value>> element(Runtime& runtime, const Value& value, const Value& key) {
  if (value.is_dict()) {
    if (!is_hashable(key)) return std::optional<Value>();
    const Value* found = value.dict_object().find(key);
    return found == nullptr ? std::optional<Value>() : std::optional<Value>(*found);
  }
  std::optional<int64_t> index = index_of(key);
  if (!index) return std::optional<Value>();
  if (value.is_string()) {
    const std::string& text = value.as_string();
    SQ_TRY_STATUS(runtime.work_on_text(text.size()));
    if (*index < 0) *index += static_cast<int64_t>(code_point_count(text));
    if (*index < 0) return std::optional<Value>();
    const size_t start = byte_offset(text, static_cast<size_t>(*index));
    if (start >= text.size()) return std::optional<Value>();
    SQ_TRY(Value character,
           runtime.text(text.substr(start, code_point_at(text, start).bytes), value.text().markup));
    return std::optional<Value>(std::move(character));
  }
  if (!value.is_list()) return std::optional<Value>();
  const ListFlavor flavor = value.list_object().flavor;
  if (flavor > ListFlavor::tuple && flavor != ListFlavor::range) return std::optional<Value>();
  if (*index < 0) *index += static_cast<int64_t>(value.size());
  if (*index < 0 || static_cast<uint64_t>(*index) >= value.size()) return std::optional<Value>();
  return std::optional<Value>(value.items()[static_cast<size_t>(*index)]);
}

}  // namespace

Result<Value> get_attribute(Runtime& runtime, const Value& value, const std::string& name) {
  SQ_TRY_STATUS(runtime.work(1));
  if (value.is_undefined()) return undefined_error(value);
  SQ_TRY(std::optional<Value> attribute, own_attribute(runtime, value, name));
  if (attribute) return *std::move(attribute);
  if (value.is_dict()) {
    const Value* found = value.dict_object().find(std::string_view(name));
    if (found != nullptr) return *found;
  }
  return missing(value, name);
}

Result<Value> get_own_attribute(Runtime& runtime, const Value& value, const std::string& name) {
  SQ_TRY_STATUS(runtime.work(1));
  if (value.is_undefined()) return undefined_error(value);
  SQ_TRY(std::optional<Value> attribute, own_attribute(runtime, value, name));
  return attribute ? *std::move(attribute) : missing(value, name);
}

Result<Value> get_item(Runtime& runtime, const Value& value, const Value& key) {
  SQ_TRY_STATUS(runtime.work(1));
  if (value.is_undefined()) return undefined_error(value);
  SQ_TRY(std::optional<Value> found, element(runtime, value, key));
  if (found) return *std::move(found);
  if (!key.is_string()) {
    SQ_TRY(const std::string shown, to_text(runtime, key));
    return undefined_because(
        fmt::format("{} object has no element {}", type_name(value), printable(shown, 60)));
  }
  SQ_TRY(std::optional<Value> attribute, own_attribute(runtime, value, key.as_string()));
  if (attribute) return *std::move(attribute);
  return missing(value, key.as_string());
}

namespace {

struct SliceRange {
  int64_t start = 0;
  int64_t stop = 0;
  int64_t step = 1;
};

/// Python's slice.indices().
Result<SliceRange> slice_range(const Value& start, const Value& stop, const Value& step,
                               int64_t size) {
  SliceRange range;
  const auto part = [](const Value& value, int64_t& out, bool& given) -> Status {
    given = !value.is_none();
    if (!given) return {};
    const std::optional<int64_t> index = index_of(value);
    if (!index) return template_error("slice indices must be integers or None");
    out = *index;
    return {};
  };
  bool given = false;
  SQ_TRY_STATUS(part(step, range.step, given));
  if (range.step == 0) return template_error("slice step cannot be zero");
  range.step = std::clamp<int64_t>(range.step, -INT64_MAX, INT64_MAX);
  const bool backward = range.step < 0;
  const int64_t low = backward ? -1 : 0;
  const int64_t high = backward ? size - 1 : size;
  const auto clamp = [&](int64_t index) {
    if (index < 0) index = index < -size ? -1 - size : index + size;
    return std::clamp(index, low, high);
  };
  SQ_TRY_STATUS(part(start, range.start, given));
  range.start = given ? clamp(range.start) : (backward ? high : low);
  SQ_TRY_STATUS(part(stop, range.stop, given));
  range.stop = given ? clamp(range.stop) : (backward ? low : high);
  return range;
}

/// Calls `take` for each index of the range; no index leaves [0, size).
template <class Take>
void walk(const SliceRange& range, Take take) {
  for (int64_t i = range.start; range.step > 0 ? i < range.stop : i > range.stop;) {
    take(static_cast<size_t>(i));
    if (__builtin_add_overflow(i, range.step, &i)) return;
  }
}

}  // namespace

Result<Value> get_slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop,
                        const Value& step) {
  SQ_TRY_STATUS(runtime.work(weight(value)));
  if (value.is_undefined()) return undefined_error(value);
  if (value.is_string()) {
    const std::string& text = value.as_string();
    SQ_TRY_STATUS(runtime.reserve(text.size() * sizeof(std::string_view)));
    SQ_TRY_STATUS(runtime.work(text.size() / 4));
    const std::vector<std::string_view> pieces = split_code_points(text);
    SQ_TRY(const SliceRange range,
           slice_range(start, stop, step, static_cast<int64_t>(pieces.size())));
    std::string out;
    walk(range, [&](size_t i) { out += pieces[i]; });
    return runtime.text(std::move(out), value.text().markup);
  }
  const bool sliceable = value.is_list() && (value.list_object().flavor <= ListFlavor::tuple ||
                                             value.list_object().flavor == ListFlavor::range);
  if (!sliceable)
    return template_error(fmt::format("'{}' object cannot be sliced", type_name(value)));
  SQ_TRY(const SliceRange range,
         slice_range(start, stop, step, static_cast<int64_t>(value.size())));
  SQ_TRY_STATUS(runtime.reserve(value.size() * sizeof(Value)));
  Value::List out;
  walk(range, [&](size_t i) { out.push_back(value.items()[i]); });
  const ListFlavor flavor = value.list_object().flavor;
  SQ_TRY(Value list,
         runtime.list(std::move(out), flavor == ListFlavor::range ? ListFlavor::list : flavor));
  return list;
}

}  // namespace squish::jinja
