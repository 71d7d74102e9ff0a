// Tokenizers from Hugging Face's tokenizer.json and tokenizer_config.json.
#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json_parts.h"
#include "text/tokenizer_pre.h"
#include "text/tokenizer_state.h"

namespace squish {
namespace {

using simdjson::SUCCESS;
using text::Algorithm;
using text::TokenizerSpec;
using text::json::Element;
using text::json::field;
using text::json::flag_field;
using text::json::number_field;
using text::json::text_field;

Error bad(const std::string& what) { return Error{ErrorCode::bad_file, "tokenizer.json: " + what}; }
Error unsupported(const std::string& what) {
  return Error{ErrorCode::unsupported, fmt::format("tokenizer.json: {} is not supported", what)};
}

/// Ids run from 0 to the largest; a file of few tokens and a huge id must not make a huge table.
Status place(TokenizerSpec& spec, int64_t id, std::string_view token, size_t entries) {
  const int64_t limit =
      static_cast<int64_t>(std::min<uint64_t>(limits::kVocabularySizeMax, 4 * entries + 65536));
  if (id < 0 || id >= limit) {
    return bad(fmt::format("token '{}' has id {}; 0 to {} fit a vocabulary of {}", printable(token),
                           id, limit - 1, entries));
  }
  const auto index = static_cast<size_t>(id);
  if (index >= spec.tokens.size()) {
    spec.tokens.resize(index + 1);
    spec.kinds.resize(index + 1, TokenKind::unused);
  }
  if (!spec.tokens[index].empty()) {
    return bad(fmt::format("tokens '{}' and '{}' share the id {}", printable(spec.tokens[index]),
                           printable(token), id));
  }
  spec.tokens[index] = token;
  spec.kinds[index] = TokenKind::normal;
  return {};
}

Status read_vocabulary_object(Element model, TokenizerSpec& spec) {
  const auto vocab = field(model, "vocab");
  simdjson::dom::object tokens;
  if (!vocab || vocab->get_object().get(tokens) != SUCCESS)
    return bad("model.vocab is not an object");
  size_t entries = 0;
  for ([[maybe_unused]] const auto entry : tokens) ++entries;
  spec.tokens.reserve(entries);
  spec.kinds.reserve(entries);
  for (const auto entry : tokens) {
    int64_t id = 0;
    if (entry.value.get_int64().get(id) != SUCCESS) {
      return bad(fmt::format("the id of token '{}' is not an integer", printable(entry.key)));
    }
    SQ_TRY_STATUS(place(spec, id, entry.key, entries));
  }
  return {};
}

Status read_merges(Element model, TokenizerSpec& spec) {
  const auto merges = field(model, "merges");
  simdjson::dom::array list;
  if (!merges || merges->get_array().get(list) != SUCCESS) return bad("model.merges is not a list");
  spec.merges.reserve(spec.tokens.size());
  for (const Element merge : list) {
    std::string_view left;
    std::string_view right;
    if (merge.get_string().get(left) == SUCCESS) {
      const size_t space = left.find(' ');
      if (space == std::string_view::npos) {
        return bad(
            fmt::format("merge {} ('{}') is not two texts", spec.merges.size(), printable(left)));
      }
      right = left.substr(space + 1);
      left = left.substr(0, space);
    } else if (merge.at(0).get_string().get(left) != SUCCESS ||
               merge.at(1).get_string().get(right) != SUCCESS) {
      return bad(fmt::format("merge {} is not two texts", spec.merges.size()));
    }
    spec.merges.emplace_back(left, right);
  }
  return {};
}

Status read_bpe(Element model, TokenizerSpec& spec) {
  if (field(model, "dropout")) {
    const auto dropout = field(model, "dropout");
    double rate = 0;
    if (dropout->get_double().get(rate) != SUCCESS || rate != 0)
      return unsupported("model.dropout");
  }
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!text_field(model, key).value_or("").empty())
      return unsupported(fmt::format("model.{}", key));
  }
  if (spec.algorithm != Algorithm::merge_bytes) spec.algorithm = Algorithm::merge_chars;
  spec.byte_fallback =
      spec.algorithm == Algorithm::merge_chars && flag_field(model, "byte_fallback", false);
  spec.fuse_unknown = flag_field(model, "fuse_unk", false);
  spec.ignore_merges = flag_field(model, "ignore_merges", false);
  SQ_TRY_STATUS(read_vocabulary_object(model, spec));
  if (const auto unknown = text_field(model, "unk_token"); unknown && !unknown->empty()) {
    const auto at = std::find(spec.tokens.begin(), spec.tokens.end(), *unknown);
    // `tokenizers` complains only when it meets an unknown character; none is left where bytes are
    // tokens.
    if (at != spec.tokens.end()) spec.unknown = static_cast<TokenId>(at - spec.tokens.begin());
  }
  return read_merges(model, spec);
}

Status read_unigram(Element model, TokenizerSpec& spec) {
  const auto vocab = field(model, "vocab");
  simdjson::dom::array list;
  if (!vocab || vocab->get_array().get(list) != SUCCESS) return bad("model.vocab is not a list");
  if (spec.algorithm == Algorithm::merge_bytes) return unsupported("Unigram behind ByteLevel");
  spec.algorithm = Algorithm::unigram;
  spec.byte_fallback = flag_field(model, "byte_fallback", false);
  spec.fuse_unknown = true;
  for (const Element entry : list) {
    std::string_view token;
    double score = 0;
    if (entry.at(0).get_string().get(token) != SUCCESS ||
        entry.at(1).get_double().get(score) != SUCCESS) {
      return bad(fmt::format("model.vocab[{}] is not [text, score]", spec.tokens.size()));
    }
    spec.tokens.push_back(token);
    spec.scores.push_back(score);
    spec.kinds.push_back(TokenKind::normal);
  }
  if (const auto unknown = number_field(model, "unk_id")) {
    if (*unknown < 0 || static_cast<size_t>(*unknown) >= spec.tokens.size()) {
      return bad(fmt::format("model.unk_id is {} of {} tokens", *unknown, spec.tokens.size()));
    }
    spec.unknown = static_cast<TokenId>(*unknown);
  }
  return {};
}

Status read_word_piece(Element model, TokenizerSpec& spec) {
  if (spec.algorithm == Algorithm::merge_bytes) return unsupported("WordPiece behind ByteLevel");
  spec.algorithm = Algorithm::word_piece;
  SQ_TRY_STATUS(read_vocabulary_object(model, spec));
  const std::string_view unknown = text_field(model, "unk_token").value_or("[UNK]");
  const auto at = std::find(spec.tokens.begin(), spec.tokens.end(), unknown);
  if (at == spec.tokens.end()) {
    return bad(fmt::format("model.unk_token '{}' is not in the vocabulary", printable(unknown)));
  }
  spec.unknown = static_cast<TokenId>(at - spec.tokens.begin());
  constexpr int64_t kWordCharactersMax = 10'000;
  const int64_t longest = number_field(model, "max_input_chars_per_word").value_or(100);
  if (longest < 1 || longest > kWordCharactersMax) {
    return bad(fmt::format("model.max_input_chars_per_word is {}; it must be from 1 to {}", longest,
                           kWordCharactersMax));
  }
  spec.word_characters_max = static_cast<uint32_t>(longest);
  text::set_word_piece_rules(spec, text_field(model, "continuing_subword_prefix").value_or("##"));
  return {};
}

/// Kinds of the model's tokens that their text tells.
void mark_kinds(TokenizerSpec& spec) {
  for (size_t i = 0; i < spec.tokens.size() && spec.byte_fallback; ++i) {
    const std::string_view token = spec.tokens[i];
    if (token.size() == 6 && token.starts_with("<0x") && token[5] == '>')
      spec.kinds[i] = TokenKind::byte;
  }
  if (spec.unknown) spec.kinds[static_cast<size_t>(*spec.unknown)] = TokenKind::unknown;
}

Status read_added(Element root, TokenizerSpec& spec) {
  const auto added = field(root, "added_tokens");
  if (!added) return {};
  simdjson::dom::array list;
  if (added->get_array().get(list) != SUCCESS) return bad("added_tokens is not a list");
  SQ_TRY(const text::Normalizer normalizer, text::Normalizer::create(spec.normalizer));
  const size_t entries = spec.tokens.size() + list.size();
  for (const Element item : list) {
    text::AddedToken token;
    const auto content = text_field(item, "content");
    const auto id = number_field(item, "id");
    if (!content || !id) return bad("an added token lacks 'content' or 'id'");
    if (content->empty()) continue;
    token.content = token.match = std::string(*content);
    token.special = flag_field(item, "special", false);
    token.single_word = flag_field(item, "single_word", false);
    token.strip_left = flag_field(item, "lstrip", false);
    token.strip_right = flag_field(item, "rstrip", false);
    token.normalized = flag_field(item, "normalized", !token.special);
    if (token.normalized) {
      std::string scratch;
      token.match = std::string(normalizer.apply(*content, true, scratch));
    }
    const bool known = *id >= 0 && static_cast<size_t>(*id) < spec.tokens.size();
    if (!known || spec.tokens[static_cast<size_t>(*id)].empty()) {
      SQ_TRY_STATUS(place(spec, *id, {}, entries));
    } else if (spec.tokens[static_cast<size_t>(*id)] != *content) {
      return bad(fmt::format("id {} is '{}' in the vocabulary and '{}' among the added tokens", *id,
                             printable(spec.tokens[static_cast<size_t>(*id)]),
                             printable(*content)));
    }
    token.id = static_cast<TokenId>(*id);
    TokenKind& kind = spec.kinds[static_cast<size_t>(*id)];
    if (kind != TokenKind::unknown || !token.special)
      kind = token.special ? TokenKind::control : TokenKind::user_defined;
    spec.added.push_back(std::move(token));
  }
  spec.scores.resize(spec.scores.empty() ? 0 : spec.tokens.size(), 0.0);
  return {};
}

/// What is read of tokenizer_config.json.
struct ConfigFields {
  std::string bos, eos, padding;
  std::optional<bool> add_bos, add_eos;
};

/// A special token: a string, or an object with "content"; "" for null and the rest.
std::string special_text(simdjson::ondemand::value value) {
  std::string_view text;
  if (value.get_string().get(text) == SUCCESS) return std::string(text);
  simdjson::ondemand::object object;
  if (value.get_object().get(object) != SUCCESS) return {};
  if (object.find_field_unordered("content").get_string().get(text) != SUCCESS) return {};
  return std::string(text);
}

/// Read lazily: numbers such as model_max_length = 10^30 fit no integer type and are never looked
/// at.
Result<ConfigFields> parse_config(std::string_view config_json) {
  const simdjson::padded_string text(config_json);
  simdjson::ondemand::parser parser;
  ConfigFields config;
  const auto fail = [](simdjson::error_code error) {
    return Error{ErrorCode::bad_file,
                 fmt::format("tokenizer_config.json: {}", simdjson::error_message(error))};
  };
  auto error = parser.allocate(std::max<size_t>(text.size(), 64),
                               static_cast<size_t>(limits::kJsonDepthMax));
  if (error != SUCCESS) return fail(error);
  simdjson::ondemand::document document;
  simdjson::ondemand::object root;
  if ((error = parser.iterate(text).get(document)) != SUCCESS) return fail(error);
  if ((error = document.get_object().get(root)) != SUCCESS) return fail(error);
  for (auto entry : root) {
    simdjson::ondemand::field pair;
    if ((error = std::move(entry).get(pair)) != SUCCESS) return fail(error);
    std::string_view key;
    if ((error = pair.unescaped_key().get(key)) != SUCCESS) return fail(error);
    bool flag = false;
    if (key == "bos_token") config.bos = special_text(pair.value());
    if (key == "eos_token") config.eos = special_text(pair.value());
    if (key == "pad_token") config.padding = special_text(pair.value());
    if (key == "add_bos_token" && pair.value().get_bool().get(flag) == SUCCESS)
      config.add_bos = flag;
    if (key == "add_eos_token" && pair.value().get_bool().get(flag) == SUCCESS)
      config.add_eos = flag;
  }
  return config;
}

std::optional<TokenId> id_of(const TokenizerSpec& spec, std::string_view name) {
  if (name.empty()) return std::nullopt;
  for (const text::AddedToken& added : spec.added) {
    if (added.content == name) return added.id;
  }
  const auto at = std::find(spec.tokens.begin(), spec.tokens.end(), name);
  if (at == spec.tokens.end()) return std::nullopt;
  return static_cast<TokenId>(at - spec.tokens.begin());
}

void apply_config(const ConfigFields& config, TokenizerSpec& spec) {
  spec.bos_text = config.bos;
  spec.eos_text = config.eos;
  spec.bos = id_of(spec, config.bos);
  spec.eos = id_of(spec, config.eos);
  spec.padding = id_of(spec, config.padding);
  // These two flags override the post_processor, as the classes of `transformers` that read them
  // do.
  const auto override_with = [](std::optional<bool> add, std::optional<TokenId> id,
                                std::vector<TokenId>& ids) {
    if (!add || (*add && !id)) return;
    ids.clear();
    if (*add) ids.push_back(*id);
  };
  override_with(config.add_bos, spec.bos, spec.prefix);
  override_with(config.add_eos, spec.eos, spec.suffix);
}

/// Without a config: what the file itself suggests.
void guess_specials(TokenizerSpec& spec) {
  if (!spec.prefix.empty()) spec.bos = spec.prefix.front();
  for (const std::string_view name : text::end_token_names()) {
    if (!spec.eos && !spec.added.empty()) spec.eos = id_of(spec, name);
  }
  for (const text::AddedToken& added : spec.added) {
    if (spec.bos == added.id) spec.bos_text = added.content;
    if (spec.eos == added.id) spec.eos_text = added.content;
  }
}

Status read_root(Element root, TokenizerSpec& spec) {
  const auto model = field(root, "model");
  if (!model) return bad("it has no 'model'");
  spec.algorithm = Algorithm::merge_chars;
  if (const auto part = field(root, "normalizer"))
    SQ_TRY_STATUS(text::json::read_normalizer(*part, spec.normalizer));
  if (const auto part = field(root, "pre_tokenizer"))
    SQ_TRY_STATUS(text::json::read_pretokenizer(*part, spec));
  if (!spec.pretokenizer.empty()) {
    const text::TextStep& last = spec.pretokenizer.back();
    // Mapping to the byte alphabet only matters to stages behind it.
    const bool map =
        last.kind == static_cast<uint8_t>(text::PretokenizeKind::byte_level) && last.number == 2;
    if (map) spec.pretokenizer.pop_back();
  }
  const std::string_view type = text::json::type_of(*model);
  if (type == "BPE" || (type.empty() && field(*model, "merges"))) {
    SQ_TRY_STATUS(read_bpe(*model, spec));
  } else if (type == "Unigram") {
    SQ_TRY_STATUS(read_unigram(*model, spec));
  } else if (type == "WordPiece") {
    SQ_TRY_STATUS(read_word_piece(*model, spec));
  } else {
    return unsupported(fmt::format("model '{}'", printable(type)));
  }
  mark_kinds(spec);
  SQ_TRY_STATUS(read_added(root, spec));
  if (const auto part = field(root, "post_processor"))
    SQ_TRY_STATUS(text::json::read_post_processor(*part, spec));
  if (const auto part = field(root, "decoder")) {
    SQ_TRY_STATUS(text::json::read_decoder(*part, spec));
  } else {
    spec.decode.join_with_space = spec.algorithm != Algorithm::merge_bytes;
  }
  if (spec.algorithm == Algorithm::merge_chars && spec.decode.space_symbol == "▁")
    text::add_word_split(spec);
  return {};
}

Result<Element> parse(simdjson::dom::parser& parser, const simdjson::padded_string& text,
                      std::string_view name) {
  Element root;
  const auto depth = static_cast<size_t>(limits::kJsonDepthMax);
  auto error = parser.allocate(std::max<size_t>(text.size(), 64), depth);
  if (error == SUCCESS) error = parser.parse(text).get(root);
  if (error != SUCCESS) {
    return Error{ErrorCode::bad_file, fmt::format("{}: {}", name, simdjson::error_message(error))};
  }
  if (!root.is_object())
    return Error{ErrorCode::bad_file, fmt::format("{}: is not an object", name)};
  return root;
}

}  // namespace

Result<Tokenizer> Tokenizer::from_json(Bytes tokenizer_json,
                                       std::string_view tokenizer_config_json) {
  if (tokenizer_json.size() > limits::kTokenizerBytesMax ||
      tokenizer_config_json.size() > limits::kConfigBytesMax) {
    return bad(fmt::format("{} and {} bytes; at most {} and {} are accepted", tokenizer_json.size(),
                           tokenizer_config_json.size(), limits::kTokenizerBytesMax,
                           limits::kConfigBytesMax));
  }
  const simdjson::padded_string text(as_text(tokenizer_json));
  simdjson::dom::parser parser;
  SQ_TRY(const Element root, parse(parser, text, "tokenizer.json"));
  TokenizerSpec spec;
  SQ_TRY_STATUS(read_root(root, spec));
  if (trim(tokenizer_config_json).empty()) {
    guess_specials(spec);
  } else {
    SQ_TRY(const ConfigFields config, parse_config(tokenizer_config_json));
    apply_config(config, spec);
  }
  text::collect_end_tokens(spec);
  return State::build(spec);
}

}  // namespace squish
