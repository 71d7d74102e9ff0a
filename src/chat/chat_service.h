#pragma once
// Requests in our own words to answers in text: template, tokens, engine, and text again.
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/chat_types.h"
#include "chat/loaded_model.h"
#include "chat/reasoning.h"
#include "chat/token_stream.h"

namespace squish {

/// One answer as it comes. Dropping it cancels the request. One thread at a time; its LoadedModel
/// must outlive it.
class ChatStream {
 public:
  /// The next piece; waits at most `timeout`. Nothing on a time-out and after the last piece:
  /// finished() tells them apart. One piece per token, possibly without text while a character or
  /// stop string is incomplete; the last piece has no token. Never blocks with a `timeout` of 0.
  std::optional<ChatDelta> next(std::chrono::milliseconds timeout);
  /// The last piece has been returned.
  [[nodiscard]] bool finished() const { return finished_; }
  /// The answer ends within one step of the engine, with FinishReason::cancelled.
  void cancel() { handle_.cancel(); }
  /// Must not be called before finished().
  [[nodiscard]] RequestStats stats() const;

 private:
  friend class ChatService;
  ChatStream(RequestHandle handle, TokenStream text, bool starts_thinking,
             const AnswerOptions& options);
  void add_text(ChatDelta& delta, std::string_view text);
  void add_answer(ChatDelta& delta, std::string_view text);
  static void add_parts(ChatDelta& delta, ToolCallSplitter::Output parts);
  [[nodiscard]] bool has_all_calls() const { return calls_.has_value() && calls_->is_done(); }
  void end(ChatDelta& delta);
  /// The answer is over before the engine knows.
  [[nodiscard]] bool is_cut() const { return text_.matched().has_value() || has_all_calls(); }

  RequestHandle handle_;
  TokenStream text_;
  ReasoningSplitter reasoning_;
  std::optional<ToolCallSplitter> calls_;  // when tools are offered
  bool tells_end_ = false;                 // the end token is among the last piece's tokens
  int32_t token_count_ = 0;                // given out
  bool finished_ = false;
};

/// A thin layer without state over one LoadedModel, which must outlive it. Any thread.
class ChatService {
 public:
  explicit ChatService(LoadedModel& model) : model_(model) {}

  /// Renders the template and encodes it. Errors: unsupported when the model has no template (with
  /// the way out); what the template says; refused for text over limits::kPromptBytesMax.
  [[nodiscard]] Result<PreparedPrompt> prepare(const ChatRequest& request) const;
  /// Encodes plain text.
  [[nodiscard]] Result<PreparedPrompt> prepare(const CompletionRequest& request) const;

  /// Compiles AnswerOptions::constraint, or finds it among those used last. prepare() does it; who
  /// makes a prompt by other means does. Blocks for up to GrammarLimits::compile_time. Errors:
  /// those of GrammarCompiler::compile.
  Status add_grammar(const AnswerOptions& options, PreparedPrompt& prompt) const;

  /// Errors: as Engine::submit; invalid_argument for stop strings.
  [[nodiscard]] Result<ChatStream> start(PreparedPrompt prompt, const AnswerOptions& options) const;

  /// prepare() and start().
  [[nodiscard]] Result<ChatStream> chat(const ChatRequest& request) const;
  [[nodiscard]] Result<ChatStream> complete(const CompletionRequest& request) const;

 private:
  Result<bool> render_prompt(const ChatRequest& request, const ChatTemplate& chat_template,
                             const ChatTemplate::Input& input, PreparedPrompt& prompt) const;
  [[nodiscard]] std::vector<TokenId> encode_rendered(const std::string& text) const;
  LoadedModel& model_;
};

}  // namespace squish
