#pragma once
// Go templates, the language of TEMPLATE in Ollama's Modelfiles, translated to Jinja: so they run
// within the same limits as every other chat template.
#include <string>
#include <string_view>

#include "base/result.h"

namespace squish {

/// Whether the source has actions that Go has and Jinja has not, such as {{ .System }}.
bool is_go_template(std::string_view source);

/// A Jinja chat template that renders what Ollama renders: fields (.System, .Prompt, .Response,
/// .Suffix, .Messages, .Tools, .Think and those of messages and tools), if, else, range, with,
/// break, continue, variables, comments, trim marks, and the functions eq ne lt le gt ge and or not
/// len index slice json currentDate. A template without .Messages is rendered once for each turn;
/// of the last turn what comes after .Response is left out. Errors: bad_file with the line;
/// unsupported for other fields, functions and actions. Cost: linear; the result has at most about
/// 20 times the source's bytes.
Result<std::string> go_template_to_jinja(std::string_view source);

}  // namespace squish
