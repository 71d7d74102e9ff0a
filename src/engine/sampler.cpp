#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>

#include "base/check.h"
#include "engine/random.h"
#include "engine/vector_scan.h"

namespace squish {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr uint64_t kTokenStream = 0;  // of uniform_draw
// Of cut_at_mass: ranks are differences of log weights.
constexpr size_t kBuckets = 256;
constexpr double kBucketsPerUnit = -static_cast<double>(kBuckets) / static_cast<double>(kExpFloor);

bool is_likelier(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

double weight_of(std::span<const Candidate> candidates) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.weight;
  return sum;
}

/// The last element of the smallest prefix, in the order `less`, whose weight is enough(weight);
/// the last of all if none is. Reorders. Cost: linear, by halving instead of sorting.
template <class Less, class Enough>
Candidate last_of_prefix(std::span<Candidate> candidates, const Less& less, const Enough& enough) {
  double before = 0;
  while (candidates.size() > 32) {
    const size_t half = candidates.size() / 2;
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(half),
                     candidates.end(), less);
    const double weight = weight_of(candidates.first(half));
    if (enough(before + weight)) {
      candidates = candidates.first(half);
    } else {
      before += weight;
      candidates = candidates.subspan(half);
    }
  }
  std::sort(candidates.begin(), candidates.end(), less);
  for (const Candidate& candidate : candidates) {
    before += candidate.weight;
    if (enough(before)) return candidate;
  }
  return candidates.back();
}

}  // namespace

Sampler::Sampler(size_t vocabulary_size)
    : vocabulary_size_(vocabulary_size),
      block_max_(scan_block_count(vocabulary_size)),
      block_order_(block_max_.size()),
      block_sum_(block_max_.size()),
      bucket_mass_(kBuckets) {}

Result<Sample> Sampler::sample(const SampleInput& input, const SamplingParams& params) {
  SQ_CHECK(input.logits.size() == vocabulary_size_);
  Sample sample;
  double log_total = 0;
  const bool wants_logprobs = params.logprobs || params.top_logprobs > 0;
  if (wants_logprobs) {
    log_total = log_total_of(input.logits);
    sample.top = likeliest(input.logits, static_cast<size_t>(params.top_logprobs), log_total);
  }
  const std::span<float> logits = apply_mask(input);
  modify(input, params, logits);
  max_ = scan_max(logits, block_max_);
  const bool is_possible = max_ > kMinusInfinity;
  if (is_possible)
    sample.token = choose(logits, params, uniform_draw(input.seed, kTokenStream, input.position));
  restore(logits);
  if (!is_possible) {
    return Error{ErrorCode::internal,
                 "no token can follow: every logit of the model is NaN, minus infinity or masked"};
  }
  if (wants_logprobs) {
    const double logit = static_cast<double>(input.logits[static_cast<size_t>(sample.token)]);
    sample.logprob = static_cast<float>(logit - log_total);
  }
  return sample;
}

ScoredToken Sampler::score(std::span<const float> logits, TokenId token, size_t top_count) {
  SQ_CHECK(logits.size() == vocabulary_size_ && static_cast<size_t>(token) < vocabulary_size_);
  const double log_total = log_total_of(logits);
  const double logit = static_cast<double>(logits[static_cast<size_t>(token)]);
  return {token, static_cast<float>(logit - log_total), likeliest(logits, top_count, log_total)};
}

/// The logarithm of the sum of exp(logit). Leaves max_ and block_max_ those of `logits`.
double Sampler::log_total_of(std::span<const float> logits) {
  max_ = scan_max(logits, block_max_);
  if (!std::isfinite(max_)) return 0;
  return static_cast<double>(max_) +
         std::log(scan_exp_sum(logits, block_max_, max_, 1, block_sum_));
}

/// block_max_ must be that of `logits`.
std::vector<TokenLogprob> Sampler::likeliest(std::span<const float> logits, size_t count,
                                             double log_total) {
  gather_top(logits, count);
  scratch_ = candidates_;
  std::ranges::sort(scratch_, is_likelier);
  std::vector<TokenLogprob> out;
  out.reserve(scratch_.size());
  for (const Candidate& candidate : scratch_) {
    out.push_back(
        {candidate.token, static_cast<float>(static_cast<double>(candidate.logit) - log_total)});
  }
  return out;
}

// --- changes of the logits

/// The logits to work on: the input's own, or a copy in which forbidden tokens are minus infinity.
std::span<float> Sampler::apply_mask(const SampleInput& input) {
  if (input.allowed.empty()) return input.logits;
  SQ_CHECK(input.allowed.size() * 32 >= vocabulary_size_);
  masked_.resize(vocabulary_size_);
  for (size_t i = 0; i < vocabulary_size_; ++i) {
    masked_[i] = (input.allowed[i / 32] >> (i % 32) & 1U) != 0 ? input.logits[i] : kMinusInfinity;
  }
  return masked_;
}

void Sampler::modify(const SampleInput& input, const SamplingParams& params,
                     std::span<float> logits) {
  undo_.clear();
  for (const LogitBias& bias : params.logit_bias) {
    change(logits, bias.token, logits[static_cast<size_t>(bias.token)] + bias.bias);
  }
  if (params.repetition_penalty != 1.0F && params.repeat_last_n != 0)
    penalize_repetition(input, params, logits);
  if (params.presence_penalty != 0.0F || params.frequency_penalty != 0.0F)
    penalize_answer(input, params, logits);
}

/// Once for each distinct token of the window.
void Sampler::penalize_repetition(const SampleInput& input, const SamplingParams& params,
                                  std::span<float> logits) {
  counts_.resize(vocabulary_size_);
  const size_t size =
      params.repeat_last_n < 0 ? input.tokens.size() : static_cast<size_t>(params.repeat_last_n);
  const auto window = input.tokens.last(std::min(size, input.tokens.size()));
  for (const TokenId token : window) {
    if (counts_[static_cast<size_t>(token)]++ > 0) continue;
    const float logit = logits[static_cast<size_t>(token)];
    change(logits, token,
           logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty);
  }
  for (const TokenId token : window) counts_[static_cast<size_t>(token)] = 0;
}

/// Presence and frequency look at the answer only: the prompt is not the model's repetition.
void Sampler::penalize_answer(const SampleInput& input, const SamplingParams& params,
                              std::span<float> logits) {
  counts_.resize(vocabulary_size_);
  const auto answer = input.tokens.subspan(input.prompt_count);
  for (const TokenId token : answer) ++counts_[static_cast<size_t>(token)];
  for (const TokenId token : answer) {
    uint32_t& count = counts_[static_cast<size_t>(token)];
    if (count == 0) continue;
    const float penalty =
        params.presence_penalty + params.frequency_penalty * static_cast<float>(count);
    change(logits, token, logits[static_cast<size_t>(token)] - penalty);
    count = 0;
  }
}

void Sampler::change(std::span<float> logits, TokenId token, float value) {
  undo_.push_back({token, logits[static_cast<size_t>(token)]});
  logits[static_cast<size_t>(token)] = value;
}

void Sampler::restore(std::span<float> logits) {
  for (; !undo_.empty(); undo_.pop_back())
    logits[static_cast<size_t>(undo_.back().token)] = undo_.back().logit;
}

// --- the choice

/// max_ and block_max_ are those of `logits`; max_ is above minus infinity.
TokenId Sampler::choose(std::span<const float> logits, const SamplingParams& params, double draw) {
  if (params.temperature < kTemperatureGreedy || std::isinf(max_)) {
    const size_t begin = find_first(block_max_, max_) * kScanBlock;
    return static_cast<TokenId>(begin + find_first(logits.subspan(begin), max_));
  }
  const float factor = 1 / params.temperature;
  const auto top_k = static_cast<size_t>(params.top_k);
  double total = 0;
  if (top_k > 0 && top_k < vocabulary_size_) {
    gather_top(logits, top_k);
    total = set_weights(factor);
  } else if (params.min_p > 0) {
    // A little lower than exact, since keep_min_p decides.
    gather_above(logits, max_ + params.temperature * (std::log(params.min_p) - 1e-3F));
    total = set_weights(factor);
  } else if (params.typical_p < 1) {
    gather_above(logits, kMinusInfinity);
    total = set_weights(factor);
  } else if (params.top_p < 1) {
    total = gather_mass(logits, factor, static_cast<double>(params.top_p));
  } else {
    return draw_any(logits, factor, draw);
  }
  if (params.min_p > 0) total = keep_min_p(static_cast<double>(params.min_p));
  if (params.typical_p < 1)
    total = keep_typical(static_cast<double>(params.typical_p), factor, total);
  if (params.top_p < 1) total = keep_top_p(static_cast<double>(params.top_p) * total, factor);
  double sum = 0;
  for (const Candidate& candidate : candidates_) {
    sum += candidate.weight;
    if (sum > draw * total) return candidate.token;
  }
  return candidates_.back().token;
}

/// candidates_ = the `count` likeliest, in no order.
void Sampler::gather_top(std::span<const float> logits, size_t count) {
  candidates_.clear();
  if (count == 0) return;
  float bound = kMinusInfinity;
  if (count < block_max_.size()) {
    // `count` blocks have a maximum of at least the count-th largest maximum, so at least as many
    // logits do.
    std::ranges::copy(block_max_, block_order_.begin());
    const auto nth = block_order_.begin() + static_cast<ptrdiff_t>(count - 1);
    std::nth_element(block_order_.begin(), nth, block_order_.end(), std::greater<>());
    bound = *nth;
  }
  gather_above(logits, bound);
  if (candidates_.size() <= count) return;
  scratch_ = candidates_;
  const auto last = scratch_.begin() + static_cast<ptrdiff_t>(count - 1);
  std::nth_element(scratch_.begin(), last, scratch_.end(), is_likelier);
  std::erase_if(candidates_,
                [&](const Candidate& candidate) { return is_likelier(*last, candidate); });
}

/// candidates_ = all finite logits that are at least `bound`.
void Sampler::gather_above(std::span<const float> logits, float bound) {
  candidates_.clear();
  const float lowest = std::max(bound, std::numeric_limits<float>::lowest());
  std::array<int32_t, kScanBlock> indices;
  for (size_t block = 0; block < block_max_.size(); ++block) {
    if (!(block_max_[block] >= lowest)) continue;
    const size_t begin = block * kScanBlock;
    const auto values = logits.subspan(begin, std::min(kScanBlock, logits.size() - begin));
    const size_t count = find_at_least(values, lowest, static_cast<int32_t>(begin), indices.data());
    for (size_t i = 0; i < count; ++i) {
      candidates_.push_back({logits[static_cast<size_t>(indices[i])], indices[i], 0});
    }
  }
}

/// candidates_ = enough of the likeliest to hold `share` of the probability, with weights. Returns
/// the weight of all.
double Sampler::gather_mass(std::span<const float> logits, float factor, double share) {
  const double total = scan_exp_sum(logits, block_max_, max_, factor, block_sum_);
  // Bounds as logarithms of a weight: a peaked distribution is done with a few candidates, a flat
  // one takes all.
  for (const float bound : {-2.0F, -4.0F, -6.0F, -8.0F, -11.0F, -15.0F, -20.0F}) {
    const float lowest = max_ + bound / factor;
    double most = 0;  // of the blocks that have such a logit: the candidates cannot have more
    for (size_t block = 0; block < block_max_.size(); ++block) {
      if (block_max_[block] >= lowest) most += block_sum_[block];
    }
    if (most < share * total) continue;
    gather_above(logits, lowest);
    if (set_weights(factor) >= share * total) return total;
  }
  gather_above(logits, max_ + kExpFloor / factor);
  set_weights(factor);
  return total;
}

/// Weights under the temperature, relative to the largest logit. Returns their sum.
double Sampler::set_weights(float factor) {
  double sum = 0;
  std::array<float, kScanBlock> weights;
  for (size_t begin = 0; begin < candidates_.size(); begin += kScanBlock) {
    const auto chunk =
        std::span(candidates_).subspan(begin, std::min(kScanBlock, candidates_.size() - begin));
    for (size_t i = 0; i < chunk.size(); ++i) weights[i] = chunk[i].logit;
    exp_in_place(std::span(weights).first(chunk.size()), max_, factor);
    for (size_t i = 0; i < chunk.size(); ++i) {
      chunk[i].weight = static_cast<double>(weights[i]);
      sum += chunk[i].weight;
    }
  }
  return sum;
}

/// Drops candidates below `min_p` of the largest weight, which is 1. Returns the weight of the
/// rest.
double Sampler::keep_min_p(double min_p) {
  std::erase_if(candidates_,
                [min_p](const Candidate& candidate) { return candidate.weight < min_p; });
  return weight_of(candidates_);
}

/// Keeps those whose surprise -log(p) is nearest to its mean, the entropy, until they hold
/// `typical_p` of the probability (Meister et al., "Locally typical sampling", 2023). Returns their
/// weight.
double Sampler::keep_typical(double typical_p, float factor, double total) {
  std::erase_if(candidates_, [](const Candidate& candidate) { return candidate.weight <= 0; });
  const double log_total = std::log(total);
  const auto surprise = [&](const Candidate& candidate) {
    return log_total - static_cast<double>((candidate.logit - max_) * factor);
  };
  double entropy = 0;
  for (const Candidate& candidate : candidates_)
    entropy += candidate.weight / total * surprise(candidate);
  const auto is_more_typical = [&](const Candidate& a, const Candidate& b) {
    const double deviation_a = std::abs(surprise(a) - entropy);
    const double deviation_b = std::abs(surprise(b) - entropy);
    return deviation_a != deviation_b ? deviation_a < deviation_b : is_likelier(a, b);
  };
  return cut_at_mass(typical_p * total, is_more_typical, [&](const Candidate& candidate) {
    return std::abs(surprise(candidate) - entropy);
  });
}

/// Keeps the likeliest, at least one, until they have `mass`. Returns their weight.
double Sampler::keep_top_p(double mass, float factor) {
  std::erase_if(candidates_, [](const Candidate& candidate) { return candidate.weight <= 0; });
  return cut_at_mass(mass, is_likelier, [&](const Candidate& candidate) {
    return static_cast<double>((max_ - candidate.logit) * factor);
  });
}

/// Keeps the smallest prefix in the order `less` that has `mass`, at least one. rank(candidate) >=
/// 0 must not contradict that order: a histogram over it finds where the cut lies, and only the
/// candidates there are put in order. Returns the weight of the rest.
template <class Less, class Rank>
double Sampler::cut_at_mass(double mass, const Less& less, const Rank& rank) {
  const auto bucket_of = [&](const Candidate& candidate) {
    return static_cast<size_t>(
        std::min(rank(candidate) * kBucketsPerUnit, static_cast<double>(kBuckets - 1)));
  };
  std::ranges::fill(bucket_mass_, 0.0);
  for (const Candidate& candidate : candidates_)
    bucket_mass_[bucket_of(candidate)] += candidate.weight;
  double before = 0;
  size_t bucket = 0;
  size_t last_used = 0;
  for (; bucket < kBuckets; before += bucket_mass_[bucket++]) {
    if (bucket_mass_[bucket] > 0) last_used = bucket;
    if (bucket_mass_[bucket] > 0 && before + bucket_mass_[bucket] >= mass) break;
  }
  if (bucket == kBuckets) {  // rounding left the sum of all below `mass`
    bucket = last_used;
    mass = std::numeric_limits<double>::infinity();  // never enough: all stay
  }
  scratch_.clear();
  std::ranges::copy_if(candidates_, std::back_inserter(scratch_),
                       [&](const Candidate& candidate) { return bucket_of(candidate) == bucket; });
  const Candidate last = last_of_prefix(std::span(scratch_), less,
                                        [=](double weight) { return before + weight >= mass; });
  std::erase_if(candidates_, [&](const Candidate& candidate) { return less(last, candidate); });
  return weight_of(candidates_);
}

/// A draw from all tokens: the block by the blocks' sums, then the token inside it.
TokenId Sampler::draw_any(std::span<const float> logits, float factor, double draw) {
  const double target = draw * scan_exp_sum(logits, block_max_, max_, factor, block_sum_);
  double sum = 0;
  size_t chosen = 0;
  for (size_t block = 0; block < block_sum_.size(); ++block) {
    if (block_sum_[block] <= 0) continue;
    chosen = block;
    if (sum + block_sum_[block] > target) break;
    sum += block_sum_[block];
  }
  // Inside a block the sum may round to a little less than the block's: the last possible token
  // takes the difference.
  size_t token = 0;
  const size_t end = std::min(logits.size(), (chosen + 1) * kScanBlock);
  for (size_t i = chosen * kScanBlock; i < end; ++i) {
    const double weight = static_cast<double>(exp_negative((logits[i] - max_) * factor));
    if (weight <= 0) continue;
    token = i;
    sum += weight;
    if (sum > target) break;
  }
  return static_cast<TokenId>(token);
}

}  // namespace squish
