#include "model/model.h"

#include <utility>

#include "base/check.h"
#include "format/quality_gates.h"
#include "model/arch_table.h"
#include "model/decoder.h"
#include "model/encoder.h"
#include "model/weights.h"

namespace squish {

Result<std::unique_ptr<Model>> Model::create(const ModelFiles& files, Backend& backend,
                                             const ModelOptions& options) {
  SQ_TRY(Network network, read_network(files, {options.context_length}));
  if (network.config.encoder.is_encoder) {
    SQ_TRY(EncoderWeights weights, load_encoder_weights(files, network.config));
    network.config.quantization = type_info(weights.common_dtype).name;
    std::unique_ptr<Model> encoder =
        std::make_unique<Encoder>(std::move(network.config), std::move(weights), backend);
    return encoder;
  }
  SQ_TRY(Weights weights, load_weights(files, network));
  if (files.packed) {
    SQ_TRY_STATUS(check_blocked(family_of_architecture(network.config.architecture),
                                weights.parameter_count, files.packed->format())
                      .at(files.path));
  }
  network.config.quantization = type_info(weights.common_dtype).name;
  std::unique_ptr<Model> model =
      std::make_unique<Decoder>(std::move(network.config), std::move(weights), backend);
  return model;
}

void Model::logits_of(std::span<const float> /*hidden*/, size_t /*row_count*/,
                      std::span<float> /*logits*/) {
  SQ_CHECK(false && "this model has no logits");
}

float Model::score(std::span<const float> /*hidden*/) {
  SQ_CHECK(config().encoder.has_score);
  return 0;
}

}  // namespace squish
