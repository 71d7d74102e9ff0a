#pragma once
// Rotary frequencies of a file: base, partial rotation and every scaling, as numbers.
#include <string_view>

#include "base/result.h"
#include "model/config.h"
#include "model/config_reader.h"

namespace squish {

struct RopeRequest {
  int head_dim = 0;
  int trained_context = 0;  // of the scaled model
  int used_context = 0;  // longrope: the short factors serve while this is not above the original
  double default_base = 10000;
  std::string_view layer_type = "full_attention";  // when the file states rope per kind of layer
};

/// Frequencies with linear, llama3, yarn or longrope scaling applied, and the factor of cos and
/// sin. GGUF: rope.* keys and the tensors rope_freqs and rope_factors_{long,short}. HF:
/// rope_parameters, or rope_theta and rope_scaling. Errors: bad_file; unsupported for any other
/// scaling, by name.
Result<RopeFacts> read_rope(const ConfigReader& reader, const RopeRequest& request);

/// Frequencies base^(-2i / rope_dim) / factor, i < rope_dim / 2, without anything else.
RopeFacts plain_rope(int rope_dim, double base, double factor = 1);

}  // namespace squish
