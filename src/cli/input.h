#pragma once
// Standard input, read so that Ctrl-C always gets through.
#include <optional>
#include <string>

#include "base/result.h"

namespace squish::cli {

/// One line of stdin without its end, byte by byte: what follows stays for others. Nothing at the
/// end of the input and on Ctrl-C (see interrupted()).
std::optional<std::string> read_line();

/// All of stdin. After a second without input a note on stderr says what is waited for.
/// Errors: refused over limits::kPromptBytesMax; cancelled by Ctrl-C; io.
Result<std::string> read_stdin();

}  // namespace squish::cli
