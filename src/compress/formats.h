#pragma once
// What `--format` may say: which type each kind of tensor gets.
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"

namespace squish::compress {

/// What is done before or while a matrix is coded.
enum class Calibration : uint8_t {
  none,      // the weights alone
  awq,       // columns scaled by their activations, and errors weighed by them
  feedback,  // the Hessian of the inputs: the error of a column is made good by the next ones
};

/// One row is one format. Types are names of DTypes; "" means `linear`; "keep" means 16 bits (the
/// source's own type when that is a float).
struct FormatRow {
  std::string_view name = {};
  std::string_view summary = {};
  std::string_view linear = {};     // matrices of the layers
  std::string_view attention = {};  // q, k, v and o
  std::string_view kv = {};         // k and v
  std::string_view boundary = {};   // the first two and the last two layers, but for k and v
  std::string_view embedding = {};  // the token table when the head is a matrix of its own
  std::string_view tied = {};       // the token table when it is the head too
  std::string_view head = {};
  std::string_view critical = {};  // v and down of the critical layers of the mixed recipes
  Calibration calibration = Calibration::none;
  /// The types above say only how large the file may be; the router (router.h) spends those bytes.
  bool is_routed = false;
  bool needs_target = false;  // routed, and the user says how large
};

std::span<const FormatRow> format_table();
/// Errors: refused for "int2" and its like, with the alternative; unsupported for formats of other
/// programs; invalid_argument with the list of names.
Result<const FormatRow*> find_format(std::string_view name);

/// Whether a matrix may become a trellis code.
bool may_use_trellis(const FormatRow& format);

/// Whether `layer` is critical in the mixed recipes: the first and the last eighth, and each third
/// one between.
bool is_critical_layer(int layer, int layer_count);
/// The first two and the last two; all of a network of fewer than four.
bool is_boundary_layer(int layer, int layer_count);

}  // namespace squish::compress
