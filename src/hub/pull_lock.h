#pragma once
// At most one pull of a model, or upload to a repository, at a time, over all processes of this
// machine.
#include <string>

#include "base/result.h"

namespace squish::hub {

/// Holds <models>/.locks/<name>.lock by flock(2), with the process id in it. The kernel lets go
/// when the process dies in any way, so a file that a dead process left is simply taken over.
class PullLock {
 public:
  /// `doing` is what others are told of the holder, "org/repo is being published"; empty: that
  /// `name` is being pulled. Errors: busy, naming the process that holds it; io.
  static Result<PullLock> acquire(const std::string& models_directory, const std::string& name,
                                  const std::string& doing = "");
  PullLock(PullLock&& other) noexcept;
  PullLock& operator=(PullLock&&) = delete;
  ~PullLock();

 private:
  PullLock() = default;
  int fd_ = -1;
  std::string path_;
};

}  // namespace squish::hub
