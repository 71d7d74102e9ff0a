#pragma once
// Documents made from the tables of routes and fields.
#include <string>
#include <string_view>

namespace squish::server {

/// OpenAPI 3.1.
std::string openapi_json(std::string_view version);
/// docs/api.md.
std::string api_markdown();

}  // namespace squish::server
