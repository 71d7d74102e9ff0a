#pragma once
// The flat tables of a tokenizer: one block of bytes without pointers, used in place after building
// and after mapping.
//
//   header | token offsets u32[n+1] | kinds u8[n] | flags u8[n] | scores f64[n or 0] | text table |
//   pair table | byte ids i32[256] | added records | raw trie | normalized trie | program | text
//   bytes
//
// Sections start at multiples of 64. Little-endian. version changes whenever a meaning does.
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "base/file.h"
#include "base/result.h"
#include "text/tokenizer_spec.h"

namespace squish::text {

constexpr uint32_t kPreparedVersion = 2;
constexpr uint32_t kProbesMax =
    4096;  // longest walk in a hash table that a builder may leave and a reader accepts

enum class Section : uint32_t {
  offsets,
  kinds,
  flags,
  scores,
  text_table,
  pair_table,
  byte_ids,
  added,
  raw_trie,
  normalized_trie,
  program,
  texts,
  count_,
};
constexpr size_t kSectionCount = static_cast<size_t>(Section::count_);

struct SectionRange {
  uint64_t offset;
  uint64_t bytes;
};

struct PreparedHeader {
  std::array<char, 8> magic;  // "SQTOKEN" and a zero
  uint32_t version;
  uint32_t byte_order;   // 0x01020304 as the writer sees it
  uint64_t header_hash;  // of this header with this field zero
  uint64_t body_hash;    // of everything behind the header
  uint64_t total_bytes;
  uint32_t token_count;
  uint32_t added_count;
  uint32_t text_probes;  // longest walks in the two tables
  uint32_t pair_probes;
  uint32_t token_bytes_max;
  uint32_t reserved;
  std::array<SectionRange, kSectionCount> sections;
};
static_assert(sizeof(PreparedHeader) == 64 + 16 * kSectionCount);

struct TextSlot {
  uint32_t tag;         // upper half of the hash
  uint32_t index_plus;  // token id, or token_count + index of an added record, plus 1; 0: empty
};
struct PairSlot {
  uint32_t left_plus;  // left id plus 1; 0: empty
  uint32_t right;
  uint32_t rank;
  uint32_t id;
};
struct AddedRecord {
  uint32_t content_offset, content_bytes;
  uint32_t match_offset, match_bytes;
  int32_t id;
  uint32_t flags;  // AddedFlag
};
enum AddedFlag : uint32_t {
  kAddedSpecial = 1,
  kAddedWord = 2,
  kAddedLeft = 4,
  kAddedRight = 8,
  kAddedNormalized = 16
};
struct TrieNode {
  uint32_t first_child;
  uint32_t added_plus;  // index of an added record plus 1; 0: no token ends here
  uint16_t child_count;
  uint8_t label;
  uint8_t reserved;
};
static_assert(sizeof(TextSlot) == 8 && sizeof(PairSlot) == 16 && sizeof(AddedRecord) == 24 &&
              sizeof(TrieNode) == 12);

enum TokenFlag : uint8_t {
  kTokenModel = 1,     // of the model's own vocabulary: merges may produce it
  kTokenVerbatim = 2,  // its text is not in the byte-level alphabet
  kTokenSpecial = 4,   // left out by decode(skip_special)
  kTokenEnd = 8,
  kTokenPresent = 16,
};

/// Which name space a text is looked up in.
enum class TextClass : uint64_t { bytes = 0x51, verbatim = 0x52, added = 0x53 };

uint64_t hash_token_text(std::string_view text, TextClass text_class);
inline uint64_t hash_pair(uint32_t left, uint32_t right) {
  uint64_t h = ((uint64_t{left} << 32) | right) * 0x9E3779B97F4A7C15ULL;
  h ^= h >> 32;
  return h * 0xD6E8FEB86659FD93ULL;
}

/// A view of the block. All methods are const and safe on any bytes that passed open().
class Vocabulary {
 public:
  /// Borrows `blob` (64-byte aligned is best, 8 is enough). `verify_body`: also hash everything
  /// behind the header. Errors: bad_file with what does not fit. Cost: about 0.1 ms plus 0.1 ms a
  /// MB when verifying.
  static Result<Vocabulary> open(Bytes blob, bool verify_body);

  [[nodiscard]] uint32_t token_count() const { return header_.token_count; }
  [[nodiscard]] uint32_t token_bytes_max() const { return header_.token_bytes_max; }
  [[nodiscard]] bool contains(TokenId id) const {
    return id >= 0 && static_cast<uint32_t>(id) < token_count();
  }
  /// Bytes of the token: raw bytes for byte-level vocabularies, else its spelling. Empty for an
  /// unknown id.
  [[nodiscard]] std::string_view text(TokenId id) const;
  [[nodiscard]] TokenKind kind(TokenId id) const;
  [[nodiscard]] uint8_t flags(TokenId id) const {
    return contains(id) ? flags_[static_cast<size_t>(id)] : uint8_t{0};
  }
  [[nodiscard]] double score(TokenId id) const {
    return static_cast<size_t>(id) < scores_.size() ? scores_[static_cast<size_t>(id)] : 0.0;
  }
  [[nodiscard]] bool has_scores() const { return !scores_.empty(); }

  /// Token of the model's own vocabulary with this text, or -1.
  [[nodiscard]] TokenId find_model(std::string_view text, TextClass text_class) const;
  /// Added token written exactly so, or -1.
  [[nodiscard]] TokenId find_added(std::string_view content) const;
  /// The merge of two neighbours, or nullptr.
  [[nodiscard]] const PairSlot* find_pair(uint32_t left, uint32_t right) const;
  /// Token of one byte (byte-level: of that byte; else its <0xNN>), or -1.
  [[nodiscard]] TokenId byte_id(unsigned char byte) const { return byte_ids_[byte]; }

  [[nodiscard]] std::span<const AddedRecord> added() const { return added_; }
  [[nodiscard]] std::string_view added_content(const AddedRecord& record) const;
  [[nodiscard]] std::span<const TrieNode> trie(bool normalized) const {
    return normalized ? normalized_trie_ : raw_trie_;
  }
  [[nodiscard]] std::string_view program() const { return program_; }
  [[nodiscard]] Bytes blob() const { return blob_; }

 private:
  friend class VocabularyBuilder;
  template <class T>
  Result<std::span<const T>> section(Section which, const char* name, size_t count_wanted) const;
  Status check() const;
  [[nodiscard]] std::string_view slice(uint64_t offset, uint64_t bytes) const;

  Bytes blob_;
  PreparedHeader header_{};
  std::span<const uint32_t> offsets_;
  std::span<const uint8_t> kinds_;
  std::span<const uint8_t> flags_;
  std::span<const double> scores_;
  std::span<const TextSlot> text_table_;
  std::span<const PairSlot> pair_table_;
  std::span<const int32_t> byte_ids_;
  std::span<const AddedRecord> added_;
  std::span<const TrieNode> raw_trie_;
  std::span<const TrieNode> normalized_trie_;
  std::string_view program_;
  std::string_view texts_;
};

/// Hash of a header for its own header_hash field.
uint64_t hash_header(PreparedHeader header);

}  // namespace squish::text
