#pragma once
// The inside of a Tokenizer, shared by its readers, encoder and decoder.
#include <memory>

#include "base/buffer.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"
#include "text/tokenizer_program.h"
#include "text/tokenizer_spec.h"
#include "text/unicode_normalize.h"
#include "text/vocabulary.h"

namespace squish {

struct Tokenizer::State {
  AlignedBuffer<std::byte> owned;  // empty when the caller keeps the bytes
  Bytes blob;
  text::Vocabulary vocabulary;
  text::TokenizerProgram program;
  text::Normalizer normalizer;
  text::Pretokenizer pretokenizer;

  /// Builds the tables of `spec` and opens them.
  static Result<Tokenizer> build(const text::TokenizerSpec& spec);
  /// The bytes that `id` stands for, with spaces for space symbols. `first`: it starts the text.
  [[nodiscard]] std::string bytes_of(TokenId id, bool first) const;
  /// The same with the space that joins it to the token before it, where tokens are joined so.
  [[nodiscard]] std::string joined_bytes_of(TokenId id, bool first) const;
};

namespace text {
/// Names of tokens that end an answer, in the order in which a missing eos is guessed from them.
std::span<const std::string_view> end_token_names();
/// Adds to spec.end_tokens: eos, and every special or user-defined token with such a name.
void collect_end_tokens(TokenizerSpec& spec);
/// How a WordPiece vocabulary decodes.
void set_word_piece_rules(TokenizerSpec& spec, std::string_view continuation_prefix);
}  // namespace text

}  // namespace squish
