#include "text/unigram.h"

#include <algorithm>

#include "text/unicode.h"

namespace squish::text {
namespace {
constexpr double kUnknownPenalty = 10.0;  // below the worst token, as SentencePiece has it
constexpr size_t kStretchBytes =
    1U << 20;  // words longer than this are cut: bounds the table at 24 MB
constexpr size_t kTokenBytesTried = 512;  // longest token looked for; bounds the work at each place

double rounded(double sum) { return static_cast<double>(static_cast<float>(sum)); }
}  // namespace

double unknown_score(const Vocabulary& vocabulary) {
  double lowest = 0;
  bool any = false;
  for (uint32_t i = 0; i < vocabulary.token_count(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (vocabulary.kind(id) != TokenKind::normal) continue;
    lowest = any ? std::min(lowest, vocabulary.score(id)) : vocabulary.score(id);
    any = true;
  }
  return lowest - kUnknownPenalty;
}

UnigramEncoder::UnigramEncoder(const Vocabulary& vocabulary, const TokenizerProgram& program)
    : vocabulary_(vocabulary), program_(program) {}

void UnigramEncoder::encode(std::string_view word, std::vector<TokenId>& out) {
  while (word.size() > kStretchBytes) {
    size_t cut = kStretchBytes;
    while (cut > kStretchBytes - 4 && (static_cast<unsigned char>(word[cut]) & 0xC0) == 0x80) --cut;
    encode(word.substr(0, cut), out);
    word.remove_prefix(cut);
  }
  nodes_.assign(word.size() + 1, {});
  nodes_[0].reached = true;
  const size_t longest = std::min<size_t>(vocabulary_.token_bytes_max(), kTokenBytesTried);
  for (size_t start = 0; start < word.size();) {
    const size_t character = unicode::character_at(word, start).bytes;
    const double base = nodes_[start].score;
    const auto offer = [&](size_t end, double score, TokenId id) {
      const double sum = program_.single_precision ? rounded(base + score) : base + score;
      Node& node = nodes_[end];
      if (!node.reached || sum > node.score) node = {sum, static_cast<uint32_t>(start), id, true};
    };
    bool single = false;
    for (size_t end = start + character; end <= word.size() && end - start <= longest;) {
      const TokenId id =
          vocabulary_.find_model(word.substr(start, end - start), TextClass::verbatim);
      if (id >= 0) {
        offer(end, vocabulary_.score(id), id);
        single = single || end == start + character;
      }
      if (end == word.size()) break;
      end += unicode::character_at(word, end).bytes;
    }
    if (!single) offer(start + character, program_.unknown_score, -1);
    start += character;
  }
  // Back from the end, then out in order; neighbouring unknown characters count as one.
  std::vector<std::pair<uint32_t, uint32_t>> path;  // start, end
  for (size_t end = word.size(); end > 0;) {
    const Node& node = nodes_[end];
    const bool joins = !path.empty() && node.id < 0 && nodes_[path.back().second].id < 0;
    if (joins) {
      path.back().first = node.start;
    } else {
      path.emplace_back(node.start, static_cast<uint32_t>(end));
    }
    end = node.start;
  }
  for (auto span = path.rbegin(); span != path.rend(); ++span) {
    const TokenId id = nodes_[span->second].id;
    if (id >= 0) {
      out.push_back(id);
    } else {
      emit_unknown(word.substr(span->first, span->second - span->first), out);
    }
  }
}

void UnigramEncoder::emit_unknown(std::string_view text, std::vector<TokenId>& out) const {
  const auto byte = [this](char c) { return vocabulary_.byte_id(static_cast<unsigned char>(c)); };
  if (program_.byte_fallback &&
      std::all_of(text.begin(), text.end(), [&](char c) { return byte(c) >= 0; })) {
    for (const char c : text) out.push_back(byte(c));
  } else if (program_.unknown) {
    out.push_back(*program_.unknown);
  }
}

}  // namespace squish::text
