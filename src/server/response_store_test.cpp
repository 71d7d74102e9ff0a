#include "server/response_store.h"

#include <filesystem>

#include <gtest/gtest.h>

namespace squish::server {
namespace {

StoredResponse response(const std::string& id, size_t bytes = 10) {
  return {.id = id, .body = std::string(bytes, 'b'), .input = "[1]", .conversation = "[1,2]"};
}

TEST(ResponseStore, gives_back_what_was_put_after_it_was_opened_again) {
  const std::string path = testing::TempDir() + "/responses_again.db";
  std::filesystem::remove(path);
  {
    auto store = ResponseStore::open(path, 1000);
    ASSERT_TRUE(store.has_value()) << store.error().message;
    ASSERT_TRUE((*store)->put(response("resp_1")).has_value());
  }
  auto store = ResponseStore::open(path, 1000);
  ASSERT_TRUE(store.has_value());
  const auto found = (*store)->get("resp_1");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->body, "bbbbbbbbbb");
  EXPECT_EQ(found->input, "[1]");
  EXPECT_EQ(found->conversation, "[1,2]");
  EXPECT_EQ(std::filesystem::status(path).permissions() & std::filesystem::perms::others_all,
            std::filesystem::perms::none);
}

TEST(ResponseStore, finds_items_by_what_brought_them_until_it_goes) {
  auto store = ResponseStore::open("", 1000);
  ASSERT_TRUE(store.has_value());
  StoredResponse one = response("resp_1");
  one.item_ids = {"msg_1", "msg_2"};
  ASSERT_TRUE((*store)->put(one).has_value());
  StoredResponse two = response("resp_2");
  two.conversation = "[3]";
  two.item_ids = {"msg_2"};
  ASSERT_TRUE((*store)->put(two).has_value());
  EXPECT_EQ((*store)->conversation_with("msg_1").value(), "[1,2]");
  EXPECT_EQ((*store)->conversation_with("msg_2").value(), "[3]");
  ASSERT_TRUE((*store)->remove("resp_2").has_value());
  EXPECT_EQ((*store)->conversation_with("msg_2").value(), "[1,2]");
  ASSERT_TRUE((*store)->remove("resp_1").has_value());
  EXPECT_EQ((*store)->conversation_with("msg_1").error().code, ErrorCode::not_found);
}

TEST(ResponseStore, an_update_that_fails_changes_nothing) {
  auto store = ResponseStore::open("", 1000);
  ASSERT_TRUE(store.has_value());
  ASSERT_TRUE((*store)->put(response("resp_1")).has_value());
  const auto set = [](const char* text, Status status) {
    return [text, status](StoredResponse& found) {
      found.conversation = text;
      return status;
    };
  };
  EXPECT_FALSE((*store)->update("resp_1", set("[]", Error{ErrorCode::io, "no"})).has_value());
  EXPECT_EQ((*store)->get("resp_1")->conversation, "[1,2]");
  EXPECT_TRUE((*store)->update("resp_1", set("[]", {})).has_value());
  EXPECT_EQ((*store)->get("resp_1")->conversation, "[]");
  EXPECT_EQ((*store)->update("resp_2", set("[]", {})).error().code, ErrorCode::not_found);
}

TEST(ResponseStore, lets_go_of_the_one_not_used_for_longest) {
  auto store = ResponseStore::open("", 250);
  ASSERT_TRUE(store.has_value());
  ASSERT_TRUE((*store)->put(response("a", 90)).has_value());
  ASSERT_TRUE((*store)->put(response("b", 90)).has_value());
  ASSERT_TRUE((*store)->get("a").has_value());
  ASSERT_TRUE((*store)->put(response("c", 90)).has_value());
  EXPECT_TRUE((*store)->get("a").has_value());
  EXPECT_FALSE((*store)->get("b").has_value());
  EXPECT_TRUE((*store)->get("c").has_value());
}

TEST(ResponseStore, deletes_once) {
  auto store = ResponseStore::open("", 1000);
  ASSERT_TRUE(store.has_value());
  ASSERT_TRUE((*store)->put(response("a")).has_value());
  EXPECT_TRUE((*store)->remove("a").has_value());
  const Status again = (*store)->remove("a");
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::not_found);
}

TEST(ResponseStore, refuses_a_file_that_is_no_database) {
  EXPECT_FALSE(ResponseStore::open("/dev/null/x", 1000).has_value());
}

}  // namespace
}  // namespace squish::server
