#pragma once
// A compression on stderr or, as JSON lines, on stdout.
#include <chrono>
#include <string>
#include <string_view>

#include "cli/context.h"
#include "cli/term.h"
#include "compress/compress.h"
#include "hub/local_model.h"

namespace squish::cli {

class CompressProgress final : public compress::ProgressSink {
 public:
  CompressProgress(const Terminal& terminal, bool is_json)
      : terminal_(terminal), is_json_(is_json), start_(std::chrono::steady_clock::now()) {}
  ~CompressProgress() override { clear(); }
  void on_progress(std::string_view stage, std::string_view tensor, uint64_t done_bytes,
                   uint64_t total_bytes) override;
  void on_note(std::string_view line) override;
  /// Takes the bar off the screen.
  void clear();

 private:
  [[nodiscard]] std::string line(std::string_view stage, std::string_view tensor, uint64_t done,
                                 uint64_t total, double rate) const;

  const Terminal& terminal_;
  const bool is_json_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_;
  std::string last_stage_;
  uint64_t first_done_ = 0;  // what an earlier run had done: no part of the rate
  std::chrono::steady_clock::time_point stage_start_;
  bool is_drawn_ = false;
};

/// "/models/Qwen2.5-7B" of a directory, "/models/qwen" of "/models/qwen.gguf" and of the first of
/// its shards.
std::string compress_output_stem(const std::string& model_path);

/// Where a new model goes when --output does not say: NAME-`suffix` beside a model that was given
/// by its path, else in the models directory, where it is a model of its own.
Result<std::string> default_output(const Context& context, const hub::LocalModel& model,
                                   const std::string& given, std::string_view suffix);

}  // namespace squish::cli
