#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "text/jinja_parser_internal.h"

namespace squish::jinja {
namespace {

/// Height of one expression: a sum of 1,000 terms is a tree of that height. The largest in the
/// templates seen is 21.
constexpr uint32_t kExpressionHeightMax = 1000;

std::optional<Op> comparison(const Token& token) {
  constexpr std::array<std::pair<std::string_view, Op>, 6> kOps = {{{"==", Op::equal},
                                                                    {"!=", Op::not_equal},
                                                                    {"<", Op::less},
                                                                    {"<=", Op::less_equal},
                                                                    {">", Op::greater},
                                                                    {">=", Op::greater_equal}}};
  for (const auto& [spelling, op] : kOps) {
    if (token.is_op(spelling)) return op;
  }
  return std::nullopt;
}

}  // namespace

Error ExpressionParser::error_at(int line, std::string_view what) {
  return {ErrorCode::bad_file, fmt::format("line {}: {}", line, what)};
}

std::string ExpressionParser::describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::data:
      return "template text";
    case TokenKind::variable_begin:
      return "{{";
    case TokenKind::variable_end:
      return "}}";
    case TokenKind::block_begin:
      return "{%";
    case TokenKind::block_end:
      return "%}";
    case TokenKind::name:
    case TokenKind::op:
      return fmt::format("'{}'", printable(token.text, 40));
    case TokenKind::string:
      return fmt::format("string '{}'", printable(token.text, 40));
    case TokenKind::integer:
      return fmt::format("{}", token.integer);
    case TokenKind::floating:
      return fmt::format("{}", token.floating);
    case TokenKind::end:
      return "the end of the template";
  }
  return "?";
}

Status ExpressionParser::check_depth() const {
  if (depth_ <= limits::kTemplateDepthMax) return {};
  return error(fmt::format("nested deeper than {} levels", limits::kTemplateDepthMax));
}

bool ExpressionParser::skip_op(std::string_view op) {
  if (!current().is_op(op)) return false;
  skip();
  return true;
}

bool ExpressionParser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  skip();
  return true;
}

Status ExpressionParser::expect_op(std::string_view op) {
  if (skip_op(op)) return {};
  return error(fmt::format("expected '{}', got {}", op, describe(current())));
}

Status ExpressionParser::expect_kind(TokenKind kind, std::string_view description) {
  if (current().kind != kind)
    return error(fmt::format("expected {}, got {}", description, describe(current())));
  skip();
  return {};
}

Result<std::string> ExpressionParser::expect_name() {
  if (current().kind != TokenKind::name)
    return error(fmt::format("expected a name, got {}", describe(current())));
  std::string name = current().text;
  skip();
  return name;
}

ExprPtr ExpressionParser::make(ExprKind kind, int line) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  return node;
}

void ExpressionParser::add(Expr& parent, ExprPtr child) {
  if (child) parent.height = std::max(parent.height, child->height + 1);
  parent.items.push_back(std::move(child));
}

Result<ExprPtr> ExpressionParser::sealed(ExprPtr node) {
  if (node->height <= kExpressionHeightMax) return node;
  return error_at(node->line, fmt::format("an expression of more than {} chained operations",
                                          kExpressionHeightMax));
}

Result<ExprPtr> ExpressionParser::parse_tuple(const TupleOptions& options) {
  const Nesting nesting(depth_);
  SQ_TRY_STATUS(check_depth());
  ExprPtr tuple = make(ExprKind::tuple, current().line);
  bool is_tuple = false;
  while (true) {
    if (!tuple->items.empty()) SQ_TRY_STATUS(expect_op(","));
    const TokenKind kind = current().kind;
    if (kind == TokenKind::variable_end || kind == TokenKind::block_end || current().is_op(")") ||
        (!options.end_word.empty() && current().is_name(options.end_word))) {
      break;
    }
    SQ_TRY(ExprPtr item, options.names_only ? parse_primary(options.namespaces)
                                            : parse_expression(options.conditional));
    add(*tuple, std::move(item));
    if (!current().is_op(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return sealed(std::move(tuple));
  if (!tuple->items.empty()) return std::move(tuple->items.front());
  if (!options.parenthesized)
    return error(fmt::format("expected an expression, got {}", describe(current())));
  return tuple;
}

Result<ExprPtr> ExpressionParser::parse_target(const TupleOptions& options) {
  TupleOptions names = options;
  names.names_only = true;
  SQ_TRY(ExprPtr target, parse_tuple(names));
  std::vector<const Expr*> open = {target.get()};
  while (!open.empty()) {
    const Expr* node = open.back();
    open.pop_back();
    if (node->kind == ExprKind::tuple) {
      for (const ExprPtr& item : node->items) open.push_back(item.get());
    } else if (node->kind != ExprKind::name && node->kind != ExprKind::namespace_target) {
      return error_at(node->line,
                      "can only assign to names, tuples of names and attributes of a namespace");
    }
  }
  return target;
}

Result<ExprPtr> ExpressionParser::parse_expression(bool conditional) {
  const Nesting nesting(depth_);
  SQ_TRY_STATUS(check_depth());
  return conditional ? parse_conditional() : parse_or();
}

Result<ExprPtr> ExpressionParser::parse_conditional() {
  const Nesting nesting(depth_);
  SQ_TRY_STATUS(check_depth());
  int line = current().line;
  SQ_TRY(ExprPtr value, parse_or());
  while (skip_name("if")) {
    ExprPtr node = make(ExprKind::conditional, line);
    SQ_TRY(ExprPtr condition, parse_or());
    ExprPtr otherwise;
    if (skip_name("else")) {
      SQ_TRY(otherwise, parse_conditional());
    }
    add(*node, std::move(condition));
    add(*node, std::move(value));
    add(*node, std::move(otherwise));
    SQ_TRY(value, sealed(std::move(node)));
    line = current().line;
  }
  return value;
}

Result<ExprPtr> ExpressionParser::parse_or() {
  const int line = current().line;
  SQ_TRY(ExprPtr left, parse_and());
  while (skip_name("or")) {
    ExprPtr node = make(ExprKind::logical_or, line);
    SQ_TRY(ExprPtr right, parse_and());
    add(*node, std::move(left));
    add(*node, std::move(right));
    SQ_TRY(left, sealed(std::move(node)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::parse_and() {
  const int line = current().line;
  SQ_TRY(ExprPtr left, parse_not());
  while (skip_name("and")) {
    ExprPtr node = make(ExprKind::logical_and, line);
    SQ_TRY(ExprPtr right, parse_not());
    add(*node, std::move(left));
    add(*node, std::move(right));
    SQ_TRY(left, sealed(std::move(node)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  const Nesting nesting(depth_);
  SQ_TRY_STATUS(check_depth());
  ExprPtr node = make(ExprKind::logical_not, current().line);
  skip();
  SQ_TRY(ExprPtr operand, parse_not());
  add(*node, std::move(operand));
  return node;
}

Result<ExprPtr> ExpressionParser::parse_compare() {
  ExprPtr node = make(ExprKind::compare, current().line);
  SQ_TRY(ExprPtr first, parse_sum());
  add(*node, std::move(first));
  while (true) {
    if (const std::optional<Op> op = comparison(current())) {
      node->ops.push_back(*op);
      skip();
    } else if (skip_name("in")) {
      node->ops.push_back(Op::in);
    } else if (current().is_name("not") && look().is_name("in")) {
      node->ops.push_back(Op::not_in);
      skip(2);
    } else {
      break;
    }
    SQ_TRY(ExprPtr operand, parse_sum());
    add(*node, std::move(operand));
  }
  if (node->ops.empty()) return std::move(node->items.front());
  return node;
}

Result<ExprPtr> ExpressionParser::parse_chain(
    Level next, std::initializer_list<std::pair<std::string_view, Op>> ops) {
  int line = current().line;
  SQ_TRY(ExprPtr left, (this->*next)());
  while (true) {
    const auto* row = std::find_if(ops.begin(), ops.end(),
                                   [&](const auto& op) { return current().is_op(op.first); });
    if (row == ops.end()) return left;
    skip();
    ExprPtr node = make(ExprKind::binary, line);
    node->op = row->second;
    SQ_TRY(ExprPtr right, (this->*next)());
    add(*node, std::move(left));
    add(*node, std::move(right));
    SQ_TRY(left, sealed(std::move(node)));
    line = current().line;
  }
}

Result<ExprPtr> ExpressionParser::parse_sum() {
  return parse_chain(&ExpressionParser::parse_concat, {{"+", Op::add}, {"-", Op::subtract}});
}

Result<ExprPtr> ExpressionParser::parse_concat() {
  ExprPtr node = make(ExprKind::concat, current().line);
  do {
    SQ_TRY(ExprPtr item, parse_product());
    add(*node, std::move(item));
  } while (skip_op("~"));
  if (node->items.size() == 1) return std::move(node->items.front());
  return node;
}

Result<ExprPtr> ExpressionParser::parse_product() {
  return parse_chain(
      &ExpressionParser::parse_power,
      {{"*", Op::multiply}, {"/", Op::divide}, {"//", Op::floor_divide}, {"%", Op::modulo}});
}

Result<ExprPtr> ExpressionParser::parse_power() {
  return parse_chain(&ExpressionParser::parse_unary_with_filter, {{"**", Op::power}});
}

Result<ExprPtr> ExpressionParser::parse_unary(bool with_filter) {
  const int line = current().line;
  ExprPtr node;
  if (current().is_op("-") || current().is_op("+")) {
    const Nesting nesting(depth_);
    SQ_TRY_STATUS(check_depth());
    ExprPtr unary = make(ExprKind::unary, line);
    unary->op = current().is_op("-") ? Op::subtract : Op::add;
    skip();
    SQ_TRY(ExprPtr operand, parse_unary(false));
    add(*unary, std::move(operand));
    node = std::move(unary);
  } else {
    SQ_TRY(node, parse_primary(false));
  }
  SQ_TRY(node, parse_postfix(std::move(node)));
  if (with_filter) return parse_filter_expression(std::move(node));
  return node;
}

Result<ExprPtr> ExpressionParser::parse_primary(bool namespaces) {
  const Token& token = current();
  const int line = token.line;
  if (token.kind == TokenKind::name) return parse_name(namespaces);
  if (token.is_op("[")) return parse_list();
  if (token.is_op("{")) return parse_dict();
  if (skip_op("(")) {
    TupleOptions options;
    options.parenthesized = true;
    SQ_TRY(ExprPtr tuple, parse_tuple(options));
    SQ_TRY_STATUS(expect_op(")"));
    return tuple;
  }
  ExprPtr node = make(ExprKind::constant, line);
  if (token.kind == TokenKind::string) {
    std::string text;
    for (; current().kind == TokenKind::string; skip()) text += current().text;
    node->value = Value(std::move(text));
    return node;
  }
  if (token.kind == TokenKind::integer) {
    node->value = Value(token.integer);
  } else if (token.kind == TokenKind::floating) {
    node->value = Value(token.floating);
  } else {
    return error(fmt::format("unexpected {}", describe(token)));
  }
  skip();
  return node;
}

Result<ExprPtr> ExpressionParser::parse_name(bool namespaces) {
  const Token& token = current();
  ExprPtr node = make(ExprKind::constant, token.line);
  const std::string name = token.text;
  skip();
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    node->value = Value(name == "true" || name == "True");
  } else if (name == "none" || name == "None") {
    node->value = Value::none();
  } else {
    node->kind = ExprKind::name;
    node->text = name;
    node->value = Value(Value::Undefined{
        std::make_shared<const std::string>(fmt::format("'{}' is undefined", name))});
    if (namespaces && skip_op(".")) {
      node->kind = ExprKind::namespace_target;
      SQ_TRY(node->attribute, expect_name());
    }
  }
  return node;
}

}  // namespace squish::jinja
