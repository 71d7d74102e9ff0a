// for loops and the variable `loop`.
#include <fmt/format.h>

#include "text/jinja_interpreter.h"

namespace squish::jinja {

Result<Interpreter::Flow> Interpreter::run_loop(const Stmt& node, Frame& frame,
                                                const Value& iterable, int64_t depth0) {
  SQ_TRY(LoopObject * loop, runtime_.object<LoopObject>());
  loop->interpreter = this;
  loop->statement = &node;
  loop->outer = &frame;
  loop->filtered = !node.condition;
  loop->depth0 = depth0;
  if (iterable.is_list()) loop->failure = std::exchange(iterable.list_object().failure, nullptr);
  SQ_TRY(loop->items, iterate(runtime_, iterable));
  bool empty = true;
  Flow flow = Flow::normal;
  while (flow != Flow::loop_break) {
    SQ_TRY(const bool more, loop->advance());
    if (!more) break;
    empty = false;
    FrameHolder inner;
    SQ_TRY_STATUS(enter(inner, node.scope, &frame));
    (*inner).slots[node.loop_slot] = Value::object(*loop);
    SQ_TRY_STATUS(assign(*node.target, *loop->current, *inner));
    SQ_TRY(flow, execute(node.body, *inner));
  }
  loop->end();
  if (!empty || node.else_body.empty()) return Flow::normal;
  return execute_block(node.else_body, node.else_scope, frame);
}

Result<bool> Interpreter::passes_filter(const Stmt& loop, Frame& outer, const Value& item) {
  FrameHolder inner;
  SQ_TRY_STATUS(enter(inner, loop.condition_scope, &outer));
  SQ_TRY_STATUS(assign(*loop.condition_target, item, *inner));
  SQ_TRY(const Value condition, evaluate(*loop.condition, *inner));
  return is_true(condition);
}

Result<Value> Interpreter::recurse(const LoopObject& loop, const Value& iterable) {
  SQ_TRY_STATUS(check_stack());
  if (loop.outer == nullptr) return template_error("the loop that is called has ended");
  if (loop.depth0 + 1 >= static_cast<int64_t>(input_.limits.depth_max)) {
    return Error{ErrorCode::unsafe,
                 fmt::format("a loop recurses deeper than {} levels", input_.limits.depth_max)};
  }
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  const Result<Flow> flow = run_loop(*loop.statement, *loop.outer, iterable, loop.depth0 + 1);
  out_ = outer;
  runtime_.release(text.size());
  if (!flow) return flow.error();
  return runtime_.text(std::move(text));
}

Result<std::optional<Value>> LoopObject::take() {
  while (taken < items.size()) {
    Value item = items[taken++];
    if (filtered) return std::optional<Value>(std::move(item));
    SQ_TRY(const bool wanted, interpreter->passes_filter(*statement, *outer, item));
    if (wanted) return std::optional<Value>(std::move(item));
  }
  if (failure) return *std::exchange(failure, nullptr);
  return std::optional<Value>();
}

void LoopObject::end() {
  items = {};
  taken = 0;
  filtered = true;
  failure = nullptr;
  outer = nullptr;
}

Result<bool> LoopObject::peek() {
  if (!after) {
    SQ_TRY(after, take());
  }
  return after.has_value();
}

Result<bool> LoopObject::advance() {
  SQ_TRY(const bool more, peek());
  if (!more) return false;
  before = std::exchange(current, std::exchange(after, std::nullopt));
  ++index0;
  return true;
}

Result<int64_t> LoopObject::length() {
  if (known_length) return *known_length;
  Value::List rest;
  while (true) {
    SQ_TRY(std::optional<Value> item, take());
    if (!item) break;
    rest.push_back(*std::move(item));
  }
  items = std::move(rest);
  taken = 0;
  filtered = true;
  known_length = static_cast<int64_t>(items.size()) + index0 + 1 + (after ? 1 : 0);
  return *known_length;
}

Result<std::optional<Value>> LoopObject::attribute(Runtime& runtime, const std::string& name) {
  const auto undefined = [](const char* why) {
    return std::optional<Value>(Value(Value::Undefined{std::make_shared<const std::string>(why)}));
  };
  if (name == "index0") return std::optional<Value>(Value(index0));
  if (name == "index") return std::optional<Value>(Value(index0 + 1));
  if (name == "first") return std::optional<Value>(Value(index0 == 0));
  if (name == "depth0") return std::optional<Value>(Value(depth0));
  if (name == "depth") return std::optional<Value>(Value(depth0 + 1));
  if (name == "last") {
    SQ_TRY(const bool more, peek());
    return std::optional<Value>(Value(!more));
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    SQ_TRY(const int64_t size, length());
    if (name == "length") return std::optional<Value>(Value(size));
    return std::optional<Value>(Value(size - index0 - (name == "revindex" ? 0 : 1)));
  }
  if (name == "previtem") return before ? before : undefined("there is no previous item");
  if (name == "nextitem") {
    SQ_TRY(const bool more, peek());
    return more ? after : undefined("there is no next item");
  }
  if (name == "cycle" || name == "changed") return own_method(runtime, name);
  return std::optional<Value>();
}

Result<Value> LoopObject::invoke(Runtime& runtime, std::string_view method,
                                 const CallArguments& arguments) {
  if (method.empty()) {
    if (!statement->recursive) {
      return template_error("The loop must have the 'recursive' marker to be called recursively.");
    }
    if (arguments.positional.size() != 1) return template_error("loop() takes one argument");
    return interpreter->recurse(*this, arguments.positional.front());
  }
  if (method == "cycle") {
    if (arguments.positional.empty()) return template_error("no items for cycling given");
    return arguments.positional[static_cast<size_t>(index0) % arguments.positional.size()];
  }
  SQ_TRY(Value values, runtime.list(arguments.positional, ListFlavor::tuple));
  bool changed = !last_changed;
  if (!changed) {
    SQ_TRY(const bool same, equal(runtime, *last_changed, values));
    changed = !same;
  }
  last_changed = std::move(values);
  return Value(changed);
}

}  // namespace squish::jinja
