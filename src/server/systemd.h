#pragma once
// The two things that systemd does for a service: readiness over a datagram socket, and sockets
// that are open before the service is.
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace squish::server {

/// Sends e.g. "READY=1\nSTATUS=..." to $NOTIFY_SOCKET. Does nothing without it; a failure is only
/// logged.
void notify_systemd(std::string_view state);

/// The descriptors that systemd (or systemd-socket-activate) has opened for this process by
/// $LISTEN_PID and $LISTEN_FDS, close-on-exec set; empty when there are none. Errors:
/// invalid_argument for one that is no listening stream socket.
Result<std::vector<int>> take_systemd_sockets();

}  // namespace squish::server
