#pragma once
// The small, non-tabular part of a prepared tokenizer: stages, rules and special ids, as a string
// of bytes.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer_spec.h"

namespace squish::text {

struct TokenizerProgram {
  Algorithm algorithm = Algorithm::merge_bytes;
  uint32_t word_characters_max = 0;
  bool byte_fallback = false;
  bool fuse_unknown = false;
  bool ignore_merges = false;
  bool single_precision = false;
  std::vector<TextStep> normalizer;
  std::vector<TextStep> pretokenizer;
  DecodeRules decode;
  std::vector<TokenId> prefix, suffix, end_tokens;
  std::optional<TokenId> bos, eos, unknown, padding;
  std::string bos_text, eos_text;
  double unknown_score = 0;  // Unigram only; computed when opened, not stored
};

std::string write_program(const TokenizerSpec& spec);
/// Errors: bad_file when the bytes end early, hold unknown values or ids not below `token_count`.
Result<TokenizerProgram> read_program(std::string_view bytes, uint32_t token_count);

}  // namespace squish::text
