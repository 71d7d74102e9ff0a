#pragma once
// Which servers of this user run: each leaves a small file with its process in
// $SQUISH_HOME/servers, by port, so that `squish stop` needs no route that could end a server.
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/paths.h"

namespace squish::cli {

struct ServerRecord {
  int pid = 0;
  uint64_t started = 0;  // of the process, in clock ticks since the machine's start
  uint16_t port = 0;
  std::string address = {};  // "http://127.0.0.1:11435"
};

/// Records this process under the port of its first address for as long as it lives. A file that
/// cannot be written leaves a warning.
class ServerRecordFile {
 public:
  ServerRecordFile(const hub::Paths& paths, const std::vector<std::string>& addresses);
  ~ServerRecordFile();
  ServerRecordFile(const ServerRecordFile&) = delete;
  ServerRecordFile& operator=(const ServerRecordFile&) = delete;

 private:
  std::string path_;
};

/// Servers whose process still is the one that was recorded, by port; files of others are removed.
std::vector<ServerRecord> running_servers(const hub::Paths& paths);
/// Whether that process still runs.
bool is_running(const ServerRecord& record);

/// Where a server logs and `squish logs` looks, unless told otherwise.
std::string default_log_file(const hub::Paths& paths);

}  // namespace squish::cli
