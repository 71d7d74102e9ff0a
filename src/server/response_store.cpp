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
    "CREATE INDEX IF NOT EXISTS responses_used ON responses (used);"
    "CREATE TABLE IF NOT EXISTS items (item TEXT, response TEXT, PRIMARY KEY (item, response)) "
    "WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS items_response ON items (response);"
    "CREATE TRIGGER IF NOT EXISTS items_go AFTER DELETE ON responses BEGIN "
    "DELETE FROM items WHERE response = old.id; END;";
/// What is used last has the greatest `used`.
constexpr const char* kPut =
    "INSERT OR REPLACE INTO responses VALUES (?1, ?2, ?3, ?4, "
    "length(?2) + length(?3) + length(?4), (SELECT ifnull(max(used), 0) + 1 FROM responses))";
constexpr const char* kGet = "SELECT body, input, conversation FROM responses WHERE id = ?1";
constexpr const char* kPutItem = "INSERT OR IGNORE INTO items VALUES (?1, ?2)";
constexpr const char* kGetWith =
    "SELECT conversation FROM responses JOIN items ON items.response = responses.id "
    "WHERE item = ?1 ORDER BY used DESC LIMIT 1";
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

Status ResponseStore::write_items(const StoredResponse& response) {
  for (const std::string& item : response.item_ids) {
    Statement statement(database_, kPutItem);
    if (statement.bind({item, response.id}).step() != SQLITE_DONE) return failure("cannot write");
  }
  return {};
}

Status ResponseStore::write(const StoredResponse& response) {
  SQ_TRY_STATUS(run("BEGIN"));
  Statement statement(database_, kPut);
  statement.bind({response.id, response.body, response.input, response.conversation});
  Status status = statement.step() == SQLITE_DONE ? write_items(response) : failure("cannot write");
  if (status) status = trim();
  if (status) status = run("COMMIT");
  // Whatever went wrong is told; that nothing is to be undone any more is nothing new.
  if (!status) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
  return status;
}

Result<StoredResponse> ResponseStore::read(const std::string& id) {
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

Status ResponseStore::put(const StoredResponse& response) {
  const std::lock_guard lock(mutex_);
  return write(response);
}

Result<StoredResponse> ResponseStore::get(const std::string& id) {
  const std::lock_guard lock(mutex_);
  return read(id);
}

Result<std::string> ResponseStore::conversation_with(const std::string& item_id) {
  const std::lock_guard lock(mutex_);
  Statement statement(database_, kGetWith);
  const int code = statement.bind({item_id}).step();
  if (code == SQLITE_DONE) return no_response(item_id);
  if (code != SQLITE_ROW) return failure("cannot read");
  return statement.text(0);
}

Status ResponseStore::update(const std::string& id,
                             const std::function<Status(StoredResponse&)>& change) {
  const std::lock_guard lock(mutex_);
  SQ_TRY(StoredResponse response, read(id));
  SQ_TRY_STATUS(change(response));
  return write(response);
}

Status ResponseStore::remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Statement statement(database_, kRemove);
  if (statement.bind({id}).step() != SQLITE_DONE) return failure("cannot delete");
  if (sqlite3_changes(database_) == 0) return no_response(id);
  return {};
}

}  // namespace squish::server
