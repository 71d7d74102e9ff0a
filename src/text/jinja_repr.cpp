// How values print: Python's repr().
#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_runtime.h"
#include "text/jinja_unicode.h"

namespace squish::jinja {
namespace {

void append_escaped_point(std::string& out, uint32_t point) {
  if (point < 0x100) {
    out += fmt::format("\\x{:02x}", point);
  } else if (point < 0x10000) {
    out += fmt::format("\\u{:04x}", point);
  } else {
    out += fmt::format("\\U{:08x}", point);
  }
}

std::string_view item_separator(bool first) { return first ? "" : ", "; }

Status append_list(Runtime& runtime, std::string& out, const Value& value) {
  const ListObject& list = value.list_object();
  std::string_view open = "[";
  std::string_view close = "]";
  switch (list.flavor) {
    case ListFlavor::list:
      break;
    case ListFlavor::tuple:
      open = "(";
      close = list.items.size() == 1 ? ",)" : ")";
      break;
    case ListFlavor::keys:
    case ListFlavor::values:
    case ListFlavor::items:
      out += type_name(value);
      open = "([";
      close = "])";
      break;
    case ListFlavor::range:
      out += list.label;
      return {};
    case ListFlavor::iterator:
      out += "<generator object>";
      return {};
  }
  out += open;
  bool first = true;
  for (const Value& item : list.items) {
    out += item_separator(first);
    first = false;
    SQ_TRY_STATUS(append_repr(runtime, out, item));
  }
  out += close;
  return {};
}

Status append_dict(Runtime& runtime, std::string& out, const DictObject& dict) {
  out += '{';
  bool first = true;
  for (const Value::Entry& entry : dict.entries) {
    out += item_separator(first);
    first = false;
    SQ_TRY_STATUS(append_repr(runtime, out, entry.key));
    out += ": ";
    SQ_TRY_STATUS(append_repr(runtime, out, entry.value));
  }
  out += '}';
  return {};
}

}  // namespace

std::string quoted(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const bool has_double = text.find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string out(1, quote);
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    if (point.value == static_cast<unsigned char>(quote) || point.value == '\\') {
      out += '\\';
      out += static_cast<char>(point.value);
    } else if (point.value == '\n') {
      out += "\\n";
    } else if (point.value == '\r') {
      out += "\\r";
    } else if (point.value == '\t') {
      out += "\\t";
    } else if (is_printable(point.value)) {
      out += text.substr(i, point.bytes);
    } else {
      append_escaped_point(out, point.value);
    }
    i += point.bytes;
  }
  return out + quote;
}

Status append_repr(Runtime& runtime, std::string& out, const Value& value) {
  SQ_TRY_STATUS(runtime.work(weight(value)));
  SQ_TRY_STATUS(runtime.reserve(out.size()));
  switch (value.kind()) {
    case Value::Kind::undefined:
      out += "Undefined";
      return {};
    case Value::Kind::none:
      out += "None";
      return {};
    case Value::Kind::boolean:
      out += value.as_bool() ? "True" : "False";
      return {};
    case Value::Kind::integer:
      out += std::to_string(value.as_integer());
      return {};
    case Value::Kind::big_integer:
      out += value.as_string();
      return {};
    case Value::Kind::floating:
      out += float_repr(value.as_floating());
      return {};
    case Value::Kind::string:
      out += value.text().markup ? fmt::format("Markup({})", quoted(value.as_string()))
                                 : quoted(value.as_string());
      return {};
    case Value::Kind::list:
      return append_list(runtime, out, value);
    case Value::Kind::dict:
      return append_dict(runtime, out, value.dict_object());
    case Value::Kind::object:
      break;
  }
  if (value.as_object().kind() == Object::Kind::name_space) {
    // Only its name: a namespace may contain itself.
    out += "<Namespace>";
    return {};
  }
  out += fmt::format("<{}>", type_name(value));
  return {};
}

}  // namespace squish::jinja
