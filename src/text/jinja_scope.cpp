// Jinja decides at compile time where a name lives: each loop body, macro and capturing block is a
// scope; an assignment anywhere in a scope makes the name local to all of it, starting from the
// outer value if an outer scope knows the name. The order of loads and stores and the merging of
// if-branches below follow from that and are visible to templates.
#include "text/jinja_scope.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_filters.h"
#include "text/jinja_symbols.h"

namespace squish::jinja {
namespace {

/// Calls `visit` for each direct part of an expression.
template <class Visit>
void for_each_part(const Expr& node, Visit visit) {
  for (const ExprPtr& item : node.items) {
    if (item) visit(*item);
  }
  if (!node.arguments) return;
  for (const ExprPtr& value : node.arguments->positional) visit(*value);
  for (const Arguments::Keyword& keyword : node.arguments->keywords) visit(*keyword.value);
  if (node.arguments->rest) visit(*node.arguments->rest);
  if (node.arguments->keyword_rest) visit(*node.arguments->keyword_rest);
}

/// First pass over one scope: which names it loads and stores, in order. It stops at inner scopes.
class Analyzer {
 public:
  explicit Analyzer(Symbols& symbols) : symbols_(&symbols) {}

  void load(const Expr& node) {
    if (node.kind == ExprKind::name || node.kind == ExprKind::namespace_target)
      symbols_->load(node.text);
    for_each_part(node, [this](const Expr& part) { load(part); });
  }
  void load(const ExprPtr& node) {
    if (node) load(*node);
  }

  void store(const Expr& target) {
    if (target.kind == ExprKind::name) symbols_->store(target.text);
    if (target.kind == ExprKind::namespace_target) symbols_->load(target.text);
    for (const ExprPtr& item : target.items) store(*item);
  }

  void declare(const Expr& target) {
    if (target.kind == ExprKind::name) symbols_->declare_parameter(target.text);
    for (const ExprPtr& item : target.items) declare(*item);
  }

  void visit(const Body& body) {
    for (const StmtPtr& statement : body) visit(*statement);
  }

 private:
  void visit(const Stmt& node) {
    switch (node.kind) {
      case StmtKind::output:
        for (const ExprPtr& expression : node.expressions) load(expression);
        return;
      case StmtKind::if_chain:
        return visit_if(node);
      case StmtKind::for_loop:
      case StmtKind::call_block:
      case StmtKind::filter_block:
        return load(node.expression);
      case StmtKind::set:
        load(node.expression);
        return store(*node.target);
      case StmtKind::set_block:
        return store(*node.target);
      case StmtKind::macro:
        return symbols_->store(node.name);
      case StmtKind::with:
        for (const ExprPtr& expression : node.expressions) load(expression);
        return;
      case StmtKind::block:
      case StmtKind::loop_break:
      case StmtKind::loop_continue:
        return;
    }
  }

  /// An elif is an if inside the else of the one before: each condition is a load of the whole
  /// scope.
  void visit_if(const Stmt& node) {
    load(node.branches.front().condition);
    if (symbols_->too_many()) return;  // finish() reports it
    Symbols* const outer = symbols_;
    Symbols first = *outer;
    Symbols elifs = *outer;
    Symbols otherwise = *outer;
    for (size_t i = 0; i < node.branches.size(); ++i) {
      const Branch& branch = node.branches[i];
      const bool is_elif = i > 0 && branch.condition;
      Symbols copy = is_elif ? elifs : *outer;
      symbols_ = is_elif ? &elifs : &copy;
      if (is_elif) {
        load(branch.condition);
        copy = elifs;
        symbols_ = &copy;
      }
      visit(branch.body);
      if (is_elif) {
        elifs.merge({&copy});
      } else {
        (branch.condition ? first : otherwise) = std::move(copy);
      }
    }
    symbols_ = outer;
    outer->merge({&first, &elifs, &otherwise});
  }

  Symbols* symbols_;
};

/// Second pass: writes the references, and opens the inner scopes.
class Resolver {
 public:
  Status run(Program& program) {
    Symbols root(nullptr, program.scope);
    Analyzer(root).visit(program.body);
    SQ_TRY_STATUS(resolve(program.body, root));
    return root.finish();
  }

 private:
  /// Conditions are soft: an unknown filter there fails only when it is called.
  Status resolve(Expr& node, const Symbols& symbols, bool soft) {
    if (node.kind == ExprKind::name || node.kind == ExprKind::namespace_target) {
      node.reference = symbols.find(node.text).value_or(Reference{});
      return {};
    }
    if (node.kind == ExprKind::filter && !soft && !has_filter(node.text)) {
      return error_at(node.line, fmt::format("No filter named '{}'", printable(node.text, 60)));
    }
    if (node.kind == ExprKind::test && !soft && !has_test(node.text)) {
      return error_at(node.line, fmt::format("No test named '{}'", printable(node.text, 60)));
    }
    Status status;
    const bool inner_soft = soft || node.kind == ExprKind::conditional;
    for_each_part(node, [&](Expr& part) {
      if (status) status = resolve(part, symbols, inner_soft);
    });
    return status;
  }
  Status resolve(ExprPtr& node, const Symbols& symbols, bool soft) {
    return node ? resolve(*node, symbols, soft) : Status();
  }

  /// Targets too; the loop variable must not be one of them inside a loop.
  Status resolve_target(Expr& target, const Symbols& symbols) {
    if (target.kind == ExprKind::name && target.text == "loop" && loops_ > 0) {
      return error_at(target.line, "cannot assign to the special variable 'loop'");
    }
    if (target.kind != ExprKind::tuple) return resolve(target, symbols, false);
    for (ExprPtr& item : target.items) SQ_TRY_STATUS(resolve_target(*item, symbols));
    return {};
  }

  Status resolve(Body& body, Symbols& symbols, bool soft = false) {
    for (StmtPtr& statement : body) SQ_TRY_STATUS(resolve(*statement, symbols, soft));
    return {};
  }

  Status resolve(Stmt& node, Symbols& symbols, bool soft) {
    switch (node.kind) {
      case StmtKind::output:
        for (ExprPtr& expression : node.expressions)
          SQ_TRY_STATUS(resolve(expression, symbols, soft));
        return {};
      case StmtKind::if_chain:
        for (Branch& branch : node.branches) {
          SQ_TRY_STATUS(resolve(branch.condition, symbols, true));
          SQ_TRY_STATUS(resolve(branch.body, symbols, true));
        }
        return {};
      case StmtKind::for_loop:
        return resolve_loop(node, symbols, soft);
      case StmtKind::set:
        SQ_TRY_STATUS(resolve(node.expression, symbols, soft));
        return resolve_target(*node.target, symbols);
      case StmtKind::set_block:
        SQ_TRY_STATUS(resolve_target(*node.target, symbols));
        return resolve_captured(node, symbols);
      case StmtKind::macro:
        node.reference = symbols.find(node.name).value_or(Reference{});
        return resolve_macro(node, symbols);
      case StmtKind::call_block:
        SQ_TRY_STATUS(resolve(node.expression, symbols, soft));
        return resolve_macro(node, symbols);
      case StmtKind::filter_block:
        return resolve_captured(node, symbols);
      case StmtKind::with:
        return resolve_with(node, symbols, soft);
      case StmtKind::block: {
        Symbols inner(&symbols, node.scope);
        Analyzer(inner).visit(node.body);
        SQ_TRY_STATUS(resolve(node.body, inner));
        return inner.finish();
      }
      case StmtKind::loop_break:
      case StmtKind::loop_continue:
        return {};
    }
    return {};
  }

  /// A body whose output goes through a filter: the filter's arguments are read inside.
  Status resolve_captured(Stmt& node, Symbols& symbols) {
    Symbols inner(&symbols, node.scope);
    Analyzer analyzer(inner);
    analyzer.load(node.expression);
    analyzer.visit(node.body);
    SQ_TRY_STATUS(resolve(node.expression, inner, false));
    SQ_TRY_STATUS(resolve(node.body, inner));
    return inner.finish();
  }

  Status resolve_loop(Stmt& node, Symbols& symbols, bool soft) {
    SQ_TRY_STATUS(resolve(node.expression, symbols, soft));
    ++loops_;
    Symbols inner(&symbols, node.scope);
    node.loop_slot = inner.declare_parameter("loop");
    Analyzer analyzer(inner);
    analyzer.declare(*node.target);
    analyzer.visit(node.body);
    if (node.condition) {
      Symbols filter(&symbols, node.condition_scope);
      Analyzer filter_analyzer(filter);
      filter_analyzer.declare(*node.target);
      filter_analyzer.load(node.condition);
      node.condition_target = clone_target(*node.target);
      SQ_TRY_STATUS(resolve_target(*node.condition_target, filter));
      SQ_TRY_STATUS(resolve(node.condition, filter, false));
      SQ_TRY_STATUS(filter.finish());
    }
    SQ_TRY_STATUS(resolve_target(*node.target, inner));
    SQ_TRY_STATUS(resolve(node.body, inner));
    SQ_TRY_STATUS(inner.finish());
    Symbols otherwise(&symbols, node.else_scope);
    Analyzer(otherwise).visit(node.else_body);
    SQ_TRY_STATUS(resolve(node.else_body, otherwise));
    SQ_TRY_STATUS(otherwise.finish());
    --loops_;
    return {};
  }

  static ExprPtr clone_target(const Expr& target) {
    auto copy = std::make_unique<Expr>();
    copy->kind = target.kind;
    copy->line = target.line;
    copy->text = target.text;
    for (const ExprPtr& item : target.items) copy->items.push_back(clone_target(*item));
    return copy;
  }

  Status resolve_with(Stmt& node, Symbols& symbols, bool soft) {
    for (ExprPtr& expression : node.expressions) SQ_TRY_STATUS(resolve(expression, symbols, soft));
    Symbols inner(&symbols, node.scope);
    Analyzer analyzer(inner);
    for (const ExprPtr& target : node.targets) analyzer.declare(*target);
    analyzer.visit(node.body);
    for (ExprPtr& target : node.targets) SQ_TRY_STATUS(resolve_target(*target, inner));
    SQ_TRY_STATUS(resolve(node.body, inner));
    return inner.finish();
  }

  Status resolve_macro(Stmt& node, Symbols& symbols) {
    symbols.mark_captured();
    Symbols inner(&symbols, node.scope);
    Analyzer analyzer(inner);
    for (Parameter& parameter : node.parameters)
      parameter.slot = inner.declare_parameter(parameter.name);
    Specials used;
    note_specials(node.body, used);
    const auto special = [&](bool is_used, const std::string& name) -> std::optional<uint32_t> {
      for (const Parameter& parameter : node.parameters) {
        if (parameter.name == name) return std::nullopt;
      }
      if (!is_used) return std::nullopt;
      return inner.declare_parameter(name);
    };
    node.caller_slot = special(used.caller, "caller");
    node.kwargs_slot = special(used.kwargs, "kwargs");
    node.varargs_slot = special(used.varargs, "varargs");
    for (const Parameter& parameter : node.parameters) analyzer.load(parameter.fallback);
    analyzer.visit(node.body);
    for (Parameter& parameter : node.parameters)
      SQ_TRY_STATUS(resolve(parameter.fallback, inner, false));
    SQ_TRY_STATUS(resolve(node.body, inner));
    return inner.finish();
  }

  /// Which of the names that a macro has without declaring them its body uses.
  struct Specials {
    bool caller = false;
    bool kwargs = false;
    bool varargs = false;
  };

  static void note_specials(const Expr& node, Specials& used) {
    if (node.kind == ExprKind::name) {
      used.caller = used.caller || node.text == "caller";
      used.kwargs = used.kwargs || node.text == "kwargs";
      used.varargs = used.varargs || node.text == "varargs";
    }
    for_each_part(node, [&](const Expr& part) { note_specials(part, used); });
  }
  static void note_specials(const ExprPtr& node, Specials& used) {
    if (node) note_specials(*node, used);
  }

  static void note_specials(const Body& body, Specials& used) {
    for (const StmtPtr& node : body) {
      note_specials(node->expression, used);
      note_specials(node->condition, used);
      for (const ExprPtr& expression : node->expressions) note_specials(expression, used);
      for (const Parameter& parameter : node->parameters) note_specials(parameter.fallback, used);
      for (const Branch& branch : node->branches) {
        note_specials(branch.condition, used);
        note_specials(branch.body, used);
      }
      note_specials(node->body, used);
      note_specials(node->else_body, used);
    }
  }

  int loops_ = 0;
};

}  // namespace

Status resolve_names(Program& program) { return Resolver().run(program); }

}  // namespace squish::jinja
