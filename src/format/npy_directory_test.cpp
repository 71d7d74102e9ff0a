#include "format/npy_directory.h"

#include <filesystem>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/testing/temporary_directory.h"

namespace squish {
namespace {

using ::testing::HasSubstr;

/// A directory of one tensor "a.weight", whose parts a test adds.
class Built {
 public:
  Built() { SQ_CHECK(make_directories(directory_.file("m/tensors")).has_value()); }

  template <class T>
  Built& add(std::string_view suffix, NpyType type, std::vector<uint64_t> dims,
             std::vector<T> values, int zstd = 0) {
    Shape shape;
    for (const uint64_t dim : dims) shape.dims[shape.rank++] = dim;
    SQ_CHECK(values.size() == shape.elements());
    const std::string_view bytes(reinterpret_cast<const char*>(values.data()),
                                 values.size() * sizeof(T));
    SQ_CHECK(write_npy(file(suffix), type, shape, as_bytes(bytes), zstd).has_value());
    return *this;
  }
  Built& shape(std::vector<int64_t> dims) {
    const uint64_t rank = dims.size();
    return add<int64_t>("__shape", NpyType::i64, {rank}, std::move(dims));
  }
  [[nodiscard]] std::string path() const { return directory_.file("m"); }
  [[nodiscard]] std::string file(std::string_view suffix) const {
    return fmt::format("{}/tensors/a__weight{}.npy", path(), suffix);
  }
  Result<NpyTensor> load() {
    const std::pair<std::string, std::string> entry = {"a.weight", npy_key("a.weight")};
    SQ_CHECK(finish_npy_directory(path(), {&entry, 1}).has_value());
    SQ_TRY(const NpyDirectory opened, NpyDirectory::open(path()));
    return opened.load(opened.entries()[0]);
  }
  std::string error() {
    const auto loaded = load();
    return loaded.has_value() ? "accepted" : loaded.error().message;
  }
  std::vector<float> row(uint64_t index) {
    const auto tensor = load();
    SQ_CHECK(tensor.has_value());
    std::vector<float> out(tensor->columns());
    tensor->decode_row(index, out.data());
    return out;
  }

 private:
  testing::TemporaryDirectory directory_;
};

using Floats = std::vector<float>;

TEST(NpyDirectory, reads_int4_with_scale_and_offset) {
  Built built;
  built.add<uint8_t>("__q4a", NpyType::u8, {2, 2}, {0x10, 0x32, 0xf0, 0x0f})
      .add<float>("__s4a", NpyType::f32, {2, 2}, {1, 2, 3, 4})
      .add<float>("__z4a", NpyType::f32, {2, 2}, {-1, 0, 0, 10})
      .shape({2, 4});
  EXPECT_EQ(built.row(0), (Floats{-1, 0, 4, 6}));
  EXPECT_EQ(built.row(1), (Floats{0, 45, 70, 10}));
  EXPECT_EQ(built.load()->group(), 2U);
}

TEST(NpyDirectory, reads_both_older_kinds_of_int4) {
  Built symmetric;
  symmetric.add<uint8_t>("__q4", NpyType::u8, {1, 1}, {0xe0})
      .add<float>("__s4", NpyType::f32, {1, 1}, {2});
  EXPECT_EQ(symmetric.row(0), (Floats{-14, 14}));
  symmetric.add<float>("__z4", NpyType::f32, {1, 1}, {1});
  EXPECT_EQ(symmetric.row(0), (Floats{1, 29}));
}

TEST(NpyDirectory, reads_int8_with_a_scale_a_row_or_a_group) {
  Built built;
  built.add<int8_t>("__q", NpyType::i8, {2, 2}, {-127, 1, 2, 127})
      .add<float>("__s", NpyType::f32, {2}, {0.5F, 2});
  EXPECT_EQ(built.row(1), (Floats{4, 254}));
  built.add<float>("__s", NpyType::f32, {2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(built.row(0), (Floats{-127, 2}));
}

TEST(NpyDirectory, reads_int3_and_plain_tensors_also_compressed) {
  Built built;
  built.add<uint8_t>("__q3", NpyType::u8, {1, 4}, {0, 1, 7, 3}, 5)
      .add<float>("__s3", NpyType::f32, {1, 2}, {2, 1}, 5)
      .add<float>("__z3", NpyType::f32, {1, 2}, {-1, 0}, 5);
  EXPECT_EQ(built.row(0), (Floats{-1, 1, 7, 3}));
  Built plain;
  plain.add<uint16_t>("__pt", NpyType::f16, {3}, {0x3c00, 0xc000, 0}).shape({3});
  EXPECT_EQ(plain.row(0), (Floats{1, -2, 0}));
  Built wide;
  wide.add<float>("__pt", NpyType::f32, {2, 1}, {1.5F, 2.5F});
  EXPECT_EQ(wide.row(1), (Floats{2.5F}));
}

TEST(NpyDirectory, looks_for_kinds_in_the_order_of_the_format) {
  Built built;
  built.add<uint16_t>("__pt", NpyType::f16, {1, 2}, {0x3c00, 0x3c00})
      .add<int8_t>("__q", NpyType::i8, {1, 2}, {1, 2})
      .add<float>("__s", NpyType::f32, {1}, {1});
  EXPECT_EQ(built.load()->kind(), NpyKind::int8);
  built.add<uint8_t>("__q4a", NpyType::u8, {1, 1}, {0x21})
      .add<float>("__s4a", NpyType::f32, {1, 1}, {1})
      .add<float>("__z4a", NpyType::f32, {1, 1}, {0});
  EXPECT_EQ(built.load()->kind(), NpyKind::int4);
}

TEST(NpyDirectory, names_the_part_that_is_missing) {
  Built codes_only;
  codes_only.add<uint8_t>("__q4a", NpyType::u8, {1, 1}, {0});
  EXPECT_THAT(codes_only.error(), HasSubstr("__s4a.npy is missing"));
  Built nothing;
  EXPECT_THAT(nothing.error(), HasSubstr("no file in tensors/ holds its data"));
  Built header_only;
  header_only.add<double>("__sqint2_meta", NpyType::f64, {1}, {1});
  EXPECT_THAT(header_only.error(), HasSubstr("__sqint2_idx.npy is missing"));
}

TEST(NpyDirectory, takes_corrections_of_sqint2_whole_or_not_at_all) {
  for (const std::string_view lonely :
       {"__sqint2_L", "__sqint2_R", "__sqint2_srows", "__sqint2_scols", "__sqint2_svals"}) {
    Built built;
    for (const std::string_view part :
         {"__sqint2_idx", "__sqint2_scales", "__sqint2_zp", "__sqint2_meta"}) {
      built.add<double>(part, NpyType::f64, {16}, std::vector<double>(16, 4));
    }
    EXPECT_TRUE(built.load().has_value());
    built.add<float>(lonely, NpyType::f32, {1}, {1});
    EXPECT_THAT(built.error(), HasSubstr("missing; its companions are there")) << lonely;
  }
}

TEST(NpyDirectory, refuses_what_it_cannot_or_must_not_read) {
  for (const auto& [suffix, expected] : {std::pair<std::string, std::string>{"__aqlm_idx", "AQLM"},
                                         {"__nf4", "NF4"},
                                         {"__quip_e8", "QuIP#"},
                                         {"__vq_idx", "vector quantisation"},
                                         {"__lra", "MiLo"}}) {
    Built built;
    built.add<float>(suffix, NpyType::f32, {1}, {0});
    EXPECT_THAT(built.error(), HasSubstr(expected));
    EXPECT_EQ(built.load().error().code, ErrorCode::unsupported);
  }
  Built naive;
  naive.add<uint8_t>("__q2", NpyType::u8, {1}, {0});
  EXPECT_EQ(naive.load().error().code, ErrorCode::refused);
  EXPECT_THAT(naive.error(), HasSubstr("use sq2"));
}

TEST(NpyDirectory, refuses_arrays_that_do_not_fit_each_other) {
  const auto base = [](Built& built) -> Built& {
    return built.add<uint8_t>("__q4a", NpyType::u8, {2, 2}, {0, 0, 0, 0})
        .add<float>("__s4a", NpyType::f32, {2, 2}, {1, 1, 1, 1})
        .add<float>("__z4a", NpyType::f32, {2, 2}, {0, 0, 0, 0})
        .shape({2, 4});
  };
  const auto error = [&](auto change) {
    Built built;
    change(base(built));
    return built.error();
  };
  EXPECT_EQ(error([](Built&) {}), "accepted");
  EXPECT_THAT(error([](Built& b) { b.shape({2, 6}); }), HasSubstr("expected u8 of [2, 3]"));
  EXPECT_THAT(error([](Built& b) { b.shape({4, 1}); }), HasSubstr("no whole bytes"));
  EXPECT_THAT(error([](Built& b) { b.shape({2, -4}); }), HasSubstr("its shape is"));
  EXPECT_THAT(error([](Built& b) { b.shape({0, 4}); }), HasSubstr("its shape is"));
  EXPECT_THAT(error([](Built& b) { b.shape({1 << 24, 1 << 24, 1 << 24}); }),
              HasSubstr("its shape is"));
  EXPECT_THAT(error([](Built& b) { b.add<float>("__shape", NpyType::f32, {1}, {1}); }),
              HasSubstr("__shape is not"));
  EXPECT_THAT(error([](Built& b) { b.add<float>("__s4a", NpyType::f32, {2, 3}, Floats(6, 1)); }),
              HasSubstr("do not divide"));
  EXPECT_THAT(error([](Built& b) { b.add<float>("__z4a", NpyType::f32, {2, 1}, {1, 1}); }),
              HasSubstr("__z4a is f32 of [2, 1], expected f32 of [2, 2]"));
  EXPECT_THAT(error([](Built& b) { b.add<double>("__s4a", NpyType::f64, {2, 2}, {1, 1, 1, 1}); }),
              HasSubstr("expected f32"));
  EXPECT_THAT(error([](Built& b) { b.add<int8_t>("__q4a", NpyType::i8, {2, 2}, {0, 0, 0, 0}); }),
              HasSubstr("expected u8"));
}

TEST(NpyDirectory, refuses_manifests_that_lead_elsewhere_or_are_unfinished) {
  const testing::TemporaryDirectory directory;
  ASSERT_TRUE(make_directories(directory.file("tensors")).has_value());
  const auto error = [&](std::string_view manifest) {
    directory.write("manifest.json", manifest);
    const auto opened = NpyDirectory::open(directory.path());
    return opened.has_value() ? std::string("accepted") : opened.error().message;
  };
  EXPECT_THAT(error(R"({"a": "b"})"), HasSubstr(".manifest_ready is missing"));
  directory.write("tensors/.manifest_ready", "");
  EXPECT_THAT(error("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error("{}"), HasSubstr("lists 0 tensors"));
  EXPECT_THAT(error(R"({"a": 5})"), HasSubstr("expected"));
  EXPECT_THAT(error(R"({"a": "../../etc/passwd"})"), HasSubstr("is no file name"));
  EXPECT_THAT(error(R"({"a": ""})"), HasSubstr("is no file name"));
  EXPECT_THAT(error(R"({"a": ".hidden"})"), HasSubstr("is no file name"));
  EXPECT_THAT(error(R"({"a": "x", "b": "x"})"), HasSubstr("no file in tensors/"));
  directory.write("tensors/x__pt.npy", npy_header(NpyType::f16, {{0, 1, 1, 1}, 1}));
  EXPECT_THAT(error(R"({"a": "x", "b": "x"})"), HasSubstr("twice"));
  EXPECT_FALSE(NpyDirectory::open(directory.file("nowhere")).has_value());
  EXPECT_FALSE(NpyDirectory::is_one(directory.file("nowhere")));
  EXPECT_TRUE(NpyDirectory::is_one(directory.path()));
}

TEST(NpyDirectory, identity_follows_its_files) {
  Built built;
  built.add<float>("__pt", NpyType::f32, {1}, {1});
  ASSERT_TRUE(built.load().has_value());
  const uint64_t before = NpyDirectory::open(built.path())->identity();
  EXPECT_EQ(NpyDirectory::open(built.path())->identity(), before);
  built.add<float>("__pt", NpyType::f32, {2}, {1, 2});
  EXPECT_NE(NpyDirectory::open(built.path())->identity(), before);
}

}  // namespace
}  // namespace squish
