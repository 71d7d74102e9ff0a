#include "compress/target.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/strings.h"
#include "compress/memory.h"
#include "compress/router.h"
#include "compress/sensitivity.h"
#include "compress/texts.h"

namespace squish::compress {
namespace {

constexpr size_t kSequenceTokens = 512;
constexpr std::string_view kMagic = "squish-sensitivities 2";
constexpr uint64_t kKeptBytesMax = 2 << 20;  // 24,000 units of 50 bytes

uint64_t measurement_hash(const Preview& preview, std::span<const Unit> units,
                          const CalibrationText& text, const Backend& backend) {
  const std::string description = backend.description();
  std::string facts = fmt::format("{:016x}|{}", preview.source->identity,
                                  description.substr(0, description.find(',')));
  for (const std::vector<TokenId>& sequence : text.sequences) {
    const std::string_view bytes(reinterpret_cast<const char*>(sequence.data()),
                                 sequence.size() * sizeof(TokenId));
    facts += fmt::format("|{:016x}", hash64(as_bytes(bytes)));
  }
  for (const Unit& unit : units) {
    facts += "|" + preview.plan.tensors[unit.tensors.front()].source.name;
  }
  return hash64(as_bytes(facts));
}

std::string first_line(uint64_t hash) { return fmt::format("{} {:016x}", kMagic, hash); }

/// Nothing when the file is not there, cut off, or of another measurement.
std::optional<std::vector<UnitCost>> read_kept(const std::string& path, uint64_t hash,
                                               size_t count) {
  if (path.empty()) return std::nullopt;
  const Result<std::string> text = read_file(path, kKeptBytesMax);
  if (!text) return std::nullopt;
  const std::vector<std::string_view> lines = split(*text, '\n');
  if (lines.size() != count + 2 || lines.front() != first_line(hash)) return std::nullopt;
  std::vector<UnitCost> out;
  for (size_t i = 1; i <= count; ++i) {
    const size_t space = lines[i].find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    const std::optional<double> sensitivity = parse_double(lines[i].substr(0, space));
    const std::optional<double> feedback = parse_double(lines[i].substr(space + 1));
    if (!sensitivity || !feedback) return std::nullopt;
    out.push_back({*sensitivity, *feedback});
  }
  return out;
}

Status keep(const std::string& path, uint64_t hash, std::span<const UnitCost> costs) {
  if (path.empty()) return {};
  std::string text = first_line(hash) + "\n";
  for (const UnitCost& cost : costs) {
    text += fmt::format("{:.17g} {:.17g}\n", cost.sensitivity, cost.feedback);
  }
  return write_file_atomic(path, as_bytes(text));
}

}  // namespace

Result<std::optional<uint64_t>> file_budget(const Plan& plan, const CompressOptions& options) {
  const FormatRow& format = *plan.format;
  const bool has_target = options.target_bits.has_value() || options.target_bytes.has_value();
  if (options.target_bits && options.target_bytes) {
    return Error{ErrorCode::invalid_argument,
                 "--target-bits and --target-size are two answers to one question"};
  }
  if (has_target && !format.needs_target) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("format {} has a size of its own; with --target-bits or --target-size "
                             "leave --format out",
                             format.name)};
  }
  if (has_target && plan.options.calibration == Calibration::none) {
    return Error{ErrorCode::invalid_argument,
                 "types are chosen by what the model does with them, which --no-awq leaves out"};
  }
  if (options.target_bytes) return std::optional<uint64_t>(options.target_bytes);
  if (options.target_bits) {
    const double bytes = *options.target_bits * static_cast<double>(plan.weights) / 8;
    return std::optional<uint64_t>(static_cast<uint64_t>(bytes));
  }
  if (format.needs_target) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("format {} needs --target-bits or --target-size", format.name)};
  }
  if (format.is_routed && plan.options.calibration != Calibration::none) {
    return std::optional<uint64_t>(plan.file_bytes);
  }
  return std::optional<uint64_t>();
}

Result<CalibrationText> read_calibration_text(const CompressOptions& options,
                                              const Preview& preview) {
  // 5 bytes a token are more than most texts have: enough to fill the wanted count.
  std::string text;
  if (options.calibration_path.empty()) {
    text = calibration_text(preview.calibration_tokens * 5);
  } else {
    SQ_TRY(text, read_text(options.calibration_path));
  }
  Source& source = *preview.source;
  SQ_TRY(const Tokenizer tokenizer, source.files.load_tokenizer(""));
  const auto context = static_cast<size_t>(source.network.config.context_length);
  return tokenize_text(tokenizer, text, std::min(kSequenceTokens, context),
                       preview.calibration_tokens);
}

Status check_reachable(const Plan& plan, uint64_t file_bytes_max) {
  Plan trial = plan;
  const std::vector<Unit> units = units_of(trial);
  const std::vector<UnitCost> costs(units.size());
  return route(trial, units, costs, file_bytes_max);
}

Status route_preview(Preview& preview, const CompressOptions& options, uint64_t file_bytes_max,
                     const CalibrationText& text, const std::string& kept, Backend& backend,
                     ThreadPool& pool, ProgressSink& progress,
                     const std::function<bool()>& cancel) {
  const std::vector<Unit> units = units_of(preview.plan);
  const uint64_t hash = measurement_hash(preview, units, text, backend);
  std::optional<std::vector<UnitCost>> costs = read_kept(kept, hash, units.size());
  if (!costs) {
    const Source& source = *preview.source;
    SQ_TRY(
        const std::vector<double> sensitivities,
        measure_sensitivities(source, preview.plan, units, text, backend, pool, progress, cancel));
    SQ_TRY(const std::vector<double> feedback,
           measure_feedback(source, preview.plan, units, text, backend, pool, progress, cancel));
    costs.emplace();
    for (size_t u = 0; u < units.size(); ++u) costs->push_back({sensitivities[u], feedback[u]});
    SQ_TRY_STATUS(keep(kept, hash, *costs));
  }
  SQ_TRY_STATUS(route(preview.plan, units, *costs, file_bytes_max));
  preview.peak_memory_bytes =
      std::max(preview.peak_memory_bytes,
               peak_memory(preview.plan, preview.source->network.config, preview.calibration_tokens,
                           options.evaluation_tokens, *preview.device, pool.thread_count()));
  preview.peak_device_bytes =
      peak_device_memory(preview.plan, *preview.device, pool.thread_count());
  return {};
}

Status route_dry(Preview& preview, const CompressOptions& options, ThreadPool& pool,
                 ProgressSink& progress, const std::function<bool()>& cancel) {
  SQ_TRY(const std::optional<uint64_t> budget, file_budget(preview.plan, options));
  if (!budget) return {};
  SQ_TRY_STATUS(check_memory(preview.peak_memory_bytes, preview.plan.options.calibration));
  SQ_TRY(const std::unique_ptr<Backend> backend, make_cpu_backend(pool, options.isa));
  SQ_TRY(const CalibrationText text, read_calibration_text(options, preview));
  return route_preview(preview, options, *budget, text, "", *backend, pool, progress, cancel);
}

}  // namespace squish::compress
