#include "engine/prompt_cache.h"

#include <algorithm>

namespace squish {

bool PromptCache::is_valid(const Entry& entry) const {
  return entry.page < 0 || pool_.generation(entry.page) == entry.generation;
}

std::optional<PromptCache::Hit> PromptCache::find(PageKey key, std::span<const TokenId> tail) {
  for (Entry& entry : entries_) {
    if (entry.key != key || !std::ranges::equal(entry.tail, tail) || !is_valid(entry)) continue;
    entry.last_used = ++clock_;
    return Hit{entry.page, entry.logits};
  }
  return std::nullopt;
}

void PromptCache::insert(PageKey key, std::span<const TokenId> tail, int32_t page,
                         std::span<const float> logits) {
  if (capacity_ == 0 || find(key, tail).has_value()) return;
  Entry* entry = nullptr;
  for (Entry& candidate : entries_) {
    if (!is_valid(candidate)) candidate.last_used = 0;
    if (entry == nullptr || candidate.last_used < entry->last_used) entry = &candidate;
  }
  if (entries_.size() < capacity_ && (entry == nullptr || is_valid(*entry)))
    entry = &entries_.emplace_back();
  give_up_page(*entry);
  entry->key = key;
  entry->last_used = ++clock_;
  entry->page = page;
  entry->generation = page < 0 ? 0 : pool_.generation(page);
  entry->tail.assign(tail.begin(), tail.end());
  entry->logits.assign(logits.begin(), logits.end());
  if (page >= 0) pool_.set_kept(page, true);
}

void PromptCache::trim(bool all) {
  std::erase_if(entries_, [&](const Entry& entry) {
    if (!all && is_valid(entry)) return false;
    give_up_page(entry);
    return true;
  });
}

void PromptCache::give_up_page(const Entry& entry) {
  if (entry.page >= 0 && is_valid(entry)) pool_.set_kept(entry.page, false);
}

}  // namespace squish
