// Completion scripts, made from the verb table.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "cli/help.h"
#include "hub/catalog.h"
#include "kernels/backend.h"

namespace squish::cli {
namespace {

/// What is offered for a kind: fixed words, or a shell command that prints them.
struct Offer {
  std::string words;
  std::string command;
};

Offer offer_of(Completion completion) {
  switch (completion) {
    case Completion::nothing:
    case Completion::file:
      return {};
    case Completion::model:
      return {"", "squish models --ids 2>/dev/null"};
    case Completion::catalog_model:
      return {"", "squish catalog --ids 2>/dev/null"};
    case Completion::shell:
      return {"bash zsh fish", ""};
    case Completion::backend:
      return {"cpu ref", ""};
    case Completion::isa:
      return {fmt::format("{}", fmt::join(available_isas(), " ")), ""};
    case Completion::log_level:
      return {"trace debug info warning error critical off", ""};
    case Completion::config_action:
      return {"show get set", ""};
  }
  return {};
}

/// A command substitution for bash and zsh, or the words as they are.
std::string posix_words(Completion completion) {
  const Offer offer = offer_of(completion);
  return offer.command.empty() ? offer.words : fmt::format("$({})", offer.command);
}

std::string flag_words(const Verb& verb) {
  std::string out;
  for (const OptionRow& row : options_of(verb)) {
    if (!out.empty()) out += ' ';
    out += row.flag;
    if (!row.short_flag.empty()) out += fmt::format(" {}", row.short_flag);
  }
  return out;
}

std::string pattern_of(const Verb& verb) {
  std::string out(verb.name);
  for (const std::string_view alias : verb.aliases) out += fmt::format("|{}", alias);
  return out;
}

/// In single quotes, for all three shells.
std::string quoted(std::string_view text) {
  return "'" + replace_all(std::string(text), "'", "'\\''") + "'";
}

std::string bash_script() {
  std::string out = R"(# bash completion of squish: source <(squish completions bash)
_squish() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb= word index=1
  # Model names hold a colon, at which bash splits words: take it back.
  if [[ $COMP_WORDBREAKS == *:* ]] && declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n : cur prev && current=$cur previous=$prev
  fi
  while (( index < COMP_CWORD )); do
    word=${COMP_WORDS[index]}
    if [[ $word != -* ]]; then verb=$word; break; fi
    (( index++ ))
  done
  local offer=
  case $previous in
)";
  std::vector<std::string_view> seen;
  for (const Verb& verb : verbs()) {
    for (const OptionRow& row : options_of(verb)) {
      if (row.value.empty() || std::ranges::find(seen, row.flag) != seen.end()) continue;
      seen.push_back(row.flag);
      if (row.completion == Completion::file) {
        out +=
            fmt::format("    {}) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n", row.flag);
      } else {
        out += fmt::format("    {}) COMPREPLY=($(compgen -W \"{}\" -- \"$current\")); return ;;\n",
                           row.flag, posix_words(row.completion));
      }
    }
  }
  out += "  esac\n  case $verb in\n";
  out += fmt::format("    '') offer=\"{}\" ;;\n", fmt::join(verb_names(), " "));
  for (const Verb& verb : verbs()) {
    std::string words;
    for (const ArgumentRow& row : verb.arguments) {
      if (const std::string more = posix_words(row.completion); !more.empty()) words += " " + more;
    }
    out += fmt::format(
        "    {})\n      if [[ $current == -* ]]; then offer=\"{}\"; else offer=\"{}\"; fi ;;\n",
        pattern_of(verb), flag_words(verb), trim(words));
  }
  out += R"(  esac
  COMPREPLY=($(compgen -W "$offer" -- "$current"))
  [[ $verb && $current != -* ]] && COMPREPLY+=($(compgen -f -- "$current"))
  declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$current"
  return 0
}
complete -o filenames -F _squish squish
)";
  return out;
}

/// `text` for a description of zsh's _arguments.
std::string zsh_text(std::string_view text) {
  std::string out = replace_all(std::string(text), "\\", "\\\\");
  for (const std::string_view special : {"[", "]", ":"})
    out = replace_all(out, special, "\\" + std::string(special));
  return out;
}

std::string zsh_action(Completion completion) {
  if (completion == Completion::file) return "_files";
  if (completion == Completion::model) return "_squish_models";
  if (completion == Completion::catalog_model) return "_squish_catalog";
  const std::string words = offer_of(completion).words;
  return words.empty() ? " " : fmt::format("({})", words);
}

std::string zsh_script() {
  std::string out = R"script(#compdef squish
# zsh completion of squish: squish completions zsh > "${fpath[1]}/_squish"
_squish_models() {
  local -a ids
  ids=(${(f)"$(squish models --ids 2>/dev/null)"})
  compadd -a ids
  _files
}
_squish_catalog() {
  local -a ids
  ids=(${(f)"$(squish catalog --ids 2>/dev/null)"})
  compadd -a ids
}
_squish() {
  local -a verbs
  if (( CURRENT == 2 )); then
    verbs=(
)script";
  for (const Verb& verb : verbs())
    out += fmt::format("      {}\n", quoted(fmt::format("{}:{}", verb.name, verb.summary)));
  out +=
      "    )\n    _describe verb verbs\n    return\n  fi\n  local verb=${words[2]}\n  shift "
      "words\n  (( CURRENT-- ))\n  case $verb in\n";
  for (const Verb& verb : verbs()) {
    out += fmt::format("    {})\n      _arguments -s", pattern_of(verb));
    for (const OptionRow& row : options_of(verb)) {
      std::string rule = fmt::format("{}{}{}[{}]", row.repeatable ? "*" : "", row.flag,
                                     row.value.empty() ? "" : "=", zsh_text(row.help));
      if (!row.value.empty()) rule += fmt::format(":{}:{}", row.value, zsh_action(row.completion));
      out += fmt::format(" \\\n        {}", quoted(rule));
    }
    int index = 1;
    for (const ArgumentRow& row : verb.arguments) {
      const std::string place = row.many ? "*" : fmt::format("{}", index++);
      out +=
          fmt::format(" \\\n        {}",
                      quoted(fmt::format("{}:{}:{}", place, row.name, zsh_action(row.completion))));
    }
    out += "\n      ;;\n";
  }
  out +=
      "  esac\n}\nif [[ $funcstack[1] == _squish ]]; then _squish \"$@\"; else compdef _squish "
      "squish; fi\n";
  return out;
}

std::string fish_script() {
  std::string out =
      "# fish completion of squish: squish completions fish > "
      "~/.config/fish/completions/squish.fish\n"
      "complete -c squish -f\n";
  for (const Verb& verb : verbs()) {
    out += fmt::format("complete -c squish -n __fish_use_subcommand -a {} -d {}\n", verb.name,
                       quoted(verb.summary));
    const std::string condition =
        fmt::format("'__fish_seen_subcommand_from {}'", replace_all(pattern_of(verb), "|", " "));
    for (const OptionRow& row : options_of(verb)) {
      out += fmt::format("complete -c squish -n {} -l {}", condition, row.flag.substr(2));
      if (!row.short_flag.empty()) out += fmt::format(" -s {}", row.short_flag.substr(1));
      if (!row.value.empty()) {
        const Offer offer = offer_of(row.completion);
        if (row.completion == Completion::file) {
          out += " -r -F";
        } else if (offer.words.empty()) {
          out += " -x";
        } else {
          out += fmt::format(" -x -a {}", quoted(offer.words));
        }
      }
      out += fmt::format(" -d {}\n", quoted(row.help));
    }
    for (const ArgumentRow& row : verb.arguments) {
      const Offer offer = offer_of(row.completion);
      if (!offer.command.empty()) {
        out += fmt::format("complete -c squish -n {} -F -a {}\n", condition,
                           quoted("(" + offer.command + ")"));
      } else if (!offer.words.empty()) {
        out += fmt::format("complete -c squish -n {} -a {}\n", condition, quoted(offer.words));
      }
    }
  }
  return out;
}

}  // namespace

Result<std::string> completion_script(std::string_view shell) {
  if (shell == "bash") return bash_script();
  if (shell == "zsh") return zsh_script();
  if (shell == "fish") return fish_script();
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("completions: '{}' is not a shell that is known here; use bash, zsh or fish",
                  printable(shell))};
}

}  // namespace squish::cli
