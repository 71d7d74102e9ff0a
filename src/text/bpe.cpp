#include "text/bpe.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "text/unicode.h"

namespace squish::text {
namespace {

constexpr size_t kCacheEntries = 4096;    // 192 KiB: stays in the second-level cache
constexpr size_t kCacheFromBytes = 2048;  // below, clearing the cache costs more than it saves
constexpr size_t kCachedWordBytes = 15;
constexpr size_t kShortSymbols = 48;  // up to here a scan of an array beats the heap

/// Maps floats to integers so that a larger float gives a smaller integer. NaN sorts at one end;
/// never UINT32_MAX.
uint32_t descending(float score) {
  uint32_t bits = 0;
  std::memcpy(&bits, &score, sizeof(bits));
  const uint32_t ascending = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  return std::min(~ascending, UINT32_MAX - 1);
}

struct LaterFirst {
  template <class T>
  bool operator()(const T& a, const T& b) const {
    return a.order > b.order;
  }
};

}  // namespace

BpeEncoder::BpeEncoder(const Vocabulary& vocabulary, const TokenizerProgram& program,
                       size_t text_bytes)
    : vocabulary_(vocabulary), program_(program) {
  if (text_bytes >= kCacheFromBytes) cache_.resize(kCacheEntries);
}

void BpeEncoder::encode(std::string_view word, std::vector<TokenId>& out) {
  if (word.empty()) return;
  if (cache_.empty() || word.size() > kCachedWordBytes) return encode_uncached(word, out);
  std::array<uint64_t, 2> key{};
  std::memcpy(key.data(), word.data(), word.size());
  key[1] |=
      uint64_t{word.size()} << 56;  // byte 15: the length, so that keys are exact and never zero
  const uint64_t hash = (key[0] ^ (key[1] * 0x9E3779B97F4A7C15ULL)) * 0xD6E8FEB86659FD93ULL;
  CacheEntry& entry = cache_[(hash >> 40) % kCacheEntries];
  if (entry.key == key) {
    out.insert(out.end(), entry.ids.begin(), entry.ids.begin() + entry.count);
    return;
  }
  const size_t before = out.size();
  encode_uncached(word, out);
  const size_t count = out.size() - before;
  if (count > entry.ids.size()) return;
  entry.key = key;
  entry.count = static_cast<int32_t>(count);
  std::copy(out.end() - static_cast<ptrdiff_t>(count), out.end(), entry.ids.begin());
}

void BpeEncoder::encode_uncached(std::string_view word, std::vector<TokenId>& out) {
  const bool bytes = program_.algorithm == Algorithm::merge_bytes;
  if (program_.ignore_merges && word.size() <= vocabulary_.token_bytes_max()) {
    const TokenId whole =
        vocabulary_.find_model(word, bytes ? TextClass::bytes : TextClass::verbatim);
    if (whole >= 0) return out.push_back(whole);
  }
  // Positions are 31 bits; longer words are cut. Prompts are limited to 64 MiB at the door.
  constexpr size_t kWordBytesMax = size_t{1} << 30;
  for (; word.size() > kWordBytesMax; word.remove_prefix(kWordBytesMax)) {
    encode_uncached(word.substr(0, kWordBytesMax), out);
  }
  symbols_.clear();
  switch (program_.algorithm) {
    case Algorithm::merge_bytes:
      split_bytes(word);
      break;
    case Algorithm::merge_chars:
      split_characters(word);
      break;
    case Algorithm::merge_scores:
    case Algorithm::unigram:
    case Algorithm::word_piece:
      split_lengths(word);
      break;
  }
  if (symbols_.size() > kShortSymbols) {
    merge_long(word);
  } else if (symbols_.size() > 1) {
    merge_short(word);
  }
  emit(word, out);
}

void BpeEncoder::add_symbol(int32_t value, size_t start) {
  const auto index = static_cast<int32_t>(symbols_.size());
  if (index > 0) symbols_.back().next = index;
  symbols_.push_back({value, index - 1, -1, static_cast<uint32_t>(start)});
}

void BpeEncoder::split_bytes(std::string_view word) {
  for (size_t i = 0; i < word.size(); ++i) {
    const TokenId id = vocabulary_.byte_id(static_cast<unsigned char>(word[i]));
    if (id >= 0) {
      add_symbol(id, i);
    } else if (program_.unknown) {
      add_symbol(*program_.unknown, i);
    }
  }
}

void BpeEncoder::split_characters(std::string_view word) {
  bool after_unknown = false;
  for (size_t i = 0; i < word.size();) {
    const std::string_view character = word.substr(i, unicode::character_at(word, i).bytes);
    const TokenId id = vocabulary_.find_model(character, TextClass::verbatim);
    if (id >= 0) {
      add_symbol(id, i);
      after_unknown = false;
    } else {
      add_unknown(character, i, after_unknown);
    }
    i += character.size();
  }
}

/// A character that is no token: its bytes if all of them have tokens, else the unknown token, else
/// nothing.
void BpeEncoder::add_unknown(std::string_view character, size_t start, bool& after_unknown) {
  const auto has_byte = [this](char c) {
    return vocabulary_.byte_id(static_cast<unsigned char>(c)) >= 0;
  };
  if (program_.byte_fallback && std::all_of(character.begin(), character.end(), has_byte)) {
    for (const char c : character)
      add_symbol(vocabulary_.byte_id(static_cast<unsigned char>(c)), start++);
    after_unknown = false;
    return;
  }
  if (!program_.unknown) return;
  if (!(after_unknown && program_.fuse_unknown)) add_symbol(*program_.unknown, start);
  after_unknown = true;
}

void BpeEncoder::split_lengths(std::string_view word) {
  for (size_t i = 0; i < word.size();) {
    const size_t bytes = unicode::character_at(word, i).bytes;
    add_symbol(static_cast<int32_t>(bytes), i);
    i += bytes;
  }
}

BpeEncoder::Merge BpeEncoder::merge_of(std::string_view word, size_t start, int32_t left,
                                       int32_t right) const {
  if (program_.algorithm != Algorithm::merge_scores) {
    const PairSlot* const pair =
        vocabulary_.find_pair(static_cast<uint32_t>(left), static_cast<uint32_t>(right));
    if (pair == nullptr) return {};
    return {pair->rank, static_cast<int32_t>(pair->id)};
  }
  const auto bytes = static_cast<size_t>(left) + static_cast<size_t>(right);
  if (bytes > vocabulary_.token_bytes_max()) return {};
  const TokenId id = vocabulary_.find_model(word.substr(start, bytes), TextClass::verbatim);
  if (id < 0) return {};
  return {descending(static_cast<float>(vocabulary_.score(id))), static_cast<int32_t>(bytes)};
}

void BpeEncoder::merge_short(std::string_view word) {
  std::array<Merge, kShortSymbols> merges;  // merges[i]: of symbols i and i + 1
  size_t count = symbols_.size();
  for (size_t i = 0; i + 1 < count; ++i) {
    merges[i] = merge_of(word, symbols_[i].start, symbols_[i].value, symbols_[i + 1].value);
  }
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].order < merges[best].order) best = i;
    }
    if (merges[best].order == UINT32_MAX) break;
    symbols_[best].value = merges[best].value;
    for (size_t i = best + 1; i + 1 < count; ++i) {
      symbols_[i] = symbols_[i + 1];
      merges[i - 1] = merges[i];
    }
    --count;
    const auto refresh = [&](size_t i) {
      merges[i] = merge_of(word, symbols_[i].start, symbols_[i].value, symbols_[i + 1].value);
    };
    if (best + 1 < count) refresh(best);
    if (best > 0) refresh(best - 1);
  }
  symbols_.resize(count);
  for (size_t i = 0; i < count; ++i)
    symbols_[i].next = i + 1 < count ? static_cast<int32_t>(i + 1) : -1;
}

void BpeEncoder::push_candidate(std::string_view word, int32_t left_index) {
  const Symbol& left = symbols_[static_cast<size_t>(left_index)];
  const Symbol& right = symbols_[static_cast<size_t>(left.next)];
  const Merge merge = merge_of(word, left.start, left.value, right.value);
  if (merge.order == UINT32_MAX) return;
  heap_.push_back({(uint64_t{merge.order} << 32) | static_cast<uint32_t>(left_index), left.value,
                   right.value, merge.value});
}

void BpeEncoder::merge_long(std::string_view word) {
  heap_.clear();
  for (size_t i = 0; i + 1 < symbols_.size(); ++i) push_candidate(word, static_cast<int32_t>(i));
  std::make_heap(heap_.begin(), heap_.end(), LaterFirst());
  const auto push = [&](int32_t index) {
    const size_t before = heap_.size();
    push_candidate(word, index);
    if (heap_.size() > before) std::push_heap(heap_.begin(), heap_.end(), LaterFirst());
  };
  constexpr int32_t kGone = std::numeric_limits<int32_t>::min();
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), LaterFirst());
    const Candidate top = heap_.back();
    heap_.pop_back();
    const auto index = static_cast<int32_t>(top.order & UINT32_MAX);
    Symbol& left = symbols_[static_cast<size_t>(index)];
    if (left.value != top.left || left.next < 0) continue;  // merged since
    Symbol& right = symbols_[static_cast<size_t>(left.next)];
    if (right.value != top.right) continue;
    left.value = top.merged;
    right.value = kGone;
    left.next = right.next;
    if (left.next >= 0) symbols_[static_cast<size_t>(left.next)].previous = index;
    if (left.previous >= 0) push(left.previous);
    if (left.next >= 0) push(index);
  }
}

void BpeEncoder::emit(std::string_view word, std::vector<TokenId>& out) {
  bool after_unknown = false;
  for (int32_t i = symbols_.empty() ? -1 : 0; i >= 0; i = symbols_[static_cast<size_t>(i)].next) {
    const Symbol& symbol = symbols_[static_cast<size_t>(i)];
    if (program_.algorithm == Algorithm::merge_scores) {
      emit_scored(word.substr(symbol.start, static_cast<size_t>(symbol.value)), out, after_unknown);
    } else {
      out.push_back(symbol.value);
    }
  }
}

void BpeEncoder::emit_scored(std::string_view text, std::vector<TokenId>& out,
                             bool& after_unknown) const {
  if (const TokenId id = vocabulary_.find_model(text, TextClass::verbatim); id >= 0) {
    out.push_back(id);
    after_unknown = false;
    return;
  }
  for (const char c : text) {
    const TokenId byte = vocabulary_.byte_id(static_cast<unsigned char>(c));
    if (program_.byte_fallback && byte >= 0) {
      out.push_back(byte);
      after_unknown = false;
    } else {
      if (program_.unknown && !(after_unknown && program_.fuse_unknown))
        out.push_back(*program_.unknown);
      after_unknown = true;
      return;  // one unknown token stands for the whole character
    }
  }
}

}  // namespace squish::text
