#pragma once
// The npy directory format: manifest.json and one .npy file for each part of a tensor, in tensors/.
// docs/format.md has the parts of each kind. A compatibility format: read and written, never
// computed with.
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/npy.h"

namespace squish {

/// How a tensor is stored, in the order in which readers look for it.
enum class NpyKind : uint8_t {
  int4,      // __q4a: 4-bit codes, scale and offset a group
  int4_old,  // __q4: the same with __z4, else 7 is zero
  int8,      // __q: signed bytes and a scale a group or row
  int3,      // __q3: a byte a code, scale and offset a group
  sqint2,    // __sqint2_idx: quant/sqint2.h
  plain,     // __pt: f16 or f32
};
/// "int4", "int4", "int8", "int3", "sqint2", "fp16".
std::string_view name_of(NpyKind kind);

/// The file name's part of a tensor: '.' becomes "__".
std::string npy_key(std::string_view tensor_name);

inline constexpr const char* kNpyManifestName = "manifest.json";
inline constexpr const char* kNpyTensorsName = "tensors";
inline constexpr const char* kNpyReadyName = ".manifest_ready";

/// One tensor, its parts open and checked against each other. Const methods: any thread.
class NpyTensor {
 public:
  [[nodiscard]] NpyKind kind() const { return kind_; }
  /// As __shape says; of rank 1 to 4, no dimension 0.
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] uint64_t rows() const { return shape_.elements() / columns(); }
  [[nodiscard]] uint64_t columns() const { return shape_[shape_.rank - 1]; }
  /// Columns that share a scale; 0 for plain tensors.
  [[nodiscard]] uint64_t group() const { return group_; }
  /// By its suffix, "__s4a"; null when the tensor has none.
  [[nodiscard]] const NpyView* part(std::string_view suffix) const;
  /// Row `row` as columns() floats. Not for sqint2, whose rows depend on each other.
  void decode_row(uint64_t row, float* out) const;

 private:
  friend class NpyDirectory;
  Status check(const std::string& name);
  Status check_groups(const std::string& name, std::string_view codes, uint64_t code_columns);
  Status check_side(const std::string& name, std::string_view suffix);
  Status read_shape(const std::string& name);

  NpyKind kind_ = NpyKind::plain;
  Shape shape_;
  uint64_t group_ = 0;
  std::map<std::string, NpyFile, std::less<>> parts_;
};

/// What manifest.json lists. Const methods: any thread.
class NpyDirectory {
 public:
  struct Entry {
    std::string name;  // of the tensor
    std::string key;   // of its files
    NpyKind kind = NpyKind::plain;
    std::vector<std::string> suffixes;  // of its parts that are there, without __shape
  };

  /// True for a directory with manifest.json and tensors/.
  static bool is_one(const std::string& path);
  /// Reads the manifest and the names in tensors/, no array. Errors: not_found; bad_file for a
  /// directory that was not finished, a tensor without data, a key that is no file name, parts that
  /// only make sense together (naming the missing one); refused for plain 2-bit codes;
  /// unsupported for kinds that other programs write (NF4, AQLM, VQ, QuIP, MiLo), by name.
  static Result<NpyDirectory> open(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  /// In the order of the manifest.
  [[nodiscard]] std::span<const Entry> entries() const { return entries_; }
  /// Opens all parts. Memory: only of compressed files. Errors: bad_file naming the file.
  [[nodiscard]] Result<NpyTensor> load(const Entry& entry) const;
  /// Hash of names, sizes and times of change of every file: what a cache of its content needs.
  [[nodiscard]] uint64_t identity() const { return identity_; }

 private:
  std::string path_;
  std::vector<Entry> entries_;
  std::map<std::string, std::string, std::less<>> files_;  // name without .zst: name as it is
  uint64_t identity_ = 0;
  Status list_files();
  Status add(std::string_view name, std::string_view key);
};

/// Writes manifest.json and the sentinel of `path`, the last step of a directory. Errors: io.
Status finish_npy_directory(const std::string& path,
                            std::span<const std::pair<std::string, std::string>> names_and_keys);

}  // namespace squish
