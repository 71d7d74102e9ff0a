#include "hub/pull_lock.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/strings.h"

namespace squish::hub {
namespace {

std::string holder_of(int fd) {
  char text[32] = {};
  const ssize_t got = ::pread(fd, text, sizeof(text) - 1, 0);
  const auto pid = parse_int(trim(std::string_view(text, got > 0 ? static_cast<size_t>(got) : 0)));
  return pid ? fmt::format("process {}", *pid) : std::string("another process");
}

}  // namespace

Result<PullLock> PullLock::acquire(const std::string& models_directory, const std::string& name,
                                   const std::string& doing) {
  const std::string held = doing.empty() ? name + " is being pulled" : doing;
  const std::string directory = models_directory + "/.locks";
  SQ_TRY_STATUS(make_directories(directory));
  PullLock lock;
  lock.path_ = directory + "/" + name + ".lock";
  // A few rounds: the holder may unlink the file between our open and our flock.
  for (int round = 0; round < 10; ++round) {
    const int fd =
        ::open(lock.path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd < 0)
      return Error{ErrorCode::io,
                   fmt::format("{}: cannot open the lock: {}", lock.path_, std::strerror(errno))};
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const int number = errno;
      const std::string holder = holder_of(fd);
      ::close(fd);
      if (number != EWOULDBLOCK)
        return Error{ErrorCode::io,
                     fmt::format("{}: cannot lock: {}", lock.path_, std::strerror(number))};
      return Error{ErrorCode::busy,
                   fmt::format("{} by {} already; wait for it or stop it", held, holder)};
    }
    struct stat ours = {};
    struct stat named = {};
    const bool current = ::fstat(fd, &ours) == 0 && ::lstat(lock.path_.c_str(), &named) == 0 &&
                         ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
    if (!current) {
      ::close(fd);
      continue;
    }
    lock.fd_ = fd;
    const std::string pid = fmt::format("{}\n", ::getpid());
    if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0) {
      return Error{ErrorCode::io,
                   fmt::format("{}: cannot write the lock: {}", lock.path_, std::strerror(errno))};
    }
    return lock;
  }
  return Error{ErrorCode::busy, fmt::format("{} by another process; try again", held)};
}

PullLock::PullLock(PullLock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

PullLock::~PullLock() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());
  ::close(fd_);
}

}  // namespace squish::hub
