#pragma once
// How GPTQ, AWQ, MLX and FP8 checkpoints hold a matrix: several tensors that belong together.
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/hf_directory.h"

namespace squish::compress {

/// A tensor of any dtype as bytes.
struct Part {
  std::string_view dtype;  // as the file spells it
  std::vector<uint64_t> dims;
  Bytes bytes;
};

/// Every tensor of a directory by name.
class PartTable {
 public:
  explicit PartTable(const HfDirectory& directory);
  /// Null when there is none.
  [[nodiscard]] const Part* find(const std::string& name) const;
  [[nodiscard]] const std::map<std::string, Part, std::less<>>& all() const { return parts_; }

 private:
  std::map<std::string, Part, std::less<>> parts_;
};

/// One matrix, [rows, columns] = [out, in]. decode() may be called from many threads.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
  [[nodiscard]] virtual uint64_t rows() const = 0;
  [[nodiscard]] virtual uint64_t columns() const = 0;
  virtual void decode(uint64_t row, float* out) const = 0;
};

/// What config.json says of the packing.
class Packing {
 public:
  /// name() is "" for plain weights. Errors: unsupported, bad_file.
  static Result<Packing> read(const HfDirectory& directory);

  [[nodiscard]] const std::string& name() const { return name_; }
  /// The names of the packed matrices without ".weight", in order.
  [[nodiscard]] std::vector<std::string> matrices(const PartTable& parts) const;
  /// Whether a tensor is a part of a packed matrix.
  [[nodiscard]] bool is_part(const PartTable& parts, std::string_view name) const;
  /// Errors: bad_file naming the part that is missing or of another shape.
  [[nodiscard]] Result<std::unique_ptr<PackedMatrix>> open(const PartTable& parts,
                                                           const std::string& prefix) const;

 private:
  std::string name_;  // "gptq", "awq", "mlx", "fp8"
  uint64_t bits_ = 4;
  uint64_t group_ = 128;     // columns that share a scale; 0: all
  uint64_t block_rows_ = 0;  // fp8: of a block with one scale; 0: one scale for all
  uint64_t block_columns_ = 0;
  bool zero_is_less_one_ = true;  // GPTQ's first version stores zero - 1
};

}  // namespace squish::compress
