#include "engine/draft_policy.h"

#include <algorithm>

namespace squish {
namespace {

constexpr double kFollowDown = 0.3;
constexpr double kFollowUp = 0.05;
/// A draft must promise this much more tokens a time: estimates err, and a try that fails is paid.
constexpr double kMargin = 1.03;
constexpr double kLearning = 0.15;  // of each guessed token that was tried
constexpr int32_t kMissesMax = 2;   // before a pause
constexpr int32_t kPauseFirst = 16;
constexpr int32_t kPauseMax = 256;

}  // namespace

void StepCosts::observe(size_t rows, double microseconds) {
  if (rows == 0 || !(microseconds > 0)) return;
  double& time = time_us_[std::min(rows, kRowsMax)];
  if (time == 0) {
    time = microseconds;
  } else {
    time += (microseconds < time ? kFollowDown : kFollowUp) * (microseconds - time);
  }
}

double StepCosts::estimate(size_t rows) const {
  rows = std::clamp<size_t>(rows, 1, kRowsMax);
  if (time_us_[rows] > 0) return time_us_[rows];
  size_t below = rows;
  while (below > 0 && time_us_[below] == 0) --below;
  size_t above = rows;
  while (above <= kRowsMax && time_us_[above] == 0) ++above;
  if (below > 0 && above <= kRowsMax) {
    const double share = static_cast<double>(rows - below) / static_cast<double>(above - below);
    return time_us_[below] + share * std::max(0.0, time_us_[above] - time_us_[below]);
  }
  // time = first * (1 + kSlope * (rows - 1)), through the one point that there is.
  const auto line = [](size_t at) { return 1 + kSlope * static_cast<double>(at - 1); };
  if (below > 0) return time_us_[below] * line(rows) / line(below);
  if (above <= kRowsMax) return time_us_[above] * line(rows) / line(above);
  return line(rows);
}

double StepCosts::relative(size_t rows) const { return estimate(rows) / estimate(1); }

size_t DraftPolicy::class_of(int32_t match_length) {
  return match_length <= 4 ? 0 : match_length <= 8 ? 1 : 2;
}

bool DraftPolicy::wants_draft(DraftHistory& history) const {
  if (!adapts_ || history.pause == 0) return true;
  --history.pause;
  return false;
}

size_t DraftPolicy::draft_count(const DraftHistory& history, int32_t match_length, size_t found,
                                size_t rows) const {
  found = std::min(found, kDraftMax);
  if (!adapts_) return found;
  const double chance = history.chance[class_of(match_length)];
  const double now = static_cast<double>(rows) / costs_.relative(rows);
  double best = now * kMargin;
  size_t best_count = 0;
  double expected = static_cast<double>(rows);  // tokens of the step
  double all_right = 1;                         // chance that the guesses so far are
  for (size_t count = 1; count <= found; ++count) {
    all_right *= chance;
    expected += all_right;
    const double rate = expected / costs_.relative(rows + count);
    if (rate <= best) continue;
    best = rate;
    best_count = count;
  }
  return best_count;
}

void DraftPolicy::learn(DraftHistory& history, int32_t match_length, bool is_right) const {
  double& chance = history.chance[class_of(match_length)];
  chance += kLearning * ((is_right ? 1.0 : 0.0) - chance);
}

void DraftPolicy::observe(DraftHistory& history, int32_t match_length, size_t drafted,
                          size_t accepted) const {
  if (drafted == 0) return;
  for (size_t i = 0; i < accepted; ++i) learn(history, match_length, true);
  if (accepted < drafted) learn(history, match_length, false);
  if (accepted > 0) {
    history.misses = 0;
    return;
  }
  if (++history.misses < kMissesMax) return;
  const int32_t doublings = std::min((history.misses - kMissesMax), 4);
  history.pause = std::min(kPauseFirst << doublings, kPauseMax);
}

}  // namespace squish
