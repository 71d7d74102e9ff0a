#include "hub/source_hf.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "format/squish_directory.h"
#include "hub/download.h"
#include "hub/names.h"
#include "hub/part_file.h"
#include "hub/paths.h"

namespace squish::hub {
namespace {

constexpr uint64_t kListingBytesMax = 32 * limits::kMiB;
constexpr uint64_t kIndexBytesMax = 64 * limits::kMiB;
constexpr std::string_view kIndexName = "model.safetensors.index.json";

std::string token_from_file(const std::string& path) {
  const Result<std::string> text = read_file(path, 4096);
  return text ? std::string(trim(*text)) : std::string();
}

bool is_header_safe(const std::string& token) {
  return std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

void note_scan(const ScanReport& report, const std::string& repository, ProgressSink& progress) {
  progress.on_note(fmt::format("{}: {} files, {}, {} safe weight files: scan {}", repository,
                               report.file_count, human_bytes(report.total_bytes),
                               report.safe_weight_count, name_of(report.status)));
  constexpr size_t kShown = 5;
  for (size_t i = 0; i < report.findings.size() && i < kShown; ++i)
    progress.on_note("  " + report.findings[i]);
  if (report.findings.size() > kShown) {
    progress.on_note(fmt::format("  and {} more findings", report.findings.size() - kShown));
  }
}

}  // namespace

bool may_carry_token(const std::string& endpoint) {
  const Result<Url> url = parse_url(endpoint);
  if (!url) return false;
  return url->scheme == "https" || url->host == "localhost" || url->host == "127.0.0.1" ||
         url->host == "[::1]";
}

std::string encoded_revision(const std::string& revision) {
  return replace_all(percent_encode_path(revision), "/", "%2F");
}

std::string hub_endpoint(const Environment& environment) {
  std::string endpoint = environment.get("HF_ENDPOINT").value_or("https://huggingface.co");
  while (endpoint.ends_with("/")) endpoint.pop_back();
  return endpoint;
}

std::string hub_token(const Environment& environment, const std::string& given) {
  std::string token = given;
  if (token.empty()) token = environment.first({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}).value_or("");
  if (token.empty()) {
    const Result<std::string> home = user_home(environment);
    std::string path = (home ? *home : std::string()) + "/.cache/huggingface/token";
    if (const auto hf_home = environment.get("HF_HOME")) path = *hf_home + "/token";
    path = environment.get("HF_TOKEN_PATH").value_or(path);
    token = token_from_file(path);
  }
  token = std::string(trim(token));
  return is_header_safe(token) ? token : std::string();
}

uint64_t HfPlan::missing_bytes(const std::string& directory) const {
  uint64_t sum = 0;
  for (const HubFile& file : files) {
    const std::string path = directory + "/" + std::string(base_name(file.path));
    uint64_t there = 0;
    for (const std::string& name : {path, path + ".part"}) {
      std::error_code error;
      const uint64_t bytes = std::filesystem::file_size(name, error);
      if (!error) there = std::max(there, bytes);
    }
    sum += file.bytes - std::min(there, file.bytes);
  }
  return sum;
}

std::vector<HubFile> HfPlan::weights() const {
  std::vector<HubFile> out;
  for (const HubFile& file : files) {
    if (file.path.ends_with(".safetensors") || to_lower(file.path).ends_with(".gguf"))
      out.push_back(file);
  }
  return out;
}

HfSource::HfSource(HttpClient& client, const Environment& environment, const std::string& token,
                   ProgressSink& progress)
    : client_(client),
      progress_(progress),
      endpoint_(hub_endpoint(environment)),
      token_(hub_token(environment, token)) {
  if (!token_.empty() && !may_carry_token(endpoint_)) {
    progress_.on_note(
        fmt::format("{} is not https: the token is not sent there", printable(endpoint_)));
    token_.clear();
  }
}

std::string HfSource::file_url(const HfReference& reference, const std::string& revision,
                               const std::string& path) const {
  return fmt::format("{}/{}/resolve/{}/{}", endpoint_, reference.repository,
                     encoded_revision(revision), percent_encode_path(path));
}

Result<std::string> HfSource::read_index(const HfReference& reference, const HubListing& listing) {
  const bool there = std::any_of(listing.files.begin(), listing.files.end(),
                                 [](const HubFile& file) { return file.path == kIndexName; });
  if (!there) return std::string();
  HttpResponse response;
  const std::string revision = listing.commit.empty() ? reference.revision : listing.commit;
  return client_.get_text({file_url(reference, revision, std::string(kIndexName)), token_, 0, {}},
                          kIndexBytesMax, response);
}

/// Of the top of the repository. With `is_original` a repository of GGUF files alone says what to
/// do.
Result<std::vector<HubFile>> HfSource::safetensors_of(const HfReference& reference,
                                                      const HubListing& listing, bool is_original) {
  SQ_TRY(const std::string index, read_index(reference, listing));
  auto files = choose_safetensors(listing, index);
  const bool has_gguf = std::ranges::any_of(
      listing.files, [](const HubFile& file) { return to_lower(file.path).ends_with(".gguf"); });
  if (files || !is_original || !has_gguf) return std::move(files).at(reference.repository);
  return Error{ErrorCode::not_found,
               fmt::format("{}: holds GGUF files alone, of which most are compressed already; name "
                           "the one to start from, such as hf:{}:F16",
                           reference.repository, reference.repository)};
}

Result<HfPlan> HfSource::plan(const HfReference& reference, const CatalogFile* bound,
                              WeightChoice choice) {
  progress_.on_progress({Stage::resolve, {}, 0, 0, 0});
  std::string url = fmt::format("{}/api/models/{}", endpoint_, reference.repository);
  if (reference.revision != "main") url += "/revision/" + encoded_revision(reference.revision);
  HttpResponse response;
  SQ_TRY(const std::string text,
         client_.get_text({url + "?blobs=true", token_, 0, "application/json"}, kListingBytesMax,
                          response));
  Result<HubListing> parsed = parse_hub_listing(text, reference.repository);
  if (!parsed && parsed.error().code == ErrorCode::bad_file) {
    const bool page = to_lower(response.header("content-type")).starts_with("text/html");
    return Error{ErrorCode::unreachable,
                 page ? "the server sent a web page instead of a description: is there a login "
                        "page (captive portal) or a proxy in the way?"
                      : parsed.error().message};
  }
  SQ_TRY(const HubListing listing, std::move(parsed));
  const ScanReport report = scan_listing(listing);
  note_scan(report, reference.repository, progress_);
  if (report.status == ScanStatus::unsafe) {
    return Error{ErrorCode::unsafe, fmt::format("{} is unsafe: {}; nothing was downloaded",
                                                reference.repository, report.findings.front())};
  }

  HfPlan plan;
  plan.reference = reference;
  plan.commit = listing.commit.empty() ? reference.revision : listing.commit;
  plan.packed_bits = listing.packed_bits;
  const bool is_original = choice == WeightChoice::original && reference.file.empty();
  Result<std::vector<HubFile>> gguf = is_original
                                          ? Result<std::vector<HubFile>>(std::vector<HubFile>())
                                          : choose_gguf(listing, reference.file);
  const bool loose = bound != nullptr && bound->sha256.empty();
  if (!gguf && loose && gguf.error().code == ErrorCode::not_found) {
    gguf = choose_gguf(listing, "");
    if (gguf && !gguf->empty()) {
      progress_.on_note(fmt::format("{} is no longer there, taking {}", reference.file,
                                    printable(gguf->front().path)));
    }
  }
  SQ_TRY(plan.files, std::move(gguf).at(reference.repository));
  plan.gguf = !plan.files.empty();
  if (!plan.gguf) {
    SQ_TRY(plan.files, safetensors_of(reference, listing, is_original));
  }
  if (bound != nullptr && !bound->sha256.empty()) {
    plan.files.front().sha256 = bound->sha256;
    if (bound->bytes != 0) plan.files.front().bytes = bound->bytes;
  }
  return plan;
}

Result<std::vector<StoredFile>> HfSource::fetch(const HfPlan& plan, const std::string& directory) {
  SQ_TRY_STATUS(check_space(directory, plan.missing_bytes(directory)));
  std::vector<StoredFile> stored;
  std::set<std::string> names;
  for (const HubFile& file : plan.files) {
    const std::string name(base_name(file.path));
    SQ_TRY_STATUS(check_file_name(name));
    if (!names.insert(to_lower(name)).second) {
      return Error{ErrorCode::unsafe, fmt::format("{}: two files would both be named {}",
                                                  plan.reference.repository, printable(name))};
    }
    DownloadRequest request;
    request.url = file_url(plan.reference, plan.commit, file.path);
    request.token = token_;
    request.path = directory + "/" + name;
    request.expected_bytes = file.bytes;
    request.expected_sha256 = file.sha256;
    request.expected_git_sha1 = file.git_sha1;
    SQ_TRY(const Downloaded done, download_file(client_, request, progress_));
    SQ_TRY_STATUS(check_fetched_file(request.path));
    if (!done.verified)
      progress_.on_note(
          fmt::format("{}: the hub names no hash for it; only its size was checked", name));
    stored.push_back({name, done.bytes, done.sha256});
  }
  return stored;
}

Status check_fetched_file(const std::string& path) {
  const std::string name(base_name(path));
  const auto refuse = [&](const std::string& why) {
    return Error{ErrorCode::bad_file, printable(name) + ": " + why};
  };
  SQ_TRY(const MappedFile file, MappedFile::open(path));
  const std::string_view text = as_text(file.bytes());
  if ((name.ends_with(".gguf") || name == kGgufMetadataName) && !text.starts_with("GGUF")) {
    return refuse(
        fmt::format("is not a GGUF file: it begins with \"{}\"", printable(text.substr(0, 8))));
  }
  if (name.ends_with(".safetensors")) {
    uint64_t header = 0;
    if (text.size() >= sizeof(header))
      std::memcpy(&header, text.data(), sizeof(header));  // little endian, as we are
    const uint64_t room = text.size() < 8 ? 0 : text.size() - 8;
    if (header == 0 || header > room || header > limits::kSafetensorsHeaderBytesMax) {
      return refuse(fmt::format("is not a safetensors file: its header would take {} of {} bytes",
                                header, text.size()));
    }
  }
  if (name == "config.json" && !nlohmann::json::accept(text)) return refuse("is not valid JSON");
  return {};
}

}  // namespace squish::hub
