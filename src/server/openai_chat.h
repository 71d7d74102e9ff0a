#pragma once
// /v1/chat/completions: its body to a ChatRequest, and answers to its objects and chunks.
#include <memory>
#include <string>
#include <vector>

#include "chat/chat_types.h"
#include "server/answers.h"
#include "server/api_error.h"
#include "server/fields.h"
#include "server/json_writer.h"

namespace squish::server {

struct ChatCall {
  std::string model;
  ChatRequest request;
  size_t answer_count = 1;
  bool is_stream = false;
  bool wants_usage = false;
  bool uses_functions = false;  // the older form of tools: one call, as function_call
};

/// `defaults`: sampling and stops where the body has none. Errors: 400 naming the field. Unknown
/// fields are let pass.
Parsed<ChatCall> parse_chat_call(const Value& body, const AnswerOptions& defaults = {});
/// For the documentation: fields of this route beside the sampling table.
std::span<const Field> chat_fields();

/// What all chunks and bodies of one answer say alike.
struct AnswerHead {
  std::string id;         // "chatcmpl-0123456789ab"
  int64_t created_s = 0;  // since 1970
  std::string model;
  std::string fingerprint;  // "sq-01234567"
};
/// `prefix` is "chatcmpl-" or "cmpl-".
AnswerHead make_answer_head(std::string_view prefix, const ModelLease& lease);

/// Begins an object with it, which stays open.
void open_answer(std::string& out, const AnswerHead& head, std::string_view object);
/// The end of a stream: with the usage, if that is wanted, in a last chunk.
std::string end_of_stream(const AnswerHead& head, std::string_view object, bool wants_usage,
                          std::span<const Answer> answers);
/// The line behind the last chunk.
inline constexpr std::string_view kStreamDone = "data: [DONE]\n\n";

/// Writes the chat answers. Borrows the tokenizer.
std::unique_ptr<AnswerWriter> make_chat_writer(AnswerHead head, const Tokenizer& tokenizer,
                                               const ChatCall& call);

/// stream_options.include_usage; 400 for options without a stream that are not null.
Parsed<bool> read_include_usage(const Value& body);
/// usage{...} as both OpenAI routes write it.
std::string usage_json(const Usage& usage);
/// A token of an answer as OpenAI's routes write it: {"token","logprob","bytes","top_logprobs"}.
void write_logprob(JsonWriter& json, const Tokenizer& tokenizer, const TokenEvent& token);
/// "stop", "length" ... for the wire.
std::string_view openai_finish_reason(FinishReason reason);

}  // namespace squish::server
