#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/channel.h"
#include "base/cpu_count.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/strings.h"
#include "base/thread_pool.h"

namespace squish {
namespace {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "squish-test-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path); }
  std::string path;
};

Result<int> half(int value) {
  if (value % 2 != 0) return Error{ErrorCode::invalid_argument, "odd"};
  return value / 2;
}
Result<int> quarter(int value) {
  SQ_TRY(const int once, half(value));
  return half(once);
}

TEST(Result, carries_the_error_through_two_calls) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().message, "odd");
  EXPECT_EQ(quarter(6).error().at("here").message, "here: odd");
}

TEST(Strings, decode_utf8_refuses_what_the_standard_refuses) {
  EXPECT_TRUE(is_valid_utf8("h\xc3\xa9llo \xe4\xb8\xad \xf0\x9f\x98\x80"));
  for (const char* bad :
       {"\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "\xc3"}) {
    EXPECT_FALSE(is_valid_utf8(bad));
  }
}

TEST(Strings, replace_invalid_utf8_counts_like_python) {
  EXPECT_EQ(replace_invalid_utf8("a\xf0\x9f\x98z"), "a\xef\xbf\xbdz");  // b'a\xf0\x9f\x98z'
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(replace_invalid_utf8("ok"), "ok");
}

TEST(Strings, incomplete_suffix_is_the_start_of_a_character) {
  EXPECT_EQ(incomplete_utf8_suffix("ab"), 0U);
  EXPECT_EQ(incomplete_utf8_suffix("ab\xf0\x9f\x98"), 3U);
  EXPECT_EQ(incomplete_utf8_suffix("ab\xf0\x9f\x98\x80"), 0U);
}

TEST(Strings, human_bytes_keeps_three_digits) {
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(135'000'000), "135 MB");
  EXPECT_EQ(human_bytes(1'117'000'000), "1.12 GB");
}

TEST(File, refuses_everything_but_a_regular_file_without_blocking) {
  const TemporaryDirectory directory;
  const std::string fifo = directory.path + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_NE(MappedFile::open(fifo).error().message.find("a FIFO"), std::string::npos);
  EXPECT_NE(MappedFile::open(directory.path).error().message.find("a directory"),
            std::string::npos);
  EXPECT_EQ(MappedFile::open(directory.path + "/none").error().code, ErrorCode::not_found);
  EXPECT_EQ(MappedFile::open("/dev/zero").error().code, ErrorCode::invalid_argument);
}

TEST(File, atomic_write_replaces_and_leaves_no_temporary_file) {
  const TemporaryDirectory directory;
  const std::string path = directory.path + "/f";
  ASSERT_TRUE(write_file_atomic(path, as_bytes("one")));
  ASSERT_TRUE(write_file_atomic(path, as_bytes("two")));
  EXPECT_EQ(read_file(path, 10).value(), "two");
  EXPECT_EQ(read_file(path, 2).error().code, ErrorCode::bad_file);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path), {}), 1);
}

TEST(File, atomic_write_never_puts_a_file_in_the_place_of_a_device_a_fifo_or_a_directory) {
  const TemporaryDirectory directory;
  const std::string link = directory.path + "/null";  // as /dev/stdout is one
  std::filesystem::create_symlink("/dev/null", link);
  EXPECT_TRUE(write_file_atomic(link, as_bytes("text")));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  const std::string fifo = directory.path + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
  EXPECT_TRUE(write_file_atomic(fifo, as_bytes("text")));
  char text[8] = {};
  EXPECT_EQ(::read(reader, text, sizeof text), 4);
  ::close(reader);
  EXPECT_TRUE(std::filesystem::is_fifo(fifo));
  const Status refused = write_file_atomic(directory.path, as_bytes("text"));
  EXPECT_NE(refused.error().message.find("a directory"), std::string::npos);
  EXPECT_EQ(write_file_atomic("", {}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(file_to_replace(fifo).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path), {}), 2);
}

TEST(File, atomic_write_through_a_link_changes_the_file_and_keeps_the_link) {
  const TemporaryDirectory directory;
  const std::string path = directory.path + "/f";
  const std::string link = directory.path + "/link";
  ASSERT_TRUE(write_file_atomic(path, as_bytes("one")));
  std::filesystem::create_symlink(path, link);
  ASSERT_TRUE(write_file_atomic(link, as_bytes("two")));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(read_file(path, 10).value(), "two");
  EXPECT_EQ(write_file_atomic(directory.path + "/none/f", {}).error().code, ErrorCode::not_found);
}

std::string counted_text(size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i % 251);
  return text;
}

TEST(File, maps_from_two_mebibytes_on_where_huge_pages_fit) {
  constexpr size_t kHugeBytes = size_t{2} << 20;
  const TemporaryDirectory directory;
  for (const size_t bytes : {kHugeBytes - 1, kHugeBytes, kHugeBytes + 1, 3 * kHugeBytes + 12345}) {
    const std::string text = counted_text(bytes);
    const std::string path = directory.path + "/" + std::to_string(bytes);
    ASSERT_TRUE(write_file_atomic(path, as_bytes(text)));
    const MappedFile file = MappedFile::open(path).value();
    EXPECT_EQ(as_text(file.bytes()), text);
    if (bytes < kHugeBytes) continue;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(file.bytes().data()) % kHugeBytes, 0U);
  }
}

TEST(File, reads_back_from_the_disk_what_was_written_also_while_it_is_mapped) {
  const TemporaryDirectory directory;
  const std::string path = directory.path + "/f";
  const std::string text = counted_text((size_t{65} << 20) + 7);  // more than one window of 64 MiB
  ASSERT_TRUE(write_file_atomic(path, as_bytes(text)));
  EXPECT_TRUE(read_back_from_disk(path));
  const MappedFile file = MappedFile::open(path).value();
  EXPECT_TRUE(as_text(file.bytes()) == text);
  EXPECT_TRUE(read_back_from_disk(path));
  EXPECT_TRUE(as_text(file.bytes()) == text);
  EXPECT_EQ(read_back_from_disk(directory.path + "/none").error().code, ErrorCode::not_found);
}

TEST(Buffer, is_zero_and_aligned_at_every_size) {
  for (const size_t count : {size_t{1}, size_t{65}, (size_t{4} << 20) - 1, (size_t{4} << 20) + 1}) {
    const AlignedBuffer<std::byte> buffer(count);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0U);
    const std::span<const std::byte> bytes = buffer.span();
    EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; }));
  }
}

TEST(Hash, sha256_of_abc) {
  Sha256 hash;
  hash.update(as_bytes("abc"));
  EXPECT_EQ(hash.finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/// A copy of /sys with what is said of each CPU.
class FakeSystem {
 public:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = directory_.path + "/" + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  void write_cpu(int cpu, const std::string& path, const std::string& text) {
    write(fmt::format("devices/system/cpu/cpu{}/{}", cpu, path), text);
  }
  [[nodiscard]] int fast_cores(std::vector<int> allowed) const {
    return count_fast_cores(directory_.path, allowed);
  }

 private:
  TemporaryDirectory directory_;
};

TEST(CpuCount, two_threads_of_a_core_are_one_core) {
  FakeSystem system;
  for (int cpu = 0; cpu < 8; ++cpu)
    system.write_cpu(cpu, cpu < 4 ? "topology/core_cpus_list" : "topology/thread_siblings_list",
                     fmt::format("{},{}", cpu % 4, cpu % 4 + 4));
  EXPECT_EQ(system.fast_cores({0, 1, 2, 3, 4, 5, 6, 7}), 4);
  EXPECT_EQ(system.fast_cores({0, 4}), 1);
  EXPECT_EQ(system.fast_cores({0, 1, 5}), 2);
}

TEST(CpuCount, slow_cores_are_left_out_unless_there_are_no_others) {
  FakeSystem intel;  // two cores of two threads each, four slow ones
  for (int cpu = 0; cpu < 8; ++cpu)
    intel.write_cpu(
        cpu, "topology/core_cpus_list",
        cpu < 4 ? fmt::format("{}-{}", cpu / 2 * 2, cpu / 2 * 2 + 1) : fmt::to_string(cpu));
  EXPECT_EQ(intel.fast_cores({0, 1, 2, 3, 4, 5, 6, 7}), 6) << "nothing tells which are slow";
  intel.write("devices/cpu_core/cpus", "0-3");
  EXPECT_EQ(intel.fast_cores({0, 1, 2, 3, 4, 5, 6, 7}), 2);
  EXPECT_EQ(intel.fast_cores({5, 6}), 2);
  FakeSystem arm;
  for (int cpu = 0; cpu < 8; ++cpu) {
    arm.write_cpu(cpu, "topology/core_cpus_list", fmt::to_string(cpu));
    arm.write_cpu(cpu, "cpu_capacity", cpu < 4 ? "530" : cpu < 6 ? "900" : "1024");
  }
  EXPECT_EQ(arm.fast_cores({0, 1, 2, 3, 4, 5, 6, 7}), 4);
  EXPECT_EQ(arm.fast_cores({0, 1}), 2);
}

TEST(CpuCount, what_cannot_be_read_counts_as_cores) {
  FakeSystem system;
  EXPECT_EQ(system.fast_cores({0, 1, 2}), 3);
  EXPECT_EQ(system.fast_cores({}), 1);
  for (const char* text : {"", "3-1", "x", "0-99999", "0-1-2", "-1"}) {
    system.write("devices/cpu_core/cpus", text);
    EXPECT_EQ(system.fast_cores({0, 1, 2}), 3) << text;
  }
  system.write_cpu(0, "cpu_capacity", "much");
  EXPECT_EQ(system.fast_cores({0, 1, 2}), 3);
}

TEST(CpuCount, this_process_computes_with_no_more_threads_than_it_may_use) {
  EXPECT_GE(compute_thread_count(), 1);
  EXPECT_LE(compute_thread_count(), usable_cpu_count());
}

TEST(ThreadPool, parallel_for_visits_each_index_once) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (const size_t count : {size_t{0}, size_t{1}, size_t{7}, size_t{1000}}) {
      std::vector<std::atomic<int>> visits(count);
      pool.parallel_for(count, 3, [&](size_t begin, size_t end, int) {
        for (size_t i = begin; i < end; ++i) visits[i].fetch_add(1);
      });
      for (const auto& v : visits) EXPECT_EQ(v.load(), 1);
    }
  }
}

TEST(ThreadPool, a_thread_begins_with_its_own_share_and_fetching_ahead_changes_nothing) {
  ThreadPool pool(3);
  const std::vector<char> memory(100'000);
  EXPECT_EQ(pool.own_share(1200, 100), 300U);
  EXPECT_EQ(pool.own_share(200, 100), 0U);
  for (int round = 0; round < 40; ++round) {
    for (int i = 1; i < 3; ++i)
      pool.fetch_after(i, round % 3 == 0 ? nullptr : memory.data(), round % 3 == 0 ? 0 : 100'000);
    std::vector<std::atomic<int>> visits(1200);
    std::vector<int> first(3, -1);
    pool.parallel_for(1200, 100, [&](size_t begin, size_t end, int thread) {
      int& mine = first[static_cast<size_t>(thread)];
      if (mine < 0) mine = static_cast<int>(begin);
      for (size_t i = begin; i < end; ++i) ++visits[i];
    });
    EXPECT_EQ(first, (std::vector<int>{0, 300, 600}));
    for (const auto& count : visits) ASSERT_EQ(count, 1);
  }
}

TEST(ThreadPool, survives_many_jobs_with_pauses_long_enough_to_sleep) {
  ThreadPool pool(3);
  std::atomic<int> sum{0};
  for (int job = 0; job < 2000; ++job) {
    pool.run([&](int) { sum.fetch_add(1); });
    if (job % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(sum.load(), 6000);
}

TEST(Channel, a_full_one_refuses_and_a_closed_one_drains) {
  Channel<int> channel(2);
  EXPECT_TRUE(channel.try_send(1));
  EXPECT_TRUE(channel.try_send(2));
  EXPECT_FALSE(channel.try_send(3));
  channel.close();
  EXPECT_EQ(channel.receive(), 1);
  EXPECT_EQ(channel.receive(), 2);
  EXPECT_FALSE(channel.receive().has_value());
}

}  // namespace
}  // namespace squish
