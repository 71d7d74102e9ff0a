#pragma once
// Finds an entry of a vector by its name: hashes and positions, sorted. 16 bytes an entry.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/hash.h"

namespace squish {

class NameIndex {
 public:
  NameIndex() = default;
  /// `name_of(entries[i])` is the name. Cost: one hash a name and a sort of numbers; names are
  /// compared only where hashes are equal, so that long names with a common beginning cost nothing
  /// more.
  template <class Entry, class NameOf>
  NameIndex(const std::vector<Entry>& entries, NameOf name_of) {
    slots_.reserve(entries.size());
    for (const Entry& entry : entries) {
      const auto position = static_cast<uint32_t>(slots_.size());
      slots_.push_back({hash64(as_bytes(name_of(entry))), position});
    }
    std::sort(slots_.begin(), slots_.end(), [&](const Slot& a, const Slot& b) {
      if (a.hash != b.hash) return a.hash < b.hash;
      return name_of(entries[a.position]) < name_of(entries[b.position]);
    });
  }

  /// The position of `name`.
  template <class Entry, class NameOf>
  [[nodiscard]] std::optional<size_t> find(const std::vector<Entry>& entries, NameOf name_of,
                                           std::string_view name) const {
    const uint64_t hash = hash64(as_bytes(name));
    auto slot = std::lower_bound(slots_.begin(), slots_.end(), hash,
                                 [](const Slot& a, uint64_t wanted) { return a.hash < wanted; });
    for (; slot != slots_.end() && slot->hash == hash; ++slot) {
      if (name_of(entries[slot->position]) == name) return slot->position;
    }
    return std::nullopt;
  }

  /// A position whose name occurs twice.
  template <class Entry, class NameOf>
  [[nodiscard]] std::optional<size_t> find_duplicate(const std::vector<Entry>& entries,
                                                     NameOf name_of) const {
    for (size_t i = 1; i < slots_.size(); ++i) {
      if (slots_[i - 1].hash == slots_[i].hash &&
          name_of(entries[slots_[i - 1].position]) == name_of(entries[slots_[i].position])) {
        return slots_[i].position;
      }
    }
    return std::nullopt;
  }

 private:
  struct Slot {
    uint64_t hash;
    uint32_t position;
  };
  std::vector<Slot> slots_;
};

}  // namespace squish
