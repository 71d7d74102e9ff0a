#include "compress/room.h"

#include <limits>

namespace squish::compress {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kGB = 1'000'000'000;

const FormatRow& format(std::string_view name) { return **find_format(name); }

TEST(Room, a_model_whose_double_and_2_gb_fit_into_memory_is_read_as_a_whole) {
  const Room room = room_for({15 * kGB, 0}, format("int4"), 32 * kGB);
  EXPECT_EQ(room.reading, Reading::whole);
  EXPECT_EQ(room.peak_bytes, 32 * kGB);
  EXPECT_EQ(room.source_bytes, 15 * kGB);
  EXPECT_EQ(room.unpacked_bytes, 0);
}

TEST(Room, one_byte_more_is_read_layer_by_layer) {
  EXPECT_EQ(room_for({15 * kGB + 1, 0}, format("int4"), 32 * kGB).reading, Reading::by_layers);
  EXPECT_EQ(room_for({0, 0}, format("int4"), kGB).reading, Reading::by_layers);
}

TEST(Room, the_result_follows_from_the_bits_of_the_format) {
  EXPECT_NEAR(static_cast<double>(room_for({16 * kGB, 0}, format("int4"), 0).result_bytes), 5e9, 2);
  EXPECT_NEAR(static_cast<double>(room_for({16 * kGB, 0}, format("int8"), 0).result_bytes), 8.5e9,
              2);
}

TEST(Room, packed_weights_count_as_what_they_are_unpacked_to) {
  const Room room = room_for({4 * kGB, 4}, format("int4"), 20 * kGB);
  EXPECT_NEAR(static_cast<double>(room.source_bytes), 16e9, 2);
  EXPECT_EQ(room.unpacked_bytes, room.source_bytes);
  EXPECT_EQ(room.reading, Reading::by_layers);
  EXPECT_NEAR(static_cast<double>(room.result_bytes), 5e9, 4);
}

TEST(Room, absurd_sizes_do_not_wrap_around) {
  const uint64_t most = std::numeric_limits<uint64_t>::max();
  const Room room = room_for({most, 1}, format("int8"), most - 1);
  EXPECT_EQ(room.reading, Reading::by_layers);
  EXPECT_EQ(room.peak_bytes, most);
  const std::string here = ::testing::TempDir();
  EXPECT_FALSE(check_disk({here, most, here, most}));
}

TEST(Room, source_and_result_on_one_disk_are_counted_together) {
  const std::string here = ::testing::TempDir();
  EXPECT_TRUE(check_disk({here, 1, here + "/not/there/yet", 1}));
  const Status full = check_disk({here, uint64_t{1} << 60, here + "/not/there/yet", 1});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::io);
  EXPECT_THAT(full.error().message, HasSubstr("source and result take 1152922 TB"));
}

}  // namespace
}  // namespace squish::compress
