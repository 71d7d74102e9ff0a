#include "hub/upload.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "hub/json_fields.h"
#include "hub/part_file.h"
#include "hub/source_hf.h"

namespace squish::hub {
namespace {

// Of all files that stand in the commit itself: it is built in memory.
constexpr uint64_t kCommitBytesMax = 64 * limits::kMiB;
constexpr size_t kFilesPerQuestion = 256;
constexpr const char* kJson = "application/json";
constexpr const char* kCommitLines = "application/x-ndjson";

/// The first bytes of a file, or all of a small one.
Result<std::string> content_of(const UploadFile& file, uint64_t bytes_max) {
  if (file.disk_path.empty()) return file.text.substr(0, bytes_max);
  SQ_TRY(const MappedFile map, MappedFile::open(file.disk_path));
  const std::string_view text = as_text(map.bytes());
  return std::string(text.substr(0, std::min<uint64_t>(bytes_max, text.size())));
}

/// Git's name of a file's content, for files that may stand in a commit; empty for larger ones.
Result<std::string> git_name_of(const UploadFile& file) {
  if (file.bytes > kRegularBytesMax) return std::string();
  if (!file.disk_path.empty()) return git_sha1_of_file(file.disk_path);
  return git_sha1_of_text(file.text);
}

/// Those of `files` that the repository does not have in just this form.
Result<std::vector<UploadFile>> missing_files(const std::vector<UploadFile>& files,
                                              const HubListing& listing) {
  std::vector<UploadFile> out;
  for (const UploadFile& file : files) {
    const auto there = std::ranges::find(listing.files, file.path, &HubFile::path);
    if (there != listing.files.end()) {
      if (!there->sha256.empty() && there->sha256 == file.sha256) continue;
      if (!there->git_sha1.empty()) {
        SQ_TRY(const std::string name, git_name_of(file));
        if (name == there->git_sha1) continue;
      }
    }
    out.push_back(file);
  }
  return out;
}

}  // namespace

bool RepositoryState::holds_files(std::string_view folder) const {
  const std::string prefix = folder.empty() ? "" : std::string(folder) + "/";
  return std::ranges::any_of(listing.files, [&](const HubFile& file) {
    return file.path.starts_with(prefix) && file.path != ".gitattributes";
  });
}

Status check_visibility(const std::string& repository, bool wants_private,
                        const RepositoryState& state) {
  if (!wants_private || state.is_private.value_or(true)) return {};
  return Error{ErrorCode::refused,
               fmt::format("{} exists and is public, and --private does not change that; make it "
                           "private on the hub, or leave the flag out",
                           repository)};
}

HubWriter::HubWriter(HttpClient& client, const Environment& environment, std::string token,
                     ProgressSink& progress)
    : client_(client),
      progress_(progress),
      endpoint_(hub_endpoint(environment)),
      token_(std::move(token)) {
  if (!may_carry_token(endpoint_)) token_.clear();
}

Status HubWriter::check_token() const {
  if (!may_carry_token(endpoint_)) {
    return Error{ErrorCode::refused,
                 fmt::format("{} is not https: a token is not sent there; HF_ENDPOINT names it",
                             printable(endpoint_))};
  }
  if (!token_.empty()) return {};
  return Error{
      ErrorCode::not_found,
      "there is no token for the hub; make one that may write on its settings page and set "
      "HF_TOKEN, or look first with --dry-run, which needs none"};
}

std::string HubWriter::api(const std::string& repository, const char* what,
                           const std::string& revision) const {
  return fmt::format("{}/api/models/{}/{}/{}", endpoint_, repository, what,
                     encoded_revision(revision));
}

Result<HttpAnswer> HubWriter::post(const std::string& url, std::string body, const char* type,
                                   HttpFailure& failure) {
  HttpUpload request;
  request.url = url;
  request.token = token_;
  request.content_type = type;
  request.accept = std::string_view(type) == kCommitLines ? kJson : type;
  request.text = std::move(body);
  return client_.send_with_retries(request, kAnswerBytesMax, failure, progress_);
}

Result<RepositoryState> HubWriter::look(const std::string& repository,
                                        const std::string& revision) {
  std::string url = fmt::format("{}/api/models/{}", endpoint_, repository);
  if (revision != "main") url += "/revision/" + encoded_revision(revision);
  for (int attempt = 1;; ++attempt) {
    std::string text;
    const BodySink sink{[&](const HttpResponse&) {
                          text.clear();
                          return Status();
                        },
                        [&](Bytes bytes) -> Status {
                          if (text.size() + bytes.size() > kAnswerBytesMax)
                            return Error{ErrorCode::bad_file, "the hub's listing is too long"};
                          text.append(as_text(bytes));
                          return {};
                        }};
    HttpFailure failure;
    const auto got = client_.get({url + "?blobs=true", token_, 0, kJson}, sink, failure);
    if (got) {
      RepositoryState state;
      state.exists = true;
      SQ_TRY(state.listing, parse_hub_listing(text, repository));
      SQ_TRY(const nlohmann::json root, parse_json(text, "the hub's listing"));
      const nlohmann::json& is_private = member(root, "private");
      if (is_private.is_boolean()) state.is_private = is_private.get<bool>();
      return state;
    }
    const bool is_absent = failure.status == 404 || failure.server_code == "RepoNotFound" ||
                           (failure.status == 401 && token_.empty());
    if (is_absent && failure.server_code != "RevisionNotFound") return RepositoryState();
    if (failure.status == 401 || failure.status == 403) {
      return Error{
          ErrorCode::not_found,
          fmt::format("{}: the hub does not take the token (it answered {}); make one that "
                      "may write on its settings page and set HF_TOKEN",
                      repository, failure.status)};
    }
    if (!failure.retryable || attempt >= client_.settings().attempts)
      return failure.error.at(repository);
    progress_.on_note(fmt::format("{}; trying again ({} of {})", failure.error.message, attempt + 1,
                                  client_.settings().attempts));
    if (!client_.wait_before_retry(attempt, failure))
      return Error{ErrorCode::cancelled, "interrupted; nothing was sent"};
  }
}

Result<bool> HubWriter::create(const UploadRequest& request) {
  HttpFailure failure;
  const auto answer =
      post(endpoint_ + "/api/repos/create",
           create_repository_body(request.repository, request.is_private), kJson, failure);
  if (answer) return true;
  if (failure.status == 409) return false;  // somebody, or an attempt of ours, was faster
  return failure.error.at(request.repository);
}

Result<std::vector<bool>> HubWriter::ask_modes(const UploadRequest& request,
                                               const std::vector<UploadFile>& files) {
  std::vector<bool> modes;
  uint64_t regular_bytes = 0;
  for (size_t begin = 0; begin < files.size(); begin += kFilesPerQuestion) {
    const size_t end = std::min(files.size(), begin + kFilesPerQuestion);
    const std::vector<UploadFile> asked(files.begin() + static_cast<std::ptrdiff_t>(begin),
                                        files.begin() + static_cast<std::ptrdiff_t>(end));
    std::vector<std::string> samples;
    for (const UploadFile& file : asked) {
      SQ_TRY(std::string sample, content_of(file, kSampleBytes));
      samples.push_back(std::move(sample));
    }
    HttpFailure failure;
    SQ_TRY(const HttpAnswer answer, post(api(request.repository, "preupload", request.revision),
                                         preupload_body(asked, samples), kJson, failure)
                                        .at(request.repository));
    SQ_TRY(const auto wishes, parse_preupload(answer.text));
    for (const UploadFile& file : asked) {
      const auto wish = wishes.find(file.path);
      bool is_large = wish != wishes.end() && wish->second;
      is_large =
          is_large || file.bytes > kRegularBytesMax || regular_bytes + file.bytes > kCommitBytesMax;
      if (!is_large) regular_bytes += file.bytes;
      modes.push_back(is_large);
    }
  }
  return modes;
}

Result<CommitAnswer> HubWriter::commit(const UploadRequest& request,
                                       const std::vector<UploadFile>& files,
                                       const std::vector<bool>& modes, RepositoryState& state) {
  for (bool is_second = false;; is_second = true) {
    CommitBody body(request.message, "Written by squish publish.", state.listing.commit);
    for (size_t i = 0; i < files.size(); ++i) {
      if (modes[i]) {
        body.add_lfs(files[i]);
      } else {
        SQ_TRY(const std::string content, content_of(files[i], kRegularBytesMax));
        body.add_regular(files[i].path, content);
      }
    }
    HttpFailure failure;
    const auto answer = post(api(request.repository, "commit", request.revision), body.text(),
                             kCommitLines, failure);
    if (answer) return parse_commit_answer(answer->text);
    const bool is_conflict = failure.status == 409 || failure.status == 412;
    if (!is_conflict || is_second) return failure.error.at(request.repository);
    progress_.on_note(
        fmt::format("{} changed meanwhile: committing onto its new state", request.repository));
    SQ_TRY(state, look(request.repository, request.revision));
    // An attempt whose answer was lost may have been taken.
    SQ_TRY(const auto missing, missing_files(files, state.listing));
    if (missing.empty()) return CommitAnswer{state.listing.commit, ""};
    if (!request.may_replace && state.holds_files(request.folder)) {
      return Error{
          ErrorCode::busy,
          fmt::format("{}: somebody else put files there meanwhile; --force replaces those "
                      "that differ",
                      request.repository)};
    }
  }
}

Result<UploadResult> HubWriter::upload(const UploadRequest& request, RepositoryState state) {
  SQ_TRY_STATUS(check_token());
  UploadResult result;
  result.url = fmt::format("{}/{}", endpoint_, request.repository);
  if (!state.exists && request.revision != "main") {
    return Error{
        ErrorCode::not_found,
        fmt::format("{} does not exist, and a new repository has no branch \"{}\"; publish "
                    "to main first",
                    request.repository, printable(request.revision, 100))};
  }
  if (!state.exists) {
    SQ_TRY(result.was_created, create(request));
    SQ_TRY(state, look(request.repository, request.revision));
  }
  SQ_TRY_STATUS(check_visibility(request.repository, request.is_private, state));
  SQ_TRY(const std::vector<UploadFile> files, missing_files(request.files, state.listing));
  uint64_t all_bytes = 0;
  uint64_t missing_bytes = 0;
  for (const UploadFile& file : request.files) all_bytes += file.bytes;
  for (const UploadFile& file : files) missing_bytes += file.bytes;
  result.kept_bytes = all_bytes - missing_bytes;
  if (files.empty()) return result;
  SQ_TRY(const std::vector<bool> modes, ask_modes(request, files));
  std::vector<UploadFile> objects;
  for (size_t i = 0; i < files.size(); ++i) {
    if (modes[i]) objects.push_back(files[i]);
  }
  SQ_TRY_STATUS(send_objects(request, objects, result));
  SQ_TRY(const CommitAnswer answer, commit(request, files, modes, state));
  for (size_t i = 0; i < files.size(); ++i) {
    if (!modes[i]) result.sent_bytes += files[i].bytes;
  }
  result.sent_files = files.size();
  result.commit = answer.commit;
  return result;
}

}  // namespace squish::hub
