#pragma once
// Lists of items in pages, as OpenAI's clients ask for them.
#include <span>
#include <string>

#include "server/api_error.h"
#include "server/fields.h"
#include "server/http_message.h"
#include "text/jinja_value.h"

namespace squish::server {

/// limit, order, after, include.
std::span<const Field> page_fields();

/// The page of `items` that the request's query asks for: {"object":"list","data","first_id",
/// "last_id","has_more"}. Errors: 400 naming the parameter.
Parsed<std::string> page_json(const HttpRequest& request, const Value& items);
/// The same with all of them; of the query only `include` is read.
Parsed<std::string> whole_page_json(const HttpRequest& request, const Value& items);

}  // namespace squish::server
