#pragma once
// Runs a parsed template.
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "text/jinja_arguments.h"
#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"

namespace squish::jinja {

struct RenderInput {
  const DictObject* variables = nullptr;
  std::chrono::system_clock::time_point now;
  RenderLimits limits;
};

/// The text that `program` gives. Errors: "line N: ..."; invalid_argument for what the template
/// itself refuses or cannot do with its input, unsafe for a limit that it passes. Threads: any
/// number at once over one program. Uses up to 2 MiB of stack, never more.
Result<std::string> render(const Program& program, const RenderInput& input);

/// The variables of one scope while it runs.
struct Frame {
  const Scope* scope = nullptr;
  Frame* parent = nullptr;
  std::vector<Value> slots;
};

class Interpreter;

struct MacroObject : Object {
  MacroObject() : Object(Kind::macro) {}
  Result<std::optional<Value>> attribute(Runtime& runtime, const std::string& name) override;
  Result<Value> invoke(Runtime& runtime, std::string_view method,
                       const CallArguments& arguments) override;
  Interpreter* interpreter = nullptr;
  const Stmt* definition = nullptr;
  Frame* closure = nullptr;
};

/// `loop` in a loop body. Elements are taken, and tested if the loop has a filter, only when they
/// are needed.
struct LoopObject : Object {
  LoopObject() : Object(Kind::loop) {}
  Result<std::optional<Value>> attribute(Runtime& runtime, const std::string& name) override;
  Result<Value> invoke(Runtime& runtime, std::string_view method,
                       const CallArguments& arguments) override;
  /// Moves to the next element; false at the end.
  Result<bool> advance();
  Result<bool> peek();
  Result<int64_t> length();
  /// After the loop: a template may have kept the object, but the frame around it is gone.
  void end();

  Interpreter* interpreter = nullptr;
  const Stmt* statement = nullptr;
  Frame* outer = nullptr;
  Value::List items;
  size_t taken = 0;
  std::shared_ptr<const Error> failure;  // raised when the items are used up
  bool filtered = false;                 // the items passed the loop's filter already
  int64_t depth0 = 0;
  int64_t index0 = -1;
  std::optional<int64_t> known_length;
  std::optional<Value> before;
  std::optional<Value> current;
  std::optional<Value> after;
  std::optional<Value> last_changed;

 private:
  Result<std::optional<Value>> take();
};

class Interpreter {
 public:
  Interpreter(const Program& program, const RenderInput& input, Runtime& runtime)
      : program_(program), input_(input), runtime_(runtime) {}
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  Result<std::string> run();

  // For the objects above.
  Result<Value> call_macro(const MacroObject& macro, const CallArguments& arguments);
  Result<bool> passes_filter(const Stmt& loop, Frame& outer, const Value& item);
  Result<Value> recurse(const LoopObject& loop, const Value& iterable);

 private:
  enum class Flow : uint8_t { normal, loop_break, loop_continue };

  /// Owns a frame for the time of a body, or leaves it to the interpreter where a macro may keep
  /// using it.
  class FrameHolder {
   public:
    Frame& operator*() { return *frame_; }
    Frame* frame_ = nullptr;
    Frame local_;
  };
  Status enter(FrameHolder& holder, const Scope& scope, Frame* parent);
  Value& variable(Frame& frame, Reference reference);
  Result<Value> global_variable(const std::string& name);
  [[nodiscard]] Status check_stack() const;
  [[nodiscard]] Error positioned(const Error& error, int line);

  // Statements.
  Result<Flow> execute(const Body& body, Frame& frame);
  Result<Flow> execute(const Stmt& node, Frame& frame);
  Result<Flow> execute_block(const Body& body, const Scope& scope, Frame& frame);
  Result<Flow> run_loop(const Stmt& node, Frame& frame, const Value& iterable, int64_t depth0);
  Result<Flow> set_block(const Stmt& node, Frame& frame);
  Result<Flow> filter_block(const Stmt& node, Frame& frame);
  Result<Flow> with_block(const Stmt& node, Frame& frame);
  Status call_block(const Stmt& node, Frame& frame);
  Status define_macro(const Stmt& node, Frame& frame);
  Result<Value> make_macro(const Stmt& node, Frame& frame);
  Status assign(const Expr& target, Value value, Frame& frame);
  Status write(std::string_view text);
  Status write(const Value& value);
  /// Runs `body` with its output going to `text`.
  Result<Flow> capture(const Body& body, Frame& frame, std::string& text);

  // Expressions.
  Result<Value> evaluate(const Expr& node, Frame& frame);
  Result<Value> evaluate_node(const Expr& node, Frame& frame);
  Result<Value> evaluate_list(const Expr& node, Frame& frame);
  Result<Value> evaluate_dict(const Expr& node, Frame& frame);
  Result<Value> evaluate_slice(const Expr& node, Frame& frame);
  Result<Value> evaluate_call(const Expr& node, Frame& frame, const Value* caller);
  Result<Value> evaluate_filter(const Expr& node, Frame& frame);
  Result<Value> evaluate_concat(const Expr& node, Frame& frame);
  Result<Value> evaluate_compare(const Expr& node, Frame& frame);
  Result<CallArguments> evaluate_arguments(const Arguments* arguments, Frame& frame);
  Result<Value> call(const Value& callee, const CallArguments& arguments);

  const Program& program_;
  const RenderInput& input_;
  Runtime& runtime_;
  std::vector<std::unique_ptr<Frame>> kept_frames_;
  std::string* out_ = nullptr;
  const Value* block_input_ = nullptr;  // what a filter block filters
  uint32_t macro_depth_ = 0;
  int error_line_ = 0;
  const char* stack_start_ = nullptr;
};

}  // namespace squish::jinja
