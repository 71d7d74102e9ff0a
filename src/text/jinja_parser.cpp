#include "text/jinja_parser.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "text/jinja_parser_internal.h"
#include "text/jinja_scope.h"

namespace squish::jinja {
namespace {

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Result<Program> run() {
    Program program;
    SQ_TRY(program.body, parse_body({}, 1));
    return program;
  }

 private:
  using Words = std::vector<std::string_view>;

  static StmtPtr make(StmtKind kind, int line) {
    auto statement = std::make_unique<Stmt>();
    statement->kind = kind;
    statement->line = line;
    return statement;
  }

  /// Template text and tags up to a tag whose first word is one of `ends`, which stays the current
  /// token.
  Result<Body> parse_body(const Words& ends, int start) {
    const Nesting nesting(depth_);
    SQ_TRY_STATUS(check_depth());
    Body body;
    while (current().kind != TokenKind::end) {
      if (current().kind != TokenKind::block_begin) {
        SQ_TRY_STATUS(parse_output(body));
        continue;
      }
      skip();
      if (current().kind == TokenKind::name &&
          std::find(ends.begin(), ends.end(), current().text) != ends.end()) {
        return body;
      }
      SQ_TRY(StmtPtr statement, parse_statement());
      SQ_TRY_STATUS(expect_kind(TokenKind::block_end, "%}"));
      body.push_back(std::move(statement));
    }
    if (ends.empty()) return body;
    return error_at(
        start, fmt::format("the block that starts here has no '{}'", fmt::join(ends, "' or '")));
  }

  Status parse_output(Body& body) {
    if (body.empty() || body.back()->kind != StmtKind::output)
      body.push_back(make(StmtKind::output, current().line));
    std::vector<ExprPtr>& out = body.back()->expressions;
    if (current().kind == TokenKind::data) {
      auto text = std::make_unique<Expr>();
      text->line = current().line;
      text->value = Value(current().text);
      out.push_back(std::move(text));
      skip();
      return {};
    }
    SQ_TRY_STATUS(expect_kind(TokenKind::variable_begin, "{{"));
    SQ_TRY(ExprPtr value, parse_tuple({}));
    out.push_back(std::move(value));
    return expect_kind(TokenKind::variable_end, "}}");
  }

  /// A body after its opening tag: "%}" statements "{% end". The end word is consumed.
  Result<Body> parse_block_body(std::string_view end) {
    SQ_TRY(Body body, open_body({end}));
    skip();
    return body;
  }
  Result<Body> open_body(const Words& ends) {
    skip_op(":");
    const int line = current().line;
    SQ_TRY_STATUS(expect_kind(TokenKind::block_end, "%}"));
    return parse_body(ends, line);
  }

  Result<StmtPtr> parse_statement() {
    if (current().kind != TokenKind::name)
      return error(fmt::format("expected a tag, got {}", describe(current())));
    using Handler = Result<StmtPtr> (Parser::*)();
    struct Row {
      std::string_view tag;
      Handler handler;
    };
    static constexpr std::array<Row, 14> kTags = {{{"if", &Parser::parse_if},
                                                   {"for", &Parser::parse_for},
                                                   {"set", &Parser::parse_set},
                                                   {"macro", &Parser::parse_macro},
                                                   {"call", &Parser::parse_call_block},
                                                   {"filter", &Parser::parse_filter_block},
                                                   {"with", &Parser::parse_with},
                                                   {"print", &Parser::parse_print},
                                                   {"block", &Parser::parse_named_block},
                                                   {"generation", &Parser::parse_generation},
                                                   {"break", &Parser::parse_jump},
                                                   {"continue", &Parser::parse_jump},
                                                   {"autoescape", &Parser::parse_unsupported},
                                                   {"extends", &Parser::parse_unsupported}}};
    const std::string_view tag = current().text;
    for (const Row& row : kTags) {
      if (row.tag == tag) return (this->*row.handler)();
    }
    if (tag == "include" || tag == "import" || tag == "from") return parse_unsupported();
    return error(fmt::format("unknown tag '{}'", printable(tag, 40)));
  }

  Result<StmtPtr> parse_unsupported() {
    return error(
        fmt::format("the tag '{}' is not supported: a chat template is one file without escaping",
                    current().text));
  }

  Result<StmtPtr> parse_if() {
    StmtPtr node = make(StmtKind::if_chain, current().line);
    while (true) {
      skip();  // if, elif
      Branch branch;
      TupleOptions options;
      options.conditional = false;
      SQ_TRY(branch.condition, parse_tuple(options));
      SQ_TRY(branch.body, open_body({"elif", "else", "endif"}));
      node->branches.push_back(std::move(branch));
      if (!current().is_name("elif")) break;
    }
    if (skip_name("else")) {
      Branch branch;
      SQ_TRY(branch.body, open_body({"endif"}));
      node->branches.push_back(std::move(branch));
    }
    skip();
    return node;
  }

  Result<StmtPtr> parse_for() {
    StmtPtr node = make(StmtKind::for_loop, current().line);
    skip();
    TupleOptions target;
    target.end_word = "in";
    SQ_TRY(node->target, parse_target(target));
    if (!skip_name("in")) return error(fmt::format("expected 'in', got {}", describe(current())));
    TupleOptions iterable;
    iterable.conditional = false;
    iterable.end_word = "recursive";
    SQ_TRY(node->expression, parse_tuple(iterable));
    if (skip_name("if")) {
      SQ_TRY(node->condition, parse_expression());
    }
    node->recursive = skip_name("recursive");
    ++loops_;
    SQ_TRY(node->body, open_body({"endfor", "else"}));
    --loops_;
    if (skip_name("else")) {
      SQ_TRY(node->else_body, open_body({"endfor"}));
    }
    skip();
    return node;
  }

  Result<StmtPtr> parse_set() {
    StmtPtr node = make(StmtKind::set, current().line);
    skip();
    TupleOptions target;
    target.namespaces = true;
    SQ_TRY(node->target, parse_target(target));
    if (skip_op("=")) {
      SQ_TRY(node->expression, parse_tuple({}));
      return node;
    }
    node->kind = StmtKind::set_block;
    SQ_TRY(node->expression, parse_filters(nullptr, false));
    SQ_TRY(node->body, parse_block_body("endset"));
    return node;
  }

  Status parse_parameters(Stmt& node) {
    SQ_TRY_STATUS(expect_op("("));
    while (!current().is_op(")")) {
      if (!node.parameters.empty()) SQ_TRY_STATUS(expect_op(","));
      Parameter parameter;
      const int line = current().line;
      SQ_TRY(parameter.name, expect_name());
      if (skip_op("=")) {
        SQ_TRY(parameter.fallback, parse_expression());
      } else if (!node.parameters.empty() && node.parameters.back().fallback) {
        return error_at(line, "a parameter without default follows one with a default");
      }
      for (const Parameter& other : node.parameters) {
        if (other.name == parameter.name)
          return error_at(line, fmt::format("parameter '{}' repeated", other.name));
      }
      node.parameters.push_back(std::move(parameter));
    }
    return expect_op(")");
  }

  /// The body of a macro: a loop around the definition is none of its own.
  Result<Body> parse_function_body(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    SQ_TRY(Body body, parse_block_body(end));
    loops_ = loops;
    return body;
  }

  Result<StmtPtr> parse_macro() {
    StmtPtr node = make(StmtKind::macro, current().line);
    skip();
    SQ_TRY(node->name, expect_name());
    SQ_TRY_STATUS(parse_parameters(*node));
    SQ_TRY(node->body, parse_function_body("endmacro"));
    return node;
  }

  Result<StmtPtr> parse_call_block() {
    StmtPtr node = make(StmtKind::call_block, current().line);
    skip();
    if (current().is_op("(")) SQ_TRY_STATUS(parse_parameters(*node));
    SQ_TRY(node->expression, parse_expression());
    if (node->expression->kind != ExprKind::call)
      return error_at(node->line, "expected a call after 'call'");
    SQ_TRY(node->body, parse_function_body("endcall"));
    return node;
  }

  Result<StmtPtr> parse_filter_block() {
    StmtPtr node = make(StmtKind::filter_block, current().line);
    skip();
    SQ_TRY(node->expression, parse_filters(nullptr, true));
    SQ_TRY(node->body, parse_block_body("endfilter"));
    return node;
  }

  Result<StmtPtr> parse_with() {
    StmtPtr node = make(StmtKind::with, current().line);
    skip();
    while (current().kind != TokenKind::block_end && current().kind != TokenKind::end) {
      if (!node->targets.empty()) SQ_TRY_STATUS(expect_op(","));
      SQ_TRY(ExprPtr target, parse_target({}));
      SQ_TRY_STATUS(expect_op("="));
      SQ_TRY(ExprPtr value, parse_expression());
      node->targets.push_back(std::move(target));
      node->expressions.push_back(std::move(value));
    }
    SQ_TRY(node->body, parse_block_body("endwith"));
    return node;
  }

  Result<StmtPtr> parse_print() {
    StmtPtr node = make(StmtKind::output, current().line);
    skip();
    while (current().kind != TokenKind::block_end && current().kind != TokenKind::end) {
      if (!node->expressions.empty()) SQ_TRY_STATUS(expect_op(","));
      SQ_TRY(ExprPtr value, parse_expression());
      node->expressions.push_back(std::move(value));
    }
    return node;
  }

  Result<StmtPtr> parse_named_block() {
    StmtPtr node = make(StmtKind::block, current().line);
    skip();
    SQ_TRY(node->name, expect_name());
    if (std::find(blocks_.begin(), blocks_.end(), node->name) != blocks_.end()) {
      return error_at(node->line, fmt::format("block '{}' defined twice", node->name));
    }
    blocks_.push_back(node->name);
    skip_name("scoped");
    SQ_TRY(node->body, parse_function_body("endblock"));
    skip_name(node->name);
    return node;
  }

  /// Marks what the model has said, for training. Rendering it changes nothing but the scope of
  /// names.
  Result<StmtPtr> parse_generation() {
    StmtPtr node = make(StmtKind::block, current().line);
    skip();
    SQ_TRY(node->body, parse_function_body("endgeneration"));
    return node;
  }

  Result<StmtPtr> parse_jump() {
    const bool is_break = current().text == "break";
    if (loops_ == 0) return error(fmt::format("'{}' outside a loop", current().text));
    StmtPtr node = make(is_break ? StmtKind::loop_break : StmtKind::loop_continue, current().line);
    skip();
    return node;
  }

  int loops_ = 0;
  std::vector<std::string> blocks_;
};

}  // namespace

Result<Program> parse_template(std::string_view source) {
  if (source.size() > limits::kTemplateBytesMax) {
    return Error{ErrorCode::bad_file, fmt::format("the template has {} bytes; at most {} are read",
                                                  source.size(), limits::kTemplateBytesMax)};
  }
  SQ_TRY(std::vector<Token> tokens, tokenize(source));
  SQ_TRY(Program program, Parser(std::move(tokens)).run());
  SQ_TRY_STATUS(resolve_names(program));
  return program;
}

}  // namespace squish::jinja
