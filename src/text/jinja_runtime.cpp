#include "text/jinja_runtime.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "text/jinja_unicode.h"

namespace squish::jinja {

Error template_error(std::string message) {
  return {ErrorCode::invalid_argument, std::move(message)};
}

Error undefined_error(const Value& undefined) {
  const auto& why = undefined.undefined().why;
  return template_error(why ? *why : "value is undefined");
}

Error Runtime::steps_error() const {
  return {ErrorCode::unsafe,
          fmt::format("the template runs for more than {} steps", limits_.steps_max)};
}

Error Runtime::memory_error() const {
  return {ErrorCode::unsafe,
          fmt::format("the template needs more than {} bytes of memory", limits_.memory_bytes_max)};
}

Status Runtime::charge(MemoryCharge& charge, uint64_t bytes) {
  SQ_TRY_STATUS(hold(bytes));
  charge.live = &live_bytes_;
  charge.bytes = bytes;
  return {};
}

Result<Value> Runtime::text(std::string text, bool markup) {
  auto object = std::make_shared<TextObject>();
  SQ_TRY_STATUS(charge(object->charge, text.size() + sizeof(TextObject)));
  object->text = std::move(text);
  object->markup = markup;
  return Value(Value::TextPtr(std::move(object)));
}

Result<Value> Runtime::list(Value::List items, ListFlavor flavor) {
  auto object = std::make_shared<ListObject>();
  SQ_TRY_STATUS(charge(object->charge, items.size() * sizeof(Value) + sizeof(ListObject)));
  for (const Value& item : items) object->depth = std::max(object->depth, item.depth() + 1);
  if (object->depth > limits_.depth_max) {
    return Error{ErrorCode::unsafe,
                 fmt::format("lists and dicts nest deeper than {} levels", limits_.depth_max)};
  }
  object->items = std::move(items);
  object->flavor = flavor;
  return Value(std::move(object));
}

Result<Value> Runtime::dict(std::shared_ptr<DictObject> dict) {
  // An index entry is a tree node of about 96 bytes.
  const uint64_t bytes =
      dict->entries.size() * sizeof(Value::Entry) + dict->index.size() * 96 + sizeof(DictObject);
  SQ_TRY_STATUS(charge(dict->charge, bytes));
  if (dict->depth > limits_.depth_max) {
    return Error{ErrorCode::unsafe,
                 fmt::format("lists and dicts nest deeper than {} levels", limits_.depth_max)};
  }
  return Value(std::move(dict));
}

Result<Value> Runtime::iterator(Value::List items, const Status& failure) {
  SQ_TRY(Value value, list(std::move(items), ListFlavor::iterator));
  if (!failure) value.list_object().failure = std::make_shared<const Error>(failure.error());
  return value;
}

std::string type_name(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::undefined:
      return "Undefined";
    case Value::Kind::none:
      return "NoneType";
    case Value::Kind::boolean:
      return "bool";
    case Value::Kind::integer:
    case Value::Kind::big_integer:
      return "int";
    case Value::Kind::floating:
      return "float";
    case Value::Kind::string:
      return value.text().markup ? "Markup" : "str";
    case Value::Kind::dict:
      return "dict";
    case Value::Kind::list: {
      constexpr const char* kNames[] = {"list",       "tuple", "dict_keys", "dict_values",
                                        "dict_items", "range", "generator"};
      return kNames[static_cast<size_t>(value.list_object().flavor)];
    }
    case Value::Kind::object:
      break;
  }
  constexpr const char* kNames[] = {"function",    "method", "Macro", "Namespace",
                                    "LoopContext", "Cycler", "Joiner"};
  return kNames[static_cast<size_t>(value.as_object().kind())];
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::undefined:
    case Value::Kind::none:
      return false;
    case Value::Kind::boolean:
      return value.as_bool();
    case Value::Kind::integer:
      return value.as_integer() != 0;
    case Value::Kind::big_integer:
      return true;
    case Value::Kind::floating:
      return value.as_floating() != 0;
    case Value::Kind::string:
      return !value.as_string().empty();
    case Value::Kind::list:
      return value.list_object().flavor == ListFlavor::iterator ||
             !value.list_object().items.empty();
    case Value::Kind::dict:
      return !value.entries().empty();
    case Value::Kind::object:
      return true;
  }
  return false;
}

Result<std::string> to_text(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value.as_string();
  if (value.is_undefined()) return std::string();
  std::string out;
  SQ_TRY_STATUS(append_repr(runtime, out, value));
  return out;
}

Result<Value::List> iterate(Runtime& runtime, const Value& value) {
  Value::List items;
  switch (value.kind()) {
    case Value::Kind::undefined:
      return items;
    case Value::Kind::list: {
      const ListObject& list = value.list_object();
      const size_t from =
          list.flavor == ListFlavor::iterator ? std::exchange(list.consumed, list.items.size()) : 0;
      SQ_TRY_STATUS(runtime.work(list.items.size() - from));
      SQ_TRY_STATUS(runtime.reserve((list.items.size() - from) * sizeof(Value)));
      if (list.failure) return *std::exchange(list.failure, nullptr);
      items.assign(list.items.begin() + static_cast<std::ptrdiff_t>(from), list.items.end());
      return items;
    }
    case Value::Kind::dict:
      SQ_TRY_STATUS(runtime.work(value.size()));
      for (const Value::Entry& entry : value.entries()) items.push_back(entry.key);
      return items;
    case Value::Kind::string: {
      const std::string& text = value.as_string();
      SQ_TRY_STATUS(runtime.work(text.size()));
      SQ_TRY_STATUS(runtime.reserve(text.size() * (sizeof(Value) + sizeof(TextObject))));
      for (const std::string_view piece : split_code_points(text)) {
        SQ_TRY(Value character, runtime.text(std::string(piece), value.text().markup));
        items.push_back(std::move(character));
      }
      return items;
    }
    case Value::Kind::none:
    case Value::Kind::boolean:
    case Value::Kind::integer:
    case Value::Kind::big_integer:
    case Value::Kind::floating:
    case Value::Kind::object:
      break;
  }
  return template_error(fmt::format("'{}' object is not iterable", type_name(value)));
}

Result<int64_t> length(const Value& value) {
  if (value.is_string()) return static_cast<int64_t>(code_point_count(value.as_string()));
  if (value.is_dict()) return static_cast<int64_t>(value.size());
  if (value.is_list() && value.list_object().flavor != ListFlavor::iterator)
    return static_cast<int64_t>(value.size());
  if (value.is_undefined()) return 0;
  return template_error(fmt::format("object of type '{}' has no len()", type_name(value)));
}

uint64_t weight(const Value& value) {
  if (value.is_string()) return value.as_string().size() / 32 + 1;
  if (value.is_list()) return value.size() + 1;
  if (value.is_dict()) return value.size() + 1;
  return 1;
}

Result<std::string> escaped(Runtime& runtime, const Value& value) {
  SQ_TRY(const std::string text, to_text(runtime, value));
  if (value.is_string() && value.text().markup) return text;
  SQ_TRY_STATUS(runtime.work_on_text(text.size()));
  SQ_TRY_STATUS(runtime.reserve(text.size() * 5));
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  // memmem is linear (two-way search); string_view::find is quadratic on text such as "aaaa...".
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

}  // namespace squish::jinja
