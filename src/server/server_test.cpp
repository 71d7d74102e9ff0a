// The small parts: JSON text, errors, fields, the table of routes, metrics.
#include <cmath>
#include <limits>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "server/api_error.h"
#include "server/fields.h"
#include "server/json_writer.h"
#include "server/metrics.h"
#include "server/openai_chat.h"
#include "server/openai_completions.h"
#include "server/openapi.h"
#include "server/route.h"

namespace squish::server {
namespace {

using testing::HasSubstr;

Value json(std::string_view text) {
  auto parsed = parse_json(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed ? std::move(parsed).value() : Value();
}

// --- JsonWriter

TEST(JsonWriter, writes_nested_values_with_commas_where_they_belong) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object()
      .field("a", 1)
      .array_field("b")
      .integer(-2)
      .text("x")
      .begin_object()
      .end_object()
      .begin_array()
      .end_array()
      .end_array()
      .null_field("c")
      .field("d", true)
      .object_field("e")
      .field("f", 0.5)
      .end_object()
      .end_object();
  EXPECT_EQ(out, R"({"a":1,"b":[-2,"x",{},[]],"c":null,"d":true,"e":{"f":0.5}})");
}

TEST(JsonWriter, escapes_what_json_wants_escaped) {
  std::string out;
  constexpr char kText[] = "a\"b\\c\n\r\t\x01\x1f\0/\x7f ü🌍";
  const std::string text(kText, sizeof kText - 1);
  append_json_string(out, text);
  EXPECT_EQ(json(out).as_string(), text);
  EXPECT_THAT(out, HasSubstr("\\u0001\\u001f\\u0000"));
}

TEST(JsonWriter, escapes_what_clients_take_for_the_end_of_a_line) {
  std::string out;
  const std::string text = "a\u0085b\u2028\u2029c\u2027\u00e2\u0086";
  append_json_string(out, text);
  EXPECT_EQ(out, "\"a\\u0085b\\u2028\\u2029c\u2027\u00e2\u0086\"");
  EXPECT_EQ(json(out).as_string(), text);
}

TEST(JsonWriter, replaces_what_is_not_utf8) {
  std::string out;
  append_json_string(out, "a\xff\xc3z");
  EXPECT_EQ(out, "\"a\uFFFD\uFFFDz\"");
}

TEST(JsonWriter, numbers_that_json_cannot_say_are_null) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_array()
      .number(std::numeric_limits<double>::infinity())
      .number(std::nan(""))
      .number(1e300)
      .integer(INT64_MIN)
      .end_array();
  EXPECT_EQ(out, "[null,null,1e+300,-9223372036854775808]");
}

// --- ApiError

TEST(ApiError, each_dialect_has_its_shape) {
  const ApiError error{
      .status = 404, .message = "no \"x\"", .code = "model_not_found", .param = "model"};
  EXPECT_EQ(error_body(Dialect::openai, error, "req-1"),
            R"({"error":{"message":"no \"x\"","type":"not_found_error","param":"model",)"
            R"("code":"model_not_found"},"detail":"no \"x\""})");
  EXPECT_EQ(error_body(Dialect::ollama, error, "req-1"), R"({"error":"no \"x\""})");
  EXPECT_EQ(error_body(Dialect::anthropic, error, "req-1"),
            R"({"type":"error","error":{"type":"not_found_error","message":"no \"x\""},)"
            R"("request_id":"req-1"})");
  EXPECT_THAT(stream_error(Dialect::openai, error, ""), testing::Not(HasSubstr("detail")));
}

TEST(ApiError, errors_of_the_engine_get_a_status_that_a_client_can_use) {
  EXPECT_EQ(to_api_error({ErrorCode::busy, ""}).status, 429);
  EXPECT_GT(to_api_error({ErrorCode::busy, ""}).retry_after_s, 0);
  EXPECT_EQ(to_api_error({ErrorCode::refused, ""}).code, "context_length_exceeded");
  EXPECT_EQ(to_api_error({ErrorCode::not_found, ""}).status, 404);
  EXPECT_EQ(to_api_error({ErrorCode::out_of_memory, ""}).status, 503);
  EXPECT_EQ(to_api_error({ErrorCode::invalid_argument, ""}).status, 400);
  EXPECT_EQ(to_api_error({ErrorCode::internal, ""}).status, 500);
}

// --- fields

TEST(Fields, a_body_is_an_object) {
  EXPECT_TRUE(parse_object("{}").has_value());
  for (const std::string_view body : {"", "[]", "1", "\"x\"", "{", "{\"a\":1}x", "\xff"})
    EXPECT_EQ(parse_object(body).error().code, "invalid_json") << body;
  const std::string deep = "{\"a\":" + std::string(1'000'000, '[');
  EXPECT_FALSE(parse_object(deep).has_value());
}

TEST(Fields, numbers_may_be_text_and_are_never_booleans) {
  EXPECT_EQ(**read_integer(json(R"({"n":" 5 "})"), "n", 0, 9), 5);
  EXPECT_EQ(**read_integer(json(R"({"n":5.0})"), "n", 0, 9), 5);
  EXPECT_FALSE((*read_integer(json(R"({"n":null})"), "n", 0, 9)).has_value());
  EXPECT_DOUBLE_EQ(**read_number(json(R"({"n":"0.5"})"), "n", 0, 1), 0.5);
  for (const std::string_view value : {"true", "5.5", "10", "-1", "\"x\"", "\"\"", "[]", "1e30"}) {
    const Value body = json(fmt::format("{{\"n\":{}}}", value));
    ASSERT_FALSE(read_integer(body, "n", 0, 9).has_value()) << value;
    EXPECT_EQ(read_integer(body, "n", 0, 9).error().param, "n");
  }
  for (const std::string_view value : {"true", "\"nan\"", "\"inf\"", "1e308", "-0.1", "{}"})
    EXPECT_FALSE(read_number(json(fmt::format("{{\"n\":{}}}", value)), "n", 0, 1).has_value());
}

TEST(Fields, every_sampling_parameter_keeps_its_range_in_every_dialect) {
  for (const Dialect dialect : {Dialect::openai, Dialect::ollama}) {
    for (const Field& field : sampling_fields(dialect)) {
      if (field.type == FieldType::boolean) continue;
      for (const double value : {field.minimum - 1, field.maximum * 2 + 1}) {
        if (value > 9e18) continue;  // the seed has the range of its type
        const Value body = json(fmt::format("{{\"{}\":{}}}", field.name, value));
        SamplingParams params;
        const Checked checked = read_sampling(body, dialect, params);
        ASSERT_FALSE(checked.has_value()) << field.name << " " << value;
        EXPECT_EQ(checked.error().param, field.name);
        EXPECT_THAT(checked.error().message, HasSubstr(std::string(field.name)));
      }
    }
  }
}

TEST(Fields, max_completion_tokens_wins) {
  SamplingParams params;
  ASSERT_TRUE(read_sampling(json(R"({"max_tokens":9,"max_completion_tokens":2})"), Dialect::openai,
                            params));
  EXPECT_EQ(params.max_tokens, 2);
}

TEST(Fields, logit_bias_is_bounded) {
  SamplingParams params;
  ASSERT_TRUE(read_logit_bias(json(R"({"logit_bias":{"5":-100,"6":"1.5"}})"), params));
  EXPECT_EQ(params.logit_bias.size(), 2U);
  for (const std::string_view bias : {R"({"5":101})", R"({"x":1})", R"({"-1":1})", R"({"5":null})",
                                      R"({"5":"nan"})", "[1]", R"({"99999999999":1})"})
    EXPECT_FALSE(read_logit_bias(json(fmt::format("{{\"logit_bias\":{}}}", bias)), params)) << bias;
}

// --- calls

TEST(ChatCall, fan_out_is_limited) {
  const std::string head = R"({"messages":[{"role":"user","content":"x"}],"n":)";
  EXPECT_TRUE(parse_chat_call(json(head + "64}")).has_value());
  EXPECT_FALSE(parse_chat_call(json(head + "65}")).has_value());
  EXPECT_FALSE(parse_chat_call(json(head + "64000}")).has_value());
}

TEST(CompletionCall, prompts_times_answers_are_limited) {
  EXPECT_TRUE(parse_completion_call(json(R"({"prompt":["a","b"],"n":32})")).has_value());
  EXPECT_FALSE(parse_completion_call(json(R"({"prompt":["a","b"],"n":33})")).has_value());
  EXPECT_FALSE(parse_completion_call(json(R"({"prompt":["a","b"],"best_of":33})")).has_value());
}

TEST(ChatCall, messages_are_limited) {
  std::string body = R"({"messages":[)";
  for (size_t i = 0; i <= limits::kMessagesMax; ++i)
    body += std::string(i == 0 ? "" : ",") + R"({"role":"user","content":""})";
  EXPECT_EQ(parse_chat_call(json(body + "]}")).error().param, "messages");
}

// --- routes

TEST(Routes, each_method_and_path_is_there_once_and_has_a_summary) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const Route& route : routes()) {
    EXPECT_TRUE(seen.emplace(route.method, route.path).second) << route.path;
    EXPECT_FALSE(route.summary.empty()) << route.path;
    EXPECT_NE(route.handle, nullptr) << route.path;
    EXPECT_TRUE(route.path.starts_with('/')) << route.path;
  }
}

TEST(Routes, only_probes_are_open) {
  const std::set<std::string_view> open = {"/health", "/healthz", "/readyz", "/", "/api/version"};
  for (const Route& route : routes()) {
    if (route.access == RouteAccess::open) {
      EXPECT_TRUE(open.contains(route.path)) << route.path;
    }
  }
}

TEST(Routes, paths_lead_to_their_route) {
  EXPECT_EQ(find_route("GET", "/health").route->path, "/health");
  EXPECT_EQ(find_route("GET", "/health/").route->path, "/health");
  EXPECT_EQ(find_route("HEAD", "/health").route->path, "/health");
  EXPECT_THAT(find_route("GET", "/v1/models/org/name").arguments, testing::ElementsAre("org/name"));
  const RouteMatch item = find_route("GET", "/v1/conversations/conv_1/items/msg_1");
  EXPECT_EQ(item.route->path, "/v1/conversations/{id}/items/{item_id}");
  EXPECT_THAT(item.arguments, testing::ElementsAre("conv_1", "msg_1"));
  EXPECT_EQ(find_route("GET", "/v1/responses/resp_1/cancel").route, nullptr);
  EXPECT_THAT(find_route("GET", "/v1/responses/resp_1/cancel").allowed,
              testing::ElementsAre("POST"));
  EXPECT_TRUE(find_route("GET", "/v1/responses/resp_1/other").allowed.empty());
  EXPECT_TRUE(find_route("GET", "/v1/responses//input_items").allowed.empty());
  EXPECT_EQ(find_route("POST", "/health").route, nullptr);
  EXPECT_THAT(find_route("POST", "/health").allowed, testing::ElementsAre("GET", "HEAD"));
  EXPECT_TRUE(find_route("GET", "/health2").allowed.empty());
  EXPECT_TRUE(find_route("GET", "/Health").allowed.empty());
}

TEST(Openapi, the_document_is_json_and_has_every_route) {
  const Value document = json(openapi_json("1.2.3"));
  const Value* paths = document.find("paths");
  ASSERT_NE(paths, nullptr);
  for (const Route& route : routes()) EXPECT_NE(paths->find(route.path), nullptr) << route.path;
  for (const Route& route : routes())
    EXPECT_THAT(api_markdown(), HasSubstr(fmt::format("`{}`", route.path)));
}

TEST(Openapi, every_part_of_a_path_that_takes_anything_is_a_parameter) {
  const Value document = json(openapi_json("1.2.3"));
  const Value* item = find_below(
      document, {"paths", "/v1/conversations/{id}/items/{item_id}", "get", "parameters"});
  ASSERT_NE(item, nullptr);
  ASSERT_EQ(item->size(), 3U);
  EXPECT_EQ(text_below(item->items()[1], {"name"}), "item_id");
  EXPECT_EQ(text_below(item->items()[2], {"name"}), "include");
  const Value* page =
      find_below(document, {"paths", "/v1/responses/{id}/input_items", "get", "parameters"});
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(text_below(page->items()[1], {"in"}), "query");
}

TEST(Openapi, tokens_are_counted_without_a_limit_of_the_answer) {
  const Value document = json(openapi_json("1.2.3"));
  const auto required = [&](std::string_view path) {
    const Value* list = find_below(document, {"paths", path, "post", "requestBody", "content",
                                              "application/json", "schema", "required"});
    std::set<std::string> out;
    for (const Value& name : list->items()) out.insert(name.as_string());
    return out;
  };
  EXPECT_EQ(required("/v1/messages").count("max_tokens"), 1U);
  EXPECT_EQ(required("/v1/messages/count_tokens").count("max_tokens"), 0U);
}

TEST(ApiMarkdown, limits_are_numbers_that_mean_amounts) {
  const std::string text = api_markdown();
  EXPECT_THAT(text, HasSubstr("| `max_tokens` | integer | 0 to 131072; also -1 and -2 |"));
  EXPECT_THAT(text, HasSubstr("| `seed` | integer | 0 or more; also -1 |"));
  EXPECT_THAT(text, HasSubstr("| `ignore_eos` | boolean |  |"));
  EXPECT_THAT(text, testing::Not(HasSubstr("e+")));
}

// --- metrics

TEST(Histogram, values_fall_into_the_bucket_of_their_bound) {
  static constexpr std::array kBounds = {1.0, 2.0};
  Histogram histogram(kBounds);
  for (const double value : {0.5, 1.0, 1.5, 2.5}) histogram.observe(value);
  std::string out;
  histogram.write(out, "h", "help");
  EXPECT_EQ(out,
            "# HELP h help\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"2\"} 3\n"
            "h_bucket{le=\"+Inf\"} 4\nh_sum 5.5\nh_count 4\n");
}

}  // namespace
}  // namespace squish::server
