#pragma once
// The syntax tree of a template. Built by jinja_parser, names resolved by jinja_scope, then
// constant and shared by threads.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/jinja_value.h"

namespace squish::jinja {

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

/// Where a name lives: `slot` of the frame `up` levels above the current one.
struct Reference {
  uint32_t up = 0;
  uint32_t slot = 0;
};

/// One level of names: the template, a loop body, a macro, a block that captures.
struct Scope {
  enum class LoadKind : uint8_t { parameter, context, alias, undefined };
  /// What a slot holds when its frame is entered.
  struct Load {
    uint32_t slot = 0;
    LoadKind kind = LoadKind::undefined;
    std::string name;  // context: the variable to look up
    Reference source;  // alias: the outer variable whose value is copied
  };
  uint32_t slot_count = 0;
  std::vector<Load> loads;
  bool captured =
      false;  // a macro defined below refers to this frame, so that it must outlive its body
};

enum class ExprKind : uint8_t {
  constant,
  name,
  list,
  tuple,
  dict,       // items: key, value, key, value, ...
  attribute,  // items[0].text
  subscript,  // items[0][items[1]]
  slice,      // items[0][items[1]:items[2]:items[3]]; absent parts are null
  call,       // items[0](arguments)
  filter,     // items[0] | text(arguments); items[0] is null in a filter block
  test,       // items[0] is text(arguments)
  unary,      // op items[0]
  binary,     // items[0] op items[1]
  concat,     // items joined as text
  compare,    // items[0] ops[0] items[1] ops[1] items[2] ...
  logical_and,
  logical_or,
  logical_not,
  conditional,       // items[1] if items[0] else items[2], which may be null
  namespace_target,  // text.attribute = ..., `reference` is the namespace
};

enum class Op : uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in
};

/// The spelling in a template, as in messages: "+", "<=", "not in".
const char* op_text(Op op);

struct Arguments {
  struct Keyword {
    std::string name;
    ExprPtr value;
  };
  std::vector<ExprPtr> positional;
  std::vector<Keyword> keywords;
  ExprPtr rest;          // *rest
  ExprPtr keyword_rest;  // **keyword_rest
  uint32_t height = 0;   // of the highest of them
};

struct Expr {
  ExprKind kind = ExprKind::constant;
  Op op = Op::add;
  int line = 1;
  uint32_t height = 1;  // of the tree, bounded by the parser
  Reference reference;  // name, namespace_target
  std::string text;     // name, attribute, filter, test
  Value value;          // constant; name: the undefined value that a missing variable gives
  std::vector<ExprPtr> items;
  std::vector<Op> ops;
  std::unique_ptr<Arguments> arguments;
  std::string attribute;  // namespace_target
};

enum class StmtKind : uint8_t {
  output,    // expressions, written in order; text is a constant expression
  if_chain,  // branches
  for_loop,
  set,        // target = expression
  set_block,  // target = captured body, through the filter `expression` if there is one
  macro,
  call_block,  // expression is the call; parameters and body are the caller
  filter_block,
  with,   // targets[i] = expressions[i] for body
  block,  // a named block or a generation block: its own scope
  loop_break,
  loop_continue,
};

struct Parameter {
  std::string name;
  uint32_t slot = 0;
  ExprPtr fallback;  // null: undefined when the argument is not given
};

struct Branch {
  ExprPtr condition;  // null: else
  Body body;
};

struct Stmt {
  StmtKind kind = StmtKind::output;
  int line = 1;
  std::string name;  // macro, block
  ExprPtr target;
  ExprPtr expression;  // the iterable of a loop
  ExprPtr condition;   // loop filter: for x in y if condition
  bool recursive = false;
  std::vector<ExprPtr> targets;
  std::vector<ExprPtr> expressions;
  std::vector<Branch> branches;
  Body body;
  Body else_body;
  std::vector<Parameter> parameters;

  // Filled by jinja_scope.
  Reference reference;  // macro: where it is stored
  Scope scope;          // of body
  Scope else_scope;
  Scope condition_scope;
  ExprPtr condition_target;  // loop: the target as seen by the filter
  uint32_t loop_slot = 0;
  std::optional<uint32_t> caller_slot;  // macro: parameters that exist because the body names them
  std::optional<uint32_t> kwargs_slot;
  std::optional<uint32_t> varargs_slot;
};

/// A parsed template: constant after parsing.
struct Program {
  Body body;
  Scope scope;
};

}  // namespace squish::jinja
