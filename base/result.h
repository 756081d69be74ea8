// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value, or an Error that says what went wrong in words for a person.
//
// Used for failures of the world (Redis away, a damaged file, bad input). A refused device is not a
// failure: that is a policy::Decision. A bug of ours is an assert. Nothing here throws except when
// memory runs out. Plain values: share them between threads as you would an std::string.
#pragma once

#include <cassert>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace leafgate {

// The class of a failure, for callers that decide by it (exit codes, retries).
enum class ErrorKind : std::uint8_t {
  kInvalid,      // the input is wrong; the message says where and what would be right
  kNotFound,     // the named thing does not exist
  kRefused,      // understood, and not permitted (a forbidden transition, a version conflict)
  kUnreachable,  // Redis or a file system did not answer; trying again later may help
  kInternal,     // a library failed in a way nobody foresaw
};

// `message`: lower case, no full stop, user input in backticks, causes joined by colons.
struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;
};

// The same failure, with the words `context` and a colon before its message.
[[nodiscard]] inline Error with_context(std::string context, Error error) {
  error.message = std::move(context) + ": " + error.message;
  return error;
}

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // implicit by design

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  // REQUIRES: ok()
  const T& value() const& {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  T& value() & {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    assert(ok());
    return std::move(*std::get_if<0>(&state_));
  }

  // REQUIRES: !ok()
  const Error& error() const {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

// The Result of something done for its effect.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // implicit by design

  bool ok() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }

  // REQUIRES: !ok()
  const Error& error() const {
    assert(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace leafgate
