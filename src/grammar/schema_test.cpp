#include "grammar/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace squish {
namespace {

using ::testing::HasSubstr;

std::string normal(const std::string& schema, bool strict = false) {
  const auto out = normalize_schema(parse_json(schema).value(), strict);
  return out ? to_json(*out).value() : "error: " + out.error().message;
}

TEST(Schema, closes_an_object_with_properties_and_leaves_one_without_open) {
  EXPECT_EQ(normal(R"({"type":"object","properties":{"a":{"type":"string"}},"required":["a"]})"),
            R"({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], )"
            R"("additionalProperties": false})");
  EXPECT_EQ(normal(R"({"type":"object"})"), R"({"type": "object", "additionalProperties": true})");
}

TEST(Schema, names_the_place_and_the_keyword_that_it_does_not_support) {
  for (const std::string word : {"$recursiveRef", "$dynamicRef", "extends"}) {
    const std::string out = normal(R"({"type":"object","properties":{"a":{"type":"array",")" +
                                   word + R"(":{"b":[]}}}})");
    EXPECT_THAT(out, HasSubstr("#/properties/a"));
    EXPECT_THAT(out, HasSubstr("the keyword " + word + " is not supported"));
  }
}

TEST(Schema, makes_an_automaton_of_multiples_that_the_engine_does_not_know) {
  EXPECT_EQ(normal(R"({"type":"number","multipleOf":5})"),
            R"({"type": "integer", "multipleOf": 5})");
  EXPECT_EQ(normal(R"({"type":"integer","multipleOf":0.5,"minimum":1})"),
            R"({"type": "integer", "minimum": 1})");
  EXPECT_EQ(normal(R"({"allOf":[{"multipleOf":0.4},{"multipleOf":0.6}],"type":"integer"})"),
            R"({"type": "integer", "multipleOf": 6})");
  for (const char* schema : {R"({"type":"number","multipleOf":0.01})",
                             R"({"type":"integer","multipleOf":7,"minimum":2})"})
    EXPECT_THAT(normal(schema), HasSubstr("number:")) << schema;
  EXPECT_EQ(normal(R"({"enum":[0.3,0.25,"a",19.99],"type":"number","multipleOf":0.01})"),
            R"({"enum": [0.3, 0.25, 19.99]})");
  EXPECT_THAT(normal(R"({"type":"number","multipleOf":0.5,"minimum":0.1,"maximum":0.4})"),
              HasSubstr("no value can be valid"));
  for (const char* factor : {"0", "-0.5", "true", "1e-12", "0.00012347"})
    EXPECT_THAT(normal(R"({"type":"number","multipleOf":)" + std::string(factor) + "}"),
                HasSubstr("multipleOf"))
        << factor;
}

TEST(Schema, places_the_items_that_an_array_must_contain) {
  EXPECT_EQ(normal(R"({"type":"array","items":{"enum":["a","b"]},"contains":{"const":"b"},)"
                   R"("maxItems":2})"),
            R"({"anyOf": [{"type": "array", "prefixItems": [{"enum": ["b"]}], "items": )"
            R"({"enum": ["a", "b"]}, "minItems": 1, "maxItems": 2}, {"type": "array", )"
            R"("prefixItems": [{"enum": ["a", "b"]}, {"enum": ["b"]}], "items": false, )"
            R"("minItems": 2}]})");
  // With maxContains the others are none of them.
  EXPECT_EQ(normal(R"({"type":"array","items":{"enum":["a","b"]},"contains":{"const":"b"},)"
                   R"("minContains":0,"maxContains":0})"),
            R"({"type": "array", "items": {"enum": ["a"]}})");
  EXPECT_EQ(normal(R"({"type":"array","contains":{"const":"b"},"minContains":0})"),
            R"({"type": "array", "items": {}})");
  // Its counts came with 2019-09.
  EXPECT_THAT(normal(R"({"$schema":"http://json-schema.org/draft-07/schema#","type":"array",)"
                     R"("contains":{"const":"b"},"minContains":0})"),
              HasSubstr(R"({"enum": ["b"]})"));
  EXPECT_EQ(
      normal(R"({"type":"array","items":{"enum":["a","b"]},"uniqueItems":true,)"
             R"("contains":{"const":"b"},"maxItems":2,"minItems":2,"allOf":[)"
             R"({"contains":{"const":"c"},"minContains":0}]})"),
      normal(R"({"type":"array","items":{"enum":["a","b"]},"uniqueItems":true,"minItems":2})"));
  EXPECT_THAT(normal(R"({"type":"array","items":{"type":"null"},"contains":{"type":"string"}})"),
              HasSubstr("no value can be valid"));
  // What is no email cannot be said, so that there are no others.
  EXPECT_EQ(normal(R"({"type":"array","contains":{"format":"email"},"maxContains":1})"),
            R"({"type": "array", "prefixItems": [{"type": "string", "format": "email"}], )"
            R"("items": false, "minItems": 1})");
  EXPECT_THAT(normal(R"({"type":"array","contains":{"format":"email"},"minContains":-1})"),
              HasSubstr("minContains must be a whole number"));
}

TEST(Schema, refuses_prefixItems_beside_items_in_a_draft_that_does_not_know_it) {
  const std::string words = R"("prefixItems":[{"type":"string"}],"items":{"type":"null"}})";
  EXPECT_THAT(normal(R"({"$schema":"http://json-schema.org/draft-07/schema#",)" + words),
              HasSubstr("prefixItems is a word of draft 2020-12"));
  EXPECT_THAT(normal("{" + words), HasSubstr("prefixItems\": ["));
}

TEST(Schema, refuses_words_that_are_no_keyword_only_when_strict) {
  EXPECT_EQ(normal(R"({"type":"null","minimun":3})"), R"({"type": "null"})");
  EXPECT_THAT(normal(R"({"type":"null","minimun":3})", true),
              HasSubstr("minimun is not a keyword"));
  EXPECT_EQ(normal(R"({"type":"null","x-note":3})", true), R"({"type": "null"})");
}

TEST(Schema, writes_out_what_stands_beside_a_reference_and_allOf) {
  EXPECT_EQ(normal(R"({"$defs":{"n":{"type":"number","minimum":1}},"allOf":[{"$ref":"#/$defs/n"},)"
                   R"({"type":"integer","maximum":5}],"minimum":2})"),
            R"({"type": "integer", "minimum": 2, "maximum": 5})");
}

TEST(Schema, keeps_a_reference_that_stands_alone_also_a_recursive_one) {
  EXPECT_EQ(normal(R"({"type":"object","properties":{"next":{"$ref":"#"}}})"),
            R"({"type": "object", "properties": {"next": {"$ref": "#/$defs/d0"}}, )"
            R"("additionalProperties": false, "$defs": {"d0": {"type": "object", "properties": )"
            R"({"next": {"$ref": "#/$defs/d0"}}, "additionalProperties": false}}})");
}

TEST(Schema, refuses_a_reference_that_leads_to_itself) {
  EXPECT_THAT(normal(R"({"$ref":"#"})"), HasSubstr("leads to itself"));
  EXPECT_THAT(normal(R"({"anyOf":[{"type":"null"},{"$ref":"#"}]})"), HasSubstr("error"));
  EXPECT_THAT(normal(R"({"$ref":"#/$defs/none"})"), HasSubstr("leads nowhere"));
  EXPECT_THAT(normal(R"({"$ref":"other.json"})"), HasSubstr("not supported"));
}

TEST(Schema, filters_an_enum_by_what_stands_beside_it) {
  EXPECT_EQ(normal(R"({"type":"integer","enum":[1,"a",2.5,7],"maximum":5})"), R"({"enum": [1]})");
  EXPECT_THAT(normal(R"({"type":"string","enum":[1]})"), HasSubstr("no value can be valid"));
}

TEST(Schema, takes_oneOf_only_where_no_value_fits_two_branches) {
  EXPECT_THAT(normal(R"({"oneOf":[{"type":"string"},{"type":"integer"}]})"), HasSubstr("anyOf"));
  EXPECT_THAT(normal(R"({"oneOf":[{"type":"number"},{"type":"integer"}]})"),
              HasSubstr("oneOf is not supported here"));
  EXPECT_THAT(
      normal(R"({"oneOf":[{"type":"object","properties":{"k":{"const":"a"}},"required":["k"]},)"
             R"({"type":"object","properties":{"k":{"const":"b"}},"required":["k"]}]})"),
      HasSubstr("anyOf"));
}

TEST(Schema, reads_the_forms_of_older_drafts) {
  EXPECT_EQ(normal(R"({"type":"integer","minimum":3,"exclusiveMinimum":true})"),
            R"({"type": "integer", "minimum": 4})");
  EXPECT_EQ(normal(R"({"type":"array","items":[{"type":"null"}],"additionalItems":false})"),
            R"({"type": "array", "prefixItems": [{"type": "null"}], "items": false})");
}

TEST(Schema, keeps_the_least_length_of_a_list_whose_first_items_are_given) {
  EXPECT_EQ(
      normal(R"({"type":"array","prefixItems":[{"type":"null"}],"items":false,"minItems":1})"),
      R"({"type": "array", "prefixItems": [{"type": "null"}], "items": false, "minItems": 1})");
}

TEST(Schema, bounds_what_combinations_grow_to) {
  std::string schema = R"({"type":"object","properties":{)";
  std::string all = R"("allOf":[)";
  for (int i = 0; i < 12; ++i) {
    all +=
        (i == 0 ? "" : ",") +
        std::string(R"({"anyOf":[{"minProperties":1},{"maxProperties":9},{"minProperties":2}]})");
  }
  EXPECT_THAT(normal("{" + all + "]}"), HasSubstr("combinations"));
}

TEST(Schema, refuses_patterns_that_cannot_be_held_to) {
  for (const std::string pattern :
       {"(?=a)b", "(a)\\\\1", "^a$b", "^\\\"$", "(a{1000}){1000}", "("}) {
    EXPECT_THAT(normal(R"({"type":"string","pattern":")" + pattern + R"("})"), HasSubstr("error: "))
        << pattern;
  }
  EXPECT_THAT(normal(R"({"type":"string","pattern":"^[a-z]{2,5}é?$"})"), HasSubstr("00e9"));
}

TEST(Schema, needs_no_word_about_names_being_texts) {
  const auto normal = normalize_schema(
      parse_json(
          R"({"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"integer"}})")
          .value(),
      false);
  EXPECT_EQ(to_json(*normal).value(),
            R"({"type": "object", "additionalProperties": {"type": "integer"}})");
}

TEST(Schema, may_lead_back_to_itself_through_a_choice) {
  for (
      const char* schema :
      {R"({"type":"object","properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["next"]})",
       R"({"type":"object","properties":{"next":{"oneOf":[{"type":"null"},{"$ref":"#"}]}}})",
       R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":)"
       R"({"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}],"default":null}}}}})",
       R"({"type":"array","items":{"anyOf":[{"type":"integer"},{"$ref":"#"}]}})"}) {
    const auto normal = normalize_schema(parse_json(schema).value(), false);
    ASSERT_TRUE(normal) << schema << ": " << normal.error().message;
  }
  const auto list = normalize_schema(
      parse_json(R"({"type":"array","items":{"anyOf":[{"type":"integer"},{"$ref":"#"}]}})").value(),
      false);
  EXPECT_EQ(
      to_json(*list).value(),
      R"({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/d0"}]}, )"
      R"("$defs": {"d0": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/d0"}]}}}})");
}

TEST(Schema, may_lead_back_to_itself_through_what_is_written_out) {
  const std::string circle = normal(
      R"({"type":"object","properties":{"x":{"$ref":"#/$defs/n","minProperties":1}},)"
      R"("$defs":{"n":{"type":"object","properties":{"x":{"$ref":"#/$defs/n","minProperties":1}}}}})");
  EXPECT_THAT(circle, HasSubstr(R"("$ref": "#/$defs/d0")"));
  // Never the same twice: each level asks for one more name.
  EXPECT_THAT(
      normal(
          R"({"$ref":"#/$defs/n","required":["a"],"$defs":{"n":{"type":"object","properties":)"
          R"({"x":{"allOf":[{"$ref":"#/$defs/n"},{"properties":{"y":{"allOf":[{"$ref":"#/$defs/n"}],"minProperties":2}}}]}}}}})"),
      HasSubstr("$defs"));
}

TEST(Schema, writes_lengths_into_the_pattern_beside_them) {
  EXPECT_EQ(normal(R"({"type":"string","pattern":"^[a-z]+$","minLength":4,"maxLength":63})"),
            R"({"type": "string", "pattern": "[a-z]{4,63}"})");
  EXPECT_EQ(
      normal(R"({"pattern":"^[a-z]+$","allOf":[{"maxLength":9},{"minLength":3,"maxLength":12}],)"
             R"("type":"string"})"),
      R"({"type": "string", "pattern": "[a-z]{3,9}"})");
  EXPECT_EQ(normal(R"({"$defs":{"n":{"type":"string","pattern":"^a*$"}},"$ref":"#/$defs/n",)"
                   R"("maxLength":9})"),
            R"({"type": "string", "pattern": "a{0,9}"})");
  EXPECT_EQ(normal(R"({"type":"object","propertyNames":{"pattern":"^a*$","maxLength":9}})"),
            R"({"type": "object", "propertyNames": {"type": "string", "pattern": "a{0,9}"}, )"
            R"("additionalProperties": true})");
}

TEST(Schema, says_when_no_text_of_a_pattern_is_as_long) {
  EXPECT_THAT(normal(R"({"type":"string","pattern":"^a$","minLength":2})"),
              HasSubstr("no text that pattern matches as a whole is as long as minLength"));
  // Of several the others are left.
  EXPECT_EQ(normal(R"({"minLength":2,"anyOf":[{"pattern":"^a$"},{"pattern":"^b+$"}]})"),
            R"({"type": "string", "pattern": "b{2,}"})");
  EXPECT_THAT(normal(R"({"type":"string","allOf":[{"pattern":"^a"},{"pattern":"^b"}]})"),
              HasSubstr("two different values of pattern"));
}

}  // namespace
}  // namespace squish
