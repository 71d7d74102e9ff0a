#include "server/includes.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "server/response_items.h"

namespace squish::server {
namespace {

/// The first two are told; this server has no items for the others.
constexpr std::array<std::string_view, 8> kIncludable = {
    "message.output_text.logprobs",   "reasoning.encrypted_content",
    "file_search_call.results",       "web_search_call.results",
    "web_search_call.action.sources", "message.input_image.image_url",
    "code_interpreter_call.outputs",  "computer_call_output.output.image_url"};

constexpr std::array kIncludeFields = {kIncludeField};

}  // namespace

std::span<const Field> include_fields() { return kIncludeFields; }

Parsed<Included> read_includes(const std::vector<std::string>& names) {
  Included out;
  for (const std::string& name : names) {
    if (std::ranges::find(kIncludable, name) == kIncludable.end())
      return bad_field("include", fmt::format("include has {}, which is none of {}",
                                              printable(name, 60), fmt::join(kIncludable, ", ")));
    out.logprobs = out.logprobs || name == kIncludable[0];
    out.thought = out.thought || name == kIncludable[1];
  }
  return out;
}

Parsed<Included> queried_includes(const HttpRequest& request) {
  std::vector<std::string> names;
  for (const std::string& value : request.query_list(kIncludeField.name)) {
    // No name has a comma.
    for (const std::string_view name : split(value, ',')) names.emplace_back(trim(name));
  }
  return read_includes(names);
}

Value with_included(const Value& items, const Included& included) {
  if (!included.thought) return items;
  Value out = Value::list();
  for (const Value& item : items.items()) {
    Value told = item;
    if (text_of(item, "type") == "reasoning" && text_of(item, "encrypted_content").empty()) {
      const std::string thought = thought_of(item);
      told.set("encrypted_content", thought.empty() ? "" : std::string(kThoughtMark) + thought);
    }
    out.push_back(std::move(told));
  }
  return out;
}

}  // namespace squish::server
