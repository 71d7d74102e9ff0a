#include "server/access.h"

#include <cstdio>
#include <fstream>

#include <gtest/gtest.h>

namespace squish::server {
namespace {

HttpRequest with(std::string name, std::string value) {
  HttpRequest out;
  out.client_address = "127.0.0.1";
  out.headers.emplace_back(std::move(name), std::move(value));
  return out;
}

Access with_keys(std::vector<std::string> keys, bool trusts_loopback = false) {
  AccessOptions options;
  options.keys = std::move(keys);
  options.trusts_loopback = trusts_loopback;
  return Access(std::move(options));
}

Access with_origins(std::vector<std::string> origins) {
  AccessOptions options;
  options.origins = std::move(origins);
  return Access(std::move(options));
}

Access with_hosts(std::vector<std::string> hosts, bool checks_host = true) {
  AccessOptions options;
  options.hosts = std::move(hosts);
  options.checks_host = checks_host;
  return Access(std::move(options));
}

TEST(Access, any_of_several_keys_opens) {
  const Access access = with_keys({"first", "second"});
  for (const char* key : {"first", "second"}) {
    EXPECT_TRUE(access.has_key(with("authorization", std::string("Bearer ") + key)));
    EXPECT_TRUE(access.has_key(with("authorization", std::string("bearer   ") + key)));
    EXPECT_TRUE(access.has_key(with("x-api-key", key)));
    EXPECT_TRUE(access.has_key(with("xi-api-key", key)));
  }
}

TEST(Access, nothing_else_opens) {
  const Access access = with_keys({"first", "second"});
  for (const char* key : {"", "firs", "first1", "FIRST", "firstsecond", "first,second"}) {
    EXPECT_FALSE(access.has_key(with("authorization", std::string("Bearer ") + key))) << key;
    EXPECT_FALSE(access.has_key(with("x-api-key", key))) << key;
  }
  EXPECT_FALSE(access.has_key(with("authorization", "first")));
  EXPECT_FALSE(access.has_key(with("authorization", "Basic first")));
  EXPECT_FALSE(access.has_key(with("cookie", "first")));
  EXPECT_FALSE(access.has_key({}));
}

TEST(Access, without_keys_everybody_may_ask) { EXPECT_TRUE(Access({}).has_key({})); }

TEST(Access, this_machine_is_trusted_only_when_told_so) {
  HttpRequest here = with("host", "localhost");
  HttpRequest there = here;
  there.client_address = "192.168.1.5";
  EXPECT_FALSE(with_keys({"k"}).has_key(here));
  const Access trusting = with_keys({"k"}, true);
  EXPECT_TRUE(trusting.has_key(here));
  EXPECT_FALSE(trusting.has_key(there));
}

TEST(Access, loopback_has_many_spellings) {
  for (const char* address : {"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"})
    EXPECT_TRUE(is_loopback_address(address)) << address;
  for (const char* address : {"0.0.0.0", "::", "192.168.0.1", "::ffff:10.0.0.1", "localhost", ""})
    EXPECT_FALSE(is_loopback_address(address)) << address;
}

TEST(Access, hosts_that_a_foreign_name_could_be_are_refused) {
  const Access access = with_hosts({"Box.Example.org"});
  for (const char* host : {"localhost", "LOCALHOST:11435", "127.0.0.1:80", "[::1]:11435", "[::1]",
                           "192.168.1.7", "10.0.0.1:8080", "app.localhost", "printer.local",
                           "host.docker.internal:11435", "box.example.org", "box.example.org:443"})
    EXPECT_TRUE(access.allows_host(with("host", host))) << host;
  for (const char* host : {"evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "evil.com:11435",
                           "8.8.8.8", "notlocalhost", "evil.com#localhost", "evil.com/localhost",
                           "user@localhost", "x.box.example.org", "[evil.com]"})
    EXPECT_FALSE(access.allows_host(with("host", host))) << host;
  EXPECT_TRUE(access.allows_host({}));
  EXPECT_TRUE(with_hosts({}, false).allows_host(with("host", "any.name")));
}

TEST(Access, origins_of_this_machine_and_of_apps_are_allowed) {
  const Access access = with_origins({"https://Good.example/"});
  for (const char* origin : {"http://localhost", "http://localhost:3000", "https://127.0.0.1:5173",
                             "http://[::1]:80", "http://app.localhost", "vscode-webview://abc",
                             "tauri://localhost", "app://obsidian.md", "https://good.example"})
    EXPECT_TRUE(access.allows_origin(with("origin", origin))) << origin;
  for (const char* origin :
       {"http://evil.com", "https://localhost.evil.com", "null", "https://good.example.evil.com",
        "http://good.example", "https://good.example:8443", "http://127.0.0.1.evil.com",
        "http://192.168.1.5", "chrome-extension://x", "javascript://localhost"})
    EXPECT_FALSE(access.allows_origin(with("origin", origin))) << origin;
}

TEST(Access, the_servers_own_pages_are_allowed_but_not_under_a_rebound_name) {
  const Access access({});
  HttpRequest own = with("origin", "http://192.168.1.7:11435");
  own.headers.emplace_back("host", "192.168.1.7:11435");
  EXPECT_TRUE(access.allows_origin(own));
  HttpRequest rebound = with("origin", "http://evil.com:11435");
  rebound.headers.emplace_back("host", "evil.com:11435");
  EXPECT_FALSE(access.allows_origin(rebound));
}

TEST(Access, a_star_allows_every_origin) {
  EXPECT_TRUE(with_origins({"*"}).allows_origin(with("origin", "https://evil.com")));
}

TEST(Access, keys_are_visible_ascii) {
  EXPECT_TRUE(check_key("abc-123_.~").has_value());
  for (const std::string& key : {std::string(), std::string("a b"), std::string("a\n"),
                                 std::string("ü"), std::string(4097, 'a'), std::string("a\0b", 3)})
    EXPECT_FALSE(check_key(key).has_value());
}

TEST(Access, a_key_file_has_one_key_a_line) {
  const std::string path = testing::TempDir() + "squish_keys_test";
  const auto write = [&](std::string_view text) { std::ofstream(path) << text; };
  write("# for Ann\r\nann-key\r\n\n  bob-key  \n");
  const auto keys = read_key_file(path);
  ASSERT_TRUE(keys.has_value());
  EXPECT_EQ(*keys, (std::vector<std::string>{"ann-key", "bob-key"}));
  write("# nothing\n\n");
  EXPECT_FALSE(read_key_file(path).has_value());
  write("two words\n");
  const auto bad = read_key_file(path);
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().message.find("two words"), std::string::npos);  // keys are not shown
  std::remove(path.c_str());
  EXPECT_FALSE(read_key_file(path).has_value());
}

}  // namespace
}  // namespace squish::server
