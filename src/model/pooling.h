#pragma once
// How the states of a text's tokens become its one vector.
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "model/model_files.h"

namespace squish {

enum class Pooling : uint8_t {
  mean,  // of all tokens
  cls,   // the first token's
  last,  // the last token's
};
/// "mean", "cls", "last".
std::string_view to_string(Pooling pooling);

/// What the model's own files say: modules.json and 1_Pooling/config.json of sentence-transformers,
/// "<architecture>.pooling_type" of a GGUF; mean when they are silent. Errors: bad_file;
/// unsupported for another way of pooling and for modules that we lack (a dense layer after it),
/// since the vectors would be others than the model's.
Result<Pooling> read_pooling(const ModelFiles& files);

}  // namespace squish
