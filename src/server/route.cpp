#include "server/route.h"

#include <algorithm>

namespace squish::server {
namespace {

/// Whether the route's path leads to `path`; `arguments` get what its parts took.
bool matches(const Route& route, std::string_view path, std::vector<std::string>& arguments) {
  std::string_view pattern = route.path;
  for (size_t brace = pattern.find('{'); brace != std::string_view::npos;
       brace = pattern.find('{')) {
    if (!path.starts_with(pattern.substr(0, brace))) return false;
    path.remove_prefix(brace);
    pattern.remove_prefix(pattern.find('}') + 1);
    const bool takes_all = route.takes_slashes && pattern.empty();
    const size_t bytes = takes_all ? path.size() : std::min(path.find('/'), path.size());
    if (bytes == 0) return false;
    arguments.emplace_back(path.substr(0, bytes));
    path.remove_prefix(bytes);
  }
  return pattern == path;
}

}  // namespace

RouteMatch find_route(std::string_view method, std::string_view path) {
  RouteMatch out;
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  for (const Route& route : routes()) {
    std::vector<std::string> arguments;
    if (!matches(route, path, arguments)) continue;
    out.allowed.push_back(route.method);
    if (route.method == "GET") out.allowed.push_back("HEAD");
    const bool is_it = route.method == method || (route.method == "GET" && method == "HEAD");
    if (!is_it || out.route != nullptr) continue;
    out.route = &route;
    out.arguments = std::move(arguments);
  }
  return out;
}

}  // namespace squish::server
