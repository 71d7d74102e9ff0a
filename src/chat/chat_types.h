#pragma once
// A conversation and its answer, in words of our own: every API dialect is translated to and from
// these.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "chat/tool_calls.h"
#include "engine/request.h"
#include "engine/sampling_params.h"
#include "grammar/grammar.h"
#include "text/chat_template.h"
#include "text/jinja_value.h"

namespace squish {

struct ChatToolCall {
  std::string id = {};
  std::string name = {};
  Value arguments = {};  // a dict, or text that is not one
};

struct ChatMessage {
  std::string role = {};  // "system", "user", "assistant", "tool", or whatever the template knows
  std::string content = {};
  std::string reasoning = {};  // of an assistant: its thinking, for templates that show it again
  std::vector<ChatToolCall> tool_calls = {};
  std::string tool_call_id = {};  // of a tool's result
  std::string name = {};
  std::string where = {};  // "messages[3]": its name for who gave it, in errors; empty: nobody did
};

/// What sampling and stopping need, the same for both kinds of request.
struct AnswerOptions {
  SamplingParams sampling = {};
  std::vector<std::string> stops = {};  // at most limits::kStopStringsMax
  /// What the answer must look like; after the thought of a model that thinks.
  std::optional<GrammarSource> constraint = {};
  /// See Request::prompt_logprobs: told with the first piece. The last has the end token, too.
  std::optional<PromptLogprobsWish> prompt_logprobs = {};
  /// Most tokens of the thought before the answer; then it is closed and the answer goes on.
  std::optional<int32_t> thinking_budget = {};
  std::string client = {};              // see Request::client
  std::function<void()> on_event = {};  // see Request::on_event; ChatStream::next() has news
  std::shared_ptr<const ToolSet> tools =
      {};  // whose calls are looked for; null: the answer is text
  ToolCallOptions tool_calls = {};
};

struct ChatRequest {
  std::vector<ChatMessage> messages = {};
  Value tools = {};  // list of dicts, as the template wants them; undefined: none
  /// Further variables of the template, e.g. {"enable_thinking", false}.
  std::vector<std::pair<std::string, Value>> template_arguments = {};
  /// Thinking on or off where the template has a switch for it, by whatever name.
  std::optional<bool> think = {};
  bool add_generation_prompt = true;
  /// Whether the last message, if it is the assistant's text, is the beginning of the answer, which
  /// then goes on from there. Unset: where nothing constrains the answer and the template shows it.
  std::optional<bool> continues_last = {};
  std::optional<ChatTemplate> chat_template = {};  // instead of the model's own
  AnswerOptions options = {};
};

struct CompletionRequest {
  std::string prompt = {};
  AnswerOptions options = {};
};

/// A prompt that is ready for the engine.
struct PreparedPrompt {
  std::string text = {};
  std::vector<TokenId> tokens = {};
  bool starts_thinking = false;                 // the template has opened <think> already
  bool may_think = false;                       // the model may begin with a thought of its own
  std::shared_ptr<const Grammar> grammar = {};  // of AnswerOptions::constraint
};

/// A piece of an answer. Either text is empty or both are; the last piece has `finish`.
struct ChatDelta {
  std::string text = {};
  std::string reasoning = {};  // between <think> and </think>
  bool is_thought = false;     // the model is still thinking after this piece
  std::vector<ToolCallPiece> tool_calls = {};
  std::vector<TokenEvent> tokens =
      {};  // those that this piece was made of, without terminal events
  std::vector<ScoredToken> prompt = {};  // of the first piece, with AnswerOptions::prompt_logprobs
  std::optional<FinishReason> finish = {};
  std::optional<size_t> stop_index =
      {};                           // with FinishReason::stop: which stop string ended the answer
  std::optional<Error> error = {};  // with FinishReason::error
};

}  // namespace squish
