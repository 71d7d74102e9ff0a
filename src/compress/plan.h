#pragma once
// Which type every tensor gets, why, and where it lies in the file: decided before a weight is
// read.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "compress/formats.h"
#include "compress/roles.h"
#include "tensor/tensor.h"

namespace squish::compress {

/// One tensor of the source.
struct SourceTensor {
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  Place place;
};

/// Facts of the network that decide types.
struct PlanFacts {
  std::string family;       // family_of_architecture()
  uint64_t parameters = 0;  // all weights
  int layer_count = 0;
  bool tied_embedding = false;
};

struct PlanOptions {
  Calibration calibration = Calibration::none;  // what will be done; at most what the format asks
  std::vector<std::string> passthrough;         // names with one of these texts in them stay
};

struct PlannedTensor {
  SourceTensor source;
  DType target = DType::f32;
  bool is_copied = false;  // byte for byte: the source has the type already
  bool is_kept = false;    // not to be changed at all: no format speaks of it, or --passthrough
  std::string reason;      // why the type is not the format's own; empty when it is
  double sensitivity = -1;  // nats a relative squared error of 1 would cost; below 0: not measured
  uint64_t offset = 0;     // from the start of the file
  uint64_t bytes = 0;
};

struct Plan {
  const FormatRow* format = nullptr;
  PlanOptions options;
  std::vector<PlannedTensor> tensors;                  // in the order of the source
  std::vector<std::pair<uint64_t, uint64_t>> padding;  // offset and length of each gap: zeros
  std::string header;  // of model.safetensors: length and JSON, as they are written
  uint64_t file_bytes = 0;
  uint64_t weights = 0;  // elements of all tensors

  [[nodiscard]] double bits_per_weight() const {
    return weights == 0 ? 0 : 8.0 * static_cast<double>(file_bytes) / static_cast<double>(weights);
  }
  /// Indices into `tensors` of one layer; -1 for those of none.
  [[nodiscard]] std::vector<size_t> of_layer(int layer) const;
};

/// Tensors of fewer rows or elements than a block is good for stay as they are; so do routers,
/// vectors and what the network has no name for. A type whose block does not divide a row is
/// replaced by the next larger one that fits, with the reason. With AWQ, vectors that take a
/// part of its scales become f32. Errors: refused for a blocked pair (exit 4); unsupported when
/// this build lacks a type; invalid_argument for a model without matrices or with too many tensors.
Result<Plan> make_plan(const FormatRow& format, const PlanFacts& facts,
                       std::span<const SourceTensor> tensors, const PlanOptions& options);

/// The coded types that a tensor may have, from small to large in kLadder's order: whole blocks in
/// a row, rows where they are looked up, and an encoder in this build.
std::vector<DType> fitting_types(const SourceTensor& tensor);

/// The type that `format` wants for a tensor, before the shape is looked at; "keep" for none.
std::string_view wanted_type(const FormatRow& format, const PlanFacts& facts, const Place& place);

/// Whether AWQ may scale the input columns of a tensor of this type.
bool is_affine_low_bit(DType dtype);

}  // namespace squish::compress
