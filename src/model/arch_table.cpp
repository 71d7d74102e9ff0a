#include "model/arch_table.h"

#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "model/config_check.h"
#include "model/model.h"

namespace squish {

// One function a family, each in arch/<family>.cpp.
Result<Network> read_llama(ConfigReader& reader, const NetworkOptions& options);
Result<Network> read_qwen2(ConfigReader& reader, const NetworkOptions& options);
Result<Network> read_qwen3(ConfigReader& reader, const NetworkOptions& options);
Result<Network> read_gemma3(ConfigReader& reader, const NetworkOptions& options);
Result<Network> read_phi3(ConfigReader& reader, const NetworkOptions& options);
Result<Network> read_bert(ConfigReader& reader, const NetworkOptions& options);

namespace {

constexpr std::array kTable = {
    ArchitectureRow{"llama", true, read_llama},
    ArchitectureRow{"qwen2", true, read_qwen2},
    ArchitectureRow{"qwen2moe", true, read_qwen2},
    ArchitectureRow{"qwen3", true, read_qwen3},
    ArchitectureRow{"qwen3moe", true, read_qwen3},
    ArchitectureRow{"gemma3", true, read_gemma3},
    ArchitectureRow{"phi3", true, read_phi3},
    ArchitectureRow{"LlamaForCausalLM", false, read_llama},
    ArchitectureRow{"MistralForCausalLM", false, read_llama},
    ArchitectureRow{"MixtralForCausalLM", false, read_llama},
    ArchitectureRow{"Qwen2ForCausalLM", false, read_qwen2},
    ArchitectureRow{"Qwen2MoeForCausalLM", false, read_qwen2},
    ArchitectureRow{"Qwen3ForCausalLM", false, read_qwen3},
    ArchitectureRow{"Qwen3MoeForCausalLM", false, read_qwen3},
    ArchitectureRow{"Gemma3ForCausalLM", false, read_gemma3},
    ArchitectureRow{"Gemma3ForConditionalGeneration", false, read_gemma3},
    ArchitectureRow{"Phi3ForCausalLM", false, read_phi3},
    ArchitectureRow{"BertModel", false, read_bert},
    ArchitectureRow{"BertForMaskedLM", false, read_bert},
    ArchitectureRow{"BertForSequenceClassification", false, read_bert},
};

constexpr auto kNames = [] {
  std::array<std::string_view, kTable.size()> names;
  for (size_t i = 0; i < kTable.size(); ++i) names[i] = kTable[i].name;
  return names;
}();

/// A family that joins matrices may come with their parts: trellis codes have no rows to take apart
/// later, so `squish compress` writes q, k and v, and gate and up, each by itself.
void drop_joined_names(const ModelFiles& files, TensorNames& names) {
  const std::string first = replace_all(std::string(names.layer), "{}", "0");
  const auto has = [&](std::string_view name) {
    return files.has_tensor(fmt::format("{}{}.weight", first, name));
  };
  if (!names.qkv.empty() && has(names.q)) names.qkv = "";
  if (!names.gate_up.empty() && has(names.gate)) names.gate_up = "";
}

}  // namespace

std::span<const ArchitectureRow> architecture_table() { return kTable; }

std::span<const std::string_view> supported_architectures() { return kNames; }

Result<Network> read_network(const ModelFiles& files, const NetworkOptions& options) {
  const std::string architecture = files.architecture();
  for (const ArchitectureRow& row : kTable) {
    if (row.is_gguf != (files.gguf != nullptr) || row.name != architecture) continue;
    SQ_TRY(ConfigReader reader, ConfigReader::open(files));
    SQ_TRY(Network network, row.read(reader, options));
    drop_joined_names(files, network.names);
    SQ_TRY_STATUS(check_network(reader, network));
    return network;
  }
  return Error{ErrorCode::unsupported,
               fmt::format("{}: architecture '{}' is not supported; supported are {}", files.path,
                           printable(architecture), fmt::join(supported_architectures(), ", "))};
}

}  // namespace squish
