#include "compress/budget.h"

#include <limits>
#include <random>

namespace squish::compress {
namespace {

using Parts = std::vector<std::vector<Choice>>;

struct Total {
  uint64_t bytes = 0;
  double loss = 0;
};
Total total_of(const Parts& parts, const std::vector<size_t>& chosen) {
  Total out;
  for (size_t i = 0; i < parts.size(); ++i) {
    out.bytes += parts[i][chosen[i]].bytes;
    out.loss += parts[i][chosen[i]].loss;
  }
  return out;
}

/// The least loss within the budget, by trying everything.
double best_loss(const Parts& parts, uint64_t bytes_max, size_t part = 0, Total so_far = {}) {
  if (so_far.bytes > bytes_max) return std::numeric_limits<double>::infinity();
  if (part == parts.size()) return so_far.loss;
  double best = std::numeric_limits<double>::infinity();
  for (const Choice& choice : parts[part]) {
    const Total next = {so_far.bytes + choice.bytes, so_far.loss + choice.loss};
    best = std::min(best, best_loss(parts, bytes_max, part + 1, next));
  }
  return best;
}

/// Parts of many sizes whose loss falls with the bytes, as with codes of 2 to 8 bits.
Parts random_parts(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  Parts parts;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t size = 100 + random() % 900;
    const double weight = 1 + static_cast<double>(random() % 1000);
    std::vector<Choice> choices;
    for (const double bits : {2.0, 3.0, 4.0, 5.0, 8.5}) {
      const double wobble = 0.8 + 0.4 * static_cast<double>(random() % 1000) / 1000;
      choices.push_back({static_cast<uint64_t>(static_cast<double>(size) * bits),
                         weight * wobble * std::pow(4.0, -bits)});
    }
    std::shuffle(choices.begin(), choices.end(), random);
    parts.push_back(std::move(choices));
  }
  return parts;
}

TEST(Budget, takes_the_smallest_of_each_when_nothing_more_fits) {
  const Parts parts = {{{30, 1}, {20, 2}}, {{10, 5}, {40, 1}}};
  EXPECT_EQ(spend_budget(parts, 30), (std::vector<size_t>{1, 0}));
  EXPECT_EQ(spend_budget(parts, 29), std::nullopt);
}

TEST(Budget, takes_the_best_of_each_when_everything_fits) {
  const Parts parts = {{{30, 1}, {20, 2}}, {{10, 5}, {40, 1}, {50, 1}}};
  EXPECT_EQ(spend_budget(parts, 1000), (std::vector<size_t>{0, 1})) << "the 50 save nothing more";
}

TEST(Budget, spends_first_where_a_byte_saves_most) {
  const Parts parts = {{{10, 10}, {20, 9}}, {{10, 10}, {20, 2}}};
  EXPECT_EQ(spend_budget(parts, 30), (std::vector<size_t>{0, 1}));
}

TEST(Budget, passes_over_choices_that_lose_more_and_weigh_more) {
  const Parts parts = {{{10, 10}, {20, 11}, {30, 1}}};
  EXPECT_EQ(spend_budget(parts, 25), (std::vector<size_t>{0}));
  EXPECT_EQ(spend_budget(parts, 30), (std::vector<size_t>{2}));
}

TEST(Budget, is_kept_and_within_a_step_of_the_best_of_all_combinations) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Parts parts = random_parts(seed, 7);
    const auto smallest = spend_budget(parts, 1'000'000).value();
    for (const double share : {0.3, 0.5, 0.7}) {
      const auto bytes_max =
          static_cast<uint64_t>(share * static_cast<double>(total_of(parts, smallest).bytes));
      const auto chosen = spend_budget(parts, bytes_max);
      if (!chosen) continue;
      const Total total = total_of(parts, *chosen);
      EXPECT_LE(total.bytes, bytes_max);
      // Seven parts are coarse: one step is a seventh of the whole. Real models have hundreds.
      EXPECT_LE(total.loss, 2.5 * best_loss(parts, bytes_max) + 1e-12) << seed << ", " << share;
    }
  }
}

TEST(Budget, never_loses_more_with_more_bytes) {
  const Parts parts = random_parts(99, 200);
  double before = std::numeric_limits<double>::infinity();
  for (uint64_t bytes_max = 200'000; bytes_max < 900'000; bytes_max += 10'000) {
    const auto chosen = spend_budget(parts, bytes_max);
    if (!chosen) continue;
    const Total total = total_of(parts, *chosen);
    EXPECT_LE(total.bytes, bytes_max);
    EXPECT_LE(total.loss, before * 1.02);
    before = total.loss;
  }
}

}  // namespace
}  // namespace squish::compress
