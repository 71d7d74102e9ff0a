#include "hub/store.h"

#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "hub/local_scan.h"
#include "hub/pull_lock.h"
#include "hub/resolve.h"
#include "hub/staging.h"

namespace squish::hub {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
namespace fs = std::filesystem;

class OnDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("squish-store-" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_ / "models");
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& path, std::string_view text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  [[nodiscard]] std::string at(const std::string& path) const { return (root_ / path).string(); }
  [[nodiscard]] Store store() const { return Store(at("models")); }
  [[nodiscard]] std::vector<std::string> ids() const {
    std::vector<std::string> list;
    for (const LocalModel& model : store().list().models) list.push_back(model.id);
    return list;
  }
  [[nodiscard]] std::string error_of(std::string_view name) const {
    const Result<LocalModel> found = store().find(name, Catalog::builtin());
    return found ? "found " + found->path : found.error().message;
  }
  void pulled(const std::string& directory, const std::string& id,
              const std::string& source) const {
    write("models/" + directory + "/m.gguf", "GGUF1234");
    ASSERT_TRUE(write_record(at("models/" + directory),
                             {id, source, "", "", {{"m.gguf", 8, std::string(64, 'a')}}}));
  }
  fs::path root_;
};

TEST_F(OnDisk, lists_files_split_sets_directories_and_nothing_unfinished) {
  write("models/Qwen3-0.6B-Q8_0.gguf", "GGUF");
  write("models/big-7B-00001-of-00002.gguf", "GGUF");
  write("models/big-7B-00002-of-00002.gguf", "GGUFGGUF");
  write("models/broken-7B-00001-of-00002.gguf", "GGUF");
  write("models/empty-1B.gguf", "");
  write("models/Llama-3.1-8B-Instruct-bf16/config.json", "{}");
  write("models/Llama-3.1-8B-Instruct-bf16/model.safetensors", "x");
  write("models/half-1B/config.json", "{}");
  write("models/half-1B/model.safetensors", "x");
  write("models/half-1B/other.safetensors.part", "x");
  write("models/holes-1B/config.json", "{}");
  write("models/holes-1B/model-00001-of-00002.safetensors", "x");
  write("models/holes-1B/model.safetensors.index.json",
        R"({"weight_map":{"a":"model-00002-of-00002.safetensors"}})");
  write("models/packed-int4/manifest.json", "{}");
  write("models/packed-int4/tensors/a.npy", "x");
  write("models/.partial/x.hf/m.gguf", "GGUF");
  EXPECT_THAT(ids(), ElementsAre("big:7b", "llama3.1:8b", "packed", "qwen3:0.6b"));
  const ScanResult result = store().list();
  EXPECT_THAT(result.warnings, SizeIs(3));  // broken, half, holes
  EXPECT_EQ(result.models[0].bytes, 12U);
  EXPECT_THAT(result.models[0].files, SizeIs(2));
}

TEST_F(OnDisk, a_missing_directory_holds_no_models) {
  EXPECT_THAT(Store("/nowhere/at/all").list().models, IsEmpty());
  EXPECT_THAT(Store("/nowhere/at/all").find("smollm2:135m", Catalog::builtin()).error().message,
              HasSubstr("squish pull smollm2:135m"));
}

TEST_F(OnDisk, a_record_whose_file_is_missing_or_short_is_not_listed) {
  pulled("smollm2-135m", "smollm2:135m", "pypi:x");
  EXPECT_THAT(ids(), ElementsAre("smollm2:135m"));
  write("models/smollm2-135m/m.gguf", "GGUF");
  EXPECT_THAT(ids(), IsEmpty());
  EXPECT_THAT(store().list().warnings.front(), HasSubstr("expected 8 bytes"));
  fs::remove(root_ / "models/smollm2-135m/m.gguf");
  EXPECT_THAT(ids(), IsEmpty());
}

TEST_F(OnDisk, a_hostile_record_is_a_warning) {
  write("models/x/.squish.json",
        R"({"id": "a:1b", "files": [{"name": "../../../etc/passwd", "bytes": 1}]})");
  write("models/y/.squish.json", "{");
  EXPECT_THAT(ids(), IsEmpty());
  EXPECT_THAT(store().list().warnings, SizeIs(2));
}

TEST_F(OnDisk, finds_by_id_directory_file_alias_and_source) {
  pulled("smollm2-135m", "smollm2:135m", "hf:Org/Repo:sub/Smol.Q4_1.gguf");
  for (const char* name : {"smollm2:135m", "SMOLLM2-135M", "smollm2", "m.gguf",
                           "hf:Org/Repo:sub/Smol.Q4_1.gguf", "hf:org/repo", "hf:org/repo:q4_1"}) {
    EXPECT_THAT(error_of(name), HasSubstr("found ")) << name;
  }
  EXPECT_THAT(error_of("hf:org/repo:q8_0"), HasSubstr("neither"));
  EXPECT_THAT(error_of("hf:org/other"), HasSubstr("neither"));
}

TEST_F(OnDisk, a_name_that_is_known_but_absent_names_the_pull_command) {
  EXPECT_THAT(error_of("gemma3:270m"), HasSubstr("squish pull gemma3:270m"));
  EXPECT_THAT(error_of("smolm2:135m"), HasSubstr("did you mean smollm2:135m"));
  EXPECT_THAT(error_of("  "), HasSubstr("empty"));
}

TEST_F(OnDisk, a_plain_model_beats_its_compressed_variants_and_int4_the_others) {
  for (const char* variant : {"Qwen3-8B-int2", "Qwen3-8B-int3", "Qwen3-8B-int4"}) {
    write(std::string("models/") + variant + "/config.json", "{}");
    write(std::string("models/") + variant + "/model.safetensors", "x");
  }
  EXPECT_THAT(error_of("qwen3:8b"), HasSubstr("Qwen3-8B-int4"));
  EXPECT_THAT(error_of("Qwen3-8B-int2"), HasSubstr("Qwen3-8B-int2"));
  write("models/Qwen3-8B/config.json", "{}");
  write("models/Qwen3-8B/model.safetensors", "x");
  EXPECT_EQ(error_of("qwen3:8b"), "found " + at("models/Qwen3-8B"));
}

TEST_F(OnDisk, removes_its_own_models_only) {
  pulled("a-1b", "a:1b", "pypi:a");
  write("models/b-1B-00001-of-00002.gguf", "GGUF");
  write("models/b-1B-00002-of-00002.gguf", "GGUF");
  write("outside/c-1b.gguf", "GGUF");
  const Result<LocalModel> split = store().find("b:1b", Catalog::builtin());
  ASSERT_TRUE(split);
  const Result<Removal> removal = store().plan_removal(*split);
  ASSERT_TRUE(removal);
  EXPECT_THAT(removal->paths, SizeIs(2));
  EXPECT_THAT(ids(), SizeIs(2)) << "a plan deletes nothing";
  ASSERT_TRUE(store().remove(*removal));
  EXPECT_THAT(ids(), ElementsAre("a:1b"));

  LocalModel outside;
  outside.path = at("outside/c-1b.gguf");
  outside.files = {outside.path};
  EXPECT_EQ(store().plan_removal(outside).error().code, ErrorCode::refused);
  LocalModel root;
  root.directory = at("models");
  EXPECT_EQ(store().plan_removal(root).error().code, ErrorCode::refused);
  LocalModel dotted;
  dotted.directory = at("models/a-1b/../../outside");
  EXPECT_EQ(store().plan_removal(dotted).error().code, ErrorCode::refused);
  EXPECT_EQ(store().remove({{at("outside/c-1b.gguf")}, 4}).error().code, ErrorCode::refused);
  EXPECT_TRUE(fs::exists(at("outside/c-1b.gguf")));
}

TEST_F(OnDisk, links_out_of_the_models_directory_are_neither_listed_nor_followed) {
  write("outside/d-1B/config.json", "{}");
  write("outside/d-1B/model.safetensors", "x");
  write("outside/e-1B.gguf", "GGUF");
  fs::create_directory_symlink(at("outside/d-1B"), at("models/d-1B"));
  fs::create_symlink(at("outside/e-1B.gguf"), at("models/e-1B.gguf"));
  EXPECT_THAT(ids(), IsEmpty());
  EXPECT_THAT(store().list().warnings, SizeIs(2));
  LocalModel linked;
  linked.directory = at("models/d-1B");
  EXPECT_FALSE(store().plan_removal(linked));
  EXPECT_TRUE(fs::exists(at("outside/d-1B/config.json")));
}

TEST_F(OnDisk, the_default_is_the_configured_the_only_or_the_newest_model) {
  EXPECT_EQ(*store().default_model("x:1b"), "x:1b");
  EXPECT_THAT(store().default_model("").error().message, HasSubstr("squish pull smollm2:135m"));
  pulled("a-1b", "a:1b", "pypi:a");
  EXPECT_EQ(*store().default_model(""), "a:1b");
  pulled("b-1b", "b:1b", "pypi:b");
  fs::last_write_time(at("models/a-1b/m.gguf"),
                      fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_EQ(*store().default_model(""), "b:1b");
}

Environment nothing_but(std::map<std::string, std::string> values) {
  return Environment([values](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  });
}

TEST_F(OnDisk, resolve_takes_paths_names_and_other_programs_models) {
  const std::string hex(64, 'b');
  write("user/.ollama/models/blobs/sha256-" + hex, "GGUF");
  write("user/.ollama/models/manifests/registry/library/llama3.2/latest",
        R"({"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:)" + hex +
            R"(","size":4}]})");
  write("files/x.gguf", "GGUF");
  const Environment environment = nothing_but({{"HOME", at("user")}});
  const auto resolve = [&](std::string_view name) {
    const Result<LocalModel> model = resolve_model(name, store(), Catalog::builtin(), environment);
    return model ? model->path : "error: " + model.error().message;
  };
  EXPECT_EQ(resolve(at("files/x.gguf")), at("files/x.gguf"));
  EXPECT_EQ(resolve(at("files")), at("files/x.gguf"));
  EXPECT_EQ(resolve("ollama:llama3.2"), at("user/.ollama/models/blobs/sha256-" + hex));
  EXPECT_EQ(resolve("ollama:llama3.2:latest"), at("user/.ollama/models/blobs/sha256-" + hex));
  EXPECT_THAT(resolve("./missing.gguf"), HasSubstr("no such file"));
  EXPECT_THAT(resolve("hf:a/b"), HasSubstr("squish pull hf:a/b"));
  EXPECT_THAT(resolve(std::string_view("a\0b", 3)), HasSubstr("NUL"));
}

TEST_F(OnDisk, ollama_manifests_that_lie_are_skipped_with_a_warning) {
  const std::string base = "o/manifests/reg/library/m/";
  const auto manifest = [](const std::string& digest) {
    return R"({"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":")" + digest +
           "\"}]}";
  };
  write(base + "notjson", "{");
  write(base + "nolayers", "{}");
  write(base + "emptylayers", R"({"layers":[1, null, {}]})");
  write(base + "traversal", manifest("sha256:../../../../etc/passwd"));
  write(base + "otherhash", manifest("md5:" + std::string(64, 'a')));
  write(base + "missing", manifest("sha256:" + std::string(64, 'c')));
  write("outside/secret", "GGUF");
  fs::create_directories(at("o/blobs"));
  fs::create_symlink(at("outside/secret"), at("o/blobs/sha256-" + std::string(64, 'd')));
  write(base + "link", manifest("sha256:" + std::string(64, 'd')));
  const ScanResult result = scan_ollama(at("o"));
  EXPECT_THAT(result.models, IsEmpty());
  EXPECT_THAT(result.warnings, SizeIs(7));
}

TEST_F(OnDisk, lm_studio_and_the_hugging_face_cache_are_read_in_place) {
  write("lm/pub/repo/a-1B-Q4_0.gguf", "GGUF");
  write("lm/pub/full/config.json", "{}");
  write("lm/pub/full/model.safetensors", "x");
  const ScanResult studio = scan_lm_studio(at("lm"));
  ASSERT_THAT(studio.models, SizeIs(2));
  EXPECT_EQ(studio.models[0].id, "lmstudio:pub/full");
  EXPECT_EQ(studio.models[1].id, "lmstudio:pub/repo");

  write("hf/models--org--name/blobs/aaa", "x");
  write("hf/models--org--name/blobs/bbb", "{}");
  write("hf/models--org--name/refs/main", "c1\n");
  fs::create_directories(at("hf/models--org--name/snapshots/c1"));
  fs::create_directories(at("hf/models--org--name/snapshots/c2"));
  fs::create_symlink("../../blobs/aaa", at("hf/models--org--name/snapshots/c1/model.safetensors"));
  fs::create_symlink("../../blobs/bbb", at("hf/models--org--name/snapshots/c1/config.json"));
  const ScanResult cache = scan_hugging_face_cache(at("hf"));
  ASSERT_THAT(cache.models, SizeIs(1));
  EXPECT_EQ(cache.models[0].id, "hf-cache:org/name");
  EXPECT_EQ(cache.models[0].path, at("hf/models--org--name/snapshots/c1"));
}

TEST_F(OnDisk, a_lock_is_held_once_and_a_dead_ones_file_is_taken_over) {
  write("models/.locks/m.lock", "999999\n");
  Result<PullLock> first = PullLock::acquire(at("models"), "m");
  ASSERT_TRUE(first);
  const Result<PullLock> second = PullLock::acquire(at("models"), "m");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::busy);
  EXPECT_THAT(second.error().message, HasSubstr(std::to_string(::getpid())));
  EXPECT_TRUE(PullLock::acquire(at("models"), "other"));
}

TEST_F(OnDisk, staging_replaces_only_what_was_pulled) {
  const ModelRecord record{"a:1b", "pypi:a", "", "", {{"m.gguf", 4, ""}}};
  write("models/mine/notes.txt", "do not lose me");
  {
    Result<Staging> staging = Staging::open(at("models"), "mine", "hf");
    ASSERT_TRUE(staging);
    write("models/.partial/mine.hf/m.gguf", "GGUF");
    EXPECT_EQ(staging->install(record).error().code, ErrorCode::refused);
  }
  EXPECT_TRUE(fs::exists(at("models/mine/notes.txt")));
  pulled("a-1b", "a:1b", "pypi:a");
  Result<Staging> staging = Staging::open(at("models"), "a-1b", "pypi");
  ASSERT_TRUE(staging);
  write("models/.partial/a-1b.pypi/m.gguf", "GGUF");
  write("models/.partial/a-1b.pypi/leftover.part", "x");
  write("models/.partial/a-1b.hf/m.gguf.part", "x");
  const Result<std::string> directory = staging->install(record);
  ASSERT_TRUE(directory);
  EXPECT_EQ(fs::file_size(*directory + "/m.gguf"), 4U);
  EXPECT_FALSE(fs::exists(*directory + "/leftover.part"));
  EXPECT_FALSE(fs::exists(at("models/.partial/a-1b.hf")));
}

TEST(SplitName, is_read_strictly) {
  EXPECT_EQ(parse_split_name("m-00002-of-00005.gguf").index, 2U);
  EXPECT_EQ(parse_split_name("m-00002-of-00005.gguf").stem, "m");
  for (const char* name : {"m.gguf", "m-00006-of-00005.gguf", "m-00000-of-00005.gguf",
                           "-00001-of-00002.gguf", "m-1-of-2.gguf", "m-00001-of-99999.gguf", ""}) {
    EXPECT_EQ(parse_split_name(name).count, 0U) << name;
  }
}

}  // namespace
}  // namespace squish::hub
