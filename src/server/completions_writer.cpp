// Answers of /v1/completions as OpenAI writes them, with its older form of log probabilities.
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "base/strings.h"
#include "server/json_writer.h"
#include "server/openai_completions.h"

namespace squish::server {
namespace {

/// How many characters (code points) a text has: the unit of text_offset.
int64_t character_count(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
}

class CompletionWriter final : public AnswerWriter {
 public:
  CompletionWriter(AnswerHead head, const Tokenizer& tokenizer, const CompletionCall& call,
                   std::vector<std::string> echoes)
      : head_(std::move(head)),
        tokenizer_(tokenizer),
        answer_count_(call.answer_count),
        best_of_(call.best_of),
        wants_usage_(call.wants_usage),
        wants_logprobs_(call.wants_logprobs),
        top_count_(call.options.sampling.top_logprobs),
        echoes_(std::move(echoes)),
        offsets_(call.prompts.size() * call.best_of) {
    for (size_t i = 0; i < offsets_.size() && !echoes_.empty(); ++i)
      offsets_[i] = character_count(echoes_[i / best_of_]);
  }

  std::string begin() override {
    std::string out;
    if (wants_logprobs_) return out;  // those of the prompt come with the first delta
    for (size_t i = 0; i < offsets_.size() && !echoes_.empty(); ++i) add_echo(out, i, {});
    return out;
  }

  std::string delta(size_t index, const Answer& /*answer*/, const ChatDelta& delta) override {
    std::string out;
    if (!delta.prompt.empty()) add_echo(out, index, delta.prompt);
    const std::string text = delta.reasoning + delta.text;
    const bool has_tokens = wants_logprobs_ && !delta.tokens.empty();
    if (text.empty() && !has_tokens && !delta.finish.has_value()) return out;
    open_chunk(out);
    write_choice(out, {index, index}, text, {}, delta.tokens, delta.finish);
    out += "]";
    close_chunk(out);
    return out;
  }

  std::string end(std::span<const Answer> answers) override {
    return end_of_stream(head_, kObject, wants_usage_, answers);
  }

  std::string whole(std::span<const Answer> answers) override {
    std::string out;
    open_answer(out, head_, kObject);
    out += ",\"choices\":[";
    size_t written = 0;
    for (const Answer* answer : chosen(answers)) {
      if (written > 0) out += ",";
      // What a model thinks before it answers is part of a plain continuation.
      std::string text = echoes_.empty() ? "" : echoes_[answer->prompt_index];
      text += answer->reasoning + answer->text;
      const Place place = {written++, static_cast<size_t>(answer - answers.data())};
      write_choice(out, place, text, answer->prompt, answer->tokens, answer->finish);
    }
    out += "],\"usage\":" + usage_json(usage_of(answers)) + "}";
    return out;
  }

 private:
  static constexpr std::string_view kObject = "text_completion";

  /// A choice: its index for the client, and that among all answers.
  struct Place {
    size_t index = 0;
    size_t answer = 0;
  };

  void open_chunk(std::string& out) {
    if (chunk_head_.empty()) open_answer(chunk_head_, head_, kObject);
    out += "data: " + chunk_head_ + ",\"choices\":[";
  }

  void close_chunk(std::string& out) const {
    out += wants_usage_ ? ",\"usage\":null}\n\n" : "}\n\n";
  }

  /// The chunk with the prompt of choice `index`.
  void add_echo(std::string& out, size_t index, std::span<const ScoredToken> prompt) {
    open_chunk(out);
    write_choice(out, {index, index}, echoes_[index / best_of_], prompt, {}, std::nullopt);
    out += "]";
    close_chunk(out);
  }

  /// Of each prompt the answer_count_ answers whose tokens are likeliest on average.
  [[nodiscard]] std::vector<const Answer*> chosen(std::span<const Answer> answers) const {
    std::vector<const Answer*> out;
    for (size_t begin = 0; begin < answers.size(); begin += best_of_) {
      std::vector<const Answer*> group;
      for (size_t i = begin; i < std::min(begin + best_of_, answers.size()); ++i)
        group.push_back(&answers[i]);
      if (best_of_ > answer_count_) {
        std::ranges::stable_sort(group, std::greater<>(), [](const Answer* answer) {
          return answer->logprob_sum /
                 static_cast<double>(std::max<int64_t>(1, answer->token_count));
        });
        group.resize(answer_count_);
      }
      out.insert(out.end(), group.begin(), group.end());
    }
    return out;
  }

  void write_choice(std::string& out, Place place, std::string_view text,
                    std::span<const ScoredToken> prompt, std::span<const TokenEvent> tokens,
                    std::optional<FinishReason> finish) {
    JsonWriter json(out);
    json.begin_object().field("index", place.index).field("text", text).key("logprobs");
    const bool has_tokens = !tokens.empty() || !prompt.empty();
    if (wants_logprobs_ && (has_tokens || !finish.has_value())) {
      write_logprobs(json, place.answer, prompt, tokens);
    } else {
      json.null();
    }
    if (!finish.has_value()) {
      json.null_field("finish_reason");
    } else {
      json.field("finish_reason", openai_finish_reason(*finish));
      if (*finish == FinishReason::cancelled) json.field("squish_stop_reason", "abort");
    }
    json.end_object();
  }

  /// What precedes the first token is nothing, so it has null instead of numbers.
  void write_logprobs(JsonWriter& json, size_t answer, std::span<const ScoredToken> prompt,
                      std::span<const TokenEvent> tokens) {
    json.begin_object().array_field("tokens");
    for (const ScoredToken& token : prompt) json.text(tokenizer_.piece(token.token));
    for (const TokenEvent& token : tokens) json.text(tokenizer_.piece(token.token));
    json.end_array().array_field("token_logprobs");
    for (const ScoredToken& token : prompt)
      &token == prompt.data() ? json.null() : json.number(static_cast<double>(token.logprob));
    for (const TokenEvent& token : tokens) json.number(static_cast<double>(token.logprob));
    json.end_array().key("top_logprobs");
    if (top_count_ == 0) {
      json.null();
    } else {
      json.begin_array();
      for (const ScoredToken& token : prompt) {
        if (&token == prompt.data()) {
          json.null();
        } else {
          write_top(json, token.top, token.token, token.logprob);
        }
      }
      for (const TokenEvent& token : tokens) write_top(json, token.top, token.token, token.logprob);
      json.end_array();
    }
    json.array_field("text_offset");
    write_offsets(json, answer, prompt);
    int64_t& offset = offsets_[answer];
    for (const TokenEvent& token : tokens) {
      json.integer(offset);
      offset += character_count(tokenizer_.piece(token.token));
    }
    json.end_array().end_object();
  }

  /// The likeliest and, as OpenAI has it, the token itself. Tokens that look alike (parts of a
  /// character do) have one entry, the likelier: an object with a name twice is read in two ways.
  void write_top(JsonWriter& json, std::span<const TokenLogprob> top, TokenId token,
                 float logprob) const {
    std::vector<std::string> names;
    const auto add = [&](TokenId id, float value) {
      std::string name = replace_invalid_utf8(tokenizer_.piece(id));
      if (std::ranges::find(names, name) != names.end()) return;
      json.field(name, value);
      names.push_back(std::move(name));
    };
    json.begin_object();
    for (const TokenLogprob& other : top) add(other.token, other.logprob);
    add(token, logprob);
    json.end_object();
  }

  /// Where each token of the prompt begins in the text that is given back.
  void write_offsets(JsonWriter& json, size_t answer, std::span<const ScoredToken> prompt) const {
    if (prompt.empty()) return;
    const std::string& echo = echoes_[answer / best_of_];
    const auto bos = tokenizer_.bos();
    StreamDecoder decoder(tokenizer_, false);
    int64_t offset = 0;
    for (const ScoredToken& token : prompt) {
      json.integer(offset);
      // One that was put before the text is not part of it.
      const bool is_added =
          &token == prompt.data() && bos == token.token && !echo.starts_with(tokenizer_.bos_text());
      if (!is_added) offset += character_count(decoder.push(token.token));
    }
  }

  AnswerHead head_;
  std::string chunk_head_;
  const Tokenizer& tokenizer_;
  size_t answer_count_;
  size_t best_of_;
  bool wants_usage_;
  bool wants_logprobs_;
  int32_t top_count_;
  std::vector<std::string> echoes_;
  std::vector<int64_t> offsets_;  // where the next token of each choice begins
};

}  // namespace

std::unique_ptr<AnswerWriter> make_completion_writer(AnswerHead head, const Tokenizer& tokenizer,
                                                     const CompletionCall& call) {
  return std::make_unique<CompletionWriter>(std::move(head), tokenizer, call,
                                            echo_texts(tokenizer, call));
}

}  // namespace squish::server
