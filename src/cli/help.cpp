#include "cli/help.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"

namespace squish::cli {
namespace {

constexpr int kIndent = 2;
constexpr int kTextColumn = 30;  // where explanations start
constexpr int kWidthMax = 110;

/// Words of `text` in lines of at most `columns`.
std::vector<std::string> wrap(std::string_view text, int columns) {
  std::vector<std::string> lines(1);
  for (const std::string_view word : split(text, ' ')) {
    std::string& line = lines.back();
    if (line.empty()) {
      line = word;
    } else if (display_width(line) + 1 + display_width(word) <= columns) {
      line += ' ';
      line += word;
    } else {
      lines.emplace_back(word);
    }
  }
  return lines;
}

/// "  left          text", wrapped; `left` is painted after its width is known.
void append_row(std::string& out, const Terminal& terminal, std::string_view left,
                std::string_view text) {
  const int columns = std::min(terminal.width(), kWidthMax) - kTextColumn;
  out += std::string(kIndent, ' ') + terminal.paint(Role::accent, left);
  int used = kIndent + display_width(left);
  if (used + 2 > kTextColumn) {
    out += '\n';
    used = 0;
  }
  for (const std::string& line : wrap(text, std::max(columns, 30))) {
    out += std::string(static_cast<size_t>(std::max(0, kTextColumn - used)), ' ') + line + '\n';
    used = 0;
  }
}

std::string flag_text(const OptionRow& row) {
  std::string out = row.short_flag.empty() ? "    " : fmt::format("{}, ", row.short_flag);
  out += row.flag;
  if (!row.value.empty()) out += fmt::format(" {}", row.value);
  return out;
}

std::string argument_text(const ArgumentRow& row) {
  const std::string_view dots = row.many ? "..." : "";
  return row.required ? fmt::format("{}{}", row.name, dots) : fmt::format("[{}{}]", row.name, dots);
}

std::string usage_line(const Verb& verb) {
  std::string out = fmt::format("squish {}", verb.name);
  for (const ArgumentRow& row : verb.arguments) out += " " + argument_text(row);
  return out + " [flags]";
}

bool is_global(const OptionRow& row) {
  return std::ranges::any_of(global_options(),
                             [&](const OptionRow& other) { return other.flag == row.flag; });
}

std::string markdown_cell(std::string_view text) {
  return replace_all(std::string(text), "|", "\\|");
}

void append_markdown_options(std::string& out, std::span<const OptionRow> rows) {
  out += "| flag | |\n|---|---|\n";
  for (const OptionRow& row : rows) {
    const std::string shorter = row.short_flag.empty() ? "" : fmt::format("`{}`, ", row.short_flag);
    const std::string value = row.value.empty() ? "" : fmt::format(" {}", row.value);
    out += fmt::format("| {}`{}{}` | {} |\n", shorter, row.flag, value, markdown_cell(row.help));
  }
}

}  // namespace

std::string overview(const Terminal& terminal) {
  std::string out = terminal.gradient("squish") + ": run language models on your own machine\n\n";
  out += terminal.paint(Role::strong, "Usage") + "\n  squish VERB [arguments] [flags]\n\n";
  out += terminal.paint(Role::strong, "Verbs") + "\n";
  for (const Verb& verb : verbs()) append_row(out, terminal, verb.name, verb.summary);
  out += "\n" + terminal.paint(Role::strong, "Flags for all verbs") + "\n";
  for (const OptionRow& row : global_options()) append_row(out, terminal, flag_text(row), row.help);
  out +=
      "\n`squish VERB --help` explains one verb. `squish run` starts at once with a small model.\n";
  return out;
}

std::string verb_help(const Terminal& terminal, const Verb& verb) {
  std::string out = fmt::format("{}\n\n{}\n  {}\n", verb.summary,
                                terminal.paint(Role::strong, "Usage"), usage_line(verb));
  if (!verb.aliases.empty()) {
    out += "  also:";
    for (const std::string_view alias : verb.aliases) out += fmt::format(" squish {}", alias);
    out += '\n';
  }
  if (!verb.arguments.empty()) {
    out += "\n" + terminal.paint(Role::strong, "Arguments") + "\n";
    for (const ArgumentRow& row : verb.arguments) append_row(out, terminal, row.name, row.help);
  }
  out += "\n" + terminal.paint(Role::strong, "Flags") + "\n";
  for (const OptionRow& row : options_of(verb)) {
    if (!is_global(row)) append_row(out, terminal, flag_text(row), row.help);
  }
  for (const OptionRow& row : global_options()) append_row(out, terminal, flag_text(row), row.help);
  if (!verb.details.empty()) out += fmt::format("\n{}\n", verb.details);
  return out;
}

std::string markdown() {
  std::string out =
      "# Command line\n\n<!-- Made by `squish help --markdown`; do not edit. -->\n\n"
      "Data goes to standard output, talk (progress, notes, errors) to standard error. Flags may "
      "stand before or after\n"
      "the words of a verb; `--` ends them. A flag wins over an environment variable, that over "
      "`config.json`.\n\n"
      "Exit codes: 0 done, 1 an expected failure (also a key that a server does not take), 2 wrong "
      "usage or refused as unsafe, 3 a server "
      "or network that does not\n"
      "answer, 4 refused by a limit or gate, 5 not what was promised (a file's hash, a product), "
      "130 "
      "Ctrl-C. With --json a failure is on standard\n"
      "output too: `{\"error\": {\"code\", \"message\", \"exit_code\"}}`, and as the last event "
      "where "
      "--json gives events.\n"
      "Verbs that write files go on when nobody reads their output any more (`squish export ... "
      "--json | head -1`), and are done with 0.\n\n## Flags for all verbs\n\n";
  append_markdown_options(out, global_options());
  for (const Verb& verb : verbs()) {
    out += fmt::format("\n## squish {}\n\n{}\n\n```\n{}\n```\n", verb.name, verb.summary,
                       usage_line(verb));
    if (!verb.aliases.empty()) {
      out += "\nAlso:";
      for (const std::string_view alias : verb.aliases) out += fmt::format(" `squish {}`", alias);
      out += "\n";
    }
    if (!verb.arguments.empty()) out += "\n";
    for (const ArgumentRow& row : verb.arguments)
      out += fmt::format("- `{}`: {}\n", argument_text(row), row.help);
    std::vector<OptionRow> own;
    for (const OptionRow& row : options_of(verb)) {
      if (!is_global(row)) own.push_back(row);
    }
    if (!own.empty()) {
      out += "\n";
      append_markdown_options(out, own);
    }
    if (!verb.details.empty()) out += fmt::format("\n```\n{}\n```\n", verb.details);
  }
  return out;
}

}  // namespace squish::cli
