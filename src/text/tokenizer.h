#pragma once
// Text to token ids and back, for byte-level BPE, SentencePiece BPE, Unigram and WordPiece
// vocabularies.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace squish {

using TokenId = int32_t;

/// Numbered as GGUF's tokenizer.ggml.token_type.
enum class TokenKind : uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

/// What a GGUF file says. Views stay valid only during the call of from_vocabulary().
struct VocabularySource {
  std::string_view model;  // tokenizer.ggml.model: "gpt2" (byte-level BPE), "llama" (SentencePiece
                           // BPE), "gemma4"
  std::string_view
      pre;  // tokenizer.ggml.pre: "qwen2", "llama-bpe", "smollm", ...; see tokenizer_pre.cpp
  std::vector<std::string_view> tokens;  // index = id
  std::span<const float> scores;         // [tokens.size()] or empty
  std::span<const int32_t> kinds;        // [tokens.size()] or empty: all normal
  std::vector<std::string_view> merges;  // "left right", best first
  std::optional<TokenId> bos, eos, eot, unknown, padding;
  std::vector<TokenId> extra_end_tokens;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
};

/// Immutable; all const methods may be called from many threads at once. Moves, does not copy.
class Tokenizer {
 public:
  /// Errors: bad_file for arrays that contradict each other, unsupported for an unknown model or
  /// pre name. Cost: 20 to 40 ms for 150,000 tokens.
  static Result<Tokenizer> from_vocabulary(const VocabularySource& source);
  /// `tokenizer_config_json` may be empty; it gives bos, eos, add_bos_token and add_eos_token.
  /// Errors: bad_file, or unsupported with the name of the component. Memory: about 4 times the
  /// file.
  static Result<Tokenizer> from_json(Bytes tokenizer_json, std::string_view tokenizer_config_json);
  /// A SentencePiece .model (BPE or Unigram).
  static Result<Tokenizer> from_sentencepiece(Bytes model);
  /// A vocab.txt of BERT: one WordPiece token a line. Errors: bad_file.
  static Result<Tokenizer> from_word_list(Bytes vocabulary_text, bool lowercase);
  /// What serialize() wrote. The caller keeps `blob` alive and unchanged (usually a MappedFile),
  /// aligned to 8 bytes. Errors: bad_file on any difference, also a newer version of the layout.
  /// Cost: under 1 ms for 150,000 tokens.
  static Result<Tokenizer> from_prepared(Bytes blob);
  /// All tables in one relocatable block, with checksums.
  [[nodiscard]] std::string serialize() const;

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  struct EncodeOptions {
    bool add_special = true;    // bos and eos as the model asks for them
    bool parse_special = true;  // text such as <|im_start|> becomes its token
  };
  /// Any bytes are accepted. Byte-level vocabularies keep invalid UTF-8 as it is. Cost: about 30 ns
  /// a byte.
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text, EncodeOptions options) const;
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text) const {
    return encode(text, EncodeOptions());
  }
  /// The bytes of the tokens by the tokenizer's decoder rules (the first space of SentencePiece
  /// texts goes), so decode(encode(x)) == x for normalized x. May end inside a UTF-8 sequence; for
  /// text to show see StreamDecoder and replace_invalid_utf8(). Unknown ids give nothing.
  [[nodiscard]] std::string decode(std::span<const TokenId> ids, bool skip_special = true) const;
  /// The bytes that the token adds in the middle of a text; for control tokens their text.
  [[nodiscard]] std::string piece(TokenId id) const;

  [[nodiscard]] size_t vocabulary_size() const;
  /// unused for ids outside the vocabulary.
  [[nodiscard]] TokenKind kind(TokenId id) const;
  /// By exact text as the vocabulary spells it: "<|im_end|>", "Ġhello", "▁hello".
  [[nodiscard]] std::optional<TokenId> find(std::string_view token_text) const;
  [[nodiscard]] std::optional<TokenId> bos() const;
  [[nodiscard]] std::optional<TokenId> eos() const;
  [[nodiscard]] std::optional<TokenId> unknown() const;
  [[nodiscard]] std::optional<TokenId> padding() const;
  /// True for tokens that end an answer: eos, eot, eom, <|im_end|>, <end_of_turn>, <|endoftext|>,
  /// ...
  [[nodiscard]] bool is_end(TokenId id) const;
  [[nodiscard]] std::span<const TokenId> end_tokens() const;
  /// Left out by decode(skip_special = true).
  [[nodiscard]] bool is_special(TokenId id) const;
  /// For chat templates; empty when the model has none.
  [[nodiscard]] const std::string& bos_text() const;
  [[nodiscard]] const std::string& eos_text() const;

 private:
  friend class StreamDecoder;
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  static Result<Tokenizer> from_state(std::unique_ptr<State> state, bool verify_body);
  std::unique_ptr<State> state_;
};

/// Decodes token by token for a terminal or a socket. One thread; borrows the tokenizer.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true);
  /// The text that is certain now: valid UTF-8, possibly empty. Bytes that can never become valid
  /// are U+FFFD.
  std::string push(TokenId id);
  /// The rest, an incomplete sequence as U+FFFD. The decoder is then as new.
  std::string flush();
  /// Decodes the special token of that text although special ones are skipped; nothing when the
  /// vocabulary has none.
  void show_special(std::string_view token_text);

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  std::vector<TokenId> shown_special_;
  bool first_ = true;       // no token has been decoded yet
  uint8_t strip_left_ = 0;  // spaces still to drop at the start
  std::string pending_;     // 0 to 3 bytes that begin a UTF-8 sequence
};

}  // namespace squish
