#pragma once
// The unfinished file of a download: appended to, hashed on the way, renamed when whole.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "base/result.h"

namespace squish::hub {

/// One writer. Never follows a link at its name. Closing without commit() keeps the bytes for the
/// next run; what SIGKILL can take is the last piece, at most 2 MiB. Pieces are whole and aligned
/// so that the page cache keeps them as huge pages, which MappedFile then maps as such.
class PartFile {
 public:
  /// Opens <final_path>.part, made if absent. Errors: io; unsafe when something else than a file
  /// lies there.
  static Result<PartFile> open(const std::string& final_path);
  PartFile(PartFile&& other) noexcept;
  PartFile& operator=(PartFile&&) = delete;
  ~PartFile();

  /// Bytes appended so far, those not yet written included.
  [[nodiscard]] uint64_t bytes() const { return bytes_ + pending_.size(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  /// The first four bytes; fewer when the file is shorter.
  [[nodiscard]] Result<std::string> magic();

  /// Cuts to `keep_bytes` and hashes what stays. Cost: reads keep_bytes.
  Status restart_at(uint64_t keep_bytes);
  /// Errors: io, naming the bytes still missing space when the disk is full.
  Status append(Bytes bytes);
  /// Writes what is pending; SHA-256 of all bytes. Call once after the last append; restart_at()
  /// begins anew. Errors: io.
  Result<std::string> sha256();
  /// fsync, rename to the final name, fsync of the directory.
  Status commit();
  /// Deletes the unfinished file.
  void discard();

 private:
  PartFile() = default;
  Status flush();
  int fd_ = -1;
  uint64_t bytes_ = 0;  ///< written
  std::vector<std::byte> pending_;
  std::string path_;
  std::string final_path_;
  std::unique_ptr<Sha256> hash_;
};

/// Bytes that an ordinary user may still write where `directory` lies. Errors: io.
Result<uint64_t> free_bytes(const std::string& directory);
/// Errors: io with both numbers when fewer than `needed_bytes` + 64 MiB are free.
Status check_space(const std::string& directory, uint64_t needed_bytes);
/// SHA-256 of a regular file, read in pieces. Errors: io, not_found.
Result<std::string> sha256_of_file(const std::string& path);
/// The name that git gives a file's content: SHA-1 of "blob <size>\0" and the bytes. For files of
/// at most 64 MiB.
Result<std::string> git_sha1_of_file(const std::string& path);
/// The same for bytes in memory.
Result<std::string> git_sha1_of_text(std::string_view text);

}  // namespace squish::hub
