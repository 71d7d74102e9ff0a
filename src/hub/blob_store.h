#pragma once
// Files that clients upload before they make a model of them, named by their SHA-256.
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/result.h"
#include "hub/part_file.h"
#include "hub/pull_lock.h"

namespace squish::hub {

inline constexpr uint64_t kBlobBytesMax = uint64_t{2} << 40;

/// The 64 lower-case digits of "sha256:<digits>" or "sha256-<digits>". Errors: invalid_argument.
Result<std::string> parse_digest(std::string_view text);

/// A blob that is being received. Its bytes are hashed as they come; it appears under its name only
/// when they are what the name says. Dropping it leaves nothing. One thread at a time.
class BlobUpload {
 public:
  /// Errors: io, naming missing space.
  Status append(Bytes bytes) { return file_.append(bytes); }
  /// fsync and rename. Errors: bad_file with both hashes when they differ; io.
  Status commit();
  BlobUpload(BlobUpload&&) noexcept;
  BlobUpload& operator=(BlobUpload&&) = delete;
  ~BlobUpload();

 private:
  friend class BlobStore;
  BlobUpload(PullLock lock, PartFile file, std::string digest)
      : lock_(std::move(lock)), file_(std::move(file)), digest_(std::move(digest)) {}
  PullLock lock_;
  PartFile file_;
  std::string digest_;
  bool is_open_ = true;
};

/// <models>/.blobs. Thread-safe; keeps nothing.
class BlobStore {
 public:
  explicit BlobStore(std::string models_directory) : models_(std::move(models_directory)) {}

  [[nodiscard]] std::string path(const std::string& digest) const {
    return models_ + "/.blobs/sha256-" + digest;
  }
  [[nodiscard]] bool has(const std::string& digest) const { return file_exists(path(digest)); }
  /// `expected_bytes` must be free (0: not known). Errors: busy when the same blob is being
  /// received; io.
  [[nodiscard]] Result<BlobUpload> receive(const std::string& digest,
                                           uint64_t expected_bytes) const;
  /// Deletes the blobs with these inodes that no model links any more. Best effort.
  void remove_unused(const std::set<uint64_t>& inodes) const;

 private:
  std::string models_;
};

}  // namespace squish::hub
