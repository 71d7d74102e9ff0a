// not, oneOf, if, dependencies, patternProperties and uniqueItems: what they leave, and which texts
// a mask then allows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/mask_engine.h"
#include "grammar/schema.h"
#include "grammar/sources.h"

namespace squish {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string normal(const std::string& schema, bool strict = false) {
  const auto out = normalize_schema(parse_json(schema).value(), strict);
  return out ? to_json(*out).value() : "error: " + out.error().message;
}

/// The masks of a schema over the single bytes.
class Form {
 public:
  explicit Form(const std::string& schema) {
    std::vector<std::string> bytes;
    for (char c = ' '; c < '\x7F'; ++c) bytes.emplace_back(1, c);
    const auto end = static_cast<TokenId>(bytes.size());
    bytes.emplace_back("<|end|>");
    const auto vocabulary = MaskVocabulary::create(bytes, bytes.size(), std::vector{end});
    const auto source = json_schema_source(parse_json(schema).value(), false);
    EXPECT_TRUE(source) << schema << ": " << source.error().message;
    if (source) mask_ = CompiledMask::compile(*vocabulary, source->language, source->text).value();
  }
  [[nodiscard]] bool allows(const std::string& text) const {
    if (mask_ == nullptr) return false;
    MaskState state(mask_);
    for (const char c : text) {
      if (!state.accept(c - ' ')) return false;
    }
    return state.accept('\x7F' - ' ');
  }

 private:
  std::shared_ptr<const CompiledMask> mask_;
};

TEST(SchemaNot, forbids_a_name_and_leaves_the_others) {
  const Form form(
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"not":{"required":["a","b"]}})");
  EXPECT_TRUE(form.allows(R"({})"));
  EXPECT_TRUE(form.allows(R"({"a": null})"));
  EXPECT_TRUE(form.allows(R"({"b": null})"));
  EXPECT_FALSE(form.allows(R"({"a": null, "b": null})"));
}

TEST(SchemaNot, keeps_an_open_object_open_without_the_name) {
  const Form form(
      R"({"type":"object","not":{"required":["ab"]},"additionalProperties":{"type":"null"}})");
  for (const char* name : {"", "a", "b", "abc", "xab"})
    EXPECT_TRUE(form.allows(std::string("{\"") + name + "\": null}")) << name;
  EXPECT_FALSE(form.allows(R"({"ab": null})"));
  EXPECT_FALSE(form.allows(R"({"\u0061b": null})"));
}

TEST(SchemaNot, takes_values_and_types_away) {
  const Form text(R"({"type":"string","not":{"enum":["on","off"]}})");
  for (const char* word : {"", "o", "onx", "of", "offs", "x"})
    EXPECT_TRUE(text.allows("\"" + std::string(word) + "\"")) << word;
  EXPECT_FALSE(text.allows(R"("on")"));
  EXPECT_FALSE(text.allows(R"("off")"));
  const Form number(R"({"type":"integer","minimum":1,"maximum":9,"not":{"const":5}})");
  EXPECT_TRUE(number.allows("4"));
  EXPECT_TRUE(number.allows("6"));
  EXPECT_FALSE(number.allows("5"));
  // Every range between 30 numbers is there.
  std::string odd;
  for (int i = 0; i < 30; ++i) odd += (i == 0 ? "" : ",") + std::to_string(2 * i + 1);
  const Form ranges(R"({"type":"integer","not":{"enum":[)" + odd + "]}}");
  for (int i = -2; i < 64; ++i)
    EXPECT_EQ(ranges.allows(std::to_string(i)), i < 1 || i > 59 || i % 2 == 0) << i;
  const Form type(R"({"type":["string","null","boolean"],"not":{"type":["string","array"]}})");
  EXPECT_TRUE(type.allows("null"));
  EXPECT_TRUE(type.allows("true"));
  EXPECT_FALSE(type.allows("\"\""));
  EXPECT_EQ(normal(R"({"enum":[1,2,"x"],"not":{"type":"string"}})"), R"({"enum": [1, 2]})");
}

TEST(SchemaNot, says_bounds_from_the_other_side) {
  EXPECT_EQ(normal(R"({"type":"integer","not":{"minimum":5}})"),
            R"({"type": "integer", "maximum": 4})");
  EXPECT_EQ(normal(R"({"type":"number","not":{"exclusiveMaximum":2.5}})"),
            R"({"type": "number", "minimum": 2.5})");
  EXPECT_EQ(normal(R"({"type":"number","not":{"minimum":5,"exclusiveMinimum":true},)"
                   R"("$schema":"http://json-schema.org/draft-04/schema#"})"),
            R"({"type": "number", "maximum": 5})");
  EXPECT_EQ(normal(R"({"type":"string","not":{"maxLength":2}})"),
            R"({"type": "string", "minLength": 3})");
  EXPECT_EQ(normal(R"({"type":"array","items":{"type":"null"},"not":{"minItems":3}})"),
            R"({"type": "array", "items": {"type": "null"}, "maxItems": 2})");
}

TEST(SchemaNot, may_be_of_choices_references_and_itself) {
  const Form form(
      R"({"type":"object","properties":{"k":{"enum":["a","b","c"]}},"required":["k"],"$defs":{"b":{"const":"b"}},)"
      R"("not":{"anyOf":[{"properties":{"k":{"const":"a"}}},{"properties":{"k":{"$ref":"#/$defs/b"}}}]}})");
  EXPECT_TRUE(form.allows(R"({"k": "c"})"));
  EXPECT_FALSE(form.allows(R"({"k": "a"})"));
  EXPECT_FALSE(form.allows(R"({"k": "b"})"));
  EXPECT_EQ(normal(R"({"not":{"not":{"type":"null"}}})"), R"({"type": "null"})");
  EXPECT_EQ(normal(R"({"type":"null","not":false})"), R"({"type": "null"})");
  EXPECT_THAT(normal(R"({"type":"null","not":{}})"), HasSubstr("no value can be valid"));
}

TEST(SchemaNot, is_refused_by_name_where_what_it_leaves_cannot_be_said) {
  for (const char* schema :
       {R"({"type":"object","properties":{"a":{"type":"string","not":{"format":"date"}}}})",
        R"({"type":"object","properties":{"a":{"type":"number","not":{"type":"integer"}}}})",
        R"({"type":"object","properties":{"a":{"type":"integer","not":{"multipleOf":3}}}})"}) {
    EXPECT_THAT(normal(schema), HasSubstr("#/properties/a")) << schema;
    EXPECT_THAT(normal(schema), HasSubstr("the keyword not is not supported here")) << schema;
  }
}

TEST(SchemaNot, takes_a_pattern_away_from_texts) {
  const Form form(R"({"type":"string","minLength":1,"maxLength":6,"not":{"pattern":"^[. -]+$"}})");
  EXPECT_TRUE(form.allows(R"("a")"));
  EXPECT_TRUE(form.allows(R"("-a.")"));
  EXPECT_FALSE(form.allows(R"("-.")"));
  EXPECT_FALSE(form.allows(R"("")"));
  // Not anywhere, where the pattern is not for the whole text.
  const Form part(R"({"type":"string","pattern":"^[a-c]{2,3}$","not":{"pattern":"b"}})");
  EXPECT_TRUE(part.allows(R"("aca")"));
  EXPECT_FALSE(part.allows(R"("aba")"));
  const Form word(R"({"type":"string","pattern":"^[a-c]{1,2}$","not":{"enum":["ab","c"]}})");
  EXPECT_TRUE(word.allows(R"("ac")"));
  EXPECT_FALSE(word.allows(R"("ab")"));
  EXPECT_FALSE(word.allows(R"("c")"));
}

// Draft 4 knows no const: to not have it is to not have anything.
TEST(SchemaNot, reads_the_words_of_the_draft_that_the_schema_names) {
  const std::string schema =
      R"({"type":"string","not":{"const":"a"},"$schema":"http://json-schema.org/draft-0)";
  EXPECT_THAT(normal(schema + R"(4/schema#"})"), HasSubstr("not is not supported here"));
  EXPECT_THAT(normal(schema + R"(7/schema#"})"), HasSubstr("pattern"));
}

TEST(SchemaOneOf, holds_branches_off_from_each_other) {
  const Form form(
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"n":{"type":"null"}},)"
      R"("oneOf":[{"required":["a"]},{"required":["b"]}]})");
  EXPECT_TRUE(form.allows(R"({"a": null})"));
  EXPECT_TRUE(form.allows(R"({"b": null, "n": null})"));
  EXPECT_FALSE(form.allows(R"({"n": null})"));
  EXPECT_FALSE(form.allows(R"({"a": null, "b": null})"));
}

// Each branch alone lacks the name that the other requires; the object around them has both.
TEST(SchemaOneOf, sees_the_names_that_stand_around_it) {
  const Form form(
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},)"
      R"("oneOf":[{"properties":{"a":{}},"required":["a"]},{"properties":{"b":{}},"required":["b"]}]})");
  EXPECT_TRUE(form.allows(R"({"a": null})"));
  EXPECT_TRUE(form.allows(R"({"b": null})"));
  EXPECT_FALSE(form.allows(R"({"a": null, "b": null})"));
}

// A text is no object, but valid where only names are asked for.
TEST(SchemaOneOf, takes_the_other_branch_with_all_that_it_allows) {
  EXPECT_THAT(normal(R"({"oneOf":[{"type":"string"},{"required":["a"]}]})"),
              Not(HasSubstr(R"("string")")));
}

TEST(SchemaOneOf, makes_an_optional_name_tell_closed_objects_apart) {
  const Form form(
      R"({"oneOf":[{"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":false},)"
      R"({"type":"object","properties":{"b":{"type":"null"}},"additionalProperties":false}]})");
  EXPECT_TRUE(form.allows(R"({"a": null})"));
  EXPECT_TRUE(form.allows(R"({"b": null})"));
  EXPECT_FALSE(form.allows(R"({})"));
}

TEST(SchemaOneOf, takes_from_a_branch_what_another_allows) {
  const Form form(
      R"({"oneOf":[{"type":"integer","minimum":1,"maximum":7},{"type":"integer","minimum":5,"maximum":9}]})");
  for (const char* text : {"1", "4", "8", "9"}) EXPECT_TRUE(form.allows(text)) << text;
  for (const char* text : {"5", "7", "10"}) EXPECT_FALSE(form.allows(text)) << text;
  EXPECT_THAT(normal(R"({"oneOf":[{"type":"null"},{"type":"null"}]})"), HasSubstr("no value"));
  EXPECT_THAT(
      normal(R"({"oneOf":[{"type":"string"},{"type":"string","format":"date"}]})"),
      HasSubstr("oneOf is not supported here: a value could be valid under both branch 0 and 1"));
}

TEST(SchemaOneOf, holds_patterns_off_from_each_other) {
  const Form form(
      R"({"type":"string","oneOf":[{"pattern":"^[0-9a-f]{4}$"},{"pattern":"^[0-9A-F]{4}$"}]})");
  EXPECT_TRUE(form.allows(R"("12ab")"));
  EXPECT_TRUE(form.allows(R"("AB12")"));
  EXPECT_FALSE(form.allows(R"("1234")"));
  EXPECT_FALSE(form.allows(R"("aB12")"));
}

TEST(SchemaOneOf, of_many_alternatives_stays_small) {
  std::string properties;
  std::string branches;
  for (int i = 0; i < 30; ++i) {
    const std::string name = "\"p" + std::to_string(i) + "\"";
    properties += (i == 0 ? "" : ",") + name + R"(:{})";
    branches += std::string(i == 0 ? "" : ",") + R"({"properties":{)" + name +
                R"(:{"type":"object","properties":{"v":{"type":"string"}}}},"required":[)" + name +
                "]}";
  }
  const std::string out = normal(R"({"type":"object","properties":{)" + properties +
                                 R"(},"oneOf":[)" + branches + "]}");
  EXPECT_THAT(out, Not(HasSubstr("error"))) << out;
  EXPECT_LT(out.size(), 100'000U);
}

TEST(SchemaIf, writes_out_both_cases) {
  const Form form(
      R"({"type":"object","properties":{"k":{"enum":["a","b"]},"v":{"type":["null","boolean"]}},"required":["k"],)"
      R"("if":{"properties":{"k":{"const":"a"}}},"then":{"required":["v"]},"else":{"properties":{"v":{"type":"null"}}}})");
  EXPECT_TRUE(form.allows(R"({"k": "a", "v": true})"));
  EXPECT_FALSE(form.allows(R"({"k": "a"})"));
  EXPECT_TRUE(form.allows(R"({"k": "b"})"));
  EXPECT_TRUE(form.allows(R"({"k": "b", "v": null})"));
  EXPECT_FALSE(form.allows(R"({"k": "b", "v": true})"));
}

TEST(SchemaIf, holds_for_many_values_of_one_name) {
  std::string all;
  for (const char* k : {"a", "b", "c", "d"}) {
    all += std::string(all.empty() ? "" : ",") + R"({"if":{"properties":{"k":{"const":")" + k +
           R"("}},"required":["k"]},"then":{"required":[")" + k + R"("]}})";
  }
  const Form form(
      R"({"type":"object","properties":{"k":{"enum":["a","b","c","d","e"]},"a":{"type":"null"},"b":{"type":"null"},)"
      R"("c":{"type":"null"},"d":{"type":"null"}},"required":["k"],"allOf":[)" +
      all + "]}");
  EXPECT_TRUE(form.allows(R"({"k": "c", "c": null})"));
  EXPECT_TRUE(form.allows(R"({"k": "c", "a": null, "c": null})"));
  EXPECT_TRUE(form.allows(R"({"k": "e"})"));
  EXPECT_FALSE(form.allows(R"({"k": "c", "a": null})"));
}

TEST(SchemaIf, is_refused_where_its_opposite_cannot_be_said) {
  EXPECT_THAT(normal(R"({"type":"string","if":{"format":"date"},"then":{"maxLength":4}})"),
              HasSubstr("the keyword if is not supported here"));
}

TEST(SchemaDependencies, ask_for_names_and_schemas_where_a_name_is_present) {
  const Form form(
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":["null","boolean"]}},)"
      R"("dependencies":{"a":["b"],"b":{"properties":{"c":{"type":"null"}}}}})");
  EXPECT_TRUE(form.allows(R"({})"));
  EXPECT_TRUE(form.allows(R"({"c": true})"));
  EXPECT_TRUE(form.allows(R"({"a": null, "b": null, "c": null})"));
  EXPECT_FALSE(form.allows(R"({"a": null})"));
  EXPECT_FALSE(form.allows(R"({"b": null, "c": true})"));
}

TEST(SchemaDependencies, of_many_names_on_one_do_not_multiply) {
  std::string names;
  std::string properties = R"("k":{})";
  for (int i = 0; i < 40; ++i) {
    const std::string name = "\"p" + std::to_string(i) + "\"";
    properties += "," + name + ":{}";
    names += (i == 0 ? "" : ",") + name + R"(:["k"])";
  }
  EXPECT_THAT(normal(R"({"type":"object","properties":{)" + properties +
                     R"(},"dependentRequired":{)" + names + "}}"),
              Not(HasSubstr("error")));
}

TEST(SchemaPatterns, hold_the_names_that_they_match) {
  EXPECT_EQ(
      normal(R"({"type":"object","properties":{"a1":{},"b":{"type":"null"}},"required":["a2"],)"
             R"("patternProperties":{"^a":{"type":"integer"}},"additionalProperties":false})"),
      R"({"type": "object", "properties": {"a1": {"type": "integer"}, "b": {"type": "null"}, )"
      R"("a2": {"type": "integer"}}, "required": ["a2"], "additionalProperties": false})");
  EXPECT_THAT(
      normal(
          R"({"type":"object","properties":{"\u00e9":{}},"patternProperties":{"\\w":{"type":"null"}}})"),
      HasSubstr("not certain whether a pattern matches"));
  EXPECT_EQ(
      normal(
          R"({"type":"object","patternProperties":{"^a":{"type":"integer"}},)"
          R"("allOf":[{"properties":{"a":{"minimum":3},"b":{"type":"null"}},"additionalProperties":false}]})"),
      R"({"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}, "b": {"type": "null"}}, )"
      R"("additionalProperties": false})");
}

TEST(SchemaPatterns, of_one_object_are_told_apart) {
  const Form form(
      R"({"type":"object","patternProperties":{"^a":{"type":"null"},"^ab":{"type":["null","boolean"]},"^c+$":{"type":"integer"}},)"
      R"("additionalProperties":false})");
  EXPECT_TRUE(form.allows(R"({"a": null, "cc": 1})"));
  EXPECT_FALSE(form.allows(R"({"ab": true})"));
  EXPECT_FALSE(form.allows(R"({"cc": null})"));
  const Form without(
      R"({"type":"object","patternProperties":{"^[a-c]$":{"type":"null"}},"not":{"required":["b"]}})");
  EXPECT_TRUE(without.allows(R"({"a": null, "c": null})"));
  EXPECT_FALSE(without.allows(R"({"b": null})"));
}

TEST(SchemaPatterns, of_propertyNames_stand_beside_properties_and_values) {
  EXPECT_EQ(
      normal(
          R"({"type":"object","properties":{"a":{"type":"null"},"long":{}},"propertyNames":{"maxLength":2}})"),
      R"({"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": false})");
  EXPECT_EQ(
      normal(
          R"({"type":"object","propertyNames":{"pattern":"^[a-z]+$"},"additionalProperties":{"type":"null"}})"),
      R"({"type": "object", "patternProperties": {"[a-z]+": {"type": "null"}}, "additionalProperties": false})");
  EXPECT_EQ(
      normal(
          R"({"type":"object","propertyNames":{"enum":["a","b"]},"additionalProperties":{"type":"null"}})"),
      R"({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}, )"
      R"("additionalProperties": false})");
}

TEST(SchemaUnique, writes_out_lists_of_few_values) {
  const Form form(
      R"({"type":"array","items":{"enum":["a","b","c"]},"uniqueItems":true,"minItems":1})");
  EXPECT_TRUE(form.allows(R"(["c", "a", "b"])"));
  EXPECT_TRUE(form.allows(R"(["b"])"));
  EXPECT_FALSE(form.allows(R"([])"));
  EXPECT_FALSE(form.allows(R"(["a", "a"])"));
  EXPECT_EQ(normal(R"({"type":"array","maxItems":1,"uniqueItems":true})"),
            R"({"type": "array", "items": {}, "maxItems": 1})");
  // In the order of the schema where there are many.
  const Form days(R"({"type":"array","items":{"enum":[1,2,3,4,5,6,7]},"uniqueItems":true})");
  EXPECT_TRUE(days.allows("[1, 3, 7]"));
  EXPECT_FALSE(days.allows("[3, 1]"));
}

TEST(SchemaUnique, is_refused_soon_for_many_values) {
  std::string values;
  for (int i = 0; i < 2000; ++i) values += (i == 0 ? "" : ",") + std::to_string(i);
  EXPECT_THAT(normal(R"({"type":"array","uniqueItems":true,"items":{"enum":[)" + values + "]}}"),
              HasSubstr("the keyword uniqueItems is supported for"));
  EXPECT_THAT(normal(R"({"type":"integer","not":{"enum":[)" + values + "]}}"),
              HasSubstr("not is not supported here"));
}

TEST(SchemaUnique, is_refused_for_items_without_end) {
  const std::string out = normal(
      R"({"type":"object","properties":{"a":{"type":"array","items":{"type":"string"},"uniqueItems":true}}})");
  EXPECT_THAT(out, HasSubstr("#/properties/a"));
  EXPECT_THAT(out, HasSubstr("the keyword uniqueItems is supported for"));
}

TEST(SchemaConditions, refuses_names_that_only_its_own_forms_have) {
  EXPECT_THAT(normal("{\"type\":\"null\",\"\\u0001conditions\":[{}]}"), HasSubstr("U+0001"));
}

TEST(SchemaConditions, end_where_schemas_lead_back_to_themselves) {
  for (
      const char* schema :
      {R"({"not":{"$ref":"#"}})", R"({"type":"object","oneOf":[{"$ref":"#"},{"type":"object"}]})",
       R"({"type":"object","properties":{"a":{"$ref":"#"}},"not":{"properties":{"a":{"$ref":"#"}}}})",
       R"({"type":"object","properties":{"a":{"not":{"$ref":"#"}}}})",
       R"({"type":"object","properties":{"a":{"oneOf":[{"$ref":"#"},{"type":"object","properties":{"a":{"$ref":"#"}}}]}}})",
       R"({"if":{"$ref":"#"},"then":{"$ref":"#"},"else":{"$ref":"#"}})"}) {
    EXPECT_FALSE(normal(schema).empty()) << schema;
  }
}

TEST(SchemaConditions, a_pattern_that_became_narrower_says_nothing_of_names_it_was_applied_to) {
  // ^a took over what the branch says of all others; a itself may be any text but yy, yyy, ...
  const std::string out =
      normal(R"({"properties":{"b":{}},"patternProperties":{"^a":{}},"required":["a"],"allOf":)"
             R"([{"properties":{"a":{"type":"string"}},"additionalProperties":{"enum":["x"]},)"
             R"("not":{"properties":{"a":{"pattern":"^yy+$"}}}}]})");
  EXPECT_THAT(out, HasSubstr(R"("a": {"type": "string", "pattern": )"));
}

}  // namespace
}  // namespace squish
