// squish logs: the end of a server's log, and what comes to it.
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <thread>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/strings.h"
#include "cli/server_record.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

constexpr auto kLook = std::chrono::milliseconds(200);
constexpr int64_t kTailMax = 1'000'000;
constexpr size_t kBlock = 64 << 10;

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File open_log(const std::string& path) { return {std::fopen(path.c_str(), "rbe"), std::fclose}; }

/// Where the last `count` lines begin. Reads backwards in blocks.
long tail_begin(std::FILE* file, int64_t count) {
  if (std::fseek(file, 0, SEEK_END) != 0) return 0;
  long position = std::ftell(file);
  if (count == 0) return position;
  const long end = position;
  int64_t lines = 0;
  std::string block;
  while (position > 0) {
    const size_t size = std::min<size_t>(kBlock, static_cast<size_t>(position));
    position -= static_cast<long>(size);
    block.resize(size);
    if (std::fseek(file, position, SEEK_SET) != 0) return 0;
    if (std::fread(block.data(), 1, size, file) != size) return 0;
    for (size_t i = size; i-- > 0;) {
      const long after = position + static_cast<long>(i) + 1;
      // The break that ends the last line begins none; a last line may have no break yet.
      if (block[i] == '\n' && after != end && ++lines == count) return after;
    }
  }
  return 0;
}

/// Prints from where the file stands to its end; false when there was nothing.
bool print_rest(std::FILE* file) {
  std::string block(kBlock, '\0');
  bool has_some = false;
  std::clearerr(file);
  while (const size_t count = std::fread(block.data(), 1, block.size(), file)) {
    print(std::string_view(block).substr(0, count));
    has_some = true;
  }
  return has_some;
}

/// Whether `path` has become another file than the open one, or a shorter one.
bool was_replaced(std::FILE* file, const std::string& path) {
  struct stat opened{};
  struct stat named{};
  if (::fstat(::fileno(file), &opened) != 0 || ::stat(path.c_str(), &named) != 0) return false;
  return opened.st_ino != named.st_ino || opened.st_dev != named.st_dev ||
         named.st_size < std::ftell(file);
}

/// Until Ctrl-C; a file that is moved away is read to its end and then the new one.
int follow(File file, const std::string& path) {
  while (!interrupted()) {
    if (file == nullptr) {
      file = open_log(path);
    } else if (!print_rest(file.get()) && was_replaced(file.get(), path)) {
      file = open_log(path);
      continue;
    }
    std::fflush(stdout);
    std::this_thread::sleep_for(kLook);
  }
  return error_row(ErrorCode::cancelled).exit_code;
}

Result<int> run(Context& context, const Arguments& arguments) {
  SQ_TRY(const hub::Paths paths, context.paths());
  SQ_TRY(const auto tail, arguments.integer("--tail", 0, kTailMax));
  const std::string path = arguments.text("--log-file").value_or(default_log_file(paths));
  if (is_directory(path)) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{}: is a directory; --log-file names a log", printable(path, 512))};
  }
  File file = open_log(path);
  if (file == nullptr && errno != ENOENT) {
    return Error{ErrorCode::io,
                 fmt::format("{}: cannot open: {}", printable(path, 512), std::strerror(errno))};
  }
  bool is_empty = file == nullptr;
  if (file != nullptr) {
    const long begin = tail_begin(file.get(), tail.value_or(50));
    is_empty = std::ftell(file.get()) == 0 && begin == 0;
    std::fseek(file.get(), begin, SEEK_SET);
    print_rest(file.get());
  }
  if (is_empty)
    talk(fmt::format("there is no log in {}; `squish serve` writes one\n", printable(path)));
  if (!arguments.has("--follow")) return 0;
  return follow(std::move(file), path);
}

}  // namespace

Verb make_logs_verb() {
  return {.name = "logs",
          .summary = "The end of a server's log",
          .details =
              "  squish logs                 the last 50 lines\n"
              "  squish logs --tail 0 --follow\n"
              "\n"
              "What a server says about its requests, at level info and above; neither "
              "prompts nor keys are in it.",
          .options = {{.flag = "--tail", .value = "N", .help = "lines from the end (default 50)"},
                      {.flag = "--follow",
                       .short_flag = "-f",
                       .help = "go on with what comes, until Ctrl-C"},
                      {.flag = "--log-file",
                       .value = "FILE",
                       .help = "another log than daemon.log in Squish's home directory",
                       .completion = Completion::file}},
          .run = run};
}

}  // namespace squish::cli
