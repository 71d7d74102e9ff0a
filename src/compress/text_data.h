#pragma once
// The texts of data/, as the build put them into the program.
#include <string_view>

namespace squish::compress {

std::string_view built_in_calibration_text();
std::string_view built_in_held_out_text();

}  // namespace squish::compress
