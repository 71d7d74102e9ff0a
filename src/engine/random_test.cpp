#include "engine/random.h"

#include <cstddef>
#include <vector>

#include <gtest/gtest.h>

namespace squish {
namespace {

// Known answers of the authors' Random123 distribution, kat_vectors, philox4x32 10.
TEST(Philox, gives_the_published_answers) {
  using Block = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(UniformDraw, differs_with_every_coordinate_and_repeats_with_equal_ones) {
  const double draw = uniform_draw(1, 2, 3);
  EXPECT_EQ(draw, uniform_draw(1, 2, 3));
  EXPECT_NE(draw, uniform_draw(2, 2, 3));
  EXPECT_NE(draw, uniform_draw(1, 3, 3));
  EXPECT_NE(draw, uniform_draw(1, 2, 4));
  EXPECT_NE(draw, uniform_draw(1 + (uint64_t{1} << 32), 2, 3))
      << "the upper half of the seed counts";
}

TEST(UniformDraw, fills_the_unit_interval_evenly) {
  constexpr size_t kBins = 64;
  constexpr int kDraws = 64'000;
  std::vector<int> bins(kBins);
  for (int i = 0; i < kDraws; ++i) {
    const double draw = uniform_draw(7, 0, static_cast<uint64_t>(i));
    ASSERT_GE(draw, 0.0);
    ASSERT_LT(draw, 1.0);
    ++bins[static_cast<size_t>(draw * kBins)];
  }
  double chi_square = 0;
  for (const int count : bins) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  // 63 degrees of freedom: 99.9 % of fair generators are below 103.4, and 0.1 % below 32.
  EXPECT_LT(chi_square, 103.4);
  EXPECT_GT(chi_square, 32.0);
}

}  // namespace
}  // namespace squish
