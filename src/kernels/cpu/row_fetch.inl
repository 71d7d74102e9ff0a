// What comes from memory while what is here is multiplied.

namespace {

/// Brings the rows after those at work into L2, some lines at a time, from [next, end).
struct RowFetch {
  const uint8_t* next;
  const uint8_t* end;
  size_t lines;

  void some() {
    for (size_t i = 0; i < lines && next < end; ++i, next += 64) __builtin_prefetch(next, 0, 2);
  }
};

/// `bytes` from `next` on, all of them in `times` times.
inline RowFetch fetch_rows(const uint8_t* next, size_t bytes, size_t times) {
  return {next, next + bytes, (bytes / 64 + times - 1) / times};
}

}  // namespace
