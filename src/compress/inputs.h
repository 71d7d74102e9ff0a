#pragma once
// Which matrices of a layer read the same input, and the frames in which their codes live.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/calibrate.h"
#include "compress/plan.h"
#include "compress/trellis_feedback.h"
#include "model/model_files.h"

namespace squish::compress {

/// Matrices with the same input share its rotation and its Hessian. Experts of a mixture read what
/// its router reads, each some of the rows: one expert of many sees too few rows of a calibration
/// text for a Hessian of its own, so that gate and up of all experts share the router's, and their
/// down matrices, whose inputs have nothing in common, are coded without feedback.
enum class Input : uint8_t { attention, output, mlp, down, expert_down, head, none };
Input input_of(Role role);

/// The statistics of `input` in those of its layer; null for what calibration does not see.
const InputStatistics* find_statistics(const LayerStatistics& layer, Input input);
InputStatistics* find_statistics(LayerStatistics& layer, Input input);

/// Tensors of `layer` (-1: of none) that are trellis codes and read `input`, in the plan's order;
/// of the down matrices of experts only those of this row length: a shared expert may be wider.
std::vector<const PlannedTensor*> trellis_members(const Plan& plan, int layer, Input input,
                                                  uint64_t row_length);

/// The frame of an input. `statistics` may be null or without a Hessian: no feedback; a Hessian is
/// moved out. Reads the weights of all members once. Errors: those of InputFrame::create.
Result<InputFrame> make_frame(std::span<const PlannedTensor* const> members, int layer, Input input,
                              const ModelFiles& files, InputStatistics* statistics,
                              ThreadPool& pool);

}  // namespace squish::compress
