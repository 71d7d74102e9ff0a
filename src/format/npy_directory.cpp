#include "format/npy_directory.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <set>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/strings.h"
#include "format/checked.h"
#include "format/json_config.h"
#include "format/json_edit.h"
#include "format/quality_gates.h"
#include "tensor/half.h"

namespace squish {
namespace {

constexpr size_t kFilesMax = 2'000'000;
constexpr size_t kKeyBytesMax = 200;  // a file name may have 255

/// One row is one kind: what must be there, and what may be there only as a whole.
struct KindRow {
  NpyKind kind;
  std::string_view name;
  std::vector<std::string_view> required;  // the first one tells the kind
  std::vector<std::vector<std::string_view>> optional;
};
const std::vector<KindRow>& kinds() {
  static const std::vector<KindRow> table = {
      {NpyKind::int4, "int4", {"__q4a", "__s4a", "__z4a"}, {}},
      {NpyKind::int4_old, "int4", {"__q4", "__s4"}, {{"__z4"}}},
      {NpyKind::int8, "int8", {"__q", "__s"}, {}},
      {NpyKind::int3, "int3", {"__q3", "__s3", "__z3"}, {}},
      {NpyKind::sqint2,
       "sqint2",
       {"__sqint2_idx", "__sqint2_scales", "__sqint2_zp", "__sqint2_meta"},
       {{"__sqint2_L", "__sqint2_R"}, {"__sqint2_srows", "__sqint2_scols", "__sqint2_svals"}}},
      {NpyKind::plain, "fp16", {"__pt"}, {}},
  };
  return table;
}
const KindRow& row_of(NpyKind kind) { return kinds()[static_cast<size_t>(kind)]; }

struct ForeignKind {
  std::string_view suffix;
  std::string_view name;
};
constexpr std::array kForeign = {
    ForeignKind{"__nf4", "NF4"},       ForeignKind{"__vq_idx", "vector quantisation"},
    ForeignKind{"__quip_e8", "QuIP#"}, ForeignKind{"__aqlm_idx", "AQLM"},
    ForeignKind{"__lra", "MiLo"},      ForeignKind{"__lrb", "MiLo"}};

Error bad(const std::string& name, std::string_view what) {
  return {ErrorCode::bad_file, fmt::format("tensor {}: {}", printable(name, 200), what)};
}

template <class T>
T element(const NpyView& view, uint64_t index) {
  T value;
  std::memcpy(&value, view.data.data() + index * sizeof(T), sizeof(T));
  return value;
}

bool is_file_name(std::string_view key) {
  return !key.empty() && key.size() <= kKeyBytesMax && key.front() != '.' &&
         std::ranges::all_of(key, [](char c) {
           return c != '/' && c != '\\' && static_cast<unsigned char>(c) >= 32;
         });
}

}  // namespace

std::string_view name_of(NpyKind kind) { return row_of(kind).name; }

std::string npy_key(std::string_view tensor_name) {
  return replace_all(std::string(tensor_name), ".", "__");
}

// --- one tensor

const NpyView* NpyTensor::part(std::string_view suffix) const {
  const auto found = parts_.find(suffix);
  return found == parts_.end() ? nullptr : &found->second.view();
}

Status NpyTensor::read_shape(const std::string& name) {
  const NpyView* given = part("__shape");
  if (given == nullptr) {
    // Without it the codes tell, but for the packed kinds, whose own headers do.
    const NpyView& first = *part(row_of(kind_).required[0]);
    shape_ = first.shape;
    if (kind_ == NpyKind::int4 || kind_ == NpyKind::int4_old) {
      if (shape_.rank > 0) shape_.dims[shape_.rank - 1] *= 2;
    }
    if (kind_ == NpyKind::sqint2) {
      const NpyView& meta = *part("__sqint2_meta");
      if (meta.type != NpyType::f64 || meta.shape.rank != 1 || meta.shape[0] != 16) {
        return bad(name, "__sqint2_meta is not 16 numbers of f64");
      }
      shape_ = {{0, 0, 1, 1}, 2};
      for (size_t i = 0; i < 2; ++i) {
        const auto value = element<double>(meta, 2 - i);
        if (!(value >= 1 && value <= static_cast<double>(limits::kDimensionMax))) {
          return bad(name, "__sqint2_meta has no sensible dimensions");
        }
        shape_.dims[i] = static_cast<uint64_t>(value);
      }
    }
  } else {
    if (given->type != NpyType::i64 || given->shape.rank != 1 || given->shape[0] < 1 ||
        given->shape[0] > limits::kTensorRankMax) {
      return bad(name, "__shape is not 1 to 4 numbers of i64");
    }
    shape_.rank = static_cast<uint32_t>(given->shape[0]);
    for (uint32_t i = 0; i < shape_.rank; ++i) {
      shape_.dims[i] = static_cast<uint64_t>(element<int64_t>(*given, i));
    }
  }
  if (shape_.rank == 0) shape_.rank = 1;
  uint64_t elements = 1;
  for (uint32_t i = 0; i < shape_.rank; ++i) {
    const auto product = checked_multiply(elements, shape_.dims[i]);
    if (shape_.dims[i] == 0 || shape_.dims[i] > limits::kDimensionMax || !product ||
        *product > (uint64_t{1} << 48)) {
      return bad(name, fmt::format("its shape is {}", to_string(shape_)));
    }
    elements = *product;
  }
  return {};
}

Status NpyTensor::check_side(const std::string& name, std::string_view suffix) {
  const NpyView& view = *part(suffix);
  const uint64_t groups = columns() / group_;
  const bool is_row_vector = view.shape.rank == 1 && groups == 1 && view.shape[0] == rows();
  const bool is_matrix = view.shape.rank == 2 && view.shape[0] == rows() && view.shape[1] == groups;
  if (view.type == NpyType::f32 && (is_row_vector || is_matrix)) return {};
  return bad(name,
             fmt::format("{} is {} of {}, expected f32 of [{}, {}]", suffix,
                         npy_type_info(view.type).name, to_string(view.shape), rows(), groups));
}

Status NpyTensor::check_groups(const std::string& name, std::string_view codes,
                               uint64_t code_columns) {
  const NpyType wanted = kind_ == NpyKind::int8 ? NpyType::i8 : NpyType::u8;
  const NpyView& view = *part(codes);
  const bool fits = view.shape.rank >= 1 && view.shape.elements() == rows() * code_columns &&
                    view.shape[view.shape.rank - 1] == code_columns;
  if (view.type != wanted || !fits) {
    return bad(name, fmt::format("{} is {} of {}, expected {} of [{}, {}]", codes,
                                 npy_type_info(view.type).name, to_string(view.shape),
                                 npy_type_info(wanted).name, rows(), code_columns));
  }
  const NpyView& scales = *part(row_of(kind_).required[1]);
  const uint64_t groups = scales.shape.rank == 2 ? scales.shape[1] : 1;
  if (groups == 0 || columns() % groups != 0) {
    return bad(name, fmt::format("{} groups do not divide rows of {}", groups, columns()));
  }
  group_ = columns() / groups;
  for (size_t i = 1; i < row_of(kind_).required.size(); ++i) {
    SQ_TRY_STATUS(check_side(name, row_of(kind_).required[i]));
  }
  return part("__z4") == nullptr ? Status() : check_side(name, "__z4");
}

Status NpyTensor::check(const std::string& name) {
  SQ_TRY_STATUS(read_shape(name));
  const std::string_view first = row_of(kind_).required[0];
  if (kind_ == NpyKind::plain) {
    const NpyView& view = *part(first);
    const bool is_float = view.type == NpyType::f16 || view.type == NpyType::f32;
    if (is_float && view.shape.elements() == shape_.elements()) return {};
    return bad(
        name, fmt::format("__pt is {} of {}, expected f16 or f32 of {}",
                          npy_type_info(view.type).name, to_string(view.shape), to_string(shape_)));
  }
  if (kind_ == NpyKind::sqint2) return {};  // its reader checks against its header
  const bool is_packed = kind_ == NpyKind::int4 || kind_ == NpyKind::int4_old;
  if (is_packed && columns() % 2 != 0) {
    return bad(name, fmt::format("rows of {} are no whole bytes of 4-bit codes", columns()));
  }
  return check_groups(name, first, is_packed ? columns() / 2 : columns());
}

void NpyTensor::decode_row(uint64_t row, float* out) const {
  SQ_CHECK(kind_ != NpyKind::sqint2 && row < rows());
  const uint64_t width = columns();
  const NpyView& codes = *part(row_of(kind_).required[0]);
  if (kind_ == NpyKind::plain) {
    for (uint64_t c = 0; c < width; ++c) {
      const uint64_t at = row * width + c;
      out[c] = codes.type == NpyType::f32 ? element<float>(codes, at)
                                          : float_from_f16(element<uint16_t>(codes, at));
    }
    return;
  }
  const NpyView& scales = *part(row_of(kind_).required[1]);
  const NpyView* offsets = kind_ == NpyKind::int4_old ? part("__z4")
                           : kind_ == NpyKind::int8   ? nullptr
                                                      : part(row_of(kind_).required[2]);
  const bool is_packed = kind_ == NpyKind::int4 || kind_ == NpyKind::int4_old;
  const int middle = kind_ == NpyKind::int4_old && offsets == nullptr ? 7 : 0;
  const auto* bytes = reinterpret_cast<const uint8_t*>(codes.data.data());
  for (uint64_t c = 0; c < width; ++c) {
    const uint64_t at = row * width + c;
    int code = is_packed ? (bytes[at / 2] >> (at % 2 * 4)) & 15 : bytes[at];
    if (kind_ == NpyKind::int8) code = static_cast<int8_t>(bytes[at]);
    const uint64_t group = row * (width / group_) + c / group_;
    out[c] = element<float>(scales, group) * static_cast<float>(code - middle) +
             (offsets == nullptr ? 0.0F : element<float>(*offsets, group));
  }
}

// --- the directory

bool NpyDirectory::is_one(const std::string& path) {
  return file_exists(path + "/" + kNpyManifestName) && is_directory(path + "/" + kNpyTensorsName);
}

Status NpyDirectory::list_files() {
  const std::string directory = path_ + "/" + kNpyTensorsName;
  std::error_code error;
  std::filesystem::directory_iterator iterator(directory, error);
  std::map<std::string, std::string> facts;
  for (const std::filesystem::directory_iterator end; !error && iterator != end;
       iterator.increment(error)) {
    if (files_.size() == kFilesMax) {
      return Error{ErrorCode::bad_file,
                   fmt::format("{}: more than {} files", printable(directory, 512), kFilesMax)};
    }
    const std::string name = iterator->path().filename().string();
    struct stat info = {};
    if (::stat(iterator->path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    facts[name] =
        fmt::format("{}|{}.{:09}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    std::string plain = name;
    if (plain.ends_with(".zst")) plain.resize(plain.size() - 4);
    if (plain.ends_with(".npy")) files_[plain] = name;
  }
  if (error) {
    return Error{ErrorCode::io,
                 fmt::format("{}: cannot list: {}", printable(directory, 512), error.message())};
  }
  if (!facts.contains(kNpyReadyName)) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: {} is missing, so the directory was not finished; make it again",
                             printable(directory, 512), kNpyReadyName)};
  }
  std::string all = path_;
  for (const auto& [name, fact] : facts) all += "|" + name + "|" + fact;
  identity_ = hash64(as_bytes(all));
  return {};
}

Status NpyDirectory::add(std::string_view name, std::string_view key) {
  const auto has = [&](std::string_view suffix) {
    return files_.contains(fmt::format("{}{}.npy", key, suffix));
  };
  if (!is_file_name(key)) {
    return bad(std::string(name), fmt::format("'{}' is no file name", printable(key, 64)));
  }
  for (const ForeignKind& foreign : kForeign) {
    if (!has(foreign.suffix)) continue;
    return Error{ErrorCode::unsupported,
                 fmt::format("tensor {}: stored as {}, which squish does not read; convert the "
                             "original model",
                             printable(name, 200), foreign.name)};
  }
  if (has("__q2")) return check_blocked("", 0, "int2").at(std::string(name));
  Entry entry{std::string(name), std::string(key), NpyKind::plain, {}};
  const auto row = std::ranges::find_if(kinds(), [&](const KindRow& candidate) {
    // A stray part tells the kind as well, so that what is missing can be named.
    return has(candidate.required[0]) ||
           (candidate.kind == NpyKind::sqint2 && (has("__sqint2_meta") || has("__sqint2_scales")));
  });
  if (row == kinds().end()) return bad(entry.name, "no file in tensors/ holds its data");
  entry.kind = row->kind;
  for (const std::string_view suffix : row->required) {
    if (!has(suffix)) return bad(entry.name, fmt::format("{}.npy is missing", suffix));
    entry.suffixes.emplace_back(suffix);
  }
  for (const std::vector<std::string_view>& together : row->optional) {
    const auto there = std::ranges::count_if(together, has);
    if (there == 0) continue;
    for (const std::string_view suffix : together) {
      if (!has(suffix)) {
        return bad(entry.name, fmt::format("{}.npy is missing; its companions are there", suffix));
      }
      entry.suffixes.emplace_back(suffix);
    }
  }
  entries_.push_back(std::move(entry));
  return {};
}

Result<NpyDirectory> NpyDirectory::open(const std::string& path) {
  NpyDirectory out;
  out.path_ = path;
  const std::string manifest_path = path + "/" + kNpyManifestName;
  SQ_TRY(const std::string text, read_file(manifest_path, limits::kManifestBytesMax));
  SQ_TRY(const JsonConfig manifest, JsonConfig::parse(text, printable(manifest_path, 512)));
  SQ_TRY(const auto pairs, manifest.get_string_pairs(""));
  if (pairs.empty() || pairs.size() > limits::kTensorCountMax) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: lists {} tensors, expected 1 to {}", manifest.name(),
                             pairs.size(), limits::kTensorCountMax)};
  }
  SQ_TRY_STATUS(out.list_files());
  std::set<std::string_view> names;
  std::set<std::string_view> keys;
  const std::string where = printable(path, 512);
  for (const auto& [name, key] : pairs) {
    if (name.empty() || name.size() > limits::kTensorNameBytesMax || !names.insert(name).second ||
        !keys.insert(key).second) {
      return bad(std::string(name), "its name or key is empty, too long or there twice").at(where);
    }
    SQ_TRY_STATUS(out.add(name, key).at(where));
  }
  return out;
}

Result<NpyTensor> NpyDirectory::load(const Entry& entry) const {
  NpyTensor tensor;
  tensor.kind_ = entry.kind;
  std::vector<std::string> suffixes = entry.suffixes;
  if (files_.contains(entry.key + "__shape.npy")) suffixes.emplace_back("__shape");
  for (const std::string& suffix : suffixes) {
    const std::string& name = files_.at(entry.key + suffix + ".npy");
    SQ_TRY(NpyFile file, NpyFile::open(fmt::format("{}/{}/{}", path_, kNpyTensorsName, name)));
    tensor.parts_.emplace(suffix, std::move(file));
  }
  SQ_TRY_STATUS(tensor.check(entry.name).at(printable(path_, 512)));
  return tensor;
}

Status finish_npy_directory(const std::string& path,
                            std::span<const std::pair<std::string, std::string>> names_and_keys) {
  std::string text = "{";
  for (const auto& [name, key] : names_and_keys) {
    text += fmt::format("{}\n  {}: {}", text.size() > 1 ? "," : "", json_quoted(name),
                        json_quoted(key));
  }
  text += "\n}\n";
  SQ_TRY_STATUS(write_file_atomic(path + "/" + kNpyManifestName, as_bytes(text)));
  return write_file_atomic(fmt::format("{}/{}/{}", path, kNpyTensorsName, kNpyReadyName), {});
}

}  // namespace squish
