#pragma once
// Running one other program without a shell.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "hub/progress.h"

namespace squish::hub {

struct ChildRequest {
  std::vector<std::string> arguments;                            // [0] is looked up in PATH
  std::vector<std::pair<std::string, std::string>> environment;  // set on top of ours
  std::string working_directory;                                 // empty: ours
  std::function<bool()> keep_going;  // asked about ten times a second; false: the child is ended
};

struct ChildResult {
  int exit_status = 0;      // 128 + signal when it was killed
  bool stopped = false;     // keep_going said no, or cancelled
  std::string output_tail;  // the last 8 KiB of its stdout and stderr
};

/// Starts the program in its own process group with stdin closed, and waits. When it must end the
/// whole group gets SIGTERM, and SIGKILL two seconds later; on Linux it also gets SIGTERM when we
/// die. Errors: not_found when the program is not in PATH; io when it cannot be started.
Result<ChildResult> run_child(const ChildRequest& request, const CancelFlag& cancel);

}  // namespace squish::hub
