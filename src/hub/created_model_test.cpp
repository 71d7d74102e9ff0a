#include "hub/created_model.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/hash.h"
#include "hub/blob_store.h"
#include "hub/catalog.h"

namespace squish::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWeights = "GGUF and some weights";

class CreatedModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "squish-created-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    ASSERT_TRUE(make_directories(root_ + "/base-1b"));
    ASSERT_TRUE(write_file_atomic(root_ + "/base-1b/base.gguf", as_bytes(kWeights)));
  }
  void TearDown() override { fs::remove_all(root_); }

  [[nodiscard]] Store store() const { return Store(root_); }
  [[nodiscard]] Result<LocalModel> find(std::string_view name) const {
    return store().find(name, Catalog::builtin());
  }
  Result<std::string> create(const std::string& id, const std::string& system = "") {
    CreatedModel model{.id = id, .settings = {}};
    model.settings.from = "base:1b";
    model.settings.system = system;
    model.settings.parameters = {{"stop", "a"}, {"stop", "b"}};
    SilentProgress progress;
    const CancelFlag cancel = false;
    SQ_TRY(const LocalModel base, find("base:1b"));
    return install_created(root_, model, parts_of(base), progress, cancel);
  }

  std::string root_;
};

TEST_F(CreatedModelTest, has_its_own_name_and_shares_the_weights) {
  const auto directory = create("mario", "You are Mario.");
  ASSERT_TRUE(directory.has_value()) << directory.error().message;
  const auto found = find("Mario:latest");
  ASSERT_TRUE(found.has_value()) << found.error().message;
  EXPECT_EQ(found->id, "mario");
  EXPECT_EQ(found->source, "created:base:1b");
  EXPECT_TRUE(fs::equivalent(found->path, root_ + "/base-1b/base.gguf"));
  const auto created = read_created(found->directory);
  ASSERT_TRUE(created.has_value());
  EXPECT_EQ(created->settings.system, "You are Mario.");
  EXPECT_EQ(created->settings.parameters.size(), 2U);
}

TEST_F(CreatedModelTest, is_not_what_the_name_of_the_file_means) {
  ASSERT_TRUE(create("aaa").has_value());
  const auto found = find("base.gguf");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, "base:1b");
}

TEST_F(CreatedModelTest, replaces_the_one_of_the_same_name_only) {
  ASSERT_TRUE(create("mario", "one").has_value());
  const auto second = create("mario", "two");
  ASSERT_TRUE(second.has_value()) << second.error().message;
  EXPECT_EQ(read_created(*second)->settings.system, "two");
  EXPECT_EQ(store().list().models.size(), 2U);
  const auto pulled = create("base:1b");
  ASSERT_FALSE(pulled.has_value());
  EXPECT_EQ(pulled.error().code, ErrorCode::refused);
}

TEST_F(CreatedModelTest, of_names_with_the_same_directory_gets_another_one) {
  ASSERT_TRUE(create("mario:7b").has_value());
  ASSERT_TRUE(create("mario-7b").has_value());
  EXPECT_EQ(find_exact(store(), Catalog::builtin(), "mario:7b")->id, "mario:7b");
  EXPECT_EQ(find_exact(store(), Catalog::builtin(), "mario-7b")->id, "mario-7b");
}

TEST_F(CreatedModelTest, outlives_its_base_and_the_other_way_round) {
  ASSERT_TRUE(create("mario").has_value());
  ASSERT_TRUE(remove_model(store(), *find("base:1b")));
  EXPECT_FALSE(find("base:1b").has_value());
  ASSERT_TRUE(find("mario").has_value());
  ASSERT_TRUE(remove_model(store(), *find("mario")));
  EXPECT_TRUE(store().list().models.empty());
}

TEST_F(CreatedModelTest, is_found_exactly_or_not_at_all) {
  ASSERT_TRUE(create("mario:7b").has_value());
  EXPECT_TRUE(find("mario").has_value()) << "a family name means its smallest member";
  EXPECT_FALSE(find_exact(store(), Catalog::builtin(), "mario").has_value());
}

TEST_F(CreatedModelTest, needs_files_that_make_one_model) {
  SilentProgress progress;
  const CancelFlag cancel = false;
  const CreatedModel model{.id = "odd", .settings = {}};
  const auto made = install_created(root_, model, {{root_ + "/base-1b/base.gguf", "notes.txt"}},
                                    progress, cancel);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, ErrorCode::bad_file);
  const auto escaping = install_created(root_, model, {{root_ + "/base-1b/base.gguf", "../x.gguf"}},
                                        progress, cancel);
  ASSERT_FALSE(escaping.has_value());
  EXPECT_EQ(escaping.error().code, ErrorCode::unsafe);
  EXPECT_TRUE(fs::is_empty(root_ + "/.partial"));
}

TEST(CreatedId, is_lower_case_without_latest) {
  EXPECT_EQ(*created_id("Mario:latest"), "mario");
  EXPECT_EQ(*created_id("me/mario:7B-q4"), "me/mario:7b-q4");
  for (const char* name : {"", ":", "a b", "../x", "a:", "a:b:c", "/a", "a//b", "hf:x", "ollama:x",
                           "squish", "a/b/c/d", ".x", "con"}) {
    EXPECT_FALSE(created_id(name).has_value()) << name;
  }
}

TEST_F(CreatedModelTest, takes_its_blob_with_it) {
  Sha256 hash;
  hash.update(as_bytes(kWeights));
  const std::string digest = hash.finish();
  const BlobStore blobs(root_);
  {
    auto upload = blobs.receive(digest, kWeights.size());
    ASSERT_TRUE(upload.has_value()) << upload.error().message;
    EXPECT_FALSE(blobs.receive(digest, 0).has_value()) << "one upload of a blob at a time";
    ASSERT_TRUE(upload->append(as_bytes(kWeights)));
    EXPECT_FALSE(blobs.has(digest)) << "not before it is whole";
    ASSERT_TRUE(upload->commit());
  }
  ASSERT_TRUE(blobs.has(digest));
  SilentProgress progress;
  const CancelFlag cancel = false;
  ASSERT_TRUE(install_created(root_, {.id = "up", .settings = {}},
                              {{blobs.path(digest), "model.gguf"}}, progress, cancel)
                  .has_value());
  EXPECT_TRUE(blobs.has(digest));
  ASSERT_TRUE(remove_model(store(), *find("up")));
  EXPECT_FALSE(blobs.has(digest));
}

TEST_F(CreatedModelTest, blob_with_other_bytes_is_refused) {
  const std::string digest(64, 'a');
  {
    auto upload = BlobStore(root_).receive(digest, 0);
    ASSERT_TRUE(upload.has_value());
    ASSERT_TRUE(upload->append(as_bytes("x")));
    const Status done = upload->commit();
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().message.find("digest mismatch"), std::string::npos);
  }
  EXPECT_FALSE(BlobStore(root_).has(digest));
  EXPECT_TRUE(fs::is_empty(root_ + "/.blobs"));
  EXPECT_FALSE(parse_digest("sha256:../../x").has_value());
  EXPECT_FALSE(parse_digest(std::string("sha256:") + std::string(64, 'G')).has_value());
}

}  // namespace
}  // namespace squish::hub
