#pragma once
// Conversation to prompt text, by the model's own Jinja template. Same results as transformers'
// apply_chat_template.
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "text/jinja_value.h"

namespace squish {

namespace jinja {
struct Program;
}

/// A chat template, parsed once. Copies share it. Threads: all methods may run at once on any
/// number of threads; each call uses up to 2 MiB of stack.
class ChatTemplate {
 public:
  /// Errors: bad_file, "chat template: line N: ..." naming what is wrong or not supported.
  /// Cost: about 50 microseconds per kilobyte of source.
  static Result<ChatTemplate> parse(std::string_view source);

  struct Input {
    Value messages;  // list of dicts: role, content, tool_calls, ...; entries that are none count
                     // as absent
    Value tools;     // list of dicts, or undefined or none
    bool add_generation_prompt = true;
    std::string bos_token;  // empty: the template sees no such variable
    std::string eos_token;
    Value extra;  // dict or undefined: further variables (enable_thinking, documents, ...); they
                  // win over the tokens
    std::optional<std::chrono::system_clock::time_point>
        now;  // for strftime_now, in local time; unset: the clock
  };
  /// The prompt. Errors: invalid_argument with the template's own words when it refuses the
  /// conversation (raise_exception), or when it cannot work with it; unsafe when it passes a limit
  /// of base/limits.h.
  [[nodiscard]] Result<std::string> render(const Input& input) const;

  // What the template does with an input, found by rendering short conversations. Cost: a few
  // renders.
  /// Whether a system message reaches the prompt.
  [[nodiscard]] bool supports_system() const;
  /// Whether messages of that role are told otherwise than those of a made-up one.
  [[nodiscard]] bool knows_role(const std::string& role) const;
  /// Whether the names of offered tools reach the prompt.
  [[nodiscard]] bool supports_tools() const;
  /// Whether a variable turns thinking on and off.
  [[nodiscard]] bool supports_thinking_switch() const { return !thinking_variable().empty(); }
  /// The name of that variable ("enable_thinking", "thinking"), or "".
  [[nodiscard]] std::string thinking_variable() const;

 private:
  explicit ChatTemplate(std::shared_ptr<const jinja::Program> program)
      : program_(std::move(program)) {}
  std::shared_ptr<const jinja::Program> program_;
};

}  // namespace squish
