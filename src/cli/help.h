#pragma once
// Texts made from the verb table.
#include <string>
#include <string_view>

#include "cli/term.h"
#include "cli/verb.h"

namespace squish::cli {

/// `squish --help`.
std::string overview(const Terminal& terminal);
/// `squish VERB --help`.
std::string verb_help(const Terminal& terminal, const Verb& verb);
/// docs/cli.md.
std::string markdown();
/// The script for "bash", "zsh" or "fish". Errors: invalid_argument for another shell.
Result<std::string> completion_script(std::string_view shell);

}  // namespace squish::cli
