// Journals of uploads: a text is refused, or it is one that is written back to the same bytes of
// progress. The checksum would keep a fuzzer from getting any further than to it, so that the text
// gets the right one first.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/file.h"
#include "base/hash.h"
#include "hub/upload_journal.h"

namespace {

void check(bool condition) {
  if (!condition) std::abort();
}

void read(std::string_view text) {
  const std::string sha256(64, 'a');
  const auto journal = squish::hub::parse_upload_journal(text, sha256, 250);
  if (!journal) return;
  check(journal->etags.size() == journal->action.part_urls.size());
  check(journal->done_bytes() <= 250);
  const auto again = squish::hub::parse_upload_journal(to_text(*journal), sha256, 250);
  check(again.has_value());
  check(again->etags == journal->etags && again->action.part_urls == journal->action.part_urls);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read(text);
  const std::string body(text.substr(0, text.find('\n')));
  read(fmt::format("{}\n{:016x}\n", body, squish::hash64(squish::as_bytes(body))));
  return 0;
}
