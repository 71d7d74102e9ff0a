#pragma once
// The HTTP server: listens, serves every connection on one thread, and ends without breaking off
// answers.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/model_manager.h"
#include "chat/startup_trace.h"
#include "server/options.h"

namespace squish::server {

class Server {
 public:
  /// Opens the sockets: those of systemd if there are any, else host and port. `models` must
  /// outlive the server. Errors: invalid_argument (an address, a TLS file, a key; an address that
  /// other machines reach without any key); io when the port is taken, saying so.
  static Result<std::unique_ptr<Server>> open(ServerOptions options, ModelManager& models);
  ~Server();

  /// "http://127.0.0.1:11435", one for each socket.
  [[nodiscard]] const std::vector<std::string>& addresses() const;

  /// Serves until SIGTERM or SIGINT: then takes no more connections, lets open requests end for at
  /// most drain_timeout, cancels the rest and stops `models`. A second signal ends the process at
  /// once with 128 + its number. `when_ready` is called once connections are accepted.
  void run(const std::function<void()>& when_ready);
  /// Phases of the start so far, for /v1/startup-profile. Before run().
  void set_startup(const StartupTrace& trace);
  /// The spans that are kept, as a Chrome trace.
  [[nodiscard]] std::string chrome_trace() const;
  /// As a first signal does. Any thread.
  void stop();

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace squish::server
