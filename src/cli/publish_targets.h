#pragma once
// Which models a call of `squish publish` means, and where each goes.
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/context.h"
#include "cli/publish_model.h"

namespace squish::cli {

/// Sets where `target` goes: "hf:org/repo[@branch]", its web address, or "org/repo". Errors:
/// invalid_argument.
Status set_repository(std::string_view text, PublishTarget& target);

/// Those of MODEL..., --batch-file, --all-missing and --tag, with --to or --org. Errors:
/// invalid_argument for words that contradict each other; bad_file for a list that is none;
/// not_found when nothing is left.
Result<std::vector<PublishTarget>> publish_targets(Context& context, const Arguments& arguments);

}  // namespace squish::cli
