#include "hub/blob_store.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"

namespace squish::hub {

Result<std::string> parse_digest(std::string_view text) {
  const bool has_prefix = text.starts_with("sha256:") || text.starts_with("sha256-");
  const std::string digits(has_prefix ? text.substr(7) : std::string_view());
  const bool is_hex = digits.size() == 64 && std::ranges::all_of(digits, [](char c) {
                        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                      });
  if (is_hex) return digits;
  return Error{ErrorCode::invalid_argument,
               fmt::format("the digest is \"{}\"; it must be sha256: and 64 lower-case hexadecimal "
                           "digits",
                           printable(text, 100))};
}

BlobUpload::BlobUpload(BlobUpload&& other) noexcept
    : lock_(std::move(other.lock_)),
      file_(std::move(other.file_)),
      digest_(std::move(other.digest_)),
      is_open_(std::exchange(other.is_open_, false)) {}

BlobUpload::~BlobUpload() {
  if (is_open_) file_.discard();
}

Status BlobUpload::commit() {
  SQ_TRY(const std::string digest, file_.sha256());
  if (digest != digest_) {
    return Error{ErrorCode::bad_file, fmt::format("digest mismatch: expected sha256:{}, got "
                                                  "sha256:{}",
                                                  digest_, digest)};
  }
  SQ_TRY_STATUS(file_.commit());
  is_open_ = false;
  return {};
}

Result<BlobUpload> BlobStore::receive(const std::string& digest, uint64_t expected_bytes) const {
  SQ_TRY_STATUS(make_directories(models_ + "/.blobs"));
  SQ_TRY_STATUS(make_directories(models_ + "/.locks"));
  SQ_TRY_STATUS(check_space(models_ + "/.blobs", expected_bytes));
  SQ_TRY(PullLock lock, PullLock::acquire(models_, "blob-" + digest));
  SQ_TRY(PartFile file, PartFile::open(path(digest)));
  SQ_TRY_STATUS(file.restart_at(0));
  return BlobUpload(std::move(lock), std::move(file), digest);
}

void BlobStore::remove_unused(const std::set<uint64_t>& inodes) const {
  std::error_code error;
  std::filesystem::directory_iterator iterator(models_ + "/.blobs", error);
  for (const std::filesystem::directory_iterator end; !error && iterator != end;
       iterator.increment(error)) {
    struct stat info = {};
    const std::string file = iterator->path().string();
    if (::lstat(file.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (info.st_nlink == 1 && inodes.contains(info.st_ino)) ::unlink(file.c_str());
  }
}

}  // namespace squish::hub
