#include "text/chat_template.h"

#include <fmt/format.h>

#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"

namespace squish {
namespace {

Error input_error(std::string_view what) {
  return {ErrorCode::invalid_argument, fmt::format("chat template: {}", what)};
}

/// The message as templates expect it: entries that are none dropped, and what the model thought
/// under the names that templates read, whichever of them the caller used.
Value normalized_message(const Value& message) {
  std::vector<std::pair<std::string, Value>> entries;
  const Value* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const Value* found = message.find(name);
    if (reasoning == nullptr && found != nullptr && !found->is_none()) reasoning = found;
  }
  if (reasoning != nullptr) entries.emplace_back("thinking", *reasoning);
  for (const Value::Entry& entry : message.entries()) {
    if (entry.value.is_none() || !entry.key.is_string()) continue;
    entries.emplace_back(entry.key.as_string(), entry.value);
  }
  if (reasoning != nullptr) entries.emplace_back("reasoning_content", *reasoning);
  return Value::dict(std::move(entries));
}

Result<Value> normalized_messages(const Value& messages) {
  if (!messages.is_list()) return input_error("messages is not a list");
  if (messages.size() == 0) return input_error("messages is empty; provide at least one message");
  Value::List out;
  for (const Value& message : messages.items()) {
    if (!message.is_dict())
      return input_error(fmt::format("message {} is not an object", out.size()));
    out.push_back(normalized_message(message));
  }
  return Value::list(std::move(out));
}

/// `value` if it is a list of dicts; none if it is absent.
Result<Value> dict_list(const Value& value, std::string_view name) {
  if (value.is_undefined() || value.is_none()) return Value::none();
  if (!value.is_list()) return input_error(fmt::format("{} is not a list", name));
  for (const Value& item : value.items()) {
    if (!item.is_dict()) return input_error(fmt::format("an element of {} is not an object", name));
  }
  return value;
}

Result<Value> variables_of(const ChatTemplate::Input& input) {
  Value variables = Value::dict();
  if (!input.bos_token.empty()) variables.set("bos_token", input.bos_token);
  if (!input.eos_token.empty()) variables.set("eos_token", input.eos_token);
  SQ_TRY(Value messages, normalized_messages(input.messages));
  SQ_TRY(Value tools, dict_list(input.tools, "tools"));
  variables.set("documents", Value::none());
  if (input.extra.is_dict()) {
    for (const Value::Entry& entry : input.extra.entries()) {
      if (!entry.key.is_string()) return input_error("a template argument has no name");
      const std::string& name = entry.key.as_string();
      if (name == "messages" || name == "tools" || name == "add_generation_prompt") {
        return input_error(fmt::format("'{}' cannot be set as a template argument", name));
      }
      if (name == "documents") {
        SQ_TRY(Value documents, dict_list(entry.value, "documents"));
        variables.set(name, std::move(documents));
        continue;
      }
      variables.set(name, entry.value);
    }
  } else if (!input.extra.is_undefined() && !input.extra.is_none()) {
    return input_error("template arguments are not an object");
  }
  variables.set("messages", std::move(messages));
  variables.set("tools", std::move(tools));
  variables.set("add_generation_prompt", input.add_generation_prompt);
  return variables;
}

Value message(const char* role, const char* content) {
  return Value::dict({{"role", role}, {"content", content}});
}

}  // namespace

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  Result<jinja::Program> program = jinja::parse_template(source);
  if (!program) return program.error().at("chat template");
  return ChatTemplate(std::make_shared<const jinja::Program>(std::move(*program)));
}

Result<std::string> ChatTemplate::render(const Input& input) const {
  SQ_TRY(const Value variables, variables_of(input));
  jinja::RenderInput render_input;
  render_input.variables = &variables.dict_object();
  render_input.now = input.now.value_or(std::chrono::system_clock::now());
  return jinja::render(*program_, render_input).at("chat template");
}

bool ChatTemplate::supports_system() const {
  Input input;
  input.messages = Value::list({message("system", "squish-probe-7391"), message("user", "hi")});
  const Result<std::string> text = render(input);
  return text && text.value().find("squish-probe-7391") != std::string::npos;
}

bool ChatTemplate::knows_role(const std::string& role) const {
  constexpr const char* kMadeUp = "squish-role-7391";
  const auto rendered = [&](const char* name) -> std::optional<std::string> {
    Input input;
    input.messages = Value::list({message("user", "hi"), message(name, "squish-probe-7391")});
    Result<std::string> text = render(input);
    if (!text || text->find("squish-probe-7391") == std::string::npos) return std::nullopt;
    return std::move(*text);
  };
  const auto known = rendered(role.c_str());
  auto unknown = rendered(kMadeUp);
  if (!known || !unknown) return known.has_value();
  const std::string_view made_up = kMadeUp;
  for (size_t at = unknown->find(made_up); at != std::string::npos;
       at = unknown->find(made_up, at + role.size()))
    unknown->replace(at, made_up.size(), role);
  return *known != *unknown;
}

bool ChatTemplate::supports_tools() const {
  const Value parameter = Value::dict({{"type", "string"}, {"description", "a city"}});
  const Value parameters = Value::dict({{"type", "object"},
                                        {"properties", Value::dict({{"city", parameter}})},
                                        {"required", Value::list({"city"})}});
  const Value function = Value::dict({{"name", "squish_probe_7391"},
                                      {"description", "tells the weather"},
                                      {"parameters", parameters}});
  Input input;
  input.messages = Value::list({message("user", "hi")});
  input.tools = Value::list({Value::dict({{"type", "function"}, {"function", function}})});
  const Result<std::string> text = render(input);
  return text && text.value().find("squish_probe_7391") != std::string::npos;
}

std::string ChatTemplate::thinking_variable() const {
  for (const char* name : {"enable_thinking", "thinking"}) {
    Input input;
    input.messages = Value::list({message("user", "hi")});
    input.extra = Value::dict({{name, true}});
    const Result<std::string> on = render(input);
    input.extra = Value::dict({{name, false}});
    const Result<std::string> off = render(input);
    if (on && off && on.value() != off.value()) return name;
  }
  return {};
}

}  // namespace squish
