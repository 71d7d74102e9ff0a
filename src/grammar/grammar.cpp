#include "grammar/grammar.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/channel.h"
#include "grammar/grammar_constraint.h"

namespace squish {
namespace {

/// Bytes of each token in a text; nothing for those that no text shows.
std::vector<std::string> token_texts(const Tokenizer& tokenizer) {
  std::vector<std::string> out(tokenizer.vocabulary_size());
  for (size_t i = 0; i < out.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const TokenKind kind = tokenizer.kind(id);
    const bool is_hidden = tokenizer.is_special(id) || tokenizer.is_end(id) ||
                           kind == TokenKind::control || kind == TokenKind::unused ||
                           kind == TokenKind::unknown;
    if (!is_hidden) out[i] = tokenizer.piece(id);
  }
  return out;
}

}  // namespace

std::unique_ptr<Constraint> Grammar::start(Thought thought) const {
  return std::make_unique<GrammarConstraint>(mask_, thought_, thought);
}

/// One thread that compiles. What it shares with it lies apart, since either may end first.
struct GrammarCompiler::Job {
  struct Shared {
    std::atomic<bool> is_done = false;
    std::atomic<bool> is_awaited = true;
    std::atomic<bool> stop = false;
  };
  std::thread thread;
  std::shared_ptr<Shared> shared = std::make_shared<Shared>();
};

GrammarCompiler::GrammarCompiler(const Tokenizer& tokenizer, size_t model_size,
                                 const GrammarLimits& limits)
    : tokenizer_(tokenizer),
      model_size_(std::max(model_size, tokenizer.vocabulary_size())),
      limits_(limits) {}

GrammarCompiler::~GrammarCompiler() {
  for (const Job& job : jobs_) job.shared->stop = true;
  for (Job& job : jobs_) job.thread.join();
}

Result<std::shared_ptr<const MaskVocabulary>> GrammarCompiler::vocabulary() {
  const std::lock_guard lock(vocabulary_mutex_);
  if (vocabulary_ == nullptr) {
    const std::vector<std::string> texts = token_texts(tokenizer_);
    auto thought = std::make_shared<const ThoughtTokens>(make_thought_tokens(
        texts, model_size_, tokenizer_.end_tokens(), tokenizer_.find(kThoughtOpen).value_or(-1)));
    SQ_TRY(vocabulary_, MaskVocabulary::create(texts, model_size_, tokenizer_.end_tokens()));
    thought_ = std::move(thought);
  }
  return vocabulary_;
}

GrammarCompiler::Compiled GrammarCompiler::compile_now(const GrammarSource& source,
                                                       const std::atomic<bool>& stop) {
  SQ_TRY(auto vocabulary_of_model, vocabulary());
  SQ_TRY(auto mask, CompiledMask::compile(std::move(vocabulary_of_model), source.language,
                                          source.text, &stop));
  return std::shared_ptr<const Grammar>(new Grammar(std::move(mask), thought_));
}

Result<std::shared_ptr<const Grammar>> GrammarCompiler::compile(const GrammarSource& source) {
  const std::string key = fmt::format("{} {}", static_cast<int>(source.language), source.text);
  // The thread that compiles and the one that waits may end in either order.
  auto result = std::make_shared<Channel<std::optional<Compiled>>>(1);
  std::shared_ptr<Job::Shared> job;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      ++stats_.hits;
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->grammar;
    }
    ++stats_.misses;
    SQ_TRY_STATUS(make_room());
    job = std::make_shared<Job::Shared>();
    std::thread thread([this, source, key, result, job] {
      Compiled compiled = Error{ErrorCode::out_of_memory, "no memory for the grammar"};
      try {
        compiled = compile_now(source, job->stop);
        if (compiled) keep(key, *compiled);
      } catch (const std::bad_alloc&) {  // the seam of this thread: the error stands already
      }
      (void)result->try_send(std::move(compiled));
      job->is_done = true;
    });
    jobs_.push_back({std::move(thread), job});
  }
  auto compiled = result->receive(limits_.compile_time);
  job->is_awaited = false;
  if (compiled.has_value() && compiled->has_value()) return std::move(**compiled);
  return Error{ErrorCode::invalid_argument,
               fmt::format("it takes longer than the {} s that compiling may take; make it simpler",
                           std::chrono::duration<double>(limits_.compile_time).count())};
}

/// Under mutex_. Those that nobody waits for end when another needs their place. They look at that
/// before each mask only, so that some may still be there: four times as many threads are the most.
Status GrammarCompiler::make_room() {
  join_finished();
  if (jobs_.size() < limits_.compiling_max) return {};
  size_t awaited = 0;
  for (const Job& job : jobs_) {
    if (job.shared->is_awaited) {
      ++awaited;
    } else {
      job.shared->stop = true;
    }
  }
  if (awaited < limits_.compiling_max && jobs_.size() < 4 * limits_.compiling_max) return {};
  return Error{ErrorCode::busy,
               fmt::format("{} grammars are being compiled; try again later", jobs_.size())};
}

/// Under mutex_.
void GrammarCompiler::join_finished() {
  std::erase_if(jobs_, [](Job& job) {
    if (!job.shared->is_done) return false;
    job.thread.join();
    return true;
  });
}

void GrammarCompiler::keep(const std::string& key, std::shared_ptr<const Grammar> grammar) {
  const std::lock_guard lock(mutex_);
  if (by_key_.contains(key)) return;
  const auto cost = [](const Entry& entry) { return entry.key.size() + entry.grammar->bytes(); };
  entries_.push_front({key, std::move(grammar)});
  by_key_[key] = entries_.begin();
  stats_.cached_bytes += cost(entries_.front());
  while (entries_.size() > 1 &&
         (stats_.cached_bytes > limits_.cache_bytes || entries_.size() > limits_.cache_count)) {
    stats_.cached_bytes -= cost(entries_.back());
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
  stats_.cached_count = entries_.size();
}

GrammarCompiler::Stats GrammarCompiler::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace squish
