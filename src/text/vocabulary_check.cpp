#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "text/vocabulary_build.h"

namespace squish::text {
namespace {

constexpr size_t kAddedBytesMax =
    4096;  // longest real one: 60 bytes; bounds the search at each place of a text

Error bad(const std::string& what) { return Error{ErrorCode::bad_file, "vocabulary: " + what}; }

}  // namespace

Status check_spec(const TokenizerSpec& spec) {
  const size_t n = spec.tokens.size();
  if (n == 0) return bad("it has no tokens");
  if (n > limits::kVocabularySizeMax) {
    return bad(fmt::format("{} tokens; at most {} are accepted", n, limits::kVocabularySizeMax));
  }
  if (spec.kinds.size() != n)
    return bad(fmt::format("{} token kinds for {} tokens", spec.kinds.size(), n));
  if (!spec.scores.empty() && spec.scores.size() != n) {
    return bad(fmt::format("{} scores for {} tokens", spec.scores.size(), n));
  }
  if (spec.merges.size() > 4 * limits::kVocabularySizeMax) {
    return bad(fmt::format("{} merges; at most {} are accepted", spec.merges.size(),
                           4 * limits::kVocabularySizeMax));
  }
  const auto inside = [n](TokenId id) { return id >= 0 && static_cast<size_t>(id) < n; };
  for (size_t i = 0; i < n; ++i) {
    if (spec.tokens[i].size() > limits::kTokenBytesMax) {
      return bad(fmt::format("token {} has {} bytes; at most {} are accepted", i,
                             spec.tokens[i].size(), limits::kTokenBytesMax));
    }
  }
  for (const AddedToken& added : spec.added) {
    if (!inside(added.id))
      return bad(
          fmt::format("added token '{}' has id {} of {}", printable(added.content), added.id, n));
    if (std::max(added.content.size(), added.match.size()) > kAddedBytesMax) {
      return bad(fmt::format("added token {} has {} bytes; at most {} are accepted", added.id,
                             added.content.size(), kAddedBytesMax));
    }
  }
  for (const auto& [id, name] : {std::pair{spec.bos, "bos"},
                                 {spec.eos, "eos"},
                                 {spec.unknown, "unknown"},
                                 {spec.padding, "padding"}}) {
    if (id && !inside(*id)) return bad(fmt::format("{} token {} of {}", name, *id, n));
  }
  for (const auto& [ids, name] :
       {std::pair{&spec.prefix, "prefix"}, {&spec.suffix, "suffix"}, {&spec.end_tokens, "end"}}) {
    for (const TokenId id : *ids) {
      if (!inside(id)) return bad(fmt::format("{} token {} of {}", name, id, n));
    }
  }
  return {};
}

}  // namespace squish::text
