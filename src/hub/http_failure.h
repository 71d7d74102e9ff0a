#pragma once
// What an HTTP status means for a pull and for an upload.
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

/// The same for something that was sent: 401 and 403 not_found with what the token lacks (or the
/// address, where none was sent), 404 and 410 not_found, 409 and 412 busy (somebody else changed
/// it), the rest unreachable. A hub's {"error": "..."} is quoted.
HttpFailure failure_of_upload(const HttpResponse& response, const std::string& host,
                              std::string_view body, bool with_token, const HttpSettings& settings);

/// `text` without `secret`: a server may repeat what it was sent.
std::string without_secret(std::string_view text, const std::string& secret);

}  // namespace squish::hub
