#pragma once
// Bodies of Ollama's /api/generate and /api/chat, and its options.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "chat/chat_types.h"
#include "chat/keep_alive.h"
#include "hub/modelfile.h"
#include "server/api_error.h"
#include "server/fields.h"

namespace squish::server {

/// `options` after everything below them: Ollama's defaults, then the model's PARAMETERs.
struct OllamaOptions {
  SamplingParams sampling;
  std::vector<std::string> stops;
  int64_t context_tokens = 0;  // num_ctx; 0: the server's
  int64_t keep_tokens = 4;     // num_keep: of a prompt that is too long, these stay at its start
};
/// Errors: 400 naming the option. Options that the server's own flags decide, and unknown ones, are
/// let pass with a line in the log.
Parsed<OllamaOptions> read_ollama_options(const hub::ModelSettings& settings, const Value* options);
/// The model's PARAMETERs over `base`. Errors: 400.
Parsed<OllamaOptions> read_model_parameters(const hub::ModelSettings& settings,
                                            const SamplingParams& base);
/// Whether a Modelfile may set it.
bool is_ollama_option(std::string_view name);

/// "think": on or off, and how much.
struct ThinkRequest {
  std::optional<bool> on;
  std::string level;  // "low", "medium", "high", "max"; empty: not said
};

struct OllamaCall {
  std::string model;  // as it was written
  bool is_chat = false;
  bool is_stream = true;
  bool truncates = true;  // a prompt that is too long is shortened
  ChatRequest request;    // messages and tools of a chat
  // Of generate:
  std::string prompt;
  std::string suffix;
  std::optional<std::string> system;
  bool is_raw = false;
  std::vector<TokenId> context;

  Value options;
  bool logprobs = false;
  int32_t top_logprobs = 0;
  ThinkRequest think;
  std::optional<KeepAlive> keep_alive;
  /// Nothing to answer: the model is to be loaded, or with keep_alive 0 unloaded.
  [[nodiscard]] bool only_loads() const {
    return is_chat ? request.messages.empty() : prompt.empty() && suffix.empty();
  }
  [[nodiscard]] bool unloads() const {
    return keep_alive.has_value() && keep_alive->has_value() && (*keep_alive)->count() == 0;
  }
};

/// Errors: 400 naming the field.
Parsed<OllamaCall> parse_ollama_generate(const Value& body);
Parsed<OllamaCall> parse_ollama_chat(const Value& body);
/// The body's model under either name, "model" or "name". Errors: 400 when there is none.
Parsed<std::string> read_model_name(const Value& body);
/// Nothing when absent. Errors: 400 for what is no time.
Parsed<std::optional<KeepAlive>> read_keep_alive(const Value& body, std::string_view name);

std::span<const Field> ollama_generate_fields();
std::span<const Field> ollama_chat_fields();

}  // namespace squish::server
