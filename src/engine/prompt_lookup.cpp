#include "engine/prompt_lookup.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace squish {

PromptLookup::PromptLookup(size_t capacity)
    : table_(std::bit_ceil(std::max<size_t>(64, 2 * capacity)), -1), previous_(capacity + 1, -1) {}

size_t PromptLookup::slot_of(const TokenId* gram) const {
  uint64_t hash = 0;
  for (int32_t i = 0; i < kGram; ++i)
    hash = (hash ^ static_cast<uint32_t>(gram[i])) * 0x9E3779B97F4A7C15U;
  return (hash >> 32) & (table_.size() - 1);
}

/// Position p stands for the group tokens[p - kGram, p). The last group is what is looked for and
/// is added once a token follows it.
void PromptLookup::add(std::span<const TokenId> tokens) {
  indexed_ = std::max<size_t>(indexed_, kGram);
  for (; indexed_ < tokens.size(); ++indexed_) {
    int32_t& last = table_[slot_of(tokens.data() + indexed_ - kGram)];
    previous_[indexed_] = last;
    last = static_cast<int32_t>(indexed_);
  }
}

Draft PromptLookup::find(std::span<const TokenId> tokens, std::span<TokenId> out) {
  const auto count = static_cast<int32_t>(tokens.size());
  SQ_CHECK(tokens.size() < previous_.size());
  if (count <= kGram || out.empty()) return {};
  add(tokens);
  Draft draft;
  int32_t best = -1;
  int32_t place = table_[slot_of(tokens.data() + count - kGram)];
  for (int i = 0; i < kPlacesMax && place >= 0; ++i) {
    int32_t length = 0;
    const int32_t limit = std::min(place, kMatchMax);
    while (length < limit && tokens[static_cast<size_t>(place - 1 - length)] ==
                                 tokens[static_cast<size_t>(count - 1 - length)]) {
      ++length;
    }
    if (length >= kGram && length > draft.match_length) {
      draft.match_length = length;
      best = place;
    }
    place = previous_[static_cast<size_t>(place)];
  }
  if (best < 0) return {};
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t from = static_cast<size_t>(best) + i;
    out[i] = from < tokens.size() ? tokens[from] : out[from - tokens.size()];
  }
  draft.count = out.size();
  return draft;
}

}  // namespace squish
