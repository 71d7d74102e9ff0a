#pragma once
// What compressing a model will take of memory and disk, told by the sizes of its files alone:
// before any of them is on this machine.
#include <cstdint>
#include <string>

#include "base/result.h"
#include "compress/formats.h"

namespace squish::compress {

/// A model as a listing shows it.
struct ListedModel {
  uint64_t weight_bytes = 0;  // of the files with weights
  uint32_t packed_bits = 0;   // of a weight that another program quantised; 0: plain floats
};

/// Whether source and result find room in memory together. A run codes one layer at a time and maps
/// its source in either case, so that the result has the same bytes; where they do not fit, the
/// pages of a layer leave the memory after it, and each pass over the model reads it from the disk.
enum class Reading : uint8_t { whole, by_layers };

struct Room {
  Reading reading = Reading::whole;
  uint64_t source_bytes = 0;    // that are read: the weights, at 16 bits where they are packed
  uint64_t peak_bytes = 0;      // of memory for `whole`: twice the source and 2 GB
  uint64_t unpacked_bytes = 0;  // on disk beside the result while it is made; 0 for plain floats
  uint64_t result_bytes = 0;    // at most, as weights of 16 bits or more become
};

/// `memory_bytes`: all that this machine has.
Room room_for(const ListedModel& model, const FormatRow& format, uint64_t memory_bytes);

/// What goes onto a disk, and where.
struct DiskNeeds {
  std::string source;  // the directory that is fetched into
  uint64_t source_bytes = 0;
  std::string output;
  uint64_t output_bytes = 0;
};
/// Paths that are not there yet lie where their first parent lies. Errors: io naming what is needed
/// and what is free, both together where they are on one file system.
Status check_disk(const DiskNeeds& needs);

}  // namespace squish::compress
