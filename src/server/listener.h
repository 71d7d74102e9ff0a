#pragma once
// The sockets that a server listens on, and the TLS files.
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include "base/result.h"
#include "server/options.h"

namespace squish::server {

using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::ip::tcp,
                                                    boost::asio::io_context::executor_type>;

struct Listening {
  std::vector<Acceptor> acceptors;
  std::vector<std::string> places;  // "127.0.0.1:11435", "[::1]:11435"
};

/// The sockets of systemd if it gave any, else those of the options. Errors: invalid_argument for
/// an address that is none; refused for one that other machines reach when there is no key; io for
/// a port that is taken.
Result<Listening> listen(boost::asio::io_context& network, const ServerOptions& options,
                         bool has_key);

/// TLS 1.2 and later. Errors: invalid_argument when one of the two is missing or unusable.
Result<boost::asio::ssl::context> open_tls(const std::string& certificate, const std::string& key);

}  // namespace squish::server
