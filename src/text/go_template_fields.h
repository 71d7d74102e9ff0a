#pragma once
// What Go templates call the variables that Jinja templates know by other names.
#include <array>
#include <string_view>

namespace squish {

struct FieldName {
  std::string_view go;
  std::string_view jinja;
};
/// Fields of the whole input. In a template without .Messages the first three belong to a turn.
constexpr std::array kRootFields = {
    FieldName{"System", "go.system"},
    FieldName{"Prompt", "go.prompt"},
    FieldName{"Response", "''"},
    FieldName{"Messages", "messages"},
    FieldName{"Tools", "tools"},
    FieldName{"Suffix", "suffix"},
    FieldName{"Think", "enable_thinking"},
    FieldName{"ThinkLevel", "reasoning_effort"},
    FieldName{"IsThinkSet", "(enable_thinking is defined)"},
};
constexpr std::array kTurnFields = {
    FieldName{"System", "turn.system"},
    FieldName{"Prompt", "turn.prompt"},
    FieldName{"Response", "turn.response"},
};
/// Fields of messages, calls and tools.
constexpr std::array kInnerFields = {
    FieldName{"Role", "role"},
    FieldName{"Content", "content"},
    FieldName{"Thinking", "reasoning_content"},
    FieldName{"ToolCalls", "tool_calls"},
    FieldName{"ToolName", "name"},
    FieldName{"ToolCallID", "tool_call_id"},
    FieldName{"Images", "images"},
    FieldName{"ID", "id"},
    FieldName{"Type", "type"},
    FieldName{"Function", "function"},
    FieldName{"Name", "name"},
    FieldName{"Description", "description"},
    FieldName{"Arguments", "arguments"},
    FieldName{"Parameters", "parameters"},
    FieldName{"Properties", "properties"},
    FieldName{"Required", "required"},
    FieldName{"Enum", "enum"},
    FieldName{"Items", "items"},
};

}  // namespace squish
