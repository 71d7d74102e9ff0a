#pragma once
// Where spans go: the variables of OpenTelemetry.
#include "base/result.h"
#include "cli/context.h"
#include "server/options.h"

namespace squish::cli {

/// OTEL_EXPORTER_OTLP_ENDPOINT and _HEADERS, OTEL_SERVICE_NAME, OTEL_SDK_DISABLED; nothing goes out
/// with SQUISH_OFFLINE. Errors: invalid_argument naming the variable.
Status add_export(const Context& context, server::ServerOptions& out);

}  // namespace squish::cli
