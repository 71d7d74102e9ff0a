#pragma once
// One schema with what its references lead to, and the questions and steps that have to follow
// them. Raw alternatives (schema_rules.h) may carry conditions: what `not`, `oneOf`, `if` and
// `dependencies` still ask of them. They are settled once everything else that a place says is
// known, because what an object lacks depends on all of it.
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "grammar/schema_rules.h"
#include "text/jinja_value.h"
#include "text/pretokenize_regex.h"

namespace squish::schema_rules {

using Alternatives = std::vector<Value>;  // raw; empty: nothing is valid

/// What is left of a raw alternative once what a schema allows is taken from it.
struct Remainder {
  Alternatives left;
  /// False when more would be left than can be said.
  bool is_whole = true;

  /// Unless it is `false`, or there already; past a limit it is left out.
  void add(Value piece);
  void add(Remainder other);
};

class SchemaWalk {
 public:
  SchemaWalk(const Value& root, bool strict);

  /// Errors: invalid_argument for names that only raw alternatives have.
  Status check_root() const;
  /// The schema at "#/...". Errors: invalid_argument.
  Result<Value> resolve(const std::string& pointer, const std::string& place) const;
  /// Refuses what is not supported, and in strict schemas what is no keyword. Counts the place.
  Status check_words(const Value& schema, const std::string& place);
  /// Everything that the place says, as raw alternatives with conditions.
  Result<Alternatives> combine(const Value& schema, const std::string& place, int depth);
  /// What a oneOf asks of its branch `own`: to be no other. `depth` as of cannot_hold().
  Value::List one_of_conditions(const Value& raw, const Value& list, size_t own, bool is_final,
                                const std::string& place, int depth);
  /// The same without conditions: each is written out. Errors: invalid_argument with the keyword
  /// and its place where one cannot be said.
  Result<Alternatives> settle(Alternatives raw, const std::string& place);

  /// conjoin() of schema_rules.h, of objects whose names patterns match, too.
  Result<Value> conjoined(const Value& a, const Value& b, const std::string& place);
  /// With what patternProperties ask of `names` among `properties`. Errors: invalid_argument where
  /// it is not decided whether a pattern matches.
  Result<Value> with_patterns(const Value& raw, const std::set<std::string>& names,
                              const std::string& place);

  /// Is `value` valid? Nothing: not decided here.
  std::optional<bool> is_valid(const Value& value, const Value& schema, int depth = 0);
  /// Does the list have as many items of `contained` as `least` and `most` (null: absent) ask, in
  /// the draft of the schema? Nothing: not decided here.
  std::optional<bool> contains_as_asked(const Value& list, const Value& contained,
                                        const Value* least, const Value* most, int depth = 0);
  [[nodiscard]] int draft() const { return draft_; }
  /// Does `text` match as patterns of schemas do, anywhere? Nothing: not decided here.
  std::optional<bool> matches(const std::string& pattern, const std::string& text);
  /// True when no text that `own` matches as a whole has what `other` matches.
  bool patterns_are_apart(const std::string& own, const std::string& other);
  /// True when no value of the raw alternative can be valid under `schema`. `is_final`: nothing
  /// will be added to it, so that an object with properties has no others.
  bool cannot_hold(const Value& raw, const Value& schema, bool is_final, int depth = 0);
  /// True when no value can be valid under both schemas.
  bool are_apart(const Value& a, const Value& b, bool is_final, int depth = 0);
  /// The values of a schema, where they are few and written out.
  std::optional<Value::List> values_of(const Value& schema, int depth = 0);

  /// `raw` with what `schema` says; a schema without type speaks of every type.
  Result<Alternatives> with_schema(const Value& raw, const Value& schema, const std::string& place);
  /// What `schema` asks of the value of a name.
  struct SchemaOfName {
    Value::List certain;   // all of these
    Value::List possible;  // and these, if a pattern that is not decided matches
  };
  SchemaOfName schema_of_name(const Value& schema, const std::string& name);
  /// Of an item of an array. Nothing: drafts differ.
  std::optional<Value> schema_of_item(const Value& schema, size_t index) const;

  /// How often what a soft condition leaves could not be said.
  size_t lost_count = 0;

 private:
  /// The values of `raw` that are not valid under `schema`, all or fewer. `may_add`: objects may
  /// get names that neither `properties` nor `required` gave them.
  Result<Remainder> exclude(const Value& raw, const Value& schema, bool may_add, int depth);
  Result<Remainder> exclude_plain(const Value& raw, const Value& schema, bool may_add, int depth);
  Result<Remainder> exclude_all(const Remainder& from, const Value& schema, bool may_add,
                                int depth);
  Result<Remainder> exclude_word(const Value& raw, const Value& schema, const std::string& word,
                                 bool may_add, int depth);
  Result<Remainder> exclude_choice(const Value& raw, const Value& list, const std::string& word,
                                   bool may_add, int depth);
  Result<Remainder> exclude_if(const Value& raw, const Value& schema, bool may_add, int depth);
  Result<Remainder> exclude_values(const Value& raw, const Value::List& values);
  Result<Remainder> exclude_typed_word(const Value& raw, const Value& schema,
                                       const std::string& word, bool may_add, int depth);
  Result<Remainder> exclude_items(const Value& raw, const Value& schema, const std::string& word);
  Result<Remainder> exclude_object_word(const Value& raw, const Value& schema,
                                        const std::string& word, bool may_add, int depth);
  /// Without the texts that `pattern` may match.
  Remainder exclude_pattern(const Value& raw, const std::string& pattern);
  void exclude_name(const Value& raw, const std::string& name, const Value& schema, bool may_add,
                    Remainder& out);
  void exclude_every_further(const Value& raw, const Value& schema, Remainder& out);
  /// Adds `raw` with `piece`, unless nothing is valid under both.
  void add_piece(const Value& raw, const Value& piece, Remainder& out);

  bool object_cannot_hold(const Value& raw, const Value& schema, bool is_final, int depth);
  bool array_cannot_hold(const Value& raw, const Value& schema, bool is_final, int depth);
  bool name_cannot_hold(const Value& raw, const Value& schema, const std::string& name,
                        bool is_final, int depth);
  std::optional<bool> is_valid_object(const Value& value, const Value& schema, int depth);
  std::optional<bool> is_valid_array(const Value& value, const Value& schema, int depth);
  std::optional<bool> is_valid_choice(const Value& value, const Value& schema, int depth);
  std::optional<bool> is_valid_word(const Value& value, const Value& schema,
                                    const std::string& word, int depth);

  /// The values of {"enum"} that a raw alternative allows, or `false`. Nothing: not decided.
  std::optional<Value> values_within(const Value& values, const Value& raw);
  /// With what the schema's own words speak of, where that is asked.
  [[nodiscard]] Value with_own_evaluated(Value raw, const Value& schema) const;
  /// What is excluded from `raw` speaks of nothing.
  void keep_evaluated(const Value& raw, Remainder& out) const;
  /// unevaluatedProperties and unevaluatedItems of the schema, whose other words `raw` are.
  Result<Alternatives> close_unevaluated(Alternatives raw, const Value& schema,
                                         const std::string& place);
  Result<Alternatives> close_object(const Value& raw, const Value& word, const std::string& place);
  Result<Value> with_names_only(const Value& raw, const std::string& place);
  Result<Alternatives> close_array(const Value& raw, const Value& word, const std::string& place);
  /// own_alternatives(), where enum and const stand beside anything.
  Result<Alternatives> own_values(const Value& schema, const std::string& place);
  Result<Alternatives> join(const Alternatives& a, const Alternatives& b, const std::string& place);
  Result<Alternatives> settle_one(const Value& raw, const Value& condition);
  Result<Alternatives> settle_not(const Value& raw, const Value& condition);
  Result<Alternatives> settle_if(const Value& raw, const Value& condition);
  Result<Alternatives> settle_dependency(const Value& raw, const Value& condition);
  /// Once more, with all names that an object has got since. Nothing: no value is left.
  Result<Alternatives> settle_again(const Value& raw, const Value::List& conditions);
  /// Without properties that cannot be, and their values written out where they are few; `false`:
  /// nothing is valid.
  Value simplified(const Value& raw);
  Value simplified_schema(const Value& schema);
  int apart_depth_ = 0;  // of are_apart(), which asks combine(), which asks it again
  bool is_tired() { return ++effort_ > kEffortMax; }

  static constexpr size_t kEffortMax = 400'000;    // single questions: a second
  static constexpr size_t kPatternEffort = 4'000;  // 10 ms for a pair of patterns

  const Value& root_;
  const bool strict_;
  const int draft_;
  const bool has_unevaluated_;
  size_t node_count_ = 0;
  size_t effort_ = 0;
  std::map<std::pair<std::string, std::string>, bool> apart_patterns_;
  // By pattern: finds it; finds that it is nowhere.
  std::map<std::string, std::optional<std::pair<text::Regex, text::Regex>>> regexes_;
};

// --- conditions and names of raw alternatives

/// {"word", "place", and "not", or "if", "then", "else", or "name", "then"}; "branches" of a oneOf;
/// "is_soft" where others say the same in another way, so that it may be given up.
Value::List conditions_of(const Value& raw);
Value with_conditions(Value raw, const Value::List& conditions);
Value without_conditions(const Value& raw);
/// A schema whose values are not valid under `schema`, as far as that can be said.
Value soft_not(const Value& schema);

/// Does a bound of a raw alternative leave nothing beside the other?
bool has_empty_range(const Value& raw);
/// Does an object of the raw alternative get no names but names_of()?
bool is_closed(const Value& raw);
std::set<std::string> names_of(const Value& raw);

}  // namespace squish::schema_rules
