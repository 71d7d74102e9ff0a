#pragma once
// What `squish check` looks at: how many bits each kind of tensor has, and whether the weights are
// sound.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "model/model_files.h"
#include "text/jinja_value.h"

namespace squish::cli {

/// All tensors of one kind: "q", "down", "embedding", "norms and others".
struct TensorClass {
  std::string name;
  uint64_t tensors = 0;
  uint64_t weights = 0;
  uint64_t bytes = 0;
  std::map<std::string, size_t> types;  // name of the type: tensors
  double lowest_bits = 0;               // of its tensor with the fewest bits a weight
  std::string lowest_tensor;
  [[nodiscard]] double bits() const {
    return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  }
};

/// What the values of all tensors are, when they were read.
struct ValueFacts {
  bool were_read = false;
  uint64_t not_finite = 0;                    // values that are NaN or infinite
  std::string not_finite_tensor;              // the first that has one
  std::vector<std::string> constant_tensors;  // matrices whose values are all the same
  uint64_t zero_rows = 0;  // of the layers' matrices: outputs that are never anything but 0
};

struct CheckResult {
  std::vector<TensorClass> classes;  // by bytes, largest first
  uint64_t weights = 0;
  uint64_t bytes = 0;
  ValueFacts values;
  std::vector<std::string> warnings;
  bool is_damaged = false;  // values that are no numbers, or payloads that differ from their hashes
  [[nodiscard]] double bits() const {
    return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  }
};

/// `parameters` as Model counts them. `reads_values`: decodes every weight and checks the hashes of
/// a compressed model; cost: the whole file and about 4 ns a weight and thread. Errors: those of
/// read_network().
Result<CheckResult> check_model(const ModelFiles& files, uint64_t parameters, bool reads_values,
                                ThreadPool& pool);

}  // namespace squish::cli
