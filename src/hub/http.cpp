#include "hub/http.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include <curl/curl.h>
#include <fmt/format.h>

#include "base/strings.h"
#include "hub/hold_sigpipe.h"
#include "hub/http_failure.h"
#include "hub/http_state.h"

namespace squish::hub {
namespace {

constexpr int kRedirectsMax = 10;
constexpr size_t kHeaderBytesMax = 64 * 1024;
constexpr size_t kErrorBodyBytesMax = 512;
constexpr size_t kIgnoredBodyBytesMax = 1024 * 1024;  // of a redirect or an error page

size_t on_header(char* text, size_t size, size_t count, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  transfer.last_byte = std::chrono::steady_clock::now();
  transfer.header_bytes += bytes;
  if (transfer.header_bytes > kHeaderBytesMax) return 0;
  const std::string_view line(text, bytes);
  if (line.starts_with("HTTP/")) transfer.response.headers.clear();
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return bytes;
  transfer.response.headers[to_lower(trim(line.substr(0, colon)))] =
      std::string(trim(line.substr(colon + 1)));
  return bytes;
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  transfer.last_byte = std::chrono::steady_clock::now();
  if (!transfer.begun) {
    transfer.begun = true;
    long status = 0;
    curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
    transfer.response.status = static_cast<int>(status);
    if (transfer.wants_body()) transfer.verdict = transfer.sink->begin(transfer.response);
    if (!transfer.verdict) return 0;
  }
  if (!transfer.wants_body()) {
    transfer.ignored_bytes += bytes;
    const size_t room = kErrorBodyBytesMax - transfer.error_body.size();
    transfer.error_body.append(data, std::min(room, bytes));
    return transfer.ignored_bytes < kIgnoredBodyBytesMax ? bytes : 0;
  }
  transfer.verdict = transfer.sink->data({reinterpret_cast<const std::byte*>(data), bytes});
  return transfer.verdict ? bytes : 0;
}

/// Called by libcurl at least once a second. Its own low-speed limit averages over several seconds
/// more.
int on_tick(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  transfer.stalled = std::chrono::steady_clock::now() - transfer.last_byte > transfer.stall_limit;
  return transfer.stalled || transfer.cancel->load(std::memory_order_relaxed) ? 1 : 0;
}

/// Which CA bundle the environment asks for.
CaBundle ca_bundle(const Environment& environment) {
  for (const char* name :
       {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"}) {
    if (const auto path = environment.get(name)) return {*path, name};
  }
  return {};
}

bool is_tls_failure(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_CERTPROBLEM ||
         code == CURLE_SSL_ISSUER_ERROR;
}

}  // namespace

std::string HttpResponse::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

HttpClient::State::State(const Environment& variables, const HttpSettings& wanted,
                         const CancelFlag& flag)
    : environment(variables), settings(wanted), cancel(flag) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started == CURLE_OK) handle = curl_easy_init();
  ca = ca_bundle(environment);
  offline = environment.flag("SQUISH_OFFLINE");
}

HttpClient::State::~State() {
  if (handle != nullptr) curl_easy_cleanup(handle);
}

void HttpClient::State::configure(Transfer& transfer, const Url& url, const std::string& text,
                                  curl_slist* headers, uint64_t range_begin) {
  curl_easy_reset(handle);  // options only: connections and the DNS cache stay
  curl_easy_setopt(handle, CURLOPT_URL, text.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "squish");
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(settings.connect_timeout_ms));
  // Connecting has its own limit, so waiting for the first byte counts from after that.
  transfer.stall_limit = std::chrono::seconds(settings.stall_timeout_s);
  transfer.last_byte =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(settings.connect_timeout_ms);
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, 256L * 1024);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, on_tick);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &transfer);
  if (range_begin > 0) {
    curl_easy_setopt(handle, CURLOPT_RANGE, fmt::format("{}-", range_begin).c_str());
  }
  if (!ca.path.empty()) {
    const bool directory = is_directory(ca.path);
    curl_easy_setopt(handle, directory ? CURLOPT_CAPATH : CURLOPT_CAINFO, ca.path.c_str());
  }
  // libcurl itself reads all the proxy variables but the upper-case HTTP_PROXY, which a CGI client
  // could set.
  const bool plain =
      url.scheme == "http" && !environment.first({"http_proxy", "all_proxy", "ALL_PROXY"});
  if (plain && !environment.get("REQUEST_METHOD")) {
    if (const auto proxy = environment.get("HTTP_PROXY"))
      curl_easy_setopt(handle, CURLOPT_PROXY, proxy->c_str());
  }
}

HttpFailure HttpClient::State::failure_of(CURLcode code, const Transfer& transfer, const Url& url,
                                          const char* detail) const {
  if (!transfer.verdict) return {transfer.verdict.error(), false, 0};
  if (cancel.load())
    return {
        {ErrorCode::cancelled,
         transfer.is_upload ? "interrupted; what the hub has is not sent again, run it again to "
                              "go on"
                            : "interrupted; what has arrived is kept, run it again to go on"},
        false,
        0};
  std::string why = detail[0] != '\0' ? detail : curl_easy_strerror(code);
  if (is_tls_failure(code)) {
    std::string way_out = ca.path.empty() ? "if your network inspects TLS, name its CA bundle with "
                                            "REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
                                          : fmt::format("check the CA bundle {} that {} names",
                                                        printable(ca.path, 256), ca.variable);
    return {{ErrorCode::unreachable,
             fmt::format("{}: TLS failed: {}; {}", url.host, printable(why, 200), way_out)},
            false,
            0};
  }
  if (transfer.stalled) {
    why = fmt::format("no data for {} s", transfer.stall_limit.count());
  }
  if (code == CURLE_PARTIAL_FILE) why = "the connection closed before the end of the file";
  const bool hopeless = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
                        code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT;
  return {
      {ErrorCode::unreachable, fmt::format("{}: {}", url.host, printable(why, 200))}, !hopeless, 0};
}

HttpClient::HttpClient(const Environment& environment, HttpSettings settings,
                       const CancelFlag& cancel)
    : state_(std::make_unique<State>(environment, settings, cancel)) {}
HttpClient::~HttpClient() = default;
const HttpSettings& HttpClient::settings() const { return state_->settings; }

Status HttpClient::State::check_ready() const {
  if (offline) {
    return Error{
        ErrorCode::unsupported,
        "SQUISH_OFFLINE is set: nothing is fetched from the network or sent to it; unset it"};
  }
  if (handle == nullptr) return Error{ErrorCode::internal, "libcurl cannot start"};
  if (!ca.path.empty() && !file_exists(ca.path) && !is_directory(ca.path)) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{}: the CA bundle that {} names does not exist",
                             printable(ca.path, 256), ca.variable)};
  }
  return {};
}

CURLcode HttpClient::State::perform(Transfer& transfer, curl_slist* headers) const {
  const CURLcode code = [this] {
    const HoldSigpipe hold;
    return curl_easy_perform(handle);
  }();
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, nullptr);
  curl_slist_free_all(headers);
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  transfer.response.status = static_cast<int>(status);
  return code;
}

/// One request and its answer, redirects not followed: `next` is where it wants to go, else empty.
Result<HttpResponse> HttpClient::State::hop(const HttpRequest& request, const Url& url,
                                            const std::string& text, bool with_token, Headers& kept,
                                            const BodySink& sink, std::string& next,
                                            HttpFailure& failure) {
  const auto fail = [&](HttpFailure why) {
    failure = std::move(why);
    return failure.error;
  };
  const BodySink merging{[&](const HttpResponse& response) {
                           HttpResponse full = response;
                           full.headers.insert(kept.begin(), kept.end());
                           return sink.begin(full);
                         },
                         sink.data};
  Transfer transfer;
  transfer.handle = handle;
  transfer.cancel = &cancel;
  transfer.sink = &merging;
  // An encoded body has other byte offsets than the file.
  curl_slist* headers = curl_slist_append(nullptr, "Accept-Encoding: identity");
  if (!request.accept.empty())
    headers = curl_slist_append(headers, ("Accept: " + request.accept).c_str());
  if (with_token)
    headers = curl_slist_append(headers, ("Authorization: Bearer " + request.token).c_str());
  char detail[CURL_ERROR_SIZE] = "";
  configure(transfer, url, text, headers, request.range_begin);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, detail);
  const CURLcode code = perform(transfer, headers);
  const int status = transfer.response.status;
  const bool said_enough =
      code == CURLE_WRITE_ERROR && transfer.verdict.has_value() && status >= 400;
  if (code != CURLE_OK && !said_enough) return fail(failure_of(code, transfer, url, detail));
  for (const char* name : {"x-linked-etag", "x-linked-size", "x-repo-commit", "x-error-code"}) {
    const std::string value = transfer.response.header(name);
    if (!value.empty()) kept.emplace(name, value);
  }
  transfer.response.headers.insert(kept.begin(), kept.end());
  transfer.response.url = text;
  if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) {
    char* target = nullptr;
    curl_easy_getinfo(handle, CURLINFO_REDIRECT_URL, &target);
    if (target == nullptr) {
      return fail({{ErrorCode::unreachable,
                    fmt::format("{} answered {} without a place to go", url.host, status)},
                   false,
                   0});
    }
    next = target;
    return transfer.response;
  }
  if (status != 200 && status != 206 && status != 416)
    return fail(failure_of_status(transfer.response, url.host,
                                  without_secret(transfer.error_body, request.token), settings));
  if (!transfer.begun && transfer.wants_body()) {  // an empty body
    const Status begun = sink.begin(transfer.response);
    if (!begun) return fail({begun.error(), false, 0});
  }
  return transfer.response;
}

Result<Url> redirect_target(const Url& from, const std::string& next) {
  SQ_TRY(Url target, parse_url(next).at(from.host + " redirects"));
  if (from.scheme == "https" && target.scheme == "http") {
    return Error{ErrorCode::refused, fmt::format("{} redirects from https to http://{}: refused",
                                                 from.host, target.host)};
  }
  return target;
}

Result<HttpResponse> HttpClient::get(const HttpRequest& request, const BodySink& sink,
                                     HttpFailure& failure) {
  Headers kept;
  return state_->follow<HttpResponse>(
      request.url, kRedirectsMax, failure,
      [&](const Url& url, const std::string& text, bool is_own, std::string& next) {
        const bool with_token = !request.token.empty() && is_own;
        return state_->hop(request, url, text, with_token, kept, sink, next, failure);
      });
}

Result<std::string> HttpClient::get_text(const HttpRequest& request, uint64_t bytes_max,
                                         HttpResponse& response) {
  for (int attempt = 1;; ++attempt) {
    std::string text;
    const BodySink sink{[&](const HttpResponse&) {
                          text.clear();
                          return Status();
                        },
                        [&](Bytes bytes) -> Status {
                          if (text.size() + bytes.size() > bytes_max) {
                            return Error{ErrorCode::bad_file,
                                         fmt::format("{}: the answer is longer than {} bytes",
                                                     printable(request.url, 200), bytes_max)};
                          }
                          text.append(as_text(bytes));
                          return {};
                        }};
    HttpFailure failure;
    Result<HttpResponse> got = get(request, sink, failure);
    if (got) {
      response = std::move(got).value();
      return text;
    }
    // A description is small: three attempts tell whether the server is there.
    if (!failure.retryable || attempt >= std::min(3, state_->settings.attempts))
      return failure.error;
    if (!wait_before_retry(attempt, failure)) return Error{ErrorCode::cancelled, "interrupted"};
  }
}

bool HttpClient::wait_before_retry(int attempt, const HttpFailure& failure) {
  const HttpSettings& settings = state_->settings;
  int64_t wait_ms = int64_t{settings.backoff_ms} << std::min(attempt - 1, 10);
  wait_ms = std::min<int64_t>(wait_ms, 15'000);
  wait_ms += static_cast<int64_t>(state_->random() % static_cast<uint64_t>(wait_ms / 4 + 1));
  const int wished = std::min(failure.retry_after_s, settings.retry_after_max_s);
  wait_ms = std::max(wait_ms, int64_t{wished} * 1000);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
  while (std::chrono::steady_clock::now() < end) {
    if (state_->cancel.load()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min<int64_t>(wait_ms, 50)));
  }
  return !state_->cancel.load();
}

}  // namespace squish::hub
