#pragma once
// The directory that a run fills: locked, named OUTPUT.partial until it is whole.
#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace squish::compress {

/// At most one run into an output at a time: flock(2) on OUTPUT.lock, with the process id in it.
class OutputLock {
 public:
  /// Errors: busy naming the process that holds it; io.
  static Result<OutputLock> acquire(const std::string& output);
  OutputLock(OutputLock&& other) noexcept;
  OutputLock& operator=(OutputLock&&) = delete;
  ~OutputLock();

 private:
  OutputLock() = default;
  int fd_ = -1;
  std::string path_;
};

/// model.safetensors while it is written: of full size from the start, payloads at their places.
class WeightFile {
 public:
  /// Opens or creates, and reserves `bytes` on disk. Errors: io naming how much room is needed.
  static Result<WeightFile> open(const std::string& path, uint64_t bytes);
  WeightFile(WeightFile&& other) noexcept;
  WeightFile& operator=(WeightFile&&) = delete;
  ~WeightFile();

  /// Errors: io (a full disk: how much is missing).
  Status write(uint64_t offset, Bytes bytes);
  Status sync();
  /// XXH3-64 of a part, read back by pread in windows of 8 MiB. Errors: io.
  Result<uint64_t> hash(uint64_t offset, uint64_t bytes) const;

 private:
  WeightFile() = default;
  int fd_ = -1;
  std::string path_;
};

/// OUTPUT without a slash at its end.
std::string output_path(const std::string& given);
std::string partial_path(const std::string& output);

/// Bytes that a process without privileges may still write where `path` is or will be. Errors: io.
Result<uint64_t> free_disk_bytes(const std::string& path);

/// Syncs the directory's entries, renames it onto `output` and syncs the parent. `output` must not
/// exist, but for an empty directory; with `replace` an old model moves out of the way first and is
/// deleted after. Errors: io.
Status publish(const std::string& partial, const std::string& output, bool replace);

/// Deletes the directory and the files in it; never follows a link. Errors: io.
Status remove_directory(const std::string& path);

}  // namespace squish::compress
