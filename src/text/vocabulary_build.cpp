#include "text/vocabulary_build.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/strings.h"
#include "text/pretokenize.h"
#include "text/tokenizer_added.h"
#include "text/tokenizer_program.h"
#include "text/vocabulary.h"

namespace squish::text {
namespace {

Error bad(const std::string& what) { return Error{ErrorCode::bad_file, "vocabulary: " + what}; }

size_t slots_for(size_t entries) {
  size_t slots = 16;
  while (slots < entries + entries / 2) slots *= 2;
  return slots;
}

}  // namespace

/// Lays the sections out once and fills them in place.
class VocabularyBuilder {
 public:
  explicit VocabularyBuilder(const TokenizerSpec& spec)
      : spec_(spec),
        program_(write_program(spec)),
        byte_level_(spec.algorithm == Algorithm::merge_bytes),
        text_mask_(slots_for(spec.tokens.size() + spec.added.size()) - 1),
        pair_mask_(slots_for(spec.merges.size()) - 1) {}

  Result<AlignedBuffer<std::byte>> build() {
    raw_trie_ = build_trie(spec_.added, false);
    normalized_trie_ = build_trie(spec_.added, true);
    SQ_TRY_STATUS(lay_out());
    copy(Section::raw_trie, raw_trie_.data(), raw_trie_.size() * sizeof(TrieNode));
    copy(Section::normalized_trie, normalized_trie_.data(),
         normalized_trie_.size() * sizeof(TrieNode));
    copy(Section::program, program_.data(), program_.size());
    copy(Section::scores, spec_.scores.data(), spec_.scores.size() * sizeof(double));
    SQ_TRY_STATUS(add_tokens());
    SQ_TRY_STATUS(add_added());
    trim();
    fill_byte_ids();
    SQ_TRY_STATUS(add_merges());
    std::memcpy(blob_.data(), &header_, sizeof(header_));
    return std::move(blob_);
  }

 private:
  template <class T>
  T* data(Section which) {
    return reinterpret_cast<T*>(blob_.data() + header_.sections[static_cast<size_t>(which)].offset);
  }
  void copy(Section which, const void* from, size_t bytes) {
    if (bytes != 0) std::memcpy(data<std::byte>(which), from, bytes);
  }

  Status lay_out() {
    const size_t n = spec_.tokens.size();
    size_t text_bytes = 0;
    for (const std::string_view token : spec_.tokens) text_bytes += token.size();
    // A token that is only an added one has its text as content, as match and as the text of its
    // id.
    for (const AddedToken& added : spec_.added)
      text_bytes += added.content.size() + 2 * added.match.size();
    if (text_bytes > UINT32_MAX)
      return bad(fmt::format("{} bytes of token text; at most {}", text_bytes, UINT32_MAX));
    const std::array<size_t, kSectionCount> bytes = {(n + 1) * 4,
                                                     n,
                                                     n,
                                                     spec_.scores.size() * sizeof(double),
                                                     (text_mask_ + 1) * sizeof(TextSlot),
                                                     (pair_mask_ + 1) * sizeof(PairSlot),
                                                     1024,
                                                     spec_.added.size() * sizeof(AddedRecord),
                                                     raw_trie_.size() * sizeof(TrieNode),
                                                     normalized_trie_.size() * sizeof(TrieNode),
                                                     program_.size(),
                                                     text_bytes};
    size_t at = (sizeof(PreparedHeader) + 63) / 64 * 64;
    for (size_t i = 0; i < kSectionCount; ++i) {
      header_.sections[i] = {at, bytes[i]};
      at = (at + bytes[i] + 63) / 64 * 64;
    }
    header_.magic = {'S', 'Q', 'T', 'O', 'K', 'E', 'N', '\0'};
    header_.version = kPreparedVersion;
    header_.byte_order = 0x01020304;
    header_.token_count = static_cast<uint32_t>(n);
    header_.added_count = static_cast<uint32_t>(spec_.added.size());
    header_.total_bytes = at;
    blob_ = AlignedBuffer<std::byte>(at);
    return {};
  }

  /// Puts `text` behind the texts so far.
  uint32_t append(std::string_view text) {
    if (!text.empty())
      std::memcpy(data<char>(Section::texts) + texts_used_, text.data(), text.size());
    const size_t offset = texts_used_;
    texts_used_ += text.size();
    return static_cast<uint32_t>(offset);
  }

  /// `text` only for the message.
  Status insert_text(uint64_t hash, uint32_t index, std::string_view text) {
    TextSlot* const table = data<TextSlot>(Section::text_table);
    for (uint32_t probe = 0; probe <= kProbesMax; ++probe) {
      TextSlot& slot = table[(hash + probe) & text_mask_];
      if (slot.index_plus != 0) continue;
      slot = {static_cast<uint32_t>(hash >> 32), index + 1};
      header_.text_probes = std::max(header_.text_probes, probe);
      return {};
    }
    return bad(fmt::format("more than {} tokens collide at '{}'", kProbesMax, printable(text)));
  }

  /// The texts of all ids: of the model's tokens, else of the added token with that id. Lower ids
  /// win a shared text.
  Status add_tokens() {
    const size_t n = spec_.tokens.size();
    std::vector<const AddedToken*> added_of(spec_.added.empty() ? 0 : n, nullptr);
    for (const AddedToken& added : spec_.added) added_of[static_cast<size_t>(added.id)] = &added;
    auto* const offsets = data<uint32_t>(Section::offsets);
    auto* const kinds = data<uint8_t>(Section::kinds);
    auto* const flags = data<uint8_t>(Section::flags);
    std::string bytes;
    std::vector<uint64_t> hashes(n);
    for (size_t i = 0; i < n; ++i) {
      const AddedToken* const added = added_of.empty() ? nullptr : added_of[i];
      const bool in_model = !spec_.tokens[i].empty();
      const std::string_view spelled = in_model           ? spec_.tokens[i]
                                       : added != nullptr ? added->match
                                                          : std::string_view{};
      const bool mapped = byte_level_ && map_to_bytes(spelled, bytes);
      const std::string_view text = mapped ? std::string_view(bytes) : spelled;
      offsets[i] = append(text);
      offsets[i + 1] = static_cast<uint32_t>(texts_used_);
      kinds[i] = static_cast<uint8_t>(spec_.kinds[i]);
      unsigned flag = mapped ? 0U : unsigned{kTokenVerbatim};
      if (!spelled.empty()) flag |= kTokenPresent;
      if ((added != nullptr && added->special) || hidden(spec_.kinds[i])) flag |= kTokenSpecial;
      if (in_model && mergeable(spec_.kinds[i])) {
        flag |= kTokenModel;
        header_.token_bytes_max =
            std::max(header_.token_bytes_max, static_cast<uint32_t>(text.size()));
        hashes[i] = hash_token_text(text, mapped ? TextClass::bytes : TextClass::verbatim);
      }
      flags[i] = static_cast<uint8_t>(flag);
    }
    for (size_t i = 0; i < n; ++i) {
      constexpr size_t kAhead = 16;  // the table is larger than the second-level cache
      if (i + kAhead < n)
        __builtin_prefetch(data<TextSlot>(Section::text_table) + (hashes[i + kAhead] & text_mask_),
                           1);
      if ((flags[i] & kTokenModel) != 0) {
        SQ_TRY_STATUS(insert_text(hashes[i], static_cast<uint32_t>(i), spec_.tokens[i]));
      }
    }
    for (const TokenId id : spec_.end_tokens)
      flags[id] = static_cast<uint8_t>(flags[id] | kTokenEnd);
    return {};
  }

  static bool hidden(TokenKind kind) {
    return kind == TokenKind::control || kind == TokenKind::unknown;
  }

  /// Tokens that text can become without being written out: control and byte tokens of scored
  /// vocabularies are not.
  [[nodiscard]] bool mergeable(TokenKind kind) const {
    const bool by_rank =
        spec_.algorithm == Algorithm::merge_bytes || spec_.algorithm == Algorithm::merge_chars;
    if (by_rank && spec_.scores.empty()) return true;
    return kind == TokenKind::normal || kind == TokenKind::user_defined ||
           kind == TokenKind::unused;
  }

  Status add_added() {
    auto* const records = data<AddedRecord>(Section::added);
    for (uint32_t i = 0; i < spec_.added.size(); ++i) {
      const AddedToken& added = spec_.added[i];
      AddedRecord& record = records[i];
      record.content_bytes = static_cast<uint32_t>(added.content.size());
      record.content_offset = append(added.content);
      record.match_bytes = static_cast<uint32_t>(added.match.size());
      record.match_offset = append(added.match);
      record.id = added.id;
      record.flags = (added.special ? kAddedSpecial : 0U) | (added.single_word ? kAddedWord : 0U) |
                     (added.strip_left ? kAddedLeft : 0U) | (added.strip_right ? kAddedRight : 0U) |
                     (added.normalized ? kAddedNormalized : 0U);
      SQ_TRY_STATUS(insert_text(hash_token_text(added.content, TextClass::added),
                                header_.token_count + i, added.content));
    }
    return {};
  }

  /// Byte mapping made the texts shorter than reserved.
  void trim() {
    header_.sections[static_cast<size_t>(Section::texts)].bytes = texts_used_;
    header_.total_bytes =
        header_.sections[static_cast<size_t>(Section::texts)].offset + texts_used_;
  }

  /// A view of what is filled in so far, for look-ups while building.
  Vocabulary view() {
    Vocabulary v;
    v.header_ = header_;
    v.header_.text_probes = header_.text_probes;
    const size_t n = header_.token_count;
    v.offsets_ = {data<uint32_t>(Section::offsets), n + 1};
    v.flags_ = {data<uint8_t>(Section::flags), n};
    v.text_table_ = {data<TextSlot>(Section::text_table), text_mask_ + 1};
    v.texts_ = {data<char>(Section::texts), texts_used_};
    return v;
  }

  void fill_byte_ids() {
    auto* const ids = data<int32_t>(Section::byte_ids);
    std::fill_n(ids, 256, -1);
    if (byte_level_) {
      const Vocabulary v = view();
      for (unsigned b = 0; b < 256; ++b) {
        const char byte = static_cast<char>(b);
        ids[b] = v.find_model({&byte, 1}, TextClass::bytes);
      }
      return;
    }
    if (!spec_.byte_fallback) return;
    for (size_t i = spec_.tokens.size(); i-- > 0;) {  // downwards: the lowest id wins
      if (const int byte = byte_of_name(spec_.tokens[i]); byte >= 0)
        ids[byte] = static_cast<int32_t>(i);
    }
  }

  /// "<0x0A>" → 10, else -1.
  static int byte_of_name(std::string_view text) {
    if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
    int value = 0;
    for (const char c : text.substr(3, 2)) {
      if (c >= '0' && c <= '9') {
        value = value * 16 + (c - '0');
      } else if (c >= 'A' && c <= 'F') {
        value = value * 16 + (c - 'A' + 10);
      } else {
        return -1;
      }
    }
    return value;
  }

  struct Side {
    std::string text;
    TextClass text_class = TextClass::verbatim;
    TokenId id = -1;
  };
  struct Pending {
    Side left, right;
    TokenId made = -1;
  };

  /// Spells out one side of a merge and asks the memory for its place in the table.
  void prepare(std::string_view spelled, Side& side) {
    const bool mapped = byte_level_ && map_to_bytes(spelled, side.text);
    if (!mapped) side.text.assign(spelled);
    side.text_class = mapped ? TextClass::bytes : TextClass::verbatim;
    __builtin_prefetch(data<TextSlot>(Section::text_table) +
                       (hash_token_text(side.text, side.text_class) & text_mask_));
  }

  /// In blocks, so that the cache misses of a block overlap: with the like in add_tokens() all of
  /// Qwen2.5 (151,936 tokens, 151,387 merges) takes 25 ms instead of 46.
  Status add_merges() {
    constexpr size_t kBlock = 16;
    const Vocabulary v = view();
    std::array<Pending, kBlock> block;
    TokenId guess = 0;
    for (size_t begin = 0; begin < spec_.merges.size(); begin += kBlock) {
      const size_t count = std::min(kBlock, spec_.merges.size() - begin);
      for (size_t i = 0; i < count; ++i) {
        prepare(spec_.merges[begin + i].first, block[i].left);
        prepare(spec_.merges[begin + i].second, block[i].right);
      }
      for (size_t i = 0; i < count; ++i) {
        block[i].left.id = v.find_model(block[i].left.text, block[i].left.text_class);
        block[i].right.id = v.find_model(block[i].right.text, block[i].right.text_class);
        prefetch_pair(block[i]);
      }
      for (size_t i = 0; i < count; ++i) {
        SQ_TRY_STATUS(find_made(v, begin + i, block[i], guess));
        SQ_TRY_STATUS(insert_pair(block[i].left.id, block[i].right.id, begin + i, block[i].made));
      }
    }
    return {};
  }

  void prefetch_pair(const Pending& merge) {
    const uint64_t hash =
        hash_pair(static_cast<uint32_t>(merge.left.id), static_cast<uint32_t>(merge.right.id));
    __builtin_prefetch(data<PairSlot>(Section::pair_table) + ((hash >> 16) & pair_mask_), 1);
  }

  /// The token that a merge makes. Most vocabularies number tokens in merge order, so the id after
  /// the last one made is tried before the hash table.
  Status find_made(const Vocabulary& v, size_t rank, Pending& merge, TokenId& guess) const {
    const auto& [left_text, right_text] = spec_.merges[rank];
    const bool mapped =
        merge.left.text_class == TextClass::bytes && merge.right.text_class == TextClass::bytes;
    std::string& joined = merge.left.text;
    if (mapped) {
      joined.append(merge.right.text);
    } else {
      joined.assign(left_text).append(right_text);
    }
    ++guess;
    const bool guessed = v.text(guess) == joined && (v.flags(guess) & kTokenModel) != 0 &&
                         ((v.flags(guess) & kTokenVerbatim) == 0) == mapped;
    if (!guessed) guess = v.find_model(joined, mapped ? TextClass::bytes : TextClass::verbatim);
    merge.made = guess;
    if (merge.left.id >= 0 && merge.right.id >= 0 && guess >= 0) return {};
    return bad(fmt::format("merge {} ('{}' + '{}') {} a token that the vocabulary does not have",
                           rank, printable(left_text), printable(right_text),
                           merge.left.id < 0 || merge.right.id < 0 ? "names" : "makes"));
  }

  Status insert_pair(TokenId left, TokenId right, size_t rank, TokenId id) {
    PairSlot* const table = data<PairSlot>(Section::pair_table);
    const auto l = static_cast<uint32_t>(left);
    const auto r = static_cast<uint32_t>(right);
    const uint64_t hash = hash_pair(l, r);
    for (uint32_t probe = 0; probe <= kProbesMax; ++probe) {
      PairSlot& slot = table[((hash >> 16) + probe) & pair_mask_];
      const bool same = slot.left_plus == l + 1 && slot.right == r;
      if (slot.left_plus != 0 && !same) continue;
      slot = {l + 1, r, static_cast<uint32_t>(rank),
              static_cast<uint32_t>(id)};  // a repeated merge: the last rank
      header_.pair_probes = std::max(header_.pair_probes, probe);
      return {};
    }
    return bad(fmt::format("more than {} merges collide at rank {}", kProbesMax, rank));
  }

  const TokenizerSpec& spec_;
  std::string program_;
  bool byte_level_;
  std::vector<TrieNode> raw_trie_;
  std::vector<TrieNode> normalized_trie_;
  size_t text_mask_;
  size_t pair_mask_;
  PreparedHeader header_{};
  AlignedBuffer<std::byte> blob_;
  size_t texts_used_ = 0;
};

Result<AlignedBuffer<std::byte>> build_vocabulary(const TokenizerSpec& spec) {
  SQ_TRY_STATUS(check_spec(spec));
  return VocabularyBuilder(spec).build();
}

void stamp_checksums(std::span<std::byte> blob) {
  PreparedHeader header{};
  std::memcpy(&header, blob.data(), sizeof(header));
  header.body_hash = hash64(blob.subspan(sizeof(header)));
  header.header_hash = hash_header(header);
  std::memcpy(blob.data(), &header, sizeof(header));
}

}  // namespace squish::text
