// List and dict literals, and what may follow a primary expression: attributes, subscripts, calls,
// filters and tests.
#include <algorithm>

#include <fmt/format.h>

#include "text/jinja_parser_internal.h"

namespace squish::jinja {

Result<ExprPtr> ExpressionParser::parse_list() {
  ExprPtr node = make(ExprKind::list, current().line);
  skip();
  while (!current().is_op("]")) {
    if (!node->items.empty()) SQ_TRY_STATUS(expect_op(","));
    if (current().is_op("]")) break;
    SQ_TRY(ExprPtr item, parse_expression());
    add(*node, std::move(item));
  }
  SQ_TRY_STATUS(expect_op("]"));
  return node;
}

Result<ExprPtr> ExpressionParser::parse_dict() {
  ExprPtr node = make(ExprKind::dict, current().line);
  skip();
  while (!current().is_op("}")) {
    if (!node->items.empty()) SQ_TRY_STATUS(expect_op(","));
    if (current().is_op("}")) break;
    SQ_TRY(ExprPtr key, parse_expression());
    SQ_TRY_STATUS(expect_op(":"));
    SQ_TRY(ExprPtr value, parse_expression());
    add(*node, std::move(key));
    add(*node, std::move(value));
  }
  SQ_TRY_STATUS(expect_op("}"));
  return node;
}

Result<ExprPtr> ExpressionParser::parse_postfix(ExprPtr node) {
  while (true) {
    if (current().is_op(".")) {
      SQ_TRY(node, parse_dot(std::move(node)));
    } else if (current().is_op("[")) {
      SQ_TRY(node, parse_bracket(std::move(node)));
    } else if (current().is_op("(")) {
      SQ_TRY(node, parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::parse_filter_expression(ExprPtr node) {
  while (true) {
    if (current().is_op("|")) {
      SQ_TRY(node, parse_filters(std::move(node), false));
    } else if (current().is_name("is")) {
      SQ_TRY(node, parse_test(std::move(node)));
    } else if (current().is_op("(")) {
      SQ_TRY(node, parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::parse_dot(ExprPtr node) {
  const int line = current().line;
  skip();
  ExprPtr access = make(ExprKind::attribute, line);
  add(*access, std::move(node));
  if (current().kind == TokenKind::name) {
    access->text = current().text;
  } else if (current().kind == TokenKind::integer) {
    access->kind = ExprKind::subscript;
    ExprPtr index = make(ExprKind::constant, line);
    index->value = Value(current().integer);
    add(*access, std::move(index));
  } else {
    return error(fmt::format("expected a name or a number after '.', got {}", describe(current())));
  }
  skip();
  return sealed(std::move(access));
}

Result<ExprPtr> ExpressionParser::parse_bracket(ExprPtr node) {
  const int line = current().line;
  skip();
  std::vector<ExprPtr> parts;
  while (!current().is_op("]")) {
    if (!parts.empty()) SQ_TRY_STATUS(expect_op(","));
    SQ_TRY(ExprPtr part, parse_subscript_part(line));
    parts.push_back(std::move(part));
  }
  skip();
  // A slice that still lacks its sequence; x[0[1:]] has one that is complete.
  const auto is_open = [](const Expr& part) {
    return part.kind == ExprKind::slice && !part.items.front();
  };
  if (parts.size() == 1 && is_open(*parts.front())) {
    ExprPtr slice = std::move(parts.front());
    slice->height = std::max(slice->height, node->height + 1);
    slice->items.front() = std::move(node);
    return sealed(std::move(slice));
  }
  ExprPtr access = make(ExprKind::subscript, line);
  add(*access, std::move(node));
  if (parts.size() == 1) {
    add(*access, std::move(parts.front()));
    return sealed(std::move(access));
  }
  ExprPtr tuple = make(ExprKind::tuple, line);
  for (ExprPtr& part : parts) {
    if (is_open(*part)) return error_at(line, "a slice among several subscripts");
    add(*tuple, std::move(part));
  }
  add(*access, std::move(tuple));
  return sealed(std::move(access));
}

/// An index, or a slice whose first item is left for the sequence.
Result<ExprPtr> ExpressionParser::parse_subscript_part(int line) {
  const auto at_end = [&] { return current().is_op("]") || current().is_op(","); };
  ExprPtr start;
  if (!current().is_op(":")) {
    SQ_TRY(start, parse_expression());
    if (!current().is_op(":")) return start;
  }
  skip();
  ExprPtr stop;
  if (!current().is_op(":") && !at_end()) {
    SQ_TRY(stop, parse_expression());
  }
  ExprPtr step;
  if (skip_op(":") && !at_end()) {
    SQ_TRY(step, parse_expression());
  }
  ExprPtr slice = make(ExprKind::slice, line);
  add(*slice, nullptr);
  add(*slice, std::move(start));
  add(*slice, std::move(stop));
  add(*slice, std::move(step));
  return slice;
}

Result<ExprPtr> ExpressionParser::parse_call(ExprPtr node) {
  ExprPtr call = make(ExprKind::call, current().line);
  SQ_TRY(call->arguments, parse_arguments());
  call->height = call->arguments->height + 1;
  add(*call, std::move(node));
  return sealed(std::move(call));
}

Result<std::unique_ptr<Arguments>> ExpressionParser::parse_arguments() {
  const int line = current().line;
  SQ_TRY_STATUS(expect_op("("));
  auto arguments = std::make_unique<Arguments>();
  const auto misplaced = [&] { return error_at(line, "invalid order of arguments in a call"); };
  bool first = true;
  while (!current().is_op(")")) {
    if (!first) {
      SQ_TRY_STATUS(expect_op(","));
      if (current().is_op(")")) break;
    }
    first = false;
    if (skip_op("*")) {
      if (arguments->rest || arguments->keyword_rest) return misplaced();
      SQ_TRY(arguments->rest, parse_expression());
    } else if (skip_op("**")) {
      if (arguments->keyword_rest) return misplaced();
      SQ_TRY(arguments->keyword_rest, parse_expression());
    } else if (current().kind == TokenKind::name && look().is_op("=")) {
      if (arguments->keyword_rest) return misplaced();
      Arguments::Keyword keyword;
      keyword.name = current().text;
      skip(2);
      for (const Arguments::Keyword& other : arguments->keywords) {
        if (other.name == keyword.name)
          return error(fmt::format("keyword argument repeated: {}", keyword.name));
      }
      SQ_TRY(keyword.value, parse_expression());
      arguments->keywords.push_back(std::move(keyword));
    } else {
      if (arguments->rest || arguments->keyword_rest || !arguments->keywords.empty())
        return misplaced();
      SQ_TRY(ExprPtr value, parse_expression());
      arguments->positional.push_back(std::move(value));
    }
  }
  SQ_TRY_STATUS(expect_op(")"));
  const auto measure = [&](const ExprPtr& value) {
    if (value) arguments->height = std::max(arguments->height, value->height);
  };
  for (const ExprPtr& value : arguments->positional) measure(value);
  for (const Arguments::Keyword& keyword : arguments->keywords) measure(keyword.value);
  measure(arguments->rest);
  measure(arguments->keyword_rest);
  return arguments;
}

Result<ExprPtr> ExpressionParser::parse_filters(ExprPtr subject, bool started) {
  while (current().is_op("|") || started) {
    if (!started) skip();
    started = false;
    ExprPtr filter = make(ExprKind::filter, current().line);
    SQ_TRY(filter->text, expect_name());
    while (skip_op(".")) {
      SQ_TRY(const std::string part, expect_name());
      filter->text += "." + part;
    }
    if (current().is_op("(")) {
      SQ_TRY(filter->arguments, parse_arguments());
      filter->height = filter->arguments->height + 1;
    }
    add(*filter, std::move(subject));
    SQ_TRY(subject, sealed(std::move(filter)));
  }
  return subject;
}

Result<ExprPtr> ExpressionParser::parse_test(ExprPtr node) {
  const int line = current().line;
  skip();
  const bool negated = skip_name("not");
  ExprPtr test = make(ExprKind::test, line);
  SQ_TRY(test->text, expect_name());
  while (skip_op(".")) {
    SQ_TRY(const std::string part, expect_name());
    test->text += "." + part;
  }
  const Token& token = current();
  const bool literal = token.kind == TokenKind::name || token.kind == TokenKind::string ||
                       token.kind == TokenKind::integer || token.kind == TokenKind::floating ||
                       token.is_op("[") || token.is_op("{");
  if (token.is_op("(")) {
    SQ_TRY(test->arguments, parse_arguments());
    test->height = test->arguments->height + 1;
  } else if (literal && !token.is_name("else") && !token.is_name("or") && !token.is_name("and")) {
    if (token.is_name("is")) return error("tests cannot be chained with 'is'");
    SQ_TRY(ExprPtr argument, parse_primary(false));
    SQ_TRY(argument, parse_postfix(std::move(argument)));
    test->arguments = std::make_unique<Arguments>();
    test->height = argument->height + 1;
    test->arguments->positional.push_back(std::move(argument));
  }
  add(*test, std::move(node));
  if (!negated) return sealed(std::move(test));
  ExprPtr inverse = make(ExprKind::logical_not, line);
  add(*inverse, std::move(test));
  return sealed(std::move(inverse));
}

}  // namespace squish::jinja
