#pragma once
// /v1/completions: prompts as text or tokens, infilling, echo, and its own form of log
// probabilities.
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "chat/chat_service.h"
#include "server/answers.h"
#include "server/api_error.h"
#include "server/fields.h"
#include "server/openai_chat.h"

namespace squish::server {

/// One prompt: text, or tokens that are ready.
struct CompletionPrompt {
  std::string text = {};
  std::vector<TokenId> tokens = {};
  bool is_tokens = false;
};

struct CompletionCall {
  std::string model;
  std::vector<CompletionPrompt> prompts;
  std::string suffix;
  bool has_suffix = false;
  AnswerOptions options;
  size_t answer_count = 1;  // per prompt, what is returned
  size_t best_of = 1;       // per prompt, what is computed
  bool echo = false;
  bool wants_logprobs = false;  // in the answer; the engine may be asked for them besides
  bool is_stream = false;
  bool wants_usage = false;
};

/// `defaults`: sampling and stops where the body has none. Errors: 400 naming the field.
Parsed<CompletionCall> parse_completion_call(const Value& body, const AnswerOptions& defaults = {});
std::span<const Field> completion_fields();
std::span<const Field> tokenize_fields();
std::span<const Field> detokenize_fields();

/// A list of token ids. Errors: 400 for what is no id.
Parsed<std::vector<TokenId>> read_tokens(const Value& list, std::string_view name);
/// All prompts of the call. Worker thread: tokenizes.
Result<std::vector<PreparedPrompt>> prepare_completions(LoadedModel& model,
                                                        const CompletionCall& call);

/// With echo the text of each prompt, else nothing.
std::vector<std::string> echo_texts(const Tokenizer& tokenizer, const CompletionCall& call);

/// Borrows the tokenizer.
std::unique_ptr<AnswerWriter> make_completion_writer(AnswerHead head, const Tokenizer& tokenizer,
                                                     const CompletionCall& call);

}  // namespace squish::server
