// What references mean beside $id and $anchor: a schema with them is as one that names the places.
#include "grammar/schema_resources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/schema.h"

namespace squish {
namespace {

using ::testing::HasSubstr;

std::string normal(const std::string& schema) {
  const auto out = normalize_schema(parse_json(schema).value(), false);
  return out ? to_json(*out).value() : "error: " + out.error().message;
}

/// A schema with one property that refers; its definitions beside it.
std::string referring(const std::string& head, const std::string& reference,
                      const std::string& definitions) {
  return "{" + head + R"("type":"object","properties":{"a":{"$ref":")" + reference +
         R"("}},"required":["a"],"$defs":)" + definitions + "}";
}

/// Where the property's $ref leads in the end.
std::string place_of(const std::string& schema) {
  const auto out = schema_rules::with_local_references(parse_json(schema).value());
  if (!out) return "error: " + out.error().message;
  return out->find("properties")->find("a")->find("$ref")->as_string();
}

constexpr const char* kRoot = R"("$id":"https://a.example/x/root.json",)";

TEST(SchemaResources, an_address_is_resolved_against_the_one_around_it) {
  const std::string definitions = R"({"b":{"$id":"item.json","type":"string"}})";
  for (const char* reference :
       {"item.json", "./item.json", "../x/item.json", "/x/item.json", "//a.example/x/item.json",
        "https://a.example/x/item.json", "https://a.example/x/y/../item.json#", "#/$defs/b",
        "root.json#/$defs/b", "https://a.example/x/root.json#/$defs/b"})
    EXPECT_EQ(place_of(referring(kRoot, reference, definitions)), "#/$defs/b") << reference;
  for (const char* reference : {"Item.json", "/item.json", "http://a.example/x/item.json",
                                "item.json?q", "https://b.example/x/item.json"})
    EXPECT_EQ(place_of(referring(kRoot, reference, definitions)), reference);
  EXPECT_EQ(place_of(referring(R"("$id":"urn:a:b",)", "urn:a:b#/$defs/b", definitions)),
            "#/$defs/b");
  EXPECT_EQ(place_of(referring("", "item.json", definitions)), "#/$defs/b") << "without one around";
}

TEST(SchemaResources, a_place_within_a_schema_of_its_own_address_begins_there) {
  const std::string inner =
      R"({"b":{"$id":"item.json","$ref":"#/$defs/c","$defs":{"c":{"type":"integer"}}},)"
      R"("c":{"type":"string"}})";
  EXPECT_THAT(normal(referring(kRoot, "item.json", inner)), HasSubstr(R"("type": "integer")"));
  EXPECT_EQ(place_of(referring(kRoot, "item.json#/$defs/c", inner)), "#/$defs/b/$defs/c");
  const std::string lost = R"({"b":{"$id":"item.json","$ref":"#/$defs/c"},"c":{"type":"string"}})";
  EXPECT_THAT(normal(referring(kRoot, "item.json", lost)), HasSubstr("leads nowhere"))
      << "the root's own #/$defs/c is not meant";
}

TEST(SchemaResources, names_are_those_of_the_schema_that_they_are_in) {
  const std::string definitions =
      R"({"b":{"$id":"item.json","$defs":{"c":{"$anchor":"n","type":"integer"}}},)"
      R"("d":{"$anchor":"n","type":"string"}})";
  EXPECT_EQ(place_of(referring(kRoot, "#n", definitions)), "#/$defs/d");
  EXPECT_EQ(place_of(referring(kRoot, "item.json#n", definitions)), "#/$defs/b/$defs/c");
  const std::string draft7 = R"("$schema":"http://json-schema.org/draft-07/schema#",)";
  EXPECT_EQ(place_of(referring(draft7, "#n", R"({"b":{"$id":"#n","type":"string"}})")),
            "#/$defs/b");
  EXPECT_EQ(place_of(referring(draft7, "#n", R"({"b":{"$anchor":"n","type":"string"}})")), "#n")
      << "no word of draft 7";
}

TEST(SchemaResources, an_id_that_nothing_refers_to_says_nothing) {
  EXPECT_EQ(
      normal(R"({"type":"object","properties":{"a":{"$id":"/properties/a","type":"string"}}})"),
      normal(R"({"type":"object","properties":{"a":{"type":"string"}}})"));
}

TEST(SchemaResources, a_property_or_a_value_may_be_called_id) {
  const std::string schema =
      R"({"type":"object","properties":{"$id":{"type":"string"},"$ref":{"const":{"$id":"x"}}}})";
  EXPECT_EQ(normal(schema),
            R"({"type": "object", "properties": {"$id": {"type": "string"}, "$ref": )"
            R"({"enum": [{"$id": "x"}]}}, "additionalProperties": false})");
}

TEST(SchemaResources, two_schemas_of_one_address_are_refused_where_it_is_used) {
  const std::string twice =
      R"({"b":{"$id":"item.json","type":"string"},"c":{"$id":"item.json","type":"integer"}})";
  EXPECT_THAT(normal(referring(kRoot, "item.json", twice)), HasSubstr("ambiguous"));
  EXPECT_THAT(normal(referring(kRoot, "#/$defs/c", twice)), HasSubstr("integer"));
}

TEST(SchemaResources, a_schema_inside_of_another_draft_is_refused) {
  EXPECT_THAT(normal(referring(kRoot, "item.json",
                               R"({"b":{"$id":"item.json","type":"string",)"
                               R"("$schema":"http://json-schema.org/draft-07/schema#"}})")),
              HasSubstr("another draft"));
}

TEST(SchemaResources, the_id_of_draft_4_is_the_address_of_the_root) {
  EXPECT_EQ(place_of(R"({"$schema":"http://json-schema.org/draft-04/schema#",)"
                     R"("id":"http://a.example/root#","properties":)"
                     R"({"a":{"$ref":"http://a.example/root#"}}})"),
            "#");
}

TEST(SchemaResources, before_2019_an_id_beside_a_reference_counts_for_nothing) {
  const std::string definitions =
      R"({"b":{"$id":"http://b.example/","$ref":"c.json"},"c":{"$id":"c.json","type":"string"}})";
  const std::string draft7 =
      R"("$schema":"http://json-schema.org/draft-07/schema#","$id":"http://a.example/",)";
  EXPECT_THAT(normal(referring(draft7, "#/$defs/b", definitions)), HasSubstr("string"));
  EXPECT_THAT(normal(referring(R"("$id":"http://a.example/",)", "#/$defs/b", definitions)),
              HasSubstr("it is no place of this schema"));
}

}  // namespace
}  // namespace squish
