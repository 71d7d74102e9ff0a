#include "cli/otlp_settings.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/strings.h"
#include "server/http_message.h"

namespace squish::cli {

Status add_export(const Context& context, server::ServerOptions& out) {
  const hub::Environment& environment = context.environment;
  const std::string endpoint = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT").value_or("");
  if (endpoint.empty() || to_lower(environment.get("OTEL_SDK_DISABLED").value_or("")) == "true")
    return {};
  if (!endpoint.starts_with("http://") && !endpoint.starts_with("https://")) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("OTEL_EXPORTER_OTLP_ENDPOINT is '{}'; it must begin with http:// or "
                             "https://",
                             printable(endpoint))};
  }
  if (environment.flag("SQUISH_OFFLINE")) {
    log::warning("server", "SQUISH_OFFLINE is set: no spans go to OTEL_EXPORTER_OTLP_ENDPOINT");
    return {};
  }
  out.otlp_endpoint = endpoint;
  out.service_name = environment.get("OTEL_SERVICE_NAME").value_or(out.service_name);
  const std::string headers = environment.get("OTEL_EXPORTER_OTLP_HEADERS").value_or("");
  for (const std::string_view pair : split(headers, ',')) {
    const size_t equals = pair.find('=');
    const auto value = equals == std::string_view::npos
                           ? std::nullopt
                           : server::percent_decode(trim(pair.substr(equals + 1)));
    if (trim(pair).empty()) continue;
    if (!value || value->find_first_of("\r\n") != std::string::npos) {
      return Error{ErrorCode::invalid_argument,
                   "OTEL_EXPORTER_OTLP_HEADERS must be name=value pairs, with commas between them"};
    }
    out.otlp_headers.push_back(fmt::format("{}: {}", trim(pair.substr(0, equals)), *value));
  }
  out.traces = true;
  return {};
}

}  // namespace squish::cli
