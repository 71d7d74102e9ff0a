#include "cli/context.h"

#include <utility>

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "cli/json.h"

namespace squish::cli {
namespace {

constexpr int kExitInterrupted = 130;

std::atomic<bool> interrupt_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free);

std::atomic<bool> ends_at_once{false};

void write_line(int descriptor, std::string_view text) {
  const ssize_t ignored = write(descriptor, text.data(), text.size());
  static_cast<void>(ignored);
}

/// Only calls that are safe in a signal handler.
void on_interrupt(int /*signal*/) {
  if (!interrupt_flag.exchange(true) && !ends_at_once) return;
  write_line(STDERR_FILENO, "\ninterrupted\n");
  write_line(STDOUT_FILENO, json_of_interrupt());
  _exit(kExitInterrupted);
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

void interrupt_ends_at_once(bool at_once) {
  ends_at_once = at_once;
  // One that came a moment before: the handler left it to whoever asks.
  if (at_once && interrupt_flag) on_interrupt(SIGINT);
}

void catch_interrupt() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  // Without SA_RESTART, so that a read from the terminal returns.
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace squish::cli
