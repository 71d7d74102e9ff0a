#pragma once
// Files: read-only maps, whole reads with a bound, and writes that appear complete or not at all.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace squish {

using Bytes = std::span<const std::byte>;

inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A read-only shared map of a whole regular file. Two processes that map one file share its pages.
class MappedFile {
 public:
  /// Errors: not_found; io; invalid_argument for a directory, FIFO, device or socket. A file of 0
  /// bytes maps to an empty span.
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  [[nodiscard]] Bytes bytes() const { return {data_, size_}; }
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Modification time in ns since the epoch: with the size, what a cache key needs.
  [[nodiscard]] int64_t modified_ns() const { return modified_ns_; }

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int64_t modified_ns_ = 0;
  std::string path_;
};

/// The whole file as a string. Errors as MappedFile::open, and bad_file when it is larger than
/// `bytes_max`.
Result<std::string> read_file(const std::string& path, uint64_t bytes_max);

/// The name onto which a finished file may be renamed: `path`, or the file that a symbolic link
/// there leads to, so that the link stays. Errors: invalid_argument for an empty name, a directory,
/// a device (root would replace /dev/null by a file), a FIFO or a socket; not_found without its
/// directory.
Result<std::string> file_to_replace(const std::string& path);

/// Writes to a temporary name beside `path`, fsyncs, renames over it and fsyncs the directory.
/// On any error the old file stays as it was and nothing is left behind. `mode` e.g. 0644.
/// A character device or a FIFO (/dev/null, /dev/stdout) is written to instead. Errors: io;
/// those of file_to_replace.
Status write_file_atomic(const std::string& path, Bytes bytes, unsigned mode = 0644);

/// Syncs a written file, forgets what the page cache holds of it and reads it back from the disk,
/// 64 MiB at a time, in huge pages where the kernel has them for files: whoever maps it next has
/// fewer misses of the TLB, and what is read after this call is what the disk holds. Where another
/// process maps the file its pages stay. Errors: io when the disk does not give the bytes back.
/// Cost: one read of the file; nothing of it stays mapped.
Status read_back_from_disk(const std::string& path);

/// Creates the directory and its parents.
Status make_directories(const std::string& path);
bool file_exists(const std::string& path);
bool is_directory(const std::string& path);

}  // namespace squish
