#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "text/bpe.h"
#include "text/tokenizer_added.h"
#include "text/tokenizer_state.h"
#include "text/unigram.h"
#include "text/vocabulary_build.h"
#include "text/word_piece.h"

namespace squish {
namespace {

using text::AddedMatcher;
using text::Algorithm;

/// One call of encode().
class Encoding final : text::WordSink {
 public:
  Encoding(const text::Vocabulary& vocabulary, const text::TokenizerProgram& program,
           const text::Normalizer& normalizer, const text::Pretokenizer& pretokenizer,
           size_t text_bytes, bool parse_special)
      : raw_matcher_(vocabulary, false),
        normalized_matcher_(vocabulary, true),
        normalizer_(normalizer),
        pretokenizer_(pretokenizer),
        parse_special_(parse_special) {
    if (program.algorithm == Algorithm::unigram) {
      unigram_.emplace(vocabulary, program);
    } else if (program.algorithm == Algorithm::word_piece) {
      word_piece_.emplace(vocabulary, program);
    } else {
      bpe_.emplace(vocabulary, program, text_bytes);
    }
    ids.reserve(text_bytes / 3 + 8);
  }

  std::vector<TokenId> ids;

  /// Added tokens are first searched in the text as it is, then, those that ask for it, in the
  /// normalized rest.
  void run(std::string_view text) {
    raw_matcher_.split(text, parse_special_, [&](std::string_view piece, TokenId id) {
      if (id >= 0) {
        ids.push_back(id);
      } else {
        normalized_piece(piece, piece.data() == text.data());
      }
    });
  }

 private:
  void normalized_piece(std::string_view piece, bool at_start) {
    std::string scratch;
    const std::string_view normalized = normalizer_.apply(piece, at_start, scratch);
    normalized_matcher_.split(normalized, parse_special_, [&](std::string_view part, TokenId id) {
      if (id >= 0) {
        ids.push_back(id);
      } else {
        pretokenizer_.split(part, at_start && part.data() == normalized.data(), *this);
      }
    });
  }

  void word(std::string_view bytes) override {
    if (bpe_) {
      bpe_->encode(bytes, ids);
    } else if (word_piece_) {
      word_piece_->encode(bytes, ids);
    } else {
      unigram_->encode(bytes, ids);
    }
  }

  AddedMatcher raw_matcher_;
  AddedMatcher normalized_matcher_;
  const text::Normalizer& normalizer_;
  const text::Pretokenizer& pretokenizer_;
  bool parse_special_;
  std::optional<text::BpeEncoder> bpe_;
  std::optional<text::UnigramEncoder> unigram_;
  std::optional<text::WordPieceEncoder> word_piece_;
};

constexpr std::array<std::string_view, 22> kEndTokenNames = {"<|return|>",
                                                             "<|eot_id|>",
                                                             "<|im_end|>",
                                                             "<|end|>",
                                                             "<end_of_turn>",
                                                             "<turn|>",
                                                             "<|endoftext|>",
                                                             "<|end_of_text|>",
                                                             "<EOT>",
                                                             "_<EOT>",
                                                             "<｜end▁of▁sentence｜>",
                                                             "<end_of_utterance>",
                                                             "<|eom_id|>",
                                                             "<|END_OF_TURN_TOKEN|>",
                                                             "<|call|>",
                                                             "<|eot|>",
                                                             "<|endofturn|>",
                                                             "<|im_sep_end|>",
                                                             "<|eos|>",
                                                             "<eos>",
                                                             "</s>",
                                                             "[EOS]"};

}  // namespace

namespace text {

std::span<const std::string_view> end_token_names() { return kEndTokenNames; }

void collect_end_tokens(TokenizerSpec& spec) {
  const auto add = [&spec](TokenId id) {
    if (std::find(spec.end_tokens.begin(), spec.end_tokens.end(), id) == spec.end_tokens.end()) {
      spec.end_tokens.push_back(id);
    }
  };
  if (spec.eos) add(*spec.eos);
  const auto has = [&spec](std::string_view name) {
    return std::any_of(spec.added.begin(), spec.added.end(),
                       [&](const AddedToken& a) { return a.content == name; });
  };
  // In the harmony format <|end|> closes one message of several; <|return|> and <|call|> end the
  // answer.
  const bool harmony = has("<|return|>") && has("<|call|>");
  for (const AddedToken& added : spec.added) {
    if (harmony && added.content == "<|end|>") continue;
    if (std::find(kEndTokenNames.begin(), kEndTokenNames.end(), added.content) !=
        kEndTokenNames.end())
      add(added.id);
  }
}

}  // namespace text

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::from_state(std::unique_ptr<State> state, bool verify_body) {
  SQ_TRY(state->vocabulary, text::Vocabulary::open(state->blob, verify_body));
  SQ_TRY(state->program,
         text::read_program(state->vocabulary.program(), state->vocabulary.token_count()));
  SQ_TRY(state->normalizer, text::Normalizer::create(state->program.normalizer));
  SQ_TRY(state->pretokenizer, text::Pretokenizer::create(state->program.pretokenizer));
  if (state->program.algorithm == Algorithm::unigram) {
    const double score = text::unknown_score(state->vocabulary);
    const bool single = state->program.single_precision;
    state->program.unknown_score = single ? static_cast<double>(static_cast<float>(score)) : score;
  }
  return Tokenizer(std::move(state));
}

Result<Tokenizer> Tokenizer::State::build(const text::TokenizerSpec& spec) {
  auto state = std::make_unique<State>();
  SQ_TRY(state->owned, text::build_vocabulary(spec));
  text::PreparedHeader header{};
  std::memcpy(&header, state->owned.data(), sizeof(header));
  header.header_hash = text::hash_header(header);
  std::memcpy(state->owned.data(), &header, sizeof(header));
  state->blob = {state->owned.data(), header.total_bytes};
  return from_state(std::move(state), false);
}

Result<Tokenizer> Tokenizer::from_prepared(Bytes blob) {
  auto state = std::make_unique<State>();
  state->blob = blob;
  return from_state(std::move(state), true);
}

std::string Tokenizer::serialize() const {
  std::string bytes(reinterpret_cast<const char*>(state_->blob.data()), state_->blob.size());
  text::stamp_checksums({reinterpret_cast<std::byte*>(bytes.data()), bytes.size()});
  return bytes;
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const State& s = *state_;
  Encoding encoding(s.vocabulary, s.program, s.normalizer, s.pretokenizer, text.size(),
                    options.parse_special);
  if (options.add_special) encoding.ids = s.program.prefix;
  encoding.run(text);
  if (options.add_special) {
    encoding.ids.insert(encoding.ids.end(), s.program.suffix.begin(), s.program.suffix.end());
  }
  return std::move(encoding.ids);
}

size_t Tokenizer::vocabulary_size() const { return state_->vocabulary.token_count(); }
TokenKind Tokenizer::kind(TokenId id) const { return state_->vocabulary.kind(id); }
std::optional<TokenId> Tokenizer::bos() const { return state_->program.bos; }
std::optional<TokenId> Tokenizer::eos() const { return state_->program.eos; }
std::optional<TokenId> Tokenizer::unknown() const { return state_->program.unknown; }
std::optional<TokenId> Tokenizer::padding() const { return state_->program.padding; }
const std::string& Tokenizer::bos_text() const { return state_->program.bos_text; }
const std::string& Tokenizer::eos_text() const { return state_->program.eos_text; }
std::span<const TokenId> Tokenizer::end_tokens() const { return state_->program.end_tokens; }
bool Tokenizer::is_end(TokenId id) const {
  return (state_->vocabulary.flags(id) & text::kTokenEnd) != 0;
}
bool Tokenizer::is_special(TokenId id) const {
  return (state_->vocabulary.flags(id) & text::kTokenSpecial) != 0;
}

std::optional<TokenId> Tokenizer::find(std::string_view token_text) const {
  const text::Vocabulary& v = state_->vocabulary;
  TokenId id = v.find_added(token_text);
  std::string bytes;
  if (id < 0 && state_->program.algorithm == Algorithm::merge_bytes &&
      text::map_to_bytes(token_text, bytes)) {
    id = v.find_model(bytes, text::TextClass::bytes);
  }
  if (id < 0) id = v.find_model(token_text, text::TextClass::verbatim);
  return id < 0 ? std::nullopt : std::optional(id);
}

}  // namespace squish
