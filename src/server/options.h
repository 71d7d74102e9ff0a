#pragma once
// How a server is set up.
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "hub/environment.h"
#include "server/access.h"

namespace squish::server {

struct ServerOptions {
  std::string host = "127.0.0.1";     // an address, or "localhost": both loopback addresses
  uint16_t port = 11435;              // 0: any free one
  std::vector<uint16_t> extra_ports;  // of other servers' clients; one that is taken is left out
  AccessOptions access;
  std::string tls_certificate;  // PEM files; both or none
  std::string tls_key;
  std::string default_model;  // of requests that name none; empty: the only one of this machine
  size_t connections_max = 4096;
  std::string responses_path;  // file of the stored responses; empty: they end with the process
  uint64_t responses_bytes_max = 256ULL << 20;  // then the least recently used ones go

  std::chrono::seconds header_timeout{10};  // from a request's first byte to the end of its header
  std::chrono::seconds idle_timeout{75};    // between the requests of a connection
  std::chrono::seconds body_timeout{30};    // for its first 64 KiB, a second for each 64 KiB more
  std::chrono::seconds write_timeout{30};   // without the client taking a byte
  std::chrono::seconds request_timeout{0};  // for a whole answer; 0: none
  std::chrono::seconds drain_timeout{30};   // for open requests after SIGTERM
  std::chrono::seconds heartbeat{15};       // a comment in an event stream that is silent

  bool traces = false;  // spans are kept for /v1/trace
  /// Where spans go over OTLP, as OTEL_EXPORTER_OTLP_ENDPOINT has it; empty: nowhere.
  std::string otlp_endpoint;
  std::vector<std::string> otlp_headers;  // "name: value"
  std::string service_name = "squish";
  bool profiles_start = false;  // the phases of the start are kept for /v1/startup-profile

  /// Where models are pulled to, created and removed; empty: requests cannot change what is here.
  std::string models_directory;
  hub::Environment environment = hub::Environment::process();  // of pulls
  /// What clients of Ollama are told: some refuse servers that say less than they were made for.
  std::string ollama_version = "0.13.0";
  std::string version;                                     // of this program, for X-Squish-Version
  std::vector<std::pair<std::string, std::string>> flags;  // as given, for /debug-info; no secrets
  std::string load_mode = "eager";  // how the default model is loaded, for /health
};

}  // namespace squish::server
