#include "engine/block_pool.h"

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "engine/prompt_cache.h"
#include "kernels/backend.h"

namespace squish {
namespace {

std::vector<TokenId> page_of(TokenId token) { return std::vector<TokenId>(kPageTokens, token); }

TEST(BlockPool, gives_each_page_once_and_then_none) {
  BlockPool pool(3);
  std::vector<bool> seen(3);
  for (int i = 0; i < 3; ++i) {
    const auto page = pool.allocate();
    ASSERT_TRUE(page.has_value());
    EXPECT_FALSE(seen[static_cast<size_t>(*page)]);
    seen[static_cast<size_t>(*page)] = true;
  }
  EXPECT_FALSE(pool.allocate().has_value());
  EXPECT_EQ(pool.used_count(), 3);
  pool.release(1);
  EXPECT_EQ(pool.allocate(), 1);
  EXPECT_TRUE(pool.is_consistent());
}

TEST(BlockPool, a_registered_page_is_found_by_its_tokens_after_its_release) {
  BlockPool pool(2);
  const int32_t page = *pool.allocate();
  ASSERT_TRUE(pool.insert(7, 0, page, page_of(5)));
  pool.release(page);
  EXPECT_EQ(pool.available_count(), 2);
  EXPECT_EQ(pool.kept_count(), 1);
  EXPECT_EQ(pool.find(7, page_of(5)), page);
  EXPECT_FALSE(pool.find(8, page_of(5)).has_value());
  EXPECT_FALSE(pool.find(7, page_of(6)).has_value()) << "a collision of keys";
  pool.retain(page);
  EXPECT_EQ(pool.kept_count(), 0);
  EXPECT_TRUE(pool.is_consistent());
}

TEST(BlockPool, never_uses_and_keeps_more_pages_than_its_limit) {
  BlockPool pool(6);
  pool.set_limit(3);
  EXPECT_EQ(pool.available_count(), 3);
  const int32_t a = *pool.allocate();
  const int32_t b = *pool.allocate();
  ASSERT_TRUE(pool.insert(1, 0, a, page_of(1)));
  ASSERT_TRUE(pool.insert(2, 0, b, page_of(2)));
  pool.release(a);
  pool.release(b);
  const int32_t c = *pool.allocate();
  EXPECT_TRUE(c != a && c != b) << "a free one while the limit has room";
  EXPECT_EQ(pool.allocate(), a) << "then the kept one used longest ago, though others are free";
  EXPECT_EQ(pool.allocate(), b);
  EXPECT_FALSE(pool.allocate().has_value());

  pool.set_limit(1);
  EXPECT_EQ(pool.available_count(), 0);
  pool.release(a);
  pool.release(b);
  EXPECT_FALSE(pool.allocate().has_value()) << "one is used still";
  pool.release(c);
  EXPECT_TRUE(pool.allocate().has_value());
  EXPECT_FALSE(pool.allocate().has_value());
  pool.set_limit(6);
  EXPECT_EQ(pool.available_count(), 5);
  EXPECT_TRUE(pool.is_consistent());
}

TEST(BlockPool, free_pages_go_before_kept_ones_and_the_least_recently_used_of_those_first) {
  BlockPool pool(3);
  const int32_t a = *pool.allocate();
  const int32_t b = *pool.allocate();
  ASSERT_TRUE(pool.insert(1, 0, a, page_of(1)));
  ASSERT_TRUE(pool.insert(2, 0, b, page_of(2)));
  pool.release(a);
  pool.release(b);
  pool.retain(a);  // used again: b is now the older one
  pool.release(a);
  const int32_t c = *pool.allocate();
  EXPECT_TRUE(c != a && c != b);
  EXPECT_EQ(pool.allocate(), b);
  EXPECT_FALSE(pool.find(2, page_of(2)).has_value());
  EXPECT_TRUE(pool.find(1, page_of(1)).has_value());
  EXPECT_TRUE(pool.is_consistent());
}

TEST(BlockPool, a_taken_key_is_not_given_to_a_second_page) {
  BlockPool pool(2);
  const int32_t a = *pool.allocate();
  const int32_t b = *pool.allocate();
  EXPECT_TRUE(pool.insert(1, 0, a, page_of(1)));
  EXPECT_FALSE(pool.insert(1, 0, b, page_of(2)));
  pool.release(b);
  EXPECT_EQ(pool.kept_count(), 0) << "without a key it is free";
  EXPECT_TRUE(pool.is_consistent());
}

TEST(BlockPool, a_page_is_found_by_how_it_begins_behind_its_parent) {
  BlockPool pool(4);
  const std::vector<TokenId> short_one = {1, 2, 3};
  std::vector<TokenId> long_one = page_of(9);
  long_one[0] = 1;
  long_one[1] = 2;
  const int32_t a = *pool.allocate();
  const int32_t b = *pool.allocate();
  const int32_t elsewhere = *pool.allocate();
  ASSERT_TRUE(pool.insert(1, 7, a, short_one));
  ASSERT_TRUE(pool.insert(2, 7, b, long_one));
  ASSERT_TRUE(pool.insert(3, 8, elsewhere, std::vector<TokenId>{1, 2, 9, 9, 9}));
  const auto found = pool.find_beginning(7, std::vector<TokenId>{1, 2, 3, 4});
  EXPECT_EQ(found.page, a);
  EXPECT_EQ(found.count, 3U);
  EXPECT_EQ(pool.find_beginning(7, std::vector<TokenId>{1, 2, 9, 9, 5}).page, b);
  EXPECT_EQ(pool.find_beginning(7, std::vector<TokenId>{1, 2, 9, 9, 5}).count, 4U);
  EXPECT_EQ(pool.find_beginning(7, std::vector<TokenId>{2}).count, 0U);
  EXPECT_EQ(pool.find_beginning(6, short_one).page, -1);
  EXPECT_EQ(pool.find(1, short_one), a);
  EXPECT_FALSE(pool.find(1, std::vector<TokenId>{1, 2}).has_value()) << "it holds more than that";
  pool.erase_key(a);
  EXPECT_EQ(pool.find_beginning(7, std::vector<TokenId>{1, 2, 3, 4}).page, b);
  EXPECT_TRUE(pool.is_consistent());
}

TEST(BlockPool, shared_and_registered_pages_are_not_writable) {
  BlockPool pool(2);
  const int32_t page = *pool.allocate();
  EXPECT_TRUE(pool.is_writable(page));
  pool.retain(page);
  EXPECT_FALSE(pool.is_writable(page));
  pool.release(page);
  EXPECT_TRUE(pool.is_writable(page));
  ASSERT_TRUE(pool.insert(1, 0, page, page_of(1)));
  EXPECT_FALSE(pool.is_writable(page));
  pool.erase_key(page);
  EXPECT_TRUE(pool.is_writable(page));
}

TEST(BlockPool, random_operations_keep_it_consistent_and_equal_to_a_simple_model) {
  std::mt19937_64 generator(4);
  const auto pick = [&](size_t high) { return static_cast<size_t>(generator() % high); };
  for (int round = 0; round < 20; ++round) {
    const auto page_count = static_cast<int32_t>(1 + pick(40));
    BlockPool pool(page_count);
    std::vector<int32_t> held;              // one entry a reference
    std::map<PageKey, int32_t> registered;  // what was inserted; may have been evicted since
    for (int operation = 0; operation < 2000; ++operation) {
      switch (pick(5)) {
        case 0:
          if (const auto page = pool.allocate()) {
            EXPECT_EQ(std::ranges::count(held, *page), 0);
            std::erase_if(registered, [&](const auto& entry) { return entry.second == *page; });
            held.push_back(*page);
          } else {
            EXPECT_EQ(pool.used_count(), page_count);
          }
          break;
        case 1:
          if (!held.empty()) {
            const size_t i = pick(held.size());
            pool.release(held[i]);
            held.erase(held.begin() + static_cast<ptrdiff_t>(i));
          }
          break;
        case 2:
          if (!held.empty()) {
            const int32_t page = held[pick(held.size())];
            // Keys that share their low bits make long probe sequences.
            const PageKey key = pick(64) * 1024;
            const bool has_key =
                std::ranges::any_of(registered, [&](const auto& e) { return e.second == page; });
            if (!has_key) {
              const bool is_new = pool.insert(key, 0, page, page_of(static_cast<TokenId>(key)));
              EXPECT_EQ(is_new, !registered.contains(key));
              if (is_new) registered[key] = page;
            }
          }
          break;
        case 3: {
          const PageKey key = pick(64) * 1024;
          const auto page = pool.find(key, page_of(static_cast<TokenId>(key)));
          EXPECT_EQ(page.has_value(), registered.contains(key));
          if (page.has_value()) {
            EXPECT_EQ(*page, registered[key]);
            pool.retain(*page);
            held.push_back(*page);
          }
          break;
        }
        default:
          if (!held.empty()) {
            const int32_t page = held[pick(held.size())];
            pool.erase_key(page);
            std::erase_if(registered, [&](const auto& entry) { return entry.second == page; });
          }
      }
      ASSERT_TRUE(pool.is_consistent()) << "round " << round << ", operation " << operation;
    }
    for (const int32_t page : held) pool.release(page);
    EXPECT_EQ(pool.available_count(), page_count);
  }
}

TEST(PromptCache, finds_the_logits_of_equal_prompts_until_their_page_is_given_away) {
  BlockPool pool(1);
  PromptCache cache(pool, 2);
  const std::vector<TokenId> tail = {1, 2, 3};
  const int32_t page = *pool.allocate();
  cache.insert(9, tail, page, std::vector<float>{0.5F, 1.5F});
  pool.release(page);
  EXPECT_EQ(pool.kept_count(), 1);
  const auto hit = cache.find(9, tail);
  ASSERT_TRUE(hit.has_value());
  EXPECT_EQ(hit->page, page);
  EXPECT_EQ(hit->logits[1], 1.5F);
  EXPECT_FALSE(cache.find(9, std::vector<TokenId>{1, 2}).has_value());
  EXPECT_FALSE(cache.find(8, tail).has_value());
  EXPECT_TRUE(pool.allocate().has_value());
  EXPECT_FALSE(cache.find(9, tail).has_value());
}

TEST(BlockPool, drops_kept_pages_that_were_not_used_for_longest) {
  BlockPool pool(4);
  const std::vector<TokenId> tokens(kPageTokens, 7);
  std::vector<int32_t> pages;
  for (PageKey key = 0; key < 3; ++key) {
    pages.push_back(*pool.allocate());
    EXPECT_TRUE(pool.insert(key, 0, pages.back(), tokens));
  }
  for (const int32_t page : pages) pool.release(page);
  const uint32_t generation = pool.generation(pages[0]);
  std::vector<int32_t> freed;
  pool.drop_kept(1, freed);
  EXPECT_EQ(freed, (std::vector<int32_t>{pages[0], pages[1]}));
  EXPECT_EQ(pool.kept_count(), 1);
  EXPECT_EQ(pool.free_pages().size(), 3U);
  EXPECT_FALSE(pool.find(0, tokens).has_value());
  EXPECT_TRUE(pool.find(2, tokens).has_value());
  EXPECT_NE(pool.generation(pages[0]), generation) << "whoever remembers it sees that it is void";
  EXPECT_TRUE(pool.is_consistent());
}

TEST(PromptCache, trimming_forgets_void_entries_or_all) {
  BlockPool pool(2);
  PromptCache cache(pool, 2);
  const std::vector<TokenId> tail = {1};
  const std::vector<float> logits = {0};
  const int32_t page = *pool.allocate();
  cache.insert(0, tail, page, logits);
  cache.insert(1, {}, -1, logits);
  pool.release(page);
  std::vector<int32_t> freed;
  pool.drop_kept(0, freed);
  cache.trim(false);
  EXPECT_FALSE(cache.find(0, tail).has_value());
  EXPECT_TRUE(cache.find(1, {}).has_value()) << "it needs no page";
  cache.trim(true);
  EXPECT_FALSE(cache.find(1, {}).has_value());
  EXPECT_TRUE(pool.is_consistent());
}

TEST(PromptCache, a_full_cache_forgets_the_entry_used_longest_ago_and_frees_its_page) {
  BlockPool pool(3);
  PromptCache cache(pool, 2);
  const std::vector<TokenId> tail = {1};
  const std::vector<float> logits = {0};
  for (PageKey key = 0; key < 2; ++key) {
    const int32_t page = *pool.allocate();
    cache.insert(key, tail, page, logits);
    pool.release(page);
  }
  EXPECT_TRUE(cache.find(0, tail).has_value());
  const int32_t page = *pool.allocate();
  cache.insert(2, tail, page, logits);
  pool.release(page);
  EXPECT_TRUE(cache.find(0, tail).has_value());
  EXPECT_FALSE(cache.find(1, tail).has_value());
  EXPECT_TRUE(cache.find(2, tail).has_value());
  EXPECT_EQ(pool.kept_count(), 2);
  EXPECT_TRUE(pool.is_consistent());
}

}  // namespace
}  // namespace squish
