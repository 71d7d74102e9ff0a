#include "compress/journal.h"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "compress/output.h"
#include "format/testing/temporary_directory.h"

namespace squish::compress {
namespace {

using ::squish::testing::TemporaryDirectory;
using ::testing::HasSubstr;

JournalEntry entry_of(const std::string& name) {
  JournalEntry entry;
  entry.name = name;
  entry.bytes = 1234;
  entry.hash = 0xFEDCBA9876543210U;
  entry.error = 0.1;
  entry.energy = 3e20;
  entry.zero_rows = 2;
  entry.awq_exponent = 0.35;
  return entry;
}

class JournalTest : public ::testing::Test {
 protected:
  std::string text() const { return read_file(path_, 1 << 20).value(); }
  size_t count(uint64_t hash = 7) {
    const auto journal = Journal::open(path_, hash);
    EXPECT_TRUE(journal.has_value()) << (journal ? "" : journal.error().message);
    return journal ? journal->entries().size() : 0;
  }
  void write_two() {
    auto journal = Journal::open(path_, 7);
    ASSERT_TRUE(journal.has_value());
    ASSERT_TRUE(journal->append({entry_of("a"), entry_of("name with spaces")}).has_value());
  }
  TemporaryDirectory directory_;
  std::string path_ = directory_.file("journal");
};

TEST_F(JournalTest, remembers_every_figure_exactly) {
  write_two();
  const auto journal = Journal::open(path_, 7);
  ASSERT_TRUE(journal.has_value());
  ASSERT_EQ(journal->entries().size(), 2U);
  const JournalEntry& entry = journal->entries().at("name with spaces");
  const JournalEntry wanted = entry_of("name with spaces");
  EXPECT_EQ(entry.bytes, wanted.bytes);
  EXPECT_EQ(entry.hash, wanted.hash);
  EXPECT_EQ(entry.error, wanted.error);
  EXPECT_EQ(entry.energy, wanted.energy);
  EXPECT_EQ(entry.zero_rows, wanted.zero_rows);
  EXPECT_EQ(entry.awq_exponent, wanted.awq_exponent);
}

TEST_F(JournalTest, cut_at_any_byte_keeps_the_whole_lines_and_takes_more) {
  write_two();
  const std::string whole = text();
  for (size_t length = 0; length <= whole.size(); ++length) {
    ASSERT_TRUE(write_file_atomic(path_, as_bytes(whole.substr(0, length))).has_value());
    const auto lines = static_cast<size_t>(
        std::count(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length), '\n'));
    {
      auto journal = Journal::open(path_, 7);
      ASSERT_TRUE(journal.has_value()) << length << ": " << journal.error().message;
      ASSERT_EQ(journal->entries().size(), lines == 0 ? 0 : lines - 1) << length;
      ASSERT_TRUE(journal->append({entry_of("later")}).has_value());
    }
    ASSERT_EQ(count(), lines == 0 ? 1 : lines) << length;
  }
}

TEST_F(JournalTest, with_a_changed_byte_trusts_nothing_from_there_on) {
  write_two();
  const std::string whole = text();
  const auto second = static_cast<size_t>(std::ranges::find(whole, '\n') - whole.begin()) + 1;
  for (size_t at = second; at < whole.size(); ++at) {
    std::string bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    ASSERT_TRUE(write_file_atomic(path_, as_bytes(bad)).has_value());
    ASSERT_LT(count(), 2U) << at;
  }
}

TEST_F(JournalTest, of_another_run_is_refused_with_the_way_out) {
  write_two();
  const auto journal = Journal::open(path_, 8);
  ASSERT_FALSE(journal.has_value());
  EXPECT_EQ(journal.error().code, ErrorCode::refused);
  EXPECT_THAT(journal.error().message, HasSubstr("--restart"));
  EXPECT_EQ(count(7), 2U) << "and is left as it was";
}

TEST_F(JournalTest, forgets_what_proved_wrong) {
  write_two();
  auto journal = Journal::open(path_, 7);
  ASSERT_TRUE(journal.has_value());
  journal->forget("a");
  EXPECT_EQ(journal->entries().size(), 1U);
  journal->forget("never there");
  EXPECT_EQ(journal->entries().size(), 1U);
}

TEST(OutputLock, is_held_by_one_at_a_time_and_taken_over_from_the_dead) {
  const TemporaryDirectory directory;
  const std::string output = directory.file("out");
  {
    const auto first = OutputLock::acquire(output);
    ASSERT_TRUE(first.has_value());
    const auto second = OutputLock::acquire(output);
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code, ErrorCode::busy);
    EXPECT_THAT(second.error().message, HasSubstr(fmt::format("process {}", ::getpid())));
  }
  directory.write("out.lock", "999999\n");  // what a killed process leaves
  EXPECT_TRUE(OutputLock::acquire(output).has_value());
  EXPECT_FALSE(file_exists(output + ".lock"));
}

TEST(Publish, moves_the_old_model_away_only_when_the_new_one_is_there) {
  const TemporaryDirectory directory;
  const std::string output = directory.file("out");
  const std::string partial = partial_path(output);
  ASSERT_TRUE(make_directories(partial).has_value());
  ASSERT_TRUE(make_directories(output).has_value());
  directory.write("out/old", "1");
  directory.write("out.partial/new", "2");
  EXPECT_FALSE(publish(partial, output, false).has_value());
  EXPECT_TRUE(file_exists(output + "/old"));
  ASSERT_TRUE(publish(partial, output, true).has_value());
  EXPECT_TRUE(file_exists(output + "/new"));
  EXPECT_FALSE(file_exists(output + "/old"));
  EXPECT_FALSE(is_directory(output + ".old"));
}

TEST(WeightFile, reads_back_what_was_written_at_its_place) {
  const TemporaryDirectory directory;
  auto file = WeightFile::open(directory.file("w"), 1000);
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE(file->write(990, as_bytes("0123456789")).has_value());
  ASSERT_TRUE(file->sync().has_value());
  EXPECT_EQ(read_file(directory.file("w"), 2000).value().substr(990), "0123456789");
  EXPECT_TRUE(file->hash(990, 10).has_value());
  EXPECT_FALSE(file->hash(990, 11).has_value()) << "behind the end";
}

}  // namespace
}  // namespace squish::compress
