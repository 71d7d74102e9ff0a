#include "text/tokenizer_program.h"

#include <cstring>

namespace squish::text {
namespace {

class Writer {
 public:
  std::string bytes;
  void u8(unsigned value) { bytes.push_back(static_cast<char>(value)); }
  void u32(uint32_t value) { bytes.append(reinterpret_cast<const char*>(&value), 4); }
  void text(std::string_view value) {
    u32(static_cast<uint32_t>(value.size()));
    bytes.append(value);
  }
  void ids(const std::vector<TokenId>& values) {
    u32(static_cast<uint32_t>(values.size()));
    for (const TokenId id : values) u32(static_cast<uint32_t>(id));
  }
  void id(std::optional<TokenId> value) { u32(static_cast<uint32_t>(value.value_or(-1))); }
  void steps(const std::vector<TextStep>& values) {
    u32(static_cast<uint32_t>(values.size()));
    for (const TextStep& step : values) {
      u8(step.kind);
      u8(static_cast<unsigned>(step.behavior));
      u8(step.invert ? 1 : 0);
      u32(step.number);
      text(step.text);
      text(step.other);
    }
  }
};

/// Every read past the end gives zeros and clears `good`.
class Reader {
 public:
  Reader(std::string_view bytes, uint32_t token_count) : bytes_(bytes), token_count_(token_count) {}
  bool good = true;

  std::string_view take(size_t count) {
    if (count > bytes_.size() - at_) {
      good = false;
      return {};
    }
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  uint8_t u8() {
    const std::string_view one = take(1);
    return one.empty() ? uint8_t{0} : static_cast<uint8_t>(one[0]);
  }
  bool boolean() {
    const uint8_t value = u8();
    good = good && value <= 1;
    return value == 1;
  }
  uint32_t u32() {
    uint32_t value = 0;
    if (const std::string_view four = take(4); four.size() == 4)
      std::memcpy(&value, four.data(), 4);
    return value;
  }
  std::string text() { return std::string(take(u32())); }
  TokenId id() {
    const uint32_t value = u32();
    good = good && value < token_count_;
    return good ? static_cast<TokenId>(value) : 0;
  }
  std::optional<TokenId> optional_id() {
    const uint32_t value = u32();
    if (value == UINT32_MAX) return std::nullopt;
    good = good && value < token_count_;
    return static_cast<TokenId>(value);
  }
  std::vector<TokenId> ids() {
    std::vector<TokenId> values;
    for (uint32_t left = u32(); left > 0 && good; --left) values.push_back(id());
    return values;
  }
  std::vector<TextStep> steps() {
    std::vector<TextStep> values;
    for (uint32_t left = u32(); left > 0 && good; --left) {
      TextStep step;
      step.kind = u8();
      const uint8_t behavior = u8();
      good = good && behavior <= static_cast<uint8_t>(SplitBehavior::contiguous);
      step.behavior = good ? static_cast<SplitBehavior>(behavior) : SplitBehavior::isolated;
      step.invert = boolean();
      step.number = u32();
      step.text = text();
      step.other = text();
      values.push_back(std::move(step));
    }
    return values;
  }
  [[nodiscard]] bool at_end() const { return at_ == bytes_.size(); }

 private:
  std::string_view bytes_;
  uint32_t token_count_;
  size_t at_ = 0;
};

}  // namespace

std::string write_program(const TokenizerSpec& spec) {
  Writer out;
  out.u8(static_cast<unsigned>(spec.algorithm));
  out.u32(spec.word_characters_max);
  out.u8(spec.byte_fallback ? 1 : 0);
  out.u8(spec.fuse_unknown ? 1 : 0);
  out.u8(spec.ignore_merges ? 1 : 0);
  out.u8(spec.single_precision ? 1 : 0);
  out.steps(spec.normalizer);
  out.steps(spec.pretokenizer);
  out.text(spec.decode.space_symbol);
  out.u8(spec.decode.strip_leading);
  out.u8(spec.decode.drop_first_symbols ? 1 : 0);
  out.u8(spec.decode.join_with_space ? 1 : 0);
  out.text(spec.decode.continuation_prefix);
  out.u8(spec.decode.joins_punctuation ? 1 : 0);
  out.ids(spec.prefix);
  out.ids(spec.suffix);
  out.ids(spec.end_tokens);
  for (const auto id : {spec.bos, spec.eos, spec.unknown, spec.padding}) out.id(id);
  out.text(spec.bos_text);
  out.text(spec.eos_text);
  return std::move(out.bytes);
}

Result<TokenizerProgram> read_program(std::string_view bytes, uint32_t token_count) {
  Reader in(bytes, token_count);
  TokenizerProgram program;
  const uint8_t algorithm = in.u8();
  in.good = in.good && algorithm <= static_cast<uint8_t>(Algorithm::word_piece);
  program.algorithm = in.good ? static_cast<Algorithm>(algorithm) : Algorithm::merge_bytes;
  program.word_characters_max = in.u32();
  program.byte_fallback = in.boolean();
  program.fuse_unknown = in.boolean();
  program.ignore_merges = in.boolean();
  program.single_precision = in.boolean();
  program.normalizer = in.steps();
  program.pretokenizer = in.steps();
  program.decode.space_symbol = in.text();
  program.decode.strip_leading = in.u8();
  program.decode.drop_first_symbols = in.boolean();
  program.decode.join_with_space = in.boolean();
  program.decode.continuation_prefix = in.text();
  program.decode.joins_punctuation = in.boolean();
  program.prefix = in.ids();
  program.suffix = in.ids();
  program.end_tokens = in.ids();
  program.bos = in.optional_id();
  program.eos = in.optional_id();
  program.unknown = in.optional_id();
  program.padding = in.optional_id();
  program.bos_text = in.text();
  program.eos_text = in.text();
  if (!in.good || !in.at_end()) {
    return Error{ErrorCode::bad_file,
                 "prepared tokenizer: its rules do not parse; remove the file to build it again"};
  }
  return program;
}

}  // namespace squish::text
