#pragma once
// One file over HTTP, so that it is either whole and verified under its name, or a .part that the
// next call continues.
#include <cstdint>
#include <string>

#include "base/result.h"
#include "hub/http.h"
#include "hub/progress.h"

namespace squish::hub {

struct DownloadRequest {
  std::string url;
  std::string token;
  std::string path;  // the final name; <path>.part and <path>.part.json lie beside it meanwhile
  uint64_t expected_bytes = 0;  // 0: not known
  std::string expected_sha256;  // empty: taken from x-linked-etag when that is a SHA-256
  std::string
      expected_git_sha1;  // of a small file that the hub keeps in git: "blob <size>\0" + bytes
};

struct Downloaded {
  uint64_t bytes = 0;
  std::string sha256;
  bool verified = false;          // against a hash, not only the size
  uint64_t received_bytes = 0;    // by this call, over all attempts
  uint64_t resumed_at_bytes = 0;  // what an earlier call had left
};

/// Bytes are hashed as they arrive. Continues a .part by Range when its journal names the same
/// ETag; starts again when the file changed or the server sends no ranges. Retries as HttpSettings
/// say: `attempts` failures in a row without a new byte, or 100 in all, end it. A wrong hash after
/// a resume starts once from zero; a wrong hash after that, a web page instead of a file, a .gguf
/// that does not begin with "GGUF", and a wrong size are errors and leave no .part. The directory
/// must exist. The file appears by rename after fsync. Errors: unreachable, not_found, refused,
/// cancelled, bad_file, io.
Result<Downloaded> download_file(HttpClient& client, const DownloadRequest& request,
                                 ProgressSink& progress);

/// Calls the sink at most ten times a second and computes the rate.
class ProgressMeter {
 public:
  ProgressMeter(ProgressSink& sink, Stage stage, std::string file, uint64_t total_bytes);
  void set_total(uint64_t total_bytes) { total_ = total_bytes; }
  void set_sha256(std::string sha256) { sha256_ = std::move(sha256); }
  /// `done_bytes` of the file are there. The first call sets where the rate counts from.
  void update(uint64_t done_bytes);
  /// The last call for this file: always reported.
  void finish(uint64_t done_bytes);

 private:
  void report(uint64_t done_bytes, double now_s);
  ProgressSink& sink_;
  Stage stage_;
  std::string file_;
  uint64_t total_;
  std::string sha256_;
  double last_report_s_ = -1;
  double window_start_s_ = -1;
  uint64_t window_start_bytes_ = 0;
  double rate_ = 0;
};

}  // namespace squish::hub
