#include "cli/context.h"

#include <utility>

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

namespace squish::cli {
namespace {

constexpr int kExitInterrupted = 130;

std::atomic<bool> interrupt_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free);

/// Only calls that are safe in a signal handler.
void on_interrupt(int /*signal*/) {
  if (interrupt_flag.exchange(true)) {
    constexpr std::string_view kLine = "\ninterrupted\n";
    const ssize_t ignored = write(STDERR_FILENO, kLine.data(), kLine.size());
    static_cast<void>(ignored);
    _exit(kExitInterrupted);
  }
}

}  // namespace

Result<hub::Store> Context::store() const {
  SQ_TRY(const hub::Paths found, paths());
  return hub::Store(found.models);
}

Result<const hub::Config*> Context::config() {
  if (!config_) {
    SQ_TRY(const hub::Paths found, paths());
    config_ = hub::Config::load(found.config_file);
    if (!config_->warning().empty()) {
      talk(fmt::format("{} {}\n", terminal.paint_talk(Role::warning, "!"), config_->warning()));
    }
  }
  return static_cast<const hub::Config*>(&*config_);
}

std::atomic<bool>& interrupted() { return interrupt_flag; }

void catch_interrupt() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  // Without SA_RESTART, so that a read from the terminal returns.
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace squish::cli
