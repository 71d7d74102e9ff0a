#include "server/listener.h"

#include <boost/asio/ip/v6_only.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "base/strings.h"
#include "server/systemd.h"

namespace squish::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kBacklog = 1024;

std::string place_of(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return fmt::format("{}:{}", endpoint.address().is_v6() ? "[" + address + "]" : address,
                     endpoint.port());
}

Result<std::vector<asio::ip::address>> addresses_of(asio::io_context& network,
                                                    const std::string& host) {
  std::vector<asio::ip::address> out;
  if (host == "localhost") {
    out.emplace_back(asio::ip::address_v4::loopback());
    out.emplace_back(asio::ip::address_v6::loopback());
    return out;
  }
  error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (!error) {
    out.push_back(address);
    return out;
  }
  tcp::resolver resolver(network);
  const auto found = resolver.resolve(host, "", error);
  if (error || found.empty()) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--host is '{}', which is no address of this machine: {}",
                             printable(host), error.message())};
  }
  for (const auto& entry : found) out.push_back(entry.endpoint().address());
  return out;
}

Status check_exposure(const asio::ip::address& address, bool has_key) {
  if (address.is_loopback() || has_key) return {};
  return Error{ErrorCode::refused,
               fmt::format("--host {} can be reached from other machines: give --api-key, "
                           "--api-key-file or SQUISH_API_KEY, or listen on 127.0.0.1",
                           address.to_string())};
}

Result<Acceptor> open_acceptor(asio::io_context& network, const tcp::endpoint& endpoint) {
  Acceptor acceptor(network);
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6()) {
    error_code ignored;
    acceptor.set_option(asio::ip::v6_only(true), ignored);
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(kBacklog, error);
  if (!error) return acceptor;
  if (error == asio::error::address_in_use) {
    return Error{ErrorCode::io,
                 fmt::format("port {} of {} is taken by another program; choose another with "
                             "--port",
                             endpoint.port(), endpoint.address().to_string())};
  }
  return Error{ErrorCode::io,
               fmt::format("cannot listen on {}: {}", place_of(endpoint), error.message())};
}

Status add(Listening& out, asio::io_context& network, const tcp::endpoint& endpoint) {
  SQ_TRY(Acceptor acceptor, open_acceptor(network, endpoint));
  error_code error;
  out.places.push_back(place_of(acceptor.local_endpoint(error)));
  out.acceptors.push_back(std::move(acceptor));
  return {};
}

Result<Listening> adopt(asio::io_context& network, const std::vector<int>& descriptors,
                        bool has_key) {
  Listening out;
  for (const int descriptor : descriptors) {
    Acceptor acceptor(network);
    error_code error;
    acceptor.assign(tcp::v6(), descriptor, error);
    const tcp::endpoint endpoint = error ? tcp::endpoint() : acceptor.local_endpoint(error);
    if (error) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("LISTEN_FDS: descriptor {} is no TCP socket: {}", descriptor,
                               error.message())};
    }
    SQ_TRY_STATUS(check_exposure(endpoint.address(), has_key));
    out.places.push_back(place_of(endpoint));
    out.acceptors.push_back(std::move(acceptor));
  }
  return out;
}

}  // namespace

Result<Listening> listen(asio::io_context& network, const ServerOptions& options, bool has_key) {
  SQ_TRY(const std::vector<int> descriptors, take_systemd_sockets());
  if (!descriptors.empty()) return adopt(network, descriptors, has_key);
  SQ_TRY(const auto addresses, addresses_of(network, options.host));
  Listening out;
  uint16_t port = options.port;
  for (const asio::ip::address& address : addresses) {
    SQ_TRY_STATUS(check_exposure(address, has_key));
    const Status added = add(out, network, {address, port});
    // "localhost" on a machine without IPv6.
    if (!added && !out.acceptors.empty()) continue;
    if (!added) return added.error();
    error_code error;
    port = out.acceptors.front().local_endpoint(error).port();
  }
  for (const uint16_t extra : options.extra_ports) {
    const Status added = add(out, network, {addresses.front(), extra});
    if (!added) log::warning("server", added.error().message);
  }
  return out;
}

Result<asio::ssl::context> open_tls(const std::string& certificate, const std::string& key) {
  if (certificate.empty() || key.empty()) {
    return Error{ErrorCode::invalid_argument,
                 "TLS needs both --tls-cert and --tls-key, two PEM files"};
  }
  asio::ssl::context context(asio::ssl::context::tls_server);
  error_code error;
  context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                          asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                          asio::ssl::context::no_tlsv1_1,
                      error);
  context.use_certificate_chain_file(certificate, error);
  if (error) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--tls-cert {}: {}", certificate, error.message())};
  }
  context.use_private_key_file(key, asio::ssl::context::pem, error);
  if (error) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--tls-key {}: {}", key, error.message())};
  }
  return context;
}

}  // namespace squish::server
