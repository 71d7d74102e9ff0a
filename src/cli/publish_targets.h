#pragma once
// Which models a call of `squish publish` means, and where each goes.
#include <vector>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/context.h"
#include "cli/publish_model.h"

namespace squish::cli {

/// Those of MODEL..., --batch-file, --all-missing and --tag, with --to or --org. Errors:
/// invalid_argument for words that contradict each other; bad_file for a list that is none;
/// not_found when nothing is left.
Result<std::vector<PublishTarget>> publish_targets(Context& context, const Arguments& arguments);

}  // namespace squish::cli
