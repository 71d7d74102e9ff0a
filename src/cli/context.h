#pragma once
// What every verb works with: environment, terminal, settings and where things lie.
#include <atomic>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/term.h"
#include "hub/config.h"
#include "hub/environment.h"
#include "hub/paths.h"
#include "hub/store.h"

namespace squish::cli {

struct Context {
  Context(hub::Environment variables, bool no_color)
      : environment(std::move(variables)), terminal(Terminal::detect(environment, no_color)) {}

  hub::Environment environment;
  Terminal terminal;

  /// Errors: no home directory.
  Result<hub::Paths> paths() const { return hub::resolve_paths(environment); }
  Result<hub::Store> store() const;
  /// Read once; a file that cannot be used gives one warning on stderr. Errors: as paths().
  Result<const hub::Config*> config();

 private:
  std::optional<hub::Config> config_;
};

/// Set by Ctrl-C; whoever acts on it takes it back. A second Ctrl-C before that ends the program
/// with 130.
std::atomic<bool>& interrupted();
/// Installs the handler. Reads and sleeps return with EINTR.
void catch_interrupt();
/// Whether Ctrl-C ends the program with 130 at once: for verbs that read for long, write nothing
/// that could stay half done, and ask interrupted() nowhere.
void interrupt_ends_at_once(bool at_once);

}  // namespace squish::cli
