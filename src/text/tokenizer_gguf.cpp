// Tokenizers from the metadata arrays of a GGUF file.
#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/strings.h"
#include "text/tokenizer.h"
#include "text/tokenizer_pre.h"
#include "text/tokenizer_state.h"

namespace squish {
namespace {

using text::Algorithm;
using text::NormalizeKind;
using text::TokenizerSpec;

constexpr std::string_view kSymbol = "\xE2\x96\x81";  // ▁

Error bad(const std::string& what) { return Error{ErrorCode::bad_file, "tokenizer.ggml: " + what}; }

/// Control, user-defined and unknown tokens are found as written in the text; merges never make
/// them.
Status take_tokens(const VocabularySource& source, TokenizerSpec& spec) {
  const size_t n = source.tokens.size();
  if (n > limits::kVocabularySizeMax) {
    return bad(fmt::format("tokens has {} entries; at most {} are accepted", n,
                           limits::kVocabularySizeMax));
  }
  if (!source.kinds.empty() && source.kinds.size() != n) {
    return bad(fmt::format("token_type has {} entries for {} tokens", source.kinds.size(), n));
  }
  if (!source.scores.empty() && source.scores.size() != n) {
    return bad(fmt::format("scores has {} entries for {} tokens", source.scores.size(), n));
  }
  spec.tokens = source.tokens;
  spec.kinds.assign(n, TokenKind::normal);
  for (size_t i = 0; i < n && !source.kinds.empty(); ++i) {
    const int32_t kind = source.kinds[i];
    // 0 ("undefined") is written by some converters for padding.
    if (kind < 0 || kind > 6)
      return bad(fmt::format("token_type {} of token {}; 0 to 6 are known", kind, i));
    spec.kinds[i] = kind == 0 ? TokenKind::unused : static_cast<TokenKind>(kind);
    const bool literal = spec.kinds[i] == TokenKind::control ||
                         spec.kinds[i] == TokenKind::user_defined ||
                         spec.kinds[i] == TokenKind::unknown;
    if (literal && !spec.tokens[i].empty()) {
      text::AddedToken added;
      added.content = added.match = std::string(spec.tokens[i]);
      added.id = static_cast<TokenId>(i);
      added.special = spec.kinds[i] != TokenKind::user_defined;
      spec.added.push_back(std::move(added));
    }
    if (literal || spec.kinds[i] == TokenKind::unused) spec.tokens[i] = {};
  }
  return {};
}

Status take_merges(const VocabularySource& source, TokenizerSpec& spec) {
  spec.merges.reserve(source.merges.size());
  for (size_t i = 0; i < source.merges.size(); ++i) {
    const std::string_view merge = source.merges[i];
    const size_t space = merge.find(' ', 1);  // a left part may itself begin with a space
    if (space == std::string_view::npos || space + 1 == merge.size()) {
      return bad(fmt::format("merge {} ('{}') is not two texts with a space between", i,
                             printable(merge)));
    }
    spec.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return {};
}

Status take_byte_level(const VocabularySource& source, TokenizerSpec& spec) {
  auto rule = text::rule_for_pre(source.pre);
  if (!rule) {
    return Error{ErrorCode::unsupported,
                 fmt::format("tokenizer.ggml.pre '{}' is not known; a tokenizer.json of the model "
                             "beside it would do",
                             printable(source.pre))};
  }
  if (source.pre.empty() || source.pre == "default") {
    log::warning(
        "text",
        "the model does not name its pre-tokenizer (tokenizer.ggml.pre); the general one may "
        "cut words otherwise than in training");
  }
  spec.algorithm = Algorithm::merge_bytes;
  spec.unknown.reset();  // a byte without a token vanishes, as in `tokenizers`, where these models
                         // have no unk_token
  spec.normalizer = std::move(rule->normalizer);
  spec.pretokenizer = std::move(rule->pretokenizer);
  spec.ignore_merges = rule->ignore_merges;
  if (source.add_bos.value_or(rule->add_bos) && spec.bos) spec.prefix.push_back(*spec.bos);
  return take_merges(source, spec);
}

/// Phi-3 is Llama 2's vocabulary with markers from 32000 on that take the white space behind them;
/// its files do not say so.
void apply_phi3_rules(TokenizerSpec& spec) {
  const auto is = [&spec](std::string_view name, TokenId id) {
    return std::any_of(spec.added.begin(), spec.added.end(),
                       [&](const auto& a) { return a.content == name && a.id == id; });
  };
  if (!is("<|endoftext|>", 32000) || !is("<|assistant|>", 32001)) return;
  for (text::AddedToken& added : spec.added) {
    const std::string& name = added.content;
    added.strip_right = name != "<unk>" && name != "<s>" && name != "<|endoftext|>";
  }
}

/// Converters write user-defined runs of "▁" as spaces. Written as "▁▁" in the text they are found
/// there; runs that hold spaces are found when these have become "▁".
void add_symbol_spellings(TokenizerSpec& spec) {
  for (size_t i = 0, count = spec.added.size(); i < count; ++i) {
    const std::string& content = spec.added[i].content;
    if (spec.added[i].special || content.find_first_not_of(' ') != std::string::npos) continue;
    text::AddedToken spelled = spec.added[i];
    spelled.content = spelled.match = replace_all(content, " ", kSymbol);
    spec.added[i].match = spelled.match;
    spec.added[i].normalized = true;
    spec.added.push_back(std::move(spelled));
  }
}

Status take_sentencepiece(const VocabularySource& source, TokenizerSpec& spec, bool by_rank) {
  spec.algorithm = by_rank ? Algorithm::merge_chars : Algorithm::merge_scores;
  spec.byte_fallback = true;
  spec.fuse_unknown = true;
  spec.decode.space_symbol = kSymbol;
  const bool space_prefix = source.add_space_prefix.value_or(!by_rank);
  if (space_prefix) {
    spec.normalizer.push_back(text::normalize_step(NormalizeKind::prepend, std::string(kSymbol)));
    spec.decode.strip_leading = 1;
  }
  spec.normalizer.push_back(
      text::normalize_step(NormalizeKind::replace_text, " ", std::string(kSymbol)));
  if (by_rank) {
    SQ_TRY_STATUS(take_merges(source, spec));
  } else {
    if (source.scores.empty()) return bad("scores is missing; a 'llama' vocabulary needs it");
    spec.scores.assign(source.scores.begin(), source.scores.end());
    const auto guess = [&spec](std::optional<TokenId>& id, TokenId usual) {
      if (!id && static_cast<size_t>(usual) < spec.tokens.size()) id = usual;
    };
    guess(spec.unknown, 0);
    guess(spec.bos, 1);
    guess(spec.eos, 2);
    apply_phi3_rules(spec);
    add_symbol_spellings(spec);
  }
  if (source.add_bos.value_or(true) && spec.bos) spec.prefix.push_back(*spec.bos);
  text::add_word_split(spec);
  return {};
}

}  // namespace

Result<Tokenizer> Tokenizer::from_vocabulary(const VocabularySource& source) {
  TokenizerSpec spec;
  spec.bos = source.bos;
  spec.eos = source.eos;
  spec.unknown = source.unknown;
  spec.padding = source.padding;
  SQ_TRY_STATUS(take_tokens(source, spec));
  if (source.model == "gpt2") {
    SQ_TRY_STATUS(take_byte_level(source, spec));
  } else if (source.model == "llama") {
    SQ_TRY_STATUS(take_sentencepiece(source, spec, false));
  } else if (source.model == "gemma4") {
    SQ_TRY_STATUS(take_sentencepiece(source, spec, true));
  } else {
    return Error{ErrorCode::unsupported,
                 fmt::format("tokenizer.ggml.model '{}' is not supported; known: gpt2, llama, "
                             "gemma4",
                             printable(source.model))};
  }
  if (source.add_eos.value_or(false) && spec.eos) spec.suffix.push_back(*spec.eos);
  spec.end_tokens = source.extra_end_tokens;
  if (source.eot) spec.end_tokens.push_back(*source.eot);
  text::collect_end_tokens(spec);
  const auto text_of = [&source](std::optional<TokenId> id) {
    const bool known = id && *id >= 0 && static_cast<size_t>(*id) < source.tokens.size();
    return known ? std::string(source.tokens[static_cast<size_t>(*id)]) : std::string();
  };
  spec.bos_text = text_of(spec.bos);
  spec.eos_text = text_of(spec.eos);
  return State::build(spec);
}

}  // namespace squish
