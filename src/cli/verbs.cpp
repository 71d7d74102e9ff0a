#include <algorithm>
#include <array>

#include "cli/verb.h"
#include "cli/verb_rows.h"
#include "engine/sampling_params.h"

namespace squish::cli {
namespace {

constexpr std::array kGlobalOptions = {
    OptionRow{.flag = "--help", .short_flag = "-h", .help = "explain and end"},
    OptionRow{.flag = "--log-level",
              .value = "LEVEL",
              .help = "how much is logged to stderr: trace, debug, info, warning, error, critical "
                      "or off (default warning)",
              .completion = Completion::log_level},
    OptionRow{.flag = "--no-color", .help = "no colours, as with NO_COLOR=1"},
    OptionRow{.flag = "--offline", .help = "no network at all, as with SQUISH_OFFLINE=1"},
};

constexpr std::array kLoadOptions = {
    OptionRow{.flag = "--threads",
              .short_flag = "-t",
              .value = "N",
              .help = "threads that compute; 0 = one for each fast core that this process may use"},
    OptionRow{.flag = "--context",
              .short_flag = "-c",
              .value = "N",
              .help = "longest prompt plus answer in tokens; 0 = the model's own, at most 32768"},
    OptionRow{.flag = "--backend",
              .value = "NAME",
              .help = "cpu, or ref: plain and slow, for comparison",
              .completion = Completion::backend},
    OptionRow{
        .flag = "--isa",
        .value = "NAME",
        .help = "instruction set of the cpu backend (default: the best that this machine has)",
        .completion = Completion::isa},
};

constexpr std::array kDialogOptions = {
    OptionRow{.flag = "--system",
              .short_flag = "-s",
              .value = "TEXT",
              .help = "instructions that stand before the conversation"},
    OptionRow{
        .flag = "--think",
        .help = "let the model think before it answers, where its template has a switch for it"},
    OptionRow{.flag = "--no-think",
              .help = "answer without thinking, where the template has a switch for it"},
    OptionRow{.flag = "--no-speculation",
              .help = "one token a step, also where the text repeats; the answer is the same"},
};

void append_sampling(std::vector<OptionRow>& out) {
  // Rows live as long as the program: --help texts carry the default and the range of the table.
  static const std::vector<std::string> texts = [] {
    std::vector<std::string> all;
    for (const ParameterInfo& info : sampling_parameters()) {
      std::string text(info.help);
      if (!info.is_bool()) text += " (default " + to_string(info.initial) + ")";
      all.push_back(std::move(text));
    }
    return all;
  }();
  size_t index = 0;
  for (const ParameterInfo& info : sampling_parameters()) {
    const std::string& help = texts[index++];
    if (info.flag.empty()) continue;
    const std::string_view value = info.is_bool() ? "" : info.is_integer() ? "N" : "X";
    out.push_back({.flag = info.flag, .value = value, .help = help});
  }
  out.push_back({.flag = "--stop",
                 .value = "TEXT",
                 .help = "end the answer before this text; may be given several times",
                 .repeatable = true});
  out.push_back({.flag = "--logit-bias",
                 .value = "ID=BIAS",
                 .help = "added to the logit of a token, -100 bans it; may be given several times",
                 .repeatable = true});
}

void append_group(std::vector<OptionRow>& out, OptionGroup group) {
  switch (group) {
    case OptionGroup::load:
      out.insert(out.end(), kLoadOptions.begin(), kLoadOptions.end());
      break;
    case OptionGroup::sampling:
      append_sampling(out);
      break;
    case OptionGroup::dialog:
      out.insert(out.end(), kDialogOptions.begin(), kDialogOptions.end());
      break;
  }
}

}  // namespace

std::span<const Verb> verbs() {
  static const std::vector<Verb> table = {
      make_run_verb(),       make_chat_verb(),
      make_serve_verb(),     make_ps_verb(),
      make_stop_verb(),      make_logs_verb(),
      make_trace_verb(),     make_quality_verb(),
      make_pull_verb(),      make_compress_verb(),
      make_export_verb(),    make_publish_verb(),
      make_push_verb(),      make_quantize_remote_verb(),
      make_trim_verb(),      make_masks_verb(),
      make_merge_verb(),     make_sbom_verb(),
      make_models_verb(),    make_show_verb(),
      make_remove_verb(),    make_catalog_verb(),
      make_search_verb(),    make_tokenize_verb(),
      make_embed_verb(),     make_bench_verb(),
      make_benchmark_verb(), make_eval_verb(),
      make_check_verb(),     make_config_verb(),
      make_version_verb(),   make_completions_verb(),
      make_help_verb(),      make_rotate_verb(),
  };
  return table;
}

const Verb* find_verb(std::string_view word) {
  for (const Verb& verb : verbs()) {
    if (verb.name == word || std::ranges::find(verb.aliases, word) != verb.aliases.end())
      return &verb;
  }
  return nullptr;
}

std::vector<std::string_view> verb_names() {
  std::vector<std::string_view> out;
  for (const Verb& verb : verbs()) {
    out.push_back(verb.name);
    out.insert(out.end(), verb.aliases.begin(), verb.aliases.end());
  }
  return out;
}

std::vector<OptionRow> options_of(const Verb& verb) {
  std::vector<OptionRow> out = verb.options;
  for (const OptionGroup group : verb.groups) append_group(out, group);
  out.insert(out.end(), kGlobalOptions.begin(), kGlobalOptions.end());
  return out;
}

std::span<const OptionRow> global_options() { return kGlobalOptions; }

}  // namespace squish::cli
