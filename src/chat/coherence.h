#pragma once
// Whether a model still talks: five short answers, looked at for going round in circles.
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/loaded_model.h"

namespace squish {

/// Tokens of each answer.
inline constexpr int kCoherenceTokens = 80;
/// So many of the five answers may fail: small base models repeat themselves now and then.
inline constexpr size_t kIncoherentAnswersMax = 1;

/// What is asked.
std::span<const std::string_view> coherence_prompts();

/// Why `text` is no answer of a sound model, in a few words; empty when nothing speaks against it.
/// Its last six words equal the six before in three places or more; or it ends with one piece of at
/// most 12 characters over and over, for texts without spaces; or it holds no letter and no digit.
std::string incoherence_of(std::string_view text);

struct Coherence {
  size_t asked = 0;
  std::vector<std::string> failures;  // "prompt: why", one line each
  [[nodiscard]] bool is_coherent() const { return failures.size() <= kIncoherentAnswersMax; }
};

/// Greedy answers of `model` to all prompts, through its chat template where it has one, else as
/// the texts' continuations. `go_on` is called before each prompt and ten times a second; false
/// ends it. Errors: cancelled; those of the engine.
Result<Coherence> check_coherence(LoadedModel& model,
                                  const std::function<bool(size_t prompt)>& go_on);

}  // namespace squish
