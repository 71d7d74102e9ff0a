#pragma once
// What a request says about its tools, for every dialect.
#include <cstdint>
#include <string>

#include "chat/chat_types.h"
#include "server/api_error.h"

namespace squish::server {

struct ToolChoice {
  enum class Kind : uint8_t { none, automatic, required, named } kind = Kind::automatic;
  std::string name = {};    // with named
  bool is_parallel = true;  // several calls may be made
};

/// OpenAI's tool_choice and parallel_tool_calls; also with the names flat, as /v1/responses has
/// them. Of "allowed_tools" those that are named stay in `tools`. Errors: 400.
Parsed<ToolChoice> read_tool_choice(const Value& body, Value& tools);

/// Makes `request`, whose tools are set, look for calls as `choice` and `is_stream` say. Errors:
/// 400 for a choice that cannot be had.
Checked use_tools(ChatRequest& request, const ToolChoice& choice, bool is_stream);

}  // namespace squish::server
