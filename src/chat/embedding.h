#pragma once
// Texts to vectors, and how well documents fit a query: what every API dialect's embedding and
// rerank routes are made of. Work goes through the engine a few texts at a time, between answers.
#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/loaded_model.h"

namespace squish {

/// Inputs of one request: OpenAI's own limit.
constexpr size_t kEmbeddingInputsMax = 2048;

/// A text, or a pair of texts to score, as the model reads it.
struct EmbeddingInput {
  std::vector<TokenId> tokens = {};
  int32_t second_begin = 0;  // of a pair: where the second text begins
};

/// What to do with a text that the model cannot take whole.
enum class LongText : uint8_t { refuse, cut };

/// The model's way to write texts for embeddings. Any thread; takes as long as tokenizing does, so
/// not on a thread that others wait for. The model must outlive it.
class EmbeddingEncoder {
 public:
  explicit EmbeddingEncoder(const LoadedModel& model);

  /// With the tokens that the model wants around a text. Errors: invalid_argument for an empty
  /// text; refused for one that is too long, with both numbers.
  [[nodiscard]] Result<EmbeddingInput> text(std::string_view text, LongText long_text) const;
  /// Tokens as they are. Errors: the same; invalid_argument for one outside the vocabulary.
  [[nodiscard]] Result<EmbeddingInput> tokens(std::vector<TokenId> tokens,
                                              LongText long_text) const;
  /// A query and a document for the model's own head; only the document is ever cut.
  [[nodiscard]] Result<EmbeddingInput> pair(std::string_view query, std::string_view document,
                                            LongText long_text) const;

 private:
  [[nodiscard]] Error too_long(size_t count) const;

  const LoadedModel& model_;
  const size_t limit_;
  std::vector<TokenId> before_;  // around every text
  std::vector<TokenId> after_;
};

struct EmbeddingOptions {
  bool wants_scores = false;  // one number for each pair, by the model's own head
  std::string client = {};    // see Request::client
  /// See Request::on_event: poll() has news.
  std::function<void()> on_event = {};
};

/// Vectors of many inputs. Dropping it cancels what is left. One thread; its model must outlive it.
class EmbeddingJob {
 public:
  /// Inputs that one job has in the engine at a time: enough to fill a step with short texts,
  /// little enough to leave places to answers.
  static constexpr size_t kInFlight = 6;

  EmbeddingJob(LoadedModel& model, std::vector<EmbeddingInput> inputs, EmbeddingOptions options);

  /// Hands on what there is room for and takes what is done; never blocks. True when all is done.
  /// Errors: as Engine::submit (busy only while nothing of this job is in the engine, later on it
  /// waits for its own); cancelled when the engine stopped.
  Result<bool> poll();
  /// Blocks until all is done.
  Status wait();
  /// In the order of the inputs, each of length 1 (L2) or one score; complete once poll() said so.
  [[nodiscard]] std::vector<std::vector<float>>& vectors() { return vectors_; }
  /// Tokens of all inputs.
  [[nodiscard]] int64_t token_count() const { return token_count_; }

 private:
  struct Running {
    size_t index = 0;
    RequestHandle handle;
  };
  Status submit();
  Result<bool> take(Running& running, std::chrono::milliseconds timeout);

  LoadedModel& model_;
  std::vector<EmbeddingInput> inputs_;
  const EmbeddingOptions options_;
  std::vector<std::vector<float>> vectors_;
  std::deque<Running> running_;
  size_t next_ = 0;  // input to hand on
  int64_t token_count_ = 0;
};

/// Divides by the L2 norm; a vector of zeros stays.
void normalize(std::span<float> vector);
/// The first `count` numbers, of length 1 again: what models with nested embeddings are made for.
/// `count` must be at most vector.size().
void shorten(std::vector<float>& vector, size_t count);
/// Of vectors of length 1: their cosine.
double dot(std::span<const float> a, std::span<const float> b);

}  // namespace squish
