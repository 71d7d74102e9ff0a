#pragma once
// Messages and tools of an OpenAI chat request.
#include <vector>

#include "chat/chat_types.h"
#include "server/api_error.h"
#include "text/jinja_value.h"

namespace squish::server {

/// body.messages. Content may be a string, null or a list of text parts; "developer" is "system".
/// Errors: 400 naming the message and the field; parts that are not text say that these models see
/// none.
Parsed<std::vector<ChatMessage>> read_messages(const Value& body);

/// The text of `content` as a message or a tool result may have it. `where` is for errors.
Parsed<std::string> read_content(const Value& content, const std::string& where);

/// body.tools as the templates want them, or undefined when there are none. The older `functions`
/// become tools. Errors: 400 for what is no function with a name.
Parsed<Value> read_tools(const Value& body);

}  // namespace squish::server
