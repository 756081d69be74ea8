// SPDX-License-Identifier: Apache-2.0
// The plugin loaded into a process that plays the broker, with a registry of any size and a crowd
// of live sessions. It is asked as Mosquitto asks it: through the callbacks that it registered, on
// certificates that the handshake has parsed already. There is no Redis: the records come out of a
// snapshot, as after a restart while Redis is away.
//
// One at a time in a process; one thread.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "certs/certificate.h"
#include "tests/plugin/fake_broker.h"
#include "tests/support/process.h"

namespace leafgate::bench {

// One of the callbacks that the plugin registered, and an event for it.
struct Question {
  test::FakeBroker::Hook hook;
  int event = 0;
  void* data = nullptr;
};

// Asks it and nothing else, under a name that callgrind can be told to count by.
extern "C" int asked_decision(const Question& question);

class LoadedBroker {
 public:
  // Devices with a certificate of their own that connect and disconnect.
  static constexpr std::size_t kDevices = 512;
  // Certificates that the crowd shares.
  static constexpr std::size_t kCrowd = 64;

  // REQUIRES: records >= kDevices + kCrowd.
  LoadedBroker(std::size_t records, std::size_t sessions);
  ~LoadedBroker();
  LoadedBroker(const LoadedBroker&) = delete;
  LoadedBroker& operator=(const LoadedBroker&) = delete;

  // Parses the device's certificate anew, as a handshake does right before the CONNECT.
  void parse(std::size_t device) { parse(shown_[device]); }
  // The CONNECT of a device, 0 to kDevices - 1, that is not connected. Valid until the next.
  Question connect(std::size_t device);
  void disconnect(std::size_t device);

  enum class Rule { kFirst, kLast };
  // A topic action of one of the crowd, 0 to sessions - 1; `rule` of five is the one that allows
  // it. Valid until the next.
  Question topic(std::size_t session, int access, Rule rule);

  void tick();

 private:
  struct Shown {
    std::string pem;
    certs::Certificate certificate;
  };
  struct Topics {
    std::string first;
    std::string last;
  };

  void issue_certificates();
  static void parse(Shown& shown);
  void write_snapshot(std::size_t records) const;
  void load();
  void gather_crowd(std::size_t sessions);
  void admit(mosquitto& client);

  const test::TempDir dir_;
  std::deque<Shown> shown_;  // by the devices, then by the crowd
  std::deque<mosquitto> devices_;
  std::deque<mosquitto> crowd_;
  std::vector<Topics> topics_;  // of the crowd's certificates
  void* userdata_ = nullptr;
  test::FakeBroker::Hook on_connect_{};
  test::FakeBroker::Hook on_topic_{};
  mosquitto_evt_basic_auth connect_{};
  mosquitto_evt_acl_check topic_{};
};

}  // namespace leafgate::bench
