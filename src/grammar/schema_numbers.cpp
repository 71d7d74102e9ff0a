// Multiples within bounds: an automaton for the engine, which knows none but of whole numbers.
#include <fmt/format.h>

#include "grammar/number_automaton.h"
#include "grammar/schema_normalizer.h"
#include "grammar/schema_rules_internal.h"

namespace squish::schema_rules {
namespace {

constexpr double kEngineFactorMax = 1024;

/// One side of the numbers: the tighter of an inclusive and an exclusive bound.
void take_bound(const Value& raw, std::string_view word, std::string_view exclusive_word,
                std::optional<Decimal>& bound, bool& is_in) {
  const Value* inclusive = raw.find(word);
  const Value* exclusive = raw.find(exclusive_word);
  const bool is_lower = word == "minimum";
  const bool both = inclusive != nullptr && exclusive != nullptr;
  const double gap = both ? number_of(*exclusive) - number_of(*inclusive) : 0;
  const bool takes_exclusive =
      exclusive != nullptr && (inclusive == nullptr || (is_lower ? gap >= 0 : gap <= 0));
  const Value* taken = takes_exclusive ? exclusive : inclusive;
  if (taken == nullptr) return;
  bound = decimal_of(*taken);
  is_in = !takes_exclusive;
}

}  // namespace

Result<Value> finish_number(const Value& raw, const std::string& place) {
  const Value& given = *raw.find("multipleOf");
  const auto factor = decimal_of(given);
  NumberBounds bounds;
  take_bound(raw, "minimum", "exclusiveMinimum", bounds.least, bounds.is_least_in);
  take_bound(raw, "maximum", "exclusiveMaximum", bounds.most, bounds.is_most_in);
  const bool has_bound = bounds.least || bounds.most;
  if (factor && factor->is_whole() && !has_bound && number_of(given) <= kEngineFactorMax)
    return Value::dict({{"type", "integer"}, {"multipleOf", given}});
  const auto automaton =
      factor && factor->digits > 0 ? number_automaton(*factor, bounds) : std::nullopt;
  if (!automaton)
    return wrong(place, fmt::format("multipleOf {} is not supported here: it takes too many cases "
                                    "to tell its multiples from other numbers; use a rounder one, "
                                    "or a smaller minimum and maximum",
                                    number_of(given)));
  if (automaton->empty()) return Value(false);
  return Value::dict({{"type", "string"}, {"format", kNumberFormat + *automaton}});
}

}  // namespace squish::schema_rules
