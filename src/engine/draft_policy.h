#pragma once
// How many guessed tokens are worth a row each: what steps cost is measured, and so is how often
// guesses come true.
#include <array>
#include <cstddef>
#include <cstdint>

namespace squish {

/// Times of steps by their number of rows. A shared machine disturbs single steps upwards, so the
/// estimates follow lower values quickly and higher ones slowly.
class StepCosts {
 public:
  void observe(size_t rows, double microseconds);
  /// The time of a step of `rows` rows, in units of one of a single row. Where nothing was
  /// measured: between the neighbours that were, or kSlope a row more than the nearest one below.
  [[nodiscard]] double relative(size_t rows) const;

 private:
  static constexpr size_t kRowsMax = 64;  // larger steps count as this
  /// Assumed until measured, of the first row's time. Steps of 2 to 8 rows cost 0.1 to 0.25 a row
  /// where memory is the bound; too high a guess delays the first trial, too low costs one.
  static constexpr double kSlope = 0.15;
  [[nodiscard]] double estimate(size_t rows) const;
  std::array<double, kRowsMax + 1> time_us_{};  // by rows; 0 = not measured
};

/// What one answer has seen of its guesses.
struct DraftHistory {
  /// A guess that was not worth a row, to be compared when its token is known: learning is free.
  struct Untried {
    int32_t position = -1;  // of the token; -1: none
    int32_t token = 0;
    int32_t match_length = 0;
  };
  static constexpr size_t kClasses = 3;  // of match lengths: 3 to 4, 5 to 8, more
  /// Chance that the next guessed token is right. Before any: short matches are chance as often
  /// as not.
  std::array<double, kClasses> chance = {0.4, 0.6, 0.8};
  int32_t misses = 0;  // drafts in a row of which no token was right
  int32_t pause = 0;   // steps still to go without a draft
  Untried untried;
};

class DraftPolicy {
 public:
  static constexpr size_t kDraftMax = 15;

  /// `adapts` false: always as many as possible, for tests and measurements.
  explicit DraftPolicy(bool adapts) : adapts_(adapts) {}

  /// Whether to look for a guess at all. Counts a pause down.
  bool wants_draft(DraftHistory& history) const;
  /// How many of `found` guessed tokens to compute beside the `rows` rows that the step has anyway
  /// (the one of this answer among them).
  [[nodiscard]] size_t draft_count(const DraftHistory& history, int32_t match_length, size_t found,
                                   size_t rows) const;
  /// Whether a guess that was not tried would have been right.
  void learn(DraftHistory& history, int32_t match_length, bool is_right) const;
  /// `accepted` of `drafted` tokens were right.
  void observe(DraftHistory& history, int32_t match_length, size_t drafted, size_t accepted) const;
  /// A step of single rows only took so long.
  void observe_step(size_t rows, double microseconds) { costs_.observe(rows, microseconds); }

 private:
  static size_t class_of(int32_t match_length);
  StepCosts costs_;
  const bool adapts_;
};

}  // namespace squish
