#include "chat/embedding.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/strings.h"

namespace squish {
namespace {

Status check_text(std::string_view text) {
  if (text.empty()) {
    return Error{ErrorCode::invalid_argument, "the text is empty; leave it out or give one"};
  }
  if (text.size() <= limits::kPromptBytesMax) return {};
  return Error{ErrorCode::refused,
               fmt::format("the text has {}, the limit is {}; shorten it", human_bytes(text.size()),
                           human_bytes(limits::kPromptBytesMax))};
}

}  // namespace

EmbeddingEncoder::EmbeddingEncoder(const LoadedModel& model)
    : model_(model), limit_(static_cast<size_t>(model.engine().context_tokens())) {
  // What stands around any text, seen on one: "a" is a token, or several, of every vocabulary.
  const Tokenizer& tokenizer = model.tokenizer();
  const auto plain = tokenizer.encode("a", {.add_special = false, .parse_special = false});
  const auto whole = tokenizer.encode("a", {.add_special = true, .parse_special = false});
  const auto inside = std::ranges::search(whole, plain);
  before_.assign(whole.begin(), inside.begin());
  after_.assign(inside.end(), whole.end());
}

Error EmbeddingEncoder::too_long(size_t count) const {
  return {ErrorCode::refused,
          fmt::format("the text has {} tokens, {} takes {}; shorten it or ask for truncation",
                      count, model_.config().name, limit_)};
}

Result<EmbeddingInput> EmbeddingEncoder::text(std::string_view text, LongText long_text) const {
  SQ_TRY_STATUS(check_text(text));
  EmbeddingInput out;
  out.tokens = model_.tokenizer().encode(text, {.add_special = false, .parse_special = true});
  const size_t around = before_.size() + after_.size();
  if (out.tokens.size() + around > limit_) {
    if (long_text == LongText::refuse || around >= limit_)
      return too_long(out.tokens.size() + around);
    out.tokens.resize(limit_ - around);
  }
  out.tokens.insert(out.tokens.begin(), before_.begin(), before_.end());
  out.tokens.insert(out.tokens.end(), after_.begin(), after_.end());
  if (out.tokens.empty()) {  // text of which the vocabulary keeps nothing
    return Error{ErrorCode::invalid_argument, "the text has no tokens; give another"};
  }
  return out;
}

Result<EmbeddingInput> EmbeddingEncoder::tokens(std::vector<TokenId> tokens,
                                                LongText long_text) const {
  if (tokens.empty()) return Error{ErrorCode::invalid_argument, "the list of tokens is empty"};
  const auto vocabulary = static_cast<TokenId>(model_.config().vocabulary_size);
  for (const TokenId token : tokens) {
    if (token >= 0 && token < vocabulary) continue;
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("token {} is not in the vocabulary, which has 0 to {}", token, vocabulary - 1)};
  }
  if (tokens.size() > limit_) {
    if (long_text == LongText::refuse) return too_long(tokens.size());
    tokens.resize(limit_);
  }
  return EmbeddingInput{.tokens = std::move(tokens)};
}

Result<EmbeddingInput> EmbeddingEncoder::pair(std::string_view query, std::string_view document,
                                              LongText long_text) const {
  SQ_TRY_STATUS(check_text(query));
  SQ_TRY_STATUS(check_text(document));
  const Tokenizer& tokenizer = model_.tokenizer();
  constexpr Tokenizer::EncodeOptions kPlain{.add_special = false, .parse_special = true};
  const std::vector<TokenId> first = tokenizer.encode(query, kPlain);
  std::vector<TokenId> second = tokenizer.encode(document, kPlain);
  const size_t fixed = before_.size() + first.size() + 2 * after_.size();
  if (fixed + second.size() > limit_) {
    if (long_text == LongText::refuse || fixed >= limit_) return too_long(fixed + second.size());
    second.resize(limit_ - fixed);
  }
  EmbeddingInput out;
  out.tokens = before_;
  const auto append = [&out](const std::vector<TokenId>& part) {
    out.tokens.insert(out.tokens.end(), part.begin(), part.end());
  };
  append(first);
  append(after_);
  out.second_begin = static_cast<int32_t>(out.tokens.size());
  append(second);
  append(after_);
  return out;
}

EmbeddingJob::EmbeddingJob(LoadedModel& model, std::vector<EmbeddingInput> inputs,
                           EmbeddingOptions options)
    : model_(model),
      inputs_(std::move(inputs)),
      options_(std::move(options)),
      vectors_(inputs_.size()) {
  for (const EmbeddingInput& input : inputs_)
    token_count_ += static_cast<int64_t>(input.tokens.size());
}

Status EmbeddingJob::submit() {
  SQ_TRY(const Pooling pooling, model_.pooling());
  while (next_ < inputs_.size() && running_.size() < kInFlight) {
    Request request;
    request.tokens = inputs_[next_].tokens;
    request.embedding = EmbeddingWish{.pooling = pooling,
                                      .wants_score = options_.wants_scores,
                                      .second_begin = inputs_[next_].second_begin};
    request.client = options_.client;
    request.on_event = options_.on_event;
    auto handle = model_.engine().submit(std::move(request));
    // A full queue moves on when one of ours is done; without any it is the caller's turn.
    if (!handle && handle.error().code == ErrorCode::busy && !running_.empty()) return {};
    if (!handle) return handle.error();
    running_.push_back({next_++, std::move(handle).value()});
  }
  return {};
}

/// Whether its result came.
Result<bool> EmbeddingJob::take(Running& running, std::chrono::milliseconds timeout) {
  const auto event = running.handle.next(timeout);
  if (!event) return false;
  if (event->finish != FinishReason::stop) {
    return event->error.value_or(
        Error{ErrorCode::cancelled, "the embedding was cancelled: the model is being unloaded"});
  }
  vectors_[running.index] = running.handle.embedding();
  if (!options_.wants_scores) normalize(vectors_[running.index]);
  return true;
}

Result<bool> EmbeddingJob::poll() {
  for (auto running = running_.begin(); running != running_.end();) {
    SQ_TRY(const bool is_done, take(*running, std::chrono::milliseconds(0)));
    running = is_done ? running_.erase(running) : running + 1;
  }
  SQ_TRY_STATUS(submit());
  return running_.empty() && next_ == inputs_.size();
}

Status EmbeddingJob::wait() {
  while (true) {
    SQ_TRY(const bool is_done, poll());
    if (is_done) return {};
    SQ_TRY(const bool first_is_done, take(running_.front(), std::chrono::seconds(1)));
    if (first_is_done) running_.pop_front();
  }
}

void normalize(std::span<float> vector) {
  double squares = 0;
  for (const float value : vector)
    squares += static_cast<double>(value) * static_cast<double>(value);
  if (!(squares > 0)) return;
  const double scale = 1 / std::sqrt(squares);
  for (float& value : vector) value = static_cast<float>(static_cast<double>(value) * scale);
}

void shorten(std::vector<float>& vector, size_t count) {
  SQ_CHECK(count <= vector.size());
  vector.resize(count);
  normalize(vector);
}

double dot(std::span<const float> a, std::span<const float> b) {
  SQ_CHECK(a.size() == b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

}  // namespace squish
