// SPDX-License-Identifier: Apache-2.0
#include "policy/text.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace leafgate::policy {
namespace {

struct Sequence {
  std::size_t length = 1;      // bytes in all
  std::uint32_t bits = 0;      // the code point's bits of the first byte
  std::uint32_t smallest = 0;  // below this the encoding is overlong
};

// What the first byte announces; nullopt for a byte that cannot start a character.
std::optional<Sequence> sequence(unsigned char first) {
  if (first < 0x80) return Sequence{1, first, 0};
  if (first >= 0xC0 && first < 0xE0) return Sequence{2, first & 0x1FU, 0x80};
  if (first >= 0xE0 && first < 0xF0) return Sequence{3, first & 0x0FU, 0x800};
  if (first >= 0xF0 && first < 0xF8) return Sequence{4, first & 0x07U, 0x10000};
  return std::nullopt;
}

bool is_plain(std::uint32_t code_point) {
  const bool control = code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0);
  const bool surrogate = code_point >= 0xD800 && code_point < 0xE000;
  const bool non_character =
      (code_point >= 0xFDD0 && code_point <= 0xFDEF) || (code_point & 0xFFFEU) == 0xFFFE;
  return !control && !surrogate && !non_character && code_point <= 0x10FFFF;
}

}  // namespace

bool is_plain_text(std::string_view text) {
  while (!text.empty()) {
    if (text[0] >= ' ' && text[0] <= '~') {  // nearly all text there is
      text.remove_prefix(1);
      continue;
    }
    const auto announced = sequence(static_cast<unsigned char>(text[0]));
    if (!announced || text.size() < announced->length) return false;
    std::uint32_t code_point = announced->bits;
    for (const char c : text.substr(1, announced->length - 1)) {
      const auto byte = static_cast<unsigned char>(c);
      if ((byte & 0xC0U) != 0x80) return false;
      code_point = (code_point << 6U) | (byte & 0x3FU);
    }
    if (code_point < announced->smallest || !is_plain(code_point)) return false;
    text.remove_prefix(announced->length);
  }
  return true;
}

}  // namespace leafgate::policy
