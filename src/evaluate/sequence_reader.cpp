#include "evaluate/sequence_reader.h"

#include <numeric>

#include <fmt/format.h>

namespace squish {

Result<KvCache> make_kv_cache(const Model& model, size_t page_count) {
  const ModelConfig& config = model.config();
  return KvCache::create(std::vector<KvLayout>(static_cast<size_t>(config.layer_count),
                                               KvLayout{config.kv_head_count, config.head_dim}),
                         static_cast<int32_t>(page_count));
}

Status check_sequence(const Model& model, std::span<const TokenId> tokens) {
  const auto vocabulary = static_cast<size_t>(model.config().vocabulary_size);
  const auto context = static_cast<size_t>(model.config().context_length);
  if (tokens.size() < 2) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("scoring needs at least 2 tokens, there are {}", tokens.size())};
  }
  if (context > 0 && tokens.size() > context) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} tokens are more than the {} that the model was trained for",
                             tokens.size(), context)};
  }
  for (const TokenId token : tokens) {
    if (token >= 0 && static_cast<size_t>(token) < vocabulary) continue;
    return Error{ErrorCode::invalid_argument,
                 fmt::format("token {} is outside the vocabulary of {}", token, vocabulary)};
  }
  return {};
}

Result<SequenceReader> SequenceReader::create(Model& model, size_t tokens_max) {
  const size_t page_count = (tokens_max + kPageTokens - 1) / kPageTokens;
  SQ_TRY(KvCache cache, make_kv_cache(model, page_count));
  SequenceReader reader(model, std::move(cache));
  reader.pages_.resize(page_count);
  std::iota(reader.pages_.begin(), reader.pages_.end(), 0);
  return reader;
}

void SequenceReader::read(std::span<const TokenId> tokens, size_t position, size_t first_logits,
                          std::vector<float>& logits, RowKind kind) {
  Batch batch;
  batch.tokens.assign(tokens.begin(), tokens.end());
  batch.sequences = {SequenceRows{pages_.data(), static_cast<int32_t>(position), 0, tokens.size()}};
  batch.prefill_row_count = kind == RowKind::prompt ? tokens.size() : 0;
  batch.logit_rows.resize(tokens.size() - first_logits);
  std::iota(batch.logit_rows.begin(), batch.logit_rows.end(), static_cast<int32_t>(first_logits));
  logits.resize(batch.logit_rows.size() * static_cast<size_t>(model_->config().vocabulary_size));
  model_->forward(batch, cache_, logits);
}

}  // namespace squish
