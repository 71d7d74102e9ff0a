#include "compress/texts.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "compress/text_data.h"

namespace squish::compress {
namespace {

constexpr uint64_t kTextBytesMax = 64 * limits::kMiB;
constexpr size_t kLastSequenceMin = 32;

/// splitmix64: a fixed rule, so that every machine grows the same text.
uint64_t next_number(uint64_t& state) {
  state += 0x9E3779B97F4A7C15U;
  uint64_t x = state;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

std::vector<std::string_view> paragraphs_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const size_t end = text.find("\n\n");
    const std::string_view paragraph = trim(text.substr(0, end));
    if (!paragraph.empty()) out.push_back(paragraph);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 2);
  }
  return out;
}

/// A paragraph of which some words are exchanged with words of another one: new sequences of tokens
/// with the same share of languages and code.
std::string crossed(std::string_view first, std::string_view second, uint64_t& state) {
  const std::vector<std::string_view> ours = split(first, ' ');
  const std::vector<std::string_view> theirs = split(second, ' ');
  std::string out;
  for (size_t i = 0; i < ours.size(); ++i) {
    const bool is_exchanged = next_number(state) % 8 == 0;
    if (i > 0) out += ' ';
    out += is_exchanged ? theirs[next_number(state) % theirs.size()] : ours[i];
  }
  return out;
}

}  // namespace

std::string calibration_text(size_t bytes) {
  std::string out(built_in_calibration_text());
  const std::vector<std::string_view> paragraphs = paragraphs_of(built_in_calibration_text());
  uint64_t state = 20261124;
  while (out.size() < bytes) {
    const std::string_view first = paragraphs[next_number(state) % paragraphs.size()];
    const std::string_view second = paragraphs[next_number(state) % paragraphs.size()];
    out += "\n\n" + crossed(first, second, state);
  }
  return out;
}

std::string_view held_out_text() { return built_in_held_out_text(); }

Result<std::string> read_text(const std::string& path) {
  namespace fs = std::filesystem;
  std::vector<std::string> files;
  if (is_directory(path)) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(path, error)) {
      if (file_exists(entry.path().string())) files.push_back(entry.path().string());
    }
    if (error) {
      return Error{ErrorCode::io, fmt::format("{}: cannot list: {}", path, error.message())};
    }
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(path);
  }
  std::string out;
  for (const std::string& file : files) {
    SQ_TRY(const std::string text, read_file(file, kTextBytesMax));
    if (!is_valid_utf8(text)) {
      return Error{
          ErrorCode::bad_file,
          fmt::format("{}: is not UTF-8 text; calibration takes plain text", printable(file, 512))};
    }
    out += text + "\n\n";
    if (out.size() > kTextBytesMax) break;
  }
  if (!trim(out).empty()) return out;
  return Error{ErrorCode::bad_file,
               fmt::format("{}: holds no text to calibrate with", printable(path, 512))};
}

CalibrationText tokenize_text(const Tokenizer& tokenizer, std::string_view text,
                              size_t sequence_tokens, size_t tokens_max) {
  // 32 bytes a token are more than any vocabulary joins on average.
  text = text.substr(0, std::min(text.size(), tokens_max * 32));
  while (!text.empty() && !is_valid_utf8(text)) text.remove_suffix(1);
  const std::vector<TokenId> tokens =
      tokenizer.encode(text, {.add_special = false, .parse_special = true});
  const std::vector<TokenId> prefix =
      tokenizer.encode("", {.add_special = true, .parse_special = false});
  const bool has_bos = tokenizer.bos() && !prefix.empty() && prefix.front() == *tokenizer.bos();
  CalibrationText out;
  size_t total = 0;
  for (size_t at = 0; at < tokens.size() && total < tokens_max;) {
    std::vector<TokenId> sequence;
    if (has_bos) sequence.push_back(*tokenizer.bos());
    while (sequence.size() < sequence_tokens && at < tokens.size()) {
      sequence.push_back(tokens[at++]);
    }
    if (sequence.size() < kLastSequenceMin && !out.sequences.empty()) break;
    total += sequence.size();
    out.sequences.push_back(std::move(sequence));
  }
  return out;
}

}  // namespace squish::compress
