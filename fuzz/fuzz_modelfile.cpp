// Modelfiles come from clients: any text must be read or refused, and what is read can be written
// and read again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "hub/modelfile.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto settings =
      squish::hub::parse_modelfile(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!settings || settings->from.empty()) return 0;
  static_cast<void>(squish::hub::parse_modelfile(squish::hub::to_modelfile(*settings)).has_value());
  return 0;
}
