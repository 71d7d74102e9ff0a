// Statements, macros and frames. Expressions are in jinja_evaluate.cpp, loops in jinja_loop.cpp.
#include "text/jinja_interpreter.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_filters.h"
#include "text/jinja_globals.h"

namespace squish::jinja {
namespace {

/// Of the 8 MiB that threads have on Linux. 200 macro calls deep needs about 1 MiB in an optimized
/// build.
constexpr std::ptrdiff_t kStackBytesMax = 2 * 1024 * 1024;

}  // namespace

Result<std::string> render(const Program& program, const RenderInput& input) {
  Runtime runtime(input.limits);
  return Interpreter(program, input, runtime).run();
}

Result<std::string> Interpreter::run() {
  stack_start_ = static_cast<const char*>(__builtin_frame_address(0));
  std::string text;
  out_ = &text;
  FrameHolder root;
  SQ_TRY_STATUS(enter(root, program_.scope, nullptr));
  const Result<Flow> flow = execute(program_.body, *root);
  if (!flow)
    return error_line_ == 0 ? flow.error() : flow.error().at(fmt::format("line {}", error_line_));
  return text;
}

Status Interpreter::check_stack() const {
  const char* here = static_cast<const char*>(__builtin_frame_address(0));
  if (stack_start_ - here < kStackBytesMax) return {};
  return Error{ErrorCode::unsafe, "the template calls itself too deep for the stack"};
}

/// Remembers the innermost line of an error.
Error Interpreter::positioned(const Error& error, int line) {
  if (error_line_ == 0) error_line_ = line;
  return error;
}

Value& Interpreter::variable(Frame& frame, Reference reference) {
  Frame* level = &frame;
  for (; reference.up > 0 && level->parent != nullptr; --reference.up) level = level->parent;
  if (reference.slot >= level->slots.size()) level->slots.resize(reference.slot + 1);
  return level->slots[reference.slot];
}

Result<Value> Interpreter::global_variable(const std::string& name) {
  const Value* found = input_.variables->find(std::string_view(name));
  if (found != nullptr) return *found;
  return global_function(runtime_, name, input_.now);
}

Status Interpreter::enter(FrameHolder& holder, const Scope& scope, Frame* parent) {
  SQ_TRY_STATUS(runtime_.work(scope.slot_count / 8 + 1));
  holder.frame_ = &holder.local_;
  if (scope.captured) {
    SQ_TRY_STATUS(runtime_.hold(sizeof(Frame) + scope.slot_count * sizeof(Value)));
    kept_frames_.push_back(std::make_unique<Frame>());
    holder.frame_ = kept_frames_.back().get();
  }
  Frame& frame = *holder.frame_;
  frame.scope = &scope;
  frame.parent = parent;
  frame.slots.resize(scope.slot_count);
  for (const Scope::Load& load : scope.loads) {
    if (load.kind == Scope::LoadKind::alias) {
      frame.slots[load.slot] = variable(frame, load.source);
    } else {
      SQ_TRY(frame.slots[load.slot], global_variable(load.name));
    }
  }
  return {};
}

Status Interpreter::write(std::string_view text) {
  if (text.size() > input_.limits.output_bytes_max -
                        std::min<uint64_t>(out_->size(), input_.limits.output_bytes_max)) {
    return Error{ErrorCode::unsafe,
                 fmt::format("the output is larger than {} bytes", input_.limits.output_bytes_max)};
  }
  SQ_TRY_STATUS(runtime_.work_on_text(text.size()));
  SQ_TRY_STATUS(runtime_.hold(text.size()));
  *out_ += text;
  return {};
}

Status Interpreter::write(const Value& value) {
  if (value.is_string()) return write(std::string_view(value.as_string()));
  SQ_TRY(const std::string text, to_text(runtime_, value));
  return write(std::string_view(text));
}

Result<Interpreter::Flow> Interpreter::capture(const Body& body, Frame& frame, std::string& text) {
  std::string* const outer = std::exchange(out_, &text);
  Result<Flow> flow = execute(body, frame);
  out_ = outer;
  runtime_.release(text.size());
  return flow;
}

Result<Interpreter::Flow> Interpreter::execute(const Body& body, Frame& frame) {
  for (const StmtPtr& statement : body) {
    Result<Flow> flow = execute(*statement, frame);
    if (!flow) return positioned(flow.error(), statement->line);
    if (*flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Result<Interpreter::Flow> Interpreter::execute(const Stmt& node, Frame& frame) {
  SQ_TRY_STATUS(runtime_.work(1));
  SQ_TRY_STATUS(check_stack());
  switch (node.kind) {
    case StmtKind::output:
      for (const ExprPtr& expression : node.expressions) {
        SQ_TRY(const Value value, evaluate(*expression, frame));
        const Status written = write(value);
        if (!written) return positioned(written.error(), expression->line);
      }
      return Flow::normal;
    case StmtKind::if_chain:
      for (const Branch& branch : node.branches) {
        if (branch.condition) {
          SQ_TRY(const Value condition, evaluate(*branch.condition, frame));
          if (!is_true(condition)) continue;
        }
        return execute(branch.body, frame);
      }
      return Flow::normal;
    case StmtKind::for_loop: {
      SQ_TRY(const Value iterable, evaluate(*node.expression, frame));
      return run_loop(node, frame, iterable, 0);
    }
    case StmtKind::set: {
      SQ_TRY(Value value, evaluate(*node.expression, frame));
      SQ_TRY_STATUS(assign(*node.target, std::move(value), frame));
      return Flow::normal;
    }
    case StmtKind::set_block:
      return set_block(node, frame);
    case StmtKind::macro: {
      SQ_TRY_STATUS(define_macro(node, frame));
      return Flow::normal;
    }
    case StmtKind::call_block: {
      SQ_TRY_STATUS(call_block(node, frame));
      return Flow::normal;
    }
    case StmtKind::filter_block:
      return filter_block(node, frame);
    case StmtKind::with:
      return with_block(node, frame);
    case StmtKind::block:
      return execute_block(node.body, node.scope, frame);
    case StmtKind::loop_break:
      return Flow::loop_break;
    case StmtKind::loop_continue:
      return Flow::loop_continue;
  }
  return Flow::normal;
}

Result<Interpreter::Flow> Interpreter::execute_block(const Body& body, const Scope& scope,
                                                     Frame& frame) {
  FrameHolder inner;
  SQ_TRY_STATUS(enter(inner, scope, &frame));
  return execute(body, *inner);
}

Result<Interpreter::Flow> Interpreter::set_block(const Stmt& node, Frame& frame) {
  FrameHolder inner;
  SQ_TRY_STATUS(enter(inner, node.scope, &frame));
  std::string text;
  SQ_TRY(const Flow flow, capture(node.body, *inner, text));
  if (flow != Flow::normal) return flow;
  SQ_TRY(Value value, runtime_.text(std::move(text)));
  if (node.expression) {
    const Value input = value;
    const Value* const outer = std::exchange(block_input_, &input);
    Result<Value> filtered = evaluate(*node.expression, *inner);
    block_input_ = outer;
    if (!filtered) return filtered.error();
    value = *filtered;
  }
  SQ_TRY_STATUS(assign(*node.target, std::move(value), frame));
  return Flow::normal;
}

Result<Interpreter::Flow> Interpreter::filter_block(const Stmt& node, Frame& frame) {
  FrameHolder inner;
  SQ_TRY_STATUS(enter(inner, node.scope, &frame));
  std::string text;
  SQ_TRY(const Flow flow, capture(node.body, *inner, text));
  if (flow != Flow::normal) return flow;
  SQ_TRY(const Value input, runtime_.text(std::move(text)));
  const Value* const outer = std::exchange(block_input_, &input);
  const Result<Value> filtered = evaluate(*node.expression, *inner);
  block_input_ = outer;
  if (!filtered) return filtered.error();
  SQ_TRY_STATUS(write(*filtered));
  return Flow::normal;
}

Result<Interpreter::Flow> Interpreter::with_block(const Stmt& node, Frame& frame) {
  FrameHolder inner;
  SQ_TRY_STATUS(enter(inner, node.scope, &frame));
  for (size_t i = 0; i < node.targets.size(); ++i) {
    SQ_TRY(Value value, evaluate(*node.expressions[i], frame));
    SQ_TRY_STATUS(assign(*node.targets[i], std::move(value), *inner));
  }
  return execute(node.body, *inner);
}

Status Interpreter::assign(const Expr& target, Value value, Frame& frame) {
  if (target.kind == ExprKind::name) {
    variable(frame, target.reference) = std::move(value);
    return {};
  }
  if (target.kind == ExprKind::namespace_target) {
    const Value holder = variable(frame, target.reference);
    if (holder.kind() != Value::Kind::object ||
        holder.as_object().kind() != Object::Kind::name_space) {
      return template_error("cannot assign attribute on non-namespace object");
    }
    return static_cast<NamespaceObject&>(holder.as_object())
        .assign(runtime_, target.attribute, std::move(value));
  }
  SQ_TRY(Value::List parts, iterate(runtime_, value));
  if (parts.size() != target.items.size()) {
    return template_error(
        fmt::format("{} values to unpack (expected {}, got {})",
                    parts.size() < target.items.size() ? "not enough" : "too many",
                    target.items.size(), parts.size()));
  }
  for (size_t i = 0; i < parts.size(); ++i)
    SQ_TRY_STATUS(assign(*target.items[i], std::move(parts[i]), frame));
  return {};
}

Result<Value> Interpreter::make_macro(const Stmt& node, Frame& frame) {
  SQ_TRY(MacroObject * macro, runtime_.object<MacroObject>());
  macro->interpreter = this;
  macro->definition = &node;
  macro->closure = &frame;
  return Value::object(*macro);
}

Status Interpreter::define_macro(const Stmt& node, Frame& frame) {
  SQ_TRY(variable(frame, node.reference), make_macro(node, frame));
  return {};
}

Status Interpreter::call_block(const Stmt& node, Frame& frame) {
  SQ_TRY(const Value caller, make_macro(node, frame));
  SQ_TRY(const Value result, evaluate_call(*node.expression, frame, &caller));
  return write(result);
}

Result<Value> Interpreter::call_macro(const MacroObject& macro, const CallArguments& arguments) {
  const Stmt& node = *macro.definition;
  if (++macro_depth_ > input_.limits.depth_max) {
    return Error{ErrorCode::unsafe,
                 fmt::format("macro calls nest deeper than {} levels", input_.limits.depth_max)};
  }
  SQ_TRY_STATUS(check_stack());
  SQ_TRY_STATUS(runtime_.work(10));  // a call costs about as much as ten expressions
  FrameHolder inner;
  SQ_TRY_STATUS(enter(inner, node.scope, macro.closure));
  Frame& frame = *inner;
  std::vector<bool> used(arguments.keywords.size());
  const auto take_keyword = [&](std::string_view name) -> const Value* {
    for (size_t i = 0; i < used.size(); ++i) {
      if (used[i] || arguments.keywords[i].first != name) continue;
      used[i] = true;
      return &arguments.keywords[i].second;
    }
    return nullptr;
  };
  const size_t positional = std::min(arguments.positional.size(), node.parameters.size());
  std::vector<bool> given(node.parameters.size());
  for (size_t i = 0; i < node.parameters.size(); ++i) {
    const Value* value =
        i < positional ? &arguments.positional[i] : take_keyword(node.parameters[i].name);
    if (value != nullptr) frame.slots[node.parameters[i].slot] = *value;
    given[i] = value != nullptr;
  }
  if (node.caller_slot) {
    const Value* caller = take_keyword("caller");
    frame.slots[*node.caller_slot] =
        caller != nullptr
            ? *caller
            : Value(Value::Undefined{std::make_shared<const std::string>("No caller defined")});
  }
  auto rest = std::make_shared<DictObject>();
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) rest->set(Value(arguments.keywords[i].first), arguments.keywords[i].second);
  }
  if (!node.kwargs_slot && !rest->entries.empty()) {
    return template_error(fmt::format("macro '{}' takes no keyword argument '{}'", node.name,
                                      rest->entries.front().key.as_string()));
  }
  if (!node.varargs_slot && arguments.positional.size() > positional) {
    return template_error(fmt::format("macro '{}' takes not more than {} argument(s)", node.name,
                                      node.parameters.size()));
  }
  if (node.kwargs_slot) {
    SQ_TRY(frame.slots[*node.kwargs_slot], runtime_.dict(std::move(rest)));
  }
  if (node.varargs_slot) {
    Value::List more(arguments.positional.begin() + static_cast<std::ptrdiff_t>(positional),
                     arguments.positional.end());
    SQ_TRY(frame.slots[*node.varargs_slot], runtime_.list(std::move(more), ListFlavor::tuple));
  }
  for (size_t i = 0; i < node.parameters.size(); ++i) {
    const Parameter& parameter = node.parameters[i];
    if (given[i]) continue;
    if (parameter.fallback) {
      SQ_TRY(frame.slots[parameter.slot], evaluate(*parameter.fallback, frame));
    } else {
      frame.slots[parameter.slot] = Value(Value::Undefined{std::make_shared<const std::string>(
          fmt::format("parameter '{}' was not provided", parameter.name))});
    }
  }
  std::string text;
  SQ_TRY_STATUS([&]() -> Status {
    const Result<Flow> flow = capture(node.body, frame, text);
    return flow ? Status() : Status(flow.error());
  }());
  --macro_depth_;
  return runtime_.text(std::move(text));
}

Result<Value> MacroObject::invoke(Runtime& runtime, std::string_view method,
                                  const CallArguments& arguments) {
  if (!method.empty()) return Object::invoke(runtime, method, arguments);
  return interpreter->call_macro(*this, arguments);
}

Result<std::optional<Value>> MacroObject::attribute(Runtime& runtime, const std::string& name) {
  if (name == "name") {
    return std::optional<Value>(definition->kind == StmtKind::macro ? Value(definition->name)
                                                                    : Value::none());
  }
  if (name == "arguments") {
    Value::List names;
    for (const Parameter& parameter : definition->parameters) names.emplace_back(parameter.name);
    SQ_TRY(Value tuple, runtime.list(std::move(names), ListFlavor::tuple));
    return std::optional<Value>(std::move(tuple));
  }
  if (name == "catch_kwargs")
    return std::optional<Value>(Value(definition->kwargs_slot.has_value()));
  if (name == "catch_varargs")
    return std::optional<Value>(Value(definition->varargs_slot.has_value()));
  if (name == "caller") return std::optional<Value>(Value(definition->caller_slot.has_value()));
  return std::optional<Value>();
}

}  // namespace squish::jinja
