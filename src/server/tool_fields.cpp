#include "server/tool_fields.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "grammar/sources.h"
#include "server/fields.h"

namespace squish::server {
namespace {

/// The name in {"type":"function","function":{"name"}} or {"type":"function","name"}.
std::string function_name(const Value& object) {
  const Value* function = find_present(object, "function");
  return text_of(function != nullptr ? *function : object, "name");
}

bool is_strict_tool(const Value& tool) {
  const Value* function = find_present(tool, "function");
  const Value* strict = function == nullptr ? nullptr : find_present(*function, "strict");
  return strict != nullptr && strict->is_bool() && strict->as_bool();
}

ApiError bad_choice(std::string_view what) {
  return bad_field("tool_choice",
                   fmt::format("tool_choice {}; it must be \"none\", \"auto\", \"required\" or "
                               "{{\"type\": \"function\", \"function\": {{\"name\": ...}}}}",
                               what));
}

Checked keep_allowed(const Value& list, Value& tools) {
  Value kept = Value::list();
  for (const Value& tool : tools.is_list() ? tools.items() : Value::List()) {
    for (const Value& allowed : list.is_list() ? list.items() : Value::List()) {
      if (function_name(allowed) == function_name(tool)) {
        kept.push_back(tool);
        break;
      }
    }
  }
  if (kept.size() == 0) return bad_choice("allows no tool of tools");
  tools = std::move(kept);
  return Nothing{};
}

}  // namespace

Parsed<ToolChoice> read_tool_choice(const Value& body, Value& tools) {
  ToolChoice out;
  const auto parallel = read_boolean(body, "parallel_tool_calls", true);
  if (!parallel) return parallel.error();
  out.is_parallel = *parallel;
  const Value* choice = find_present(body, "tool_choice");
  if (choice == nullptr && find_present(body, "tools") == nullptr) {
    // The older form: "none", "auto" or {"name": ...} beside functions.
    choice = find_present(body, "function_call");
    if (choice != nullptr && choice->is_dict()) {
      out.kind = ToolChoice::Kind::named;
      out.name = text_of(*choice, "name");
      return out;
    }
  }
  if (choice == nullptr) return out;
  std::string word = choice->is_string() ? choice->as_string() : text_of(*choice, "type");
  if (word == "allowed_tools") {
    const Value* nested = find_present(*choice, "allowed_tools");
    const Value& source = nested != nullptr ? *nested : *choice;
    const Value* list = find_present(source, "tools");
    if (auto checked = keep_allowed(list != nullptr ? *list : Value(), tools); !checked)
      return checked.error();
    word = text_of(source, "mode");
  }
  if (word == "none") {
    out.kind = ToolChoice::Kind::none;
  } else if (word == "required") {
    out.kind = ToolChoice::Kind::required;
  } else if (word == "function") {
    out.kind = ToolChoice::Kind::named;
    out.name = function_name(*choice);
  } else if (word != "auto" && !word.empty()) {
    return bad_choice(fmt::format("is {}", printable(word)));
  } else if (word.empty()) {
    return bad_choice("has no type");
  }
  return out;
}

Checked use_tools(ChatRequest& request, const ToolChoice& choice, bool is_stream) {
  AnswerOptions& options = request.options;
  options.tools = nullptr;
  if (choice.kind == ToolChoice::Kind::none) {
    request.tools = Value();
    return Nothing{};
  }
  auto tools = std::make_shared<const ToolSet>(request.tools);
  const bool is_forced = choice.kind != ToolChoice::Kind::automatic;
  if (is_forced && tools->empty()) return bad_choice("needs tools");
  if (choice.kind == ToolChoice::Kind::named && tools->find(choice.name) == nullptr)
    return bad_choice(fmt::format("names {}, which tools does not have", printable(choice.name)));
  const bool is_strict =
      request.tools.is_list() && std::ranges::any_of(request.tools.items(), is_strict_tool);
  // With a format the answer is a call or has the format; where a call is a must it is that.
  if (is_forced || is_strict || (options.constraint.has_value() && !tools->empty())) {
    const std::optional<GrammarSource> text = std::move(options.constraint);
    ToolRule wanted{.parallel = choice.is_parallel};
    wanted.text = text ? &*text : nullptr;
    wanted.is_required = choice.kind == ToolChoice::Kind::required;
    wanted.name = choice.name;
    auto source = tool_source(request.tools, wanted);
    if (!source) return bad_field("tool_choice", "tool_choice: " + source.error().message);
    options.constraint = std::move(*source);
  }
  if (tools->empty()) return Nothing{};
  options.tools = std::move(tools);
  options.tool_calls = {.streams_arguments = is_stream, .is_single = !choice.is_parallel};
  return Nothing{};
}

}  // namespace squish::server
