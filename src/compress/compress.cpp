#include "compress/compress.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/strings.h"
#include "compress/describe.h"
#include "compress/encode.h"
#include "compress/import_npy.h"
#include "compress/import_packed.h"
#include "compress/memory.h"
#include "compress/output.h"
#include "compress/report.h"
#include "compress/sensitivity.h"
#include "compress/target.h"
#include "compress/texts.h"
#include "compress/worker.h"
#include "format/squish_directory.h"

namespace squish::compress {
namespace {

namespace fs = std::filesystem;

/// Part of the hash that tells whether a journal belongs to this run: raise it when an encoder or
/// the layout gives other bytes.
constexpr int kEncoderVersion = 2;
constexpr size_t kSequenceTokens = 512;
constexpr uint64_t kDiskReserve = 64 << 20;  // sidecars, and what others write meanwhile
constexpr const char* kWeightName = "model.safetensors";
constexpr const char* kJournalName = "journal";
constexpr const char* kMeasuredName = "sensitivities";

Calibration calibration_of(const FormatRow& format, const CompressOptions& options) {
  return options.calibrate ? format.calibration : Calibration::none;
}

/// A GPU that would have nothing to do is a misunderstanding. Routed types are not known yet.
Status check_device(const CompressOptions& options, const Plan& plan, bool is_routed) {
  if (options.device == "cpu" || is_routed) return {};
  for (const PlannedTensor& planned : plan.tensors) {
    if (is_trellis(planned.target)) return {};
  }
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("--device {}: {} makes no trellis code of any tensor here, and these are "
                  "what a GPU searches for; use sq2, sq3, sq4 or --device cpu",
                  printable(options.device, 32), plan.format->name)};
}

std::string base_name(const std::string& path) { return fs::path(output_path(path)).filename(); }

/// One run into one output directory.
class Run {
 public:
  Run(const CompressOptions& options, ThreadPool& pool, ProgressSink& progress,
      const std::function<bool()>& cancel)
      : options_(options), pool_(pool), progress_(progress), cancel_(cancel) {}

  Result<Summary> run();

 private:
  Status check_output() const;
  Status unpack_source();
  Status unpack(const std::string& packing, const std::string& identity,
                const std::function<Status()>& write);
  Status check_room() const;
  Status prepare_partial();
  Result<std::optional<CalibrationText>> calibration_text() const;
  Status choose_types(const std::optional<CalibrationText>& text);
  [[nodiscard]] uint64_t run_hash(const std::optional<CalibrationText>& text) const;
  Status drop_doubtful(Journal& journal, const WeightFile& weights) const;
  Status encode_all(std::optional<CalibrationText> text, Entries& entries);
  Status verify(const WeightFile& weights, const Journal& journal) const;
  Status write_files(const Entries& entries);
  Result<std::optional<Comparison>> compare() const;
  Status delete_source();
  Status write_text(const std::string& name, const std::string& text);

  const CompressOptions& options_;
  ThreadPool& pool_;
  ProgressSink& progress_;
  const std::function<bool()>& cancel_;
  Preview preview_;
  std::string output_;
  std::string partial_;
  std::string input_;     // what is coded: the source, or its unpacked form
  std::string unpacked_;  // where that lies; empty when the source was not packed
  std::unique_ptr<Backend> backend_;
  std::vector<std::string> written_;  // names of the output's files
  std::string calibration_note_;
  size_t resumed_ = 0;
};

Status Run::check_output() const {
  if (options_.output.empty()) {
    return Error{ErrorCode::invalid_argument, "no output directory is named; give --output"};
  }
  std::error_code error;
  if (!fs::exists(output_, error) || (is_directory(output_) && fs::is_empty(output_, error))) {
    return {};
  }
  const bool is_ours = is_directory(output_) && file_exists(output_ + "/config.json");
  if (options_.force && is_ours) return {};
  return Error{ErrorCode::invalid_argument,
               fmt::format("{} exists already; {}", printable(output_, 512),
                           is_ours ? "replace it with --force or name another --output"
                                   : "it is no model, so name another --output")};
}

Status Run::check_room() const {
  SQ_TRY_STATUS(
      check_memory(preview_.peak_memory_bytes, calibration_of(*preview_.plan.format, options_)));
  SQ_TRY_STATUS(check_device_memory(preview_.peak_device_bytes, *preview_.device));
  SQ_TRY(const uint64_t free_bytes, free_disk_bytes(output_));
  std::error_code error;
  const uint64_t reserved = fs::exists(partial_ + "/" + kWeightName, error)
                                ? fs::file_size(partial_ + "/" + kWeightName, error)
                                : 0;
  const uint64_t needed = preview_.plan.file_bytes + kDiskReserve;
  if (free_bytes + (error ? 0 : reserved) >= needed) return {};
  return Error{ErrorCode::io,
               fmt::format("{}: the result takes {}, {} is free there; make room or name another "
                           "--output",
                           printable(output_, 512), human_bytes(needed), human_bytes(free_bytes))};
}

/// A checkpoint that another program packed becomes one of 16-bit weights beside the output, once:
/// an earlier run's is taken when it was finished.
Status Run::unpack_source() {
  input_ = options_.input;
  if (!is_directory(options_.input)) return {};
  if (NpyDirectory::is_one(options_.input)) {
    if (options_.delete_source) {
      return Error{ErrorCode::unsupported,
                   "--delete-source: an npy directory stays; delete it by hand"};
    }
    SQ_TRY(const NpyDirectory directory, NpyDirectory::open(options_.input));
    return unpack("npy", fmt::format("{}|{:016x}", directory.path(), directory.identity()),
                  [&] { return import_npy(directory, unpacked_, pool_, cancel_); });
  }
  SQ_TRY(const HfDirectory directory, HfDirectory::open(options_.input));
  SQ_TRY(const std::string packing, packing_of(directory));
  if (packing.empty() || packing == "squish") return {};
  const std::string identity =
      fmt::format("{}|{}|{}", directory.path(), directory.file_bytes(), directory.modified_ns());
  return unpack(packing, identity,
                [&] { return import_packed(directory, unpacked_, pool_, cancel_); });
}

Status Run::unpack(const std::string& packing, const std::string& identity,
                   const std::function<Status()>& write) {
  input_ = unpacked_ = output_ + ".unpacked";
  const std::string mark = unpacked_ + "/unpacked";
  const Result<std::string> found = read_file(mark, 1 << 16);
  if (found && *found == identity && !options_.restart) return {};
  progress_.on_note(fmt::format("unpacking {} weights to 16 bits in {}", packing, unpacked_));
  SQ_TRY_STATUS(remove_directory(unpacked_));
  SQ_TRY_STATUS(make_directories(unpacked_));
  SQ_TRY_STATUS(write());
  return write_file_atomic(mark, as_bytes(identity));
}

Status Run::prepare_partial() {
  if (options_.restart) SQ_TRY_STATUS(remove_directory(partial_));
  std::error_code error;
  if (fs::is_symlink(partial_, error)) {
    return Error{ErrorCode::unsafe, fmt::format("{} is a link; delete it", printable(partial_))};
  }
  SQ_TRY_STATUS(make_directories(partial_));
  // Everything but the weights is written anew; a killed run may have left half a file.
  for (const auto& entry : fs::directory_iterator(partial_, error)) {
    const std::string name = entry.path().filename();
    const bool is_kept = name == kWeightName || name == kJournalName || name == kMeasuredName;
    if (!is_kept) fs::remove(entry.path(), error);
  }
  return {};
}

Result<std::optional<CalibrationText>> Run::calibration_text() const {
  if (preview_.plan.options.calibration == Calibration::none) {
    return std::optional<CalibrationText>();
  }
  SQ_TRY(CalibrationText text, read_calibration_text(options_, preview_));
  return std::optional<CalibrationText>(std::move(text));
}

/// Nothing to do for formats whose types are fixed.
Status Run::choose_types(const std::optional<CalibrationText>& text) {
  SQ_TRY(const std::optional<uint64_t> budget, file_budget(preview_.plan, options_));
  if (!budget || !text) return {};
  SQ_TRY_STATUS(route_preview(preview_, options_, *budget, *text, partial_ + "/" + kMeasuredName,
                              *backend_, pool_, progress_, cancel_));
  return check_room();
}

uint64_t Run::run_hash(const std::optional<CalibrationText>& text) const {
  std::string facts =
      fmt::format("{}|{:016x}|{}|{}", kEncoderVersion, preview_.source->identity,
                  preview_.plan.format->name, static_cast<int>(preview_.plan.options.calibration));
  if (text) {
    for (const std::vector<TokenId>& sequence : text->sequences) {
      const std::string_view bytes(reinterpret_cast<const char*>(sequence.data()),
                                   sequence.size() * sizeof(TokenId));
      facts += fmt::format("|{:016x}", hash64(as_bytes(bytes)));
    }
  }
  // Scales come from activations, which differ a little between instruction sets.
  if (preview_.plan.options.calibration != Calibration::none) {
    const std::string description = backend_->description();
    facts += "|" + description.substr(0, description.find(','));
  }
  for (const std::string& part : options_.passthrough) facts += "|" + part;
  for (const PlannedTensor& planned : preview_.plan.tensors) {
    facts += fmt::format("|{}", static_cast<int>(planned.target));
  }
  return hash64(as_bytes(facts + preview_.plan.header));
}

/// The payload behind the last line may be older than the line after a power loss on a careless
/// disk. Everything is verified at the end, too.
Status Run::drop_doubtful(Journal& journal, const WeightFile& weights) const {
  for (const PlannedTensor& planned : preview_.plan.tensors) {
    const auto entry = journal.entries().find(planned.source.name);
    if (entry == journal.entries().end()) continue;
    SQ_TRY(const uint64_t hash, weights.hash(planned.offset, planned.bytes));
    if (entry->second.bytes != planned.bytes || hash != entry->second.hash) {
      journal.forget(planned.source.name);
    }
  }
  return {};
}

Status Run::encode_all(std::optional<CalibrationText> text, Entries& entries) {
  SQ_TRY(Journal journal, Journal::open(partial_ + "/" + kJournalName, run_hash(text)));
  SQ_TRY(WeightFile weights,
         WeightFile::open(partial_ + "/" + kWeightName, preview_.plan.file_bytes));
  SQ_TRY_STATUS(weights.write(0, as_bytes(preview_.plan.header)));
  for (const auto& [offset, length] : preview_.plan.padding) {
    SQ_TRY_STATUS(weights.write(offset, as_bytes(std::string(length, '\0'))));
  }
  SQ_TRY_STATUS(drop_doubtful(journal, weights));
  resumed_ = journal.entries().size();
  if (resumed_ > 0) {
    progress_.on_note(fmt::format("going on where an earlier run stopped: {} of {} tensors done",
                                  resumed_, preview_.plan.tensors.size()));
  }
  Worker worker({*preview_.source, preview_.plan, weights, journal, pool_, *backend_,
                 *preview_.device, progress_, cancel_});
  SQ_TRY_STATUS(worker.run(std::move(text)));
  SQ_TRY_STATUS(verify(weights, journal));
  entries = journal.entries();
  return {};
}

Status Run::verify(const WeightFile& weights, const Journal& journal) const {
  uint64_t done = 0;
  SQ_TRY_STATUS(read_back_from_disk(partial_ + "/" + kWeightName));
  for (const PlannedTensor& planned : preview_.plan.tensors) {
    if (cancel_()) return Error{ErrorCode::cancelled, "interrupted; run the same command again"};
    const auto entry = journal.entries().find(planned.source.name);
    SQ_CHECK(entry != journal.entries().end());
    SQ_TRY(const uint64_t hash, weights.hash(planned.offset, planned.bytes));
    if (hash != entry->second.hash) {
      return Error{ErrorCode::io,
                   fmt::format("{}: tensor {} reads back with other bytes than were written; the "
                               "disk or the memory is faulty",
                               partial_, printable(planned.source.name))};
    }
    done += planned.bytes;
    progress_.on_progress("verify", planned.source.name, done, preview_.plan.file_bytes);
  }
  return {};
}

Status Run::write_text(const std::string& name, const std::string& text) {
  SQ_TRY_STATUS(write_file_atomic(partial_ + "/" + name, as_bytes(text)));
  written_.push_back(name);
  return {};
}

Status Run::write_files(const Entries& entries) {
  written_ = {kWeightName};
  const ModelFiles& files = preview_.source->files;
  for (const std::string& name : sidecar_files(files.directory ? files.path : "")) {
    SQ_TRY(const MappedFile map, MappedFile::open(files.path + "/" + name));
    SQ_TRY_STATUS(write_text(name, std::string(as_text(map.bytes()))));
  }
  if (files.gguf) {
    SQ_TRY_STATUS(write_text(kGgufMetadataName, make_gguf_metadata(*files.gguf)));
  }
  SQ_TRY(const std::string config, make_config_json(*preview_.source, preview_.plan, entries));
  SQ_TRY_STATUS(write_text("config.json", config));
  return write_text("stats.json", make_stats_json(preview_.plan, entries));
}

Result<std::optional<Comparison>> Run::compare() const {
  if (options_.evaluation_tokens == 0) return std::optional<Comparison>();
  SQ_TRY(ModelFiles files, ModelFiles::open(partial_));
  SQ_TRY(const std::unique_ptr<Model> result, Model::create(files, *backend_));
  SQ_TRY(const std::unique_ptr<Model> source, Model::create(preview_.source->files, *backend_));
  SQ_TRY(const Tokenizer tokenizer, files.load_tokenizer(""));
  const auto context = static_cast<size_t>(result->config().context_length);
  const CalibrationText text = tokenize_text(
      tokenizer, held_out_text(), std::min(kSequenceTokens, context), options_.evaluation_tokens);
  CompareOptions compare_options;
  compare_options.pool = &pool_;
  compare_options.on_progress = [this](uint64_t done, uint64_t total) {
    progress_.on_progress("compare", fmt::format("{} of {} tokens", done, total), 0, 0);
    return !cancel_();
  };
  SQ_TRY(const Comparison comparison,
         compare_models(*source, *result, text.sequences, compare_options));
  if (!comparison.is_complete) {
    return Error{ErrorCode::cancelled, "interrupted; run the same command again"};
  }
  return std::optional<Comparison>(comparison);
}

Status Run::delete_source() {
  const ModelFiles& files = preview_.source->files;
  std::vector<std::string> paths;
  if (files.directory) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(options_.input, error)) {
      const std::string name = entry.path().filename();
      if (name.ends_with(".safetensors") || name == "model.safetensors.index.json") {
        paths.push_back(entry.path());
      }
    }
  } else if (files.gguf->shard_count() == 1) {
    paths.push_back(files.gguf->path());
  } else {
    return Error{ErrorCode::unsupported,
                 "--delete-source: a split GGUF stays; delete its parts by hand"};
  }
  for (const std::string& path : paths) {
    if (::unlink(path.c_str()) != 0) {
      return Error{ErrorCode::io, fmt::format("{}: cannot delete", printable(path, 512))};
    }
  }
  progress_.on_note(
      fmt::format("deleted {} of the source",
                  paths.size() == 1 ? paths.front() : fmt::format("{} files", paths.size())));
  return {};
}

Result<Summary> Run::run() {
  output_ = output_path(options_.output);
  partial_ = partial_path(output_);
  SQ_TRY_STATUS(check_output());
  const std::string parent = fs::path(output_).parent_path();
  if (!parent.empty()) SQ_TRY_STATUS(make_directories(parent));
  SQ_TRY(const OutputLock lock, OutputLock::acquire(output_));
  SQ_TRY_STATUS(unpack_source());
  CompressOptions unpacked_options = options_;
  unpacked_options.input = input_;
  unpacked_options.threads = pool_.thread_count();
  SQ_TRY(preview_, preview(unpacked_options));
  SQ_TRY_STATUS(check_room());
  SQ_TRY(backend_, make_cpu_backend(pool_, options_.isa));
  SQ_TRY(std::optional<CalibrationText> text, calibration_text());
  SQ_TRY_STATUS(prepare_partial());
  SQ_TRY_STATUS(choose_types(text));
  for (const std::string& note : preview_.source->notes) progress_.on_note(note);
  Entries entries;
  SQ_TRY_STATUS(encode_all(std::move(text), entries));
  SQ_TRY_STATUS(write_files(entries));

  Summary summary;
  summary.output = output_;
  summary.weight_bytes = preview_.plan.file_bytes;
  summary.source_bytes = preview_.source_bytes;
  summary.bits_per_weight = preview_.plan.bits_per_weight();
  summary.tensors_resumed = resumed_;
  SQ_TRY(summary.comparison, compare());
  if (summary.comparison) {
    summary.sentence = loss_sentence(*summary.comparison, preview_.plan.format->name);
  }
  if (options_.kl_max && summary.comparison && summary.comparison->kl_mean > *options_.kl_max) {
    return Error{
        ErrorCode::refused,
        fmt::format("KL divergence from the source is {:.4f}, --max-kl allows {:.4f}; take "
                    "a format with more bits. The coded tensors stay in {}: without "
                    "--max-kl the same command finishes at once",
                    summary.comparison->kl_mean, *options_.kl_max, printable(partial_, 512))};
  }
  ReportFacts facts;
  facts.source_name = base_name(options_.input);
  facts.source_bytes = preview_.source_bytes;
  facts.calibration =
      calibration_note(preview_.plan.options.calibration, preview_.calibration_tokens,
                       options_.calibration_path.empty());
  facts.comparison = summary.comparison;
  facts.sentence = summary.sentence;
  facts.notes = preview_.source->notes;
  SQ_TRY_STATUS(write_text("report.json", make_report_json(preview_.plan, entries, facts)));
  SQ_TRY(const std::string sums, make_sha256sums(partial_, written_));
  SQ_TRY_STATUS(write_text("SHA256SUMS", sums));
  ::unlink((partial_ + "/" + kMeasuredName).c_str());
  if (::unlink((partial_ + "/" + kJournalName).c_str()) != 0) {
    return Error{ErrorCode::io, fmt::format("{}: cannot delete the journal", partial_)};
  }
  SQ_TRY_STATUS(publish(partial_, output_, options_.force));
  for (const std::string& name : written_) {
    std::error_code error;
    summary.bytes += fs::file_size(output_ + "/" + name, error);
  }
  if (!unpacked_.empty()) SQ_TRY_STATUS(remove_directory(unpacked_));
  if (options_.delete_source) SQ_TRY_STATUS(delete_source());
  return summary;
}

}  // namespace

Result<Preview> preview(const CompressOptions& options) {
  SQ_TRY(const FormatRow* format, find_format(options.format));
  SQ_TRY(Source source, Source::open(options.input, may_use_trellis(*format)));
  Preview out;
  out.source = std::make_unique<Source>(std::move(source));
  PlanOptions plan_options;
  plan_options.calibration = calibration_of(*format, options);
  plan_options.passthrough = options.passthrough;
  SQ_TRY(out.plan, make_plan(*format, out.source->facts, out.source->tensors, plan_options));
  for (const PlannedTensor& planned : out.plan.tensors) {
    out.source_bytes += TensorView{nullptr, planned.source.dtype, planned.source.shape}.bytes();
  }
  SQ_TRY(const std::optional<uint64_t> budget, file_budget(out.plan, options));
  if (budget) SQ_TRY_STATUS(check_reachable(out.plan, *budget));
  SQ_TRY_STATUS(check_device(options, out.plan, budget.has_value()));
  SQ_TRY(out.device, make_trellis_device(options.device));
  out.calibration_tokens = options.calibration_tokens > 0 ? options.calibration_tokens
                                                          : calibration_tokens_for(out.plan);
  out.peak_memory_bytes = peak_memory(out.plan, out.source->network.config, out.calibration_tokens,
                                      options.evaluation_tokens, *out.device, options.threads);
  out.peak_device_bytes = peak_device_memory(out.plan, *out.device, options.threads);
  if (budget) {
    const uint64_t measuring = sensitivity_peak_bytes(out.plan, out.source->network.config);
    out.peak_memory_bytes = std::max(out.peak_memory_bytes, measuring);
  }
  return out;
}

Result<Summary> run(const CompressOptions& options, ThreadPool& pool, ProgressSink& progress,
                    const std::function<bool()>& cancel) {
  return Run(options, pool, progress, cancel).run();
}

}  // namespace squish::compress
