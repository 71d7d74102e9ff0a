#include "chat/model_settings.h"

#include <utility>

#include "hub/created_model.h"
#include "text/go_template.h"

namespace squish {

bool was_created(const hub::LocalModel& local) {
  return local.source.starts_with(hub::kCreatedSource);
}

Result<hub::ModelSettings> read_model_settings(const hub::LocalModel& local) {
  if (!was_created(local)) return hub::ModelSettings();
  SQ_TRY(hub::CreatedModel created, hub::read_created(local.directory));
  return std::move(created.settings);
}

Result<ChatTemplate> parse_any_template(std::string_view source) {
  if (!is_go_template(source)) return ChatTemplate::parse(source);
  SQ_TRY(const std::string jinja, go_template_to_jinja(source));
  return ChatTemplate::parse(jinja);
}

Status apply_model_settings(const hub::ModelSettings& settings, ChatRequest& request) {
  if (!settings.chat_template.empty() && !request.chat_template.has_value()) {
    SQ_TRY(request.chat_template, parse_any_template(settings.chat_template));
  }
  std::vector<ChatMessage> messages;
  const bool has_system = !request.messages.empty() && request.messages.front().role == "system";
  if (has_system) {
    messages.push_back(std::move(request.messages.front()));
    request.messages.erase(request.messages.begin());
  } else if (!settings.system.empty()) {
    messages.push_back({.role = "system", .content = settings.system});
  }
  for (const auto& [role, content] : settings.messages)
    messages.push_back({.role = role, .content = content});
  for (ChatMessage& message : request.messages) messages.push_back(std::move(message));
  request.messages = std::move(messages);
  return {};
}

}  // namespace squish
