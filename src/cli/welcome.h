#pragma once
// What `squish` alone says.
#include <string>

#include "cli/context.h"

namespace squish::cli {

/// Logo, how many models are here, and one suggestion that fits the memory of this machine.
std::string welcome(Context& context);

}  // namespace squish::cli
