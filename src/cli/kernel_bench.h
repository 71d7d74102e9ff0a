#pragma once
// `squish bench --format F`: the speed of one product of the backend, without a model.
#include "base/result.h"
#include "cli/arguments.h"
#include "cli/context.h"

namespace squish::cli {

/// The flags that choose this kind of measurement.
std::vector<OptionRow> kernel_bench_options();
/// Whether one of them was given.
bool wants_kernel_bench(const Arguments& arguments);

/// Multiplies `--batch` rows with matrices of Gaussian weights in `--format`, checks the product
/// against the reference backend and prints times and rates. The matrices together are larger than
/// any cache, so that weights come from memory. Returns exit code 5 when the product is wrong.
/// Errors: invalid_argument for an unknown format, an instruction set that this machine lacks, a
/// group size that is not the format's or does not divide the rows; out_of_memory.
Result<int> run_kernel_bench(Context& context, const Arguments& arguments);

}  // namespace squish::cli
