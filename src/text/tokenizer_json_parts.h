#pragma once
// The components of a tokenizer.json beside its vocabulary.
#include <optional>
#include <string_view>

#include <simdjson.h>

#include "base/result.h"
#include "text/tokenizer_spec.h"

namespace squish::text::json {

using Element = simdjson::dom::element;

/// The field, or nothing when absent, null or `object` is no object.
std::optional<Element> field(Element object, std::string_view key);
std::optional<std::string_view> text_field(Element object, std::string_view key);
bool flag_field(Element object, std::string_view key, bool otherwise);
std::optional<int64_t> number_field(Element object, std::string_view key);
/// The "type" of a component, "" when it has none.
std::string_view type_of(Element component);

/// Each adds what `component` says to `spec`. Errors: unsupported or bad_file, naming the
/// component.
Status read_normalizer(Element component, std::vector<TextStep>& steps);
Status read_pretokenizer(Element component, TokenizerSpec& spec);
Status read_post_processor(Element component, TokenizerSpec& spec);
Status read_decoder(Element component, TokenizerSpec& spec);

}  // namespace squish::text::json
