#include "server/openapi.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include <fmt/format.h>

#include "base/strings.h"
#include "server/json_writer.h"
#include "server/route.h"

namespace squish::server {
namespace {

/// The fields of a route; one of the sampling table that its own table spells out is left to that.
std::vector<Field> fields_of(const Route& route) {
  std::vector<Field> out;
  if (route.fields != nullptr) {
    const auto own = route.fields();
    out.assign(own.begin(), own.end());
  }
  if (!route.has_sampling) return out;
  for (const Field& field : sampling_fields(route.dialect)) {
    if (std::ranges::find(out, field.name, &Field::name) == out.end()) out.push_back(field);
  }
  return out;
}

std::span<const Field> query_of(const Route& route) {
  return route.query != nullptr ? route.query() : std::span<const Field>();
}

std::string_view type_name(FieldType type) {
  switch (type) {
    case FieldType::text:
      return "string";
    case FieldType::integer:
      return "integer";
    case FieldType::number:
      return "number";
    case FieldType::boolean:
      return "boolean";
    case FieldType::object:
      return "object";
    case FieldType::array:
      return "array";
    case FieldType::text_or_array:
      return "string or array";
    case FieldType::any:
      return "any";
  }
  return "any";
}

bool has_range(const Field& field) {
  return field.type != FieldType::boolean && (field.minimum != 0 || field.maximum != 0);
}

/// Numbers over it are not all numbers of JSON's readers: no bound that anybody would meet.
constexpr double kBoundMax = 9'007'199'254'740'992;  // 2^53

void write_schema(JsonWriter& json, const Field& field) {
  json.begin_object();
  switch (field.type) {
    case FieldType::text_or_array:
      json.array_field("type").text("string").text("array").text("null").end_array();
      break;
    case FieldType::any:
      break;
    case FieldType::text:
    case FieldType::integer:
    case FieldType::number:
    case FieldType::boolean:
    case FieldType::object:
    case FieldType::array:
      json.array_field("type").text(type_name(field.type));
      if (!field.required) json.text("null");
      json.end_array();
      break;
  }
  if (has_range(field)) json.field("minimum", field.minimum);
  if (has_range(field) && field.maximum <= kBoundMax) json.field("maximum", field.maximum);
  json.field("description", field.help).end_object();
}

void write_body(JsonWriter& json, const Route& route) {
  json.object_field("requestBody")
      .field("required", true)
      .object_field("content")
      .object_field("application/json")
      .object_field("schema")
      .field("type", "object")
      .array_field("required");
  const std::vector<Field> fields = fields_of(route);
  for (const Field& field : fields) {
    if (field.required) json.text(field.name);
  }
  json.end_array().object_field("properties");
  for (const Field& field : fields) write_schema(json.key(field.name), field);
  json.end_object().end_object().end_object().end_object().end_object();
}

void write_response(JsonWriter& json, std::string_view status, std::string_view description,
                    std::string_view content_type) {
  json.object_field(status)
      .field("description", description)
      .object_field("content")
      .object_field(content_type)
      .end_object();
  if (content_type == kEventStream) json.object_field(kJson).end_object();
  json.end_object().end_object();
}

void write_parameters(JsonWriter& json, const Route& route) {
  json.array_field("parameters");
  for (size_t brace = route.path.find('{'); brace != std::string_view::npos;
       brace = route.path.find('{', brace + 1)) {
    json.begin_object()
        .field("name", route.path.substr(brace + 1, route.path.find('}', brace) - brace - 1))
        .field("in", "path")
        .field("required", true)
        .object_field("schema")
        .field("type", "string")
        .end_object()
        .end_object();
  }
  for (const Field& field : query_of(route)) {
    json.begin_object().field("name", field.name).field("in", "query").field("required", false);
    write_schema(json.key("schema"), field);
    json.end_object();
  }
  json.end_array();
}

void write_operation(JsonWriter& json, const Route& route) {
  json.object_field(to_lower(route.method)).field("summary", route.summary);
  write_parameters(json, route);
  json.array_field("security");
  if (route.access == RouteAccess::key)
    json.begin_object().array_field("bearer").end_array().end_object();
  json.end_array();
  if (route.has_body) write_body(json, route);
  if (route.streams_body) {
    json.object_field("requestBody")
        .field("required", true)
        .object_field("content")
        .object_field("application/octet-stream")
        .end_object()
        .end_object()
        .end_object();
  }
  json.object_field("responses");
  write_response(json, "200", "as asked", route.reply);
  write_response(json, "default", "an error: its message names the field, the value and the limit",
                 kJson);
  json.end_object().end_object();
}

/// Of whole numbers below 0, -1 and -2 are words that the meaning tells, no amounts.
std::string range_text(const Field& field) {
  if (!has_range(field)) return "";
  const bool has_words = field.type == FieldType::integer && field.minimum < 0;
  std::string out = fmt::format("{:.10g}", has_words ? 0 : field.minimum);
  out += field.maximum <= kBoundMax ? fmt::format(" to {:.10g}", field.maximum) : " or more";
  if (has_words) out += field.minimum < -1 ? "; also -1 and -2" : "; also -1";
  return out;
}

void write_table(std::string& out, std::string_view title, std::span<const Field> fields) {
  auto to = std::back_inserter(out);
  fmt::format_to(to, "\n| {} | type | range | meaning |\n|---|---|---|---|\n", title);
  for (const Field& field : fields) {
    fmt::format_to(to, "| `{}`{} | {} | {} | {} |\n", field.name,
                   field.required ? " (required)" : "", type_name(field.type), range_text(field),
                   field.help);
  }
}

}  // namespace

std::string openapi_json(std::string_view version) {
  std::string out;
  JsonWriter json(out);
  json.begin_object()
      .field("openapi", "3.1.0")
      .object_field("info")
      .field("title", "Squish")
      .field("version", version)
      .end_object()
      .object_field("components")
      .object_field("securitySchemes")
      .object_field("bearer")
      .field("type", "http")
      .field("scheme", "bearer")
      .end_object()
      .end_object()
      .end_object()
      .object_field("paths");
  std::vector<std::string_view> done;
  for (const Route& route : routes()) {
    if (std::ranges::find(done, route.path) != done.end()) continue;
    done.push_back(route.path);
    json.object_field(route.path);
    for (const Route& same : routes()) {
      if (same.path == route.path) write_operation(json, same);
    }
    json.end_object();
  }
  json.end_object().end_object();
  return out;
}

std::string api_markdown() {
  std::string out =
      "# HTTP API\n\n<!-- Made by `./dev docs`; do not edit. -->\n\n"
      "`squish serve` answers at `http://127.0.0.1:11435`. Fields that a route does not know are "
      "let pass; a known field\nwith a wrong value is a 400 that names it. When a key is set, "
      "every "
      "route but the open ones wants it, as\n`Authorization: Bearer KEY` or `x-api-key: KEY`.\n\n"
      "| method | path | key | what it gives |\n|---|---|---|---|\n";
  auto to = std::back_inserter(out);
  for (const Route& route : routes()) {
    fmt::format_to(to, "| {} | `{}` | {} | {} |\n", route.method, route.path,
                   route.access == RouteAccess::open ? "no" : "yes", route.summary);
  }
  for (const Route& route : routes()) {
    const auto query = query_of(route);
    if (!route.has_body && query.empty()) continue;
    fmt::format_to(to, "\n## {} {}\n\n{}.\n", route.method, route.path, route.summary);
    if (!query.empty()) write_table(out, "parameter behind `?`", query);
    if (route.has_body) write_table(out, "field", fields_of(route));
  }
  return out;
}

}  // namespace squish::server
