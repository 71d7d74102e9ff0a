// Go templates come from clients: any text must be translated or refused, and what it is translated
// to must be Jinja that our own parser reads or refuses.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/chat_template.h"
#include "text/go_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  static_cast<void>(squish::is_go_template(source));
  const auto jinja = squish::go_template_to_jinja(source);
  if (jinja) static_cast<void>(squish::ChatTemplate::parse(*jinja).has_value());
  return 0;
}
