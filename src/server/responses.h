#pragma once
// /v1/responses: its items to a ChatRequest, and answers to its objects and events.
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "chat/chat_types.h"
#include "server/answers.h"
#include "server/api_error.h"
#include "server/fields.h"
#include "server/response_store.h"

namespace squish::server {

/// What the content of a compaction item begins with; its summary follows.
inline constexpr std::string_view kSummaryMark = "squish-summary:";

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

/// usage{...} as responses write it.
std::string responses_usage_json(const Usage& usage);
/// JSON of a list's items, in brackets.
std::string list_json(const Value& items);

class ResponsesWriter : public AnswerWriter {
 public:
  [[nodiscard]] virtual const std::string& id() const = 0;
  /// The response while it has no output: "queued", "in_progress", "cancelled", or "failed" with
  /// what went wrong.
  [[nodiscard]] virtual std::string unfinished(std::string_view status,
                                               const ApiError* error = nullptr) const = 0;
  /// Keeps it as it is then.
  virtual void keep_unfinished(std::string_view status, const ApiError* error) const = 0;
};

/// Writes the response and its events. `store` is called with what is to be kept, once, before the
/// client hears the end.
std::unique_ptr<ResponsesWriter> make_responses_writer(
    std::string model, const ResponsesCall& call, std::function<void(const StoredResponse&)> store);

}  // namespace squish::server
