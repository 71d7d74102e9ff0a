// squish publish
#include <algorithm>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/publish_model.h"
#include "cli/publish_report.h"
#include "cli/verb_rows.h"
#include "hub/hub_listing.h"

namespace squish::cli {
namespace {

constexpr size_t kModelsMax = 1000;

/// "hf:org/repo[@branch]", its web address, or "org/repo".
Status set_repository(std::string_view text, PublishTarget& target) {
  const std::string given =
      hub::is_hf_reference(text) ? std::string(text) : "hf:" + std::string(text);
  SQ_TRY(const hub::HfReference reference, hub::parse_hf_reference(given));
  if (!reference.file.empty()) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("\"{}\" names a file; a folder of the repository is --path-in-repo {}",
                             printable(text, 200), printable(reference.file))};
  }
  target.repository = reference.repository;
  target.revision = reference.revision;
  return {};
}

std::string text_member(const Value& object, std::string_view key) {
  const Value* found = object.is_dict() ? object.find(key) : nullptr;
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : "";
}

/// A JSON array of {"path": ..., "repo": ...}; without "repo", or as a plain text, --org names it.
Status read_batch(const std::string& path, const std::string& organization,
                  std::vector<PublishTarget>& targets) {
  SQ_TRY(const std::string text, read_file(path, 16 * limits::kMiB));
  const auto refuse = [&](size_t index, const std::string& why) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: entry {} {}", printable(path, 512), index + 1, why)};
  };
  const auto list = parse_json(text);
  if (!list || !list->is_list()) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: is no JSON array of {{\"path\": ..., \"repo\": ...}}",
                             printable(path, 512))};
  }
  for (size_t i = 0; i < list->size(); ++i) {
    const Value& entry = list->items()[i];
    PublishTarget target;
    target.model = entry.is_string() ? entry.as_string() : text_member(entry, "path");
    target.organization = organization;
    if (target.model.empty()) return refuse(i, "has no \"path\"");
    if (const std::string repository = text_member(entry, "repo"); !repository.empty()) {
      if (const Status set = set_repository(repository, target); !set)
        return refuse(i, set.error().message);
    } else if (organization.empty()) {
      return refuse(i, "has no \"repo\", and there is no --org to name one in");
    }
    targets.push_back(std::move(target));
  }
  return {};
}

Result<std::vector<PublishTarget>> targets_of(const Arguments& arguments) {
  const std::vector<std::string> models = arguments.all("MODEL");
  const auto batch = arguments.text("--batch-file");
  const auto to = arguments.text("--to");
  const std::string organization = arguments.text("--org").value_or("");
  const auto refuse = [](std::string why) {
    return Error{ErrorCode::invalid_argument, "publish: " + std::move(why)};
  };
  if (models.empty() && !batch)
    return refuse("name a model's directory, or a list of them with --batch-file");
  if (to && !organization.empty()) return refuse("--to and --org exclude each other");
  if (to && (models.size() != 1 || batch))
    return refuse("--to is for one model; --org ORG names the repositories of several");
  if (!to && organization.empty() && !models.empty())
    return refuse("say where it goes: --to hf:org/repo, or --org ORG for a name made of its own");
  std::vector<PublishTarget> targets;
  for (const std::string& model : models) {
    PublishTarget target;
    target.model = model;
    target.organization = organization;
    if (to) SQ_TRY_STATUS(set_repository(*to, target));
    targets.push_back(std::move(target));
  }
  if (batch) SQ_TRY_STATUS(read_batch(*batch, organization, targets));
  if (targets.empty()) {
    return Error{ErrorCode::not_found, fmt::format("{}: lists no model", printable(*batch, 512))};
  }
  if (targets.size() > kModelsMax)
    return refuse(fmt::format("{} models; the limit is {}", targets.size(), kModelsMax));
  return targets;
}

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

Result<int> publish_all(Context& context, const Arguments& arguments,
                        const std::vector<PublishTarget>& targets) {
  const bool is_json = arguments.has("--json");
  ProgressLine line(context.terminal);
  ProgressEvents events;
  std::vector<PublishOutcome> outcomes;
  for (const PublishTarget& target : targets) {
    hub::ProgressSink& sink = is_json ? static_cast<hub::ProgressSink&>(events) : line;
    outcomes.push_back(publish_model(context, arguments, target, sink));
    line.clear();
    const PublishOutcome& outcome = outcomes.back();
    tell(context, outcome, is_json, targets.size() == 1);
    if (outcome.error && outcome.error->code == ErrorCode::cancelled) break;
  }
  if (const auto path = arguments.text("--report"))
    SQ_TRY_STATUS(write_file_atomic(*path, as_bytes(report_text(outcomes))));
  const PublishOutcome& last = outcomes.back();
  const bool is_interrupted = last.error && last.error->code == ErrorCode::cancelled;
  if (last.error && (targets.size() == 1 || is_interrupted)) return *last.error;
  if (targets.size() > 1 && !is_json) {
    const auto failed =
        std::ranges::count(outcomes, PublishStatus::failed, &PublishOutcome::status);
    print(fmt::format("{} models, {} failed\n", outcomes.size(), failed));
  }
  return exit_code_of(outcomes);
}

Result<int> run(Context& context, const Arguments& arguments) {
  SQ_TRY(const std::vector<PublishTarget> targets, targets_of(arguments));
  if (context.environment.flag("SQUISH_OFFLINE") && !arguments.has("--dry-run")) {
    return Error{
        ErrorCode::unsupported,
        "publish needs the network, and SQUISH_OFFLINE (or --offline) forbids it; --dry-run "
        "shows what would be sent"};
  }
  return publish_all(context, arguments, targets);
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
      .run = run,
  };
}

}  // namespace squish::cli
