#pragma once
// GGUF's tokenizer.ggml.pre: which pre-tokenizer a byte-level vocabulary was trained with.
#include <optional>
#include <string_view>
#include <vector>

#include "text/pretokenize_scan.h"
#include "text/tokenizer_spec.h"

namespace squish::text {

struct PreRule {
  std::vector<TextStep> normalizer;
  std::vector<TextStep> pretokenizer;
  bool ignore_merges = false;
  bool add_bos = false;  // when the file does not say
};

/// Nothing for an unknown name. "default" and "" give the general rule, which fits no known model
/// exactly.
std::optional<PreRule> rule_for_pre(std::string_view name);

TextStep scan_step(ScanRule rule, SplitBehavior behavior = SplitBehavior::isolated);
/// A scanner where one matches `pattern` exactly, else PCRE2.
TextStep pattern_step(std::string_view pattern, SplitBehavior behavior = SplitBehavior::isolated,
                      bool invert = false);
TextStep normalize_step(NormalizeKind kind, std::string text = {}, std::string other = {},
                        uint32_t number = 0);

/// Few tokens hold a space symbol ("▁") behind something else (Gemma 3: one, ">▁</"). No merge
/// crosses such a place unless the byte before it is that of such a token: cutting at all others
/// changes nothing and makes words short. Appends that stage to the pre-tokenizer where "▁" is a
/// token.
void add_word_split(TokenizerSpec& spec);

}  // namespace squish::text
