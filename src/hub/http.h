#pragma once
// HTTP(S) by libcurl: redirects by our own rules, bounded bodies, stall time-outs, proxies and
// CA bundles.
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "hub/environment.h"
#include "hub/progress.h"

namespace squish::hub {

struct HttpSettings {
  int connect_timeout_ms = 10'000;
  int stall_timeout_s = 30;     // no byte for this long ends an attempt
  int answer_timeout_s = 300;   // the same once a body is sent: the hub joins parts meanwhile
  int attempts = 6;             // in a row without a new byte
  int backoff_ms = 500;         // doubles per attempt, at most 15 s, plus up to a quarter at random
  int retry_after_max_s = 120;  // a server that asks for more ends the pull
};

struct HttpRequest {
  std::string url;
  std::string token;         // sent as Authorization: Bearer to the first host only
  uint64_t range_begin = 0;  // more than 0: "Range: bytes=N-"
  std::string accept;        // e.g. "application/json"
};

/// Lower-case header names. Of a chain of redirects: `headers` is the last hop's; those of the hub
/// that only the first hop sends (x-linked-etag, x-linked-size, x-repo-commit, x-error-code) are
/// kept from it.
struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string url;  // of the last hop
  [[nodiscard]] std::string header(const std::string& name) const;
};

/// One attempt that failed: the error, and whether another may help.
struct HttpFailure {
  Error error;
  bool retryable = false;
  int retry_after_s = 0;         // the server's wish; 0: none
  int status = 0;                // that the server answered; 0: no answer
  std::string server_code = {};  // its x-error-code
};

/// A request with a body: `text`, or a part of the file `path` that is read while it is sent.
struct HttpUpload {
  std::string method = "POST";
  std::string url = {};
  std::string token = {};  // as HttpRequest::token
  std::string content_type = {};
  std::string accept = {};
  std::vector<std::pair<std::string, std::string>> headers = {};  // further ones
  std::string text = {};
  std::string path = {};
  uint64_t begin = 0;  // of the file's bytes that are sent
  uint64_t bytes = 0;
  std::function<void(uint64_t)> on_sent = {};  // how many bytes of the body are on their way
};

struct HttpAnswer {
  HttpResponse response;
  std::string text;
};

/// Receives a body. `begin` sees status and headers first and may refuse; `data` may refuse at any
/// time.
struct BodySink {
  std::function<Status(const HttpResponse&)> begin;
  std::function<Status(Bytes)> data;
};

/// Holds one connection cache; not thread-safe. TLS certificates are always verified; a bundle
/// named by REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or SSL_CERT_FILE (or a directory, or SSL_CERT_DIR)
/// replaces the system's. Proxies: http_proxy, https_proxy, all_proxy, no_proxy in both cases;
/// HTTP_PROXY is not read under CGI.
class HttpClient {
 public:
  HttpClient(const Environment& environment, HttpSettings settings, const CancelFlag& cancel);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  [[nodiscard]] const HttpSettings& settings() const;

  /// One attempt. At most 10 redirects, to http(s) only, never from https down to http; the token
  /// is sent again only to the same scheme, host and port. A status other than 200, 206 and 416 is
  /// a failure. `sink` errors come back as they are, not retryable. Errors: unreachable, not_found,
  /// refused (401/403), cancelled, unsupported (offline).
  [[nodiscard]] Result<HttpResponse> get(const HttpRequest& request, const BodySink& sink,
                                         HttpFailure& failure);

  /// The whole body as text, with retries. Errors: as get; bad_file over `bytes_max`.
  [[nodiscard]] Result<std::string> get_text(const HttpRequest& request, uint64_t bytes_max,
                                             HttpResponse& response);

  /// One attempt. Every 2xx is a success; redirects are followed where they keep the method (307,
  /// 308) and as get() follows them, the body sent again. Memory: a buffer of the transfer and the
  /// answer. Errors: unreachable; not_found for a token that is wrong or may not do this (401, 403)
  /// and for 404; busy for a conflict (409, 412); bad_file for an answer over `answer_bytes_max`;
  /// io for a file that cannot be read; cancelled; unsupported (offline).
  [[nodiscard]] Result<HttpAnswer> send(const HttpUpload& request, uint64_t answer_bytes_max,
                                        HttpFailure& failure);

  /// send(), again after failures that may pass, `attempts` times in all; `progress` hears of each.
  [[nodiscard]] Result<HttpAnswer> send_with_retries(const HttpUpload& request,
                                                     uint64_t answer_bytes_max,
                                                     HttpFailure& failure, ProgressSink& progress);

  /// Sleeps before attempt `attempt` (from 1) as settings and `failure` say; false when cancelled.
  bool wait_before_retry(int attempt, const HttpFailure& failure);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// "https://host:port/path" in parts. Errors: invalid_argument for anything but http and https,
/// user info, spaces and control characters.
struct Url {
  std::string scheme;
  std::string host;  // lower case
  int port = 0;      // the scheme's own when none is written
  std::string path;  // with query, at least "/"
  [[nodiscard]] bool same_origin(const Url& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
};
Result<Url> parse_url(std::string_view text);
/// Each byte outside A-Z a-z 0-9 - . _ ~ and '/' as %XX.
std::string percent_encode_path(std::string_view path);

}  // namespace squish::hub
