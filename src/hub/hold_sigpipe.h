#pragma once
// Keeps SIGPIPE away from one thread for a while.
#include <signal.h>
#include <time.h>

namespace squish::hub {

/// A TLS write to a connection that is gone raises SIGPIPE in this thread; it must not end the
/// program, and the handling of the whole process is not ours to change.
class HoldSigpipe {
 public:
  HoldSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~HoldSigpipe() {
    const timespec no_wait = {0, 0};
    if (!was_pending_) {
      while (::sigtimedwait(&pipe_, nullptr, &no_wait) == SIGPIPE) {
      }
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  HoldSigpipe(const HoldSigpipe&) = delete;
  HoldSigpipe& operator=(const HoldSigpipe&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
  bool was_pending_ = false;
};

}  // namespace squish::hub
