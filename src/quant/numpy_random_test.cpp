#include "quant/numpy_random.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace squish::quant {
namespace {

// Expected numbers: numpy 2.4, numpy.random.default_rng(42).
TEST(NumpyRandom, gives_the_raw_numbers_of_numpy) {
  NumpyRandom random(42);
  EXPECT_EQ(random.next_u64(), 0xc621fbcd16d92688ULL);
  EXPECT_EQ(random.next_u64(), 0x705a5661a791ffc1ULL);
  EXPECT_EQ(random.next_u64(), 0xdbcd12c26eda1624ULL);
}

TEST(NumpyRandom, chooses_the_signs_of_numpy) {
  NumpyRandom random(42);
  EXPECT_EQ(random.signs(16),
            (std::vector<float>{-1, 1, 1, -1, -1, 1, -1, 1, -1, -1, 1, 1, 1, 1, 1, 1}));
}

TEST(NumpyRandom, draws_the_normal_numbers_of_numpy) {
  NumpyRandom random(42);
  for (const double expected : {0.30471707975443135, -1.0399841062404955, 0.7504511958064572,
                                0.9405647163912139, -1.9510351886538364, -1.302179506862318}) {
    EXPECT_NEAR(random.standard_normal(), expected, 1e-14);
  }
}

TEST(NumpyRandom, follows_numpy_through_its_rare_branches) {
  // Two million draws meet the wedges and the tail; one step too many or too few changes the last.
  NumpyRandom random((uint64_t{1} << 40) + 5);
  double largest = 0, smallest = 0, last = 0;
  for (int i = 0; i < 2'000'000; ++i) {
    last = random.standard_normal();
    largest = std::max(largest, last);
    smallest = std::min(smallest, last);
  }
  EXPECT_NEAR(largest, 4.968553062361979, 1e-13);
  EXPECT_NEAR(smallest, -4.8427074726049035, 1e-13);
  EXPECT_NEAR(last, 0.5693361840571488, 1e-13);
}

}  // namespace
}  // namespace squish::quant
