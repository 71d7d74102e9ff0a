#pragma once
// What an HTTP status means for a pull.
#include <string>
#include <string_view>

#include "hub/http.h"

namespace squish::hub {

/// For a status that is neither success nor redirect: 401/403 refused (with the way out), 404/410
/// not_found, the rest unreachable, of which 408, 425, 429 and 5xx may be tried again; busy when
/// the server asks to wait longer than settings.retry_after_max_s. `body` is the start of the
/// server's answer and is quoted when it is plain text.
HttpFailure failure_of_status(const HttpResponse& response, const std::string& host,
                              std::string_view body, const HttpSettings& settings);

}  // namespace squish::hub
