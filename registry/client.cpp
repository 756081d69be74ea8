// SPDX-License-Identifier: Apache-2.0
#include "registry/client.h"

#include <poll.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "registry/connection.h"
#include "registry/link.h"
#include "registry/sentinel.h"

namespace leafgate::registry {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

Result<Endpoint> find_master(const Endpoint& endpoint, milliseconds timeout) {
  SentinelWatch watch(endpoint);
  while (true) {
    watch.progress(steady_clock::now(), timeout);
    const Result<std::optional<Endpoint>> master = watch.master();
    if (!master) return with_context(endpoint.text(), master.error());
    if (master.value()) return *master.value();
    std::vector<pollfd> items;
    watch.add_to(items);
    ::poll(items.data(), items.size(), static_cast<int>(Connection::kLookupPause.count()));
  }
}

}  // namespace

class Client::Impl {
 public:
  Impl(const Endpoint& endpoint, milliseconds timeout)
      : connection_(endpoint),
        name_(endpoint.text()),
        speaks_(endpoint.tls ? ", speaks TLS" : ""),
        timeout_(timeout) {}

  // Until somebody answers: a frozen Redis still accepts connections. One that sentinels name may
  // have been a master until a moment ago.
  Result<void> greet(bool named) {
    Result<void> sent = connection_.send({named ? "ROLE" : "PING"});
    if (!sent) return sent;
    Result<Reply> reply = receive(timeout_);
    if (!reply) return reply.error();
    if (!reply.value().is_error()) {
      if (!named) return {};
      const Result<void> checked = must_be_master(reply.value());
      return checked ? checked : with_context(name_, checked.error());
    }
    const Error error = to_error(reply.value());
    // Who may not ask this may still be allowed what the caller wants; and a Redis that cannot save
    // refuses PING, but no reads.
    const std::string_view word = *reply.value().text();
    if (word.starts_with("NOPERM") || word.starts_with("MISCONF")) return {};
    return with_context(name_, error);
  }

  Result<std::vector<Reply>> exchange(const std::vector<Command>& commands, milliseconds patience) {
    for (const Command& command : commands) {
      Result<void> sent = connection_.send(command);
      if (!sent) return sent.error();
    }
    std::vector<Reply> replies;
    replies.reserve(commands.size());
    while (replies.size() < commands.size()) {
      Result<Reply> reply = receive(patience);
      if (!reply) return reply.error();
      replies.push_back(std::move(reply).value());
    }
    return replies;
  }

  milliseconds timeout() const { return timeout_; }

 private:
  // The deadline is for one reply: a long pipeline may take longer as long as it moves.
  Result<Reply> receive(milliseconds patience) {
    const auto deadline = steady_clock::now() + patience;
    while (!late_) {
      Result<std::optional<Reply>> reply = connection_.receive();
      if (!reply) return reply.error();
      if (reply.value()) return std::move(*reply.value());
      const Result<bool> in_time = connection_.wait(deadline);
      if (!in_time) return in_time.error();
      late_ = !in_time.value();
    }
    return Error{ErrorKind::kUnreachable,
                 name_ + " does not answer: check that Redis is running there" + speaks_ +
                     " and is not overloaded"};
  }

  Connection connection_;
  std::string name_;
  std::string speaks_;
  milliseconds timeout_;
  bool late_ = false;  // a reply is overdue: the next one would be taken for the wrong command's
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::connect(const Endpoint& endpoint, milliseconds timeout) {
  Endpoint server = endpoint;
  if (endpoint.sentinels) {
    Result<Endpoint> master = find_master(endpoint, timeout);
    if (!master) return master.error();
    server = std::move(master).value();
  }
  auto impl = std::make_unique<Impl>(server, timeout);
  Result<void> greeted = impl->greet(endpoint.sentinels.has_value());
  if (!greeted) return greeted.error();
  return Client(std::move(impl));
}

Result<Reply> Client::call(const Command& command) {
  return call_blocking(command, milliseconds(0));
}

Result<Reply> Client::call_blocking(const Command& command, milliseconds wait) {
  Result<std::vector<Reply>> replies = impl_->exchange({command}, impl_->timeout() + wait);
  if (!replies) return replies.error();
  return std::move(replies.value().front());
}

Result<std::vector<Reply>> Client::pipeline(const std::vector<Command>& commands) {
  return impl_->exchange(commands, impl_->timeout());
}

Error to_error(const Reply& reply) {
  const std::string text(reply.text().value_or("an answer without text"));
  const std::string_view code = std::string_view(text).substr(0, text.find(' '));
  for (const std::string_view refusal : {"NOAUTH", "NOPERM", "WRONGPASS"}) {
    if (code == refusal) {
      return {ErrorKind::kRefused, "redis says no: " + text + ": check user, password and ACL"};
    }
  }
  for (const std::string_view passing : {"LOADING", "BUSY", "MASTERDOWN", "READONLY", "NOREPLICAS",
                                         "OOM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN"}) {
    if (code == passing) return {ErrorKind::kUnreachable, "redis cannot do it now: " + text};
  }
  return {ErrorKind::kInternal, "redis answered with an error: " + text};
}

}  // namespace leafgate::registry
