#pragma once
// What is said about published models: on the terminal, as JSON, and as a table in Markdown.
#include <string>
#include <vector>

#include "cli/publish_model.h"
#include "text/jinja_value.h"

namespace squish::cli {

/// Several lines for stdout; of a planned one its files and its card.
std::string outcome_text(const Terminal& terminal, const PublishOutcome& outcome);
/// The same for squish push, with directory, repository, visibility, count and size before it.
std::string push_text(const Terminal& terminal, const PublishOutcome& outcome);
/// The event of --json.
Value outcome_value(const PublishOutcome& outcome);
/// A heading and one row a model.
std::string report_text(const std::vector<PublishOutcome>& outcomes);

}  // namespace squish::cli
