#include "compress/sequence_walk.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace squish::compress {
namespace {

template <class Work>
void for_sequences(std::span<const std::vector<TokenId>> sequences, std::span<float> states,
                   size_t hidden, const int32_t* pages, const Work& work) {
  size_t row = 0;
  for (const std::vector<TokenId>& sequence : sequences) {
    Batch batch;
    batch.tokens = sequence;
    batch.sequences = {SequenceRows{pages, 0, 0, sequence.size()}};
    batch.prefill_row_count = sequence.size();
    batch.logit_rows = {0};
    work(batch, states.subspan(row * hidden, sequence.size() * hidden));
    row += sequence.size();
  }
}

}  // namespace

SequenceWalk::SequenceWalk(Decoder& model, KvCache cache, size_t pages)
    : model_(&model), cache_(std::move(cache)), pages_(pages) {
  std::iota(pages_.begin(), pages_.end(), 0);
}

Result<SequenceWalk> SequenceWalk::create(Decoder& model, size_t longest) {
  const ModelConfig& config = model.config();
  const auto pages = page_count(longest);
  SQ_TRY(KvCache cache, KvCache::create({KvLayout{config.kv_head_count, config.head_dim}},
                                        static_cast<int32_t>(pages)));
  return SequenceWalk(model, std::move(cache), pages);
}

void SequenceWalk::embed(std::span<const std::vector<TokenId>> sequences, std::span<float> states) {
  for_sequences(sequences, states, static_cast<size_t>(model_->config().hidden), pages_.data(),
                [&](const Batch& batch, std::span<float> part) { model_->embed(batch, part); });
}

void SequenceWalk::run_layer(size_t index, std::span<const std::vector<TokenId>> sequences,
                             std::span<float> states, ActivationObserver* observer) {
  for_sequences(sequences, states, static_cast<size_t>(model_->config().hidden), pages_.data(),
                [&](const Batch& batch, std::span<float> part) {
                  model_->run_layer(index, batch, cache_.layer(0), part, observer);
                });
}

size_t longest_of(std::span<const std::vector<TokenId>> sequences) {
  size_t longest = 0;
  for (const std::vector<TokenId>& sequence : sequences)
    longest = std::max(longest, sequence.size());
  return longest;
}

}  // namespace squish::compress
