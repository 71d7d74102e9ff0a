#include "chat/tool_set.h"

#include <gtest/gtest.h>

namespace squish {
namespace {

Value json(std::string_view text) {
  auto value = parse_json(text);
  EXPECT_TRUE(value.has_value()) << text;
  return value ? *value : Value();
}

ToolSet tools_of(std::initializer_list<std::string_view> names) {
  Value list = Value::list();
  for (const std::string_view name : names) {
    list.push_back(
        Value::dict({{"type", "function"}, {"function", Value::dict({{"name", name}})}}));
  }
  return ToolSet(list);
}

std::string found(const ToolSet& tools, std::string_view name) {
  const ToolDefinition* tool = tools.find(name);
  return tool == nullptr ? "" : tool->name;
}

TEST(ToolSet, finds_only_declared_names) {
  const ToolSet tools = tools_of({"get_weather", "math.sum"});
  EXPECT_EQ(found(tools, "get_weather"), "get_weather");
  EXPECT_EQ(found(tools, "functions.math.sum"), "math.sum");
  EXPECT_EQ(found(tools, "get_weath"), "");
  EXPECT_EQ(found(tools, ""), "");
}

TEST(ToolSet, takes_the_name_of_an_editor_for_the_backends_and_back) {
  EXPECT_EQ(found(tools_of({"squish_run_shell"}), "run_command"), "squish_run_shell");
  EXPECT_EQ(found(tools_of({"run_command", "run_terminal"}), "squish_run_shell"), "run_terminal");
  EXPECT_EQ(found(tools_of({"run_command"}), "run_terminal"), "run_command");
  EXPECT_EQ(found(tools_of({"rename_file"}), "squish_move_file"), "rename_file");
}

TEST(ToolSet, never_renames_a_name_that_the_client_declared) {
  const ToolSet tools = tools_of({"create_file", "squish_create_file"});
  EXPECT_EQ(found(tools, "squish_create_file"), "squish_create_file");
  EXPECT_EQ(found(tools, "create_file"), "create_file");
}

TEST(ToolSet, leaves_out_what_is_no_function) {
  EXPECT_TRUE(ToolSet(json(R"([{"type":"x"}, 7, {"function":{}}])")).empty());
  EXPECT_TRUE(ToolSet(Value()).empty());
}

struct FitCase {
  std::string_view schema;
  std::string_view value;
  bool fits;
};
constexpr FitCase kFits[] = {
    {R"({})", R"(1)", true},
    {R"({"type":"object"})", R"([])", false},
    {R"({"type":"dict"})", R"({})", true},
    {R"({"type":"integer"})", R"(3.0)", true},
    {R"({"type":"integer"})", R"(3.5)", false},
    {R"({"type":"integer"})", R"("3")", false},
    {R"({"type":"float"})", R"(3)", true},
    {R"({"type":["string","null"]})", R"(null)", true},
    {R"({"type":["string","null"]})", R"(1)", false},
    {R"({"required":["a"]})", R"({"b":1})", false},
    {R"({"properties":{"a":{"type":"string"}}})", R"({"a":1})", false},
    {R"({"properties":{"a":{}},"additionalProperties":false})", R"({"a":1,"b":2})", false},
    {R"({"properties":{"a":{}},"additionalProperties":{"type":"number"}})", R"({"b":2})", true},
    {R"({"items":{"type":"boolean"}})", R"([true,1])", false},
    {R"({"enum":["a",{"b":[1]}]})", R"({"b":[1]})", true},
    {R"({"enum":["a"]})", R"("b")", false},
    {R"({"const":1})", R"(2)", false},
    {R"({"anyOf":[{"type":"string"},{"type":"number"}]})", R"(true)", false},
    {R"({"allOf":[{"type":"number"},{"enum":[1]}]})", R"(1)", true},
    {R"({"$defs":{"p":{"type":"string"}},"properties":{"a":{"$ref":"#/$defs/p"}}})", R"({"a":1})",
     false},
    {R"({"$ref":"#"})", R"(1)", false},  // a schema that is only itself
    {R"(false)", R"(1)", false},
};

TEST(FitsSchema, follows_the_keywords_it_names) {
  for (const FitCase& c : kFits)
    EXPECT_EQ(fits_schema(json(c.value), json(c.schema)), c.fits) << c.schema << " " << c.value;
}

}  // namespace
}  // namespace squish
