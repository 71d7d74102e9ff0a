#pragma once
// Ids that nobody guesses twice.
#include <string>

namespace squish::server {

/// `digits` random hexadecimal digits. Any thread.
std::string random_hex(size_t digits);

}  // namespace squish::server
