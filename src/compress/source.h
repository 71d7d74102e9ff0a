#pragma once
// The model that is compressed: opened, checked, and its tensors with what they are for.
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "compress/plan.h"
#include "model/arch/family.h"
#include "model/model_files.h"

namespace squish::compress {

/// Not movable once others point into it; hold it in one place.
struct Source {
  ModelFiles files;
  Network network;
  std::vector<SourceTensor> tensors;  // in the order of the file
  PlanFacts facts;
  std::vector<std::string> notes;  // what was left out, one line each
  uint64_t identity = 0;           // hash of path, size and time of change of every weight file

  /// A .gguf file or a Hugging Face directory. Checks that every tensor of the network is there
  /// with the shape that the configuration says, and that there is a vocabulary; reads no matrix.
  /// Errors: those of ModelFiles::open and load_weights; not_found for a missing vocabulary;
  /// invalid_argument for a model that squish compressed already; unsupported for weights that
  /// another program packed.
  /// `split`: ModelFiles::split_joined, which trellis codes need.
  static Result<Source> open(const std::string& path, bool split);
};

/// The files of a Hugging Face directory that go along as they are: names of those that are there.
std::vector<std::string> sidecar_files(const std::string& directory);

}  // namespace squish::compress
