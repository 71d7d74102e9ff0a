#include "format/json_text.h"

#include <array>

namespace squish {
namespace {

enum CharacterClass : uint8_t { kOther = 0, kSpace = 1, kOperator = 2, kQuote = 4 };

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes = {};
  for (const char c : {' ', '\t', '\r', '\n'}) classes[static_cast<unsigned char>(c)] = kSpace;
  for (const char c : {'{', '}', '[', ']', ':', ','}) {
    classes[static_cast<unsigned char>(c)] = kOperator;
  }
  classes[static_cast<unsigned char>('"')] = kQuote;
  return classes;
}
constexpr std::array<uint8_t, 256> kClasses = make_classes();

}  // namespace

uint64_t json_tokens_bound(std::string_view text) {
  uint64_t operators = 0;
  uint64_t quotes = 0;
  uint64_t scalar_starts = 0;  // anything that follows a space or an operator
  uint8_t previous = kSpace;
  for (const char c : text) {
    const uint8_t now = kClasses[static_cast<unsigned char>(c)];
    operators += static_cast<uint64_t>(now == kOperator);
    quotes += static_cast<uint64_t>(now == kQuote);
    const bool separated = (previous & (kSpace | kOperator)) != 0;
    scalar_starts += static_cast<uint64_t>(separated && (now & (kSpace | kOperator)) == 0);
    previous = now;
  }
  // A string that follows another scalar without a separator is not valid, yet indexed: two quotes,
  // one token.
  return operators + scalar_starts + quotes / 2;
}

}  // namespace squish
