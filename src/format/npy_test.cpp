#include "format/npy.h"

#include <cstring>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "format/testing/temporary_directory.h"

namespace squish {
namespace {

using ::testing::HasSubstr;

/// A file of version `major` with this header text and data.
std::string file_of(const std::string& header, const std::string& data, int major = 1) {
  std::string out = "\x93NUMPY";
  out += static_cast<char>(major);
  out += '\0';
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i) {
    out += static_cast<char>((header.size() >> (8 * i)) & 0xff);
  }
  return out + header + data;
}
std::string good_header() { return "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"; }

Error error_of(const std::string& bytes) {
  const auto view = parse_npy(as_bytes(bytes), "x.npy");
  return view.has_value() ? Error{ErrorCode::internal, "accepted"} : view.error();
}

TEST(Npy, reads_every_version_and_spelling_of_the_header) {
  const std::string data(24, 'x');
  for (const int major : {1, 2, 3}) {
    const std::string bytes = file_of(good_header(), data, major);
    const auto view = parse_npy(as_bytes(bytes), "x.npy");
    ASSERT_TRUE(view.has_value()) << view.error().message;
    EXPECT_EQ(view->type, NpyType::f32);
    EXPECT_EQ(to_string(view->shape), "[2, 3]");
    EXPECT_EQ(as_text(view->data), data);
  }
  for (const char* header : {"{'shape':(6,),'fortran_order':False,'descr':'<f4'}",
                             "{ \"descr\" : \"<f4\", 'shape': (3, 2,), 'fortran_order': False } \n",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 1, 3)}"}) {
    const std::string bytes = file_of(header, data);
    EXPECT_TRUE(parse_npy(as_bytes(bytes), "x.npy").has_value()) << header;
  }
}

TEST(Npy, reads_scalars_and_empty_arrays) {
  const std::string scalar =
      file_of("{'descr': '<f8', 'fortran_order': False, 'shape': ()}", std::string(8, '\0'));
  EXPECT_EQ(parse_npy(as_bytes(scalar), "x")->shape.rank, 0U);
  const std::string empty =
      file_of("{'descr': '|u1', 'fortran_order': False, 'shape': (0, 7)}", "");
  EXPECT_EQ(parse_npy(as_bytes(empty), "x")->data.size(), 0U);
}

TEST(Npy, comes_back_from_a_file_plain_and_compressed) {
  const testing::TemporaryDirectory directory;
  for (const NpyType type : {NpyType::u8, NpyType::i8, NpyType::i32, NpyType::i64, NpyType::f16,
                             NpyType::f32, NpyType::f64}) {
    for (const int level : {0, 3, 99}) {
      const Shape shape = {{5, 41, 1, 1}, 2};
      std::string data;
      for (size_t i = 0; i < shape.elements() * npy_type_info(type).bytes; ++i) {
        data += static_cast<char>(i * 7);
      }
      const std::string path = directory.file("a.npy");
      ASSERT_TRUE(write_npy(path, type, shape, as_bytes(data), level).has_value());
      const auto file = NpyFile::open(level == 0 ? path : path + ".zst");
      ASSERT_TRUE(file.has_value()) << file.error().message;
      EXPECT_EQ(file->view().type, type);
      EXPECT_EQ(file->view().shape, shape);
      EXPECT_EQ(as_text(file->view().data), data);
    }
  }
}

TEST(Npy, aligns_its_data_as_numpy_does) {
  for (uint32_t rank = 0; rank <= 4; ++rank) {
    EXPECT_EQ(npy_header(NpyType::f32, {{123456, 1, 1, 1}, rank}).size() % 64, 0U);
  }
}

TEST(Npy, refuses_hostile_files_by_one_line) {
  const std::string data(24, 'x');
  const auto with = [&](const std::string& header) { return file_of(header, data); };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "no .npy file"},
      {"PK\x03\x04 and so on", "no .npy file"},
      {"\x93NUMPY", "ends inside its header"},
      {file_of(good_header(), data).substr(0, 40), "ends inside its header"},
      {file_of(good_header(), data, 4), "version 4.0"},
      {file_of(good_header(), data.substr(1)), "take 24 bytes, the file holds 23"},
      {file_of(good_header(), data + "y"), "the file holds 25"},
      {file_of(std::string(70'000, ' '), data, 2), "the limit is 65536"},
      {with(""), "has no '{'"},
      {with("{}"), "lacks one of"},
      {with("{'descr': '<f4', 'shape': (2, 3)}"), "lacks one of"},
      {with(good_header() + "import os"), "text after"},
      {with("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3)}"), "element type '>f4'"},
      {with("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}"), "element type '|O'"},
      {with("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}"), "no string"},
      {with("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}"), "Fortran order"},
      {with("{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}"), "another fortran_order"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}"), "no number"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}"), "has no ','"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,6)}"), "more than 4"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3"), "has no ','"},
      {with("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}"), "twice"},
      {with("{'x': '<f4'}"), "for nothing"},
      {with("{'descr': '<f4"), "without end"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 4)}"),
       "too many bytes"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}"),
       "no number"}};
  for (const auto& [bytes, expected] : cases) {
    const Error error = error_of(bytes);
    EXPECT_THAT(error.message, HasSubstr(expected));
    EXPECT_EQ(error.message.find('\n'), std::string::npos);
  }
}

TEST(Npy, refuses_damaged_and_boundless_zstd_data) {
  const testing::TemporaryDirectory directory;
  const std::string zeros(1 << 20, '\0');
  const std::string path = directory.file("a.npy");
  ASSERT_TRUE(
      write_npy(path, NpyType::u8, {{zeros.size(), 1, 1, 1}, 1}, as_bytes(zeros), 3).has_value());
  const std::string packed = *read_file(path + ".zst", 1 << 20);
  EXPECT_LT(packed.size(), 1000U);
  EXPECT_THAT(unpack_zstd(as_bytes(packed), 1 << 19, "x").error().message,
              HasSubstr("unpacks to more than 524 kB"));
  EXPECT_THAT(
      unpack_zstd(as_bytes(packed.substr(0, packed.size() - 3)), 1 << 21, "x").error().message,
      HasSubstr("ends early"));
  std::string wrong = packed;
  wrong[0] = 'x';
  EXPECT_THAT(unpack_zstd(as_bytes(wrong), 1 << 21, "x").error().message, HasSubstr("damaged"));
  EXPECT_THAT(unpack_zstd({}, 1 << 21, "x").error().message, HasSubstr("ends early"));
}

}  // namespace
}  // namespace squish
