#pragma once
// Embeddings and reranking over HTTP. The dialects differ in their JSON; what they share is here:
// inputs, limits, and the work with a client that may leave.
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "chat/embedding.h"
#include "chat/model_manager.h"
#include "server/exchange.h"
#include "server/fields.h"

namespace squish::server {

/// One input as it came: text, or tokens that are ready.
using EmbeddingText = std::variant<std::string, std::vector<TokenId>>;

struct EmbeddingResult {
  std::vector<std::vector<float>> vectors = {};  // of length 1, in the order of the inputs
  int64_t token_count = 0;
};

/// A text, a list of texts, a list of token ids or a list of such lists, of at most
/// kEmbeddingInputsMax entries. Errors: 400 naming the field.
Parsed<std::vector<EmbeddingText>> read_embedding_texts(const Value& body, std::string_view name);
/// How many numbers of each vector are wanted; 0: all.
Parsed<size_t> read_dimensions(const Value& body);

/// The vectors of `texts`, shortened to `dimensions` unless that is 0. Tokenizes on a worker; the
/// engine takes a few texts at a time, so answers go on. Errors: 400 for a text that is empty or
/// too long (with its index and both numbers) and for too many dimensions; 429; 503; 504 after
/// --request-timeout. Returns within one step of the engine when the client leaves.
asio::awaitable<Parsed<EmbeddingResult>> embed(Exchange& exchange,
                                               std::shared_ptr<ModelLease> lease,
                                               std::vector<EmbeddingText> texts, LongText long_text,
                                               size_t dimensions = 0);

struct RerankCall {
  std::string query;
  std::vector<std::string> documents;
  LongText long_text = LongText::refuse;
};

struct RerankScore {
  size_t index = 0;  // of the document
  double score = 0;  // the model's own head through a sigmoid, else the cosine of the vectors
};

struct RerankResult {
  std::vector<RerankScore> scores = {};  // best first; of equal ones the earlier document first
  int64_t token_count = 0;
};

/// Errors: as embed().
asio::awaitable<Parsed<RerankResult>> rerank(Exchange& exchange, std::shared_ptr<ModelLease> lease,
                                             RerankCall call);

/// The little-endian f32 bytes of a vector in base64, as OpenAI's clients ask for it.
std::string base64_of(std::span<const float> vector);

std::span<const Field> embedding_fields();
std::span<const Field> rerank_fields();

}  // namespace squish::server
