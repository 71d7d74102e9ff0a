#pragma once
// Which KV pages are free, used or kept: reference counts, the index of pages by content, eviction.
// No bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/sampling_params.h"

namespace squish {

/// Identifies a page by the tokens in it and all tokens before it.
using PageKey = uint64_t;

/// A page is in one of three states: free; used (reference count > 0); kept (count 0, but its
/// content can be found by key or was asked to be kept). Kept pages are given out, least recently
/// used first, when no page is free. Engine thread only. No operation allocates after construction.
class BlockPool {
 public:
  explicit BlockPool(int32_t page_count);

  [[nodiscard]] int32_t page_count() const { return static_cast<int32_t>(pages_.size()); }
  /// Pages that allocate() can still give: free and kept ones within the limit.
  [[nodiscard]] int32_t available_count() const { return std::max(0, limit_ - used_count()); }
  [[nodiscard]] int32_t used_count() const { return page_count() - free_count_ - kept_count_; }
  [[nodiscard]] int32_t kept_count() const { return kept_count_; }
  /// How many pages may be used and kept together, 1 to page_count(), which it is at first.
  [[nodiscard]] int32_t limit() const { return limit_; }
  /// Used pages stay where they are more; allocate() gives nothing until they are fewer.
  void set_limit(int32_t limit);

  /// A page with reference count 1 whose content is undefined; nothing when as many as the limit
  /// allows are used.
  std::optional<int32_t> allocate();
  /// One more reference to a used or kept page.
  void retain(int32_t page);
  /// One reference less. At 0 a page that has a key or is kept becomes the most recently used kept
  /// page.
  void release(int32_t page);
  /// May its one holder write behind what others may know of it? False when shared or registered.
  [[nodiscard]] bool is_writable(int32_t page) const;

  /// Registers what a page holds: `tokens`, kPageTokens of them or, where nobody will write it
  /// again, fewer; `parent`: the key of the page before it, 0 for none. False (and nothing done)
  /// when the key is taken.
  bool insert(PageKey key, PageKey parent, int32_t page, std::span<const TokenId> tokens);
  /// The page of `key`, if its tokens are `tokens`: a hash collision finds nothing.
  [[nodiscard]] std::optional<int32_t> find(PageKey key, std::span<const TokenId> tokens) const;
  struct Beginning {
    int32_t page = -1;
    size_t count = 0;  // of the tokens asked for that it begins with
  };
  /// The page behind `parent` that begins with most of `tokens`. Cost: all pages are looked at.
  [[nodiscard]] Beginning find_beginning(PageKey parent, std::span<const TokenId> tokens) const;
  /// Removes the key of `page`, if it has one, so that it can be written.
  void erase_key(int32_t page);
  /// Keeps a page that has no key when it is released, or ends that.
  void set_kept(int32_t page, bool kept);
  /// Frees kept pages, least recently used first, until at most `kept_max` are left; appends them
  /// to `freed`.
  void drop_kept(int32_t kept_max, std::vector<int32_t>& freed);
  /// The free pages, in no order.
  [[nodiscard]] std::span<const int32_t> free_pages() const { return free_; }
  /// Grows by one each time that `page` is allocated or dropped: tells whether a remembered page
  /// still holds what it held.
  [[nodiscard]] uint32_t generation(int32_t page) const { return at(page).generation; }
  [[nodiscard]] int32_t reference_count(int32_t page) const { return at(page).references; }

  /// Recomputes every count and list from the pages. False when anything disagrees. Cost: all
  /// pages.
  [[nodiscard]] bool is_consistent() const;

 private:
  struct Page {
    PageKey key = 0;
    PageKey parent = 0;
    int32_t token_count = 0;  // of a page with a key
    int32_t references = 0;
    uint32_t generation = 0;
    int32_t previous = -1;  // neighbours in the list of kept pages
    int32_t next = -1;
    bool has_key = false;
    bool keep = false;
    bool in_free_list = true;
  };
  [[nodiscard]] const Page& at(int32_t page) const { return pages_[static_cast<size_t>(page)]; }
  Page& at(int32_t page) { return pages_[static_cast<size_t>(page)]; }
  [[nodiscard]] std::span<const TokenId> tokens_of(int32_t page) const;
  void link_kept(int32_t page);
  void unlink_kept(int32_t page);
  void settle(int32_t page);
  [[nodiscard]] size_t slot_of(PageKey key) const;

  std::vector<Page> pages_;
  std::vector<TokenId> tokens_;  // [page_count, kPageTokens], of pages with a key
  std::vector<int32_t> free_;    // capacity page_count; the last is given out first
  std::vector<int32_t>
      slots_;  // open-addressing hash table key -> page, -1 = empty; at most half full
  int32_t limit_ = 0;
  int32_t free_count_ = 0;
  int32_t kept_count_ = 0;
  int32_t kept_oldest_ = -1;
  int32_t kept_newest_ = -1;
};

}  // namespace squish
