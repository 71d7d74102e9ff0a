#include "format/quality_gates.h"

#include <array>
#include <limits>

#include <fmt/format.h>

#include "base/strings.h"

namespace squish {
namespace {

constexpr uint64_t kAnySize = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kMillion = 1'000'000;

// Losses in points of ARC-Easy, from the specification's gates.
constexpr std::array kTable = {
    BlockedPair{"gemma3", 0, 4500 * kMillion, "int3", "int3 costs Gemma 3 up to 4B 15 points",
                "int4"},
    BlockedPair{"qwen3", 3500 * kMillion, 4500 * kMillion, "int3",
                "int3 costs Qwen3-4B 14.8 points", "int4"},
    BlockedPair{"", 0, kAnySize, "int2",
                "plain 2-bit groups answer about as well as chance (26 to 30 %) from 0.6B to 7B",
                "sq2, which codes 2 bits on a trellis with error feedback"},
};

struct FamilyName {
  std::string_view text;  // in lower case without separators
  std::string_view family;
};
constexpr std::array kFamilies = {FamilyName{"gemma3", "gemma3"}, FamilyName{"qwen3", "qwen3"}};

// Groups of 32 with AWQ.
constexpr std::array kFloors = {ScoreFloor{"qwen2515b", "int4", "arc_easy", 70.6},
                                ScoreFloor{"qwen2515b", "int3", "arc_easy", 67.2}};

/// In lower case without separators.
std::string plain_name(std::string_view name) {
  std::string plain;
  for (const char c : to_lower(name)) {
    if (c != '-' && c != '_' && c != ' ' && c != '.') plain += c;
  }
  return plain;
}

}  // namespace

std::span<const BlockedPair> blocked_pairs() { return kTable; }

const BlockedPair* find_blocked(std::string_view family, uint64_t parameters,
                                std::string_view format) {
  for (const BlockedPair& pair : kTable) {
    if (pair.format != format || (!pair.family.empty() && pair.family != family)) continue;
    const bool is_every_size = pair.parameters_min == 0 && pair.parameters_max == kAnySize;
    if (parameters == 0 && !is_every_size) continue;
    if (parameters >= pair.parameters_min && parameters <= pair.parameters_max) return &pair;
  }
  return nullptr;
}

Status check_blocked(std::string_view family, uint64_t parameters, std::string_view format) {
  const BlockedPair* pair = find_blocked(family, parameters, format);
  if (pair == nullptr) return {};
  return Error{ErrorCode::refused, fmt::format("{} is blocked for this model: {}; use {}", format,
                                               pair->reason, pair->alternative)};
}

const ScoreFloor* find_score_floor(std::string_view name, std::string_view format) {
  const std::string plain = plain_name(name);
  for (const ScoreFloor& floor : kFloors) {
    if (floor.format == format && plain.find(floor.model) != std::string::npos) return &floor;
  }
  return nullptr;
}

std::string_view family_of_architecture(std::string_view architecture) {
  const std::string lower = to_lower(architecture);
  for (const FamilyName& row : kFamilies) {
    // "qwen3moe" is another network: the measured losses are of the dense one.
    if (lower.starts_with(row.text) && lower.find("moe") == std::string::npos) return row.family;
  }
  return "";
}

std::string_view family_of_model_name(std::string_view name) {
  const std::string plain = plain_name(name);
  for (const FamilyName& row : kFamilies) {
    if (plain.find(row.text) != std::string::npos) return row.family;
  }
  return "";
}

}  // namespace squish
