#pragma once
// Modelfiles: how Ollama's users describe a model that is made from another one.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace squish::hub {

/// What a model has beside its weights. Everything may be empty: then the weights' own counts.
struct ModelSettings {
  std::string from;           // as it was written: a model's name, or a blob's digest
  std::string chat_template;  // Jinja, or one of Ollama's Go templates
  std::string system;
  std::string license;
  /// In the order in which they were written; "stop" may come several times.
  std::vector<std::pair<std::string, std::string>> parameters;
  std::vector<std::pair<std::string, std::string>> messages;  // role and content
};

/// FROM, PARAMETER, TEMPLATE, SYSTEM, MESSAGE and LICENSE, in any case; values may stand in quotes
/// or in triple quotes over several lines. Errors: invalid_argument with the line and what may
/// stand there; unsupported for ADAPTER. A file without FROM has an empty `from`.
Result<ModelSettings> parse_modelfile(std::string_view text);

/// The same settings as a Modelfile that parse_modelfile reads back, unless a text has a triple
/// quote inside.
std::string to_modelfile(const ModelSettings& settings);

}  // namespace squish::hub
