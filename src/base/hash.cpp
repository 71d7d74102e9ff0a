#include "base/hash.h"

#include <array>

#include <openssl/evp.h>
#include <xxhash.h>

#include "base/check.h"

namespace squish {

struct Sha256::State {
  EVP_MD_CTX* context = nullptr;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  state_->context = EVP_MD_CTX_new();
  SQ_CHECK(state_->context != nullptr);
  SQ_CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() {
  if (state_) EVP_MD_CTX_free(state_->context);
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

void Sha256::update(Bytes bytes) {
  SQ_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
  std::array<unsigned char, 32> digest = {};
  unsigned int size = 0;
  SQ_CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), &size) == 1 && size == digest.size());
  constexpr const char* kHex = "0123456789abcdef";
  std::string out;
  for (const unsigned char byte : digest) {
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

struct StreamHash64::State {
  XXH3_state_t* xxh = nullptr;
};

StreamHash64::StreamHash64() : state_(std::make_unique<State>()) {
  state_->xxh = XXH3_createState();
  SQ_CHECK(state_->xxh != nullptr);
  SQ_CHECK(XXH3_64bits_reset(state_->xxh) == XXH_OK);
}
StreamHash64::~StreamHash64() { XXH3_freeState(state_->xxh); }

void StreamHash64::update(Bytes bytes) {
  SQ_CHECK(XXH3_64bits_update(state_->xxh, bytes.data(), bytes.size()) == XXH_OK);
}

uint64_t StreamHash64::finish() const { return XXH3_64bits_digest(state_->xxh); }

uint64_t hash64(Bytes bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::string to_base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // OpenSSL ends with a zero
  const int length = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                       reinterpret_cast<const unsigned char*>(bytes.data()),
                                       static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(length));
  return out;
}

}  // namespace squish
