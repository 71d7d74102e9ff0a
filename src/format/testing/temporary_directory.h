#pragma once
// A directory that a test may fill; removed when the object goes.
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include <stdlib.h>

#include "base/check.h"
#include "base/file.h"

namespace squish::testing {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "squish-test-XXXXXX").string();
    SQ_CHECK(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  /// The path of `name` inside.
  [[nodiscard]] std::string file(std::string_view name) const {
    return path_ + "/" + std::string(name);
  }
  /// Writes a file inside and returns its path.
  std::string write(std::string_view name, std::string_view content) const {
    SQ_CHECK(write_file_atomic(file(name), as_bytes(content)).has_value());
    return file(name);
  }

 private:
  std::string path_;
};

}  // namespace squish::testing
