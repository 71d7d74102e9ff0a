#pragma once
// Grammars for answers: what a request asks for, compiled once for a model and kept, and the state
// of one answer as the engine wants it.
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/constraint.h"
#include "grammar/mask_engine.h"
#include "text/tokenizer.h"

namespace squish {

/// What an answer must look like, checked but not compiled. Made by the functions of
/// grammar/sources.h.
struct GrammarSource {
  MaskLanguage language = MaskLanguage::json;
  std::string text = {};
};

/// What a model's thought is made of, token by token.
struct ThoughtTokens {
  std::vector<uint32_t> allowed;   // bit per token: all but end tokens
  std::vector<std::string> texts;  // bytes of each token
  TokenId open = -1;               // <think>, when that is one token
  /// [k]: tokens that would complete </think> after its first k bytes and say more in one go: the
  /// answer would then begin before the grammar does.
  std::vector<std::vector<TokenId>> overshooting;
};

/// A grammar that is ready for answers of one model. Immutable; any thread.
class Grammar {
 public:
  [[nodiscard]] size_t bytes() const { return mask_->bytes(); }

  enum class Thought : uint8_t { none, possible, open };
  /// The state of one answer. `thought`: the grammar holds from the end of the thought on;
  /// possible: the model may open one; open: the prompt has opened it.
  [[nodiscard]] std::unique_ptr<Constraint> start(Thought thought) const;

 private:
  friend class GrammarCompiler;
  Grammar(std::shared_ptr<const CompiledMask> mask, std::shared_ptr<const ThoughtTokens> thought)
      : mask_(std::move(mask)), thought_(std::move(thought)) {}
  std::shared_ptr<const CompiledMask> mask_;
  std::shared_ptr<const ThoughtTokens> thought_;
};

struct GrammarLimits {
  size_t cache_bytes = size_t{128} << 20;
  size_t cache_count = 256;
  std::chrono::milliseconds compile_time{10'000};
  size_t compiling_max = 4;  // at a time, of those that somebody waits for
};

/// Compiles the grammars of one model and keeps those used last. Borrows the tokenizer. Any thread.
class GrammarCompiler {
 public:
  /// `model_size`: tokens that the model gives logits for. Does nothing yet: the vocabulary is read
  /// when the first grammar comes.
  GrammarCompiler(const Tokenizer& tokenizer, size_t model_size, const GrammarLimits& limits = {});
  /// Stops what is being compiled and waits for it.
  ~GrammarCompiler();
  GrammarCompiler(const GrammarCompiler&) = delete;
  GrammarCompiler& operator=(const GrammarCompiler&) = delete;

  /// Blocks for at most limits.compile_time: not for a network or engine thread. Errors:
  /// invalid_argument with what is wrong with the grammar, or when it takes too long (it goes on
  /// and is kept when it is ready, until others need its place); busy when too many are being
  /// compiled.
  Result<std::shared_ptr<const Grammar>> compile(const GrammarSource& source);

  struct Stats {
    uint64_t hits = 0;
    uint64_t misses = 0;
    size_t cached_count = 0;
    size_t cached_bytes = 0;
  };
  [[nodiscard]] Stats stats() const;

 private:
  using Compiled = Result<std::shared_ptr<const Grammar>>;
  struct Entry {
    std::string key;
    std::shared_ptr<const Grammar> grammar;
  };
  struct Job;
  Result<std::shared_ptr<const MaskVocabulary>> vocabulary();
  Compiled compile_now(const GrammarSource& source, const std::atomic<bool>& stop);
  void keep(const std::string& key, std::shared_ptr<const Grammar> grammar);
  void join_finished();
  Status make_room();

  const Tokenizer& tokenizer_;
  const size_t model_size_;
  const GrammarLimits limits_;
  std::mutex vocabulary_mutex_;  // guards: vocabulary_, thought_
  std::shared_ptr<const MaskVocabulary> vocabulary_;
  std::shared_ptr<const ThoughtTokens> thought_;
  mutable std::mutex mutex_;  // guards: all below
  std::list<Entry> entries_;  // used last first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
  std::list<Job> jobs_;
  Stats stats_;
};

}  // namespace squish
