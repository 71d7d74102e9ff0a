#pragma once
// Answers of /v1/responses that are kept, in an SQLite file: they outlive the process, and the ones
// not used for longest go when the file would grow over its limit.
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"

struct sqlite3;

namespace squish::server {

struct StoredResponse {
  std::string id;
  std::string body;          // the response object
  std::string input;         // JSON list: the items of its request
  std::string conversation;  // JSON list: all items before it, its input and its output
  /// Of the items that it brings, for conversation_with(). get() leaves it empty.
  std::vector<std::string> item_ids = {};
};

/// Any thread; calls wait for each other. Cost: well under a millisecond each, without waiting for
/// the disk (write-ahead log); after a power cut the last few answers may be missing, never half.
class ResponseStore {
 public:
  /// `path` is a file, made with mode 0600 if need be; empty: memory. Errors: io with the reason.
  static Result<std::unique_ptr<ResponseStore>> open(const std::string& path, uint64_t bytes_max);
  ~ResponseStore();
  ResponseStore(const ResponseStore&) = delete;
  ResponseStore& operator=(const ResponseStore&) = delete;

  /// Adds or replaces. One that alone is over the limit is not kept. Errors: io.
  Status put(const StoredResponse& response);
  /// Errors: not_found; io.
  Result<StoredResponse> get(const std::string& id);
  /// The conversation of what was used last of those that brought the item. Errors: not_found; io.
  Result<std::string> conversation_with(const std::string& item_id);
  /// get(), `change` and put() without anybody in between. `change` must not use the store; what it
  /// returns as an error comes back, and nothing is kept. Errors: not_found; io.
  Status update(const std::string& id, const std::function<Status(StoredResponse&)>& change);
  /// Errors: not_found; io.
  Status remove(const std::string& id);

 private:
  ResponseStore(sqlite3* database, uint64_t bytes_max)
      : database_(database), bytes_max_(bytes_max) {}
  [[nodiscard]] Error failure(const char* what) const;
  Status run(const char* sql);
  Status write(const StoredResponse& response);
  Status write_items(const StoredResponse& response);
  Result<StoredResponse> read(const std::string& id);
  Status trim();

  std::mutex mutex_;  // guards: database_
  sqlite3* database_;
  uint64_t bytes_max_;
};

}  // namespace squish::server
