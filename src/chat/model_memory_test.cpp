// How models that are loaded together share a budget.
#include "chat/model_memory.h"

#include <random>

#include <gtest/gtest.h>

namespace squish {
namespace {

ModelFootprint model_of(uint64_t weights, uint64_t page, int32_t least, int32_t wanted) {
  ModelFootprint out;
  out.weights = weights;
  out.page = page;
  out.pages_least = least;
  out.pages_wanted = wanted;
  return out;
}

TEST(ModelMemory, one_model_gets_what_it_wants_or_what_fits) {
  const std::vector models = {model_of(1000, 10, 5, 50)};
  EXPECT_EQ(share_pages(models, 10'000), (std::vector<int32_t>{50}));
  EXPECT_EQ(share_pages(models, 1'237), (std::vector<int32_t>{23}));
  EXPECT_EQ(share_pages(models, 1'050), (std::vector<int32_t>{5}));
  EXPECT_TRUE(share_pages(models, 1'049).empty()) << "not even one context";
}

TEST(ModelMemory, two_models_share_the_rest_by_bytes_and_none_gets_less_than_one_context) {
  const std::vector models = {model_of(1000, 10, 5, 100), model_of(500, 20, 5, 100)};
  EXPECT_EQ(share_pages(models, 1'500 + 800), (std::vector<int32_t>{40, 20})) << "400 each";
  EXPECT_EQ(share_pages(models, 1'500 + 150), (std::vector<int32_t>{5, 5}));
  EXPECT_TRUE(share_pages(models, 1'500 + 149).empty());
  EXPECT_EQ(share_pages(models, 1'500 + 2'500), (std::vector<int32_t>{100, 75}))
      << "what one does not want goes to the other";
  EXPECT_EQ(share_pages(models, 1 << 20), (std::vector<int32_t>{100, 100}));
}

TEST(ModelMemory, no_models_take_no_room) { EXPECT_TRUE(share_pages({}, 100).empty()); }

TEST(ModelMemory, shares_of_any_models_fit_and_leave_less_than_a_page_where_one_wants_more) {
  std::mt19937 random(1);
  const auto draw = [&](int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random);
  };
  int fitting = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<ModelFootprint> models;
    uint64_t least = 0;
    for (int i = draw(1, 6); i > 0; --i) {
      const int32_t pages = draw(1, 40);
      models.push_back(model_of(static_cast<uint64_t>(draw(0, 5000)),
                                static_cast<uint64_t>(draw(1, 300)), pages, pages + draw(0, 100)));
      least += models.back().bytes(pages);
    }
    const uint64_t budget =
        least - std::min<uint64_t>(least, 500) + static_cast<uint64_t>(draw(0, 20'000));
    const std::vector<int32_t> pages = share_pages(models, budget);
    ASSERT_EQ(pages.empty(), least > budget);
    if (pages.empty()) continue;
    ++fitting;
    uint64_t sum = 0;
    uint64_t hungry = 0;  // the sum of pages of those that want more
    for (size_t i = 0; i < models.size(); ++i) {
      ASSERT_GE(pages[i], models[i].pages_least);
      ASSERT_LE(pages[i], models[i].pages_wanted);
      sum += models[i].bytes(pages[i]);
      if (pages[i] < models[i].pages_wanted) hungry += models[i].page;
    }
    ASSERT_LE(sum, budget);
    if (hungry > 0) {
      ASSERT_LT(budget - sum, hungry);
    }
  }
  EXPECT_GT(fitting, 1000);
}

}  // namespace
}  // namespace squish
