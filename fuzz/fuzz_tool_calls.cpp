// What a model says is foreign: any text, in any pieces, gives text and calls whose arguments are
// JSON objects when the calls are complete. The first byte says how large the pieces are and how
// the calls are wanted.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "chat/tool_calls.h"

namespace {

std::shared_ptr<const squish::ToolSet> make_tools() {
  using squish::Value;
  const Value city = Value::dict({{"type", "string"}});
  const Value parameters = Value::dict({{"type", "object"},
                                        {"properties", Value::dict({{"city", city}})},
                                        {"required", Value::list({"city"})}});
  Value list = Value::list();
  for (const char* name : {"get_weather", "now"}) {
    const Value function = Value::dict({{"name", name}, {"parameters", parameters}});
    list.push_back(Value::dict({{"type", "function"}, {"function", function}}));
  }
  return std::make_shared<const squish::ToolSet>(list);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::shared_ptr<const squish::ToolSet> tools = make_tools();
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const bool streams = (data[0] & 0x80) != 0;
  const size_t piece_bytes = (data[0] & 0x3F) + 1;
  squish::ToolCallSplitter splitter(
      tools, {.streams_arguments = streams, .is_single = (data[0] & 0x40) != 0});
  std::vector<squish::ToolCallText> calls;
  size_t text_bytes = 0;
  const auto take = [&](const squish::ToolCallSplitter::Output& output) {
    squish::add_pieces(calls, output.calls, text_bytes);
    text_bytes += output.text.size();
  };
  for (size_t i = 0; i < text.size(); i += piece_bytes)
    take(splitter.push(text.substr(i, piece_bytes)));
  take(splitter.flush());
  if (text_bytes > text.size() || (calls.empty() && text_bytes != text.size())) std::abort();
  for (const squish::ToolCallText& call : calls) {
    if (call.id.empty() || tools->find(call.name) == nullptr) std::abort();
    if (call.text_before > text_bytes) std::abort();
    if (streams || !call.is_complete) continue;
    const auto arguments = squish::parse_json(call.arguments);
    if (!arguments || !arguments->is_dict()) std::abort();
  }
  return 0;
}
