// Tokenizer files: tokenizer.json, the prepared form, SentencePiece models, GGUF-like arrays, lists
// of words. The first byte chooses.
//   'j' tokenizer.json · 'c' tokenizer.json, zero byte, tokenizer_config.json · 'p' prepared, body
//   as is 'P' prepared, checksums made to fit · 's' SentencePiece · 'g' lines: model, pre, tokens,
//   empty line, merges · 'w' vocab.txt in lower case · 'W' vocab.txt as written
// What loads encodes a text and decodes it again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/hash.h"
#include "base/strings.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace {

using squish::TokenId;
using squish::Tokenizer;

void expect(bool holds) {
  if (!holds) std::abort();
}

void use(const squish::Result<Tokenizer>& loaded, std::string_view input) {
  if (!loaded.has_value()) {
    expect(!loaded.error().message.empty() &&
           loaded.error().message.find('\n') == std::string::npos);
    return;
  }
  const Tokenizer& tokenizer = *loaded;
  std::string text =
      "Hello  world's 123\r\n \xE2\x96\x81 e\xCC\x81 \xF0\x9F\x99\x82 <s><|im_end|>\xff";
  text.append(input.substr(0, 512));
  for (const bool parse_special : {false, true}) {
    const std::vector<TokenId> ids =
        tokenizer.encode(text, {.add_special = parse_special, .parse_special = parse_special});
    std::string streamed;
    squish::StreamDecoder stream(tokenizer, false);
    for (const TokenId id : ids) {
      expect(id >= 0 && static_cast<size_t>(id) < tokenizer.vocabulary_size());
      (void)tokenizer.piece(id);
      streamed += stream.push(id);
    }
    streamed += stream.flush();
    expect(squish::is_valid_utf8(streamed));
    expect(streamed == squish::replace_invalid_utf8(tokenizer.decode(ids, false)));
    (void)tokenizer.decode(ids, true);
  }
  (void)tokenizer.find(text.substr(0, 5));
}

void use_prepared(std::string_view bytes, bool fix) {
  squish::AlignedBuffer<std::byte> buffer(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.data(), bytes.data(), bytes.size());
  squish::text::PreparedHeader header{};
  if (fix && bytes.size() >= sizeof(header)) {
    std::memcpy(&header, buffer.data(), sizeof(header));
    header.total_bytes = bytes.size();
    header.body_hash = squish::hash64(buffer.span().subspan(sizeof(header)));
    header.header_hash = squish::text::hash_header(header);
    std::memcpy(buffer.data(), &header, sizeof(header));
  }
  use(Tokenizer::from_prepared(buffer.span()), bytes);
}

void use_arrays(std::string_view input) {
  const std::vector<std::string_view> lines = squish::split(input, '\n');
  squish::VocabularySource source;
  std::vector<int32_t> kinds;
  std::vector<float> scores;
  size_t i = 0;
  if (i < lines.size()) source.model = lines[i++];
  if (i < lines.size()) source.pre = lines[i++];
  for (; i < lines.size() && !lines[i].empty(); ++i) {
    kinds.push_back(lines[i].front() - '0');
    scores.push_back(static_cast<float>(lines[i].size() * 7 % 5));
    source.tokens.push_back(lines[i].substr(1));
  }
  for (++i; i < lines.size(); ++i) source.merges.push_back(lines[i]);
  source.kinds = kinds;
  source.scores = scores;
  source.eos = static_cast<TokenId>(source.tokens.size()) - 1;
  use(Tokenizer::from_vocabulary(source), input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t zero = input.find('\0');
  switch (data[0]) {
    case 'j':
      use(Tokenizer::from_json(squish::as_bytes(input), ""), input);
      break;
    case 'c':
      if (zero == std::string_view::npos) break;
      use(Tokenizer::from_json(squish::as_bytes(input.substr(0, zero)), input.substr(zero + 1)),
          input);
      break;
    case 'p':
      use_prepared(input, false);
      break;
    case 'P':
      use_prepared(input, true);
      break;
    case 's':
      use(Tokenizer::from_sentencepiece(squish::as_bytes(input)), input);
      break;
    case 'g':
      use_arrays(input);
      break;
    case 'w':
    case 'W':
      use(Tokenizer::from_word_list(squish::as_bytes(input), data[0] == 'w'), input);
      break;
    default:
      break;
  }
  return 0;
}
