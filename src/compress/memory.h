#pragma once
// What a run takes of memory, and whether it is there.
#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "compress/plan.h"
#include "compress/trellis_device.h"
#include "model/config.h"

namespace squish::compress {

/// How much calibration text a plan is good with when nobody says: 8,192 tokens for AWQ, which asks
/// for means. A Hessian of n columns has rank n only after n tokens, and what it says of a
/// direction is as sure as the number of tokens a column: 4 times the widest input, 8,192 to
/// 32,768. Measured: docs/encoders.md, "Error feedback".
size_t calibration_tokens_for(const Plan& plan);

/// Bytes at the widest moment, besides pages of the source and of the result, which the system
/// takes back when it needs them. `evaluation_tokens` of 0: no comparison at the end.
uint64_t peak_memory(const Plan& plan, const ModelConfig& config, size_t calibration_tokens,
                     size_t evaluation_tokens, const TrellisDevice& device, int threads);
/// Bytes of the device's own memory at the widest moment; 0 on the processor.
uint64_t peak_device_memory(const Plan& plan, const TrellisDevice& device, int threads);

/// What this process may still take: MemAvailable, or less where a control group says so; 0 when
/// the system does not tell.
uint64_t available_memory();

/// Errors: refused (exit 4) when `peak_bytes` is more than is there, with the ways out.
Status check_memory(uint64_t peak_bytes, Calibration calibration);
/// The same for the device's own memory.
Status check_device_memory(uint64_t peak_bytes, TrellisDevice& device);

}  // namespace squish::compress
