#include "text/pretokenize.h"

#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/pretokenize_regex.h"
#include "text/pretokenize_scan.h"
#include "text/unicode.h"

namespace squish::text {
namespace {

constexpr size_t kStagesMax = 32;

/// Bytes that are printable in Latin-1 stand for themselves; the other 68 take U+0100 and up, in
/// order.
constexpr std::array<uint16_t, 256> make_alphabet() {
  std::array<uint16_t, 256> table{};
  uint16_t next = 256;
  for (unsigned b = 0; b < 256; ++b) {
    const bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    table[b] = itself ? static_cast<uint16_t>(b) : next++;
  }
  return table;
}
constexpr std::array<uint16_t, 256> kAlphabet = make_alphabet();

constexpr std::array<int16_t, 512> make_reverse() {
  std::array<int16_t, 512> table{};
  for (auto& entry : table) entry = -1;
  for (size_t b = 0; b < 256; ++b) table[kAlphabet[b]] = static_cast<int16_t>(b);
  return table;
}
constexpr std::array<int16_t, 512> kReverse = make_reverse();

/// UTF-8 of each character of the alphabet; all are below U+0800, so one or two bytes.
struct AlphabetText {
  std::array<std::array<char, 2>, 256> bytes{};
  std::array<uint8_t, 256> length{};
};
constexpr AlphabetText make_alphabet_text() {
  AlphabetText text;
  for (size_t b = 0; b < 256; ++b) {
    const unsigned c = kAlphabet[b];
    text.length[b] = c < 128 ? 1 : 2;
    text.bytes[b][0] = static_cast<char>(c < 128 ? c : 0xC0 | (c >> 6));
    text.bytes[b][1] = static_cast<char>(0x80 | (c & 0x3F));
  }
  return text;
}
constexpr AlphabetText kAlphabetText = make_alphabet_text();

}  // namespace

std::string_view byte_alphabet(unsigned char byte) {
  return {kAlphabetText.bytes[byte].data(), kAlphabetText.length[byte]};
}

bool map_to_bytes(std::string_view spelled, std::string& out) {
  out.resize(spelled.size());
  size_t size = 0;
  for (size_t i = 0; i < spelled.size();) {
    auto c = static_cast<unsigned>(static_cast<unsigned char>(spelled[i++]));
    if (c >= 0xC2 && c <= 0xC7 && i < spelled.size()) {
      const auto low = static_cast<unsigned>(static_cast<unsigned char>(spelled[i++]));
      if ((low & 0xC0) != 0x80) return false;
      c = ((c & 0x1F) << 6) | (low & 0x3F);
    } else if (c >= 0x80) {
      return false;
    }
    if (kReverse[c] < 0) return false;
    out[size++] = static_cast<char>(kReverse[c]);
  }
  out.resize(size);
  return true;
}

std::string map_from_bytes(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) out.append(byte_alphabet(static_cast<unsigned char>(c)));
  return out;
}

struct Pretokenizer::Stage {
  TextStep step;
  std::optional<Regex> regex;
};

/// Works one piece through the stages; lives for one call of split().
struct Pretokenizer::Splitter {
  const Pretokenizer& owner;
  WordSink& sink;
  std::string unmapped;

  void run(size_t stage_index, std::string_view piece, bool at_start) {
    if (piece.empty()) return;
    if (stage_index == owner.stages_.size()) return emit(piece);
    const Stage& stage = owner.stages_[stage_index];
    switch (static_cast<PretokenizeKind>(stage.step.kind)) {
      case PretokenizeKind::scan:
        return scan(stage, stage_index + 1, piece, at_start);
      case PretokenizeKind::regex:
        return search(stage, stage_index + 1, piece, at_start);
      case PretokenizeKind::literal:
        return literal(stage, stage_index + 1, piece, at_start);
      case PretokenizeKind::byte_level:
        return byte_level(stage, stage_index + 1, piece, at_start);
      case PretokenizeKind::metaspace:
        return metaspace(stage, stage_index + 1, piece, at_start);
      case PretokenizeKind::symbol_words:
        return symbol_words(stage, stage_index + 1, piece, at_start);
    }
  }

  void emit(std::string_view piece) {
    if (!owner.unmap_) return sink.word(piece);
    sink.word(map_to_bytes(piece, unmapped) ? std::string_view(unmapped) : piece);
  }

  /// Turns the row of matches and gaps of one piece into the pieces that the behaviour asks for.
  struct Row {
    Splitter& splitter;
    const Stage& stage;
    size_t next_stage;
    std::string_view piece;
    bool at_start;
    size_t held_begin = 0;
    size_t held_end = 0;
    bool held = false;
    bool previous_match = false;

    void send(size_t begin, size_t end) {
      splitter.run(next_stage, piece.substr(begin, end - begin), at_start && begin == 0);
    }
    void hold(size_t begin, size_t end) {
      flush();
      held_begin = begin;
      held_end = end;
      held = true;
    }
    void flush() {
      if (held) send(held_begin, held_end);
      held = false;
    }
    void item(size_t begin, size_t end, bool matched) {
      if (begin == end) return;
      const bool is_match = matched != stage.step.invert;
      switch (stage.step.behavior) {
        case SplitBehavior::removed:
          if (!is_match) send(begin, end);
          break;
        case SplitBehavior::isolated:
          send(begin, end);
          break;
        case SplitBehavior::contiguous:
          if (held && is_match == previous_match) {
            held_end = end;
          } else {
            hold(begin, end);
          }
          break;
        case SplitBehavior::merged_with_previous:
          if (is_match && !previous_match && held) {
            held_end = end;
          } else {
            hold(begin, end);
          }
          break;
        case SplitBehavior::merged_with_next:
          if (!is_match && held && previous_match) {
            held_end = end;
            flush();
          } else {
            hold(begin, end);
          }
          break;
      }
      previous_match = is_match;
    }
  };

  void scan(const Stage& stage, size_t next, std::string_view piece, bool at_start) {
    Row row{*this, stage, next, piece, at_start};
    const auto rule = static_cast<ScanRule>(stage.step.number);
    size_t gap = 0;
    size_t position = 0;
    while (position < piece.size()) {
      const size_t end = match_at(rule, piece, position);
      if (end == position) {
        position += unicode::character_at(piece, position).bytes;
        continue;
      }
      row.item(gap, position, false);
      row.item(position, end, true);
      gap = position = end;
    }
    row.item(gap, piece.size(), false);
    row.flush();
  }

  void search(const Stage& stage, size_t next, std::string_view piece, bool at_start) {
    Row row{*this, stage, next, piece, at_start};
    Regex::Scratch scratch(*stage.regex);
    size_t gap = 0;
    while (const auto match = stage.regex->search(piece, gap, scratch)) {
      row.item(gap, match->first, false);
      row.item(match->first, match->second, true);
      gap = match->second;
    }
    row.item(gap, piece.size(), false);
    row.flush();
  }

  void literal(const Stage& stage, size_t next, std::string_view piece, bool at_start) {
    Row row{*this, stage, next, piece, at_start};
    const std::string_view wanted = stage.step.text;
    size_t gap = 0;
    for (size_t at = 0; (at = piece.find(wanted, gap)) != std::string_view::npos;
         gap = at + wanted.size()) {
      row.item(gap, at, false);
      row.item(at, at + wanted.size(), true);
    }
    row.item(gap, piece.size(), false);
    row.flush();
  }

  void byte_level(const Stage& stage, size_t next, std::string_view piece, bool at_start) {
    std::string changed;
    if ((stage.step.number & 1) != 0 && piece.front() != ' ') {
      changed.append(" ").append(piece);
      piece = changed;
    }
    if ((stage.step.number & 2) != 0) {
      changed = map_from_bytes(piece);
      piece = changed;
    }
    run(next, piece, at_start);
  }

  void metaspace(const Stage& stage, size_t next, std::string_view piece, bool at_start) {
    const std::string& symbol = stage.step.text;
    std::string changed;
    changed.reserve(piece.size() + piece.size() / 2 + symbol.size());
    const uint32_t scheme = stage.step.number & 3;
    const bool has_symbol = piece.front() == ' ' || piece.starts_with(symbol);
    if (!has_symbol && (scheme == 2 || (scheme == 1 && at_start))) changed.append(symbol);
    for (const char c : piece) {
      if (c == ' ') {
        changed.append(symbol);
      } else {
        changed.push_back(c);
      }
    }
    if ((stage.step.number & 4) == 0) return run(next, changed, at_start);
    literal(stage, next, changed, at_start);
  }

  void symbol_words(const Stage& stage, size_t next, std::string_view piece, bool at_start) {
    constexpr std::string_view symbol = "\xE2\x96\x81";  // ▁
    size_t start = 0;
    for (size_t at = 0; (at = piece.find(symbol, at)) != std::string_view::npos;) {
      if (at > start && stage.step.text.find(piece[at - 1]) == std::string::npos) {
        run(next, piece.substr(start, at - start), at_start && start == 0);
        start = at;
      }
      while (piece.substr(at, symbol.size()) == symbol) at += symbol.size();
    }
    run(next, piece.substr(start), at_start && start == 0);
  }
};

Pretokenizer::Pretokenizer() = default;
Pretokenizer::Pretokenizer(Pretokenizer&&) noexcept = default;
Pretokenizer& Pretokenizer::operator=(Pretokenizer&&) noexcept = default;
Pretokenizer::~Pretokenizer() = default;

Result<Pretokenizer> Pretokenizer::create(std::vector<TextStep> steps) {
  Pretokenizer pretokenizer;
  if (steps.size() > kStagesMax) {
    return Error{
        ErrorCode::unsupported,
        fmt::format("pre_tokenizer: {} stages; at most {} are accepted", steps.size(), kStagesMax)};
  }
  for (TextStep& step : steps) {
    const auto kind = static_cast<PretokenizeKind>(step.kind);
    if (kind > PretokenizeKind::symbol_words || step.behavior > SplitBehavior::contiguous) {
      return Error{ErrorCode::bad_file, fmt::format("pre_tokenizer: unknown stage {}", step.kind)};
    }
    if (kind == PretokenizeKind::scan && step.number >= static_cast<uint32_t>(ScanRule::count_)) {
      return Error{ErrorCode::bad_file, fmt::format("pre_tokenizer: unknown rule {}", step.number)};
    }
    if ((kind == PretokenizeKind::literal || kind == PretokenizeKind::metaspace) &&
        (step.text.empty() || step.text.size() > 256)) {
      return Error{
          ErrorCode::unsupported,
          fmt::format("pre_tokenizer: a text of {} bytes to split at; 1 to 256 are accepted",
                      step.text.size())};
    }
    Stage stage;
    if (kind == PretokenizeKind::regex) {
      SQ_TRY(Regex regex, Regex::compile(step.text));
      stage.regex.emplace(std::move(regex));
    }
    if (kind == PretokenizeKind::byte_level && (step.number & 2) != 0) pretokenizer.unmap_ = true;
    stage.step = std::move(step);
    pretokenizer.stages_.push_back(std::move(stage));
  }
  return pretokenizer;
}

void Pretokenizer::split(std::string_view text, bool at_start, WordSink& sink) const {
  Splitter splitter{*this, sink, {}};
  splitter.run(0, text, at_start);
}

}  // namespace squish::text
