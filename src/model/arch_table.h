#pragma once
// The table of architectures: one row is one name that files use.
#include <span>
#include <string_view>

#include "model/arch/family.h"

namespace squish {

struct ArchitectureRow {
  std::string_view name;  // general.architecture of a GGUF, or architectures[0] of config.json
  bool is_gguf;
  Result<Network> (*read)(ConfigReader& reader, const NetworkOptions& options);
};

/// All rows, in the order in which messages list them.
std::span<const ArchitectureRow> architecture_table();

/// Facts and names of the network in `files`, checked against each other. Reads no tensor data but
/// rope factors. Errors: unsupported for an unknown architecture, listing the known ones; bad_file.
Result<Network> read_network(const ModelFiles& files, const NetworkOptions& options);

}  // namespace squish
