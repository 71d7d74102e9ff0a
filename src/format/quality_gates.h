#pragma once
// Combinations of model and format that are known to be bad: one table for compress, pull, run,
// check and publish.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace squish {

/// Refused: every model of `family` with between `parameters_min` and `parameters_max` parameters,
/// in `format`.
struct BlockedPair {
  std::string_view family;  // "" = all
  uint64_t parameters_min = 0;
  uint64_t parameters_max = 0;
  std::string_view format;
  std::string_view reason;
  std::string_view alternative;
};
std::span<const BlockedPair> blocked_pairs();

/// Null when there is no objection. `family`: "gemma3", "qwen3" as family_of_architecture() gives
/// it; `parameters` of 0 is unknown and matches only rows of all sizes.
const BlockedPair* find_blocked(std::string_view family, uint64_t parameters,
                                std::string_view format);
/// An error of code `refused` (exit 4) when the pair is blocked: the reason and the alternative.
Status check_blocked(std::string_view family, uint64_t parameters, std::string_view format);

/// The least that a model in a format must score for others to get it.
struct ScoreFloor {
  std::string_view model;  // in lower case without separators: "qwen2515b"
  std::string_view format;
  std::string_view test;  // of squish eval
  double percent_min = 0;
};
/// Null when none is set. `name`: what the model was made from, "Qwen/Qwen2.5-1.5B-Instruct". Other
/// models of the same network (a coder's) are named otherwise and have no floor.
const ScoreFloor* find_score_floor(std::string_view name, std::string_view format);

/// "Gemma3ForCausalLM" and "gemma3" are "gemma3"; "" for what has no row.
std::string_view family_of_architecture(std::string_view architecture);
/// The same from a name that people type: "gemma3:1b", "google/gemma-3-4b-it", "Qwen3-4B".
std::string_view family_of_model_name(std::string_view name);

}  // namespace squish
