#include "base/sha256.h"

#include <string>

#include "check.h"

namespace {

std::string digest_of(const std::string &text) {
  return esr::sha256(reinterpret_cast<const std::uint8_t *>(text.data()), text.size());
}

}  // namespace

// Examples of FIPS 180-2, appendix B, and of the NIST test vectors.
TEST(published_digests) {
  CHECK_EQ(digest_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK_EQ(digest_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK_EQ(digest_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
           "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK_EQ(digest_of(std::string(1000000, 'a')),
           "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Around the border at which the length no longer fits into the last block.
TEST(lengths_around_a_block) {
  CHECK_EQ(digest_of(std::string(55, 'a')),
           "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
  CHECK_EQ(digest_of(std::string(56, 'a')),
           "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
  CHECK_EQ(digest_of(std::string(63, 'a')),
           "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34");
  CHECK_EQ(digest_of(std::string(64, 'a')),
           "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
  CHECK_EQ(digest_of(std::string(65, 'a')),
           "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0");
}

CHECK_MAIN()
