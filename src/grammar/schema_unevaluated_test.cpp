// unevaluatedProperties and unevaluatedItems: as schemas that list what may be there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/schema.h"

namespace squish {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string normal(const std::string& schema) {
  const auto out = normalize_schema(parse_json(schema).value(), false);
  return out ? to_json(*out).value() : "error: " + out.error().message;
}

TEST(SchemaUnevaluated, names_of_all_parts_that_hold_are_allowed_and_no_others) {
  EXPECT_EQ(normal(R"({"type":"object","allOf":[{"properties":{"a":{"type":"string"}}},)"
                   R"({"$ref":"#/$defs/b"}],"unevaluatedProperties":false,)"
                   R"("$defs":{"b":{"properties":{"b":{"type":"integer"}}}}})"),
            R"({"type": "object", "properties": {"a": {"type": "string"}, "b": )"
            R"({"type": "integer"}}, "additionalProperties": false})");
  EXPECT_EQ(normal(R"({"type":"object","unevaluatedProperties":false})"),
            R"({"type": "object", "additionalProperties": false})");
  EXPECT_EQ(normal(R"({"type":"object","unevaluatedProperties":{"type":"null"}})"),
            R"({"type": "object", "additionalProperties": {"type": "null"}})");
}

TEST(SchemaUnevaluated, each_branch_has_the_names_that_it_speaks_of) {
  EXPECT_EQ(normal(R"({"type":"object","anyOf":[{"properties":{"a":true},"required":["a"]},)"
                   R"({"properties":{"b":true},"required":["b"]}],"unevaluatedProperties":false})"),
            R"({"anyOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"], )"
            R"("additionalProperties": false}, {"type": "object", "properties": {"b": {}}, )"
            R"("required": ["b"], "additionalProperties": false}]})");
}

TEST(SchemaUnevaluated, a_name_that_only_required_or_not_speak_of_is_no_part_that_holds) {
  EXPECT_THAT(normal(R"({"type":"object","properties":{"a":true},"required":["b"],)"
                     R"("unevaluatedProperties":false})"),
              HasSubstr("no value can be valid"));
  EXPECT_THAT(normal(R"({"type":"object","properties":{"a":true},"unevaluatedProperties":false,)"
                     R"("not":{"not":{"properties":{"b":true},"required":["b"]}}})"),
              HasSubstr("no value can be valid"));
}

TEST(SchemaUnevaluated, parts_around_the_schema_do_not_count) {
  EXPECT_EQ(normal(R"({"type":"object","properties":{"a":true},)"
                   R"("allOf":[{"unevaluatedProperties":false}]})"),
            R"({"type": "object", "additionalProperties": false})");
}

TEST(SchemaUnevaluated, an_outer_word_counts_what_an_inner_one_allows) {
  EXPECT_EQ(normal(R"({"type":"object","allOf":[{"properties":{"a":true},)"
                   R"("unevaluatedProperties":{"type":"null"}}],"required":["b"],)"
                   R"("unevaluatedProperties":false})"),
            R"({"type": "object", "properties": {"a": {}, "b": {"type": "null"}}, )"
            R"("required": ["b"], "additionalProperties": false})");
}

TEST(SchemaUnevaluated, then_and_dependencies_speak_of_names_where_they_hold) {
  const std::string out =
      normal(R"({"type":"object","properties":{"k":{"enum":["x","y"]}},"required":["k"],)"
             R"("if":{"properties":{"k":{"const":"x"}}},"then":{"properties":{"a":true}},)"
             R"("else":{"properties":{"b":true}},"unevaluatedProperties":false})");
  EXPECT_EQ(out, R"({"anyOf": [{"type": "object", "properties": {"k": {"enum": ["x"]}, "a": {}}, )"
                 R"("required": ["k"], "additionalProperties": false}, {"type": "object", )"
                 R"("properties": {"k": {"enum": ["y"]}, "b": {}}, "required": ["k"], )"
                 R"("additionalProperties": false}]})");
}

TEST(SchemaUnevaluated, what_a_dependency_took_for_absent_stays_absent) {
  // An object with names gets no others, so that the dependency of `a` was idle; the pattern, and
  // `required` around the schema, must not bring it back.
  EXPECT_THAT(normal(R"({"type":"object","required":["a"],"allOf":[{"properties":{"b":true},)"
                     R"("patternProperties":{"^a":{"type":"string"}},"dependentSchemas":)"
                     R"({"a":{"properties":{"a":{"type":"null"}}}},)"
                     R"("unevaluatedProperties":false}]})"),
              HasSubstr("no value can be valid"));
}

TEST(SchemaUnevaluated, the_first_items_and_since_2020_those_contained_are_spoken_of) {
  EXPECT_EQ(normal(R"({"type":"array","prefixItems":[{"type":"string"}],)"
                   R"("unevaluatedItems":false})"),
            R"({"type": "array", "prefixItems": [{"type": "string"}], "items": false})");
  EXPECT_THAT(normal(R"({"type":"array","contains":{"type":"string"},"maxItems":1,)"
                     R"("unevaluatedItems":false})"),
              HasSubstr(R"("type": "string")"));
  EXPECT_THAT(normal(R"({"$schema":"https://json-schema.org/draft/2019-09/schema","type":"array",)"
                     R"("contains":{"type":"string"},"unevaluatedItems":false})"),
              HasSubstr("no value can be valid"));
}

TEST(SchemaUnevaluated, before_2019_it_is_no_word) {
  EXPECT_EQ(normal(R"({"$schema":"http://json-schema.org/draft-07/schema#","type":"object",)"
                   R"("unevaluatedProperties":false})"),
            R"({"type": "object", "additionalProperties": true})");
}

TEST(SchemaUnevaluated, values_of_an_enum_are_refused_where_it_would_matter) {
  EXPECT_THAT(normal(R"({"enum":[{"a":1}],"unevaluatedProperties":false})"),
              HasSubstr("enum or const of objects and arrays is not supported"));
  EXPECT_THAT(normal(R"({"type":["string","object"],"enum":["a"],"unevaluatedProperties":false})"),
              Not(HasSubstr("error")));
}

}  // namespace
}  // namespace squish
