#include "base/file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/huge_pages.h"
#include "base/strings.h"

namespace squish {
namespace {

Error system_error(const std::string& path, const char* action) {
  const int number = errno;
  const ErrorCode code = number == ENOENT || number == ENOTDIR ? ErrorCode::not_found
                         : number == ENOMEM                    ? ErrorCode::out_of_memory
                                                               : ErrorCode::io;
  return {code,
          fmt::format("{}: cannot {}: {}", printable(path, 512), action, std::strerror(number))};
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

struct Descriptor {
  int fd = -1;
  Descriptor(int descriptor) : fd(descriptor) {}  // NOLINT
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

/// Opens without blocking on a FIFO and refuses everything but regular files.
Result<struct stat> open_regular(const std::string& path, Descriptor& file) {
  file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.fd < 0) return system_error(path, "open");
  struct stat info = {};
  if (::fstat(file.fd, &info) != 0) return system_error(path, "stat");
  if (!S_ISREG(info.st_mode)) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{}: is {}, expected a regular file", printable(path, 512),
                             kind_of(info.st_mode))};
  }
  return info;
}

/// Maps `size` bytes from `offset` on, a multiple of 2 MiB, where huge pages fit. Measured on a
/// Sapphire Rapids guest (Linux 6.18, ext4), one thread reading 253 MB from the page cache: 11.8
/// GB/s in pages of 4 KiB, 15.6 in huge pages, and the first pass, which takes the faults, 6.6
/// and 15.2. The kernel uses them where the address and the offset agree modulo 2 MiB and the file
/// system caches in large folios (XFS, ext4 from 6.16): pages that this map reads from disk come
/// so, pages that were cached in small pieces stay as they are.
void* map_for_reading(int fd, size_t offset, size_t size) {
  if (size >= kHugePageBytes) {
    const size_t reserved = size + kHugePageBytes;
    void* hole =
        ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (hole == MAP_FAILED) return hole;
    auto* first = static_cast<std::byte*>(hole);
    const size_t skipped = -reinterpret_cast<uintptr_t>(hole) % kHugePageBytes;
    void* memory = ::mmap(first + skipped, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
                          static_cast<off_t>(offset));
    if (memory == MAP_FAILED) {
      ::munmap(hole, reserved);
      return memory;
    }
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t end = skipped + (size + page - 1) / page * page;
    if (skipped > 0) ::munmap(hole, skipped);
    if (end < reserved) ::munmap(first + end, reserved - end);
    prefer_huge_pages(memory, size);
    return memory;
  }
  return ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(offset));
}

/// False when the file cannot take it; errno says why.
bool write_all(int fd, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return true;
}

/// A device or a pipe, such as /dev/null or /dev/stdout: it is written to and never replaced.
bool is_stream(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 && (S_ISCHR(info.st_mode) || S_ISFIFO(info.st_mode));
}

Status write_to_stream(const std::string& path, Bytes bytes) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.fd < 0) return system_error(path, "open");
  if (!write_all(file.fd, bytes)) return system_error(path, "write");
  return {};
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  Descriptor file(-1);
  SQ_TRY(const struct stat info, open_regular(path, file));
  MappedFile map;
  map.path_ = path;
  map.size_ = static_cast<size_t>(info.st_size);
  map.modified_ns_ =
      static_cast<int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec;
  if (map.size_ == 0) return map;
  void* memory = map_for_reading(file.fd, 0, map.size_);
  if (memory == MAP_FAILED) {
    map.size_ = 0;
    return system_error(path, "map");
  }
  map.data_ = static_cast<const std::byte*>(memory);
  return map;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(modified_ns_, other.modified_ns_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

Result<std::string> read_file(const std::string& path, uint64_t bytes_max) {
  Descriptor file(-1);
  SQ_TRY(const struct stat info, open_regular(path, file));
  if (static_cast<uint64_t>(info.st_size) > bytes_max) {
    return Error{ErrorCode::bad_file, fmt::format("{}: {} bytes, the limit is {}",
                                                  printable(path, 512), info.st_size, bytes_max)};
  }
  // Files of /proc say that they are empty: what counts is where reading ends.
  constexpr size_t kReadBytes = 4096;
  std::string text(std::max(static_cast<size_t>(info.st_size), kReadBytes), '\0');
  size_t done = 0;
  while (true) {
    if (done == text.size()) {
      if (done > static_cast<uint64_t>(info.st_size) || info.st_size == 0) text.resize(2 * done);
      if (done == text.size()) break;
    }
    const ssize_t got = ::read(file.fd, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(path, "read");
    if (got == 0) break;
    done += static_cast<size_t>(got);
    if (done > bytes_max) {
      return Error{ErrorCode::bad_file, fmt::format("{}: over {} bytes, which is the limit",
                                                    printable(path, 512), bytes_max)};
    }
  }
  text.resize(done);
  return text;
}

Result<std::string> file_to_replace(const std::string& path) {
  if (path.empty()) {
    return Error{ErrorCode::invalid_argument, "the name of the file to write is empty"};
  }
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) {
    const std::string parent = std::filesystem::path(path).parent_path().string();
    if (parent.empty() || is_directory(parent)) return path;
    return Error{ErrorCode::not_found, fmt::format("{}: there is no directory {}",
                                                   printable(path, 512), printable(parent, 512))};
  }
  if (!S_ISREG(info.st_mode)) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{}: is {}, and no file can take its place; name a file",
                             printable(path, 512), kind_of(info.st_mode))};
  }
  std::error_code error;
  const std::string target = std::filesystem::canonical(path, error).string();
  return error ? path : target;
}

Status write_file_atomic(const std::string& given, Bytes bytes, unsigned mode) {
  if (is_stream(given)) return write_to_stream(given, bytes);
  SQ_TRY(const std::string path, file_to_replace(given));
  std::string temporary = path + ".XXXXXX";
  Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (file.fd < 0) return system_error(path, "create a temporary file beside it");
  const auto fail = [&](const char* action) -> Error {
    Error error = system_error(path, action);
    ::unlink(temporary.c_str());
    return error;
  };
  if (!write_all(file.fd, bytes)) return fail("write");
  if (::fchmod(file.fd, mode) != 0) return fail("set the mode of");
  if (::fsync(file.fd) != 0) return fail("fsync");
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail("rename onto");
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const Descriptor directory(
      ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd >= 0) ::fsync(directory.fd);
  return {};
}

Status read_back_from_disk(const std::string& path) {
  Descriptor file(-1);
  SQ_TRY(const struct stat info, open_regular(path, file));
  if (::fdatasync(file.fd) != 0) return system_error(path, "sync");
#if defined(POSIX_FADV_DONTNEED) && defined(MADV_POPULATE_READ)
  ::posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
  constexpr size_t kWindowBytes = 32 * kHugePageBytes;
  const auto size = static_cast<size_t>(info.st_size);
  for (size_t at = 0; at < size; at += kWindowBytes) {
    const size_t bytes = std::min(kWindowBytes, size - at);
    void* memory = map_for_reading(file.fd, at, bytes);
    if (memory == MAP_FAILED) return system_error(path, "map");
    const int failed = ::madvise(memory, bytes, MADV_POPULATE_READ);
    const int number = errno;
    ::munmap(memory, bytes);
    if (failed == 0) continue;
    if (number == EINVAL) break;  // before Linux 5.14: the reader that follows does it page by page
    errno = number == EFAULT ? EIO : number;
    return system_error(path, "read back");
  }
#endif
  return {};
}

Status make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error)
    return Error{ErrorCode::io,
                 fmt::format("{}: cannot create the directory: {}", path, error.message())};
  return {};
}

bool file_exists(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool is_directory(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace squish
