#pragma once
// `include` of /v1/responses and /v1/conversations: what an answer tells besides.
#include <span>
#include <string>
#include <vector>

#include "server/api_error.h"
#include "server/fields.h"
#include "server/http_message.h"
#include "text/jinja_value.h"

namespace squish::server {

struct Included {
  bool logprobs = false;  // of the text's tokens; kept with an answer only if its request had it
  bool thought = false;   // encrypted_content of reasoning items
};

/// Errors: 400 naming the first that is none of OpenAI's. Those of items that this server has not
/// are let pass.
Parsed<Included> read_includes(const std::vector<std::string>& names);

/// The query's `include`, as clients write lists: include=A&include=B, include[]=A, include[0]=A or
/// include=A,B. Errors: as read_includes.
Parsed<Included> queried_includes(const HttpRequest& request);
/// The row of the query's `include`, for the routes that read it.
inline constexpr Field kIncludeField{
    .name = "include",
    .type = FieldType::array,
    .help =
        "\"reasoning.encrypted_content\": what brings a thought back as input; log "
        "probabilities are there when the request of the answer included them; others of "
        "OpenAI's are let pass"};
std::span<const Field> include_fields();

/// The items, with what is included that they can give.
Value with_included(const Value& items, const Included& included);

}  // namespace squish::server
