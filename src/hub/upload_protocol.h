#pragma once
// What is said to a hub when a model goes there, and what it answers: bodies of requests and their
// parsers, without a socket.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace squish::hub {

/// One file on its way to a repository. Its bytes are `text`, or the file `disk_path`.
struct UploadFile {
  std::string path = {};  // in the repository, with '/'
  std::string disk_path = {};
  std::string text = {};  // when disk_path is empty
  uint64_t bytes = 0;
  std::string sha256 = {};
};

/// The first bytes of a file, by which a hub tells text from binary.
inline constexpr size_t kSampleBytes = 512;
/// The most bytes of a file that stands in the commit itself.
inline constexpr uint64_t kRegularBytesMax = uint64_t{10} << 20;

/// "org/repo": both parts as a hub takes them, 96 bytes each at most. Errors: invalid_argument.
Status check_repository(std::string_view repository);
/// The repository of `directory_name` in `organization`: "<org>/<name>-squished", with "-<format>"
/// behind it for all but int4. A name that ends with the format loses it there; what a hub does not
/// allow in names becomes '-'. Errors: invalid_argument when nothing is left.
Result<std::string> repository_of(std::string_view organization, std::string_view directory_name,
                                  std::string_view format);
/// The one line by which hubs and people name a commit, without control characters.
std::string commit_summary(std::string_view message);

/// Body of POST /api/repos/create.
std::string create_repository_body(std::string_view repository, bool is_private);

/// Body of POST /api/models/<repo>/preupload/<rev>. `samples`: the first bytes of each file.
std::string preupload_body(const std::vector<UploadFile>& files,
                           const std::vector<std::string>& samples);
/// How the hub wants each file: by path, true for LFS. Files that it does not name are missing.
/// Errors: bad_file.
Result<std::map<std::string, bool>> parse_preupload(std::string_view json);

/// Where and how the bytes of one object go.
struct LfsAction {
  std::string sha256;
  bool is_there = false;  // the hub has it: nothing to send
  std::string upload_url;
  std::vector<std::pair<std::string, std::string>> upload_headers;
  std::vector<std::string> part_urls;  // of a multipart transfer: upload_url then completes it
  uint64_t part_bytes = 0;             // of all parts but the last
  std::string verify_url;              // empty: nothing to tell afterwards
  std::vector<std::pair<std::string, std::string>> verify_headers;
  [[nodiscard]] bool is_multipart() const { return !part_urls.empty(); }
};

/// Body of POST <repo>.git/info/lfs/objects/batch.
std::string lfs_batch_body(const std::vector<UploadFile>& files, std::string_view revision);
/// One action for each of `files`, in their order. Errors: bad_file for an answer that lacks an
/// object, that names parts which do not cover it, or addresses that are not http(s); refused with
/// the hub's words for an object that it does not take.
Result<std::vector<LfsAction>> parse_lfs_batch(std::string_view json,
                                               const std::vector<UploadFile>& files);
/// Body that ends a multipart transfer. `etags`: of the parts, in order.
std::string completion_body(std::string_view sha256, const std::vector<std::string>& etags);
/// Body of the verify action.
std::string verify_body(const UploadFile& file);

/// A commit as lines of JSON: the header first, then one line a file.
class CommitBody {
 public:
  /// `parent`: the commit that the branch must still be at; empty: whatever it is.
  CommitBody(std::string_view message, std::string_view description, std::string_view parent);
  /// A file whose bytes stand in the commit.
  void add_regular(std::string_view path, std::string_view content);
  /// A file whose object the hub has.
  void add_lfs(const UploadFile& file);
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// What a commit became.
struct CommitAnswer {
  std::string commit;  // 40 hexadecimal digits, or empty
  std::string url;
};
/// Errors: bad_file.
Result<CommitAnswer> parse_commit_answer(std::string_view json);

}  // namespace squish::hub
