#pragma once
// The one door to xgrammar: compiled grammars and their states over one vocabulary. No type of it
// leaves mask_engine.cpp, and neither do its exceptions.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace squish {

class CompiledMask;

/// A vocabulary in the form that masks are computed with. Immutable; any thread.
class MaskVocabulary {
 public:
  /// `texts[i]` are the bytes that token i adds to a text; empty for tokens that no text contains.
  /// `model_size` is at least texts.size(): ids up to it exist for the model only. Errors:
  /// internal. Cost: 0.2 s at 150,000 tokens.
  static Result<std::shared_ptr<const MaskVocabulary>> create(std::vector<std::string> texts,
                                                              size_t model_size,
                                                              std::span<const TokenId> end_tokens);
  ~MaskVocabulary();
  MaskVocabulary(const MaskVocabulary&) = delete;
  MaskVocabulary& operator=(const MaskVocabulary&) = delete;

  [[nodiscard]] size_t model_size() const { return model_size_; }
  [[nodiscard]] std::span<const TokenId> end_tokens() const { return end_tokens_; }

 private:
  friend class CompiledMask;
  struct Impl;
  MaskVocabulary(std::unique_ptr<Impl> impl, size_t model_size,
                 std::span<const TokenId> end_tokens);
  std::unique_ptr<Impl> impl_;
  size_t model_size_;
  std::vector<TokenId> end_tokens_;
};

/// What a mask grammar is written in.
enum class MaskLanguage : uint8_t {
  json,            // any JSON value that is an object; no text
  json_schema,     // a normal schema (grammar/schema.h)
  regex,           // the whole answer
  ebnf,            // rules "name ::= ..."; the first is "root"
  structural_tag,  // xgrammar's JSON form of texts, tags and schemas in sequence
};

/// A grammar compiled for one vocabulary. Immutable; any thread.
class CompiledMask {
 public:
  /// Errors: invalid_argument with what is wrong, also for what xgrammar would only warn of and
  /// leave out; cancelled once `stop` is set; out_of_memory. Cost: milliseconds to minutes, by the
  /// grammar; `stop` is looked at before each mask, that is every 25 ms at 150,000 tokens.
  static Result<std::shared_ptr<const CompiledMask>> compile(
      std::shared_ptr<const MaskVocabulary> vocabulary, MaskLanguage language,
      const std::string& text, const std::atomic<bool>* stop = nullptr);
  ~CompiledMask();
  CompiledMask(const CompiledMask&) = delete;
  CompiledMask& operator=(const CompiledMask&) = delete;

  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] const MaskVocabulary& vocabulary() const { return *vocabulary_; }

 private:
  friend class MaskState;
  struct Impl;
  CompiledMask(std::shared_ptr<const MaskVocabulary> vocabulary, std::unique_ptr<Impl> impl);
  std::shared_ptr<const MaskVocabulary> vocabulary_;
  std::unique_ptr<Impl> impl_;
  size_t bytes_ = 0;
};

/// How far one text has come. One thread at a time.
class MaskState {
 public:
  explicit MaskState(std::shared_ptr<const CompiledMask> compiled);
  ~MaskState();
  MaskState(const MaskState&) = delete;
  MaskState& operator=(const MaskState&) = delete;

  /// Writes the tokens that may follow, end tokens among them; `mask` has a bit for each token of
  /// the model. Nothing may follow an end token: no bit is set.
  void fill(std::span<uint32_t> mask);
  /// False, and nothing changed, when the token may not follow.
  bool accept(TokenId token);
  /// Takes back the last `count` accepted tokens; at most as many as were accepted.
  void rollback(int32_t count);
  /// An end token was accepted.
  [[nodiscard]] bool has_ended() const;

 private:
  struct Impl;
  std::shared_ptr<const CompiledMask> compiled_;
  std::unique_ptr<Impl> impl_;
};

/// May a JSON string contain exactly what `pattern` matches, without escapes? Errors:
/// invalid_argument with the part that cannot be used.
Status check_json_pattern(const std::string& pattern);

}  // namespace squish
