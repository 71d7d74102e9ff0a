#pragma once
#include <string_view>

namespace squish::hub {

/// data/catalog.json as it was when this program was built.
std::string_view catalog_json();

}  // namespace squish::hub
