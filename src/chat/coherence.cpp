#include "chat/coherence.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "chat/chat_service.h"

namespace squish {
namespace {

constexpr size_t kWords = 6;
constexpr size_t kEqualWordsMin = 3;
constexpr size_t kPieceMax = 12;  // characters of a piece that repeats
constexpr size_t kTail = 48;      // characters at the end that must be nothing else
constexpr auto kPollInterval = std::chrono::milliseconds(100);

// Each can be answered as a question and be continued as a text.
constexpr std::array<std::string_view, 5> kPrompts = {
    "The capital of France is",
    "Explain in two sentences why the sky looks blue in the daytime.",
    "Once upon a time, in a village by the sea,",
    "Write a short note to thank a neighbour for looking after a garden.",
    "Three things that every kitchen needs are",
};

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  size_t at = 0;
  while (true) {
    at = text.find_first_not_of(" \t\r\n", at);
    if (at == std::string_view::npos) return words;
    const size_t end = std::min(text.size(), text.find_first_of(" \t\r\n", at));
    words.push_back(text.substr(at, end - at));
    at = end;
  }
}

bool repeats_words(std::string_view text) {
  const std::vector<std::string_view> words = words_of(text);
  if (words.size() < 2 * kWords) return false;
  size_t equal = 0;
  for (size_t i = words.size() - kWords; i < words.size(); ++i) {
    if (words[i] == words[i - kWords]) ++equal;
  }
  return equal >= kEqualWordsMin;
}

bool repeats_piece(std::string_view text) {
  std::vector<uint32_t> characters;
  for (size_t at = 0; at < text.size();) {
    const DecodedCodePoint point = decode_utf8(text.substr(at));
    characters.push_back(point.code_point);
    at += static_cast<size_t>(point.bytes);
  }
  while (!characters.empty() && characters.back() == ' ') characters.pop_back();
  if (characters.size() < kTail) return false;
  const size_t begin = characters.size() - kTail;
  for (size_t period = 1; period <= kPieceMax; ++period) {
    bool is_one = true;
    for (size_t i = begin + period; i < characters.size() && is_one; ++i)
      is_one = characters[i] == characters[i - period];
    if (is_one) return true;
  }
  return false;
}

Result<std::string> answer_of(LoadedModel& model, std::string_view prompt,
                              const std::function<bool()>& go_on) {
  const ChatService service(model);
  AnswerOptions options;
  options.sampling.temperature = 0;
  options.sampling.max_tokens = kCoherenceTokens;
  SQ_TRY(const ChatTemplate* const chat_template, model.chat_template());
  PreparedPrompt prepared;
  if (chat_template == nullptr) {
    SQ_TRY(prepared,
           service.prepare(CompletionRequest{.prompt = std::string(prompt), .options = {}}));
  } else {
    ChatRequest request;
    request.messages.push_back({.role = "user", .content = std::string(prompt)});
    if (chat_template->supports_thinking_switch()) request.think = false;
    SQ_TRY(prepared, service.prepare(request));
  }
  SQ_TRY(ChatStream stream, service.start(std::move(prepared), options));
  std::string text;
  while (!stream.finished()) {
    if (!go_on()) return Error{ErrorCode::cancelled, "interrupted"};
    const auto delta = stream.next(kPollInterval);
    if (!delta) continue;
    text += delta->reasoning + delta->text;
    if (delta->error) return *delta->error;
  }
  return text;
}

}  // namespace

std::span<const std::string_view> coherence_prompts() { return kPrompts; }

std::string incoherence_of(std::string_view text) {
  const bool says_something = std::ranges::any_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           static_cast<unsigned char>(c) >= 0x80;
  });
  if (!says_something) return "says nothing";
  if (repeats_words(text)) return "its last words repeat those before";
  if (repeats_piece(text)) return "ends with one piece over and over";
  return "";
}

Result<Coherence> check_coherence(LoadedModel& model, const std::function<bool(size_t)>& go_on) {
  Coherence result;
  for (size_t i = 0; i < kPrompts.size(); ++i) {
    SQ_TRY(const std::string text, answer_of(model, kPrompts[i], [&] { return go_on(i); }));
    ++result.asked;
    const std::string why = incoherence_of(text);
    if (!why.empty()) {
      const size_t begin = text.size() > 60 ? text.size() - 60 : 0;
      result.failures.push_back(
          fmt::format("\"{}\": {} (\"...{}\")", kPrompts[i], why,
                      printable(trim(replace_invalid_utf8(text.substr(begin))), 100)));
    }
  }
  return result;
}

}  // namespace squish
