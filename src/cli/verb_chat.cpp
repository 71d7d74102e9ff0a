// squish chat
#include "cli/chat_loop.h"
#include "cli/model_choice.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

Result<int> run(Context& context, const Arguments& arguments) {
  // Before a model is fetched or loaded for nothing.
  SQ_TRY(const ChatFlags flags, read_chat_flags(arguments));
  if (const auto checked = load_options(context, arguments); !checked) return checked.error();
  SQ_TRY(const hub::LocalModel local, choose_model(context, arguments.text("MODEL").value_or("")));
  SQ_TRY(const std::unique_ptr<LoadedModel> model,
         load_model(context, arguments, local, startup_trace()));
  return chat_loop(context, local, *model, flags);
}

}  // namespace

Verb make_chat_verb() {
  return {
      .name = "chat",
      .summary = "Talk with a model",
      .details =
          "Inside: /help /clear /system TEXT /save FILE /stats /quit. A trailing \\ or \"\"\" "
          "makes a message of\n"
          "several lines. Ctrl-C stops an answer; at an empty prompt it leaves. Lines typed are "
          "kept in\n"
          "chat_history under SQUISH_HOME.",
      .arguments = {{.name = "MODEL",
                     .completion = Completion::model,
                     .help = "a name or path; without it the default model"}},
      .options = {{.flag = "--max-history",
                   .value = "N",
                   .help =
                       "messages that are sent along, besides the system message (default 40)"}},
      .groups = {OptionGroup::dialog, OptionGroup::sampling, OptionGroup::load},
      .run = run,
  };
}

}  // namespace squish::cli
