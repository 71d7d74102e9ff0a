#pragma once
// A model that is ready to answer: threads, backend, weights, vocabulary, template and engine in
// one owner.
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/thread_pool.h"
#include "chat/startup_trace.h"
#include "engine/engine.h"
#include "engine/engine_options.h"
#include "grammar/grammar.h"
#include "kernels/backend.h"
#include "model/model.h"
#include "model/model_files.h"
#include "model/pooling.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace squish {

struct LoadOptions {
  int threads = 0;      // 0: all that this process may use
  std::string backend;  // "": the cpu backend; see make_backend()
  std::string isa;      // "": SQUISH_ISA, else the best of this machine
  EngineOptions engine;
};

/// Everything const is safe from many threads. Not movable: its parts point at each other.
class LoadedModel {
 public:
  /// `path` is a .gguf file or a Hugging Face directory. Reads no weight and, when the prepared
  /// vocabulary is current, parses none: 10 to 30 ms for any size of model with a warm page cache.
  /// Starts the engine's thread. `trace`, if given, gets one mark per part. Errors: bad_file,
  /// not_found, io, unsupported (also for what is no model at all); invalid_argument for an option.
  static Result<std::unique_ptr<LoadedModel>> open(const std::string& path,
                                                   const LoadOptions& options,
                                                   StartupTrace* trace = nullptr);
  /// Stops the engine; every open request gets its terminal event.
  ~LoadedModel();
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  [[nodiscard]] const ModelFiles& files() const { return files_; }
  [[nodiscard]] const Model& model() const { return *model_; }
  [[nodiscard]] const ModelConfig& config() const { return model_->config(); }
  [[nodiscard]] const Tokenizer& tokenizer() const { return *tokenizer_; }
  [[nodiscard]] const Backend& backend() const { return *backend_; }
  [[nodiscard]] Engine& engine() { return *engine_; }
  [[nodiscard]] const Engine& engine() const { return *engine_; }
  /// Compiles what answers must look like. Costs nothing before the first grammar.
  [[nodiscard]] GrammarCompiler& grammars() const { return *grammars_; }

  /// How this model makes one vector of a text. Errors: those of read_pooling().
  [[nodiscard]] const Result<Pooling>& pooling() const { return pooling_; }

  /// The model's own template; null when it has none. Parsed on the first call. Errors: bad_file
  /// with its line.
  [[nodiscard]] Result<const ChatTemplate*> chat_template() const;

 private:
  LoadedModel(std::unique_ptr<ThreadPool> pool, ModelFiles files)
      : pool_(std::move(pool)), files_(std::move(files)) {}

  // In the order in which each needs those above it.
  std::unique_ptr<ThreadPool> pool_;
  ModelFiles files_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
  std::optional<Tokenizer> tokenizer_;
  std::unique_ptr<GrammarCompiler> grammars_;
  std::unique_ptr<Engine> engine_;
  Result<Pooling> pooling_ = Pooling::mean;

  mutable std::mutex template_mutex_;  // guards: template_is_parsed_, template_
  mutable bool template_is_parsed_ = false;
  mutable Result<std::optional<ChatTemplate>> template_ = std::optional<ChatTemplate>();
};

/// The backend that the options name, on `pool`. Errors: invalid_argument or unsupported, with the
/// choices.
Result<std::unique_ptr<Backend>> choose_backend(const LoadOptions& options, ThreadPool& pool);

/// ModelFiles::open for a path that a person gave. A directory without a model, a FIFO, a device
/// and the like are bad_file. Errors: not_found, bad_file, io, unsupported.
Result<ModelFiles> open_model_files(const std::string& path);

}  // namespace squish
