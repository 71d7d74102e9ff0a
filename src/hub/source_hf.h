#pragma once
// Fetching from the Hugging Face hub or a mirror of it.
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/catalog.h"
#include "hub/environment.h"
#include "hub/http.h"
#include "hub/hub_listing.h"
#include "hub/progress.h"
#include "hub/store.h"

namespace squish::hub {

/// $HF_ENDPOINT (a mirror), else the hub itself; without a slash at the end.
std::string hub_endpoint(const Environment& environment);
/// `given` if not empty, else $HF_TOKEN, $HUGGING_FACE_HUB_TOKEN, the file $HF_TOKEN_PATH,
/// $HF_HOME/token or
/// ~/.cache/huggingface/token; empty when there is none.
std::string hub_token(const Environment& environment, const std::string& given);
/// Whether a token may be sent to `endpoint`: over https, or to this machine itself.
bool may_carry_token(const std::string& endpoint);
/// A branch or tag as one part of an address: "refs/pr/1" is "refs%2Fpr%2F1".
std::string encoded_revision(const std::string& revision);

/// Which weights of a repository are meant where it has several.
enum class WeightChoice : uint8_t {
  ready,     // to run: a GGUF file, else safetensors
  original,  // to start from: safetensors, or the GGUF file that was named
};

/// What will be fetched, known from the hub's description alone.
struct HfPlan {
  HfReference reference;
  std::string commit;  // every file is fetched from this one state
  std::vector<HubFile> files;
  bool gguf = false;
  uint32_t packed_bits = 0;  // as HubListing has it
  /// What `directory` does not hold of them yet, unfinished ones counted as far as they are.
  [[nodiscard]] uint64_t missing_bytes(const std::string& directory) const;
  /// The files of weights alone.
  [[nodiscard]] std::vector<HubFile> weights() const;
};

class HfSource {
 public:
  /// The token is only ever sent over https, or over http to this machine itself.
  HfSource(HttpClient& client, const Environment& environment, const std::string& token,
           ProgressSink& progress);

  /// Reads the description, scans it by names and chooses the files as `choice` says. `bound` (from
  /// the catalogue; may be nullptr) names a hash and size that the file must have. When the named
  /// file has gone and no hash binds it, the best other GGUF is taken and a note says so. Errors:
  /// unsafe before any weight byte; those of HttpClient; not_found.
  Result<HfPlan> plan(const HfReference& reference, const CatalogFile* bound,
                      WeightChoice choice = WeightChoice::ready);

  /// Fetches the files of the plan into `directory`, which must exist. Finished ones are kept
  /// between calls.
  Result<std::vector<StoredFile>> fetch(const HfPlan& plan, const std::string& directory);

 private:
  [[nodiscard]] std::string file_url(const HfReference& reference, const std::string& revision,
                                     const std::string& path) const;
  Result<std::string> read_index(const HfReference& reference, const HubListing& listing);
  Result<std::vector<HubFile>> safetensors_of(const HfReference& reference,
                                              const HubListing& listing, bool is_original);

  HttpClient& client_;
  ProgressSink& progress_;
  std::string endpoint_;
  std::string token_;
};

/// A first look at a fetched file, before any parser sees it: GGUF magic, safetensors header
/// length, JSON that is JSON. Errors: bad_file.
Status check_fetched_file(const std::string& path);

}  // namespace squish::hub
