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

struct ResponsesCall {
  std::string model;
  ChatRequest request;
  Value input_items = {};   // of this request
  Value conversation = {};  // with what came before it
  std::string previous_id;
  std::string echo;  // the fields that the response repeats: "name":value,...
  bool is_stream = false;
  bool is_stored = true;
};

/// `before` are the items of the conversation that previous_response_id continues, a list. Errors:
/// 400 naming the field.
Parsed<ResponsesCall> parse_responses_call(const Value& body, const Value& before);
std::span<const Field> responses_fields();

/// Writes the response and its events. `store` is called with what is to be kept, once, before the
/// client hears the end.
std::unique_ptr<AnswerWriter> make_responses_writer(
    std::string model, const ResponsesCall& call, std::function<void(const StoredResponse&)> store);

}  // namespace squish::server
