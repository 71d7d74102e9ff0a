#include "chat/loaded_model.h"

#include <utility>

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/limits.h"

namespace squish {
namespace {

void mark(StartupTrace* trace, std::string_view name) {
  if (trace != nullptr) trace->mark(name);
}

}  // namespace

Result<ModelFiles> open_model_files(const std::string& path) {
  auto files = ModelFiles::open(path);
  if (!files && files.error().code == ErrorCode::invalid_argument)
    return Error{ErrorCode::bad_file, files.error().message};
  return files;
}

Result<std::unique_ptr<Backend>> choose_backend(const LoadOptions& options, ThreadPool& pool) {
  if (options.isa.empty()) return make_backend(options.backend, pool);
  if (!options.backend.empty() && options.backend != "cpu") {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--isa {} chooses among the kernels of the cpu backend; --backend {} "
                             "has no such choice",
                             options.isa, options.backend)};
  }
  return make_cpu_backend(pool, options.isa);
}

Result<std::unique_ptr<LoadedModel>> LoadedModel::open(const std::string& path,
                                                       const LoadOptions& options,
                                                       StartupTrace* trace) {
  const int threads = options.threads == 0 ? compute_thread_count() : options.threads;
  if (threads < 1 || threads > limits::kThreadsMax) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("--threads is {}; it must be from 1 to {}", threads, limits::kThreadsMax)};
  }
  SQ_TRY(ModelFiles files, open_model_files(path));
  mark(trace, "open files");
  std::unique_ptr<LoadedModel> loaded(
      new LoadedModel(std::make_unique<ThreadPool>(threads), std::move(files)));
  mark(trace, "threads");
  SQ_TRY(loaded->backend_, choose_backend(options, *loaded->pool_));
  mark(trace, "backend");
  SQ_TRY(loaded->model_, Model::create(loaded->files_, *loaded->backend_,
                                       {.context_length = options.engine.context_tokens}));
  mark(trace, "weights");
  SQ_TRY(loaded->tokenizer_, loaded->files_.load_tokenizer());
  loaded->grammars_ = std::make_unique<GrammarCompiler>(
      *loaded->tokenizer_, static_cast<size_t>(loaded->config().vocabulary_size));
  mark(trace, "vocabulary");
  loaded->pooling_ = read_pooling(loaded->files_);
  EngineOptions engine_options = options.engine;
  engine_options.pool = loaded->pool_.get();
  SQ_TRY(loaded->engine_, Engine::create(*loaded->model_, engine_options));
  loaded->engine_->start();
  mark(trace, "engine");
  return loaded;
}

LoadedModel::~LoadedModel() {
  if (engine_) engine_->stop();
}

Result<const ChatTemplate*> LoadedModel::chat_template() const {
  const std::lock_guard lock(template_mutex_);
  if (!template_is_parsed_) {
    template_is_parsed_ = true;
    if (const auto source = files_.chat_template_text(); source && !source->empty()) {
      auto parsed = ChatTemplate::parse(*source);
      if (parsed) {
        template_ = std::optional<ChatTemplate>(std::move(*parsed));
      } else {
        template_ = parsed.error().at(files_.path);
      }
    }
  }
  if (!template_) return template_.error();
  return template_->has_value() ? &**template_ : nullptr;
}

}  // namespace squish
