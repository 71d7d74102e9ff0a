#include "server/systemd.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/strings.h"

namespace squish::server {
namespace {

constexpr int kFirstDescriptor = 3;
constexpr int64_t kDescriptorsMax = 64;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

void notify_systemd(std::string_view state) {
  const std::string path = variable("NOTIFY_SOCKET");
  sockaddr_un address{};
  // '@' stands for the zero byte of an abstract name.
  if (path.size() < 2 || path.size() >= sizeof address.sun_path) return;
  if (path[0] != '/' && path[0] != '@') return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const ssize_t sent = ::sendto(socket, state.data(), state.size(), MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&address), length);
  if (sent < 0)
    log::warning("server",
                 fmt::format("NOTIFY_SOCKET {}: {}", printable(path), std::strerror(errno)));
  ::close(socket);
}

Result<std::vector<int>> take_systemd_sockets() {
  std::vector<int> out;
  const auto process = parse_int(variable("LISTEN_PID"));
  const auto count = parse_int(variable("LISTEN_FDS"));
  if (!process || !count || *process != ::getpid() || *count <= 0) return out;
  if (*count > kDescriptorsMax) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("LISTEN_FDS is {}, at most {} are taken", *count, kDescriptorsMax)};
  }
  for (int i = 0; i < static_cast<int>(*count); ++i) {
    const int descriptor = kFirstDescriptor + i;
    int is_listening = 0;
    socklen_t length = sizeof is_listening;
    const int failed = ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &length);
    if (failed != 0 || is_listening == 0) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("LISTEN_FDS: descriptor {} is no listening socket", descriptor)};
    }
    ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    out.push_back(descriptor);
  }
  return out;
}

}  // namespace squish::server
