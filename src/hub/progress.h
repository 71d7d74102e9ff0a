#pragma once
// What a long transfer tells its caller, and how the caller stops it.
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace squish::hub {

enum class Stage { resolve, download, unpack, verify, install, upload };
/// "resolve", "download", "unpack", "verify", "install", "upload".
const char* name_of(Stage stage);

struct Progress {
  Stage stage = Stage::resolve;
  std::string_view file;         // name on disk; empty in `resolve`
  uint64_t done_bytes = 0;       // of this file; includes what an earlier run left
  uint64_t total_bytes = 0;      // 0: not known
  double bytes_per_second = 0;   // over the last seconds; 0: not known yet
  std::string_view sha256 = {};  // that the file must have; empty: not known
};

/// Called on the thread that called pull(), progress at most about ten times a second and once at
/// the end of a file.
class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  virtual void on_progress(const Progress& progress) = 0;
  /// One line for the user: a source that was skipped, a retry, a warning of the scan.
  virtual void on_note(std::string_view line) = 0;
};

/// Discards everything.
class SilentProgress final : public ProgressSink {
 public:
  void on_progress(const Progress&) override {}
  void on_note(std::string_view) override {}
};

/// Set it (from a signal handler if need be) and the pull ends within about a second with
/// ErrorCode::cancelled; what has arrived stays for the next call.
using CancelFlag = std::atomic<bool>;

}  // namespace squish::hub
