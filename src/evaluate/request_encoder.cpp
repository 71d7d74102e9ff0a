#include "evaluate/request_encoder.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_unicode.h"

namespace squish {
namespace {

constexpr Tokenizer::EncodeOptions kPlain = {.add_special = false, .parse_special = true};

}  // namespace

std::optional<TokenId> added_bos(const Tokenizer& tokenizer) {
  const std::vector<TokenId> tokens = tokenizer.encode("");
  if (tokens.empty() || tokens.front() != tokenizer.bos()) return std::nullopt;
  return tokens.front();
}

std::vector<TokenId> RequestEncoder::encode_text(std::string_view text) const {
  std::vector<TokenId> tokens = tokenizer_.encode(text, kPlain);
  const bool has_bos = !tokenizer_.bos_text().empty() && text.starts_with(tokenizer_.bos_text());
  if (bos_ && !has_bos) tokens.insert(tokens.begin(), *bos_);
  return tokens;
}

Result<TokenRequest> RequestEncoder::encode(const ChoiceText& request) const {
  const std::string_view context = jinja::strip_space(request.context, false, true);
  const std::string continuation = request.context.substr(context.size()) + request.continuation;
  TokenRequest out;
  size_t context_count = 0;
  if (context.empty()) {
    const auto first = tokenizer_.bos() ? tokenizer_.bos() : tokenizer_.eos();
    if (!first) {
      return Error{ErrorCode::invalid_argument,
                   "an empty context cannot be scored: the vocabulary has neither bos nor eos"};
    }
    out.tokens = tokenizer_.encode(continuation, kPlain);
    if (out.tokens.empty() || out.tokens.front() != *first)
      out.tokens.insert(out.tokens.begin(), *first);
    context_count = 1;
  } else {
    out.tokens = encode_text(std::string(context) + continuation);
    const std::vector<TokenId> alone = encode_text(context);
    // lm-eval reads the context as it is encoded alone, and takes only the rest from the whole.
    context_count = std::min(alone.size(), out.tokens.size());
    std::copy_n(alone.begin(), context_count, out.tokens.begin());
  }
  out.scored = out.tokens.size() - context_count;
  if (out.scored == 0) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("the choice '{}' adds no token to its context",
                             printable(request.continuation, 40))};
  }
  if (out.scored > length_max_) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("the choice '{}' has {} tokens, the longest context is {}",
                             printable(request.continuation, 40), out.scored, length_max_)};
  }
  if (out.tokens.size() > length_max_ + 1) {
    out.tokens.erase(out.tokens.begin(),
                     out.tokens.end() - static_cast<ptrdiff_t>(length_max_ + 1));
  }
  return out;
}

}  // namespace squish
