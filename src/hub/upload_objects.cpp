// Large files on their way to a hub: git's LFS protocol, whole or in parts.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/strings.h"
#include "hub/download.h"
#include "hub/http_failure.h"
#include "hub/upload.h"
#include "hub/upload_journal.h"

namespace squish::hub {
namespace {

constexpr size_t kObjectsPerBatch = 100;
constexpr const char* kLfsJson = "application/vnd.git-lfs+json";

/// A plan that the hub no longer honours: its addresses have an end.
bool is_expired(const HttpFailure& failure) {
  return failure.status >= 400 && failure.status < 500 && !failure.retryable;
}

std::string etag_of(const HttpAnswer& answer) {
  const std::string etag = answer.response.header("etag");
  return etag.size() <= 256 ? etag : std::string();
}

}  // namespace

Status HubWriter::check_addresses(const LfsAction& action, const UploadFile& file) const {
  if (endpoint_.starts_with("http://")) return {};
  const auto is_plain = [](const std::string& url) { return to_lower(url).starts_with("http://"); };
  if (!is_plain(action.upload_url) && !is_plain(action.verify_url) &&
      std::ranges::none_of(action.part_urls, is_plain)) {
    return {};
  }
  return Error{ErrorCode::refused, fmt::format("the hub wants {} over http without TLS: refused",
                                               printable(file.path))};
}

Result<std::vector<LfsAction>> HubWriter::plan_objects(const UploadRequest& request,
                                                       const std::vector<UploadFile>& files) {
  HttpFailure failure;
  SQ_TRY(const HttpAnswer answer,
         post(fmt::format("{}/{}.git/info/lfs/objects/batch", endpoint_, request.repository),
              lfs_batch_body(files, request.revision), kLfsJson, failure)
             .at(request.repository));
  auto actions = parse_lfs_batch(answer.text, files);
  if (actions) return actions;
  // The hub's own words stand in it.
  return Error{actions.error().code, without_secret(actions.error().message, token_)};
}

Status HubWriter::send_objects(const UploadRequest& request, const std::vector<UploadFile>& files,
                               UploadResult& result) {
  // Equal files are one object.
  std::set<std::string> seen;
  std::vector<UploadFile> objects;
  for (const UploadFile& file : files) {
    if (seen.insert(file.sha256).second) {
      objects.push_back(file);
    } else {
      result.kept_bytes += file.bytes;
    }
  }
  for (size_t begin = 0; begin < objects.size(); begin += kObjectsPerBatch) {
    const size_t end = std::min(objects.size(), begin + kObjectsPerBatch);
    const std::vector<UploadFile> asked(objects.begin() + static_cast<std::ptrdiff_t>(begin),
                                        objects.begin() + static_cast<std::ptrdiff_t>(end));
    SQ_TRY(const std::vector<LfsAction> actions, plan_objects(request, asked));
    for (size_t i = 0; i < asked.size(); ++i) {
      SQ_TRY_STATUS(send_object(request, asked[i], actions[i], result));
    }
  }
  return {};
}

Status HubWriter::send_object(const UploadRequest& request, const UploadFile& file,
                              LfsAction action, UploadResult& result) {
  const std::string journal =
      request.journals.empty()
          ? ""
          : journal_path(request.journals, endpoint_ + "/" + request.repository, file.sha256);
  for (bool is_second = false;; is_second = true) {
    if (action.is_there) {
      // A run that died between the last part and its own end left one.
      if (!journal.empty()) remove_upload_journal(journal);
      result.kept_bytes += file.bytes;
      return {};
    }
    SQ_TRY_STATUS(check_addresses(action, file));
    bool is_stale = false;
    const Status sent = action.is_multipart() ? send_parts(file, action, journal, result, is_stale)
                                              : send_whole(file, action, result, is_stale);
    if (sent) return verify(file, action);
    if (!is_stale || is_second) return sent;
    progress_.on_note(
        fmt::format("{}: the hub no longer takes it at the address that it gave, asking for "
                    "another",
                    printable(file.path)));
    SQ_TRY(std::vector<LfsAction> again, plan_objects(request, {file}));
    action = std::move(again.front());
  }
}

Status HubWriter::send_whole(const UploadFile& file, const LfsAction& action, UploadResult& result,
                             bool& is_stale) {
  ProgressMeter meter(progress_, Stage::upload, file.path, file.bytes);
  meter.update(0);
  HttpUpload put;
  put.method = "PUT";
  put.url = action.upload_url;
  put.headers = action.upload_headers;
  put.path = file.disk_path;
  put.text = file.text;
  put.bytes = file.bytes;
  put.on_sent = [&](uint64_t sent) { meter.update(sent); };
  HttpFailure failure;
  const auto answer = client_.send_with_retries(put, kAnswerBytesMax, failure, progress_);
  if (!answer) {
    is_stale = is_expired(failure);
    return failure.error.at(file.path);
  }
  meter.finish(file.bytes);
  result.sent_bytes += file.bytes;
  return {};
}

Status HubWriter::send_parts(const UploadFile& file, const LfsAction& action,
                             const std::string& journal_file, UploadResult& result,
                             bool& is_stale) {
  UploadJournal journal{action, file.bytes, std::vector<std::string>(action.part_urls.size())};
  if (!journal_file.empty()) {
    auto earlier = read_upload_journal(journal_file, file.sha256, file.bytes);
    if (earlier && check_addresses(earlier->action, file)) journal = std::move(*earlier);
  }
  const auto fail = [&](const HttpFailure& failure) -> Status {
    is_stale = is_expired(failure);
    if (is_stale && !journal_file.empty()) remove_upload_journal(journal_file);
    return failure.error.at(file.path);
  };
  ProgressMeter meter(progress_, Stage::upload, file.path, file.bytes);
  const uint64_t kept = journal.done_bytes();
  uint64_t done = kept;
  meter.update(done);
  for (size_t i = 0; i < journal.etags.size(); ++i) {
    if (!journal.etags[i].empty()) continue;
    HttpUpload put;
    put.method = "PUT";
    put.url = journal.action.part_urls[i];
    put.path = file.disk_path;
    put.begin = i * journal.action.part_bytes;
    put.bytes = std::min(journal.action.part_bytes, file.bytes - put.begin);
    if (file.disk_path.empty()) put.text = file.text.substr(put.begin, put.bytes);
    put.on_sent = [&](uint64_t sent) { meter.update(done + sent); };
    HttpFailure failure;
    const auto answer = client_.send_with_retries(put, kAnswerBytesMax, failure, progress_);
    if (!answer) return fail(failure);
    journal.etags[i] = etag_of(*answer);
    if (journal.etags[i].empty()) {
      return Error{ErrorCode::bad_file,
                   fmt::format("{}: the hub gave no receipt for part {}", file.path, i + 1)};
    }
    done += put.bytes;
    result.sent_bytes += put.bytes;
    if (!journal_file.empty()) SQ_TRY_STATUS(write_upload_journal(journal_file, journal));
  }
  HttpFailure failure;
  if (const Status completed = complete_parts(file, journal, failure); !completed)
    return fail(failure);
  meter.finish(file.bytes);
  result.kept_bytes += kept;
  if (!journal_file.empty()) remove_upload_journal(journal_file);
  return {};
}

Status HubWriter::complete_parts(const UploadFile& file, const UploadJournal& journal,
                                 HttpFailure& failure) {
  HttpUpload complete;
  complete.url = journal.action.upload_url;
  complete.content_type = kLfsJson;
  complete.accept = kLfsJson;
  complete.text = completion_body(file.sha256, journal.etags);
  const auto answer = client_.send_with_retries(complete, kAnswerBytesMax, failure, progress_);
  if (!answer) return answer.error();
  return {};
}

Status HubWriter::verify(const UploadFile& file, const LfsAction& action) {
  if (action.verify_url.empty()) return {};
  HttpUpload request;
  request.url = action.verify_url;
  const auto url = parse_url(action.verify_url);
  const auto endpoint = parse_url(endpoint_);
  if (url && endpoint && url->same_origin(*endpoint)) request.token = token_;
  request.content_type = kLfsJson;
  request.accept = kLfsJson;
  for (const auto& header : action.verify_headers) {
    if (to_lower(header.first) != "authorization" || request.token.empty())
      request.headers.push_back(header);
  }
  request.text = verify_body(file);
  HttpFailure failure;
  const auto answer = client_.send_with_retries(request, kAnswerBytesMax, failure, progress_);
  if (!answer) return failure.error.at(file.path + " arrived, but the hub does not confirm it");
  return {};
}

}  // namespace squish::hub
