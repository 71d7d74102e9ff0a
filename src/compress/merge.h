#pragma once
// Several low-rank adapters of one model made one: DARE and TIES.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace squish::compress {

/// An adapter as PEFT writes it: a directory with adapter_model.safetensors and
/// adapter_config.json.
struct AdapterSource {
  std::string domain;  // what it was trained for: only a label
  std::string path;
};

struct MergeOptions {
  std::string method = "dare-ties";  // "dare", "ties" or "dare-ties"
  double drop = 0.99;  // of DARE: share of the elements that go; the others grow by 1/(1-p)
  uint64_t seed = 42;  // which elements go
};

struct MergeSummary {
  size_t tensors = 0;
  uint64_t elements = 0;
  double sign_conflicts =
      0;  // share of the elements on whose sign the adapters that have them differ
};

/// Merges element by element, on the adapters' factors as stored. DARE drops elements at random and
/// scales what is left up, so that the mean stays; TIES takes for each element the sign of the
/// larger sum and averages those adapters that have it. "dare" alone averages what is left over all
/// adapters. All adapters need the same tensors in the same shapes, and the same target modules and
/// rank. Writes `output`/adapter_model.safetensors (F32) and adapter_config.json (the first one's);
/// the directory must not hold an adapter yet. Deterministic. Memory: one tensor of each adapter.
/// Errors: invalid_argument for an unknown method, a drop outside [0, 1), fewer than two adapters,
/// or an output that is there; not_found; bad_file naming the tensor that differs; io.
Result<MergeSummary> merge_adapters(std::span<const AdapterSource> adapters,
                                    const MergeOptions& options, const std::string& output);

}  // namespace squish::compress
