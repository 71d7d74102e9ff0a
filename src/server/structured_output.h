#pragma once
// What an answer must look like, in the words of each dialect.
#include <optional>

#include "grammar/sources.h"
#include "server/api_error.h"
#include "text/jinja_value.h"

namespace squish::server {

/// response_format, grammar, regex and vLLM's guided_json, guided_regex, guided_grammar,
/// guided_choice and structured_outputs of an OpenAI body. At most one of them. Errors: 400 with
/// the field, for a schema also its place and keyword.
Checked read_constraint(const Value& body, std::optional<GrammarSource>& out);

/// The same for llama-server's own route, which has json_schema, too.
Checked read_llama_constraint(const Value& body, std::optional<GrammarSource>& out);

/// Ollama's `format`: "json", "" or a schema. Errors: 400.
Checked read_ollama_format(const Value& body, std::optional<GrammarSource>& out);

}  // namespace squish::server
