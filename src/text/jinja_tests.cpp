// Tests, and the look-up of filters and tests by name.
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_filters.h"
#include "text/jinja_methods.h"
#include "text/jinja_operators.h"

namespace squish::jinja {
namespace {

using Arguments = BoundArguments;

struct TestRow {
  std::string_view name;
  std::string_view parameters;
  Result<bool> (*run)(Runtime& runtime, const Value& value, const BoundArguments& arguments);
};

/// value % divisor == remainder.
Result<bool> leaves(Runtime& runtime, const Value& value, const Value& divisor, int64_t remainder) {
  SQ_TRY(const Value rest, binary(runtime, Op::modulo, value, divisor));
  return equal(runtime, rest, Value(remainder));
}

Result<bool> is_odd(Runtime& runtime, const Value& value, const Arguments&) {
  return leaves(runtime, value, Value(2), 1);
}
Result<bool> is_even(Runtime& runtime, const Value& value, const Arguments&) {
  return leaves(runtime, value, Value(2), 0);
}
Result<bool> is_divisible(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return leaves(runtime, value, *arguments[0], 0);
}
Result<bool> is_defined(Runtime&, const Value& value, const Arguments&) {
  return !value.is_undefined();
}
Result<bool> is_undefined(Runtime&, const Value& value, const Arguments&) {
  return value.is_undefined();
}
Result<bool> is_filter(Runtime&, const Value& value, const Arguments&) {
  return value.is_string() && has_filter(value.as_string());
}
Result<bool> is_test(Runtime&, const Value& value, const Arguments&) {
  return value.is_string() && has_test(value.as_string());
}
Result<bool> is_none(Runtime&, const Value& value, const Arguments&) { return value.is_none(); }
Result<bool> is_boolean(Runtime&, const Value& value, const Arguments&) { return value.is_bool(); }
Result<bool> is_false(Runtime&, const Value& value, const Arguments&) {
  return value.is_bool() && !value.as_bool();
}
Result<bool> is_true_value(Runtime&, const Value& value, const Arguments&) {
  return value.is_bool() && value.as_bool();
}
Result<bool> is_integer(Runtime&, const Value& value, const Arguments&) {
  return value.is_integer() || value.kind() == Value::Kind::big_integer;
}
Result<bool> is_float(Runtime&, const Value& value, const Arguments&) {
  return value.is_floating();
}
Result<bool> is_number(Runtime&, const Value& value, const Arguments&) {
  return value.is_integer() || value.is_floating() || value.is_bool() ||
         value.kind() == Value::Kind::big_integer;
}
Result<bool> is_string(Runtime&, const Value& value, const Arguments&) { return value.is_string(); }
Result<bool> is_mapping(Runtime&, const Value& value, const Arguments&) { return value.is_dict(); }

/// Has a length and elements by position or key.
Result<bool> is_sequence(Runtime&, const Value& value, const Arguments&) {
  if (!value.is_list()) return value.is_string() || value.is_dict() || value.is_undefined();
  const ListFlavor flavor = value.list_object().flavor;
  return flavor <= ListFlavor::tuple || flavor == ListFlavor::range;
}

Result<bool> is_iterable(Runtime&, const Value& value, const Arguments&) {
  return value.is_list() || value.is_string() || value.is_dict() || value.is_undefined();
}

Result<bool> is_callable(Runtime&, const Value& value, const Arguments&) {
  if (value.kind() != Value::Kind::object)
    return value.is_undefined();  // Undefined has a call that raises
  const Object::Kind kind = value.as_object().kind();
  return kind != Object::Kind::name_space && kind != Object::Kind::cycler;
}

Result<bool> is_same(Runtime&, const Value& value, const Arguments& arguments) {
  const Value& other = *arguments[0];
  if (value.kind() != other.kind()) return false;
  switch (value.kind()) {
    case Value::Kind::none:
      return true;
    case Value::Kind::boolean:
      return value.as_bool() == other.as_bool();
    case Value::Kind::integer:
      return value.as_integer() == other.as_integer();
    case Value::Kind::string:
      return &value.text() == &other.text() || value.as_string() == other.as_string();
    case Value::Kind::list:
      return &value.list_object() == &other.list_object();
    case Value::Kind::dict:
      return &value.dict_object() == &other.dict_object();
    case Value::Kind::object:
      return &value.as_object() == &other.as_object();
    case Value::Kind::undefined:
    case Value::Kind::big_integer:
    case Value::Kind::floating:
      break;
  }
  return false;
}

Result<bool> is_escaped(Runtime&, const Value& value, const Arguments&) {
  return value.is_string() && value.text().markup;
}

template <bool kUpper>
Result<bool> has_case(Runtime& runtime, const Value& value, const Arguments&) {
  SQ_TRY(std::string text, to_text(runtime, value));
  SQ_TRY(const Value result,
         call_method(runtime, Value(std::move(text)), kUpper ? "isupper" : "islower", {}));
  return result.as_bool();
}

template <Op kOp>
Result<bool> compares(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return compare(runtime, kOp, value, *arguments[0]);
}

constexpr std::array kTests = {
    TestRow{"defined", "", is_defined},
    TestRow{"undefined", "", is_undefined},
    TestRow{"none", "", is_none},
    TestRow{"string", "", is_string},
    TestRow{"mapping", "", is_mapping},
    TestRow{"iterable", "", is_iterable},
    TestRow{"sequence", "", is_sequence},
    TestRow{"boolean", "", is_boolean},
    TestRow{"true", "", is_true_value},
    TestRow{"false", "", is_false},
    TestRow{"integer", "", is_integer},
    TestRow{"float", "", is_float},
    TestRow{"number", "", is_number},
    TestRow{"odd", "", is_odd},
    TestRow{"even", "", is_even},
    TestRow{"divisibleby", "num", is_divisible},
    TestRow{"in", "seq", compares<Op::in>},
    TestRow{"callable", "", is_callable},
    TestRow{"sameas", "other", is_same},
    TestRow{"escaped", "", is_escaped},
    TestRow{"lower", "", has_case<false>},
    TestRow{"upper", "", has_case<true>},
    TestRow{"filter", "", is_filter},
    TestRow{"test", "", is_test},
    TestRow{"==", "/other", compares<Op::equal>},
    TestRow{"eq", "/other", compares<Op::equal>},
    TestRow{"equalto", "/other", compares<Op::equal>},
    TestRow{"!=", "/other", compares<Op::not_equal>},
    TestRow{"ne", "/other", compares<Op::not_equal>},
    TestRow{"<", "/other", compares<Op::less>},
    TestRow{"lt", "/other", compares<Op::less>},
    TestRow{"lessthan", "/other", compares<Op::less>},
    TestRow{"<=", "/other", compares<Op::less_equal>},
    TestRow{"le", "/other", compares<Op::less_equal>},
    TestRow{">", "/other", compares<Op::greater>},
    TestRow{"gt", "/other", compares<Op::greater>},
    TestRow{"greaterthan", "/other", compares<Op::greater>},
    TestRow{">=", "/other", compares<Op::greater_equal>},
    TestRow{"ge", "/other", compares<Op::greater_equal>},
};

template <class Row>
const Row* find_row(std::span<const Row> rows, std::string_view name) {
  for (const Row& row : rows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const FilterRow* find_filter(std::string_view name) {
  for (const std::span<const FilterRow> table :
       {text_filters(), sequence_filters(), order_filters()}) {
    if (const FilterRow* row = find_row(table, name); row != nullptr) return row;
  }
  return nullptr;
}

const TestRow* find_test(std::string_view name) {
  return find_row(std::span<const TestRow>(kTests), name);
}

}  // namespace

bool has_filter(std::string_view name) { return find_filter(name) != nullptr; }
bool has_test(std::string_view name) { return find_test(name) != nullptr; }

Result<Value> call_filter(Runtime& runtime, std::string_view name, const Value& value,
                          const CallArguments& arguments) {
  SQ_TRY_STATUS(runtime.work(weight(value)));
  const FilterRow* row = find_filter(name);
  if (row == nullptr)
    return template_error(fmt::format("No filter named '{}' found.", printable(name, 60)));
  SQ_TRY(const BoundArguments bound, BoundArguments::bind(arguments, name, row->parameters));
  return row->run(runtime, value, bound);
}

Result<bool> call_test(Runtime& runtime, std::string_view name, const Value& value,
                       const CallArguments& arguments) {
  SQ_TRY_STATUS(runtime.work(1));
  const TestRow* row = find_test(name);
  if (row == nullptr)
    return template_error(fmt::format("No test named '{}' found.", printable(name, 60)));
  SQ_TRY(const BoundArguments bound, BoundArguments::bind(arguments, name, row->parameters));
  return row->run(runtime, value, bound);
}

}  // namespace squish::jinja
