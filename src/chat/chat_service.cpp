#include "chat/chat_service.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "chat/thought_budget.h"
#include "chat/tool_prompt.h"

namespace squish {
namespace {

Value to_value(const ChatToolCall& call) {
  return Value::dict(
      {{"id", call.id},
       {"type", "function"},
       {"function", Value::dict({{"name", call.name}, {"arguments", call.arguments}})}});
}

Value to_value(const ChatMessage& message) {
  Value out = Value::dict({{"role", message.role}, {"content", message.content}});
  if (!message.reasoning.empty()) out.set("reasoning_content", message.reasoning);
  if (!message.name.empty()) out.set("name", message.name);
  if (!message.tool_call_id.empty()) out.set("tool_call_id", message.tool_call_id);
  if (!message.tool_calls.empty()) {
    Value::List calls;
    for (const ChatToolCall& call : message.tool_calls) calls.push_back(to_value(call));
    out.set("tool_calls", Value::list(std::move(calls)));
  }
  return out;
}

Value message_list(const std::vector<ChatMessage>& messages) {
  Value::List out;
  for (const ChatMessage& message : messages) out.push_back(to_value(message));
  return Value::list(std::move(out));
}

Status check_prompt_bytes(size_t bytes) {
  if (bytes <= limits::kPromptBytesMax) return {};
  return Error{ErrorCode::refused,
               fmt::format("the prompt has {}, the limit is {}; shorten it", human_bytes(bytes),
                           human_bytes(limits::kPromptBytesMax))};
}

/// Stands behind the text that is to be continued, to find its end in what the template makes of
/// it.
constexpr std::string_view kEndMark = "\uE000squish-end\uE001";

bool may_continue_last(const ChatRequest& request) {
  if (!request.continues_last.value_or(!request.options.constraint.has_value())) return false;
  if (request.messages.empty()) return false;
  const ChatMessage& last = request.messages.back();
  return last.role == "assistant" && last.tool_calls.empty() && !last.content.empty();
}

/// The prompt up to the end of the last message. Nothing when the template does not show it.
Result<std::optional<std::string>> render_open(const ChatTemplate& chat_template,
                                               ChatTemplate::Input input) {
  Value::List messages = input.messages.items();
  const Value* content = messages.back().find("content");
  messages.back().set("content", content->as_string() + std::string(kEndMark));
  input.messages = Value::list(std::move(messages));
  input.add_generation_prompt = false;
  SQ_TRY(std::string text, chat_template.render(input));
  const size_t end = text.rfind(kEndMark);
  if (end == std::string::npos) return std::optional<std::string>();
  text.resize(end);
  return std::optional<std::string>(std::move(text));
}

/// A thought has begun in `text` and not ended.
bool is_in_thought(std::string_view text) {
  const size_t begin = text.rfind("<think>");
  return begin != std::string_view::npos && text.find("</think>", begin) == std::string_view::npos;
}

Error no_template(const std::string& path) {
  return Error{
      ErrorCode::unsupported,
      fmt::format(
          "{} has no chat template (a base model): it continues text, it does not converse; use "
          "`squish run --no-template` with the beginning of a text",
          path)};
}

}  // namespace

ChatStream::ChatStream(RequestHandle handle, TokenStream text, bool starts_thinking,
                       const AnswerOptions& options)
    : handle_(std::move(handle)),
      text_(std::move(text)),
      reasoning_(starts_thinking),
      tells_end_(options.prompt_logprobs.has_value()) {
  if (options.tools && !options.tools->empty()) calls_.emplace(options.tools, options.tool_calls);
}

/// What the model says after its thinking.
void ChatStream::add_answer(ChatDelta& delta, std::string_view text) {
  if (!calls_.has_value()) {
    delta.text += text;
    return;
  }
  add_parts(delta, calls_->push(text));
}

void ChatStream::add_parts(ChatDelta& delta, ToolCallSplitter::Output parts) {
  append_pieces(delta.tool_calls, std::move(parts.calls), delta.text.size());
  delta.text += parts.text;
}

void ChatStream::add_text(ChatDelta& delta, std::string_view text) {
  if (text.empty()) return;
  ReasoningSplitter::Output parts = reasoning_.push(text);
  delta.reasoning += parts.reasoning;
  add_answer(delta, parts.text);
}

RequestStats ChatStream::stats() const {
  RequestStats out = handle_.stats();
  // What the engine had computed when the stop came to it is nobody's: it depends on its steps.
  if (is_cut()) out.generated_tokens = token_count_;
  return out;
}

void ChatStream::end(ChatDelta& delta) {
  ReasoningSplitter::Output parts = reasoning_.flush();
  delta.reasoning += parts.reasoning;
  add_answer(delta, parts.text);
  if (calls_.has_value()) {
    // A text that was to be the end of the answer is no accident that a call has to survive.
    add_parts(delta, calls_->flush(!text_.matched().has_value()));
  }
  finished_ = true;
}

std::optional<ChatDelta> ChatStream::next(std::chrono::milliseconds timeout) {
  if (finished_) return std::nullopt;
  auto event = handle_.next(timeout);
  // After a stop string the engine may have computed one more token: it is not shown.
  while (event && is_cut() && !event->is_terminal()) event = handle_.try_next();
  if (!event) return std::nullopt;
  ChatDelta delta;
  delta.prompt = handle_.take_prompt_logprobs();
  if (event->is_terminal()) {
    add_text(delta, text_.flush());
    delta.stop_index = text_.matched();
    const bool has_ended = is_cut();
    delta.finish = has_ended ? FinishReason::stop : event->finish;
    if (!has_ended) delta.error = event->error;
    if (tells_end_ && !has_ended && event->token >= 0) delta.tokens.push_back(*event);
    end(delta);
    return delta;
  }
  ++token_count_;
  const TokenStream::Output output = text_.push(event->token);
  add_text(delta, output.text);
  delta.tokens.push_back(std::move(*event));
  // Its end comes with the engine's: nobody waits for that in here.
  if (output.stopped || has_all_calls()) handle_.cancel();
  delta.is_thought = reasoning_.is_thinking();
  return delta;
}

/// The template writes the special tokens as text, the first of them (bos) often too. Models that
/// ask for one where the template has none get it; never two.
std::vector<TokenId> ChatService::encode_rendered(const std::string& text) const {
  const Tokenizer& tokenizer = model_.tokenizer();
  std::vector<TokenId> tokens =
      tokenizer.encode(text, {.add_special = false, .parse_special = true});
  const std::vector<TokenId> around_nothing =
      tokenizer.encode("", {.add_special = true, .parse_special = false});
  const auto bos = tokenizer.bos();
  const bool wants_bos = bos && !around_nothing.empty() && around_nothing.front() == *bos;
  if (wants_bos && (tokens.empty() || tokens.front() != *bos)) tokens.insert(tokens.begin(), *bos);
  return tokens;
}

Result<PreparedPrompt> ChatService::prepare(const ChatRequest& request) const {
  SQ_TRY(const ChatTemplate* const own_template, model_.chat_template());
  const ChatTemplate* const chat_template =
      request.chat_template ? &*request.chat_template : own_template;
  if (chat_template == nullptr) return no_template(model_.files().path);
  ChatTemplate::Input input;
  // A template that ignores tools would leave the model without a word about them.
  const bool has_tools = request.tools.is_list() && request.tools.size() > 0;
  const bool tells_tools = has_tools && !chat_template->supports_tools();
  input.messages = message_list(tells_tools ? with_tools_in_words(request.messages, request.tools)
                                            : request.messages);
  if (!tells_tools) input.tools = request.tools;
  input.add_generation_prompt = request.add_generation_prompt;
  input.bos_token = model_.tokenizer().bos_text();
  input.eos_token = model_.tokenizer().eos_text();
  input.extra = Value::dict();
  for (const auto& [name, value] : request.template_arguments) input.extra.set(name, value);
  if (request.think) {
    const std::string variable = chat_template->thinking_variable();
    if (variable.empty()) {
      return Error{
          ErrorCode::invalid_argument,
          fmt::format(
              "{}: its chat template has no switch for thinking; leave out --think and --no-think",
              model_.files().path)};
    }
    input.extra.set(variable, *request.think);
  }
  PreparedPrompt prompt;
  SQ_TRY(const bool goes_on, render_prompt(request, *chat_template, input, prompt));
  SQ_TRY_STATUS(check_prompt_bytes(prompt.text.size()));
  prompt.tokens = encode_rendered(prompt.text);
  if (goes_on) {
    prompt.starts_thinking = is_in_thought(request.messages.back().content);
  } else {
    prompt.starts_thinking = trim(prompt.text).ends_with("<think>");
    prompt.may_think = request.think.value_or(true) && !trim(prompt.text).ends_with("</think>");
  }
  SQ_TRY_STATUS(add_grammar(request.options, prompt));
  return prompt;
}

/// Writes prompt.text. True when it ends within the answer, which the last message begins.
Result<bool> ChatService::render_prompt(const ChatRequest& request,
                                        const ChatTemplate& chat_template,
                                        const ChatTemplate::Input& input,
                                        PreparedPrompt& prompt) const {
  const std::string& path = model_.files().path;
  if (may_continue_last(request)) {
    SQ_TRY(std::optional<std::string> text, render_open(chat_template, input).at(path));
    if (text.has_value()) {
      prompt.text = std::move(*text);
      return true;
    }
    if (request.continues_last.value_or(false)) {
      return Error{ErrorCode::unsupported,
                   fmt::format("{}: its chat template does not show the last message as it is, so "
                               "that the answer cannot go on from it",
                               path)};
    }
  }
  SQ_TRY(prompt.text, chat_template.render(input).at(path));
  return false;
}

Result<PreparedPrompt> ChatService::prepare(const CompletionRequest& request) const {
  SQ_TRY_STATUS(check_prompt_bytes(request.prompt.size()));
  const Tokenizer& tokenizer = model_.tokenizer();
  PreparedPrompt prompt;
  prompt.text = request.prompt;
  prompt.tokens = tokenizer.encode(request.prompt, {.add_special = true, .parse_special = true});
  // An end token would end the text that is to be continued; a bos that was typed counts as the
  // model's own.
  if (prompt.tokens.size() > 1 && tokenizer.eos() && prompt.tokens.back() == *tokenizer.eos() &&
      !request.prompt.ends_with(tokenizer.eos_text())) {
    prompt.tokens.pop_back();
  }
  if (prompt.tokens.size() > 1 && tokenizer.bos() && prompt.tokens[0] == *tokenizer.bos() &&
      prompt.tokens[1] == prompt.tokens[0]) {
    prompt.tokens.erase(prompt.tokens.begin());
  }
  SQ_TRY_STATUS(add_grammar(request.options, prompt));
  return prompt;
}

Status ChatService::add_grammar(const AnswerOptions& options, PreparedPrompt& prompt) const {
  if (!options.constraint.has_value()) return {};
  auto grammar = model_.grammars().compile(*options.constraint);
  if (!grammar) return grammar.error().at("the grammar of the answer");
  prompt.grammar = std::move(*grammar);
  return {};
}

Result<ChatStream> ChatService::start(PreparedPrompt prompt, const AnswerOptions& options) const {
  SQ_TRY(TokenStream text, TokenStream::create(model_.tokenizer(), options.stops));
  if (options.tools && !options.tools->empty()) {
    for (const std::string_view marker : tool_call_marker_tokens()) text.show_special(marker);
  }
  Request request;
  request.tokens = std::move(prompt.tokens);
  request.sampling = options.sampling;
  const auto ends = model_.tokenizer().end_tokens();
  request.end_tokens.assign(ends.begin(), ends.end());
  request.client = options.client;
  request.prompt_logprobs = options.prompt_logprobs;
  request.on_event = options.on_event;
  if (prompt.grammar != nullptr) {
    const auto thought = prompt.starts_thinking ? Grammar::Thought::open
                         : prompt.may_think     ? Grammar::Thought::possible
                                                : Grammar::Thought::none;
    request.constraint = prompt.grammar->start(thought);
  }
  if (options.thinking_budget && (prompt.starts_thinking || prompt.may_think)) {
    request.constraint = std::make_unique<ThoughtBudget>(
        model_.tokenizer(), static_cast<size_t>(model_.config().vocabulary_size),
        *options.thinking_budget, prompt.starts_thinking, std::move(request.constraint));
  }
  SQ_TRY(RequestHandle handle, model_.engine().submit(std::move(request)));
  return ChatStream(std::move(handle), std::move(text), prompt.starts_thinking, options);
}

Result<ChatStream> ChatService::chat(const ChatRequest& request) const {
  SQ_TRY(PreparedPrompt prompt, prepare(request));
  return start(std::move(prompt), request.options);
}

Result<ChatStream> ChatService::complete(const CompletionRequest& request) const {
  SQ_TRY(PreparedPrompt prompt, prepare(request));
  return start(std::move(prompt), request.options);
}

}  // namespace squish
