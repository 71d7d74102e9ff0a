#include "cli/publish_gates.h"

#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "chat/coherence.h"
#include "cli/model_choice.h"
#include "cli/npy_output.h"
#include "compress/sbom.h"
#include "format/npy_directory.h"
#include "format/quality_gates.h"
#include "hub/names.h"
#include "hub/publish_files.h"
#include "model/model_files.h"
#include "text/jinja_value.h"

namespace squish::cli {
namespace {

constexpr uint64_t kReportBytesMax = 16 * limits::kMiB;
constexpr uint64_t kStatsBytesMax = 256 * limits::kMiB;

const hub::UploadFile* find_file(const PublishSource& source, std::string_view path) {
  for (const hub::UploadFile& file : source.files) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

/// The scores that `squish sbom bind` put into the bill of materials.
void read_scores(const PublishSource& source, hub::CardFacts& facts) {
  const hub::UploadFile* bill = find_file(source, compress::kSbomName);
  if (bill == nullptr) return;
  const auto text = read_file(bill->disk_path, kReportBytesMax);
  if (!text) return;
  const auto value = parse_json(*text);
  if (!value) return;
  const Value* metrics = find_below(
      *value, {"metadata", "component", "modelCard", "quantitativeAnalysis", "performanceMetrics"});
  if (metrics == nullptr || !metrics->is_list()) return;
  for (const Value& metric : metrics->items())
    facts.scores.emplace_back(text_below(metric, {"type"}), text_below(metric, {"value"}));
}

Status read_reports(PublishSource& source) {
  if (const auto* report = find_file(source, "report.json")) {
    SQ_TRY(const std::string text, read_file(report->disk_path, kReportBytesMax));
    SQ_TRY_STATUS(hub::read_report(text, source.facts).at(source.directory));
    source.has_report = true;
  }
  if (const auto* stats = find_file(source, "stats.json")) {
    SQ_TRY(const std::string text, read_file(stats->disk_path, kStatsBytesMax));
    SQ_TRY_STATUS(hub::read_stats(text, source.facts).at(source.directory));
  }
  read_scores(source, source.facts);
  return {};
}

/// The files of a model whose file lies among others.
Result<std::vector<hub::UploadFile>> gguf_files(const hub::LocalModel& local) {
  std::vector<hub::UploadFile> files;
  for (const std::string& path : local.files.empty() ? std::vector{local.path} : local.files) {
    std::error_code error;
    const uint64_t bytes = std::filesystem::file_size(path, error);
    if (error) {
      return Error{ErrorCode::io, fmt::format("{}: {}", printable(path, 512), error.message())};
    }
    hub::UploadFile file;
    file.path = std::string(hub::base_name(path));
    file.disk_path = path;
    file.bytes = bytes;
    files.push_back(std::move(file));
  }
  return files;
}

void add_gate(PublishSource& source, const char* name, std::string detail,
              const char* verdict = "passed") {
  source.facts.gates.push_back({name, verdict, std::move(detail)});
}

/// Arrays of codes know their kinds tensor by tensor: one of a blocked kind is enough.
Status check_npy_files(PublishSource& source) {
  SQ_TRY(const NpyDirectory directory, NpyDirectory::open(source.local.path));
  uint64_t parameters = 0;
  std::set<std::string_view> kinds;
  for (const NpyDirectory::Entry& entry : directory.entries()) {
    SQ_TRY(const NpyTensor tensor, directory.load(entry));
    parameters += tensor.shape().elements();
    kinds.insert(name_of(entry.kind));
  }
  std::string_view family = family_of_model_name(source.facts.source_name);
  if (const auto* config = find_file(source, "config.json")) {
    SQ_TRY(const std::string text, read_file(config->disk_path, kReportBytesMax));
    const auto value = parse_json(text);
    const Value* names = value ? find_below(*value, {"architectures"}) : nullptr;
    if (names != nullptr && names->is_list() && names->size() > 0 && names->items()[0].is_string())
      source.facts.architecture = names->items()[0].as_string();
    if (!source.facts.architecture.empty())
      family = family_of_architecture(source.facts.architecture);
  }
  for (const std::string_view kind : kinds) {
    SQ_TRY_STATUS(check_blocked(family, parameters, kind).at(source.local.path));
  }
  if (source.facts.format.empty()) source.facts.format = "npy";
  if (source.facts.weights == 0) source.facts.weights = parameters;
  add_gate(source, "completeness",
           fmt::format("{} tensors with all of their arrays", directory.entries().size()));
  return {};
}

Status check_model_files(PublishSource& source) {
  hub::CardFacts& facts = source.facts;
  if (NpyDirectory::is_one(source.local.path)) return check_npy_files(source);
  SQ_TRY(ModelFiles files, ModelFiles::open(source.local.path));
  facts.architecture = files.architecture();
  if (files.packed) facts.format = files.packed->format();
  uint64_t parameters = 0;
  uint64_t bytes = 0;
  for (const NamedTensor& named : files.tensors()) {
    parameters += named.tensor.shape.elements();
    bytes += named.tensor.bytes();
  }
  SQ_TRY_STATUS(check_blocked(family_of_architecture(facts.architecture), parameters, facts.format)
                    .at(source.local.path));
  if (facts.weights == 0) {
    facts.weights = parameters;
    facts.weight_bytes = bytes;
  }
  if (facts.bits_per_weight <= 0 && facts.weights > 0) {
    facts.bits_per_weight =
        8 * static_cast<double>(facts.weight_bytes) / static_cast<double>(facts.weights);
  }
  SQ_TRY(const Tokenizer tokenizer, files.load_tokenizer("").at(source.local.path));
  add_gate(source, "completeness",
           fmt::format("{} tensors, configuration and vocabulary", files.tensors().size()));
  return {};
}

/// Models with a least score: one that was measured and is lower stays here.
Status check_scores(PublishSource& source) {
  const hub::CardFacts& facts = source.facts;
  const ScoreFloor* floor = find_score_floor(facts.source_name, facts.format);
  if (floor == nullptr) floor = find_score_floor(facts.base_model, facts.format);
  if (floor == nullptr) return {};
  for (const auto& [test, text] : facts.scores) {
    const auto score = parse_double(text);
    if (test != floor->test || !score) continue;
    if (*score < floor->percent_min) {
      return Error{ErrorCode::refused,
                   fmt::format("{}: {} of {} is {:.1f} %, and {} of this model must have {:.1f} %; "
                               "compress it with more bits",
                               printable(source.local.path, 512), test, facts.format, *score,
                               facts.format, floor->percent_min)};
    }
    add_gate(source, "accuracy",
             fmt::format("{} {:.1f} %, at least {:.1f} %", test, *score, floor->percent_min));
    return {};
  }
  add_gate(source, "accuracy",
           fmt::format("no score of {} is bound to it, which must be {:.1f} % or more", floor->test,
                       floor->percent_min),
           "skipped");
  return {};
}

/// A model of which nobody can say what it lost is not for others.
Status check_report(PublishSource& source, bool may_lack_one) {
  const hub::CardFacts& facts = source.facts;
  if (!source.has_report && !may_lack_one) {
    return Error{
        ErrorCode::refused,
        fmt::format("{}: has no report.json that says what was lost; publish what squish compress "
                    "wrote (--no-report publishes it as it is)",
                    printable(source.local.path, 512))};
  }
  if (!source.has_report) {
    add_gate(source, "report", "left out by --no-report", "skipped");
  } else if (facts.held_out_tokens == 0) {
    add_gate(source, "report", "report.json is there, but the loss was not measured", "skipped");
  } else {
    add_gate(source, "report",
             fmt::format("the loss was measured on {} tokens", facts.held_out_tokens));
  }
  return {};
}

}  // namespace

Result<PublishSource> open_source(const hub::LocalModel& local) {
  PublishSource source;
  source.local = local;
  source.directory = local.path;
  if (local.kind == hub::ModelKind::gguf) {
    source.directory = std::filesystem::path(local.path).parent_path().string();
    SQ_TRY(source.files, gguf_files(local));
  } else {
    while (source.directory.size() > 1 && source.directory.ends_with('/'))
      source.directory.pop_back();
    SQ_TRY(source.files, hub::list_publishable(source.directory));
    SQ_TRY_STATUS(read_reports(source));
  }
  return source;
}

Status pass_quick_gates(PublishSource& source, bool may_lack_report) {
  SQ_TRY_STATUS(check_model_files(source));
  add_gate(source, "blocked pairs", "no known objection to this format for this model");
  SQ_TRY_STATUS(check_report(source, may_lack_report));
  SQ_TRY_STATUS(check_scores(source));
  SQ_TRY_STATUS(hub::scan_publishable(source.files).at(source.directory));
  add_gate(source, "safety scan",
           fmt::format("{} files, none of which can run code", source.files.size()));
  return {};
}

Status pass_checksums(PublishSource& source, hub::ProgressSink& progress) {
  SQ_TRY(const size_t count,
         hub::hash_publishable(source.directory, source.files, progress, interrupted()));
  std::string detail = count > 0 ? fmt::format("{} files as SHA256SUMS lists them", count)
                                 : "there is no SHA256SUMS to compare with";
  if (!NpyDirectory::is_one(source.local.path)) {
    SQ_TRY(const ModelFiles files, ModelFiles::open(source.local.path));
    if (files.packed) {
      SQ_TRY_STATUS(files.packed->verify().at(source.local.path));
      detail += ", every tensor as its hash says";
    }
  }
  add_gate(source, "checksums", std::move(detail), count > 0 ? "passed" : "skipped");
  return {};
}

Status pass_coherence(Context& context, const Arguments& arguments, bool is_asked,
                      PublishSource& source, hub::ProgressSink& progress) {
  if (!is_asked) {
    add_gate(source, "coherence", "left out by --no-smoke-test", "skipped");
    return {};
  }
  SQ_TRY(const hub::LocalModel local, runnable(context, source.local));
  SQ_TRY(const std::unique_ptr<LoadedModel> model,
         load_model(context, arguments, local, startup_trace()));
  if (model->config().encoder.is_encoder) {
    add_gate(source, "coherence", "the model writes no text", "skipped");
    return {};
  }
  progress.on_note(
      fmt::format("{}: asking it {} questions", source.local.id, coherence_prompts().size()));
  SQ_TRY(const Coherence coherence,
         check_coherence(*model, [](size_t /*prompt*/) { return !interrupted().load(); }));
  for (const std::string& failure : coherence.failures) progress.on_note("  " + failure);
  if (!coherence.is_coherent()) {
    return Error{
        ErrorCode::unsafe,
        fmt::format("{}: {} of {} answers make no sense, at most {} may; nothing was sent, "
                    "compress it with more bits (--no-smoke-test publishes it as it is)",
                    source.local.path, coherence.failures.size(), coherence.asked,
                    kIncoherentAnswersMax)};
  }
  add_gate(
      source, "coherence",
      fmt::format("{} of {} answers of {} tokens without repetition",
                  coherence.asked - coherence.failures.size(), coherence.asked, kCoherenceTokens));
  return {};
}

}  // namespace squish::cli
