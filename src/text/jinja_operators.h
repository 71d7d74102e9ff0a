#pragma once
// Operators, attribute access, subscripts and string formatting, by Python's rules.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_arguments.h"
#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"

namespace squish::jinja {

/// left op right for the arithmetic operators. Errors: types that do not fit, division by zero,
/// overflow of 64 bits.
Result<Value> binary(Runtime& runtime, Op op, const Value& left, const Value& right);
/// -value, or +value.
Result<Value> unary(Runtime& runtime, Op op, const Value& value);
/// left op right for comparisons and `in`.
Result<bool> compare(Runtime& runtime, Op op, const Value& left, const Value& right);

/// value.name: a method or attribute, else the entry of a dict, else undefined.
Result<Value> get_attribute(Runtime& runtime, const Value& value, const std::string& name);
/// value | attr(name): as get_attribute, but never the entry of a dict.
Result<Value> get_own_attribute(Runtime& runtime, const Value& value, const std::string& name);
/// value[key]: an element or entry, else an attribute, else undefined.
Result<Value> get_item(Runtime& runtime, const Value& value, const Value& key);
/// value[start:stop:step]; absent parts are none.
Result<Value> get_slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop,
                        const Value& step);

/// "..." % arguments, where a tuple gives several.
Result<Value> format_percent(Runtime& runtime, const Value& format, const Value& arguments);
/// "...".format(...).
Result<Value> format_braces(Runtime& runtime, const Value& format, const CallArguments& arguments);

/// One number or text laid out by a format specification such as ">8.2f".
struct FormatSpec {
  std::string fill = " ";
  char align = '\0';  // '<' '>' '^' '='
  char sign = '-';    // '+' ' '
  bool alternate = false;
  bool comma = false;
  bool zero = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = '\0';
};
Result<std::string> format_number(Runtime& runtime, const FormatSpec& spec, const Value& value);
Result<std::string> pad_text(Runtime& runtime, const FormatSpec& spec, std::string text,
                             char default_align);

}  // namespace squish::jinja
