#include "hub/hub_listing.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "format/squish_directory.h"
#include "hub/json_fields.h"
#include "hub/local_model.h"
#include "hub/names.h"

namespace squish::hub {
namespace {

using nlohmann::json;
constexpr size_t kFilesMax = 100'000;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

bool is_repository_part(std::string_view part) {
  return !part.empty() && part.size() <= 96 && part != "." && part != ".." &&
         part.find("..") == std::string_view::npos && part.front() != '-' && part.front() != '.' &&
         std::all_of(part.begin(), part.end(), is_name_character);
}

bool is_revision(std::string_view text) {
  if (text.empty() || text.size() > 128 || text.find("..") != std::string_view::npos) return false;
  if (text.front() == '/' || text.back() == '/' || text.front() == '-') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_name_character(c) || c == '/'; });
}

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool has_extension(std::string_view path, std::initializer_list<std::string_view> extensions) {
  const std::string lower = to_lower(path);
  return std::any_of(extensions.begin(), extensions.end(),
                     [&](std::string_view e) { return lower.ends_with(e); });
}

/// Strips "https://host/" of the known hosts; nothing when `text` is no such address.
std::optional<std::string_view> after_host(std::string_view text) {
  for (const std::string_view scheme : {"https://", "http://", ""}) {
    for (const std::string_view host : {"huggingface.co/", "www.huggingface.co/", "hf.co/"}) {
      const std::string prefix = fmt::format("{}{}", scheme, host);
      if (text.starts_with(prefix)) return text.substr(prefix.size());
    }
  }
  return std::nullopt;
}

/// Bits of a weight by what config.json says of a quantised checkpoint; 0 where it says nothing.
uint32_t packed_bits(const json& quantization) {
  if (!quantization.is_object()) return 0;
  const uint64_t bits = count_field(quantization, "bits");
  if (bits >= 1 && bits <= 8) return static_cast<uint32_t>(bits);
  const json& in_8_bits = member(quantization, "load_in_8bit");
  const bool is_8 = in_8_bits.is_boolean() && in_8_bits.get<bool>();
  return is_8 || text_field(quantization, "quant_method").starts_with("fp8") ? 8 : 4;
}

/// One thing that can be fetched: a GGUF file or a whole split set.
struct Choice {
  std::string label;  // the file name, of the first part
  std::string quantization;
  std::vector<HubFile> files;
};

std::vector<Choice> gguf_choices(const HubListing& listing) {
  std::vector<Choice> choices;
  std::set<std::string> known;
  for (const HubFile& file : listing.files) known.insert(file.path);
  for (const HubFile& file : listing.files) {
    const std::string name(base_name(file.path));
    const std::string lower = to_lower(name);
    if (!lower.ends_with(".gguf") || lower.starts_with("mmproj") ||
        lower.find("imatrix") != std::string::npos)
      continue;
    Choice choice{file.path, quantization_of(name), {file}};
    const SplitName split = parse_split_name(name);
    if (split.count > 0) {
      if (split.index != 1) continue;
      choice.files.clear();
      const std::string directory = file.path.substr(0, file.path.size() - name.size());
      for (const HubFile& part : listing.files) {
        for (uint32_t i = 1; i <= split.count; ++i) {
          if (part.path == directory + split_file_name(split, i)) choice.files.push_back(part);
        }
      }
      std::sort(choice.files.begin(), choice.files.end(),
                [](const HubFile& a, const HubFile& b) { return a.path < b.path; });
      if (choice.files.size() != split.count) continue;  // incomplete on the hub
    }
    choices.push_back(std::move(choice));
  }
  return choices;
}

std::string list_choices(const std::vector<Choice>& choices) {
  std::string text;
  for (size_t i = 0; i < choices.size() && i < 12; ++i)
    text += (i == 0 ? "" : ", ") + printable(choices[i].label);
  if (choices.size() > 12) text += fmt::format(" and {} more", choices.size() - 12);
  return text;
}

}  // namespace

std::string HfReference::text() const {
  return "hf:" + repository + (revision == "main" ? "" : "@" + revision) +
         (file.empty() ? "" : ":" + file);
}

bool is_hf_reference(std::string_view text) {
  return text.starts_with("hf:") || after_host(text).has_value();
}

Result<HfReference> parse_hf_reference(std::string_view text) {
  const auto refuse = [&](const char* why) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("\"{}\" {}; it must look like hf:org/repo[@revision][:file]",
                             printable(text, 200), why)};
  };
  std::string_view rest = text;
  const std::optional<std::string_view> path = after_host(text);
  if (path.has_value()) {
    rest = path->substr(0, path->find_first_of("?#"));
  } else if (text.starts_with("hf:")) {
    rest = text.substr(3);
    if (rest.starts_with("//")) rest.remove_prefix(2);
  } else {
    return refuse("is no reference to the Hugging Face hub");
  }
  while (rest.ends_with("/")) rest.remove_suffix(1);
  const size_t first = rest.find('/');
  if (first == std::string_view::npos) return refuse("has no owner");
  const size_t end = rest.find_first_of("/@:", first + 1);
  HfReference reference;
  reference.repository = std::string(rest.substr(0, end));
  const bool valid = is_repository_part(rest.substr(0, first)) &&
                     is_repository_part(std::string_view(reference.repository).substr(first + 1));
  if (!valid) return refuse("has an owner or repository name with unusual characters");
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);

  if (rest.starts_with("/") && path.has_value()) {  // /tree/rev, /blob/rev/file, /resolve/rev/file
    const std::vector<std::string_view> parts = split(rest.substr(1), '/');
    const bool known = parts[0] == "tree" || parts[0] == "blob" || parts[0] == "resolve";
    if (!known || parts.size() < 2) return refuse("is a page of the hub that names no model");
    reference.revision = std::string(parts[1]);
    const size_t used = 1 + parts[0].size() + 1 + parts[1].size() + 1;
    if (used < rest.size()) reference.file = std::string(rest.substr(used));
    rest = {};
  }
  if (rest.starts_with("/")) return refuse("has too many parts; a file is written after ':'");
  if (rest.starts_with("@")) {
    const size_t colon = rest.find(':');
    reference.revision =
        std::string(rest.substr(1, colon == std::string_view::npos ? colon : colon - 1));
    rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon);
  }
  if (rest.starts_with(":")) {
    reference.file = std::string(rest.substr(1));
    if (reference.file.empty()) return refuse("has an empty file name");
  }
  if (!is_revision(reference.revision)) return refuse("has a revision with unusual characters");
  if (!reference.file.empty()) {
    const Status safe = check_relative_path(reference.file);
    if (!safe) return Error{ErrorCode::invalid_argument, safe.error().message};
  }
  return reference;
}

Result<HubListing> parse_hub_listing(std::string_view text, const std::string& repository) {
  SQ_TRY(const json root, parse_json(text, "the hub's description of " + repository));
  const json& siblings = member(root, "siblings");
  if (!siblings.is_array() || siblings.size() > kFilesMax) {
    return Error{ErrorCode::bad_file,
                 fmt::format("the hub's description of {} has no list of files", repository)};
  }
  HubListing listing;
  listing.commit = text_field(root, "sha");
  if (!is_hex(listing.commit, 40)) listing.commit.clear();
  listing.custom_code = member(member(root, "config"), "auto_map").is_object();
  listing.packed_bits = packed_bits(member(member(root, "config"), "quantization_config"));
  std::set<std::string> seen;
  for (const json& item : siblings) {
    HubFile file;
    file.path = text_field(item, "rfilename");
    if (const Status safe = check_relative_path(file.path); !safe) {
      return Error{ErrorCode::unsafe,
                   fmt::format("{}: {}; nothing was downloaded", repository, safe.error().message)};
    }
    if (!seen.insert(file.path).second) continue;
    file.bytes = count_field(item, "size");
    const json& lfs = member(item, "lfs");
    file.sha256 = text_field(lfs, "sha256");
    if (file.sha256.empty()) file.sha256 = text_field(lfs, "oid");
    if (file.sha256.starts_with("sha256:")) file.sha256.erase(0, 7);
    if (!is_hex(file.sha256, 64)) file.sha256.clear();
    if (lfs.is_object() && count_field(lfs, "size") > 0) file.bytes = count_field(lfs, "size");
    if (!lfs.is_object()) file.git_sha1 = text_field(item, "blobId");
    if (!is_hex(file.git_sha1, 40)) file.git_sha1.clear();
    listing.files.push_back(std::move(file));
  }
  return listing;
}

const char* name_of(ScanStatus status) {
  switch (status) {
    case ScanStatus::safe:
      return "safe";
    case ScanStatus::warning:
      return "warning";
    case ScanStatus::unsafe:
      return "unsafe";
  }
  return "";
}

ScanReport scan_listing(const HubListing& listing) {
  ScanReport report;
  report.file_count = listing.files.size();
  const auto find = [&](const HubFile& file, const char* what) {
    if (report.findings.size() < 50)
      report.findings.push_back(fmt::format("{}: {}", printable(file.path, 120), what));
  };
  size_t remark_count = 0;
  for (const HubFile& file : listing.files) {
    report.total_bytes += file.bytes;
    if (has_extension(file.path, {".safetensors", ".gguf", ".npz", ".ggml"})) {
      ++report.safe_weight_count;
    } else if (has_extension(file.path, {".pkl", ".pickle"})) {
      ++report.dangerous_count;
      find(file, "a pickle, which can run code when it is loaded");
    } else if (base_name(file.path) == kGgufMetadataName) {
      continue;  // its name ends in .bin, but it is read as GGUF and as nothing else
    } else if (has_extension(file.path,
                             {".bin", ".pt", ".pth", ".ckpt", ".joblib", ".dill", ".keras"})) {
      ++report.doubtful_count;
      find(file, "may hold a pickle; never downloaded");
    } else if (has_extension(file.path, {".py", ".h5", ".npy"})) {
      ++remark_count;
      find(file, "may hold code; never downloaded");
    }
  }
  if (listing.custom_code) {
    ++remark_count;
    report.findings.push_back(
        "config.auto_map: the model asks for its own Python code, which is not used");
  }
  if (report.dangerous_count > 0 || (report.doubtful_count > 0 && report.safe_weight_count == 0)) {
    report.status = ScanStatus::unsafe;
  } else if (report.doubtful_count + remark_count > 0) {
    report.status = ScanStatus::warning;
  }
  return report;
}

std::string quantization_of(std::string_view file_name) {
  static constexpr std::array<std::string_view, 40> kNames = {
      "iq1_s",   "iq1_m",  "iq2_xxs", "iq2_xs", "iq2_s",   "iq2_m",  "iq3_xxs", "iq3_xs",
      "iq3_s",   "iq3_m",  "iq4_nl",  "iq4_xs", "q2_k_xl", "q2_k_l", "q2_k_s",  "q2_k",
      "q3_k_xl", "q3_k_l", "q3_k_m",  "q3_k_s", "q4_k_xl", "q4_k_l", "q4_k_m",  "q4_k_s",
      "q4_0",    "q4_1",   "q5_k_xl", "q5_k_l", "q5_k_m",  "q5_k_s", "q5_0",    "q5_1",
      "q6_k_xl", "q6_k_l", "q6_k",    "q8_0",   "bf16",    "fp16",   "f16",     "f32"};
  const std::string lower = to_lower(file_name);
  const auto separates = [](char c) { return c == '-' || c == '.' || c == '_'; };
  std::string best;
  for (const std::string_view name : kNames) {
    const size_t at = lower.rfind(name);
    if (at == std::string::npos || name.size() <= best.size()) continue;
    const size_t end = at + name.size();
    const bool alone =
        (at == 0 || separates(lower[at - 1])) && (end == lower.size() || separates(lower[end]));
    if (alone) best = name;
  }
  return best;
}

Result<std::vector<HubFile>> choose_gguf(const HubListing& listing, const std::string& wanted) {
  const std::vector<Choice> choices = gguf_choices(listing);
  if (!wanted.empty()) {
    const std::string lower = to_lower(wanted);
    for (const Choice& choice : choices) {
      for (const HubFile& file : choice.files) {
        if (file.path == wanted) return choice.files;
      }
    }
    const Choice* best = nullptr;
    for (const Choice& choice : choices) {
      const bool hit = to_lower(base_name(choice.label)) == lower || choice.quantization == lower;
      if (hit && (best == nullptr || choice.label.size() < best->label.size())) best = &choice;
    }
    if (best != nullptr) return best->files;
    return Error{ErrorCode::not_found,
                 fmt::format("no file or quantisation \"{}\" there; {}", printable(wanted, 120),
                             choices.empty() ? "it holds no GGUF files"
                                             : "there are: " + list_choices(choices))};
  }
  if (choices.empty()) return std::vector<HubFile>();
  // The order of what most people want from what this program reads.
  constexpr std::array<std::string_view, 20> kPreferred = {
      "q4_k_m", "q8_0",   "q5_k_m", "q6_k",   "q4_k_s", "q5_k_s", "q4_1", "q4_0", "q5_1", "q5_0",
      "iq4_nl", "iq4_xs", "q3_k_m", "q3_k_l", "q3_k_s", "q2_k",   "bf16", "f16",  "fp16", "f32"};
  for (const std::string_view name : kPreferred) {
    const Choice* best = nullptr;
    for (const Choice& choice : choices) {
      const bool hit = choice.quantization == name;
      if (hit && (best == nullptr || choice.label.size() < best->label.size())) best = &choice;
    }
    if (best != nullptr) return best->files;
  }
  if (choices.size() == 1) return choices.front().files;
  return Error{ErrorCode::not_found,
               fmt::format("none of its GGUF files is an obvious choice; name one after ':': {}",
                           list_choices(choices))};
}

Result<std::vector<HubFile>> choose_safetensors(const HubListing& listing,
                                                std::string_view index_json) {
  const auto find = [&](std::string_view path) -> const HubFile* {
    for (const HubFile& file : listing.files) {
      if (file.path == path) return &file;
    }
    return nullptr;
  };
  std::vector<HubFile> chosen;
  const HubFile* config = find("config.json");
  if (config == nullptr)
    return Error{ErrorCode::not_found,
                 "it has neither GGUF files nor a config.json: not a model that can be run"};
  chosen.push_back(*config);
  for (const std::string_view name :
       {"generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
        "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
        "chat_template.jinja", "chat_template.json", "model.safetensors.index.json",
        kGgufMetadataName}) {
    if (const HubFile* file = find(name)) chosen.push_back(*file);
  }
  std::set<std::string> shards;
  if (!index_json.empty()) {
    SQ_TRY(const json index, parse_json(index_json, "model.safetensors.index.json"));
    for (const auto& [tensor, shard] : member(index, "weight_map").items()) {
      const std::string name = shard.is_string() ? shard.get<std::string>() : std::string();
      if (!check_file_name(name)) {
        return Error{
            ErrorCode::unsafe,
            fmt::format("model.safetensors.index.json: the shard \"{}\" of \"{}\" is no file name",
                        printable(name), printable(tensor))};
      }
      shards.insert(name);
    }
    if (shards.empty())
      return Error{ErrorCode::bad_file, "model.safetensors.index.json names no shard"};
  } else if (find("model.safetensors") != nullptr) {
    shards.insert("model.safetensors");
  } else {
    for (const HubFile& file : listing.files) {
      if (file.path.ends_with(".safetensors") && file.path.find('/') == std::string::npos)
        shards.insert(file.path);
    }
  }
  if (shards.empty())
    return Error{ErrorCode::not_found, "it has neither GGUF nor .safetensors files"};
  for (const std::string& name : shards) {
    const HubFile* file = find(name);
    if (file == nullptr)
      return Error{ErrorCode::not_found,
                   fmt::format("the weight file {} is missing there", printable(name))};
    chosen.push_back(*file);
  }
  return chosen;
}

}  // namespace squish::hub
