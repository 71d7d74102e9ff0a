#pragma once
// A verb of the command line, and the one table of them: dispatch, --help, completions and
// docs/cli.md come from it.
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/context.h"

namespace squish::cli {

/// Flags that several verbs share.
enum class OptionGroup : uint8_t {
  load,      // how a model is loaded: --threads, --backend, --isa, --context
  sampling,  // one flag per row of engine/sampling_params.def, --stop, --logit-bias
  dialog,    // --system, --think, --no-think, --no-speculation
};

struct Verb {
  std::string_view name = {};
  std::vector<std::string_view> aliases = {};
  std::string_view summary = {};
  std::string_view details = {};  // for `squish help VERB`: several lines, with examples
  std::vector<ArgumentRow> arguments = {};
  std::vector<OptionRow> options = {};
  std::vector<OptionGroup> groups = {};
  bool events = false;        // --json gives an event a line instead of one document
  bool writes_files = false;  // goes on when nobody reads its output: see finish_without_readers()
  /// The exit code, or an error whose code gives it.
  Result<int> (*run)(Context& context, const Arguments& arguments) = nullptr;
};

/// In the order in which --help lists them.
std::span<const Verb> verbs();
/// By name or alias, else null.
const Verb* find_verb(std::string_view word);
/// Names and aliases.
std::vector<std::string_view> verb_names();
/// Its own flags, those of its groups, and the global ones.
std::vector<OptionRow> options_of(const Verb& verb);
/// Flags that every verb takes and that may stand before the verb too.
std::span<const OptionRow> global_options();

}  // namespace squish::cli
