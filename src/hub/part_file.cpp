#include "hub/part_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/huge_pages.h"
#include "base/limits.h"
#include "base/strings.h"

namespace squish::hub {
namespace {

constexpr size_t kReadBytes = 1024 * 1024;
constexpr uint64_t kSpareBytes = 64 * limits::kMiB;

Error system_error(const std::string& path, const char* action) {
  const int number = errno;
  const char* way_out =
      number == ENOSPC || number == EDQUOT ? "; free some space and run it again" : "";
  return {ErrorCode::io, fmt::format("{}: cannot {}: {}{}", printable(path, 512), action,
                                     std::strerror(number), way_out)};
}

}  // namespace

Result<PartFile> PartFile::open(const std::string& final_path) {
  PartFile part;
  part.final_path_ = final_path;
  part.path_ = final_path + ".part";
  part.fd_ =
      ::open(part.path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
  if (part.fd_ < 0 && errno == ELOOP) {
    return Error{ErrorCode::unsafe,
                 fmt::format("{}: is a link; remove it", printable(part.path_, 512))};
  }
  if (part.fd_ < 0) return system_error(part.path_, "open");
  struct stat info = {};
  if (::fstat(part.fd_, &info) != 0) return system_error(part.path_, "stat");
  if (!S_ISREG(info.st_mode)) {
    return Error{ErrorCode::unsafe,
                 fmt::format("{}: is not a regular file; remove it", printable(part.path_, 512))};
  }
  part.bytes_ = static_cast<uint64_t>(info.st_size);
  return part;
}

PartFile::PartFile(PartFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      bytes_(other.bytes_),
      pending_(std::move(other.pending_)),
      path_(std::move(other.path_)),
      final_path_(std::move(other.final_path_)),
      hash_(std::move(other.hash_)) {}

PartFile::~PartFile() {
  if (fd_ < 0) return;
  static_cast<void>(flush());  // nobody to tell: the next run asks for these bytes again
  ::close(fd_);
}

Result<std::string> PartFile::magic() {
  if (bytes_ < 4) SQ_TRY_STATUS(flush());
  std::string text(4, '\0');
  const ssize_t got = ::pread(fd_, text.data(), text.size(), 0);
  if (got < 0) return system_error(path_, "read");
  text.resize(static_cast<size_t>(got));
  return text;
}

Status PartFile::restart_at(uint64_t keep_bytes) {
  SQ_TRY_STATUS(flush());
  if (keep_bytes < bytes_ && ::ftruncate(fd_, static_cast<off_t>(keep_bytes)) != 0) {
    return system_error(path_, "shorten");
  }
  bytes_ = std::min(bytes_, keep_bytes);
  hash_ = std::make_unique<Sha256>();
  std::vector<std::byte> buffer(bytes_ == 0 ? 0 : kReadBytes);
  for (uint64_t at = 0; at < bytes_;) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(buffer.size(), bytes_ - at));
    const ssize_t got = ::pread(fd_, buffer.data(), wanted, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(path_, "read");
    if (got == 0)
      return Error{ErrorCode::io, fmt::format("{}: became shorter while it was read", path_)};
    hash_->update({buffer.data(), static_cast<size_t>(got)});
    at += static_cast<uint64_t>(got);
  }
  return {};
}

Status PartFile::append(Bytes bytes) {
  SQ_CHECK(hash_ != nullptr);
  hash_->update(bytes);
  while (!bytes.empty()) {
    const size_t room = kHugePageBytes - static_cast<size_t>(this->bytes() % kHugePageBytes);
    const size_t taken = std::min(room, bytes.size());
    pending_.insert(pending_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
    bytes = bytes.subspan(taken);
    if (taken == room) SQ_TRY_STATUS(flush());
  }
  return {};
}

/// On an error what was not written is dropped: the file and bytes() agree again, the hash does
/// not.
Status PartFile::flush() {
  const std::vector<std::byte> piece = std::exchange(pending_, {});
  for (size_t done = 0; done < piece.size();) {
    const ssize_t put =
        ::pwrite(fd_, piece.data() + done, piece.size() - done, static_cast<off_t>(bytes_));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return system_error(path_, "write");
    done += static_cast<size_t>(put);
    bytes_ += static_cast<uint64_t>(put);
  }
  return {};
}

Result<std::string> PartFile::sha256() {
  SQ_CHECK(hash_ != nullptr);
  SQ_TRY_STATUS(flush());
  const std::unique_ptr<Sha256> hash = std::move(hash_);
  return hash->finish();
}

Status PartFile::commit() {
  SQ_TRY_STATUS(flush());
  if (::fsync(fd_) != 0) return system_error(path_, "fsync");
  if (::rename(path_.c_str(), final_path_.c_str()) != 0) return system_error(path_, "rename");
  const std::string parent = std::filesystem::path(final_path_).parent_path().string();
  const int directory = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::fsync(directory);
    ::close(directory);
  }
  return {};
}

void PartFile::discard() { ::unlink(path_.c_str()); }

Result<uint64_t> free_bytes(const std::string& directory) {
  struct statvfs info = {};
  if (::statvfs(directory.c_str(), &info) != 0)
    return system_error(directory, "ask for free space");
  return static_cast<uint64_t>(info.f_bavail) * static_cast<uint64_t>(info.f_frsize);
}

Status check_space(const std::string& directory, uint64_t needed_bytes) {
  SQ_TRY(const uint64_t available, free_bytes(directory));
  if (available >= kSpareBytes && available - kSpareBytes >= needed_bytes) return {};
  return Error{ErrorCode::io,
               fmt::format("{}: {} free, {} needed; free some space or set SQUISH_MODELS_DIR",
                           printable(directory, 512), human_bytes(available),
                           human_bytes(needed_bytes > UINT64_MAX - kSpareBytes
                                           ? needed_bytes
                                           : needed_bytes + kSpareBytes))};
}

Result<std::string> sha256_of_file(const std::string& path) {
  SQ_TRY(const MappedFile file, MappedFile::open(path));
  Sha256 hash;
  for (size_t at = 0; at < file.bytes().size(); at += kReadBytes) {
    hash.update(file.bytes().subspan(at, std::min(kReadBytes, file.bytes().size() - at)));
  }
  return hash.finish();
}

Result<std::string> git_sha1_of_file(const std::string& path) {
  SQ_TRY(const std::string text, read_file(path, 64 * limits::kMiB));
  return git_sha1_of_text(text);
}

Result<std::string> git_sha1_of_text(std::string_view text) {
  const std::string blob = fmt::format("blob {}", text.size()) + '\0' + std::string(text);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(blob.data(), blob.size(), digest, &size, EVP_sha1(), nullptr) != 1) {
    return Error{ErrorCode::internal, "SHA-1 is not available"};
  }
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace squish::hub
