// tokenize_lines KIND FILE [CONFIG]: JSON lines in on stdin, JSON lines out on stdout. For the
// parity tests.
//   KIND json       FILE tokenizer.json, CONFIG tokenizer_config.json
//        arrays     FILE one JSON object with the arrays of a GGUF file
//        spm        FILE a SentencePiece .model
//        prepared   FILE what "save" wrote
//   in:  {"text": "...", "add_special": false, "parse_special": true}   or {"hex": "..."} for any
//   bytes out: {"ids": [...], "decoded_hex": "...", "pieces_hex": "...", "stream": "..."}
// tokenize_lines KIND FILE CONFIG --save OUT   writes the prepared form
// tokenize_lines KIND FILE CONFIG --time TEXT  prints load and encode times: CPU time, the best of
// 5 (other work on
//                                              the machine then counts little)
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/file.h"
#include "base/strings.h"
#include "text/tokenizer.h"

namespace {

using simdjson::dom::element;
using squish::Result;
using squish::TokenId;
using squish::Tokenizer;

std::string to_hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

std::string from_hex(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || c == '"' || c == '\\') {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out.push_back(c);
    }
  }
  return out + "\"";
}

double cpu_ms() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// What `make` returns; with `ms` set, made five times, and the least CPU time.
template <class Make>
Result<Tokenizer> best_of(double* ms, const Make& make) {
  if (ms == nullptr) return make();
  *ms = 1e30;
  for (int i = 0; i < 4; ++i) {
    const double start = cpu_ms();
    const auto tokenizer = make();
    if (!tokenizer) return tokenizer.error();
    *ms = std::min(*ms, cpu_ms() - start);
  }
  const double start = cpu_ms();
  auto tokenizer = make();
  *ms = std::min(*ms, cpu_ms() - start);
  return tokenizer;
}

template <class T>
std::optional<T> optional_field(const element& object, const char* key) {
  T value{};
  if (object[key].get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

std::vector<std::string_view> strings(const element& object, const char* key) {
  std::vector<std::string_view> out;
  simdjson::dom::array list;
  if (object[key].get(list) != simdjson::SUCCESS) return out;
  for (const element item : list) out.push_back(item.get_string().value());
  return out;
}

/// The arrays of a GGUF file, as the Python side dumps them.
Result<Tokenizer> from_arrays(squish::Bytes bytes, double* build_ms) {
  simdjson::dom::parser parser;
  const simdjson::padded_string text(squish::as_text(bytes));
  element root;
  if (parser.parse(text).get(root) != simdjson::SUCCESS) {
    return squish::Error{squish::ErrorCode::bad_file, "the arrays do not parse"};
  }
  squish::VocabularySource source;
  source.model = root["model"].get_string().value();
  source.pre = optional_field<std::string_view>(root, "pre").value_or("");
  source.tokens = strings(root, "tokens");
  source.merges = strings(root, "merges");
  std::vector<float> scores;
  std::vector<int32_t> kinds;
  simdjson::dom::array list;
  if (root["scores"].get(list) == simdjson::SUCCESS) {
    for (const element item : list) scores.push_back(static_cast<float>(item.get_double().value()));
  }
  if (root["kinds"].get(list) == simdjson::SUCCESS) {
    for (const element item : list) kinds.push_back(static_cast<int32_t>(item.get_int64().value()));
  }
  source.scores = scores;
  source.kinds = kinds;
  const auto id = [&](const char* key) -> std::optional<TokenId> {
    const auto value = optional_field<int64_t>(root, key);
    return value ? std::optional(static_cast<TokenId>(*value)) : std::nullopt;
  };
  source.bos = id("bos");
  source.eos = id("eos");
  source.unknown = id("unknown");
  source.padding = id("padding");
  source.add_bos = optional_field<bool>(root, "add_bos");
  source.add_eos = optional_field<bool>(root, "add_eos");
  source.add_space_prefix = optional_field<bool>(root, "add_space_prefix");
  return best_of(build_ms, [&] { return Tokenizer::from_vocabulary(source); });
}

Result<Tokenizer> load(const std::string& kind, const squish::MappedFile& file,
                       const std::string& config, double* load_ms) {
  if (kind == "arrays") return from_arrays(file.bytes(), load_ms);
  std::string config_text;
  if (!config.empty() && squish::file_exists(config)) {
    SQ_TRY(config_text, squish::read_file(config, 1 << 24));
  }
  return best_of(load_ms, [&]() -> Result<Tokenizer> {
    if (kind == "spm") return Tokenizer::from_sentencepiece(file.bytes());
    if (kind == "prepared") return Tokenizer::from_prepared(file.bytes());
    if (kind == "json") return Tokenizer::from_json(file.bytes(), config_text);
    return squish::Error{squish::ErrorCode::invalid_argument, "unknown kind " + kind};
  });
}

void answer(const Tokenizer& tokenizer, const element& line) {
  std::string text(optional_field<std::string_view>(line, "text").value_or(""));
  if (const auto hex = optional_field<std::string_view>(line, "hex")) text = from_hex(*hex);
  Tokenizer::EncodeOptions options;
  options.add_special = optional_field<bool>(line, "add_special").value_or(false);
  options.parse_special = optional_field<bool>(line, "parse_special").value_or(true);
  const std::vector<TokenId> ids = tokenizer.encode(text, options);
  std::string pieces;
  std::string streamed;
  squish::StreamDecoder stream(tokenizer, false);
  for (const TokenId id : ids) {
    pieces += tokenizer.piece(id);
    streamed += stream.push(id);
  }
  streamed += stream.flush();
  fmt::print(
      "{{\"ids\":[{}],\"decoded_hex\":\"{}\",\"skipped_hex\":\"{}\",\"pieces_hex\":\"{}\","
      "\"stream\":{}}}\n",
      fmt::join(ids, ","), to_hex(tokenizer.decode(ids, false)),
      to_hex(tokenizer.decode(ids, true)), to_hex(pieces), json_text(streamed));
}

int time_encoding(const Tokenizer& tokenizer, const std::string& path, double load_ms) {
  const auto text = squish::read_file(path, 1U << 30);
  if (!text) return 1;
  double best = 1e30;
  size_t count = 0;
  for (int i = 0; i < 5; ++i) {
    const double start = cpu_ms();
    count = tokenizer.encode(*text, {.add_special = false}).size();
    best = std::min(best, cpu_ms() - start);
  }
  fmt::print(
      "{{\"load_ms\":{:.3f},\"encode_ms\":{:.2f},\"mb_per_s\":{:.1f},\"tokens\":{},\"vocabulary\":{"
      "}}}\n",
      load_ms, best, static_cast<double>((*text).size()) / 1e3 / best, count,
      tokenizer.vocabulary_size());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  if (arguments.size() < 3) {
    fmt::print(stderr, "usage: tokenize_lines KIND FILE [CONFIG [--save OUT | --time TEXT]]\n");
    return 2;
  }
  const auto file = squish::MappedFile::open(arguments[2]);
  if (!file) {
    fmt::print(stderr, "{}\n", file.error().message);
    return 1;
  }
  double load_ms = 0;
  const bool timed = arguments.size() == 6 && arguments[4] == "--time";
  const auto tokenizer = load(arguments[1], *file, arguments.size() > 3 ? arguments[3] : "",
                              timed ? &load_ms : nullptr);
  if (!tokenizer) {
    fmt::print(stderr, "{}\n", tokenizer.error().message);
    return 1;
  }
  if (arguments.size() == 6 && arguments[4] == "--save") {
    const auto saved =
        squish::write_file_atomic(arguments[5], squish::as_bytes((*tokenizer).serialize()));
    return saved ? 0 : 1;
  }
  if (timed) return time_encoding(*tokenizer, arguments[5], load_ms);
  simdjson::dom::parser parser;
  for (std::string line; std::getline(std::cin, line);) {
    element request;
    if (parser.parse(line).get(request) != simdjson::SUCCESS) {
      fmt::print(stderr, "not JSON: {}\n", squish::printable(line));
      return 1;
    }
    answer(*tokenizer, request);
  }
  return 0;
}
