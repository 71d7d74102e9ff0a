#include "server/http_parser.h"

#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"

namespace squish::server {

namespace http = boost::beast::http;

struct HttpParser::State {
  http::request_parser<http::string_body> parser;
  std::optional<Target> target;
  size_t header_bytes = 0;
  char last_byte = '\0';  // of the header as far as it was read
  bool has_begun = false;
};

HttpParser::HttpParser()
    : state_(std::make_unique<State>()), body_bytes_max_(limits::kHttpBodyBytesMax) {
  state_->parser.header_limit(static_cast<uint32_t>(limits::kHttpHeaderBytesMax));
  state_->parser.body_limit(boost::none);  // checked here, as routes differ
  state_->parser.eager(false);
}

HttpParser::~HttpParser() = default;

bool HttpParser::has_header() const { return state_->parser.is_header_done(); }
bool HttpParser::is_done() const { return state_->parser.is_done(); }
bool HttpParser::has_begun() const { return state_->has_begun; }

void HttpParser::fail(int status, std::string message) {
  failure_ = HttpFailure{status, std::move(message)};
}

size_t HttpParser::feed(std::string_view bytes) {
  if (failure_.has_value() || is_done()) return 0;
  if (has_header() && body_bytes() > body_bytes_max_) {
    fail_body();
    return 0;
  }
  size_t used = 0;
  if (!state_->has_begun) {
    // Empty lines before a request are allowed.
    while (used < bytes.size() && (bytes[used] == '\r' || bytes[used] == '\n')) ++used;
    if (used == bytes.size()) return used;
    state_->has_begun = true;
  }
  const bool had_header = has_header();
  while (used < bytes.size() && !is_done()) {
    boost::system::error_code error;
    const size_t taken =
        state_->parser.put(boost::asio::buffer(bytes.data() + used, bytes.size() - used), error);
    used += taken;
    // Beast's limit leaves the request line out.
    if (!had_header) {
      state_->header_bytes += taken;
      // Lines that go on in the next one are long gone from HTTP, and read differently by proxies.
      for (const char c : bytes.substr(used - taken, taken)) {
        const bool is_folded = state_->last_byte == '\n' && (c == ' ' || c == '\t');
        if (is_folded && !error) error = http::error::bad_field;
        state_->last_byte = c;
      }
    }
    if (state_->header_bytes > limits::kHttpHeaderBytesMax) error = http::error::header_limit;
    if (error == http::error::need_more) {
      if (taken == 0 && !has_header() && bytes.size() - used > limits::kHttpHeaderBytesMax)
        error = http::error::header_limit;
      else
        break;
    }
    if (state_->parser.get().body().size() + body_bytes_taken_ > body_bytes_max_) {
      fail_body();
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      fail(431, fmt::format("the header is larger than {} bytes", limits::kHttpHeaderBytesMax));
    } else if (error == http::error::bad_version) {
      fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    } else if (error) {
      fail(400, fmt::format("not an HTTP request: {}", error.message()));
    }
    if (failure_.has_value()) break;
    if (!had_header && has_header()) {
      check_header();
      break;
    }
    if (taken == 0) break;
  }
  return used;
}

void HttpParser::fail_body() {
  fail(413, fmt::format("the body is larger than {} bytes; send less at a time", body_bytes_max_));
}

uint64_t HttpParser::body_bytes() const {
  const auto length = state_->parser.content_length();
  return length ? *length : 0;
}

std::string HttpParser::take_piece() {
  std::string out = std::exchange(state_->parser.get().body(), {});
  body_bytes_taken_ += out.size();
  return out;
}

void HttpParser::check_header() {
  const auto& message = state_->parser.get();
  if (message.version() != 10 && message.version() != 11) {
    fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    return;
  }
  const auto target = message.target();
  if (target.size() > limits::kHttpTargetBytesMax) {
    fail(414, fmt::format("the request's target has {} bytes, the limit is {}", target.size(),
                          limits::kHttpTargetBytesMax));
    return;
  }
  size_t count = 0;
  size_t hosts = 0;
  for (const auto& field : message) {
    ++count;
    if (field.name() == http::field::host) ++hosts;
  }
  if (count > limits::kHttpHeaderCountMax) {
    fail(431, fmt::format("the request has {} header lines, the limit is {}", count,
                          limits::kHttpHeaderCountMax));
    return;
  }
  if (hosts > 1 || (hosts == 0 && message.version() == 11)) {
    fail(400, hosts > 1 ? "the request has more than one Host" : "the request has no Host");
    return;
  }
  const auto coding = message[http::field::transfer_encoding];
  // Two framings of one body are how requests are smuggled past a proxy.
  if (message.count(http::field::transfer_encoding) > 0 &&
      (message.count(http::field::content_length) > 0 ||
       message.count(http::field::transfer_encoding) > 1 || message.version() == 10 ||
       to_lower({coding.data(), coding.size()}) != "chunked")) {
    fail(400, "Transfer-Encoding must be chunked, alone, and without Content-Length");
    return;
  }
  state_->target = parse_target({target.data(), target.size()});
  if (!state_->target.has_value()) fail(400, "the request's target is not a path");
}

HttpRequest HttpParser::take_header() {
  const auto& message = state_->parser.get();
  HttpRequest out;
  const auto method = message.method_string();
  out.method.assign(method.data(), method.size());
  if (state_->target.has_value()) {
    out.path = std::move(state_->target->path);
    out.query = std::move(state_->target->query);
  }
  out.version = static_cast<int>(message.version());
  for (const auto& field : message) {
    const auto name = field.name_string();
    const auto value = field.value();
    out.headers.emplace_back(to_lower({name.data(), name.size()}),
                             std::string(value.data(), value.size()));
  }
  out.keep_alive = state_->parser.keep_alive();
  out.expects_continue = to_lower(out.header("expect")) == "100-continue";
  return out;
}

std::string HttpParser::take_body() { return std::move(state_->parser.get().body()); }

}  // namespace squish::server
