#include "hub/config.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include <unistd.h>

#include "base/file.h"
#include "hub/paths.h"

namespace squish::hub {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class ConfigFile : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("squish-config-" + std::to_string(::getpid()));
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    path_ = (directory_ / "config.json").string();
  }
  void TearDown() override { fs::remove_all(directory_); }
  void write(std::string_view text) { std::ofstream(path_) << text; }
  fs::path directory_;
  std::string path_;
};

TEST_F(ConfigFile, that_is_missing_gives_the_defaults_in_silence) {
  const Config config = Config::load(path_);
  EXPECT_EQ(config.warning(), "");
  EXPECT_EQ(config.integer("port"), 11435);
  EXPECT_EQ(config.text("host"), "127.0.0.1");
  EXPECT_EQ(config.boolean("auto_compress"), true);
  EXPECT_EQ(config.text("signal.socket"), "127.0.0.1:7583");
  EXPECT_EQ(config.get("default_model"), std::nullopt);
  EXPECT_EQ(config.get("nothing.here"), std::nullopt);
}

TEST_F(ConfigFile, is_merged_deeply_over_the_defaults) {
  write(R"({"port": 8080, "signal": {"account": "me"}, "mine": {"a": [1, 2]}})");
  const Config config = Config::load(path_);
  EXPECT_EQ(config.warning(), "");
  EXPECT_EQ(config.integer("port"), 8080);
  EXPECT_EQ(config.text("signal.account"), "me");
  EXPECT_EQ(config.text("signal.socket"), "127.0.0.1:7583");
  EXPECT_THAT(*config.get("mine.a"), HasSubstr("2"));
}

TEST_F(ConfigFile, that_is_corrupt_warns_and_is_never_overwritten) {
  const std::string deep = std::string(200, '[') + std::string(200, ']');
  for (const std::string text : {"{\"port\": ", "[1, 2]", "\xff\xfe", "", deep.c_str()}) {
    write(text);
    Config config = Config::load(path_);
    EXPECT_THAT(config.warning(), HasSubstr(path_)) << text;
    EXPECT_EQ(config.integer("port"), 11435);
    ASSERT_TRUE(config.set("port", "99"));
    const Status saved = config.save();
    ASSERT_FALSE(saved);
    EXPECT_EQ(saved.error().code, ErrorCode::refused);
    EXPECT_EQ(*read_file(path_, 1 << 20), text);
  }
}

TEST_F(ConfigFile, with_a_value_of_the_wrong_type_keeps_the_default_and_says_which) {
  write(R"({"port": "eighty", "host": "0.0.0.0"})");
  const Config config = Config::load(path_);
  EXPECT_THAT(config.warning(), HasSubstr("port must be an integer from 1 to 65535"));
  EXPECT_EQ(config.integer("port"), 11435);
  EXPECT_EQ(config.text("host"), "0.0.0.0");
}

TEST_F(ConfigFile, set_coerces_saves_and_reads_back) {
  Config config = Config::load(path_);
  ASSERT_TRUE(config.set("default_model", "smollm2:135m"));
  ASSERT_TRUE(config.set("port", "1"));
  ASSERT_TRUE(config.set("api_key", "12345"));
  ASSERT_TRUE(config.set("auto_compress", "no"));
  ASSERT_TRUE(config.set("my.deep.number", "2.5"));
  ASSERT_TRUE(config.set("my.deep.flag", "YES"));
  ASSERT_TRUE(config.save());
  const Config again = Config::load(path_);
  EXPECT_EQ(again.text("default_model"), "smollm2:135m");
  EXPECT_EQ(again.integer("port"), 1);
  EXPECT_EQ(again.text("api_key"), "12345");
  EXPECT_EQ(again.boolean("auto_compress"), false);
  EXPECT_EQ(again.get("my.deep.number"), "2.5");
  EXPECT_EQ(again.boolean("my.deep.flag"), true);
  EXPECT_TRUE(again.show().ends_with("}\n"));
  EXPECT_EQ(fs::status(path_).permissions() & fs::perms::others_read, fs::perms::none);
}

TEST_F(ConfigFile, one_thread_is_a_number_and_not_true) {
  ASSERT_TRUE(Config::change(path_, "threads", "1"));
  ASSERT_TRUE(Config::change(path_, "context", "0"));
  const Config config = Config::load(path_);
  EXPECT_EQ(config.integer("threads"), 1);
  EXPECT_EQ(config.get("context"), "0");
}

TEST_F(ConfigFile, keeps_what_several_change_at_a_time) {
  std::vector<std::thread> people;
  for (int i = 0; i < 16; ++i) {
    people.emplace_back([this, i] {
      EXPECT_TRUE(Config::change(path_, "k" + std::to_string(i), std::to_string(i + 100)));
    });
  }
  for (std::thread& person : people) person.join();
  const Config config = Config::load(path_);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(config.integer("k" + std::to_string(i)), i + 100);
}

TEST_F(ConfigFile, set_refuses_what_a_key_cannot_take) {
  Config config = Config::load(path_);
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"port", "0"},
                                                        {"port", "65536"},
                                                        {"port", "abc"},
                                                        {"auto_compress", "maybe"},
                                                        {"threads", "abc"},
                                                        {"threads", "-5"},
                                                        {"threads", "1025"},
                                                        {"context", "true"},
                                                        {"signal", "x"},
                                                        {"host.name", "x"},
                                                        {"", "x"},
                                                        {"a..b", "x"},
                                                        {std::string(300, 'a'), "x"},
                                                        {"x", "\xff"}}) {
    const Status status = config.set(key, value);
    ASSERT_FALSE(status) << key;
    EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_EQ(config.integer("port"), 11435);
}

Environment variables(std::map<std::string, std::string> values) {
  return Environment([values](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  });
}

TEST(Paths, stand_under_the_home_directory) {
  const Result<Paths> paths = resolve_paths(variables({{"HOME", "/nobody/"}}));
  ASSERT_TRUE(paths);
  EXPECT_EQ(paths->home, "/nobody/.squish");
  EXPECT_EQ(paths->models, "/nobody/.squish/models");
  EXPECT_EQ(paths->config_file, "/nobody/.squish/config.json");
  EXPECT_EQ(paths->cache, "/nobody/.cache/squish");
}

TEST(Paths, follow_the_variables) {
  const Result<Paths> paths = resolve_paths(variables({{"HOME", "/u"},
                                                       {"SQUISH_HOME", "~/s"},
                                                       {"SQUISH_CONFIG_DIR", "/etc/squish"},
                                                       {"SQUISH_CACHE_DIR", "/big/models/"},
                                                       {"XDG_CACHE_HOME", "/x"}}));
  ASSERT_TRUE(paths);
  EXPECT_EQ(paths->home, "/u/s");
  EXPECT_EQ(paths->config_file, "/etc/squish/config.json");
  EXPECT_EQ(paths->models, "/big/models");
  EXPECT_EQ(paths->cache, "/u/s/cache");
  EXPECT_EQ(
      resolve_paths(
          variables({{"HOME", "/u"}, {"SQUISH_MODELS_DIR", "/m"}, {"SQUISH_CACHE_DIR", "/n"}}))
          ->models,
      "/m");
  EXPECT_EQ(resolve_paths(variables({{"HOME", "/u"}, {"XDG_CACHE_HOME", "/x"}}))->cache,
            "/x/squish");
  EXPECT_EQ(resolve_paths(variables({{"HOME", "/u"}, {"XDG_CACHE_HOME", "relative"}}))->cache,
            "/u/.cache/squish");
  EXPECT_EQ(resolve_paths(variables({{"HOME", "/u"}, {"SQUISH_HOME", ""}}))->home, "/u/.squish");
}

TEST(Environment, reads_flags_as_people_write_them) {
  for (const char* off : {"", "0", "false", "No", " 0 "})
    EXPECT_FALSE(variables({{"X", off}}).flag("X")) << off;
  for (const char* on : {"1", "true", "yes", "anything"})
    EXPECT_TRUE(variables({{"X", on}}).flag("X")) << on;
  EXPECT_FALSE(variables({}).flag("X"));
}

}  // namespace
}  // namespace squish::hub
