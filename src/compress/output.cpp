#include "compress/output.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/strings.h"

namespace squish::compress {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kReadBytes = 8 << 20;

Error io_error(const std::string& path, std::string_view action) {
  const int number = errno;
  std::string text =
      fmt::format("{}: cannot {}: {}", printable(path, 512), action, std::strerror(number));
  if (number == EFBIG) {
    text += "; files there may not be that large: see `ulimit -f`, or take another file system";
  }
  if (number == ENOSPC || number == EDQUOT) {
    const Result<uint64_t> left = free_disk_bytes(path);
    text += fmt::format("; {} is left there. Make room and run the same command again",
                        left ? human_bytes(*left) : "nothing");
  }
  return {ErrorCode::io, text};
}

std::string parent_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

Status sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return io_error(path, "open");
  const int result = ::fsync(fd);
  ::close(fd);
  return result == 0 ? Status() : Status(io_error(path, "sync"));
}

}  // namespace

std::string output_path(const std::string& given) {
  std::string path = given;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::string partial_path(const std::string& output) { return output + ".partial"; }

Result<OutputLock> OutputLock::acquire(const std::string& output) {
  OutputLock lock;
  lock.path_ = output + ".lock";
  for (int round = 0; round < 10; ++round) {  // the holder may unlink between our open and flock
    const int fd = ::open(lock.path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return io_error(lock.path_, "open the lock");
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      char text[32] = {};
      const ssize_t got = ::pread(fd, text, sizeof(text) - 1, 0);
      ::close(fd);
      const auto pid =
          parse_int(trim(std::string_view(text, got > 0 ? static_cast<size_t>(got) : 0)));
      return Error{ErrorCode::busy,
                   fmt::format("{} is being written by {} already; wait for it or stop it",
                               printable(output, 512),
                               pid ? fmt::format("process {}", *pid) : "another process")};
    }
    struct stat ours = {};
    struct stat named = {};
    const bool is_current = ::fstat(fd, &ours) == 0 && ::lstat(lock.path_.c_str(), &named) == 0 &&
                            ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
    if (!is_current) {
      ::close(fd);
      continue;
    }
    lock.fd_ = fd;
    const std::string pid = fmt::format("{}\n", ::getpid());
    if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0) {
      return io_error(lock.path_, "write the lock");
    }
    return lock;
  }
  return Error{ErrorCode::busy, fmt::format("{} is being written by another process; try again",
                                            printable(output, 512))};
}

OutputLock::OutputLock(OutputLock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

OutputLock::~OutputLock() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());
  ::close(fd_);
}

Result<WeightFile> WeightFile::open(const std::string& path, uint64_t bytes) {
  WeightFile file;
  file.path_ = path;
  file.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (file.fd_ < 0) return io_error(path, "create");
  struct stat info = {};
  if (::fstat(file.fd_, &info) != 0) return io_error(path, "look at");
  if (static_cast<uint64_t>(info.st_size) != bytes &&
      ::ftruncate(file.fd_, static_cast<off_t>(bytes)) != 0) {
    return io_error(path, fmt::format("reserve {}", human_bytes(bytes)));
  }
  // Blocks now rather than an error after an hour. File systems without it do without.
  const int result = ::posix_fallocate(file.fd_, 0, static_cast<off_t>(bytes));
  if (result != 0 && result != EOPNOTSUPP && result != EINVAL && result != EINTR) {
    errno = result;
    return io_error(path, fmt::format("reserve {}", human_bytes(bytes)));
  }
  return file;
}

WeightFile::WeightFile(WeightFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

WeightFile::~WeightFile() {
  if (fd_ >= 0) ::close(fd_);
}

Status WeightFile::write(uint64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return io_error(path_, "write");
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return {};
}

Status WeightFile::sync() {
  return ::fdatasync(fd_) == 0 ? Status() : Status(io_error(path_, "sync"));
}

Result<uint64_t> WeightFile::hash(uint64_t offset, uint64_t bytes) const {
  StreamHash64 hash;
  std::vector<std::byte> buffer(std::min(bytes, kReadBytes));
  while (bytes > 0) {
    const ssize_t count = ::pread(fd_, buffer.data(), std::min<uint64_t>(bytes, buffer.size()),
                                  static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return io_error(path_, "read back");
    hash.update({buffer.data(), static_cast<size_t>(count)});
    offset += static_cast<uint64_t>(count);
    bytes -= static_cast<uint64_t>(count);
  }
  return hash.finish();
}

Result<uint64_t> free_disk_bytes(const std::string& path) {
  std::string at = path;
  struct statvfs info = {};
  while (::statvfs(at.c_str(), &info) != 0) {
    const std::string parent = parent_of(at);
    if (errno != ENOENT || parent == at) {
      return Error{ErrorCode::io, fmt::format("{}: cannot ask for free space: {}",
                                              printable(path, 512), std::strerror(errno))};
    }
    at = parent;
  }
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

Status remove_directory(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (!error) return {};
  return Error{ErrorCode::io,
               fmt::format("{}: cannot delete: {}", printable(path, 512), error.message())};
}

Status publish(const std::string& partial, const std::string& output, bool replace) {
  SQ_TRY_STATUS(sync_directory(partial));
  const std::string old = output + ".old";
  bool has_old = false;
  if (replace && is_directory(output)) {
    SQ_TRY_STATUS(remove_directory(old));
    if (::rename(output.c_str(), old.c_str()) != 0) return io_error(output, "move aside");
    has_old = true;
  }
  if (::rename(partial.c_str(), output.c_str()) != 0) {
    const Error error = io_error(partial, fmt::format("rename to {}", printable(output, 512)));
    if (has_old && ::rename(old.c_str(), output.c_str()) != 0) {
      return error.at("the old model now lies at " + old);
    }
    return error;
  }
  SQ_TRY_STATUS(sync_directory(parent_of(output)));
  return has_old ? remove_directory(old) : Status();
}

}  // namespace squish::compress
