#pragma once
// Facts that must agree with each other before anything is sized by them.
#include "base/result.h"
#include "model/arch/family.h"

namespace squish {

/// Heads divide, dimensions are even where they rotate, experts and windows are within bounds.
/// Errors: bad_file naming the facts.
Status check_network(const ConfigReader& reader, const Network& network);

}  // namespace squish
