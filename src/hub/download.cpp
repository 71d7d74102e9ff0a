#include "hub/download.h"

#include <chrono>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/strings.h"
#include "hub/json_fields.h"
#include "hub/names.h"
#include "hub/part_file.h"

namespace squish::hub {
namespace {

constexpr int kAttemptsInAllMax = 100;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// What the bytes in the .part belong to.
struct Journal {
  std::string url;
  std::string etag;
  uint64_t total_bytes = 0;
};

Journal read_journal(const std::string& path) {
  const Result<std::string> text = read_file(path, 64 * 1024);
  if (!text) return {};
  const Result<nlohmann::json> root = parse_json(*text, path);
  if (!root) return {};
  return {text_field(*root, "url"), text_field(*root, "etag"), count_field(*root, "total_bytes")};
}

Status write_journal(const std::string& path, const Journal& journal) {
  const nlohmann::json root = {
      {"url", journal.url}, {"etag", journal.etag}, {"total_bytes", journal.total_bytes}};
  return write_file_atomic(path, as_bytes(one_line(root) + "\n"));
}

/// `W/"abc"` and `"abc"` are both abc: the hub adds and drops the quotes.
std::string plain_etag(std::string_view text) {
  if (text.starts_with("W/")) text.remove_prefix(2);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
    text = text.substr(1, text.size() - 2);
  return std::string(text.substr(0, 256));
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// "bytes 100-199/200": first and total. Nothing when malformed or the total is unknown.
struct ContentRange {
  uint64_t first = 0;
  uint64_t total = 0;
};
std::optional<ContentRange> parse_content_range(std::string_view text) {
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash)
    return std::nullopt;
  const auto first = parse_int(text.substr(0, dash));
  const auto total = parse_int(text.substr(slash + 1));
  if (!first || !total || *first < 0 || *total < *first) return std::nullopt;
  return ContentRange{static_cast<uint64_t>(*first), static_cast<uint64_t>(*total)};
}

/// One download in progress, over several attempts.
class Download {
 public:
  Download(HttpClient& client, const DownloadRequest& request, ProgressSink& progress,
           PartFile part)
      : client_(client),
        request_(request),
        sink_(progress),
        part_(std::move(part)),
        name_(base_name(request.path)),
        meter_(progress, Stage::download, name_, request.expected_bytes),
        journal_path_(request.path + ".part.json") {
    journal_ = read_journal(journal_path_);
    total_ = request.expected_bytes;
    wanted_sha_ = request.expected_sha256;
  }

  Result<Downloaded> run();

 private:
  Status prepare();
  Status on_begin(const HttpResponse& response);
  Status on_data(Bytes bytes);
  Status check_magic();
  Result<Downloaded> finish();
  bool start_over(const Error& error);

  HttpClient& client_;
  const DownloadRequest& request_;
  ProgressSink& sink_;
  PartFile part_;
  std::string name_;
  ProgressMeter meter_;
  std::string journal_path_;
  Journal journal_;
  uint64_t total_ = 0;  // 0: not known yet
  std::string wanted_sha_;
  uint64_t range_begin_ = 0;
  bool changed_ = false;  // this attempt found that the .part does not belong to the file
  bool magic_checked_ = false;
  bool continued_ = false;  // some bytes are older than this attempt
  bool restarted_ = false;  // after a wrong hash
  Downloaded result_;
};

/// Decides what of the .part counts.
Status Download::prepare() {
  const bool same = journal_.url == request_.url &&
                    (!journal_.etag.empty() || !wanted_sha_.empty()) &&
                    (total_ == 0 || journal_.total_bytes == 0 || journal_.total_bytes == total_);
  const bool fits = total_ == 0 || part_.bytes() <= total_;
  SQ_TRY_STATUS(part_.restart_at(same && fits ? part_.bytes() : 0));
  result_.resumed_at_bytes = part_.bytes();
  meter_.set_sha256(wanted_sha_);
  meter_.update(part_.bytes());
  return {};
}

Status Download::on_begin(const HttpResponse& response) {
  if (to_lower(response.header("content-type")).starts_with("text/html") &&
      !name_.ends_with(".html")) {
    return Error{
        ErrorCode::unreachable,
        fmt::format(
            "{}: the server sent a web page instead of the file: is there a login page (captive "
            "portal) or a proxy in the way?",
            printable(name_))};
  }
  const std::string linked = plain_etag(response.header("x-linked-etag"));
  const std::string etag = linked.empty() ? plain_etag(response.header("etag")) : linked;
  uint64_t total = static_cast<uint64_t>(
      std::max<int64_t>(0, parse_int(response.header("content-length")).value_or(0)));
  uint64_t first = 0;
  if (response.status == 206) {
    const auto range = parse_content_range(response.header("content-range"));
    if (!range || range->first != range_begin_) {
      changed_ = true;
      return Error{
          ErrorCode::unreachable,
          fmt::format("{}: the server sent another range than bytes {}-", name_, range_begin_)};
    }
    first = range->first;
    total = range->total;
  }
  const bool same_file =
      first == 0 ||
      (etag == journal_.etag && (journal_.total_bytes == 0 || journal_.total_bytes == total));
  if (!same_file) {
    changed_ = true;
    return Error{ErrorCode::unreachable, fmt::format("{}: has changed on the server", name_)};
  }
  if (request_.expected_bytes != 0 && total != 0 && total != request_.expected_bytes) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: the server offers {} bytes, expected {}", printable(name_), total,
                             request_.expected_bytes)};
  }
  if (wanted_sha_.empty() && is_sha256(linked)) wanted_sha_ = linked;
  total_ = total != 0 ? total : request_.expected_bytes;
  meter_.set_total(total_);
  meter_.set_sha256(wanted_sha_);
  if (first == 0 && part_.bytes() > 0) SQ_TRY_STATUS(part_.restart_at(0));
  if (total_ > part_.bytes()) {
    const std::string parent = request_.path.substr(0, request_.path.rfind('/'));
    SQ_TRY_STATUS(check_space(parent, total_ - part_.bytes()));
  }
  journal_ = {request_.url, etag, total_};
  return write_journal(journal_path_, journal_);
}

Status Download::check_magic() {
  if (magic_checked_ || part_.bytes() < 4) return {};
  magic_checked_ = true;
  if (!name_.ends_with(".gguf")) return {};
  SQ_TRY(const std::string magic, part_.magic());
  if (magic == "GGUF") return {};
  return Error{ErrorCode::bad_file,
               fmt::format("{}: is not a GGUF file: it begins with \"{}\", expected \"GGUF\"",
                           printable(name_), printable(magic))};
}

Status Download::on_data(Bytes bytes) {
  if (total_ != 0 && part_.bytes() + bytes.size() > total_) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: the server sends more than the {} bytes it announced",
                             printable(name_), total_)};
  }
  SQ_TRY_STATUS(part_.append(bytes));
  result_.received_bytes += bytes.size();
  SQ_TRY_STATUS(check_magic());
  meter_.update(part_.bytes());
  return {};
}

/// After a hash that does not fit: once more from zero if the file was put together from several
/// answers.
bool Download::start_over(const Error& error) {
  if (restarted_ || !continued_) return false;
  restarted_ = true;
  continued_ = false;
  sink_.on_note(error.message + "; it was continued after a break, so it starts again from zero");
  return true;
}

Result<Downloaded> Download::finish() {
  if (total_ != 0 && part_.bytes() != total_) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: {} bytes, expected {}", printable(name_), part_.bytes(), total_)};
  }
  SQ_TRY(result_.sha256, part_.sha256());
  result_.bytes = part_.bytes();
  if (!wanted_sha_.empty() && result_.sha256 != wanted_sha_) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: SHA-256 is {}, expected {}: the file is damaged or not the one "
                             "that was meant",
                             printable(name_), result_.sha256, wanted_sha_)};
  }
  result_.verified = !wanted_sha_.empty();
  if (wanted_sha_.empty() && !request_.expected_git_sha1.empty()) {
    SQ_TRY(const std::string got, git_sha1_of_file(part_.path()));
    if (got != request_.expected_git_sha1) {
      return Error{ErrorCode::bad_file,
                   fmt::format("{}: its git object name is {}, expected {}", printable(name_), got,
                               request_.expected_git_sha1)};
    }
    result_.verified = true;
  }
  SQ_TRY_STATUS(part_.commit());
  ::unlink(journal_path_.c_str());
  meter_.finish(result_.bytes);
  return result_;
}

Result<Downloaded> Download::run() {
  SQ_TRY_STATUS(prepare());
  int barren = 0;  // attempts in a row without a new byte
  for (int attempt = 1;; ++attempt) {
    const uint64_t before = result_.received_bytes;
    // Bytes that neither an ETag nor a hash can bind to the file are not continued.
    const bool bound = !journal_.etag.empty() || !wanted_sha_.empty();
    if (part_.bytes() > 0 && !bound) SQ_TRY_STATUS(part_.restart_at(0));
    range_begin_ = part_.bytes();
    continued_ = continued_ || range_begin_ > 0;
    magic_checked_ = false;
    changed_ = false;
    HttpFailure failure;
    const bool whole = total_ != 0 && range_begin_ == total_;
    const BodySink body{[this](const HttpResponse& response) { return on_begin(response); },
                        [this](Bytes bytes) { return on_data(bytes); }};
    // All bytes are there when an earlier run ended between the last byte and the rename.
    Result<HttpResponse> got =
        whole ? HttpResponse{}
              : client_.get({request_.url, request_.token, range_begin_, {}}, body, failure);
    if (got && got->status == 416) {  // nothing of the file lies at or behind our offset
      changed_ = true;
      failure = {{ErrorCode::unreachable,
                  fmt::format("{}: the server has no bytes from {}", name_, range_begin_)},
                 true,
                 0};
    } else if (got && total_ != 0 && part_.bytes() < total_) {
      failure = {{ErrorCode::unreachable,
                  fmt::format("{}: {} of {} bytes came", name_, part_.bytes(), total_)},
                 true,
                 0};
    } else if (got) {
      Result<Downloaded> done = finish();
      if (done) return done;
      const bool again = done.error().code == ErrorCode::bad_file && start_over(done.error());
      if (!again) {
        if (done.error().code == ErrorCode::bad_file) {
          part_.discard();
          ::unlink(journal_path_.c_str());
        }
        return done;
      }
      result_.resumed_at_bytes = 0;
      SQ_TRY_STATUS(part_.restart_at(0));
      continue;
    }
    if (changed_) {
      SQ_TRY_STATUS(part_.restart_at(0));
      journal_ = {};
      continued_ = false;
      result_.resumed_at_bytes = 0;
      failure.retryable = true;
    }
    if (failure.error.code == ErrorCode::bad_file) {
      part_.discard();
      ::unlink(journal_path_.c_str());
    }
    if (!failure.retryable) return failure.error;
    barren = result_.received_bytes > before ? 0 : barren + 1;
    if (barren >= client_.settings().attempts || attempt >= kAttemptsInAllMax) {
      return Error{failure.error.code,
                   fmt::format("{} (gave up after {} attempts; run it again to go on at {})",
                               failure.error.message, attempt, human_bytes(part_.bytes()))};
    }
    sink_.on_note(fmt::format("{}; trying again", failure.error.message));
    if (!client_.wait_before_retry(std::max(1, barren), failure)) {
      return Error{ErrorCode::cancelled,
                   "interrupted; what has arrived is kept, run it again to go on"};
    }
  }
}

}  // namespace

Result<Downloaded> download_file(HttpClient& client, const DownloadRequest& request,
                                 ProgressSink& progress) {
  struct stat info = {};
  if (::lstat(request.path.c_str(), &info) == 0) {
    // Finished by an earlier run of a pull that has more files.
    const bool fits = S_ISREG(info.st_mode) && !request.expected_sha256.empty() &&
                      (request.expected_bytes == 0 ||
                       static_cast<uint64_t>(info.st_size) == request.expected_bytes);
    if (fits) {
      SQ_TRY(const std::string sha, sha256_of_file(request.path));
      const auto bytes = static_cast<uint64_t>(info.st_size);
      if (sha == request.expected_sha256) return Downloaded{bytes, sha, true, 0, bytes};
    }
    if (::unlink(request.path.c_str()) != 0) {
      return Error{ErrorCode::io,
                   fmt::format("{}: is in the way; remove it", printable(request.path, 512))};
    }
  }
  SQ_TRY(PartFile part, PartFile::open(request.path));
  Download download(client, request, progress, std::move(part));
  return download.run();
}

const char* name_of(Stage stage) {
  switch (stage) {
    case Stage::resolve:
      return "resolve";
    case Stage::download:
      return "download";
    case Stage::unpack:
      return "unpack";
    case Stage::verify:
      return "verify";
    case Stage::install:
      return "install";
    case Stage::upload:
      return "upload";
  }
  return "";
}

ProgressMeter::ProgressMeter(ProgressSink& sink, Stage stage, std::string file,
                             uint64_t total_bytes)
    : sink_(sink), stage_(stage), file_(std::move(file)), total_(total_bytes) {}

void ProgressMeter::update(uint64_t done_bytes) {
  const double now = seconds_now();
  if (window_start_s_ < 0 || done_bytes < window_start_bytes_) {
    window_start_s_ = now;
    window_start_bytes_ = done_bytes;
  }
  if (last_report_s_ >= 0 && now - last_report_s_ < 0.1) return;
  report(done_bytes, now);
}

void ProgressMeter::finish(uint64_t done_bytes) { report(done_bytes, seconds_now()); }

void ProgressMeter::report(uint64_t done_bytes, double now_s) {
  last_report_s_ = now_s;
  const double elapsed = now_s - window_start_s_;
  if (window_start_s_ >= 0 && elapsed > 0.2 && done_bytes >= window_start_bytes_) {
    const double rate = static_cast<double>(done_bytes - window_start_bytes_) / elapsed;
    rate_ = rate_ == 0 ? rate : 0.5 * rate_ + 0.5 * rate;
    if (elapsed > 3) {  // a window of some seconds: the rate follows the line
      window_start_s_ = now_s;
      window_start_bytes_ = done_bytes;
    }
  }
  sink_.on_progress({stage_, file_, done_bytes, total_, rate_, sha256_});
}

}  // namespace squish::hub
