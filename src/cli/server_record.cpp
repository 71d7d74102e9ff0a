#include "cli/server_record.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/strings.h"
#include "cli/server_client.h"

namespace squish::cli {
namespace {

std::string directory_of(const hub::Paths& paths) { return paths.home + "/servers"; }

/// When the process began; 0 when there is none. A number that went to another process has another.
uint64_t start_of(int pid) {
  const auto text = read_file(fmt::format("/proc/{}/stat", pid), 8192);
  if (!text) return 0;
  // The name stands in parentheses and may have any character; 20 fields later comes the time.
  const size_t end = text->rfind(')');
  if (end == std::string::npos) return 0;
  const auto fields = split(trim(std::string_view(*text).substr(end + 1)), ' ');
  constexpr size_t kStart = 19;
  if (fields.size() <= kStart) return 0;
  if (fields[0] == "Z" || fields[0] == "X") return 0;  // ended; only its parent has not looked yet
  return static_cast<uint64_t>(std::max<int64_t>(0, parse_int(fields[kStart]).value_or(0)));
}

}  // namespace

ServerRecordFile::ServerRecordFile(const hub::Paths& paths,
                                   const std::vector<std::string>& addresses) {
  const std::string& address = addresses.front();
  const std::string port = address.substr(address.rfind(':') + 1);
  const std::string directory = directory_of(paths);
  const std::string path = fmt::format("{}/{}.json", directory, port);
  const std::string text =
      fmt::format("{{\"pid\":{},\"started\":{},\"port\":{},\"address\":\"{}\"}}\n", ::getpid(),
                  start_of(::getpid()), port, address);
  Status status = make_directories(directory);
  if (status) status = write_file_atomic(path, as_bytes(text), 0600);
  if (status) {
    path_ = path;
  } else {
    log::warning("server", "`squish stop` will not find this server: " + status.error().message);
  }
}

ServerRecordFile::~ServerRecordFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

std::vector<ServerRecord> running_servers(const hub::Paths& paths) {
  std::vector<ServerRecord> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_of(paths), error)) {
    if (entry.path().extension() != ".json") continue;
    const auto text = read_file(entry.path().string(), 4096);
    const auto value = text ? parse_json(*text) : Result<Value>(text.error());
    if (!value) continue;
    const ServerRecord record{.pid = static_cast<int>(number_in(*value, "pid")),
                              .started = static_cast<uint64_t>(number_in(*value, "started")),
                              .port = static_cast<uint16_t>(number_in(*value, "port")),
                              .address = text_in(*value, "address")};
    if (is_running(record)) {
      out.push_back(record);
    } else {
      ::unlink(entry.path().c_str());  // it was killed
    }
  }
  std::ranges::sort(out, {}, &ServerRecord::port);
  return out;
}

bool is_running(const ServerRecord& record) {
  return record.pid > 0 && record.started > 0 && start_of(record.pid) == record.started;
}

std::string default_log_file(const hub::Paths& paths) { return paths.home + "/daemon.log"; }

}  // namespace squish::cli
