#pragma once
// From a row of logits to a token. One order of operations for every request:
//   allowed mask, logit bias, penalties, top-k, temperature, min-p, typical-p, top-p, draw.
// Each filter sees the probabilities of what the filters before it left, normalised again. Among
// equal logits the lower id comes first. The draw takes the first id, in ascending order, at which
// the summed probability exceeds the random number.
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/request.h"

namespace squish {

struct Sample {
  TokenId token = 0;
  float logprob =
      0;  // of the unmodified logits; only when SamplingParams::logprobs or top_logprobs
  std::vector<TokenLogprob> top;  // top_logprobs entries, likeliest first
};

struct SampleInput {
  std::span<float>
      logits;  // [vocabulary_size]; changed during the call, restored before it returns
  std::span<const TokenId> tokens;  // prompt, then answer: what the penalties look at
  size_t prompt_count = 0;          // of `tokens`
  std::span<const uint32_t>
      allowed{};  // bit (t % 32) of word t / 32: may token t come? Empty: all may
  uint64_t seed = 0;
  uint64_t position = 0;  // of the draw: the index of the token in the answer
};

/// Below this a temperature means greedy: the likeliest token, always.
constexpr float kTemperatureGreedy = 1e-5F;

/// A token that the filters have not removed.
struct Candidate {
  float logit = 0;
  TokenId token = 0;
  double weight = 0;  // probability, up to a common factor
};

/// Holds scratch memory for one vocabulary. One thread at a time. No allocation once the scratch
/// has grown, but for Sample::top.
/// Cost at 152k tokens on one core of a Zen 4 (SamplerTiming prints it): greedy 8 us; top-k or
/// min-p 20 us; temperature alone 80 us with AVX-512, 100 with AVX2, 210 without; top-p alone 150
/// to 160 us with AVX-512; typical-p without top-k or min-p 2 ms; logprobs 80 us more.
class Sampler {
 public:
  explicit Sampler(size_t vocabulary_size);

  /// `params` must be valid (SamplingParams::validate). A NaN logit counts as minus infinity.
  /// Errors: internal, when no token is left (all logits NaN or minus infinity, or nothing
  /// allowed).
  Result<Sample> sample(const SampleInput& input, const SamplingParams& params);

  /// How likely `token` is in `logits` [vocabulary_size], and the `top_count` likeliest. As the
  /// log probabilities of sample().
  ScoredToken score(std::span<const float> logits, TokenId token, size_t top_count);

 private:
  struct Undo {
    TokenId token = 0;
    float logit = 0;
  };

  double log_total_of(std::span<const float> logits);
  std::vector<TokenLogprob> likeliest(std::span<const float> logits, size_t count,
                                      double log_total);
  void modify(const SampleInput& input, const SamplingParams& params, std::span<float> logits);
  void penalize_repetition(const SampleInput& input, const SamplingParams& params,
                           std::span<float> logits);
  void penalize_answer(const SampleInput& input, const SamplingParams& params,
                       std::span<float> logits);
  void change(std::span<float> logits, TokenId token, float value);
  void restore(std::span<float> logits);
  std::span<float> apply_mask(const SampleInput& input);
  TokenId choose(std::span<const float> logits, const SamplingParams& params, double draw);
  void gather_top(std::span<const float> logits, size_t count);
  void gather_above(std::span<const float> logits, float bound);
  double gather_mass(std::span<const float> logits, float factor, double share);
  double set_weights(float factor);
  double keep_min_p(double min_p);
  double keep_typical(double typical_p, float factor, double total);
  double keep_top_p(double mass, float factor);
  template <class Less, class Rank>
  double cut_at_mass(double mass, const Less& less, const Rank& rank);
  [[nodiscard]] TokenId draw_any(std::span<const float> logits, float factor, double draw);

  const size_t vocabulary_size_;
  std::vector<float> block_max_;    // of each kScanBlock logits
  std::vector<float> block_order_;  // scratch
  std::vector<double> block_sum_;   // of exp((logit - max) / temperature)
  float max_ = 0;                   // of all logits
  std::vector<float> masked_;       // logits under the mask; sized at first use
  std::vector<Undo> undo_;
  std::vector<uint32_t> counts_;       // [vocabulary_size] at first use, all 0 between calls
  std::vector<Candidate> candidates_;  // always by ascending id
  std::vector<Candidate> scratch_;
  std::vector<double> bucket_mass_;
};

}  // namespace squish
