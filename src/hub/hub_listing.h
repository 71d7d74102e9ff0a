#pragma once
// What a repository of the Hugging Face hub holds, judged and chosen from before any byte of a
// weight is fetched.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace squish::hub {

/// "hf:org/repo[@rev][:file]", "https://huggingface.co/org/repo[/tree|blob|resolve/rev[/file]]",
/// "hf.co/org/repo[:file]".
struct HfReference {
  std::string repository;         // "org/repo"
  std::string revision = "main";  // branch, tag or commit
  std::string file;               // a path in the repository, a quantisation ("Q4_K_M"), or empty
  /// The short form, without the revision when it is main.
  [[nodiscard]] std::string text() const;
};
/// Whether `text` is meant as one.
bool is_hf_reference(std::string_view text);
/// Errors: invalid_argument for anything that is not one of these forms or holds unsafe characters.
Result<HfReference> parse_hf_reference(std::string_view text);

struct HubFile {
  std::string path;  // checked by check_relative_path
  uint64_t bytes = 0;
  std::string sha256;    // of a large file (LFS); empty for others
  std::string git_sha1;  // of a small file; empty for large ones
};

struct HubListing {
  std::string commit;  // 40 hexadecimal digits, or empty when the server does not say
  std::vector<HubFile> files;
  bool custom_code = false;  // config.auto_map: the model wants its own Python code
  uint32_t packed_bits = 0;  // of a weight that another program quantised; 0: plain floats
};
/// From the answer of /api/models/<repo>?blobs=true. Errors: bad_file; unsafe when any path would
/// leave a directory.
Result<HubListing> parse_hub_listing(std::string_view json, const std::string& repository);

enum class ScanStatus { safe, warning, unsafe };
const char* name_of(ScanStatus status);

/// Judged by names only: pickles can run code when they are loaded.
struct ScanReport {
  ScanStatus status = ScanStatus::safe;
  std::vector<std::string> findings;  // one line each
  size_t file_count = 0;
  uint64_t total_bytes = 0;
  size_t safe_weight_count = 0;  // .safetensors .gguf .npz .ggml
  size_t dangerous_count = 0;    // .pkl .pickle: always unsafe
  size_t doubtful_count =
      0;  // .bin .pt .pth .ckpt .joblib .dill .keras: unsafe without safe weights
};
ScanReport scan_listing(const HubListing& listing);

/// The GGUF files to fetch: one, or all parts of a split one. With `wanted` (a path, a file name or
/// a quantisation) exactly that, else the best that this program reads: Q4_K_M, Q8_0, Q5_K_M, Q6_K,
/// then the others. Errors: not_found, listing the choices. A repository without GGUF files gives
/// an empty list when wanted is empty.
Result<std::vector<HubFile>> choose_gguf(const HubListing& listing, const std::string& wanted);

/// The files of a safetensors model at the top of the repository: config.json, the tokenizer's
/// files and the weights; with an index exactly its shards. `index_json` is the text of
/// model.safetensors.index.json, empty when there is none. Errors: not_found when something is
/// missing; unsafe for a shard that is no file name.
Result<std::vector<HubFile>> choose_safetensors(const HubListing& listing,
                                                std::string_view index_json);

/// The quantisation in a GGUF file's name, lower case: "q4_k_m"; empty when there is none.
std::string quantization_of(std::string_view file_name);

}  // namespace squish::hub
