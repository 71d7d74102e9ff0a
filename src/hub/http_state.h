#pragma once
// What http.cpp and http_send.cpp share: the handle of libcurl and one transfer. Private to them.
#include <chrono>
#include <map>
#include <random>
#include <string>
#include <utility>

#include <curl/curl.h>
#include <fmt/format.h>

#include "hub/http.h"

namespace squish::hub {

using Headers = std::map<std::string, std::string>;

/// What one transfer has seen so far; the callbacks of libcurl write here.
struct Transfer {
  CURL* handle = nullptr;
  const CancelFlag* cancel = nullptr;
  const BodySink* sink = nullptr;
  std::chrono::steady_clock::time_point last_byte = std::chrono::steady_clock::now();
  std::chrono::seconds stall_limit{0};
  bool stalled = false;
  bool is_upload = false;  // takes every 2xx for success
  HttpResponse response;
  size_t header_bytes = 0;
  bool begun = false;
  std::string error_body;  // the start of what a failing server says
  size_t ignored_bytes = 0;
  Status verdict;  // the sink's, or that of a body's source

  [[nodiscard]] bool wants_body() const {
    return is_upload ? response.status / 100 == 2
                     : response.status == 200 || response.status == 206;
  }
};

/// The CA bundle that a variable of the environment names; empty: the system's.
struct CaBundle {
  std::string path;
  std::string variable;
};

/// Where a redirect leads. Errors: refused from https to http; invalid_argument.
Result<Url> redirect_target(const Url& from, const std::string& next);

struct HttpClient::State {
  Environment environment;
  HttpSettings settings;
  const CancelFlag& cancel;
  CURL* handle = nullptr;
  CaBundle ca;
  bool offline = false;
  std::minstd_rand random{std::random_device{}()};

  State(const Environment& variables, const HttpSettings& wanted, const CancelFlag& flag);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  [[nodiscard]] Status check_ready() const;
  Result<HttpResponse> hop(const HttpRequest& request, const Url& url, const std::string& text,
                           bool with_token, Headers& kept, const BodySink& sink, std::string& next,
                           HttpFailure& failure);
  Result<HttpAnswer> send_hop(const HttpUpload& request, const Url& url, const std::string& text,
                              bool with_token, uint64_t answer_bytes_max, std::string& next,
                              HttpFailure& failure);
  /// One request after another, from `first` on, until an answer names no next address. `hop(url,
  /// text, is_own, next)` makes one; `is_own`: of the origin of the first. Errors: those of
  /// check_ready, parse_url, redirect_target and the hop; unreachable after more than
  /// `redirects_max` redirects.
  template <class Answer, class Hop>
  Result<Answer> follow(const std::string& first, int redirects_max, HttpFailure& failure,
                        const Hop& hop) const {
    const auto fail = [&](Error why) {
      failure = {std::move(why), false, 0};
      return failure.error;
    };
    if (const Status ready = check_ready(); !ready) return fail(ready.error());
    const Result<Url> origin = parse_url(first);
    if (!origin) return fail(origin.error());
    Url url = *origin;
    std::string text = first;
    for (int count = 0; count <= redirects_max; ++count) {
      std::string next;
      Result<Answer> answer = hop(url, text, url.same_origin(*origin), next);
      if (!answer || next.empty()) return answer;
      const Result<Url> target = redirect_target(url, next);
      if (!target) return fail(target.error());
      url = *target;
      text = next;
    }
    return fail({ErrorCode::unreachable,
                 fmt::format("{}: more than {} redirects", origin->host, redirects_max)});
  }
  void configure(Transfer& transfer, const Url& url, const std::string& text, curl_slist* headers,
                 uint64_t range_begin);
  /// Runs the transfer that was configured, notes its status and frees `headers`.
  CURLcode perform(Transfer& transfer, curl_slist* headers) const;
  HttpFailure failure_of(CURLcode code, const Transfer& transfer, const Url& url,
                         const char* detail) const;
};

}  // namespace squish::hub
