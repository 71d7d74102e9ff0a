#include "server/http_parser.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/limits.h"

namespace squish::server {
namespace {

struct Parsing {
  std::optional<HttpFailure> failure;
  std::optional<HttpRequest> request;
  std::string body;
  size_t used = 0;
};

/// Feeds `bytes` in pieces of `piece` bytes, as a socket would.
Parsing parse(std::string_view bytes, size_t piece = SIZE_MAX) {
  HttpParser parser;
  Parsing out;
  std::string input;
  size_t given = 0;
  while (!parser.is_done() && !parser.failure()) {
    const size_t used = parser.feed(input);
    input.erase(0, used);
    out.used += used;
    if (parser.has_header() && !parser.failure() && !out.request) {
      out.request = parser.take_header();
      continue;
    }
    if (used > 0) continue;
    if (given == bytes.size()) break;
    const size_t count = std::min(piece, bytes.size() - given);
    input.append(bytes, given, count);
    given += count;
  }
  out.failure = parser.failure();
  if (parser.is_done() && !out.failure) out.body = parser.take_body();
  return out;
}

int failure_of(std::string_view bytes) {
  const Parsing parsing = parse(bytes);
  return parsing.failure ? parsing.failure->status : 0;
}

std::string with_headers(std::string_view headers) {
  return "POST /x HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) + "\r\n";
}

TEST(HttpParser, a_request_is_the_same_however_it_is_cut) {
  const std::string bytes =
      "POST /v1/models/org%2Fname?a=1&b=x%20y HTTP/1.1\r\nHost: localhost:1\r\nX-Thing:  two words "
      "\r\nContent-Length: 11\r\nExpect: 100-Continue\r\n\r\nhello world";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Parsing parsing = parse(bytes, piece);
    ASSERT_FALSE(parsing.failure) << piece << parsing.failure->message;
    ASSERT_TRUE(parsing.request) << piece;
    EXPECT_EQ(parsing.request->method, "POST");
    EXPECT_EQ(parsing.request->path, "/v1/models/org/name");
    EXPECT_EQ(parsing.request->query_value("b"), "x y");
    EXPECT_EQ(parsing.request->header("x-thing"), "two words");
    EXPECT_TRUE(parsing.request->keep_alive);
    EXPECT_TRUE(parsing.request->expects_continue);
    EXPECT_EQ(parsing.body, "hello world");
    EXPECT_EQ(parsing.used, bytes.size());
  }
}

TEST(HttpParser, a_chunked_body_is_the_same_however_it_is_cut) {
  const std::string bytes = with_headers("Transfer-Encoding: chunked\r\n") +
                            "5\r\nhello\r\n6;note=x\r\n world\r\n0\r\nTrailer: x\r\n\r\n";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Parsing parsing = parse(bytes, piece);
    ASSERT_FALSE(parsing.failure) << piece << parsing.failure->message;
    EXPECT_EQ(parsing.body, "hello world") << piece;
    EXPECT_EQ(parsing.used, bytes.size());
  }
}

TEST(HttpParser, what_follows_a_request_is_left_for_the_next) {
  const std::string one = with_headers("Content-Length: 2\r\n") + "ab";
  EXPECT_EQ(parse(one + "GET / HTTP/1.1\r\n").used, one.size());
  const std::string chunked =
      with_headers("Transfer-Encoding: chunked\r\n") + "2\r\nab\r\n0\r\n\r\n";
  EXPECT_EQ(parse(chunked + "GET / HTTP/1.1\r\n").used, chunked.size());
  const std::string empty = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(parse(empty + empty).used, empty.size());
}

TEST(HttpParser, empty_lines_before_a_request_are_let_pass) {
  const Parsing parsing = parse("\r\n\r\nGET / HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(parsing.request);
  EXPECT_EQ(parsing.request->version, 10);
  EXPECT_FALSE(parsing.request->keep_alive);
}

TEST(HttpParser, an_unfinished_request_needs_more) {
  for (const std::string_view bytes : {"", "G", "GET / HTTP/1.1\r\nHost: a\r\n"}) {
    const Parsing parsing = parse(bytes, 1);
    EXPECT_FALSE(parsing.failure);
    EXPECT_FALSE(parsing.request);
  }
  EXPECT_TRUE(parse(with_headers("Content-Length: 5\r\n") + "abc").body.empty());
}

TEST(HttpParser, two_framings_of_one_body_are_refused) {
  const std::vector<std::string> smuggled = {
      "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
      "Content-Length: 5\r\nContent-Length: 6\r\n",
      "Content-Length: 5, 6\r\n",
      "Content-Length: -1\r\n",
      "Content-Length: +5\r\n",
      "Content-Length: 0x5\r\n",
      "Content-Length: 5 5\r\n",
      "Content-Length: \r\n",
      "Content-Length: 99999999999999999999999\r\n",
      "Transfer-Encoding: gzip\r\n",
      "Transfer-Encoding: chunked, gzip\r\n",
      "Transfer-Encoding: gzip, chunked\r\n",
      "Transfer-Encoding: identity\r\n",
      "Transfer-Encoding: xchunked\r\n",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
      "Transfer-Encoding : chunked\r\n",
      "Content-Length : 5\r\n",
      "Transfer-Encoding:\r\n chunked\r\n",
      "Transfer-Encoding: \x0b"
      "chunked\r\n",
      "X: a\rContent-Length: 5\r\n",
      "X: a\nTransfer-Encoding: chunked\r\n",
      "X: a\r\n\rTransfer-Encoding: chunked\r\n",
      " Content-Length: 5\r\n",
      "Content-Length\r\n",
      ": 5\r\n",
      "Content Length: 5\r\n",
      std::string("X: a\0b\r\n", 8),
  };
  for (const std::string& headers : smuggled) {
    const Parsing parsing = parse(with_headers(headers) + "0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(parsing.failure) << headers;
    EXPECT_EQ(parsing.failure->status >= 400 && parsing.failure->status < 500, true) << headers;
  }
}

TEST(HttpParser, chunked_is_not_for_the_first_http) {
  EXPECT_EQ(failure_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
}

TEST(HttpParser, bad_chunks_are_refused) {
  for (const std::string_view chunk :
       {"x\r\n", "-1\r\n", "5\nhello\r\n", "5\r\nhelloX\r\n", "5\r\nhello\n", "\r\n", " 5\r\nhello",
        "0x5\r\nhello\r\n", "fffffffffffffffff\r\n"}) {
    const Parsing parsing = parse(with_headers("Transfer-Encoding: chunked\r\n") +
                                  std::string(chunk) + std::string(64, 'a') + "\r\n\r\n");
    ASSERT_TRUE(parsing.failure) << chunk;
    EXPECT_EQ(parsing.failure->status >= 400 && parsing.failure->status < 500, true) << chunk;
  }
}

TEST(HttpParser, limits_are_kept_to_the_byte) {
  const auto with_target = [](size_t size) {
    return "GET /" + std::string(size - 1, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  };
  EXPECT_EQ(failure_of(with_target(limits::kHttpTargetBytesMax)), 0);
  EXPECT_EQ(failure_of(with_target(limits::kHttpTargetBytesMax + 1)), 414);

  const auto with_count = [](size_t count) {
    std::string headers;
    for (size_t i = 1; i < count; ++i) headers += "X: 1\r\n";
    return with_headers(headers);
  };
  EXPECT_EQ(failure_of(with_count(limits::kHttpHeaderCountMax)), 0);
  EXPECT_EQ(failure_of(with_count(limits::kHttpHeaderCountMax + 1)), 431);

  const auto with_bytes = [](size_t size) {
    const size_t rest = with_headers("X: \r\n").size();
    return with_headers("X: " + std::string(size - rest, 'a') + "\r\n");
  };
  EXPECT_EQ(failure_of(with_bytes(limits::kHttpHeaderBytesMax)), 0);
  EXPECT_EQ(failure_of(with_bytes(limits::kHttpHeaderBytesMax + 1)), 431);
  EXPECT_EQ(failure_of("GET / HTTP/1.1\r\nX: " + std::string(1 << 20, 'a')), 431);

  const std::string length = std::to_string(limits::kHttpBodyBytesMax);
  EXPECT_EQ(failure_of(with_headers("Content-Length: " + length + "\r\n")), 0);
  const std::string over = std::to_string(limits::kHttpBodyBytesMax + 1);
  EXPECT_EQ(failure_of(with_headers("Content-Length: " + over + "\r\n")), 413);
  EXPECT_EQ(failure_of(with_headers("Content-Length: 10000000000\r\n")), 413);
}

TEST(HttpParser, chunks_over_the_body_limit_are_413) {
  std::string bytes = with_headers("Transfer-Encoding: chunked\r\n");
  const std::string chunk = "100000\r\n" + std::string(1 << 20, 'a') + "\r\n";
  for (int i = 0; i < 33; ++i) bytes += chunk;
  EXPECT_EQ(failure_of(bytes), 413);
}

TEST(HttpParser, a_header_that_trickles_in_without_end_is_431) {
  HttpParser parser;
  std::string input = "GET / HTTP/1.1\r\n";
  size_t given = 0;
  while (!parser.failure() && given < 4 * limits::kHttpHeaderBytesMax) {
    input += "X-A: b\r\n";
    given += 8;
    input.erase(0, parser.feed(input));
  }
  ASSERT_TRUE(parser.failure());
  EXPECT_EQ(parser.failure()->status, 431);
  EXPECT_LT(input.size(), 2 * limits::kHttpHeaderBytesMax);
}

TEST(HttpParser, hosts_and_versions_are_as_they_should_be) {
  EXPECT_EQ(failure_of("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(failure_of("GET / HTTP/1.0\r\n\r\n"), 0);
  EXPECT_EQ(failure_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(failure_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(failure_of("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(failure_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(failure_of("GET /\r\n\r\n"), 400);
  EXPECT_EQ(failure_of("hello\r\n\r\n"), 400);
  EXPECT_EQ(failure_of("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400);
}

TEST(HttpParser, targets_are_paths) {
  const auto path_of = [](std::string_view target) {
    const Parsing parsing = parse("GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    return parsing.request ? parsing.request->path : "";
  };
  EXPECT_EQ(path_of("/a%2Fb"), "/a/b");
  EXPECT_EQ(path_of("http://localhost:1/a?b"), "/a");
  EXPECT_EQ(path_of("HTTPS://localhost"), "/");
  EXPECT_EQ(path_of("*"), "*");
  for (const std::string_view bad : {"ftp://a/b", "a", "/%", "/%0", "/%zz", "/%00", "/%0a", "//x%"})
    EXPECT_EQ(path_of(bad), "") << bad;
}

TEST(HttpMessage, lists_in_a_query_are_read_as_clients_write_them) {
  HttpRequest request;
  request.query = "n=a&n[]=b&n%5B1%5D=c%20d&names=x&n[x]=y&n[=z&n&n=%2";
  EXPECT_EQ(request.query_list("n"), (std::vector<std::string>{"a", "b", "c d", "", "%2"}));
  EXPECT_TRUE(request.query_list("m").empty());
}

TEST(HttpMessage, query_values_are_decoded) {
  HttpRequest request;
  request.query = "a=1&b&c=%41+b&d=%zz&a=2";
  EXPECT_EQ(request.query_value("a"), "1");
  EXPECT_EQ(request.query_value("b"), "");
  EXPECT_EQ(request.query_value("c"), "A b");
  EXPECT_EQ(request.query_value("d"), std::nullopt);
  EXPECT_EQ(request.query_value("e"), std::nullopt);
}

TEST(HttpMessage, media_types_lose_their_parameters) {
  EXPECT_EQ(media_type("Application/JSON; charset=utf-8"), "application/json");
  EXPECT_EQ(media_type(""), "");
}

}  // namespace
}  // namespace squish::server
