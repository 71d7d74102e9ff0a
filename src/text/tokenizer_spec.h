#pragma once
// What the three readers (GGUF arrays, tokenizer.json, SentencePiece) produce and the builder of
// the tables takes.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace squish::text {

enum class Algorithm : uint8_t {
  merge_bytes,   // byte-level BPE: merges by rank over raw bytes
  merge_chars,   // BPE by rank over characters, with byte fallback
  merge_scores,  // SentencePiece BPE: neighbours whose joined text is a token, best score first
  unigram,       // best path by summed scores
  word_piece,    // longest match from the left of each word
};

enum class SplitBehavior : uint8_t {
  removed,
  isolated,
  merged_with_previous,
  merged_with_next,
  contiguous
};

enum class NormalizeKind : uint8_t {
  nfc,
  nfd,
  nfkc,
  nfkd,
  lowercase,
  strip_accents,
  strip,             // number: bit 0 left, bit 1 right
  replace_text,      // text -> other
  replace_regex,     // text -> other
  prepend,           // text, before every non-empty piece
  prepend_first,     // text, only at the start of the whole input
  bert,              // number: bit 0 clean, 1 Chinese characters, 2 strip accents, 3 lowercase
  charsmap,          // text: the map; by grapheme cluster (tokenizers)
  charsmap_longest,  // text: the map; longest match (SentencePiece)
  collapse_spaces,   // drops spaces at both ends, makes runs one space
  trim_end,          // drops every text at the end
};

enum class PretokenizeKind : uint8_t {
  scan,          // number: ScanRule
  regex,         // text: pattern for PCRE2
  literal,       // text: a plain string
  byte_level,    // number: bit 0 add a leading space, bit 1 later steps see the byte alphabet
  metaspace,     // text: replacement; number: 0 never, 1 first, 2 always prepend; bit 2: split
  symbol_words,  // cuts before each run of "▁" that follows a byte not in text
};

/// One stage of the normalizer or the pre-tokenizer. A flat record, so that it is stored and read
/// by one routine.
struct TextStep {
  uint8_t kind = 0;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;
  uint32_t number = 0;
  std::string text;
  std::string other;
};

/// How token texts become output text, in the order written here.
struct DecodeRules {
  std::string space_symbol;   // replaced by " " in every token, e.g. "▁"; empty: nothing
  uint8_t strip_leading = 0;  // spaces to drop at the start of the whole text
  bool drop_first_symbols =
      false;  // every space symbol of the first token vanishes (Metaspace decoder)
  bool join_with_space = false;     // no decoder at all, or WordPiece: tokens are joined by " "
  std::string continuation_prefix;  // WordPiece: tokens that begin so go on a word; it vanishes
  bool joins_punctuation = false;   // WordPiece: no space before . ? ! ,
};

struct AddedToken {
  std::string content;  // as written in the file; what find() knows
  std::string match;    // what is searched for in the text: `content`, normalized if it is to be
  TokenId id = 0;
  bool special = false;
  bool single_word = false;
  bool strip_left = false;
  bool strip_right = false;
  bool normalized = false;
};

/// Views stay valid only while the source bytes do: the builder copies what it keeps.
struct TokenizerSpec {
  Algorithm algorithm = Algorithm::merge_bytes;
  uint32_t word_characters_max = 100;  // WordPiece: longer words are unknown
  bool byte_fallback = false;
  bool fuse_unknown = false;
  bool ignore_merges = false;
  bool single_precision =
      false;  // Unigram sums scores as float, as SentencePiece does: decides between equal paths
  std::vector<std::string_view> tokens;  // index = id; an id without a token is empty and `unused`
  std::vector<TokenKind> kinds;          // [tokens.size()]
  std::vector<double> scores;            // [tokens.size()] or empty
  std::vector<std::pair<std::string_view, std::string_view>> merges;  // best first
  std::vector<AddedToken> added;
  std::vector<TextStep> normalizer;
  std::vector<TextStep> pretokenizer;
  DecodeRules decode;
  std::vector<TokenId> prefix;  // put before and after the text when add_special is asked for
  std::vector<TokenId> suffix;
  std::vector<TokenId> end_tokens;
  std::optional<TokenId> bos, eos, unknown, padding;
  std::string bos_text, eos_text;
};

}  // namespace squish::text
