// squish publish
#include <algorithm>

#include <fmt/format.h>

#include "base/file.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/publish_model.h"
#include "cli/publish_report.h"
#include "cli/publish_targets.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

/// Of one failure its own code, of several their common one, else 1.
int exit_code_of(const std::vector<PublishOutcome>& outcomes) {
  int code = 0;
  for (const PublishOutcome& outcome : outcomes) {
    if (!outcome.error) continue;
    const int one = error_row(outcome.error->code).exit_code;
    if (outcome.error->code == ErrorCode::cancelled) return one;
    code = code == 0 || code == one ? one : 1;
  }
  return code;
}

void tell(const Context& context, const PublishOutcome& outcome, bool is_json, bool is_one) {
  if (is_json) print_json_line(outcome_value(outcome));
  if (!outcome.error) {
    if (!is_json) print(outcome_text(context.terminal, outcome));
    return;
  }
  if (is_one) return;  // the program reports it as any error
  print_error(context.terminal, outcome.error->message);
}

Result<int> publish_all(Context& context, const Arguments& arguments, const PublishOptions& options,
                        const std::vector<PublishTarget>& targets) {
  const bool is_json = arguments.has("--json");
  const bool is_one = targets.size() == 1;
  ProgressLine line(context.terminal);
  ProgressEvents events;
  std::vector<PublishOutcome> outcomes;
  for (const PublishTarget& target : targets) {
    hub::ProgressSink& sink = is_json ? static_cast<hub::ProgressSink&>(events) : line;
    outcomes.push_back(publish_model(context, arguments, options, target, sink));
    line.clear();
    const PublishOutcome& outcome = outcomes.back();
    tell(context, outcome, is_json, is_one);
    if (outcome.error && outcome.error->code == ErrorCode::cancelled) break;
  }
  if (const auto path = arguments.text("--report"))
    SQ_TRY_STATUS(write_file_atomic(*path, as_bytes(report_text(outcomes))));
  const PublishOutcome& last = outcomes.back();
  const bool is_interrupted = last.error && last.error->code == ErrorCode::cancelled;
  // In JSON the event `failed` of the model says it already.
  if (last.error && is_json && is_one) print_error(context.terminal, last.error->message);
  if (last.error && !is_json && (is_one || is_interrupted)) return *last.error;
  if (targets.size() > 1 && !is_json) {
    const auto failed =
        std::ranges::count(outcomes, PublishStatus::failed, &PublishOutcome::status);
    print(fmt::format("{} models, {} failed\n", outcomes.size(), failed));
  }
  return exit_code_of(outcomes);
}

Result<int> run(Context& context, const Arguments& arguments) {
  SQ_TRY(const std::vector<PublishTarget> targets, publish_targets(context, arguments));
  SQ_TRY(const PublishOptions options, publish_options(arguments));
  if (context.environment.flag("SQUISH_OFFLINE") && !arguments.has("--dry-run")) {
    return Error{
        ErrorCode::unsupported,
        "publish needs the network, and SQUISH_OFFLINE (or --offline) forbids it; --dry-run "
        "shows what would be sent"};
  }
  return publish_all(context, arguments, options, targets);
}

}  // namespace

Verb make_publish_verb() {
  return {
      .name = "publish",
      .summary = "Send a compressed model to a repository on the hub",
      .details =
          "  squish publish ./smollm2-int4 --to hf:org/smollm2-squished\n"
          "  squish publish ./smollm2-int4 --to hf:org/smollm2 --path-in-repo int4 --private\n"
          "  squish publish ./a-int4 ./a-int8 --org org      org/a-squished, org/a-squished-int8\n"
          "  squish publish --batch-file models.json --report report.md\n"
          "  squish publish --all-missing --tag small --org org --dry-run\n"
          "  squish publish ./smollm2-int4 --to hf:org/x --dry-run     files, sizes and the card\n"
          "\n"
          "Before anything is sent the model passes gates: no blocked pair of model and format, "
          "a report of what was lost\n"
          "(exit code 4), whole and as its checksums say (1), no file that could run code, and "
          "five "
          "answers that make sense (2).\n"
          "An interrupted upload goes on where it was. A repository that holds files is left alone "
          "without --force.\n"
          "See docs/publish.md.",
      .arguments = {{.name = "MODEL",
                     .many = true,
                     .completion = Completion::model,
                     .help = "directories that squish compress wrote, or names of local models"}},
      .options =
          {{.flag = "--to", .value = "REPO", .help = "hf:org/repo[@branch]; for one model"},
           {.flag = "--org",
            .value = "ORG",
            .help = "instead of --to: org/<directory>-squished[-<format>] for each model"},
           {.flag = "--batch-file",
            .value = "FILE",
            .help = "a JSON array of {\"path\": ..., \"repo\": ...}",
            .completion = Completion::file},
           {.flag = "--all-missing",
            .help = "all local models that squish compress wrote and whose repository is empty or "
                    "absent; needs --org"},
           {.flag = "--tag",
            .value = "TAG",
            .help = "of those the ones made from models of the catalogue with this tag"},
           {.flag = "--path-in-repo",
            .value = "SUB",
            .help = "a folder of the repository instead of its top"},
           {.flag = "--private", .help = "a repository that has to be created is private"},
           {.flag = "--dry-run", .help = "pass the gates, show what would be sent, send nothing"},
           {.flag = "--force",
            .short_flag = "-f",
            .help = "send what differs to a repository that holds files"},
           {.flag = "--message", .short_flag = "-m", .value = "TEXT", .help = "of the commit"},
           {.flag = "--base-model",
            .value = "REPO",
            .help = "for the card: what the model was made from (default: what is known)"},
           {.flag = "--license",
            .value = "ID",
            .help = "for the card: such as apache-2.0 (default: what the catalogue knows)"},
           {.flag = "--no-report", .help = "publish a model without a report.json, too"},
           {.flag = "--no-smoke-test", .help = "do not ask the model anything"},
           {.flag = "--report",
            .value = "FILE",
            .help = "write a Markdown table of all models",
            .completion = Completion::file},
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
