#include "hub/upload_journal.h"

#include <sys/stat.h>

#include "base/file.h"
#include "format/testing/temporary_directory.h"

namespace squish::hub {
namespace {

const std::string kHash(64, 'c');

UploadJournal half_done() {
  UploadJournal journal;
  journal.action.sha256 = kHash;
  journal.action.upload_url = "https://h/complete?key=1";
  journal.action.verify_url = "https://h/verify";
  journal.action.verify_headers = {{"X-A", "b"}};
  journal.action.part_bytes = 100;
  journal.action.part_urls = {"https://h/1", "https://h/2", "https://h/3"};
  journal.bytes = 250;
  journal.etags = {"\"one\"", "", "\"three\""};
  return journal;
}

TEST(UploadJournal, reads_back_what_it_wrote) {
  const auto read = parse_upload_journal(to_text(half_done()), kHash, 250);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->etags, half_done().etags);
  EXPECT_EQ(read->action.part_urls, half_done().action.part_urls);
  EXPECT_EQ(read->action.upload_url, half_done().action.upload_url);
  EXPECT_EQ(read->action.part_bytes, 100U);
}

TEST(UploadJournal, keeps_no_headers_for_the_token_may_stand_there) {
  UploadJournal journal = half_done();
  journal.action.upload_headers = {{"Authorization", "Bearer hf_secret"}};
  journal.action.verify_headers = {{"Authorization", "Bearer hf_secret"}};
  EXPECT_EQ(to_text(journal).find("hf_secret"), std::string::npos);
}

TEST(UploadJournal, counts_the_bytes_of_finished_parts_the_last_one_shorter) {
  EXPECT_EQ(half_done().done_bytes(), 150U);
}

TEST(UploadJournal, refuses_every_cut_and_every_changed_byte) {
  const std::string text = to_text(half_done());
  for (size_t length = 0; length < text.size(); ++length)
    EXPECT_FALSE(parse_upload_journal(text.substr(0, length), kHash, 250)) << length;
  for (size_t at = 0; at < text.size(); ++at) {
    std::string changed = text;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(parse_upload_journal(changed, kHash, 250)) << at;
  }
}

TEST(UploadJournal, refuses_that_of_another_object_or_size) {
  EXPECT_FALSE(parse_upload_journal(to_text(half_done()), std::string(64, 'd'), 250));
  EXPECT_FALSE(parse_upload_journal(to_text(half_done()), kHash, 251));
}

TEST(UploadJournal, is_readable_by_its_user_alone_and_deleted_when_it_does_not_fit) {
  const testing::TemporaryDirectory directory;
  const std::string path = journal_path(directory.file("uploads"), "acme/x", kHash);
  ASSERT_TRUE(write_upload_journal(path, half_done()));
  struct stat info = {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  EXPECT_TRUE(read_upload_journal(path, kHash, 250));
  EXPECT_FALSE(read_upload_journal(path, kHash, 9));
  EXPECT_FALSE(file_exists(path));
}

TEST(UploadJournal, repositories_have_journals_of_their_own) {
  EXPECT_NE(journal_path("d", "acme/x", kHash), journal_path("d", "acme/y", kHash));
}

}  // namespace
}  // namespace squish::hub
