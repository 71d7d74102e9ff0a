// Renders chat templates for tests: reads one JSON job a line on stdin, writes one JSON answer a
// line on stdout.
//   job     {"template_path": P} or {"template": T}; {"messages", "tools", "add_generation_prompt",
//   "bos_token",
//           "eos_token", "extra", "now": seconds since the epoch}
//   answer  {"ok": true, "text": ...} or {"ok": false, "error": ...}
#include <iostream>
#include <map>

#include "base/file.h"
#include "base/limits.h"
#include "text/chat_template.h"

namespace squish {
namespace {

std::string text_field(const Value& job, std::string_view name) {
  const Value* value = job.find(name);
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

Value field(const Value& job, std::string_view name) {
  const Value* value = job.find(name);
  return value != nullptr ? *value : Value();
}

class Renderer {
 public:
  Result<std::string> run(std::string_view line) {
    SQ_TRY(const Value job, parse_json(line));
    if (!job.is_dict()) return Error{ErrorCode::invalid_argument, "a job is a JSON object"};
    SQ_TRY(const ChatTemplate* chat_template, parsed(job));
    ChatTemplate::Input input;
    input.messages = field(job, "messages");
    input.tools = field(job, "tools");
    input.extra = field(job, "extra");
    input.bos_token = text_field(job, "bos_token");
    input.eos_token = text_field(job, "eos_token");
    const Value prompt = field(job, "add_generation_prompt");
    input.add_generation_prompt = prompt.is_bool() && prompt.as_bool();
    if (const Value now = field(job, "now"); now.is_integer()) {
      input.now = std::chrono::system_clock::time_point(std::chrono::seconds(now.as_integer()));
    }
    return chat_template->render(input);
  }

 private:
  Result<const ChatTemplate*> parsed(const Value& job) {
    const std::string path = text_field(job, "template_path");
    std::string source = text_field(job, "template");
    const std::string key = path.empty() ? source : path;
    if (const auto found = templates_.find(key); found != templates_.end()) return &found->second;
    if (!path.empty()) {
      SQ_TRY(source, read_file(path, limits::kTemplateBytesMax));
    }
    SQ_TRY(ChatTemplate chat_template, ChatTemplate::parse(source));
    return &templates_.emplace(key, std::move(chat_template)).first->second;
  }

  std::map<std::string, ChatTemplate> templates_;
};

}  // namespace
}  // namespace squish

int main() {
  squish::Renderer renderer;
  std::string line;
  while (std::getline(std::cin, line)) {
    const squish::Result<std::string> text = renderer.run(line);
    squish::Value answer = squish::Value::dict({{"ok", text.has_value()}});
    answer.set(text ? "text" : "error", text ? text.value() : text.error().message);
    const squish::Result<std::string> json = squish::to_json(answer);
    std::cout << (json ? json.value() : R"({"ok": false, "error": "the answer is too large"})")
              << '\n';
  }
  return 0;
}
