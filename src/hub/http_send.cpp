// Requests with a body: the sending half of hub/http.h.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/strings.h"
#include "hub/http_failure.h"
#include "hub/http_state.h"

namespace squish::hub {
namespace {

constexpr int kSendRedirectsMax = 5;

/// A file that is open for reading while it is sent.
class SentFile {
 public:
  SentFile() = default;
  ~SentFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  SentFile(const SentFile&) = delete;
  SentFile& operator=(const SentFile&) = delete;

  Status open(const std::string& path) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ >= 0) return {};
    return Error{ErrorCode::io, fmt::format("{}: cannot open it to send it: {}",
                                            printable(path, 512), std::strerror(errno))};
  }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

/// The body on its way: how far it is, and where it comes from.
struct Outgoing {
  const HttpUpload& request;
  Transfer& transfer;
  std::chrono::seconds answer_limit;
  int fd = -1;  // -1: the text
  uint64_t size = 0;
  uint64_t sent = 0;
};

size_t on_read(char* buffer, size_t size, size_t count, void* user) {
  Outgoing& out = *static_cast<Outgoing*>(user);
  const auto wanted = static_cast<size_t>(std::min<uint64_t>(size * count, out.size - out.sent));
  size_t got = wanted;
  if (out.fd < 0) {
    std::memcpy(buffer, out.request.text.data() + out.sent, wanted);
  } else if (wanted > 0) {
    const auto at = static_cast<off_t>(out.request.begin + out.sent);
    ssize_t done = 0;
    do {
      done = ::pread(out.fd, buffer, wanted, at);
    } while (done < 0 && errno == EINTR);
    if (done <= 0) {
      out.transfer.verdict =
          Error{ErrorCode::io,
                fmt::format("{}: {}", printable(out.request.path, 512),
                            done < 0 ? std::strerror(errno) : "became shorter while it was sent")};
      return CURL_READFUNC_ABORT;
    }
    got = static_cast<size_t>(done);
  }
  out.sent += got;
  out.transfer.last_byte = std::chrono::steady_clock::now();
  if (out.sent == out.size) out.transfer.stall_limit = out.answer_limit;
  if (out.request.on_sent) out.request.on_sent(out.sent);
  return got;
}

/// libcurl begins the body again when a kept connection turns out to be closed.
int on_seek(void* user, curl_off_t offset, int origin) {
  Outgoing& out = *static_cast<Outgoing*>(user);
  if (origin != SEEK_SET || offset < 0 || static_cast<uint64_t>(offset) > out.size)
    return CURL_SEEKFUNC_CANTSEEK;
  out.sent = static_cast<uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

bool is_header_text(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

curl_slist* headers_of(const HttpUpload& request, bool with_token) {
  // No "Expect: 100-continue": servers that do not know it would cost a second each time.
  curl_slist* list = curl_slist_append(nullptr, "Expect:");
  const auto add = [&](const std::string& name, const std::string& value) {
    if (!value.empty()) list = curl_slist_append(list, (name + ": " + value).c_str());
  };
  add("Content-Type", request.content_type);
  if (request.content_type.empty()) list = curl_slist_append(list, "Content-Type:");
  add("Accept", request.accept);
  for (const auto& [name, value] : request.headers) {
    if (is_header_text(name) && is_header_text(value)) add(name, value);
  }
  if (with_token) add("Authorization", "Bearer " + request.token);
  return list;
}

}  // namespace

/// One request and its answer, redirects not followed: `next` is where it wants to go, else empty.
Result<HttpAnswer> HttpClient::State::send_hop(const HttpUpload& request, const Url& url,
                                               const std::string& text, bool with_token,
                                               uint64_t answer_bytes_max, std::string& next,
                                               HttpFailure& failure) {
  const auto fail = [&](HttpFailure why) {
    failure = std::move(why);
    return failure.error;
  };
  HttpAnswer answer;
  const BodySink sink{[](const HttpResponse&) { return Status(); },
                      [&](Bytes bytes) -> Status {
                        if (answer.text.size() + bytes.size() > answer_bytes_max) {
                          return Error{ErrorCode::bad_file,
                                       fmt::format("{}: the answer is longer than {} bytes",
                                                   url.host, answer_bytes_max)};
                        }
                        answer.text.append(as_text(bytes));
                        return {};
                      }};
  Transfer transfer;
  transfer.handle = handle;
  transfer.cancel = &cancel;
  transfer.sink = &sink;
  transfer.is_upload = true;
  SentFile file;
  Outgoing out{request, transfer, std::chrono::seconds(settings.answer_timeout_s)};
  out.size = request.path.empty() ? request.text.size() : request.bytes;
  if (!request.path.empty()) {
    if (const Status opened = file.open(request.path); !opened)
      return fail({opened.error(), false, 0});
    out.fd = file.fd();
  }
  curl_slist* headers = headers_of(request, with_token);
  char detail[CURL_ERROR_SIZE] = "";
  configure(transfer, url, text, headers, 0);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(handle, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(out.size));
  curl_easy_setopt(handle, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
  curl_easy_setopt(handle, CURLOPT_READFUNCTION, on_read);
  curl_easy_setopt(handle, CURLOPT_READDATA, &out);
  curl_easy_setopt(handle, CURLOPT_SEEKFUNCTION, on_seek);
  curl_easy_setopt(handle, CURLOPT_SEEKDATA, &out);
  if (out.size == 0) transfer.stall_limit = out.answer_limit;
  const CURLcode code = perform(transfer, headers);
  const int status = transfer.response.status;
  transfer.response.url = text;
  // A server that refuses early closes while we are still sending: its answer says why.
  const bool was_refused = status >= 400 && transfer.verdict.has_value() && !cancel.load();
  if (code != CURLE_OK && !was_refused) return fail(failure_of(code, transfer, url, detail));
  if (status == 307 || status == 308) {
    char* target = nullptr;
    curl_easy_getinfo(handle, CURLINFO_REDIRECT_URL, &target);
    if (target != nullptr) {
      next = target;
      return answer;
    }
  }
  if (status / 100 != 2)
    return fail(failure_of_upload(transfer.response, url.host,
                                  without_secret(transfer.error_body, request.token), with_token,
                                  settings));
  answer.response = std::move(transfer.response);
  return answer;
}

Result<HttpAnswer> HttpClient::send(const HttpUpload& request, uint64_t answer_bytes_max,
                                    HttpFailure& failure) {
  return state_->follow<HttpAnswer>(
      request.url, kSendRedirectsMax, failure,
      [&](const Url& url, const std::string& text, bool is_own, std::string& next) {
        const bool with_token = !request.token.empty() && is_own;
        return state_->send_hop(request, url, text, with_token, answer_bytes_max, next, failure);
      });
}

Result<HttpAnswer> HttpClient::send_with_retries(const HttpUpload& request,
                                                 uint64_t answer_bytes_max, HttpFailure& failure,
                                                 ProgressSink& progress) {
  for (int attempt = 1;; ++attempt) {
    Result<HttpAnswer> answer = send(request, answer_bytes_max, failure);
    if (answer || !failure.retryable || attempt >= state_->settings.attempts) return answer;
    progress.on_note(fmt::format("{}; trying again ({} of {})", failure.error.message, attempt + 1,
                                 state_->settings.attempts));
    if (!wait_before_retry(attempt, failure)) {
      failure = {{ErrorCode::cancelled, "interrupted"}, false, 0};
      return failure.error;
    }
  }
}

}  // namespace squish::hub
