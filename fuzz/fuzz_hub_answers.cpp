// What a hub answers while a model goes there: every answer is read or refused, and an object's
// plan that is taken covers the object with addresses that a request can have.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "hub/http.h"
#include "hub/hub_listing.h"
#include "hub/upload_protocol.h"

namespace {

using squish::hub::LfsAction;
using squish::hub::UploadFile;

void check(bool condition) {
  if (!condition) std::abort();
}

void check_action(const LfsAction& action, const UploadFile& file) {
  check(action.sha256 == file.sha256);
  if (action.is_there) return;
  check(squish::hub::parse_url(action.upload_url).has_value());
  if (!action.is_multipart()) return;
  check(action.part_bytes > 0);
  uint64_t covered = 0;
  for (const std::string& url : action.part_urls) {
    check(squish::hub::parse_url(url).has_value());
    check(covered < file.bytes || file.bytes == 0);
    covered += action.part_bytes;
  }
  check(covered >= file.bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(squish::hub::parse_preupload(text).has_value());
  static_cast<void>(squish::hub::parse_hub_listing(text, "org/model").has_value());
  if (const auto commit = squish::hub::parse_commit_answer(text))
    check(commit->commit.empty() || commit->commit.size() == 40);
  UploadFile file;
  file.path = "model.safetensors";
  file.bytes = 250;
  file.sha256 = std::string(64, 'a');
  const auto actions = squish::hub::parse_lfs_batch(text, {file});
  if (!actions) {
    check(actions.error().message.find('\n') == std::string::npos);
    return 0;
  }
  check(actions->size() == 1);
  check_action(actions->front(), file);
  return 0;
}
