// SPDX-License-Identifier: Apache-2.0
#include "policy/vocabulary.h"

#include <cctype>
#include <utility>

#include "tests/catch.h"
#include "tests/policy/samples.h"

namespace leafgate::policy {
namespace {

const std::string kDigits = "00ff102030405060708090a0b0c0d0e0f0112233445566778899aabbccddeeff";

std::string upper(std::string text) {
  for (char& c : text)
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string with_colons(const std::string& digits) {
  std::string text;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    if (i > 0) text += ':';
    text += digits.substr(i, 2);
  }
  return text;
}

TEST_CASE("a fingerprint keeps its 64 digits there and back", "[policy][vocabulary]") {
  const auto parsed = parse_stored_fingerprint(kDigits);

  REQUIRE(parsed);
  CHECK(parsed->bytes[0] == 0x00);
  CHECK(parsed->bytes[1] == 0xFF);
  CHECK(parsed->bytes[31] == 0xFF);
  CHECK(to_hex(*parsed) == kDigits);
}

TEST_CASE("people may paste a fingerprint in either case, with or without colons",
          "[policy][vocabulary]") {
  const auto expected = parse_stored_fingerprint(kDigits);

  CHECK(parse_fingerprint(kDigits) == expected);
  CHECK(parse_fingerprint(upper(kDigits)) == expected);
  CHECK(parse_fingerprint(with_colons(kDigits)) == expected);
  CHECK(parse_fingerprint(upper(with_colons(kDigits))) == expected);
}

TEST_CASE("only one spelling of a fingerprint names a stored key", "[policy][vocabulary]") {
  CHECK_FALSE(parse_stored_fingerprint(upper(kDigits)));
  CHECK_FALSE(parse_stored_fingerprint(with_colons(kDigits)));
  CHECK_FALSE(parse_stored_fingerprint(kDigits + "0"));
  CHECK_FALSE(parse_stored_fingerprint(kDigits.substr(1)));
  CHECK_FALSE(parse_stored_fingerprint(""));
}

TEST_CASE("text that is not a fingerprint is none", "[policy][vocabulary]") {
  auto colon_moved = with_colons(kDigits);
  std::swap(colon_moved[2], colon_moved[3]);
  auto not_hex = kDigits;
  not_hex[10] = 'g';
  auto with_nul = kDigits;
  with_nul[63] = '\0';

  CHECK_FALSE(parse_fingerprint(colon_moved));
  CHECK_FALSE(parse_fingerprint(not_hex));
  CHECK_FALSE(parse_fingerprint(with_nul));
  CHECK_FALSE(parse_fingerprint(" " + kDigits));
  CHECK_FALSE(parse_fingerprint(with_colons(kDigits) + ":"));
}

TEST_CASE("the stored state words are read back, and no other word is a state",
          "[policy][vocabulary]") {
  for (const auto state : {CertState::kPending, CertState::kActive, CertState::kInactive,
                           CertState::kRetiring, CertState::kRetired, CertState::kRevoked}) {
    CHECK(parse_cert_state(to_string(state)) == state);
  }

  CHECK(to_string(CertState::kRetiring) == "retiring");
  CHECK(to_string(CertState::kMalformed) == "malformed");
  for (const auto* word : {"", "malformed", "Active", "active ", "activ", "actives"}) {
    CHECK_FALSE(parse_cert_state(word));
  }
}

TEST_CASE("of two blocks the one that refuses more counts", "[policy][vocabulary]") {
  const std::optional<Block> none;
  const std::optional<Block> all = Block{};
  const std::optional<Block> early = Block{.before = at(1000s)};
  const std::optional<Block> late = Block{.before = at(2000s)};

  CHECK(stricter(none, none) == none);
  CHECK(stricter(none, early) == early);
  CHECK(stricter(early, none) == early);
  CHECK(stricter(early, late) == late);
  CHECK(stricter(late, early) == late);
  CHECK(stricter(late, all) == all);
  CHECK(stricter(all, late) == all);
}

}  // namespace
}  // namespace leafgate::policy
