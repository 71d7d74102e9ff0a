#include "server/model_facts.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <ctime>
#include <map>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/strings.h"
#include "chat/model_settings.h"
#include "hub/names.h"
#include "model/config_reader.h"
#include "server/infill.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace squish::server {
namespace {

/// general.file_type of GGUF by number; the gaps are types that were given up.
constexpr std::array<std::string_view, 39> kFileTypes = {
    "F32",    "F16",    "Q4_0",  "Q4_1",    "",       "",       "",       "Q8_0",
    "Q5_0",   "Q5_1",   "Q2_K",  "Q3_K_S",  "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M",
    "Q5_K_S", "Q5_K_M", "Q6_K",  "IQ2_XXS", "IQ2_XS", "Q2_K_S", "IQ3_XS", "IQ3_XXS",
    "IQ1_S",  "IQ4_NL", "IQ3_S", "IQ3_M",   "IQ2_S",  "IQ2_M",  "IQ4_XS", "IQ1_M",
    "BF16",   "",       "",      "",        "TQ1_0",  "TQ2_0",  "MXFP4"};
constexpr std::array<std::string_view, 4> kEncoders = {"bert", "nomic-bert", "xlm-roberta",
                                                       "roberta"};
constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c; });
  return out;
}

std::string most_common_type(const ModelFiles& files) {
  std::map<std::string_view, uint64_t> bytes;
  for (const NamedTensor& named : files.tensors())
    bytes[type_info(named.tensor.dtype).name] += named.tensor.bytes();
  const auto most =
      std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  return most == bytes.end() ? "" : upper(most->first);
}

std::string quantization_of_files(const ModelFiles& files) {
  if (files.gguf && !files.packed) {
    const auto type = files.gguf->get_uint("general.file_type");
    if (type && *type < kFileTypes.size() && !kFileTypes[*type].empty())
      return std::string(kFileTypes[*type]);
  }
  return most_common_type(files);
}

std::string template_source(const ModelFiles& files, const hub::ModelSettings& settings) {
  return settings.chat_template.empty() ? files.chat_template_text().value_or("")
                                        : settings.chat_template;
}

}  // namespace

ModelFacts facts_of(const hub::LocalModel& local, const ModelFiles& files) {
  ModelFacts out;
  out.architecture = files.architecture();
  out.format = hub::name_of(local.kind);
  out.quantization = quantization_of_files(files);
  for (const NamedTensor& named : files.tensors()) {
    uint64_t count = 1;
    for (size_t i = 0; i < named.tensor.shape.rank; ++i)
      count *= static_cast<uint64_t>(named.tensor.shape[i]);
    out.parameter_count += count;
  }
  if (const auto reader = ConfigReader::open(files)) {
    constexpr int64_t kMax = INT32_MAX;
    const auto context =
        reader->get_int_or({"context_length", "max_position_embeddings"}, 0, 0, kMax);
    const auto width = reader->get_int_or({"embedding_length", "hidden_size"}, 0, 0, kMax);
    const auto type = reader->get_string_or({"", "model_type"}, "");
    if (context) out.context_length = *context;
    if (width) out.embedding_length = *width;
    if (type && !type->empty()) out.architecture = *type;
  }
  out.is_embedding = std::ranges::find(kEncoders, out.architecture) != kEncoders.end();
  return out;
}

Result<ModelFacts> read_facts(const hub::LocalModel& local) {
  SQ_TRY(const ModelFiles files, ModelFiles::open(local.path));
  return facts_of(local, files);
}

std::string parameter_size(uint64_t count) {
  const auto number = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.1f}B", number / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.2f}M", number / 1e6);
  if (count >= 1'000) return fmt::format("{:.0f}K", number / 1e3);
  return fmt::format("{}", count);
}

std::string digest_of(const hub::LocalModel& local) {
  Sha256 hash;
  const auto add = [&hash](std::string_view text) {
    hash.update(as_bytes(text));
    hash.update(as_bytes("\n"));
  };
  add(local.id);
  for (size_t i = 0; i < local.files.size(); ++i) add(hub::base_name(local.files[i]));
  add(fmt::format("{}", local.bytes));
  add(local.sha256.empty() ? fmt::format("changed {}", local.modified_s) : local.sha256);
  return hash.finish();
}

std::string tagged(const std::string& id) {
  const size_t slash = id.rfind('/');
  const size_t begin = slash == std::string::npos ? 0 : slash;
  return id.find(':', begin) == std::string::npos ? id + ":latest" : id;
}

std::string rfc3339(int64_t nanoseconds) {
  const auto fraction = nanoseconds % kNanosecondsPerSecond;
  const std::time_t seconds = nanoseconds / kNanosecondsPerSecond;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::string out =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1,
                  parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  if (fraction > 0) {
    out += fmt::format(".{:09}", fraction);
    out.resize(out.find_last_not_of('0') + 1);
  }
  return out + "Z";
}

std::string rfc3339_now() {
  return rfc3339(std::chrono::duration_cast<std::chrono::nanoseconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count());
}

bool has_tool_template(const ModelFiles& files, const hub::ModelSettings& settings) {
  const auto parsed = parse_any_template(template_source(files, settings));
  return parsed && parsed->supports_tools();
}

Capabilities capabilities_of(ModelFiles& files, const hub::ModelSettings& settings) {
  Capabilities out;
  const std::string source = template_source(files, settings);
  if (!source.empty()) {
    out.has_template = true;
    if (const auto parsed = parse_any_template(source)) {
      out.tools = parsed->supports_tools();
      out.thinking = parsed->supports_thinking_switch() ||
                     source.find("<think>") != std::string::npos ||
                     source.find("reasoning_effort") != std::string::npos;
    }
  }
  if (const auto tokenizer = files.load_tokenizer())
    out.insert = prepare_infill(*tokenizer, "a", "b").has_value();
  return out;
}

void write_details(JsonWriter& json, const ModelFacts& facts, const std::string& parent) {
  json.object_field("details")
      .field("parent_model", parent)
      .field("format", facts.format)
      .field("family", facts.architecture)
      .array_field("families")
      .text(facts.architecture)
      .end_array()
      .field("parameter_size", parameter_size(facts.parameter_count))
      .field("quantization_level", facts.quantization)
      .end_object();
}

}  // namespace squish::server
