#include "text/vocabulary.h"

#include <limits>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/limits.h"

namespace squish::text {
namespace {

__extension__ using Wide = unsigned __int128;

uint64_t fold(uint64_t a, uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t load(const char* from, size_t bytes) {
  uint64_t value = 0;
  std::memcpy(&value, from, bytes);
  return value;
}

Error bad(const std::string& what) {
  return Error{ErrorCode::bad_file, "prepared tokenizer: " + what};
}

bool power_of_two(size_t n) { return n != 0 && (n & (n - 1)) == 0; }

constexpr std::array<char, 8> kMagic = {'S', 'Q', 'T', 'O', 'K', 'E', 'N', '\0'};

}  // namespace

uint64_t hash_token_text(std::string_view text, TextClass text_class) {
  // Multiply and fold, 8 bytes a step: 2 ns for the short texts here, half of XXH3 through a call.
  uint64_t hash = static_cast<uint64_t>(text_class) * 0x9E3779B97F4A7C15ULL ^ text.size();
  const char* at = text.data();
  size_t left = text.size();
  for (; left >= 8; at += 8, left -= 8) hash = fold(hash ^ load(at, 8), 0xE7037ED1A0B428DBULL);
  if (left >= 4) {
    hash = fold(hash ^ (load(at, 4) | load(at + left - 4, 4) << 32), 0x8EBC6AF09C88C6E3ULL);
  } else if (left > 0) {
    const uint64_t tail = load(at, 1) | load(at + left / 2, 1) << 8 | load(at + left - 1, 1) << 16;
    hash = fold(hash ^ tail, 0x589965CC75374CC3ULL);
  }
  return fold(hash, 0x1D8E4E27C47D124FULL);
}

uint64_t hash_header(PreparedHeader header) {
  header.header_hash = 0;
  return hash64({reinterpret_cast<const std::byte*>(&header), sizeof(header)});
}

template <class T>
Result<std::span<const T>> Vocabulary::section(Section which, const char* name,
                                               size_t count_wanted) const {
  const SectionRange range = header_.sections[static_cast<size_t>(which)];
  if (range.offset % 64 != 0 || range.offset > blob_.size() ||
      range.bytes > blob_.size() - range.offset || range.bytes % sizeof(T) != 0) {
    return bad(fmt::format("section {} is {} bytes at {} in a file of {}", name, range.bytes,
                           range.offset, blob_.size()));
  }
  const size_t count = range.bytes / sizeof(T);
  if (count_wanted != std::numeric_limits<size_t>::max() && count != count_wanted) {
    return bad(fmt::format("section {} has {} entries, expected {}", name, count, count_wanted));
  }
  return std::span<const T>(reinterpret_cast<const T*>(blob_.data() + range.offset), count);
}

Result<Vocabulary> Vocabulary::open(Bytes blob, bool verify_body) {
  Vocabulary v;
  v.blob_ = blob;
  PreparedHeader& header = v.header_;
  if (blob.size() < sizeof(header))
    return bad(fmt::format("{} bytes, shorter than its header", blob.size()));
  if (reinterpret_cast<uintptr_t>(blob.data()) % 8 != 0)
    return bad("not aligned to 8 bytes in memory");
  std::memcpy(&header, blob.data(), sizeof(header));
  if (header.magic != kMagic) return bad("does not begin with SQTOKEN");
  if (header.byte_order != 0x01020304) return bad("written on a machine of the other byte order");
  if (header.version != kPreparedVersion) {
    return bad(fmt::format("version {}, this program writes {}", header.version, kPreparedVersion));
  }
  if (header.header_hash != hash_header(header)) return bad("header checksum does not match");
  if (header.total_bytes != blob.size()) {
    return bad(fmt::format("says {} bytes, has {}", header.total_bytes, blob.size()));
  }
  if (header.token_count == 0 || header.token_count > limits::kVocabularySizeMax) {
    return bad(fmt::format("{} tokens; 1 to {} are accepted", header.token_count,
                           limits::kVocabularySizeMax));
  }
  if (verify_body && hash64(blob.subspan(sizeof(header))) != header.body_hash) {
    return bad("body checksum does not match");
  }
  constexpr size_t any = std::numeric_limits<size_t>::max();
  const size_t n = header.token_count;
  SQ_TRY(v.offsets_, v.section<uint32_t>(Section::offsets, "offsets", n + 1));
  SQ_TRY(v.kinds_, v.section<uint8_t>(Section::kinds, "kinds", n));
  SQ_TRY(v.flags_, v.section<uint8_t>(Section::flags, "flags", n));
  SQ_TRY(v.scores_, v.section<double>(Section::scores, "scores", any));
  SQ_TRY(v.text_table_, v.section<TextSlot>(Section::text_table, "text table", any));
  SQ_TRY(v.pair_table_, v.section<PairSlot>(Section::pair_table, "pair table", any));
  SQ_TRY(v.byte_ids_, v.section<int32_t>(Section::byte_ids, "byte ids", 256));
  SQ_TRY(v.added_, v.section<AddedRecord>(Section::added, "added tokens", header.added_count));
  SQ_TRY(v.raw_trie_, v.section<TrieNode>(Section::raw_trie, "raw trie", any));
  SQ_TRY(v.normalized_trie_, v.section<TrieNode>(Section::normalized_trie, "normalized trie", any));
  SQ_TRY(const auto program, v.section<char>(Section::program, "program", any));
  SQ_TRY(const auto texts, v.section<char>(Section::texts, "texts", any));
  v.program_ = {program.data(), program.size()};
  v.texts_ = {texts.data(), texts.size()};
  SQ_TRY_STATUS(v.check());
  return v;
}

/// What the accessors rely on. Ids inside the tables are checked where they are used instead.
Status Vocabulary::check() const {
  uint32_t previous = 0;
  for (const uint32_t offset : offsets_) {
    if (offset < previous || offset > texts_.size()) {
      return bad(fmt::format("token text at {} in {} bytes of texts", offset, texts_.size()));
    }
    previous = offset;
  }
  for (const uint8_t kind : kinds_) {
    if (kind < 1 || kind > 6) return bad(fmt::format("token kind {}; 1 to 6 are known", kind));
  }
  if (!power_of_two(text_table_.size()) || !power_of_two(pair_table_.size())) {
    return bad(fmt::format("hash tables of {} and {} slots are not powers of two",
                           text_table_.size(), pair_table_.size()));
  }
  if (header_.text_probes > kProbesMax || header_.pair_probes > kProbesMax) {
    return bad(fmt::format("hash tables with walks of {} and {}; at most {} are accepted",
                           header_.text_probes, header_.pair_probes, kProbesMax));
  }
  if (!scores_.empty() && scores_.size() != token_count()) {
    return bad(fmt::format("{} scores for {} tokens", scores_.size(), token_count()));
  }
  for (const int32_t id : byte_ids_) {
    if (id != -1 && !contains(id))
      return bad(fmt::format("byte token {} of {}", id, token_count()));
  }
  for (const AddedRecord& record : added_) {
    if (!contains(record.id))
      return bad(fmt::format("added token {} of {}", record.id, token_count()));
  }
  for (const auto trie : {raw_trie_, normalized_trie_}) {
    for (size_t i = 0; i < trie.size(); ++i) {
      const TrieNode& node = trie[i];
      // Children lie behind their parent, so every walk ends.
      const bool children_ok =
          node.child_count == 0 || (node.first_child > i && node.first_child < trie.size() &&
                                    node.child_count <= trie.size() - node.first_child);
      if (!children_ok || node.added_plus > added_.size())
        return bad(fmt::format("trie node {} points outside", i));
    }
  }
  return {};
}

std::string_view Vocabulary::slice(uint64_t offset, uint64_t bytes) const {
  if (offset > texts_.size() || bytes > texts_.size() - offset) return {};
  return texts_.substr(offset, bytes);
}

std::string_view Vocabulary::text(TokenId id) const {
  if (!contains(id)) return {};
  const auto i = static_cast<size_t>(id);
  return texts_.substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
}

std::string_view Vocabulary::added_content(const AddedRecord& record) const {
  return slice(record.content_offset, record.content_bytes);
}

TokenKind Vocabulary::kind(TokenId id) const {
  return contains(id) ? static_cast<TokenKind>(kinds_[static_cast<size_t>(id)]) : TokenKind::unused;
}

TokenId Vocabulary::find_model(std::string_view wanted, TextClass text_class) const {
  const uint64_t hash = hash_token_text(wanted, text_class);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = text_table_.size() - 1;
  const bool verbatim = text_class == TextClass::verbatim;
  for (size_t probe = 0; probe <= header_.text_probes; ++probe) {
    const TextSlot slot = text_table_[(hash + probe) & mask];
    if (slot.index_plus == 0) return -1;
    if (slot.tag != tag || slot.index_plus > token_count()) continue;
    const auto id = static_cast<TokenId>(slot.index_plus - 1);
    if (((flags_[static_cast<size_t>(id)] & kTokenVerbatim) != 0) == verbatim && text(id) == wanted)
      return id;
  }
  return -1;
}

TokenId Vocabulary::find_added(std::string_view content) const {
  const uint64_t hash = hash_token_text(content, TextClass::added);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = text_table_.size() - 1;
  for (size_t probe = 0; probe <= header_.text_probes; ++probe) {
    const TextSlot slot = text_table_[(hash + probe) & mask];
    if (slot.index_plus == 0) return -1;
    if (slot.tag != tag || slot.index_plus <= token_count()) continue;
    const size_t index = slot.index_plus - 1 - size_t{token_count()};
    if (index < added_.size() && added_content(added_[index]) == content) return added_[index].id;
  }
  return -1;
}

const PairSlot* Vocabulary::find_pair(uint32_t left, uint32_t right) const {
  const uint64_t hash = hash_pair(left, right);
  const size_t mask = pair_table_.size() - 1;
  for (size_t probe = 0; probe <= header_.pair_probes; ++probe) {
    const PairSlot& slot = pair_table_[((hash >> 16) + probe) & mask];
    if (slot.left_plus == 0) return nullptr;
    if (slot.left_plus == left + 1 && slot.right == right)
      return slot.id < token_count() ? &slot : nullptr;
  }
  return nullptr;
}

}  // namespace squish::text
