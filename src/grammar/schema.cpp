#include "grammar/schema.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "grammar/schema_rules.h"

namespace squish {
namespace {

using schema_rules::Use;

Error wrong(const std::string& place, const std::string& what) {
  return {ErrorCode::invalid_argument, fmt::format("schema {}: {}", place, what)};
}

/// Walks one schema. Two stages in each place: combine() makes one raw alternative for each type
/// from all keywords, allOf, anyOf, oneOf and $ref of the place; finish() then closes objects and
/// goes on to the schemas inside.
class Normalizer {
 public:
  Normalizer(const Value& root, bool strict) : root_(root), strict_(strict) {}

  Result<Value> run() {
    SQ_TRY(Value out, normalize(root_, "#"));
    if (out.is_bool()) return wrong("#", "no value can be valid");
    // The definitions that are used; each may use more.
    Value definitions = Value::dict();
    for (size_t i = 0; i < used_.size(); ++i) {
      const std::string name = used_[i];
      const bool is_pointer = !name.starts_with('{');
      const std::string place = is_pointer ? name : "#";
      SQ_TRY(const Value target, is_pointer ? resolve(name, "#") : parse_json(name));
      SQ_TRY(Value definition, normalize(target, place));
      if (definition.is_bool()) return wrong(place, "no value can be valid");
      definitions.set(fmt::format("d{}", i), std::move(definition));
    }
    SQ_TRY_STATUS(schema_rules::check_loops(out, definitions));
    if (definitions.size() > 0) {
      if (out.contains("$ref")) out = Value::dict({{"anyOf", Value::list({out})}});
      out.set("$defs", std::move(definitions));
    }
    return out;
  }

 private:
  using Alternatives = std::vector<Value>;  // raw: {"enum"} or {"type", ...}; empty: nothing valid

  /// A schema in normal form, or `false`.
  Result<Value> normalize(const Value& schema, const std::string& place) {
    if (const auto pointer = schema_rules::only_ref(schema); pointer.has_value()) {
      SQ_TRY_STATUS(check_words(schema, place));
      SQ_TRY(const Value target, resolve(*pointer, place));
      return Value::dict({{"$ref", "#/$defs/" + name_of(*pointer)}});
    }
    if (schema.is_bool() && schema.as_bool()) return Value::dict();
    // What is written out may come back to itself, which then becomes a definition.
    SQ_TRY(std::string text, to_json(schema));
    if (std::ranges::find(open_, text) != open_.end())
      return Value::dict({{"$ref", "#/$defs/" + name_of(text)}});
    if (open_.size() >= static_cast<size_t>(limits::kJsonDepthMax))
      return wrong(place.substr(0, 200), fmt::format("it is more than {} values deep once its "
                                                     "references are written out",
                                                     limits::kJsonDepthMax));
    open_.push_back(std::move(text));
    Result<Value> out = normalize_written(schema, place);
    open_.pop_back();
    return out;
  }

  Result<Value> normalize_written(const Value& schema, const std::string& place) {
    if (const char* word = schema_rules::only_choice(schema); word != nullptr)
      return normalize_choice(schema, word, place);
    SQ_TRY(const Alternatives raw, combine(schema, place, 0));
    bool is_pattern_lost = false;
    Value::List out;
    for (const Value& alternative : raw) {
      SQ_TRY(Value finished, finish(alternative, place));
      if (finished.is_bool()) {
        // Not left out without a word: a text that a part of it matches may have been meant.
        is_pattern_lost = is_pattern_lost || alternative.contains("pattern");
        continue;
      }
      out.push_back(std::move(finished));
    }
    if (out.empty() && is_pattern_lost)
      return wrong(place,
                   "no text that pattern matches as a whole is as long as minLength and maxLength "
                   "say");
    if (out.empty()) return Value(false);
    if (out.size() == 1) return out.front();
    if (out.size() == schema_rules::kTypes.size() && is_any(raw)) return Value::dict();
    return Value::dict({{"anyOf", Value::list(std::move(out))}});
  }

  /// Its branches one by one: what a $ref among them names stays a name, so that it may lead back
  /// here.
  Result<Value> normalize_choice(const Value& schema, const char* word, const std::string& place) {
    SQ_TRY_STATUS(check_words(schema, place));
    const Value& list = *schema.find(word);
    if (!list.is_list() || list.size() == 0)
      return wrong(place, fmt::format("{} must be a list of schemas that is not empty", word));
    std::vector<Alternatives> branches;
    Value::List out;
    bool is_anything = false;
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string branch_place = fmt::format("{}/{}/{}", place, word, i);
      if (schema.contains("oneOf")) {
        SQ_TRY(Alternatives raw, combine(list.items()[i], branch_place, 1));
        branches.push_back(std::move(raw));
      }
      SQ_TRY(const Value branch, normalize(list.items()[i], branch_place));
      if (branch.is_bool()) continue;
      is_anything = is_anything || branch.size() == 0;
      const Value* inner = branch.find("anyOf");
      if (inner == nullptr) {
        out.push_back(branch);
      } else {
        out.insert(out.end(), inner->items().begin(), inner->items().end());
      }
    }
    SQ_TRY_STATUS(check_apart(branches, place));
    if (out.size() > limits::kSchemaAlternativesMax)
      return wrong(place,
                   fmt::format("it has more than {} combinations", limits::kSchemaAlternativesMax));
    if (is_anything) return Value::dict();
    if (out.empty()) return Value(false);
    if (out.size() == 1) return out.front();
    return Value::dict({{"anyOf", Value::list(std::move(out))}});
  }

  /// Every type, without a condition?
  static bool is_any(const Alternatives& raw) {
    return std::ranges::all_of(raw, [](const Value& alternative) {
      return alternative.size() == 1 && alternative.contains("type");
    });
  }

  std::string name_of(const std::string& pointer) {
    const auto found = std::ranges::find(used_, pointer);
    if (found == used_.end()) used_.push_back(pointer);
    return fmt::format("d{}", std::ranges::find(used_, pointer) - used_.begin());
  }

  Result<Value> resolve(const std::string& pointer, const std::string& place) const {
    if (pointer != "#" && !pointer.starts_with("#/"))
      return wrong(place, fmt::format("$ref {} is not supported: only places of the same schema, "
                                      "such as #/$defs/name",
                                      printable(pointer)));
    const Value* at = &root_;
    size_t begin = 2;
    while (begin <= pointer.size() && pointer.size() > 1) {
      const size_t end = std::min(pointer.find('/', begin), pointer.size());
      const std::string key = schema_rules::decode_pointer(pointer.substr(begin, end - begin));
      const Value* next = nullptr;
      if (at->is_dict()) {
        next = at->find(key);
      } else if (at->is_list()) {
        const auto index = parse_int(key);
        if (index && *index >= 0 && static_cast<size_t>(*index) < at->size())
          next = &at->items()[static_cast<size_t>(*index)];
      }
      if (next == nullptr)
        return wrong(place, fmt::format("$ref {} leads nowhere", printable(pointer)));
      at = next;
      begin = end + 1;
    }
    return *at;
  }

  /// Refuses what is not supported, and in strict schemas what is no keyword.
  Status check_words(const Value& schema, const std::string& place) {
    if (++node_count_ > limits::kSchemaNodesMax)
      return wrong("#", fmt::format("it has more than {} parts once its references and "
                                    "combinations are written out; make it simpler",
                                    limits::kSchemaNodesMax));
    if (!schema.is_dict()) return wrong(place, "it must be an object or a boolean");
    for (const Value::Entry& entry : schema.entries()) {
      const std::string& word = entry.key.as_string();
      const Use use = schema_rules::use_of(word);
      const bool is_idle = schema_rules::is_idle(word, entry.value);
      if (use == Use::unsupported && !is_idle)
        return wrong(place, fmt::format("the keyword {} is not supported", word));
      if (use == Use::unknown && strict_ && !word.starts_with("x-"))
        return wrong(place,
                     fmt::format("{} is not a keyword of JSON Schema (strict)", printable(word)));
      if (word == "$id" && place != "#" && entry.value.is_string())
        return wrong(place, "the keyword $id is not supported below the root");
    }
    return {};
  }

  /// Everything that the place says, as raw alternatives.
  Result<Alternatives> combine(const Value& schema, const std::string& place, int depth) {
    if (depth > limits::kJsonDepthMax)
      return wrong(place, "its references go round in a circle without a value in between");
    if (schema.is_bool()) return schema.as_bool() ? any() : Alternatives{};
    SQ_TRY_STATUS(check_words(schema, place));
    SQ_TRY(Alternatives out, schema_rules::own_alternatives(schema, place));
    const auto join = [&](const Alternatives& more) -> Status {
      Alternatives joined;
      for (const Value& a : out) {
        for (const Value& b : more) {
          if (joined.size() > limits::kSchemaAlternativesMax)
            return wrong(place, fmt::format("it has more than {} combinations",
                                            limits::kSchemaAlternativesMax));
          SQ_TRY(Value both, schema_rules::conjoin(a, b, place));
          if (!both.is_bool()) joined.push_back(std::move(both));
        }
      }
      node_count_ += joined.size();
      out = std::move(joined);
      return {};
    };
    if (const Value* ref = schema.find("$ref"); ref != nullptr) {
      if (!ref->is_string()) return wrong(place, "$ref must be a text");
      SQ_TRY(const Value target, resolve(ref->as_string(), place));
      SQ_TRY(const Alternatives more, combine(target, ref->as_string(), depth + 1));
      SQ_TRY_STATUS(join(more));
    }
    for (const std::string_view word : {"allOf", "anyOf", "oneOf"}) {
      const Value* list = schema.find(word);
      if (list == nullptr) continue;
      if (!list->is_list() || list->size() == 0)
        return wrong(place, fmt::format("{} must be a list of schemas that is not empty", word));
      std::vector<Alternatives> branches;
      for (size_t i = 0; i < list->size(); ++i) {
        SQ_TRY(Alternatives branch,
               combine(list->items()[i], fmt::format("{}/{}/{}", place, word, i), depth + 1));
        if (word == "allOf") {
          SQ_TRY_STATUS(join(branch));
        } else {
          branches.push_back(std::move(branch));
        }
      }
      if (word == "allOf") continue;
      if (word == "oneOf") SQ_TRY_STATUS(check_apart(branches, place));
      Alternatives any_branch;
      for (const Alternatives& branch : branches)
        any_branch.insert(any_branch.end(), branch.begin(), branch.end());
      SQ_TRY_STATUS(join(any_branch));
    }
    return out;
  }

  static Alternatives any() {
    Alternatives out;
    for (const std::string_view type : schema_rules::kTypes)
      out.push_back(Value::dict({{"type", type}}));
    return out;
  }

  /// oneOf is anyOf where no value can be valid under two branches.
  Status check_apart(const std::vector<Alternatives>& branches, const std::string& place) const {
    const schema_rules::Resolver resolver = [this](const Value& schema) -> Value {
      Value at = schema;
      for (int i = 0; i < 8; ++i) {
        const auto pointer = schema_rules::only_ref(at);
        if (!pointer) return at;
        auto target = resolve(*pointer, "#");
        if (!target) return at;
        at = std::move(*target);
      }
      return at;
    };
    for (size_t i = 0; i < branches.size(); ++i) {
      for (size_t j = i + 1; j < branches.size(); ++j) {
        for (const Value& a : branches[i]) {
          for (const Value& b : branches[j]) {
            if (schema_rules::are_apart(a, b, resolver)) continue;
            return wrong(place, fmt::format("oneOf is not supported here: a value could be valid "
                                            "under both branch {} and {}; use anyOf, or give each "
                                            "a required property with a const of its own",
                                            i, j));
          }
        }
      }
    }
    return {};
  }

  /// The schemas inside a raw alternative, and closed objects; `false` when nothing can be valid.
  Result<Value> finish(const Value& raw, const std::string& place) {
    if (const Value* type = raw.find("type"); type != nullptr) {
      if (type->as_string() == "object") return finish_object(raw, place);
      if (type->as_string() == "array") return finish_array(raw, place);
      if (raw.contains("pattern")) return finish_pattern(raw, place);
    }
    return raw;
  }

  /// A pattern takes the place of the lengths beside it.
  static Result<Value> finish_pattern(const Value& raw, const std::string& place) {
    const CountRange length = {
        .least = schema_rules::count_of(raw.find("minLength")).value_or(0),
        .most = schema_rules::count_of(raw.find("maxLength")).value_or(CountRange::kUnbounded)};
    SQ_TRY(auto pattern, schema_rules::pattern_of(raw.find("pattern")->as_string(), length, place));
    if (!pattern) return Value(false);
    return Value::dict({{"type", "string"}, {"pattern", std::move(*pattern)}});
  }

  Result<Value> finish_object(const Value& raw, const std::string& place) {
    const Value none = Value::dict();
    const Value& properties = raw.contains("properties") ? *raw.find("properties") : none;
    const Value rest =
        raw.contains("additionalProperties") ? *raw.find("additionalProperties") : Value(true);
    const std::set<std::string> required = schema_rules::texts_of(raw.find("required"));
    const Value* patterns = raw.find("patternProperties");
    Value children = Value::dict();
    const auto add = [&](const std::string& name, const Value& schema) -> Result<bool> {
      SQ_TRY(Value child, normalize(schema, place + "/properties/" + printable(name)));
      if (child.is_bool()) return !required.contains(name);
      children.set(name, std::move(child));
      return true;
    };
    for (const Value::Entry& entry : properties.entries()) {
      SQ_TRY(const bool is_possible, add(entry.key.as_string(), entry.value));
      if (!is_possible) return Value(false);
    }
    for (const std::string& name : required) {
      if (properties.contains(name)) continue;
      if (patterns != nullptr)
        return wrong(place, "required names beside patternProperties must be among properties");
      SQ_TRY(const bool is_possible, add(name, rest));
      if (!is_possible) return Value(false);
    }
    const bool has_names = children.size() > 0 || properties.size() > 0;
    if (has_names && (patterns != nullptr || raw.contains("propertyNames")))
      return wrong(place, fmt::format("the keyword {} is not supported beside properties",
                                      patterns != nullptr ? "patternProperties" : "propertyNames"));
    Value out = Value::dict({{"type", "object"}});
    if (children.size() > 0) out.set("properties", children);
    if (!required.empty()) {
      Value::List names(required.begin(), required.end());
      out.set("required", Value::list(std::move(names)));
    }
    SQ_TRY_STATUS(add_open_part(raw, rest, has_names, place, out));
    return add_counts(raw, children.size(), required.size(), place, std::move(out));
  }

  /// additionalProperties, patternProperties and propertyNames of an object without properties.
  Status add_open_part(const Value& raw, const Value& rest, bool has_names,
                       const std::string& place, Value& out) {
    const Value* patterns = raw.find("patternProperties");
    const Value* names = raw.find("propertyNames");
    Value open = false;
    if (patterns != nullptr) {
      if (patterns->size() != 1 || names != nullptr)
        return wrong(place,
                     "patternProperties is supported with one pattern, without propertyNames");
      const Value::Entry& entry = patterns->entries().front();
      SQ_TRY(const auto pattern, schema_rules::pattern_of(entry.key.as_string(), {}, place));
      SQ_TRY(Value child, normalize(entry.value, place + "/patternProperties"));
      if (!child.is_bool())
        out.set("patternProperties", Value::dict({{*pattern, std::move(child)}}));
    } else if (!has_names) {
      SQ_TRY(Value child, normalize(rest, place + "/additionalProperties"));
      const bool is_any_value = child.is_dict() && child.size() == 0;
      if (!child.is_bool()) open = is_any_value ? Value(true) : std::move(child);
      if (names != nullptr && !open.is_bool())
        return wrong(place, "propertyNames is not supported beside additionalProperties");
    }
    if (names != nullptr && open.is_bool() && open.as_bool()) {
      SQ_TRY(Value name_schema, normalize(*names, place + "/propertyNames"));
      if (!name_schema.is_dict() || name_schema.contains("anyOf") || name_schema.contains("enum") ||
          name_schema.contains("$ref") || !name_schema.contains("type") ||
          name_schema.find("type")->as_string() != "string")
        return wrong(place,
                     "propertyNames is supported with {\"type\": \"string\"} and pattern, "
                     "minLength or maxLength");
      out.set("propertyNames", std::move(name_schema));
    }
    out.set("additionalProperties", std::move(open));
    return {};
  }

  static Result<Value> add_counts(const Value& raw, size_t named, size_t required,
                                  const std::string& place, Value out) {
    const int64_t least = schema_rules::count_of(raw.find("minProperties")).value_or(0);
    const auto most = schema_rules::count_of(raw.find("maxProperties"));
    // Of open objects the same name may come twice, which counts once.
    if (named == 0 && least > 1)
      return wrong(place, "minProperties above 1 is supported beside properties only");
    if (named > 0 && least > static_cast<int64_t>(named)) return Value(false);
    if (most && *most < static_cast<int64_t>(required)) return Value(false);
    if (least > static_cast<int64_t>(required)) out.set("minProperties", least);
    if (most && (named == 0 || *most < static_cast<int64_t>(named)))
      out.set("maxProperties", *most);
    return out;
  }

  Result<Value> finish_array(const Value& raw, const std::string& place) {
    int64_t least = schema_rules::count_of(raw.find("minItems")).value_or(0);
    auto most = schema_rules::count_of(raw.find("maxItems"));
    Value out = Value::dict({{"type", "array"}});
    Value::List first;
    if (const Value* list = raw.find("prefixItems"); list != nullptr) {
      for (const Value& item : list->items()) {
        if (most && static_cast<int64_t>(first.size()) >= *most) break;
        SQ_TRY(Value child, normalize(item, fmt::format("{}/prefixItems/{}", place, first.size())));
        if (child.is_bool()) {
          most = static_cast<int64_t>(first.size());
          break;
        }
        first.push_back(std::move(child));
      }
    }
    const auto prefix = static_cast<int64_t>(first.size());
    Value rest = true;
    if (const Value* items = raw.find("items"); items != nullptr && (!most || *most > prefix)) {
      SQ_TRY(rest, normalize(*items, place + "/items"));
    }
    if (most && *most <= prefix) rest = Value(false);
    const bool is_closed = rest.is_bool() && !rest.as_bool();
    if (is_closed) most = std::min(most.value_or(prefix), prefix);
    if (most && least > *most) return Value(false);
    if (!first.empty()) out.set("prefixItems", Value::list(std::move(first)));
    out.set("items", rest.is_bool() && rest.as_bool() ? Value::dict() : std::move(rest));
    if (least > 0) out.set("minItems", least);
    if (most && *most > prefix) out.set("maxItems", *most);
    if (most && *most == 0) out.set("maxItems", int64_t{0});
    return out;
  }

  const Value& root_;
  const bool strict_;
  // Pointers, or schemas as JSON that come back to themselves; [i] is the definition "d<i>".
  std::vector<std::string> used_;
  std::vector<std::string> open_;  // schemas on the way to this one, as JSON
  size_t node_count_ = 0;
};

}  // namespace

Result<Value> normalize_schema(const Value& schema, bool strict) {
  return Normalizer(schema, strict).run();
}

}  // namespace squish
