#pragma once
// npy directories on the command line: written by compress and export, unpacked by whatever runs.
#include <string_view>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/context.h"
#include "compress/compress.h"
#include "hub/local_model.h"

namespace squish::cli {

/// The --format of compress that is no format of ours.
inline constexpr std::string_view kNpyFormat = "sqint2";

/// Writes options.input as an npy directory of the kind options.format, or shows the plan of it
/// with --dry-run; reads --zstd-level, --json. Errors: those of compress::export_npy.
Result<int> compress_to_npy(Context& context, const Arguments& arguments,
                            const compress::CompressOptions& options);

/// `model`, or for an npy directory the int8 model in the cache that was made of it, made first
/// where it is not there. Errors: those of compress::run; unsupported without a cache directory.
Result<hub::LocalModel> runnable(Context& context, hub::LocalModel model);

}  // namespace squish::cli
