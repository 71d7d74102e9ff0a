// What is left of a raw alternative once the values of a schema are taken from it. A value is not
// valid where one word of the schema does not hold, so that each word gives pieces: the alternative
// and something that the word forbids. Words that say something else in other drafts, and those
// whose opposite no schema says (format, multipleOf), give none. Numbers, texts, objects and
// arrays: schema_complement_words.cpp.
#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "grammar/schema_rules_internal.h"
#include "grammar/schema_walk.h"

namespace squish::schema_rules {
namespace {

constexpr int kDepthMax = 16;
constexpr size_t kPiecesMax = 48;      // more are left out: each is written out
constexpr size_t kPairedBranches = 6;  // of a oneOf, of which two may be valid at once

bool is_everything(const Value& schema) {
  if (schema.is_bool()) return schema.as_bool();
  return schema.is_dict() && std::ranges::all_of(schema.entries(), [](const Value::Entry& entry) {
           return use_of(entry.key.as_string()) == Use::note;
         });
}

}  // namespace

Value soft_not(const Value& schema) {
  if (schema.is_bool()) return !schema.as_bool();
  if (is_everything(schema)) return false;
  return with_conditions(
      Value::dict(),
      {Value::dict({{"word", "not"}, {"place", "#"}, {"not", schema}, {"is_soft", true}})});
}

void Remainder::add(Value piece) {
  if (piece.is_bool()) return;
  if (std::ranges::any_of(left, [&](const Value& other) { return are_equal(other, piece); }))
    return;
  if (left.size() < kPiecesMax)
    left.push_back(std::move(piece));
  else
    is_whole = false;
}

void Remainder::add(Remainder other) {
  is_whole = is_whole && other.is_whole;
  for (Value& piece : other.left) add(std::move(piece));
}

void SchemaWalk::add_piece(const Value& raw, const Value& piece, Remainder& out) {
  auto both = conjoined(raw, piece, "#");
  if (both)
    out.add(simplified(*both));
  else
    out.is_whole = false;
}

Result<Remainder> SchemaWalk::exclude_all(const Remainder& from, const Value& schema, bool may_add,
                                          int depth) {
  Remainder out = {.left = {}, .is_whole = from.is_whole};
  for (const Value& raw : from.left) {
    SQ_TRY(Remainder some, exclude(raw, schema, may_add, depth));
    out.add(std::move(some));
  }
  return out;
}

Result<Remainder> SchemaWalk::exclude(const Value& raw, const Value& schema, bool may_add,
                                      int depth) {
  SQ_TRY(Remainder out, exclude_plain(raw, schema, may_add, depth));
  keep_evaluated(raw, out);
  return out;
}

Result<Remainder> SchemaWalk::exclude_plain(const Value& raw, const Value& schema, bool may_add,
                                            int depth) {
  if (cannot_hold(raw, schema, !may_add)) return Remainder{.left = {raw}};
  Remainder out;
  if (schema.is_bool()) return out;
  if (!schema.is_dict() || depth > kDepthMax || is_tired())
    return Remainder{.left = {}, .is_whole = false};
  if (const Value* values = raw.find("enum"); values != nullptr) {
    Value::List kept;
    for (const Value& value : values->items()) {
      const auto is_in = is_valid(value, schema);
      if (is_in == false) kept.push_back(value);
      out.is_whole = out.is_whole && is_in.has_value();
    }
    if (!kept.empty())
      out.add(with_conditions(Value::dict({{"enum", Value::list(std::move(kept))}}),
                              conditions_of(raw)));
    return out;
  }
  for (const Value::Entry& entry : schema.entries()) {
    const std::string& word = entry.key.as_string();
    if (word != "$ref" && schema.contains("$ref") && draft_ < 2019) continue;
    if (use_of(word) == Use::unknown && strict_ && !word.starts_with("x-"))
      return wrong("#",
                   fmt::format("{} is not a keyword of JSON Schema (strict)", printable(word)));
    if (use_of(word) == Use::note || use_of(word) == Use::unknown || is_idle(word, entry.value))
      continue;
    SQ_TRY(Remainder some, exclude_word(raw, schema, word, may_add, depth));
    out.add(std::move(some));
    // One piece may be all of it.
    if (std::ranges::any_of(out.left, [&](const Value& left) { return are_equal(left, raw); }))
      return Remainder{.left = {raw}};
  }
  return out;
}

Result<Remainder> SchemaWalk::exclude_word(const Value& raw, const Value& schema,
                                           const std::string& word, bool may_add, int depth) {
  const Value& with = *schema.find(word);
  const Remainder unsaid = {.left = {}, .is_whole = false};
  if (word == "$ref") {
    if (!with.is_string()) return unsaid;
    SQ_TRY(const Value target, resolve(with.as_string(), "#"));
    return exclude(raw, target, may_add, depth + 1);
  }
  if (word == "allOf" || word == "anyOf" || word == "oneOf")
    return exclude_choice(raw, with, word, may_add, depth + 1);
  if (word == "if") return exclude_if(raw, schema, may_add, depth + 1);
  if (word == "then" || word == "else") return Remainder{};
  if (word == "not") {
    SQ_TRY(Alternatives both, with_schema(raw, with, "#"));
    return Remainder{.left = std::move(both)};
  }
  if (word == "const" && draft_ < 6) return unsaid;
  if (word == "const") return exclude_values(raw, {with});
  if (word == "enum") return with.is_list() ? exclude_values(raw, with.items()) : unsaid;
  const std::string& type = raw.find("type")->as_string();
  if (word == "type") {
    // Other types are apart. Only of numbers some may not be of the type: fractions.
    const bool is_whole_only = type == "number" && !texts_of(&with).contains("number") &&
                               !(with.is_string() && with.as_string() == "number");
    return Remainder{.left = {}, .is_whole = !is_whole_only};
  }
  const std::string_view spoken = type_of_word(word);
  if (!spoken.empty() && spoken != (type == "integer" ? "number" : type)) return Remainder{};
  if (word.starts_with("unevaluated")) return unsaid;
  return exclude_typed_word(raw, schema, word, may_add, depth);
}

Result<Remainder> SchemaWalk::exclude_choice(const Value& raw, const Value& list,
                                             const std::string& word, bool may_add, int depth) {
  if (!list.is_list()) return Remainder{.left = {}, .is_whole = false};
  Remainder out;
  if (word == "allOf") {
    for (const Value& part : list.items()) {
      SQ_TRY(Remainder some, exclude(raw, part, may_add, depth));
      out.add(std::move(some));
    }
    return out;
  }
  out.left = {raw};
  for (const Value& branch : list.items()) {
    SQ_TRY(out, exclude_all(out, branch, may_add, depth));
  }
  if (word == "anyOf") return out;
  // Two at once are no more one of them.
  if (list.size() > kPairedBranches) out.is_whole = false;
  for (size_t j = 0; j < std::min(list.size(), kPairedBranches); ++j) {
    for (size_t i = 0; i < j; ++i) {
      SQ_TRY(const Alternatives first, with_schema(raw, list.items()[i], "#"));
      for (const Value& one : first) {
        SQ_TRY(Alternatives both, with_schema(one, list.items()[j], "#"));
        out.add(Remainder{.left = std::move(both)});
      }
    }
  }
  return out;
}

Result<Remainder> SchemaWalk::exclude_if(const Value& raw, const Value& schema, bool may_add,
                                         int depth) {
  if (draft_ < 7) return Remainder{.left = {}, .is_whole = false};
  const Value& condition = *schema.find("if");
  Remainder out;
  if (const Value* then = schema.find("then"); then != nullptr) {
    SQ_TRY(Alternatives held, with_schema(raw, condition, "#"));
    SQ_TRY(Remainder some, exclude_all({.left = std::move(held)}, *then, may_add, depth));
    out.add(std::move(some));
  }
  if (const Value* other = schema.find("else"); other != nullptr) {
    SQ_TRY(const Remainder not_held, exclude(raw, condition, may_add, depth));
    SQ_TRY(Remainder some, exclude_all(not_held, *other, may_add, depth));
    out.add(std::move(some));
  }
  return out;
}

}  // namespace squish::schema_rules
