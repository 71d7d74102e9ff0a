#pragma once
// The two halves of the parser: expressions, and on top of them statements.
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace squish::jinja {

/// Recursive descent over the tokens, in the order of precedence of Jinja: if-else, or, and, not,
/// comparison, + -,
/// ~, * / // %, **, unary, postfix, filters and tests.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

 protected:
  [[nodiscard]] const Token& current() const { return tokens_[position_]; }
  [[nodiscard]] const Token& look() const {
    return tokens_[std::min(position_ + 1, tokens_.size() - 1)];
  }
  void skip(size_t count = 1) { position_ = std::min(position_ + count, tokens_.size() - 1); }
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  Status expect_op(std::string_view op);
  Status expect_kind(TokenKind kind, std::string_view description);
  Result<std::string> expect_name();
  [[nodiscard]] Error error(std::string_view what) const { return error_at(current().line, what); }
  [[nodiscard]] static Error error_at(int line, std::string_view what);
  [[nodiscard]] static std::string describe(const Token& token);

  /// `end_word`: a name that ends a tuple without brackets, such as "in" or "recursive"; may be
  /// empty.
  struct TupleOptions {
    bool names_only =
        false;  // an assignment target: names, literals and, with namespaces, name.attribute
    bool namespaces = false;
    bool conditional = true;
    bool parenthesized = false;
    std::string_view end_word;
  };
  Result<ExprPtr> parse_tuple(const TupleOptions& options);
  Result<ExprPtr> parse_expression(bool conditional = true);
  Result<ExprPtr> parse_target(const TupleOptions& options);
  Result<ExprPtr> parse_filters(ExprPtr subject, bool started);

  /// Guards recursion: every nested construct holds one while it is parsed.
  struct Nesting {
    explicit Nesting(int& depth) : depth_(depth) { ++depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    ~Nesting() { --depth_; }
    int& depth_;
  };
  [[nodiscard]] Status check_depth() const;
  int depth_ = 0;

 private:
  using Level = Result<ExprPtr> (ExpressionParser::*)();
  Result<ExprPtr> parse_conditional();
  Result<ExprPtr> parse_or();
  Result<ExprPtr> parse_and();
  Result<ExprPtr> parse_not();
  Result<ExprPtr> parse_compare();
  Result<ExprPtr> parse_sum();
  Result<ExprPtr> parse_concat();
  Result<ExprPtr> parse_product();
  Result<ExprPtr> parse_power();
  Result<ExprPtr> parse_unary(bool with_filter);
  Result<ExprPtr> parse_unary_with_filter() { return parse_unary(true); }
  Result<ExprPtr> parse_primary(bool namespaces);
  Result<ExprPtr> parse_name(bool namespaces);
  Result<ExprPtr> parse_list();
  Result<ExprPtr> parse_dict();
  Result<ExprPtr> parse_postfix(ExprPtr node);
  Result<ExprPtr> parse_filter_expression(ExprPtr node);
  Result<ExprPtr> parse_dot(ExprPtr node);
  Result<ExprPtr> parse_bracket(ExprPtr node);
  Result<ExprPtr> parse_subscript_part(int line);
  Result<ExprPtr> parse_call(ExprPtr node);
  Result<std::unique_ptr<Arguments>> parse_arguments();
  Result<ExprPtr> parse_test(ExprPtr node);
  /// A left-associative chain of binary operators over operands that `next` parses.
  Result<ExprPtr> parse_chain(Level next,
                              std::initializer_list<std::pair<std::string_view, Op>> ops);

  [[nodiscard]] ExprPtr make(ExprKind kind, int line) const;
  /// Adds `child` as the next item; the height of the tree is checked by sealed().
  static void add(Expr& parent, ExprPtr child);
  static Result<ExprPtr> sealed(ExprPtr node);

  std::vector<Token> tokens_;
  size_t position_ = 0;
};

}  // namespace squish::jinja
