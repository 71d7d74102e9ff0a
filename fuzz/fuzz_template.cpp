// Chat templates are untrusted: any text must parse or be refused, and render within its limits.
// The limits here are small, so that a sanitized build tries many inputs a second; their full size
// is tested in src/text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"

namespace {

squish::Value make_variables() {
  using squish::Value;
  const Value arguments =
      Value::dict({{"city", "Zürich"}, {"days", 3}, {"ratio", 0.5}, {"none", nullptr}});
  const Value function = Value::dict({{"name", "get_weather"}, {"arguments", arguments}});
  const Value call = Value::dict({{"id", "call_1"}, {"type", "function"}, {"function", function}});
  const Value part = Value::dict({{"type", "text"}, {"text", "hello\nworld"}});
  const Value messages = Value::list({
      Value::dict({{"role", "system"}, {"content", "Be <brief> & \"kind\"."}}),
      Value::dict({{"role", "user"}, {"content", Value::list({part})}}),
      Value::dict(
          {{"role", "assistant"}, {"content", "a</think>b"}, {"tool_calls", Value::list({call})}}),
      Value::dict({{"role", "tool"}, {"content", "21.5"}}),
  });
  return Value::dict(
      {{"messages", messages},
       {"tools", Value::list({Value::dict({{"type", "function"}, {"function", function}})})},
       {"add_generation_prompt", true},
       {"bos_token", "<s>"},
       {"s", "Grüße, 你好 👩‍👩"},
       {"n", 7},
       {"f", 2.5},
       {"l", Value::list({3, 1, 2})}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const squish::Value variables = make_variables();
  const auto program =
      squish::jinja::parse_template(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!program) return 0;
  squish::jinja::RenderInput input;
  input.variables = &variables.dict_object();
  input.now = std::chrono::system_clock::time_point(std::chrono::seconds(1783152309));
  input.limits.steps_max = 200'000;
  input.limits.output_bytes_max = squish::limits::kMiB;
  input.limits.memory_bytes_max = 8 * squish::limits::kMiB;
  static_cast<void>(squish::jinja::render(program.value(), input).has_value());
  return 0;
}
