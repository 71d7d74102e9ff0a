#include "server/infill.h"

#include <array>
#include <vector>

namespace squish::server {
namespace {

/// The special tokens that models were trained to fill gaps with.
struct InfillTokens {
  std::string_view prefix;
  std::string_view suffix;
  std::string_view middle;
  bool suffix_first = false;
};
constexpr std::array kInfillTokens = {
    InfillTokens{"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},  // Qwen, Gemma
    InfillTokens{"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},        // StarCoder
    InfillTokens{"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},        // SantaCoder
    InfillTokens{"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},  // DeepSeek
    InfillTokens{"▁<PRE>", "▁<SUF>", "▁<MID>"},                          // Code Llama
    InfillTokens{"<PRE>", "<SUF>", "<MID>"},                             // CodeGemma's kin
    InfillTokens{"[PREFIX]", "[SUFFIX]", "", true},                      // Codestral
};

}  // namespace

Result<PreparedPrompt> prepare_infill(const Tokenizer& tokenizer, std::string_view prefix,
                                      std::string_view suffix) {
  const Tokenizer::EncodeOptions plain{.add_special = false, .parse_special = false};
  for (const InfillTokens& row : kInfillTokens) {
    const auto before = tokenizer.find(row.prefix);
    const auto after = tokenizer.find(row.suffix);
    const auto middle = tokenizer.find(row.middle);
    if (!before || !after || (!row.middle.empty() && !middle)) continue;
    PreparedPrompt out;
    const std::vector<TokenId> start = tokenizer.encode("", {.add_special = true});
    if (tokenizer.bos() && !start.empty() && start.front() == *tokenizer.bos())
      out.tokens.push_back(*tokenizer.bos());
    const auto add = [&](TokenId token, std::string_view text) {
      out.tokens.push_back(token);
      const std::vector<TokenId> tokens = tokenizer.encode(text, plain);
      out.tokens.insert(out.tokens.end(), tokens.begin(), tokens.end());
    };
    if (row.suffix_first) {
      add(*after, suffix);
      add(*before, prefix);
    } else {
      add(*before, prefix);
      add(*after, suffix);
      out.tokens.push_back(*middle);
    }
    out.text = prefix;
    return out;
  }
  return Error{ErrorCode::unsupported,
               "suffix: this model's vocabulary has no tokens for filling a gap; models for code, "
               "such as qwen2.5-coder, have them"};
}

}  // namespace squish::server
