#pragma once
// Sending the files of a model to a repository of a hub: what it has already is not sent again, and
// nothing is visible there before one commit shows all of it.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/environment.h"
#include "hub/http.h"
#include "hub/hub_listing.h"
#include "hub/progress.h"
#include "hub/upload_protocol.h"

namespace squish::hub {

struct UploadJournal;
/// The longest answer of a hub that is read.
inline constexpr uint64_t kAnswerBytesMax = uint64_t{32} << 20;

/// A repository as it is before anything is sent.
struct RepositoryState {
  bool exists = false;
  HubListing listing;              // its commit and files; empty when it does not exist
  std::optional<bool> is_private;  // where the hub says so
  /// Whether it holds a file below `folder` ("" for anywhere) that people put there: what a hub
  /// itself creates with a repository (.gitattributes) does not count.
  [[nodiscard]] bool holds_files(std::string_view folder) const;
};

/// What was meant to be private must not go to a repository that everybody sees. Errors: refused.
Status check_visibility(const std::string& repository, bool wants_private,
                        const RepositoryState& state);

struct UploadRequest {
  std::string repository;  // "org/repo"
  std::string revision = "main";
  bool is_private = false;  // when it has to be created; a public one is refused then
  std::string message;
  std::string folder;        // that the files are in; "" = the top
  bool may_replace = false;  // files that others put there
  std::string journals;      // the directory of journals; "": nothing is remembered
  std::vector<UploadFile> files;
};

struct UploadResult {
  std::string commit;  // empty when nothing had to change
  std::string url;     // of the repository's page
  uint64_t sent_bytes = 0;
  uint64_t kept_bytes = 0;  // that the hub had before this call
  size_t sent_files = 0;
  bool was_created = false;
};

/// Speaks to $HF_ENDPOINT or the hub itself. Not thread-safe; blocks.
class HubWriter {
 public:
  /// `token`: as hub_token() gives it. It goes over https, or over http to this machine itself, and
  /// to the endpoint alone; it stands in no message.
  HubWriter(HttpClient& client, const Environment& environment, std::string token,
            ProgressSink& progress);

  /// Whether uploads can begin at all. Errors: not_found without a token; refused where a token
  /// may not go.
  [[nodiscard]] Status check_token() const;

  /// Reads what the repository holds; writes nothing. Errors: those of HttpClient, not_found for a
  /// token that is not valid.
  Result<RepositoryState> look(const std::string& repository, const std::string& revision);

  /// Creates the repository where it is absent, sends what it lacks and commits once. Large files
  /// go part by part where the hub wants that; parts that arrived are remembered in `journals` and
  /// not sent by the next call. A conflict (somebody committed meanwhile) is tried once more on the
  /// new state. Memory: the small files. Errors: those of HttpClient::send; bad_file for answers
  /// that make no sense; refused for files that the hub does not take, and by check_visibility();
  /// io; cancelled.
  Result<UploadResult> upload(const UploadRequest& request, RepositoryState state);

 private:
  [[nodiscard]] std::string api(const std::string& repository, const char* what,
                                const std::string& revision) const;
  Result<HttpAnswer> post(const std::string& url, std::string body, const char* type,
                          HttpFailure& failure);
  Result<bool> create(const UploadRequest& request);
  Result<std::vector<bool>> ask_modes(const UploadRequest& request,
                                      const std::vector<UploadFile>& files);
  Result<std::vector<LfsAction>> plan_objects(const UploadRequest& request,
                                              const std::vector<UploadFile>& files);
  Status check_addresses(const LfsAction& action, const UploadFile& file) const;
  Status send_objects(const UploadRequest& request, const std::vector<UploadFile>& files,
                      UploadResult& result);
  Status send_object(const UploadRequest& request, const UploadFile& file, LfsAction action,
                     UploadResult& result);
  Status send_whole(const UploadFile& file, const LfsAction& action, UploadResult& result,
                    bool& is_stale);
  Status send_parts(const UploadFile& file, const LfsAction& action, const std::string& journal,
                    UploadResult& result, bool& is_stale);
  Status complete_parts(const UploadFile& file, const UploadJournal& journal, HttpFailure& failure);
  Status verify(const UploadFile& file, const LfsAction& action);
  Result<CommitAnswer> commit(const UploadRequest& request, const std::vector<UploadFile>& files,
                              const std::vector<bool>& modes, RepositoryState& state);

  HttpClient& client_;
  ProgressSink& progress_;
  std::string endpoint_;
  std::string token_;
};

}  // namespace squish::hub
