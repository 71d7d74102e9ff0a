#include "text/tokenizer_added.h"

namespace squish::text {

std::vector<TrieNode> build_trie(const std::vector<AddedToken>& added, bool normalized) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < added.size(); ++i) {
    if (added[i].normalized == normalized && !added[i].match.empty()) order.push_back(i);
  }
  std::vector<TrieNode> nodes;
  if (order.empty()) return nodes;
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const int compared = added[a].match.compare(added[b].match);
    return compared != 0 ? compared < 0 : a < b;
  });
  struct Range {
    size_t begin, end, depth;
  };
  std::vector<Range> ranges{{0, order.size(), 0}};
  nodes.push_back({});
  for (size_t node = 0; node < nodes.size(); ++node) {
    Range range = ranges[node];
    while (range.begin < range.end && added[order[range.begin]].match.size() == range.depth) {
      if (nodes[node].added_plus == 0)
        nodes[node].added_plus = order[range.begin] + 1;  // first of equal texts
      ++range.begin;
    }
    nodes[node].first_child = static_cast<uint32_t>(nodes.size());
    while (range.begin < range.end) {
      const char label = added[order[range.begin]].match[range.depth];
      size_t end = range.begin;
      while (end < range.end && added[order[end]].match[range.depth] == label) ++end;
      TrieNode child{};
      child.label = static_cast<uint8_t>(label);
      nodes.push_back(child);
      ranges.push_back({range.begin, end, range.depth + 1});
      ++nodes[node].child_count;
      range.begin = end;
    }
  }
  return nodes;
}

AddedMatcher::AddedMatcher(const Vocabulary& vocabulary, bool normalized)
    : trie_(vocabulary.trie(normalized)), added_(vocabulary.added()), any_(!trie_.empty()) {
  if (!any_) return;
  for (const TrieNode& child : trie_.subspan(trie_[0].first_child, trie_[0].child_count))
    first_bytes_.set(child.label);
}

AddedMatcher::Found AddedMatcher::find(std::string_view text, size_t position) const {
  Found found;
  const TrieNode* node = &trie_[0];
  for (size_t i = position; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const auto children = trie_.subspan(node->first_child, node->child_count);
    const auto child = std::lower_bound(children.begin(), children.end(), byte,
                                        [](const TrieNode& n, uint8_t b) { return n.label < b; });
    if (child == children.end() || child->label != byte) break;
    node = &*child;
    if (node->added_plus != 0) found = {i + 1, &added_[node->added_plus - 1]};
  }
  return found;
}

bool AddedMatcher::accepted(std::string_view text, size_t start, const Found& found,
                            bool parse_special) {
  if (!parse_special && (found.record->flags & kAddedSpecial) != 0) return false;
  if ((found.record->flags & kAddedWord) == 0) return true;
  const bool word_before =
      start > 0 &&
      unicode::character_at(text, unicode::previous_start(text, start)).is(unicode::kWord);
  return !word_before && !unicode::character_at(text, found.end).is(unicode::kWord);
}

size_t AddedMatcher::spaces_before(std::string_view text, size_t position) {
  while (position > 0) {
    const size_t start = unicode::previous_start(text, position);
    if (!unicode::character_at(text, start).is(unicode::kSpace)) break;
    position = start;
  }
  return position;
}

size_t AddedMatcher::spaces_behind(std::string_view text, size_t position) {
  for (auto c = unicode::character_at(text, position); c.is(unicode::kSpace);
       c = unicode::character_at(text, position)) {
    position += c.bytes;
  }
  return position;
}

}  // namespace squish::text
