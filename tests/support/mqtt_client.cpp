// SPDX-License-Identifier: Apache-2.0
#include "tests/support/mqtt_client.h"

#include <deque>
#include <functional>
#include <map>

#include "tests/support/mqtt_packets.h"
#include "tests/support/stream.h"
#include "tests/support/websocket.h"

namespace leafgate::test {
namespace {

constexpr milliseconds kAnswerLimit{10000};

Deadline within(milliseconds limit) {
  return std::chrono::steady_clock::now() + limit;
}

}  // namespace

class MqttClient::Impl {
 public:
  Connected connect(const ConnectOptions& options, Deadline deadline);
  bool send(const std::string& bytes, Deadline deadline);
  // Reads and keeps what comes until `done` or the end of the connection; done()'s last answer.
  bool pump(const std::function<bool()>& done, Deadline deadline);

  std::uint16_t next_id() { return ++last_id_ == 0 ? ++last_id_ : last_id_; }
  bool open() const { return stream_ != nullptr && !ended_at_; }

  ConnectOptions options_;
  std::unique_ptr<Stream> stream_ = nullptr;
  Stream::Io end_ = Stream::Io::kDone;  // how the connection ended
  std::optional<Deadline> ended_at_;
  int connack_code_ = -1;
  bool session_present_ = false;
  int disconnect_code_ = -1;
  int pongs_ = 0;
  std::map<std::uint16_t, int> acknowledged_;  // packet id to reason code, until asked for
  std::deque<Message> messages_;

 private:
  Connected upgrade(Deadline deadline);
  void take(const packet::Packet& packet);
  void note_end(Stream::Io io);

  std::uint16_t last_id_ = 0;
  std::string frames_;  // from the websocket, not yet cut
  std::string bytes_;   // MQTT, not yet cut
};

Connected MqttClient::Impl::connect(const ConnectOptions& options, Deadline deadline) {
  options_ = options;
  stream_ = std::make_unique<Stream>();
  if (stream_->open(options.port, deadline) != Stream::Io::kDone) return Connected::kClosed;
  if (!options.ca_file.empty()) {
    const Stream::Io io = stream_->handshake(
        {options.ca_file, options.credential, options.tls_session, options.tls_version}, deadline);
    if (io == Stream::Io::kTimeout) return Connected::kTimeout;
    if (io != Stream::Io::kDone) return Connected::kTlsFailed;
  }
  if (options.websocket) {
    if (const Connected up = upgrade(deadline); up != Connected::kAccepted) return up;
  }
  send(packet::connect(options), deadline);
  if (pump([this] { return connack_code_ >= 0; }, deadline)) {
    return connack_code_ == 0 ? Connected::kAccepted : Connected::kRefused;
  }
  if (!ended_at_) return Connected::kTimeout;
  return end_ == Stream::Io::kTlsError ? Connected::kTlsFailed : Connected::kClosed;
}

Connected MqttClient::Impl::upgrade(Deadline deadline) {
  stream_->write(WebSocket::request(), deadline);
  for (;;) {
    if (const auto upgraded = WebSocket::upgraded(frames_)) {
      return *upgraded ? Connected::kAccepted : Connected::kClosed;
    }
    switch (stream_->read(frames_, deadline)) {
      case Stream::Io::kDone:
        break;
      case Stream::Io::kEnd:
        return Connected::kClosed;
      case Stream::Io::kTlsError:
        return Connected::kTlsFailed;
      case Stream::Io::kTimeout:
        return Connected::kTimeout;
    }
  }
}

bool MqttClient::Impl::send(const std::string& bytes, Deadline deadline) {
  if (!open()) return false;
  const Stream::Io io =
      stream_->write(options_.websocket ? WebSocket::frame(bytes) : bytes, deadline);
  return io == Stream::Io::kDone;
}

bool MqttClient::Impl::pump(const std::function<bool()>& done, Deadline deadline) {
  const auto late = [&] { return std::chrono::steady_clock::now() >= deadline; };
  for (bool more = true; more && !done() && open(); more = !late()) {
    std::string& into = options_.websocket ? frames_ : bytes_;
    const Stream::Io io = stream_->read(into, deadline);
    if (io == Stream::Io::kTimeout) break;
    if (io != Stream::Io::kDone) note_end(io);
    if (options_.websocket && !WebSocket::unframe(frames_, bytes_)) note_end(Stream::Io::kEnd);

    std::size_t used = 0;
    while (const auto packet = packet::cut(bytes_, &used))
      take(*packet);
    bytes_.erase(0, used);
  }
  return done();
}

void MqttClient::Impl::note_end(Stream::Io io) {
  if (ended_at_) return;
  ended_at_ = std::chrono::steady_clock::now();
  end_ = io;
}

void MqttClient::Impl::take(const packet::Packet& packet) {
  using packet::Type;
  switch (packet.type) {
    case Type::kConnack:
      session_present_ = (packet.body.at(0) & 1) != 0;
      connack_code_ = static_cast<std::uint8_t>(packet.body.at(1));
      break;
    case Type::kPublish: {
      const packet::Published published = packet::parse_publish(packet, options_.version);
      messages_.push_back(published.message);
      if (published.id != 0) send(packet::puback(published.id), within(kAnswerLimit));
      break;
    }
    case Type::kPuback: {
      const packet::Acknowledgement acknowledgement = packet::parse_puback(packet);
      acknowledged_[acknowledgement.id] = acknowledgement.code;
      break;
    }
    case Type::kSuback: {
      const packet::Acknowledgement acknowledgement =
          packet::parse_suback(packet, options_.version);
      acknowledged_[acknowledgement.id] = acknowledgement.code;
      break;
    }
    case Type::kPingresp:
      ++pongs_;
      break;
    case Type::kDisconnect:
      disconnect_code_ = packet.body.empty() ? 0 : static_cast<std::uint8_t>(packet.body[0]);
      break;
    case Type::kConnect:
    case Type::kSubscribe:
    case Type::kPingreq:
      break;  // a client's own packets never come from a server
  }
}

MqttClient::MqttClient() : impl_(std::make_unique<Impl>()) {}
MqttClient::~MqttClient() = default;
MqttClient::MqttClient(MqttClient&&) noexcept = default;
MqttClient& MqttClient::operator=(MqttClient&&) noexcept = default;

Connected MqttClient::connect(const ConnectOptions& options, milliseconds limit) {
  impl_ = std::make_unique<Impl>();
  return impl_->connect(options, within(limit));
}

int MqttClient::connack_code() const {
  return impl_->connack_code_;
}
bool MqttClient::session_present() const {
  return impl_->session_present_;
}
bool MqttClient::tls_resumed() const {
  return impl_->stream_ && impl_->stream_->resumed();
}

std::string MqttClient::tls_session() const {
  return impl_->stream_ ? impl_->stream_->session() : std::string();
}

std::optional<int> MqttClient::subscribe(const std::string& filter, int qos) {
  const std::uint16_t id = impl_->next_id();
  const Deadline deadline = within(kAnswerLimit);
  impl_->send(packet::subscribe(filter, qos, id, impl_->options_.version), deadline);
  if (!impl_->pump([&] { return impl_->acknowledged_.count(id) > 0; }, deadline)) {
    return std::nullopt;
  }
  return impl_->acknowledged_.extract(id).mapped();
}

std::optional<int> MqttClient::publish(const std::string& topic, const std::string& payload,
                                       int qos, bool retain) {
  const std::uint16_t id = impl_->next_id();
  const Deadline deadline = within(kAnswerLimit);
  const Message message{topic, payload, qos, retain};
  if (!impl_->send(packet::publish(message, id, impl_->options_.version), deadline)) {
    return std::nullopt;
  }
  if (qos == 0) return 0;
  if (!impl_->pump([&] { return impl_->acknowledged_.count(id) > 0; }, deadline)) {
    return std::nullopt;
  }
  return impl_->acknowledged_.extract(id).mapped();
}

std::optional<Message> MqttClient::receive(milliseconds limit) {
  if (!impl_->pump([this] { return !impl_->messages_.empty(); }, within(limit))) {
    return std::nullopt;
  }
  Message message = std::move(impl_->messages_.front());
  impl_->messages_.pop_front();
  return message;
}

bool MqttClient::ended(milliseconds limit) {
  impl_->pump([] { return false; }, within(limit));
  return impl_->ended_at_.has_value();
}

std::chrono::steady_clock::time_point MqttClient::ended_at() const {
  return impl_->ended_at_.value_or(Deadline{});
}

int MqttClient::disconnect_code() const {
  return impl_->disconnect_code_;
}

bool MqttClient::ping(milliseconds limit) {
  const int before = impl_->pongs_;
  const Deadline deadline = within(limit);
  impl_->send(packet::pingreq(), deadline);
  return impl_->pump([&] { return impl_->pongs_ > before; }, deadline);
}

void MqttClient::disconnect() {
  impl_->send(packet::disconnect(), within(kAnswerLimit));
  impl_->stream_.reset();
}

void MqttClient::drop() {
  impl_->stream_.reset();
}

}  // namespace leafgate::test
