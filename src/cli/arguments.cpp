#include "cli/arguments.h"

#include <algorithm>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "hub/catalog.h"

namespace squish::cli {
namespace {

/// Flags of the server, which people who know other programs try with `run`.
constexpr std::string_view kServerFlags[] = {
    "--port", "--host",  "--api-key", "--daemon",      "--no-browser",
    "--lazy", "--serve", "--web",     "--cors-origin", "--batch-scheduler"};

Error usage(std::string message) { return Error{ErrorCode::invalid_argument, std::move(message)}; }

Error unknown_flag(std::string_view verb, std::span<const OptionRow> options,
                   std::string_view word) {
  const std::string flag(word.substr(0, word.find('=')));
  if ((verb == "run" || verb == "chat") &&
      std::ranges::find(kServerFlags, flag) != std::end(kServerFlags)) {
    return usage(fmt::format(
        "{} belongs to the server: `squish {}` answers in this terminal, `squish serve` starts the "
        "server (in versions that have it; see `squish --help`)",
        flag, verb));
  }
  std::vector<std::string_view> flags;
  for (const OptionRow& row : options) flags.push_back(row.flag);
  return usage(fmt::format("{}: unknown flag {}{}; `squish {} --help` lists all", verb,
                           printable(flag), hub::did_you_mean(nearest(flag, flags)), verb));
}

/// CLI11 takes the word "[a,b]" for a list of two: a mark at its end, which no word can hold,
/// prevents that.
constexpr char kMark = '\0';
void protect_brackets(std::string& word) {
  if (word.starts_with('[') && word.ends_with(']')) word += kMark;
}
std::string without_protection(std::string word) {
  if (word.ends_with(kMark)) word.pop_back();
  return word;
}

/// Texts and lists of ids may be empty; an empty number, name or path is a variable of a script
/// that was not set, and the default in its place would be a surprise.
bool may_be_empty(const OptionRow& row) { return row.value == "TEXT" || row.value == "IDS"; }

Status check_values(std::string_view verb, std::span<const OptionRow> options,
                    const Arguments& given) {
  for (const OptionRow& row : options) {
    if (row.value.empty() && given.text(row.flag).value_or("true") != "true") {
      return usage(fmt::format("{}: {} takes no value", verb, row.flag));
    }
    if (row.value.empty() || may_be_empty(row)) continue;
    for (const std::string& value : given.all(row.flag)) {
      if (!value.empty()) continue;
      return usage(
          fmt::format("{}: {} is empty; give {}, or leave it out", verb, row.flag, row.value));
    }
  }
  return {};
}

struct Parser {
  CLI::App app;
  std::map<std::string, CLI::Option*> handles;
};

void declare(Parser& parser, std::span<const ArgumentRow> arguments,
             std::span<const OptionRow> options) {
  parser.app.set_help_flag();
  parser.app.allow_extras(true);
  for (const OptionRow& row : options) {
    std::string names(row.flag);
    if (!row.short_flag.empty()) names += "," + std::string(row.short_flag);
    CLI::Option* option = nullptr;
    if (row.value.empty()) {
      option = parser.app.add_flag(names);
    } else {
      // Everything is text here: ranges are checked, with better messages, where the value is used.
      option = parser.app.add_option(names)->expected(1)->type_size(1)->allow_extra_args(false);
      option->multi_option_policy(row.repeatable ? CLI::MultiOptionPolicy::TakeAll
                                                 : CLI::MultiOptionPolicy::TakeLast);
    }
    parser.handles[std::string(row.flag)] = option;
  }
  for (const ArgumentRow& row : arguments) {
    CLI::Option* option = parser.app.add_option(std::string(row.name));
    if (row.many) {
      option->expected(0, CLI::detail::expected_max_vector_size)->allow_extra_args(true);
    } else {
      option->expected(1)->allow_extra_args(false);
    }
    parser.handles[std::string(row.name)] = option;
  }
}

}  // namespace

std::optional<std::string> Arguments::text(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end() || found->second.empty()) return std::nullopt;
  return found->second.back();
}

std::vector<std::string> Arguments::all(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

Result<std::optional<int64_t>> Arguments::integer(std::string_view name, int64_t minimum,
                                                  int64_t maximum) const {
  const auto given = text(name);
  if (!given) return std::optional<int64_t>();
  const auto number = parse_int(trim(*given));
  if (!number || *number < minimum || *number > maximum) {
    return usage(fmt::format("{} is '{}'; it must be a whole number from {} to {}", name,
                             printable(*given), minimum, maximum));
  }
  return std::optional<int64_t>(*number);
}

Status Arguments::refuse(std::initializer_list<std::string_view> flags,
                         std::string_view why) const {
  for (const std::string_view flag : flags) {
    if (has(flag)) return usage(fmt::format("{} {}", flag, why));
  }
  return {};
}

std::vector<std::string> nearest(std::string_view word, std::span<const std::string_view> choices) {
  struct Candidate {
    size_t distance;
    size_t place;  // in `choices`: equally near ones keep their order
    std::string_view text;
  };
  const size_t distance_max = std::max<size_t>(1, word.size() / 3);
  std::vector<Candidate> candidates;
  if (word.size() <= 64) {
    for (const std::string_view choice : choices) {
      size_t distance = hub::edit_distance(word, choice);
      if (word.size() >= 3 && choice.starts_with(word)) distance = 0;
      if (distance <= distance_max) candidates.push_back({distance, candidates.size(), choice});
    }
  }
  std::ranges::sort(candidates, {}, [](const Candidate& candidate) {
    return std::pair(candidate.distance, candidate.place);
  });
  std::vector<std::string> out;
  for (size_t i = 0; i < candidates.size() && i < 3; ++i) out.emplace_back(candidates[i].text);
  return out;
}

Result<Arguments> parse_arguments(std::string_view verb, std::span<const ArgumentRow> arguments,
                                  std::span<const OptionRow> options,
                                  std::span<const std::string> words) {
  Parser parser;
  declare(parser, arguments, options);
  // CLI11 takes the words in reverse.
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  for (std::string& word : reversed) protect_brackets(word);
  try {
    parser.app.parse(std::move(reversed));
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string what = error.what();
    const std::string flag = what.substr(0, what.find(':'));
    return usage(fmt::format("{}: {} needs a value; `squish {} --help` shows which", verb,
                             printable(flag), verb));
  } catch (const CLI::ParseError& error) {
    return usage(fmt::format("{}: {}", verb, printable(error.what(), 200)));
  }
  for (const std::string& protected_extra : parser.app.remaining()) {
    const std::string extra = without_protection(protected_extra);
    if (extra == "--") continue;  // CLI11 keeps the mark that ends the flags
    if (extra.size() > 1 && extra.starts_with('-')) return unknown_flag(verb, options, extra);
    return usage(
        fmt::format("{}: '{}' is one word too many; `squish {} --help` shows what it takes", verb,
                    printable(extra), verb));
  }
  Arguments out;
  for (const auto& [name, option] : parser.handles) {
    if (option->count() == 0) continue;
    for (const std::string& value : option->results()) out.add(name, without_protection(value));
    if (option->results().empty()) out.add(name, "true");
  }
  if (out.has("--help")) return out;
  SQ_TRY_STATUS(check_values(verb, options, out));
  for (const ArgumentRow& row : arguments) {
    if (row.required && !out.has(row.name)) {
      return usage(fmt::format("{}: {} is missing ({}); `squish {} --help` shows an example", verb,
                               row.name, row.help, verb));
    }
  }
  return out;
}

}  // namespace squish::cli
