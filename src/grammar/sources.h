#pragma once
// What clients ask for, to a GrammarSource. No model is needed: an error here is the client's.
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "grammar/grammar.h"
#include "text/jinja_value.h"

namespace squish {

/// Any JSON object.
GrammarSource json_object_source();
/// Values of a JSON schema, as JSON. See normalize_schema() for `strict` and what is narrower.
/// Errors: invalid_argument with the place and the keyword; past limits::kSchemaBytesMax.
Result<GrammarSource> json_schema_source(const Value& schema, bool strict);
/// The whole answer matches. Errors: invalid_argument.
Result<GrammarSource> regex_source(const std::string& regex);
/// Rules "name ::= ..." (GBNF); "root" is the answer. Errors: invalid_argument.
Result<GrammarSource> ebnf_source(const std::string& text);
/// One of the texts. Errors: invalid_argument.
Result<GrammarSource> choice_source(const std::vector<std::string>& texts);

/// How the calls of a model begin and end.
struct ToolCallForm {
  std::string begin = "<tool_call>\n{\"name\": \"";  // then the name
  std::string middle = "\", \"arguments\": ";        // then the arguments as JSON
  std::string end = "}\n</tool_call>";
};
/// What a request says about calls: the part of its tool_choice that is a grammar.
struct ToolRule {
  bool is_required = false;  // at least one call and no text; else text, with calls in it or not
  std::string name = {};     // required, and only this tool; empty: any
  bool parallel = true;      // more than one call
  /// What the answer must look like where it does not call; not required: calls or such a text.
  const GrammarSource* text = nullptr;
};
/// Answers that call the tools, with arguments that validate. `tools` as the chat template has
/// them:
/// [{"type": "function", "function": {"name", "parameters", "strict"}}]. A tool that is not
/// required and not strict may have parameters that are not supported: then nothing is said about
/// them. Errors: invalid_argument with the tool and the keyword, or for a name that is no tool.
Result<GrammarSource> tool_source(const Value& tools, const ToolRule& choice,
                                  const ToolCallForm& form = {});

}  // namespace squish
