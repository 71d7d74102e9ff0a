#include "hub/catalog.h"

#include <algorithm>
#include <array>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "hub/catalog_data.h"
#include "hub/json_fields.h"
#include "hub/names.h"

namespace squish::hub {
namespace {

using nlohmann::json;

/// Short names that people know from other programs.
struct Shorthand {
  std::string_view name;
  std::string_view id;
};
constexpr std::array kShorthands = {
    Shorthand{"1.5b", "qwen2.5:1.5b"},
    Shorthand{"7b", "qwen2.5:7b"},
    Shorthand{"14b", "qwen2.5:14b"},
    Shorthand{"32b", "qwen2.5:32b"},
    Shorthand{"72b", "qwen2.5:72b"},
    Shorthand{"r1:7b", "deepseek-r1:7b"},
    Shorthand{"r1:14b", "deepseek-r1:14b"},
    Shorthand{"r1:32b", "deepseek-r1:32b"},
    Shorthand{"mixtral", "mixtral:8x7b"},
    Shorthand{"mixtral:47b", "mixtral:8x7b"},
    Shorthand{"mixtral:141b", "mixtral:8x22b"},
    Shorthand{"qwen3:235b", "qwen3:235b-a22b"},
};

std::vector<std::string> text_list(const json& object, const char* key) {
  std::vector<std::string> texts;
  const json& list = member(object, key);
  if (!list.is_array()) return texts;
  for (const json& item : list) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return texts;
}

Result<CatalogSource> parse_source(const json& item) {
  CatalogSource source;
  source.reference = text_field(item, "from");
  if (!source.reference.starts_with("hf:") && !source.reference.starts_with("pypi:")) {
    return Error{ErrorCode::bad_file, fmt::format("source \"{}\" starts with neither hf: nor pypi:",
                                                  printable(source.reference))};
  }
  source.file.name = text_field(item, "file");
  source.file.sha256 = text_field(item, "sha256");
  source.file.bytes = count_field(item, "bytes");
  SQ_TRY_STATUS(check_file_name(source.file.name));
  const bool hash_ok =
      source.file.sha256.empty() ||
      (source.file.sha256.size() == 64 &&
       source.file.sha256.find_first_not_of("0123456789abcdef") == std::string::npos);
  if (!hash_ok)
    return Error{ErrorCode::bad_file, "sha256 must be 64 lower-case hexadecimal digits"};
  return source;
}

Result<CatalogEntry> parse_entry(const json& item) {
  CatalogEntry entry;
  entry.id = text_field(item, "id");
  if (entry.id.empty() || entry.id.find(':') == std::string::npos ||
      normalize_name(entry.id) != entry.id) {
    return Error{ErrorCode::bad_file,
                 fmt::format("id \"{}\" is not of the form family:size", printable(entry.id))};
  }
  entry.name = text_field(item, "name");
  entry.family = entry.id.substr(0, entry.id.find(':'));
  entry.params = text_field(item, "params");
  entry.context =
      static_cast<uint32_t>(std::min<uint64_t>(count_field(item, "context"), UINT32_MAX));
  entry.aliases = text_list(item, "aliases");
  entry.tags = text_list(item, "tags");
  entry.bytes = count_field(item, "bytes");
  entry.license = text_field(item, "license");
  const json& chat = member(item, "chat");
  entry.chat = !chat.is_boolean() || chat.get<bool>();
  const json& sources = member(item, "sources");
  if (!sources.is_array() || sources.empty()) return Error{ErrorCode::bad_file, "has no sources"};
  for (const json& source : sources) {
    SQ_TRY(CatalogSource parsed, parse_source(source));
    entry.sources.push_back(std::move(parsed));
  }
  return entry;
}

}  // namespace

const Catalog& Catalog::builtin() {
  static const Catalog catalog = [] {
    Result<Catalog> parsed = parse(catalog_json());
    SQ_CHECK(parsed.has_value());  // our own file; catalog_test reads it
    return std::move(parsed).value();
  }();
  return catalog;
}

Result<Catalog> Catalog::parse(std::string_view text) {
  SQ_TRY(const json root, parse_json(text, "catalog.json"));
  const json& models = member(root, "models");
  if (!models.is_array()) return Error{ErrorCode::bad_file, "catalog.json: has no list \"models\""};
  Catalog catalog;
  for (const json& item : models) {
    SQ_TRY(CatalogEntry entry,
           parse_entry(item).at(fmt::format("catalog.json: \"{}\"", text_field(item, "id"))));
    const auto same = [&](const CatalogEntry& other) { return other.id == entry.id; };
    if (std::any_of(catalog.entries_.begin(), catalog.entries_.end(), same)) {
      return Error{ErrorCode::bad_file,
                   fmt::format("catalog.json: \"{}\" appears twice", entry.id)};
    }
    catalog.entries_.push_back(std::move(entry));
  }
  std::sort(catalog.entries_.begin(), catalog.entries_.end(),
            [](const CatalogEntry& a, const CatalogEntry& b) {
              return std::tie(a.bytes, a.id) < std::tie(b.bytes, b.id);
            });
  return catalog;
}

std::string Catalog::canonical(std::string_view name) const {
  const std::string normal = normalize_name(name);
  for (const Shorthand& row : kShorthands) {
    if (row.name == normal) return std::string(row.id);
  }
  const std::string lower = to_lower(trim(name));
  for (const CatalogEntry& entry : entries_) {
    for (const std::string& alias : entry.aliases) {
      if (alias == normal || alias == lower) return entry.id;
    }
  }
  return normal;
}

Result<const CatalogEntry*> Catalog::find(std::string_view name) const {
  const std::string id = canonical(name);
  for (const CatalogEntry& entry : entries_) {
    if (entry.id == id) return &entry;
  }
  // Sorted by size: the first of the family is its smallest.
  for (const CatalogEntry& entry : entries_) {
    if (entry.family == id) return &entry;
  }
  return Error{ErrorCode::not_found,
               fmt::format("\"{}\" is not in the catalogue{}", printable(trim(name)),
                           did_you_mean(suggest(name)))};
}

std::vector<std::string> Catalog::suggest(std::string_view name) const {
  const std::string id = canonical(name);
  if (id.empty() || id.size() > 100) return {};
  const std::string_view family = std::string_view(id).substr(0, id.find(':'));
  struct Scored {
    int score;
    const CatalogEntry* entry;
  };
  std::vector<Scored> scored;
  for (const CatalogEntry& entry : entries_) {
    int score = 0;
    if (entry.id.find(id) != std::string::npos) score += 10;
    const std::string lower_name = to_lower(entry.name);
    std::string tokens = id;
    for (char& c : tokens) {
      if (c == ':' || c == '_' || c == '/') c = '-';
    }
    for (const std::string_view token : split(tokens, '-')) {
      if (token.empty()) continue;
      if (entry.id.find(token) != std::string::npos) score += 3;
      if (lower_name.find(token) != std::string::npos) score += 1;
    }
    const size_t distance =
        std::min(edit_distance(entry.id, id), edit_distance(entry.family, family) + 1);
    if (distance <= 3) score += 10 - 2 * static_cast<int>(distance);
    if (score > 0) scored.push_back({score, &entry});
  }
  // Entries lie in one vector, sorted by size, which settles ties.
  std::sort(scored.begin(), scored.end(), [](const Scored& a, const Scored& b) {
    return a.score != b.score ? a.score > b.score : a.entry < b.entry;
  });
  std::vector<std::string> best;
  for (size_t i = 0; i < scored.size() && i < 3; ++i) best.push_back(scored[i].entry->id);
  return best;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string did_you_mean(const std::vector<std::string>& suggestions) {
  if (suggestions.empty()) return {};
  std::string text = " (did you mean " + suggestions[0];
  for (size_t i = 1; i < suggestions.size(); ++i) {
    text += (i + 1 == suggestions.size() ? " or " : ", ") + suggestions[i];
  }
  return text + "?)";
}

}  // namespace squish::hub
