#include "engine/sequence.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/hash.h"
#include "kernels/backend.h"

namespace squish {
namespace {

/// Random once a process, so that nobody can prepare prompts whose keys collide.
uint64_t key_seed() {
  static const uint64_t seed = [] {
    std::random_device device;
    return uint64_t{device()} << 32 | device();
  }();
  return seed;
}

PageKey chain_key(PageKey parent, std::span<const TokenId> tokens, uint64_t salt) {
  return hash64(std::as_bytes(tokens), parent * 0x9E3779B97F4A7C15U + (key_seed() ^ salt));
}

}  // namespace

int32_t page_count_of(int32_t token_count) { return (token_count + kPageTokens - 1) / kPageTokens; }

Sequence::Sequence(Request&& request, std::shared_ptr<RequestState> shared, int32_t context_tokens,
                   uint64_t seed_bits, bool is_whole_)
    : state(std::move(shared)),
      sampling(std::move(request.sampling)),
      end_tokens(std::move(request.end_tokens)),
      embedding(request.embedding),
      prompt_logprobs(request.prompt_logprobs),
      client(std::move(request.client)),
      constraint(std::move(request.constraint)),
      seed(sampling.seed >= 0 ? static_cast<uint64_t>(sampling.seed) : seed_bits),
      tokens(std::move(request.tokens)),
      is_whole(is_whole_),
      prompt_count(static_cast<int32_t>(tokens.size())),
      prefill_end(!is_whole && prompt_count % kChunkTokens == 1 ? prompt_count - 1 : prompt_count) {
  // The last token of an answer needs no place in the context: nothing is computed from it.
  const int32_t room = context_tokens - prompt_count + 1;
  answer_count_max = sampling.max_tokens < 0 ? room : std::min(room, sampling.max_tokens);
  if (embedding.has_value()) answer_count_max = 0;
  if (prompt_logprobs.has_value()) {
    prompt_scores.resize(static_cast<size_t>(prompt_count));
    for (size_t i = 0; i < prompt_scores.size(); ++i) prompt_scores[i].token = tokens[i];
  }
  const int32_t total = prompt_count + answer_count_max;
  tokens.reserve(static_cast<size_t>(total));
  pages.reserve(static_cast<size_t>(page_count_of(total)));
  page_keys.reserve(pages.capacity());
  extend_page_keys(prompt_count);
  prompt_key = chain_key(parent_key(page_keys.size()), prompt_tail(), 1);
}

PageKey Sequence::parent_key(size_t page_index) const {
  return page_index == 0 ? 0 : page_keys[page_index - 1];
}

PageKey Sequence::rest_key(size_t page_index, size_t count) const {
  return chain_key(parent_key(page_index),
                   std::span(tokens).subspan(page_index * kPageTokens, count), 2);
}

std::span<const TokenId> Sequence::page_tokens(size_t page_index) const {
  return std::span(tokens).subspan(page_index * kPageTokens, kPageTokens);
}

std::span<const TokenId> Sequence::prompt_tail() const {
  const auto count = static_cast<size_t>(prompt_count);
  const size_t tail = count % kPageTokens;
  return std::span(tokens).subspan(count - tail, tail);
}

bool Sequence::is_end_token(TokenId token) const {
  if (sampling.ignore_eos && constraint == nullptr) return false;
  return std::ranges::find(end_tokens, token) != end_tokens.end();
}

void Sequence::drop_draft() {
  tokens.resize(tokens.size() - static_cast<size_t>(draft_count));
  draft_count = 0;
}

void Sequence::extend_page_keys(int32_t count) {
  const auto complete = static_cast<size_t>(count / kPageTokens);
  while (page_keys.size() < complete) {
    const size_t index = page_keys.size();
    page_keys.push_back(chain_key(parent_key(index), page_tokens(index), 0));
  }
}

}  // namespace squish
