// squish push
#include <filesystem>

#include <fmt/format.h>

#include "base/file.h"
#include "base/strings.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/publish_model.h"
#include "cli/publish_report.h"
#include "cli/publish_targets.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

/// DIR as a path that is taken for nothing else: a model of that name may be in the store.
Result<std::string> directory_of(const std::string& given) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(given, error);
  if (!error && is_directory(path.string())) return path.lexically_normal().string();
  return Error{ErrorCode::not_found,
               fmt::format("{}: is no directory; squish publish takes names of models and files",
                           printable(given, 512))};
}

Result<int> run(Context& context, const Arguments& arguments) {
  PublishTarget target;
  SQ_TRY_STATUS(set_repository(arguments.text("REPO").value_or(""), target));
  SQ_TRY(target.model, directory_of(arguments.text("DIR").value_or("")));
  SQ_TRY(PublishOptions options, publish_options(arguments));
  options.is_quiet = options.is_dry;
  if (context.environment.flag("SQUISH_OFFLINE") && !options.is_dry) {
    return Error{ErrorCode::unsupported,
                 "push needs the network, and SQUISH_OFFLINE (or --offline) forbids it; --dry-run "
                 "shows what would be sent"};
  }
  const bool is_json = arguments.has("--json");
  ProgressLine line(context.terminal);
  ProgressEvents events;
  hub::ProgressSink& sink = is_json ? static_cast<hub::ProgressSink&>(events) : line;
  const PublishOutcome outcome = publish_model(context, arguments, options, target, sink);
  line.clear();
  if (is_json) print_json_line(outcome_value(outcome));
  if (outcome.error && !is_json) return *outcome.error;
  if (outcome.error) {  // the event says it already
    print_error(context.terminal, outcome.error->message);
    return error_row(outcome.error->code).exit_code;
  }
  if (!is_json) print(push_text(context.terminal, outcome));
  return 0;
}

}  // namespace

Verb make_push_verb() {
  return {
      .name = "push",
      .summary = "Send one directory to a repository on the hub",
      .details =
          "  squish push ./smollm2-int4 org/smollm2-int4\n"
          "  squish push ./smollm2-int4 org/smollm2-int4 --private --commit-message \"First try\"\n"
          "  squish push ./smollm2-int4 org/smollm2-int4 --dry-run        asks nobody\n"
          "\n"
          "What squish publish does, for one directory: the same gates, card, upload and exit "
          "codes (docs/publish.md).",
      .arguments = {{.name = "DIR",
                     .required = true,
                     .completion = Completion::file,
                     .help = "a directory that squish compress wrote"},
                    {.name = "REPO", .required = true, .help = "org/repo, or hf:org/repo@branch"}},
      .options = {{.flag = "--private", .help = "a repository that has to be created is private"},
                  {.flag = "--commit-message",
                   .short_flag = "-m",
                   .value = "TEXT",
                   .help = "of the commit"},
                  {.flag = "--dry-run",
                   .help = "pass the gates and list the files; no network, no card"},
                  {.flag = "--force",
                   .short_flag = "-f",
                   .help = "send what differs to a repository that holds files"},
                  {.flag = "--base-model",
                   .value = "REPO",
                   .help = "for the card: what the model was made from (default: what is known)"},
                  {.flag = "--license",
                   .value = "ID",
                   .help = "for the card: such as apache-2.0 (default: what the catalogue knows)"},
                  {.flag = "--no-report", .help = "send a model without a report.json, too"},
                  {.flag = "--no-smoke-test", .help = "do not ask the model anything"},
                  {.flag = "--token",
                   .value = "TOKEN",
                   .help = "for the hub; else HF_TOKEN or HUGGING_FACE_HUB_TOKEN"},
                  {.flag = "--json", .help = "events as JSON lines on standard output"}},
      .groups = {OptionGroup::load},
      .events = true,
      .writes_files = true,
      .run = run,
  };
}

}  // namespace squish::cli
