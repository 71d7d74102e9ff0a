#include "server/response_store.h"

#include <initializer_list>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/strings.h"

namespace squish::server {
namespace {

constexpr const char* kSchema =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=2000;"
    "CREATE TABLE IF NOT EXISTS responses (id TEXT PRIMARY KEY, body TEXT NOT NULL, "
    "input TEXT NOT NULL, conversation TEXT NOT NULL, bytes INTEGER NOT NULL, used INTEGER NOT "
    "NULL);"
    "CREATE INDEX IF NOT EXISTS responses_used ON responses (used);";
/// What is used last has the greatest `used`.
constexpr const char* kPut =
    "INSERT OR REPLACE INTO responses VALUES (?1, ?2, ?3, ?4, "
    "length(?2) + length(?3) + length(?4), (SELECT ifnull(max(used), 0) + 1 FROM responses))";
constexpr const char* kGet = "SELECT body, input, conversation FROM responses WHERE id = ?1";
constexpr const char* kTouch =
    "UPDATE responses SET used = (SELECT max(used) + 1 FROM responses) WHERE id = ?1";
constexpr const char* kRemove = "DELETE FROM responses WHERE id = ?1";
/// Those that are over the limit when the sizes are added from the last used on.
constexpr const char* kTrim =
    "DELETE FROM responses WHERE id IN (SELECT id FROM (SELECT id, sum(bytes) OVER "
    "(ORDER BY used DESC) AS total FROM responses) WHERE total > ?1)";

class Statement {
 public:
  Statement(sqlite3* database, const char* sql) {
    sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::initializer_list<std::string_view> texts) {
    int index = 0;
    for (const std::string_view text : texts) {
      sqlite3_bind_text64(statement_, ++index, text.data(), text.size(), SQLITE_STATIC,
                          SQLITE_UTF8);
    }
    return *this;
  }
  void bind(int64_t number) { sqlite3_bind_int64(statement_, 1, number); }
  int step() { return sqlite3_step(statement_); }
  [[nodiscard]] std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return bytes == nullptr
               ? ""
               : std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
  }

 private:
  sqlite3_stmt* statement_ = nullptr;  // null statements make every call fail
};

Error no_response(const std::string& id) {
  return {ErrorCode::not_found,
          fmt::format("there is no response {}: it was not stored, was deleted, or made room for "
                      "newer ones",
                      printable(id))};
}

}  // namespace

Result<std::unique_ptr<ResponseStore>> ResponseStore::open(const std::string& path,
                                                           uint64_t bytes_max) {
  if (!path.empty()) {
    // SQLite would make it readable for everyone; what people ask is nobody else's business.
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) ::close(file);
  }
  sqlite3* database = nullptr;
  const int code =
      sqlite3_open_v2(path.empty() ? ":memory:" : path.c_str(), &database,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<ResponseStore> store(new ResponseStore(database, bytes_max));
  if (code != SQLITE_OK) return store->failure("cannot open").at(path);
  if (Status status = store->run(kSchema); !status) return status.error().at(path);
  return store;
}

ResponseStore::~ResponseStore() { sqlite3_close(database_); }

Error ResponseStore::failure(const char* what) const {
  return {ErrorCode::io,
          fmt::format("stored responses: {}: {}", what,
                      database_ == nullptr ? "out of memory" : sqlite3_errmsg(database_))};
}

Status ResponseStore::run(const char* sql) {
  if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return failure("cannot prepare");
}

Status ResponseStore::trim() {
  Statement statement(database_, kTrim);
  statement.bind(static_cast<int64_t>(bytes_max_));
  if (statement.step() != SQLITE_DONE) return failure("cannot make room");
  return {};
}

Status ResponseStore::put(const StoredResponse& response) {
  const std::lock_guard lock(mutex_);
  Statement statement(database_, kPut);
  statement.bind({response.id, response.body, response.input, response.conversation});
  if (statement.step() != SQLITE_DONE) return failure("cannot write");
  return trim();
}

Result<StoredResponse> ResponseStore::get(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Statement statement(database_, kGet);
  const int code = statement.bind({id}).step();
  if (code == SQLITE_DONE) return no_response(id);
  if (code != SQLITE_ROW) return failure("cannot read");
  StoredResponse out{.id = id,
                     .body = statement.text(0),
                     .input = statement.text(1),
                     .conversation = statement.text(2)};
  Statement touch(database_, kTouch);
  if (touch.bind({id}).step() != SQLITE_DONE) return failure("cannot write");
  return out;
}

Status ResponseStore::remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Statement statement(database_, kRemove);
  if (statement.bind({id}).step() != SQLITE_DONE) return failure("cannot delete");
  if (sqlite3_changes(database_) == 0) return no_response(id);
  return {};
}

}  // namespace squish::server
