#pragma once
// What a model has to pass before anything of it goes to a hub.
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/context.h"
#include "hub/local_model.h"
#include "hub/model_card.h"
#include "hub/progress.h"
#include "hub/upload_protocol.h"

namespace squish::cli {

/// A model that is to be published, as it lies on this machine.
struct PublishSource {
  hub::LocalModel local;
  std::string directory;  // that its files are in; paths of `files` are relative to it
  std::vector<hub::UploadFile> files;
  hub::CardFacts facts;
  bool has_report = false;  // report.json
};

/// The files of `local` and what its own reports say of it. Errors: those of list_publishable();
/// bad_file for reports that are none.
Result<PublishSource> open_source(const hub::LocalModel& local);

/// The gates that read headers alone: blocked pairs of model and format (refused), completeness of
/// weights, configuration and vocabulary (bad_file, not_found), report.json unless
/// `may_lack_report` (refused), scores below their floor (refused), and files that could run code
/// (unsafe). Adds what it found to facts.gates, and facts that only the headers tell.
Status pass_quick_gates(PublishSource& source, bool may_lack_report);

/// Hashes every file, compares with SHA256SUMS and with the hashes of the tensors. Errors:
/// bad_file; cancelled.
Status pass_checksums(PublishSource& source, hub::ProgressSink& progress);

/// Five answers of the model itself, loaded as `arguments` say; none with `is_asked` false. Errors:
/// unsafe when they make no sense.
Status pass_coherence(Context& context, const Arguments& arguments, bool is_asked,
                      PublishSource& source, hub::ProgressSink& progress);

}  // namespace squish::cli
