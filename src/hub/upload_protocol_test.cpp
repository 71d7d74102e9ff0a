#include "hub/upload_protocol.h"

#include <nlohmann/json.hpp>

#include "base/hash.h"

namespace squish::hub {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::string kHash(64, 'a');

UploadFile large_file(uint64_t bytes) {
  return {.path = "model.safetensors", .disk_path = "x", .bytes = bytes, .sha256 = kHash};
}

std::string batch_with_header(const json& header) {
  return json({{"transfer", "multipart"},
               {"objects",
                json::array({{{"oid", kHash},
                              {"size", 250},
                              {"actions",
                               {{"upload", {{"href", "https://h/done"}, {"header", header}}},
                                {"verify", {{"href", "https://h/verify"}}}}}}})}})
      .dump();
}

TEST(RepositoryName, puts_the_format_behind_squished_and_leaves_int4_out) {
  EXPECT_EQ(repository_of("acme", "smollm2-135m-int4", "int4").value(),
            "acme/smollm2-135m-squished");
  EXPECT_EQ(repository_of("acme", "smollm2-135m-int8", "int8").value(),
            "acme/smollm2-135m-squished-int8");
  EXPECT_EQ(repository_of("acme", "smollm2-135m", "sq2").value(), "acme/smollm2-135m-squished-sq2");
  EXPECT_EQ(repository_of("acme", "plain", "").value(), "acme/plain-squished");
  EXPECT_EQ(repository_of("acme", "x", "mixed_2_6").value(), "acme/x-squished-mixed_2_6");
}

TEST(RepositoryName, makes_odd_directory_names_fit_what_a_hub_allows) {
  EXPECT_EQ(repository_of("acme", "my model (new)..x", "int4").value(),
            "acme/my-model-new-.x-squished");
  const std::string long_name = repository_of("acme", std::string(200, 'x'), "int8").value();
  EXPECT_EQ(long_name.size(), 5 + 96U);
  EXPECT_TRUE(long_name.ends_with("-squished-int8"));
}

TEST(RepositoryName, refuses_what_no_hub_takes) {
  EXPECT_FALSE(repository_of("acme", "...", "int4"));
  EXPECT_FALSE(repository_of("-acme", "x", "int4"));
  for (const char* name : {"", "acme", "acme/", "/x", "a/b/c", "a--b/c", "a/b..c", "a/-b",
                           "a/b.git", "a/b c", "a/\xc3\xa9"}) {
    EXPECT_FALSE(check_repository(name)) << name;
  }
  EXPECT_TRUE(check_repository("Acme_1/model.v2-x"));
}

TEST(Base64, is_that_of_the_rfc) {
  EXPECT_EQ(to_base64(""), "");
  EXPECT_EQ(to_base64("f"), "Zg==");
  EXPECT_EQ(to_base64("fo"), "Zm8=");
  EXPECT_EQ(to_base64("foo"), "Zm9v");
  EXPECT_EQ(to_base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(to_base64(std::string("\xff\x00\xfe", 3)), "/wD+");
}

TEST(CommitBody, is_one_json_value_a_line_with_the_header_first) {
  CommitBody body("Add\nthe model", "made of \"it\"", std::string(40, 'b'));
  body.add_regular("sub/config.json", "{\"a\": 1}\n");
  body.add_lfs(large_file(12));
  std::vector<json> lines;
  std::istringstream stream(body.text());
  for (std::string line; std::getline(stream, line);) lines.push_back(json::parse(line));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], json::parse(R"({"key": "header", "value": {"summary": "Add the model",
      "description": "made of \"it\"", "parentCommit": ")" +
                                  std::string(40, 'b') + "\"}}"));
  EXPECT_EQ(lines[1]["key"], "file");
  EXPECT_EQ(lines[1]["value"], json::parse(R"({"path": "sub/config.json", "encoding": "base64",
      "content": "eyJhIjogMX0K"})"));
  EXPECT_EQ(lines[2]["key"], "lfsFile");
  EXPECT_EQ(lines[2]["value"],
            json::parse(R"({"path": "model.safetensors", "algo": "sha256", "size": 12, "oid": ")" +
                        kHash + "\"}"));
}

TEST(CommitBody, names_no_parent_when_none_is_known) {
  EXPECT_THAT(CommitBody("m", "", "").text(), ::testing::Not(HasSubstr("parentCommit")));
}

TEST(CommitSummary, is_one_line_of_bounded_length) {
  EXPECT_EQ(commit_summary(" a\tb\r\n"), "a b");
  EXPECT_LE(commit_summary(std::string(1000, 'x')).size(), 200U);
}

TEST(RequestBodies, are_what_the_hub_documents) {
  EXPECT_EQ(json::parse(create_repository_body("acme/x", true)),
            json::parse(R"({"type": "model", "organization": "acme", "name": "x",
                            "private": true})"));
  EXPECT_EQ(json::parse(preupload_body({{.path = "a", .bytes = 3}}, {"foo"})),
            json::parse(R"({"files": [{"path": "a", "size": 3, "sample": "Zm9v"}]})"));
  const json batch = json::parse(lfs_batch_body({large_file(7)}, "main"));
  EXPECT_EQ(batch["operation"], "upload");
  EXPECT_EQ(batch["transfers"], json::parse(R"(["basic", "multipart"])"));
  EXPECT_EQ(batch["objects"], json::array({{{"oid", kHash}, {"size", 7}}}));
  EXPECT_EQ(json::parse(completion_body("h", {"x", "y"})),
            json::parse(R"({"oid": "h", "parts": [{"partNumber": 1, "etag": "x"},
                                                  {"partNumber": 2, "etag": "y"}]})"));
  EXPECT_EQ(json::parse(completion_body("h", {"x"})),
            json::parse(R"({"oid": "h", "parts": [{"partNumber": 1, "etag": "x"}]})"));
}

TEST(Preupload, tells_which_files_are_large) {
  const auto modes = parse_preupload(R"({"files": [{"path": "a", "uploadMode": "lfs"},
      {"path": "b", "uploadMode": "regular"}, {"path": 7}, null]})");
  ASSERT_TRUE(modes);
  EXPECT_EQ(*modes, (std::map<std::string, bool>{{"a", true}, {"b", false}}));
  EXPECT_FALSE(parse_preupload("<html>"));
  EXPECT_FALSE(parse_preupload("[]"));
}

TEST(LfsBatch, an_object_without_actions_is_there_already) {
  const auto actions =
      parse_lfs_batch(R"({"objects": [{"oid": ")" + kHash + R"(", "size": 5}]})", {large_file(5)});
  ASSERT_TRUE(actions);
  EXPECT_TRUE(actions->front().is_there);
}

TEST(LfsBatch, reads_a_basic_transfer_with_its_headers) {
  const auto actions = parse_lfs_batch(batch_with_header({{"X-Key", "v"}}), {large_file(250)});
  ASSERT_TRUE(actions) << actions.error().message;
  const LfsAction& action = actions->front();
  EXPECT_FALSE(action.is_there);
  EXPECT_FALSE(action.is_multipart());
  EXPECT_EQ(action.upload_url, "https://h/done");
  EXPECT_EQ(action.verify_url, "https://h/verify");
  EXPECT_EQ(action.upload_headers,
            (std::vector<std::pair<std::string, std::string>>{{"X-Key", "v"}}));
}

TEST(LfsBatch, reads_the_parts_of_a_multipart_transfer_in_order) {
  const auto actions = parse_lfs_batch(batch_with_header({{"chunk_size", "100"},
                                                          {"00003", "https://h/3"},
                                                          {"00001", "https://h/1"},
                                                          {"00002", "https://h/2"}}),
                                       {large_file(250)});
  ASSERT_TRUE(actions) << actions.error().message;
  EXPECT_EQ(actions->front().part_bytes, 100U);
  EXPECT_EQ(actions->front().part_urls,
            (std::vector<std::string>{"https://h/1", "https://h/2", "https://h/3"}));
  EXPECT_TRUE(actions->front().upload_headers.empty());
}

TEST(LfsBatch, refuses_parts_that_do_not_cover_the_file) {
  for (const json& header :
       {json{{"chunk_size", "100"}, {"1", "https://h/1"}},
        json{{"chunk_size", "100"},
             {"1", "https://h/1"},
             {"2", "https://h/2"},
             {"4", "https://h/4"}},
        json{{"chunk_size", "0"}, {"1", "https://h/1"}},
        json{{"1", "https://h/1"}, {"2", "https://h/2"}},
        json{{"chunk_size", "200"}, {"1", "https://h/1"}, {"2", "file:///etc/passwd"}}}) {
    EXPECT_FALSE(parse_lfs_batch(batch_with_header(header), {large_file(250)})) << header;
  }
}

TEST(LfsBatch, tells_the_hubs_words_for_an_object_that_it_refuses) {
  const auto actions = parse_lfs_batch(
      R"({"objects": [{"oid": ")" + kHash + R"(", "error": {"code": 403, "message": "quota"}}]})",
      {large_file(5)});
  ASSERT_FALSE(actions);
  EXPECT_EQ(actions.error().code, ErrorCode::refused);
  EXPECT_THAT(actions.error().message, HasSubstr("quota"));
}

TEST(LfsBatch, refuses_answers_that_lack_the_object_or_an_address) {
  EXPECT_FALSE(parse_lfs_batch(R"({"objects": []})", {large_file(5)}));
  EXPECT_FALSE(parse_lfs_batch("{}", {large_file(5)}));
  EXPECT_FALSE(parse_lfs_batch(
      R"({"objects": [{"oid": ")" + kHash + R"(", "actions": {"upload": {"href": "ftp://h"}}}]})",
      {large_file(5)}));
}

TEST(CommitAnswer, keeps_only_what_is_a_commit) {
  const std::string commit(40, '1');
  EXPECT_EQ(parse_commit_answer(R"({"commitOid": ")" + commit + "\"}").value().commit, commit);
  EXPECT_EQ(parse_commit_answer(R"({"commitOid": "abc"})").value().commit, "");
  EXPECT_FALSE(parse_commit_answer("nonsense"));
}

}  // namespace
}  // namespace squish::hub
