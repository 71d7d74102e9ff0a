#include "hub/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <chrono>
#include <cstring>

extern char** environ;

namespace squish::hub {
namespace {

constexpr size_t kTailBytes = 8 * 1024;

struct Pipe {
  int read_end = -1;
  int write_end = -1;
  ~Pipe() {
    if (read_end >= 0) ::close(read_end);
    if (write_end >= 0) ::close(write_end);
  }
  bool open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return false;
    read_end = ends[0];
    write_end = ends[1];
    return true;
  }
  void close_write() {
    ::close(write_end);
    write_end = -1;
  }
};

/// Our variables with those of the request laid over them, as "NAME=value".
std::vector<std::string> merged_environment(const ChildRequest& request) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    bool replaced = false;
    for (const auto& [name, value] : request.environment)
      replaced = replaced || text.starts_with(name + "=");
    if (!replaced) merged.emplace_back(text);
  }
  for (const auto& [name, value] : request.environment) merged.push_back(name + "=" + value);
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

/// Runs between fork and exec: only calls that are safe there.
[[noreturn]] void become(char* const* arguments, char* const* environment, const char* directory,
                         int output, int failure, pid_t parent) {
  ::setpgid(0, 0);
#ifdef __linux__
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);
#else
  static_cast<void>(parent);
#endif
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  if (directory[0] == '\0' || ::chdir(directory) == 0)
    ::execvpe(arguments[0], arguments, environment);
  const int number = errno;
  if (::write(failure, &number, sizeof(number)) < 0) ::_exit(126);
  ::_exit(127);
}

void drain(int fd, std::string& tail) {
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof(buffer));
    if (got <= 0) return;
    tail.append(buffer, static_cast<size_t>(got));
    if (tail.size() > 2 * kTailBytes) tail.erase(0, tail.size() - kTailBytes);
  }
}

}  // namespace

Result<ChildResult> run_child(const ChildRequest& request, const CancelFlag& cancel) {
  std::vector<std::string> arguments = request.arguments;
  std::vector<std::string> variables = merged_environment(request);
  const std::vector<char*> argument_list = pointers(arguments);
  const std::vector<char*> variable_list = pointers(variables);
  Pipe output;
  Pipe failure;
  if (!output.open() || !failure.open()) {
    return Error{ErrorCode::io,
                 fmt::format("{}: cannot start: {}", arguments[0], std::strerror(errno))};
  }
  const pid_t self = ::getpid();
  const pid_t child = ::fork();
  if (child < 0)
    return Error{ErrorCode::io,
                 fmt::format("{}: cannot start: {}", arguments[0], std::strerror(errno))};
  if (child == 0) {
    become(argument_list.data(), variable_list.data(), request.working_directory.c_str(),
           output.write_end, failure.write_end, self);
  }
  output.close_write();
  failure.close_write();
  int number = 0;
  ssize_t told = 0;
  do {
    told = ::read(failure.read_end, &number, sizeof(number));
  } while (told < 0 && errno == EINTR);
  if (told == static_cast<ssize_t>(sizeof(number))) {
    ::waitpid(child, nullptr, 0);
    return Error{number == ENOENT || number == ENOTDIR ? ErrorCode::not_found : ErrorCode::io,
                 fmt::format("{}: cannot start: {}", arguments[0], std::strerror(number))};
  }

  ::fcntl(output.read_end, F_SETFL, O_NONBLOCK);
  ChildResult result;
  auto kill_at = std::chrono::steady_clock::time_point::max();
  for (;;) {
    pollfd waiting = {output.read_end, POLLIN, 0};
    ::poll(&waiting, 1, 100);
    drain(output.read_end, result.output_tail);
    int status = 0;
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) {
      result.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      break;
    }
    const bool go_on = !cancel.load() && (!request.keep_going || request.keep_going());
    if (!go_on && !result.stopped) {
      result.stopped = true;
      ::kill(-child, SIGTERM);
      kill_at = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    }
    if (std::chrono::steady_clock::now() > kill_at) ::kill(-child, SIGKILL);
    // A closed pipe would make poll return at once; the child may still run.
    if ((waiting.revents & POLLHUP) != 0) ::usleep(20'000);
  }
  drain(output.read_end, result.output_tail);
  if (result.output_tail.size() > kTailBytes)
    result.output_tail.erase(0, result.output_tail.size() - kTailBytes);
  return result;
}

}  // namespace squish::hub
