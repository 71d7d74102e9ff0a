#include "text/jinja_operators.h"

#include <cmath>

#include <fmt/format.h>

namespace squish::jinja {

const char* op_text(Op op) {
  switch (op) {
    case Op::add:
      return "+";
    case Op::subtract:
      return "-";
    case Op::multiply:
      return "*";
    case Op::divide:
      return "/";
    case Op::floor_divide:
      return "//";
    case Op::modulo:
      return "%";
    case Op::power:
      return "**";
    case Op::equal:
      return "==";
    case Op::not_equal:
      return "!=";
    case Op::less:
      return "<";
    case Op::less_equal:
      return "<=";
    case Op::greater:
      return ">";
    case Op::greater_equal:
      return ">=";
    case Op::in:
      return "in";
    case Op::not_in:
      return "not in";
  }
  return "?";
}

namespace {

bool is_int(const Value& value) { return value.is_bool() || value.is_integer(); }
bool is_number(const Value& value) { return is_int(value) || value.is_floating(); }
int64_t int_of(const Value& value) {
  return value.is_bool() ? (value.as_bool() ? 1 : 0) : value.as_integer();
}
double double_of(const Value& value) {
  return value.is_floating() ? value.as_floating() : static_cast<double>(int_of(value));
}

Error overflow() { return template_error("integer result does not fit in 64 bits"); }
Error zero_division() { return template_error("division by zero"); }

Result<Value> integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return template_error("0.0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  while (true) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return overflow();
    exponent >>= 1;
    if (exponent == 0) return Value(result);
    if (__builtin_mul_overflow(base, base, &base)) return overflow();
  }
}

Result<Value> integer_arithmetic(Op op, int64_t left, int64_t right) {
  int64_t result = 0;
  switch (op) {
    case Op::add:
      return __builtin_add_overflow(left, right, &result) ? Result<Value>(overflow())
                                                          : Value(result);
    case Op::subtract:
      return __builtin_sub_overflow(left, right, &result) ? Result<Value>(overflow())
                                                          : Value(result);
    case Op::multiply:
      return __builtin_mul_overflow(left, right, &result) ? Result<Value>(overflow())
                                                          : Value(result);
    case Op::power:
      return integer_power(left, right);
    case Op::divide:
      if (right == 0) return zero_division();
      return Value(
          static_cast<double>(static_cast<long double>(left) / static_cast<long double>(right)));
    case Op::floor_divide:
    case Op::modulo: {
      if (right == 0) return zero_division();
      if (right == -1) {  // the quotient of INT64_MIN does not fit
        if (op == Op::modulo) return Value(0);
        return integer_arithmetic(Op::subtract, 0, left);
      }
      int64_t quotient = left / right;
      int64_t remainder = left % right;
      if (remainder != 0 && (remainder < 0) != (right < 0)) {
        remainder += right;
        --quotient;
      }
      return Value(op == Op::modulo ? remainder : quotient);
    }
    case Op::equal:
    case Op::not_equal:
    case Op::less:
    case Op::less_equal:
    case Op::greater:
    case Op::greater_equal:
    case Op::in:
    case Op::not_in:
      break;
  }
  return template_error("not an arithmetic operator");
}

Result<Value> float_arithmetic(Op op, double left, double right) {
  switch (op) {
    case Op::add:
      return Value(left + right);
    case Op::subtract:
      return Value(left - right);
    case Op::multiply:
      return Value(left * right);
    case Op::divide:
      if (right == 0) return zero_division();
      return Value(left / right);
    case Op::floor_divide:
    case Op::modulo: {
      if (right == 0) return zero_division();
      double remainder = std::fmod(left, right);
      if (remainder != 0 && (remainder < 0) != (right < 0)) remainder += right;
      if (remainder == 0) remainder = std::copysign(0.0, right);
      if (op == Op::modulo) return Value(remainder);
      return Value(std::round((left - remainder) / right));
    }
    case Op::power: {
      if (left == 0 && right < 0) return template_error("0.0 cannot be raised to a negative power");
      const double power = std::pow(left, right);
      if (std::isnan(power) && !std::isnan(left) && !std::isnan(right))
        return template_error("complex result of **");
      if (std::isinf(power) && std::isfinite(left) && std::isfinite(right))
        return template_error("result of ** too large");
      return Value(power);
    }
    case Op::equal:
    case Op::not_equal:
    case Op::less:
    case Op::less_equal:
    case Op::greater:
    case Op::greater_equal:
    case Op::in:
    case Op::not_in:
      break;
  }
  return template_error("not an arithmetic operator");
}

Result<Value> repeat_text(Runtime& runtime, const Value& text, int64_t count) {
  const std::string& piece = text.as_string();
  if (count <= 0 || piece.empty()) return runtime.text({}, text.text().markup);
  const uint64_t times = static_cast<uint64_t>(count);
  if (times > runtime.limits().memory_bytes_max / piece.size())
    return runtime.reserve(UINT64_MAX).error();
  SQ_TRY_STATUS(runtime.reserve(times * piece.size()));
  SQ_TRY_STATUS(runtime.work_on_text(times * piece.size()));
  std::string out;
  out.reserve(times * piece.size());
  for (uint64_t i = 0; i < times; ++i) out += piece;
  return runtime.text(std::move(out), text.text().markup);
}

Result<Value> repeat_list(Runtime& runtime, const Value& list, int64_t count) {
  const Value::List& items = list.items();
  Value::List out;
  if (count > 0 && !items.empty()) {
    const uint64_t times = static_cast<uint64_t>(count);
    if (times > runtime.limits().memory_bytes_max / items.size())
      return runtime.reserve(UINT64_MAX).error();
    SQ_TRY_STATUS(runtime.reserve(times * items.size() * sizeof(Value)));
    SQ_TRY_STATUS(runtime.work(times * items.size()));
    out.reserve(times * items.size());
    for (uint64_t i = 0; i < times; ++i) out.insert(out.end(), items.begin(), items.end());
  }
  return runtime.list(std::move(out), list.list_object().flavor);
}

bool is_list_or_tuple(const Value& value) {
  return value.is_list() && value.list_object().flavor <= ListFlavor::tuple;
}

Result<Value> add_text(Runtime& runtime, const Value& left, const Value& right) {
  const bool markup = left.text().markup || right.text().markup;
  SQ_TRY_STATUS(runtime.reserve(left.as_string().size() + right.as_string().size()));
  if (!markup) return runtime.text(left.as_string() + right.as_string());
  SQ_TRY(const std::string first, escaped(runtime, left));
  SQ_TRY(const std::string second, escaped(runtime, right));
  return runtime.text(first + second, true);
}

Error unsupported(Op op, const Value& left, const Value& right) {
  if (op == Op::add && left.is_string()) {
    return template_error(
        fmt::format("can only concatenate str (not \"{}\") to str", type_name(right)));
  }
  return template_error(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'",
                                    op_text(op), type_name(left), type_name(right)));
}

}  // namespace

Result<Value> binary(Runtime& runtime, Op op, const Value& left, const Value& right) {
  SQ_TRY_STATUS(runtime.work(weight(left) + weight(right)));
  if (is_int(left) && is_int(right)) return integer_arithmetic(op, int_of(left), int_of(right));
  if (is_number(left) && is_number(right))
    return float_arithmetic(op, double_of(left), double_of(right));
  if (op == Op::modulo && left.is_string()) return format_percent(runtime, left, right);
  if (left.is_undefined()) return undefined_error(left);
  if (right.is_undefined()) return undefined_error(right);
  if (op == Op::add) {
    if (left.is_string() && right.is_string()) return add_text(runtime, left, right);
    if (is_list_or_tuple(left) && is_list_or_tuple(right) &&
        left.list_object().flavor == right.list_object().flavor) {
      SQ_TRY_STATUS(runtime.reserve((left.size() + right.size()) * sizeof(Value)));
      Value::List items = left.items();
      items.insert(items.end(), right.items().begin(), right.items().end());
      return runtime.list(std::move(items), left.list_object().flavor);
    }
  }
  if (op == Op::multiply) {
    if (left.is_string() && is_int(right)) return repeat_text(runtime, left, int_of(right));
    if (right.is_string() && is_int(left)) return repeat_text(runtime, right, int_of(left));
    if (is_list_or_tuple(left) && is_int(right)) return repeat_list(runtime, left, int_of(right));
    if (is_list_or_tuple(right) && is_int(left)) return repeat_list(runtime, right, int_of(left));
  }
  return unsupported(op, left, right);
}

Result<Value> unary(Runtime& runtime, Op op, const Value& value) {
  SQ_TRY_STATUS(runtime.work(1));
  if (value.is_undefined()) return undefined_error(value);
  if (value.is_floating())
    return Value(op == Op::subtract ? -value.as_floating() : value.as_floating());
  if (is_int(value)) return integer_arithmetic(op, 0, int_of(value));
  return template_error(
      fmt::format("bad operand type for unary {}: '{}'", op_text(op), type_name(value)));
}

Result<bool> compare(Runtime& runtime, Op op, const Value& left, const Value& right) {
  switch (op) {
    case Op::equal:
      return equal(runtime, left, right);
    case Op::not_equal: {
      SQ_TRY(const bool same, equal(runtime, left, right));
      return !same;
    }
    case Op::less:
      return less(runtime, left, right);
    case Op::greater:
      return less(runtime, right, left);
    case Op::less_equal:
    case Op::greater_equal: {
      SQ_TRY(const bool strict,
             op == Op::less_equal ? less(runtime, left, right) : less(runtime, right, left));
      if (strict) return true;
      return equal(runtime, left, right);
    }
    case Op::in:
      return contains(runtime, right, left);
    case Op::not_in: {
      SQ_TRY(const bool inside, contains(runtime, right, left));
      return !inside;
    }
    case Op::add:
    case Op::subtract:
    case Op::multiply:
    case Op::divide:
    case Op::floor_divide:
    case Op::modulo:
    case Op::power:
      break;
  }
  return template_error("not a comparison");
}

}  // namespace squish::jinja
