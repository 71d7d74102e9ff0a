// squish version, completions, help
#include <fmt/format.h>
#include <sys/utsname.h>

#include "base/cpu_count.h"
#include "base/strings.h"
#include "base/thread_pool.h"
#include "cli/help.h"
#include "cli/json.h"
#include "cli/revision.h"
#include "cli/table.h"
#include "cli/verb_rows.h"
#include "hub/catalog.h"
#include "kernels/backend.h"

namespace squish::cli {
namespace {

Result<int> print_version(Context& context, const Arguments& arguments) {
  ThreadPool pool(compute_thread_count());  // what a run without --threads gets
  const auto backend = make_backend("", pool);
  const std::string isa = available_isas().empty() ? "" : std::string(available_isas().front());
  const std::string description =
      backend ? backend.value()->description() : backend.error().message;
  utsname system{};
  uname(&system);
  if (arguments.has("--json")) {
    Value::List isas;
    for (const std::string_view name : available_isas()) isas.push_back(json_text(name));
    print_json(Value::dict({{"version", kVersion},
                            {"revision", json_text_or_null(kRevision)},
                            {"compiler", kCompiler},
                            {"isa", json_text_or_null(isa)},
                            {"isas", Value::list(std::move(isas))},
                            {"backend", json_text(description)},
                            {"usable_cpus", usable_cpu_count()},
                            {"compute_threads", compute_thread_count()},
                            {"system", json_text(system.sysname)},
                            {"release", json_text(system.release)},
                            {"machine", json_text(system.machine)}}));
    return 0;
  }
  Facts facts;
  facts.add("squish", fmt::format("{}{}", kVersion,
                                  *kRevision == '\0' ? "" : fmt::format(" ({})", kRevision)));
  facts.add("compiler", kCompiler);
  facts.add("isa", isa);
  facts.add("backend", description);
  facts.add("cpus", fmt::format("{} usable, {} threads compute", usable_cpu_count(),
                                compute_thread_count()));
  facts.add("system", fmt::format("{} {} {}", system.sysname, system.release, system.machine));
  print(facts.text(context.terminal));
  return 0;
}

Result<int> print_completions(Context& /*context*/, const Arguments& arguments) {
  SQ_TRY(const std::string script, completion_script(*arguments.text("SHELL")));
  print(script);
  return 0;
}

Result<int> print_help(Context& context, const Arguments& arguments) {
  if (arguments.has("--markdown")) {
    print(markdown());
    return 0;
  }
  const auto word = arguments.text("VERB");
  if (!word) {
    print(overview(context.terminal));
    return 0;
  }
  const Verb* verb = find_verb(*word);
  if (verb == nullptr) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("help: '{}' is no verb of squish{}", printable(*word),
                             hub::did_you_mean(nearest(*word, verb_names())))};
  }
  print(verb_help(context.terminal, *verb));
  return 0;
}

}  // namespace

Verb make_version_verb() {
  return {
      .name = "version",
      .summary = "Say which build this is and what it runs on",
      .details = {},
      .arguments = {},
      .options = {{.flag = "--json", .help = "a JSON object"}},
      .groups = {},
      .run = print_version,
  };
}

Verb make_completions_verb() {
  return {
      .name = "completions",
      .summary = "Print a completion script for a shell",
      .details =
          "  source <(squish completions bash)\n"
          "  squish completions zsh > \"${fpath[1]}/_squish\"\n"
          "  squish completions fish > ~/.config/fish/completions/squish.fish",
      .arguments = {{.name = "SHELL",
                     .required = true,
                     .completion = Completion::shell,
                     .help = "bash, zsh or fish"}},
      .options = {},
      .groups = {},
      .run = print_completions,
  };
}

Verb make_help_verb() {
  return {
      .name = "help",
      .summary = "Explain a verb",
      .details = {},
      .arguments = {{.name = "VERB", .help = "a verb; without it all are listed"}},
      .options = {{.flag = "--markdown", .help = "all of it as Markdown: docs/cli.md"}},
      .groups = {},
      .run = print_help,
  };
}

}  // namespace squish::cli
