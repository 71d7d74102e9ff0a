#include "engine/testing/sample_plain.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace squish::testing {
namespace {

struct Entry {
  TokenId token = 0;
  float logit = 0;
  double p = 0;
};

void normalize(std::vector<Entry>& entries) {
  double sum = 0;
  for (const Entry& entry : entries) sum += entry.p;
  for (Entry& entry : entries) entry.p /= sum;
}

/// Cuts behind the first entry at which the summed probability is at least `mass`.
void cut_at_mass(std::vector<Entry>& entries, double mass) {
  double sum = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    sum += entries[i].p;
    if (sum >= mass - 1e-12) entries.resize(i + 1);
  }
  normalize(entries);
}

std::vector<float> changed_logits(const SampleInput& input, const SamplingParams& params) {
  std::vector<float> logits(input.logits.begin(), input.logits.end());
  for (size_t i = 0; i < logits.size(); ++i) {
    const bool is_allowed = input.allowed.empty() || (input.allowed[i / 32] >> (i % 32) & 1U) != 0;
    if (!is_allowed || std::isnan(logits[i])) logits[i] = -std::numeric_limits<float>::infinity();
  }
  for (const LogitBias& bias : params.logit_bias)
    logits[static_cast<size_t>(bias.token)] += bias.bias;
  std::map<TokenId, int> recent;
  const size_t size =
      params.repeat_last_n < 0 ? input.tokens.size() : static_cast<size_t>(params.repeat_last_n);
  for (size_t i = input.tokens.size() - std::min(size, input.tokens.size());
       i < input.tokens.size(); ++i) {
    ++recent[input.tokens[i]];
  }
  for (const auto& [token, count] : recent) {
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
  }
  std::map<TokenId, int> answer;
  for (size_t i = input.prompt_count; i < input.tokens.size(); ++i) ++answer[input.tokens[i]];
  for (const auto& [token, count] : answer) {
    logits[static_cast<size_t>(token)] -=
        params.presence_penalty + params.frequency_penalty * static_cast<float>(count);
  }
  return logits;
}

void keep_typical(std::vector<Entry>& entries, double typical_p) {
  double entropy = 0;
  for (const Entry& entry : entries) {
    if (entry.p > 0) entropy -= entry.p * std::log(entry.p);
  }
  std::erase_if(entries, [](const Entry& entry) { return entry.p <= 0; });
  std::ranges::stable_sort(entries, [&](const Entry& a, const Entry& b) {
    return std::abs(-std::log(a.p) - entropy) < std::abs(-std::log(b.p) - entropy) - 1e-12;
  });
  cut_at_mass(entries, typical_p);
}

bool is_likelier(const Entry& a, const Entry& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

}  // namespace

std::vector<PlainEntry> plain_distribution(const SampleInput& input, const SamplingParams& params) {
  const std::vector<float> logits = changed_logits(input, params);
  std::vector<Entry> entries;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isnan(logits[i]) && logits[i] > -std::numeric_limits<float>::infinity()) {
      entries.push_back({static_cast<TokenId>(i), logits[i], 0});
    }
  }
  if (entries.empty()) return {};
  std::ranges::sort(entries, is_likelier);
  if (params.temperature < kTemperatureGreedy || std::isinf(entries[0].logit))
    return {{entries[0].token, 1}};
  if (params.top_k > 0) entries.resize(std::min(entries.size(), static_cast<size_t>(params.top_k)));
  for (Entry& entry : entries) {
    const double x = (static_cast<double>(entry.logit) - static_cast<double>(entries[0].logit)) /
                     static_cast<double>(params.temperature);
    entry.p = x > -30 ? std::exp(x) : 0;
  }
  normalize(entries);
  const double least = static_cast<double>(params.min_p) * entries[0].p;
  std::erase_if(entries, [least](const Entry& entry) { return entry.p < least * (1 - 1e-12); });
  normalize(entries);
  if (params.typical_p < 1) keep_typical(entries, static_cast<double>(params.typical_p));
  std::ranges::sort(entries, is_likelier);
  if (params.top_p < 1) cut_at_mass(entries, static_cast<double>(params.top_p));
  std::ranges::sort(entries, {}, &Entry::token);
  std::vector<PlainEntry> out;
  for (const Entry& entry : entries) out.push_back({entry.token, entry.p});
  return out;
}

TokenId plain_draw(const std::vector<PlainEntry>& distribution, double draw) {
  double sum = 0;
  for (const PlainEntry& entry : distribution) {
    sum += entry.probability;
    if (sum > draw) return entry.token;
  }
  return distribution.back().token;
}

bool is_plain_draw(const std::vector<PlainEntry>& distribution, double draw, TokenId token,
                   double tolerance) {
  return token == plain_draw(distribution, draw) ||
         token == plain_draw(distribution, draw + tolerance) ||
         token == plain_draw(distribution, draw - tolerance);
}

}  // namespace squish::testing
