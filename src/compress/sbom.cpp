#include "compress/sbom.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <fmt/format.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/strings.h"
#include "format/json_edit.h"

namespace squish::compress {
namespace {

constexpr std::array<std::string_view, 6> kSuffixes = {".safetensors", ".gguf", ".json",
                                                       ".model",       ".bin",  ".jinja"};
constexpr size_t kFilesMax = 10'000;
constexpr size_t kWindow = 8 << 20;

bool is_weight(std::string_view name) {
  return name.ends_with(".safetensors") || name.ends_with(".gguf") || name.ends_with(".bin");
}

/// 32 hexadecimal digits as a UUID of version 8 ("made by its user's own rule").
std::string uuid_of(const std::string& hash) {
  std::string digits = hash.substr(0, 32);
  digits[12] = '8';
  digits[16] = 'a';
  return fmt::format("{}-{}-{}-{}-{}", digits.substr(0, 8), digits.substr(8, 4),
                     digits.substr(12, 4), digits.substr(16, 4), digits.substr(20, 12));
}

std::string hash_member(std::string_view content) {
  return fmt::format(R"("hashes": [{{"alg": "SHA-256", "content": "{}"}}])", content);
}

}  // namespace

Result<std::vector<std::pair<std::string, std::string>>> hash_files(const std::string& directory) {
  namespace fs = std::filesystem;
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    const bool is_wanted =
        name != kSbomName && std::ranges::any_of(kSuffixes, [&](std::string_view suffix) {
          return name.ends_with(suffix);
        });
    if (is_wanted && file_exists(entry.path().string())) names.push_back(name);
    if (names.size() > kFilesMax) break;
  }
  if (error) {
    return Error{ErrorCode::io,
                 fmt::format("{}: cannot list: {}", printable(directory, 512), error.message())};
  }
  if (std::ranges::none_of(names, is_weight)) {
    return Error{ErrorCode::not_found,
                 fmt::format("{}: holds no file of weights", printable(directory, 512))};
  }
  std::ranges::sort(names);
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::string& name : names) {
    SQ_TRY(const MappedFile map, MappedFile::open(directory + "/" + name));
    Sha256 sha;
    const Bytes bytes = map.bytes();
    for (size_t at = 0; at < bytes.size(); at += kWindow) {
      sha.update(bytes.subspan(at, std::min(kWindow, bytes.size() - at)));
    }
    out.emplace_back(name, sha.finish());
  }
  return out;
}

std::string composite_hash(const std::vector<std::pair<std::string, std::string>>& files) {
  Sha256 sha;
  for (const auto& [name, hash] : files) {
    if (is_weight(name)) sha.update(as_bytes(fmt::format("{}  {}\n", hash, name)));
  }
  return sha.finish();
}

std::string make_sbom(const SbomFacts& facts,
                      const std::vector<std::pair<std::string, std::string>>& files) {
  const std::string composite = composite_hash(files);
  std::string components;
  for (const auto& [name, hash] : files) {
    components += fmt::format("{}\n    {{\"type\": \"file\", \"name\": {}, {}}}",
                              components.empty() ? "" : ",", json_quoted(name), hash_member(hash));
  }
  std::string properties =
      fmt::format(R"({{"name": "squish:format", "value": {}}})", json_quoted(facts.format));
  if (!facts.source.empty()) {
    properties +=
        fmt::format(R"(, {{"name": "squish:source", "value": {}}})", json_quoted(facts.source));
  }
  return fmt::format(
      "{{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.5\",\n"
      "  \"serialNumber\": \"urn:uuid:{}\",\n  \"version\": 1,\n  \"metadata\": {{\n"
      "    \"tools\": {{\"components\": [{{\"type\": \"application\", \"name\": \"squish\"}}]}},\n"
      "    \"component\": {{\n      \"type\": \"machine-learning-model\",\n"
      "      \"bom-ref\": \"model\",\n      \"name\": {},\n      {},\n"
      "      \"modelCard\": {{\"modelParameters\": {{\"task\": \"text-generation\", "
      "\"modelArchitecture\": {}}}}},\n      \"properties\": [{}]\n    }}\n  }},\n"
      "  \"components\": [{}\n  ]\n}}\n",
      uuid_of(composite), json_quoted(facts.name), hash_member(composite),
      json_quoted(facts.architecture), properties, components);
}

}  // namespace squish::compress
