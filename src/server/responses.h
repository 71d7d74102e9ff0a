#pragma once
// /v1/responses: its items to a ChatRequest, and answers to its objects and events.
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "chat/chat_types.h"
#include "chat/loaded_model.h"
#include "server/answers.h"
#include "server/api_error.h"
#include "server/fields.h"
#include "server/response_store.h"

namespace squish::server {

/// An error of the store, in the words of this route.
ApiError responses_error(const Error& error);

struct ResponsesCall {
  std::string model;
  ChatRequest request;
  Value input_items = {};   // of this request
  Value conversation = {};  // with what came before it
  std::string previous_id;
  std::string conversation_id;  // of a stored conversation that the response goes into
  std::string echo;             // the fields that the response repeats: "name":value,...
  bool is_stream = false;
  bool is_stored = true;
  bool is_background = false;
  bool wants_logprobs = false;  // of the text's tokens
  bool wants_thought = false;   // encrypted_content of reasoning items
  bool may_truncate = false;    // leave out old messages rather than refuse a long conversation
  size_t newest_messages = 0;   // at the end of the request: of its own input; 0: all are
};

/// `defaults`: sampling and stops to begin with. `before` are the items of the conversation that
/// previous_response_id continues, a list. Errors: 400 naming the field.
Parsed<ResponsesCall> parse_responses_call(const Value& body, const Value& before,
                                           const AnswerOptions& defaults = {});
std::span<const Field> responses_fields();
/// The same with what previous_response_id or `conversation` name in `store`. Worker thread.
/// Errors: 404 for what is not there.
Parsed<ResponsesCall> read_responses_call(ResponseStore& store, const Value& body,
                                          const AnswerOptions& defaults);
/// The id in `conversation`, which is text or an object; empty: none. Errors: 400.
Parsed<std::string> read_conversation_id(const Value& body);

/// The prompt of the call; what truncation leaves out is missing in it. `context_tokens`: the
/// model's own bound, 0: the engine's alone. Worker thread. Errors: those of ChatService::prepare;
/// refused when not even instructions and newest input fit.
Result<std::vector<PreparedPrompt>> prepare_responses_prompt(LoadedModel& model,
                                                             const ResponsesCall& call,
                                                             int64_t context_tokens);
/// What truncation may leave out of `messages`, in the order in which it goes: groups of indices.
/// System messages, the last message of the user and the last `newest` messages stay; a call and
/// its results go together; of older turns the user's message goes with the last of its answers,
/// because many templates want users and assistants by turns.
std::vector<std::vector<size_t>> truncation_steps(std::span<const ChatMessage> messages,
                                                  size_t newest);

/// usage{...} as responses write it.
std::string responses_usage_json(const Usage& usage);
/// JSON of a list's items, in brackets.
std::string list_json(const Value& items);
std::string object_json(const Value& object);
/// Two lists as JSON, one behind the other.
std::string joined_lists(std::string first, std::string_view second);

class ResponsesWriter : public AnswerWriter {
 public:
  [[nodiscard]] virtual const std::string& id() const = 0;
  /// The items of the request as they are kept.
  [[nodiscard]] virtual const Value& input() const = 0;
  /// The response while it has no output: "queued", "in_progress", "cancelled", or "failed" with
  /// what went wrong.
  [[nodiscard]] virtual std::string unfinished(std::string_view status,
                                               const ApiError* error = nullptr) const = 0;
  /// The first events of a stream in the background.
  virtual std::string queued_events() = 0;
  /// An error that comes now is the client's wish.
  virtual void set_cancelled() = 0;
  /// Keeps it as it is then.
  virtual void keep_unfinished(std::string_view status, const ApiError* error) = 0;
};

/// Keeps a response. `added` is what it adds to its conversation, as a JSON list.
using KeepResponse = std::function<void(const StoredResponse& response, const std::string& added)>;

/// Writes the response and its events. `keep` is called once, before the client hears the end.
/// Borrows the tokenizer until the answer has ended.
std::unique_ptr<ResponsesWriter> make_responses_writer(std::string model,
                                                       const Tokenizer& tokenizer,
                                                       const ResponsesCall& call,
                                                       KeepResponse keep);

}  // namespace squish::server
