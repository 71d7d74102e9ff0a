#pragma once
// What a created model (`FROM other`, SYSTEM, TEMPLATE, MESSAGE, PARAMETER) adds to a request.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "chat/chat_types.h"
#include "hub/local_model.h"
#include "hub/modelfile.h"

namespace squish {

/// Made here of another model or of files (`squish serve` has /api/create): it may have settings.
bool was_created(const hub::LocalModel& local);

/// The settings of a model; all empty for one that was not created here. Reads a small file: worker
/// thread. Errors: bad_file.
Result<hub::ModelSettings> read_model_settings(const hub::LocalModel& local);

/// A chat template in either language: Jinja, or a Go template as Ollama's Modelfiles have them.
/// Errors: bad_file with the line; unsupported for an action of Go that has no meaning here.
Result<ChatTemplate> parse_any_template(std::string_view source);

/// Puts the settings under the request: its template unless the request has one; its system message
/// unless the request begins with one; its messages before those of the request. Errors: as
/// parse_any_template.
Status apply_model_settings(const hub::ModelSettings& settings, ChatRequest& request);

}  // namespace squish
