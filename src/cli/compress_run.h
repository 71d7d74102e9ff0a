#pragma once
// A run of compress on behalf of a verb, and what is said of it.
#include "base/result.h"
#include "cli/context.h"
#include "compress/compress.h"
#include "text/jinja_value.h"

namespace squish::cli {

/// The plan of a run: an event of --json, or a table of the tensors and the sizes on stdout.
Value plan_value(const compress::Preview& preview, const compress::CompressOptions& options);
void print_plan(const Context& context, const compress::Preview& preview,
                const compress::CompressOptions& options);

/// compress::run with progress on stderr and the figures on stdout; with `is_json` all as events.
/// Ctrl-C ends it, keeping what was coded. Errors: those of compress::run.
Status compress_and_tell(const Context& context, const compress::CompressOptions& options,
                         bool is_json);

}  // namespace squish::cli
