#include "engine/block_pool.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "kernels/backend.h"

namespace squish {

BlockPool::BlockPool(int32_t page_count) {
  SQ_CHECK(page_count > 0);
  const auto count = static_cast<size_t>(page_count);
  pages_.resize(count);
  tokens_.resize(count * kPageTokens);
  free_.reserve(count);
  for (int32_t page = page_count; page-- > 0;) free_.push_back(page);
  free_count_ = page_count;
  limit_ = page_count;
  slots_.assign(std::bit_ceil(2 * count), -1);
}

void BlockPool::set_limit(int32_t limit) {
  SQ_CHECK(limit > 0 && limit <= page_count());
  limit_ = limit;
}

std::optional<int32_t> BlockPool::allocate() {
  int32_t page = -1;
  if (used_count() >= limit_) return std::nullopt;
  if (free_count_ > 0 && used_count() + kept_count_ < limit_) {
    page = free_.back();
    free_.pop_back();
    --free_count_;
    at(page).in_free_list = false;
  } else if (kept_count_ > 0) {
    page = kept_oldest_;
    unlink_kept(page);
    erase_key(page);
    at(page).keep = false;
  } else {
    return std::nullopt;
  }
  at(page).references = 1;
  ++at(page).generation;
  return page;
}

void BlockPool::retain(int32_t page) {
  SQ_DCHECK(!at(page).in_free_list);
  if (at(page).references++ == 0) unlink_kept(page);
}

void BlockPool::release(int32_t page) {
  SQ_CHECK(at(page).references > 0);
  if (--at(page).references == 0) settle(page);
}

bool BlockPool::is_writable(int32_t page) const {
  return at(page).references == 1 && !at(page).has_key;
}

/// Puts a page without references where it belongs.
void BlockPool::settle(int32_t page) {
  if (at(page).has_key || at(page).keep) {
    link_kept(page);
    return;
  }
  at(page).in_free_list = true;
  free_.push_back(page);
  ++free_count_;
}

bool BlockPool::insert(PageKey key, PageKey parent, int32_t page, std::span<const TokenId> tokens) {
  SQ_CHECK(!tokens.empty() && tokens.size() <= kPageTokens);
  SQ_CHECK(at(page).references > 0 && !at(page).has_key);
  const size_t slot = slot_of(key);
  if (slots_[slot] >= 0) return false;
  slots_[slot] = page;
  at(page).key = key;
  at(page).parent = parent;
  at(page).token_count = static_cast<int32_t>(tokens.size());
  at(page).has_key = true;
  std::copy(tokens.begin(), tokens.end(),
            tokens_.begin() + static_cast<ptrdiff_t>(page) * kPageTokens);
  return true;
}

std::optional<int32_t> BlockPool::find(PageKey key, std::span<const TokenId> tokens) const {
  const int32_t page = slots_[slot_of(key)];
  if (page < 0) return std::nullopt;
  if (!std::ranges::equal(tokens_of(page), tokens)) return std::nullopt;
  return page;
}

BlockPool::Beginning BlockPool::find_beginning(PageKey parent,
                                               std::span<const TokenId> tokens) const {
  Beginning best;
  for (int32_t page = 0; page < page_count(); ++page) {
    if (!at(page).has_key || at(page).parent != parent) continue;
    const auto held = tokens_of(page);
    const auto end = std::ranges::mismatch(held, tokens).in1;
    const auto count = static_cast<size_t>(end - held.begin());
    if (count > best.count) best = {page, count};
  }
  return best;
}

std::span<const TokenId> BlockPool::tokens_of(int32_t page) const {
  return std::span(tokens_).subspan(static_cast<size_t>(page) * kPageTokens,
                                    static_cast<size_t>(at(page).token_count));
}

void BlockPool::erase_key(int32_t page) {
  if (!at(page).has_key) return;
  at(page).has_key = false;
  // Deletion from linear probing: move later entries back over the hole unless that puts them
  // before their own slot.
  const size_t mask = slots_.size() - 1;
  size_t hole = slot_of(at(page).key);
  for (size_t i = (hole + 1) & mask; slots_[i] >= 0; i = (i + 1) & mask) {
    const size_t home = at(slots_[i]).key & mask;
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      slots_[hole] = slots_[i];
      hole = i;
    }
  }
  slots_[hole] = -1;
}

void BlockPool::set_kept(int32_t page, bool kept) {
  if (at(page).keep == kept) return;
  at(page).keep = kept;
  if (at(page).references > 0 || at(page).has_key) return;
  SQ_CHECK(!kept);  // a free page has nothing to keep
  unlink_kept(page);
  settle(page);
}

void BlockPool::drop_kept(int32_t kept_max, std::vector<int32_t>& freed) {
  while (kept_count_ > std::max(kept_max, 0)) {
    const int32_t page = kept_oldest_;
    unlink_kept(page);
    erase_key(page);
    at(page).keep = false;
    ++at(page).generation;
    settle(page);
    freed.push_back(page);
  }
}

/// The slot that holds `key`, or the empty one where it would go.
size_t BlockPool::slot_of(PageKey key) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = key & mask;
  while (slots_[slot] >= 0 && at(slots_[slot]).key != key) slot = (slot + 1) & mask;
  return slot;
}

void BlockPool::link_kept(int32_t page) {
  at(page).previous = kept_newest_;
  at(page).next = -1;
  if (kept_newest_ >= 0) at(kept_newest_).next = page;
  kept_newest_ = page;
  if (kept_oldest_ < 0) kept_oldest_ = page;
  ++kept_count_;
}

void BlockPool::unlink_kept(int32_t page) {
  const int32_t previous = at(page).previous;
  const int32_t next = at(page).next;
  (previous >= 0 ? at(previous).next : kept_oldest_) = next;
  (next >= 0 ? at(next).previous : kept_newest_) = previous;
  at(page).previous = -1;
  at(page).next = -1;
  --kept_count_;
}

bool BlockPool::is_consistent() const {
  int32_t kept = 0;
  int32_t last = -1;
  for (int32_t page = kept_oldest_; page >= 0; last = page, page = at(page).next) {
    const Page& p = at(page);
    if (p.references != 0 || p.in_free_list || !(p.has_key || p.keep) || p.previous != last)
      return false;
    if (++kept > page_count()) return false;
  }
  if (last != kept_newest_ || kept != kept_count_) return false;
  if (free_.size() != static_cast<size_t>(free_count_)) return false;
  for (const int32_t page : free_) {
    if (!at(page).in_free_list) return false;
  }
  int32_t free = 0;
  int32_t unused = 0;
  size_t keys = 0;
  for (int32_t page = 0; page < page_count(); ++page) {
    const Page& p = at(page);
    if (p.references < 0) return false;
    if (p.in_free_list && (p.references != 0 || p.has_key || p.keep)) return false;
    free += p.in_free_list ? 1 : 0;
    unused += p.references == 0 ? 1 : 0;
    keys += p.has_key ? 1 : 0;
    if (p.has_key && slots_[slot_of(p.key)] != page) return false;
  }
  const auto filled =
      static_cast<size_t>(std::ranges::count_if(slots_, [](int32_t s) { return s >= 0; }));
  return free == free_count_ && unused == free_count_ + kept_count_ && filled == keys;
}

}  // namespace squish
