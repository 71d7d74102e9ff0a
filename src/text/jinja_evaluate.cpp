// Expressions.
#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_filters.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_methods.h"
#include "text/jinja_operators.h"

namespace squish::jinja {

Result<Value> Interpreter::evaluate(const Expr& node, Frame& frame) {
  if (node.kind == ExprKind::constant) return node.value;
  SQ_TRY_STATUS(runtime_.work(1));
  SQ_TRY_STATUS(check_stack());
  Result<Value> value = evaluate_node(node, frame);
  if (!value) return positioned(value.error(), node.line);
  return value;
}

Result<Value> Interpreter::evaluate_node(const Expr& node, Frame& frame) {
  switch (node.kind) {
    case ExprKind::constant:
      return node.value;
    case ExprKind::name: {
      const Value& value = variable(frame, node.reference);
      const bool missing = value.is_undefined() && !value.undefined().why;
      return missing ? node.value : value;
    }
    case ExprKind::list:
    case ExprKind::tuple:
      return evaluate_list(node, frame);
    case ExprKind::dict:
      return evaluate_dict(node, frame);
    case ExprKind::attribute: {
      SQ_TRY(const Value subject, evaluate(*node.items[0], frame));
      return get_attribute(runtime_, subject, node.text);
    }
    case ExprKind::subscript: {
      SQ_TRY(const Value subject, evaluate(*node.items[0], frame));
      SQ_TRY(const Value key, evaluate(*node.items[1], frame));
      return get_item(runtime_, subject, key);
    }
    case ExprKind::slice:
      return evaluate_slice(node, frame);
    case ExprKind::call:
      return evaluate_call(node, frame, nullptr);
    case ExprKind::filter:
      return evaluate_filter(node, frame);
    case ExprKind::test: {
      SQ_TRY(const Value subject, evaluate(*node.items[0], frame));
      SQ_TRY(const CallArguments arguments, evaluate_arguments(node.arguments.get(), frame));
      SQ_TRY(const bool holds, call_test(runtime_, node.text, subject, arguments));
      return Value(holds);
    }
    case ExprKind::unary: {
      SQ_TRY(const Value operand, evaluate(*node.items[0], frame));
      return unary(runtime_, node.op, operand);
    }
    case ExprKind::binary: {
      SQ_TRY(const Value left, evaluate(*node.items[0], frame));
      SQ_TRY(const Value right, evaluate(*node.items[1], frame));
      return binary(runtime_, node.op, left, right);
    }
    case ExprKind::concat:
      return evaluate_concat(node, frame);
    case ExprKind::compare:
      return evaluate_compare(node, frame);
    case ExprKind::logical_and:
    case ExprKind::logical_or: {
      SQ_TRY(Value left, evaluate(*node.items[0], frame));
      if (is_true(left) == (node.kind == ExprKind::logical_or)) return left;
      return evaluate(*node.items[1], frame);
    }
    case ExprKind::logical_not: {
      SQ_TRY(const Value operand, evaluate(*node.items[0], frame));
      return Value(!is_true(operand));
    }
    case ExprKind::conditional: {
      SQ_TRY(const Value condition, evaluate(*node.items[0], frame));
      if (is_true(condition)) return evaluate(*node.items[1], frame);
      if (node.items[2]) return evaluate(*node.items[2], frame);
      return Value(Value::Undefined{std::make_shared<const std::string>(
          "the inline if-expression evaluated to false and no else section was defined")});
    }
    case ExprKind::namespace_target:
      break;
  }
  return template_error("not an expression");
}

Result<Value> Interpreter::evaluate_list(const Expr& node, Frame& frame) {
  Value::List items;
  items.reserve(node.items.size());
  for (const ExprPtr& item : node.items) {
    SQ_TRY(Value value, evaluate(*item, frame));
    items.push_back(std::move(value));
  }
  return runtime_.list(std::move(items),
                       node.kind == ExprKind::tuple ? ListFlavor::tuple : ListFlavor::list);
}

Result<Value> Interpreter::evaluate_dict(const Expr& node, Frame& frame) {
  auto dict = std::make_shared<DictObject>();
  for (size_t i = 0; i + 1 < node.items.size(); i += 2) {
    SQ_TRY(Value key, evaluate(*node.items[i], frame));
    SQ_TRY(Value value, evaluate(*node.items[i + 1], frame));
    if (!is_hashable(key))
      return template_error(fmt::format("unhashable type: '{}'", type_name(key)));
    dict->set(std::move(key), std::move(value));
  }
  return runtime_.dict(std::move(dict));
}

Result<Value> Interpreter::evaluate_slice(const Expr& node, Frame& frame) {
  Value parts[4] = {Value::none(), Value::none(), Value::none(), Value::none()};
  for (size_t i = 0; i < 4; ++i) {
    if (!node.items[i]) continue;
    SQ_TRY(parts[i], evaluate(*node.items[i], frame));
  }
  return get_slice(runtime_, parts[0], parts[1], parts[2], parts[3]);
}

Result<CallArguments> Interpreter::evaluate_arguments(const Arguments* arguments, Frame& frame) {
  CallArguments out;
  if (arguments == nullptr) return out;
  for (const ExprPtr& item : arguments->positional) {
    SQ_TRY(Value value, evaluate(*item, frame));
    out.positional.push_back(std::move(value));
  }
  for (const Arguments::Keyword& keyword : arguments->keywords) {
    SQ_TRY(Value value, evaluate(*keyword.value, frame));
    out.keywords.emplace_back(keyword.name, std::move(value));
  }
  if (arguments->rest) {
    SQ_TRY(const Value rest, evaluate(*arguments->rest, frame));
    SQ_TRY(const Value::List items, iterate(runtime_, rest));
    out.positional.insert(out.positional.end(), items.begin(), items.end());
  }
  if (!arguments->keyword_rest) return out;
  SQ_TRY(const Value rest, evaluate(*arguments->keyword_rest, frame));
  if (!rest.is_dict()) return template_error("argument after ** must be a mapping");
  SQ_TRY_STATUS(runtime_.work(rest.size() * (out.keywords.size() + 1)));
  const size_t named = out.keywords.size();
  for (const Value::Entry& entry : rest.entries()) {
    if (!entry.key.is_string()) return template_error("keywords must be strings");
    for (size_t i = 0; i < named; ++i) {
      if (out.keywords[i].first != entry.key.as_string()) continue;
      return template_error(
          fmt::format("multiple values for keyword argument '{}'", out.keywords[i].first));
    }
    out.keywords.emplace_back(entry.key.as_string(), entry.value);
  }
  return out;
}

Result<Value> Interpreter::evaluate_call(const Expr& node, Frame& frame, const Value* caller) {
  const Expr& callee = *node.items[0];
  if (callee.kind ==
      ExprKind::attribute) {  // value.method(...), without making a value of the method
    SQ_TRY(const Value subject, evaluate(*callee.items[0], frame));
    const bool method = subject.kind() != Value::Kind::object &&
                        method_access(subject, callee.text) == MethodAccess::allowed;
    Value function;
    if (!method) {
      SQ_TRY(function, get_attribute(runtime_, subject, callee.text));
    }
    SQ_TRY(CallArguments arguments, evaluate_arguments(node.arguments.get(), frame));
    if (caller != nullptr) arguments.keywords.emplace_back("caller", *caller);
    return method ? call_method(runtime_, subject, callee.text, arguments)
                  : call(function, arguments);
  }
  SQ_TRY(const Value function, evaluate(callee, frame));
  SQ_TRY(CallArguments arguments, evaluate_arguments(node.arguments.get(), frame));
  if (caller != nullptr) arguments.keywords.emplace_back("caller", *caller);
  return call(function, arguments);
}

Result<Value> Interpreter::call(const Value& callee, const CallArguments& arguments) {
  if (callee.is_undefined()) return undefined_error(callee);
  if (callee.kind() == Value::Kind::object)
    return callee.as_object().invoke(runtime_, {}, arguments);
  return template_error(fmt::format("'{}' object is not callable", type_name(callee)));
}

Result<Value> Interpreter::evaluate_filter(const Expr& node, Frame& frame) {
  Value subject;
  if (node.items[0]) {
    SQ_TRY(subject, evaluate(*node.items[0], frame));
  } else if (block_input_ != nullptr) {
    subject = *block_input_;
  }
  SQ_TRY(const CallArguments arguments, evaluate_arguments(node.arguments.get(), frame));
  return call_filter(runtime_, node.text, subject, arguments);
}

Result<Value> Interpreter::evaluate_concat(const Expr& node, Frame& frame) {
  std::string out;
  for (const ExprPtr& item : node.items) {
    SQ_TRY(const Value value, evaluate(*item, frame));
    SQ_TRY(const std::string text, to_text(runtime_, value));
    SQ_TRY_STATUS(runtime_.work_on_text(text.size()));
    SQ_TRY_STATUS(runtime_.reserve(out.size() + text.size()));
    out += text;
  }
  return runtime_.text(std::move(out));
}

Result<Value> Interpreter::evaluate_compare(const Expr& node, Frame& frame) {
  SQ_TRY(Value left, evaluate(*node.items[0], frame));
  for (size_t i = 0; i < node.ops.size(); ++i) {
    SQ_TRY(Value right, evaluate(*node.items[i + 1], frame));
    SQ_TRY(const bool holds, compare(runtime_, node.ops[i], left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

}  // namespace squish::jinja
