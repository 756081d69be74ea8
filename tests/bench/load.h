// SPDX-License-Identifier: Apache-2.0
// What devices do to a broker: they come and go as fast as it lets them, or so many a second; they
// come and stay; they publish. Each from one thread, over epoll.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "tests/bench/link.h"
#include "tests/support/latency.h"

namespace leafgate::bench {

using std::chrono::milliseconds;

// An epoll set of links.
class Links {
 public:
  Links();
  ~Links();
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;

  Link& add(std::unique_ptr<Link> link);
  void remove(const Link& link);
  std::size_t size() const { return links_.size(); }
  // Waits for events and hands each link concerned to `serve`, which may remove it.
  void wait(milliseconds limit, const std::function<void(Link&)>& serve);

 private:
  int epoll_;
  std::map<int, std::unique_ptr<Link>> links_;  // by socket
};

struct Storm {
  std::size_t accepted = 0;
  std::size_t refused = 0;
  std::size_t failed = 0;
  std::size_t resumed = 0;  // of those accepted
  double seconds = 0;
  double broker_us = 0;  // of its processor

  double broker_us_each() const { return broker_us / static_cast<double>(accepted); }
  double per_second() const { return static_cast<double>(accepted) / seconds; }
};

// Devices that connect and, once accepted, leave.
class Visitors {
 public:
  explicit Visitors(const std::vector<Device>& fleet) : fleet_(fleet) {}

  // Few devices, again and again, each of which tries to resume its last TLS session.
  void resume() { resumes_ = true; }
  // kInFlight connections under way at any time. Counts from one acceptance to the one that comes
  // `connects` later: a broker takes them in turns of all that are under way, and so many in a
  // given time would depend on where a turn is cut. `connects`: a multiple of kInFlight.
  Storm storm(const Door& door, std::size_t connects);
  // So many a second, whatever becomes of those before.
  Storm arrive(const Door& door, int per_second, milliseconds length);

  static constexpr std::size_t kInFlight = 32;

 private:
  class Visit;

  const std::vector<Device>& fleet_;
  bool resumes_ = false;
  std::size_t next_ = 0;
  TlsContext context_ = make_context();
  std::map<const Device*, TlsSession> sessions_;
};

// Devices that came and stay.
class Crowd {
 public:
  explicit Crowd(const std::vector<Device>& fleet) : fleet_(fleet) {}

  // Lets further devices of the fleet in until it has `size`; throws when one is not admitted.
  void grow(const Door& door, std::size_t size);
  std::size_t size() const { return links_.size(); }
  // Waits until `count` of them have been ended, and how long after `start` each was; throws when
  // that takes longer than `limit`.
  std::vector<test::Latency> ends(std::size_t count, std::chrono::steady_clock::time_point start,
                                  milliseconds limit);

 private:
  const std::vector<Device>& fleet_;
  std::size_t next_ = 0;
  TlsContext context_ = make_context();
  Links links_;
};

// A crowd in a process of its own, because two of them have more sockets than one process may have.
// Its broker's time is its own, but it shares our processor. Start it before any thread.
class CrowdElsewhere {
 public:
  CrowdElsewhere(const std::vector<Device>& fleet, const Door& door);
  ~CrowdElsewhere();  // all of them leave
  CrowdElsewhere(const CrowdElsewhere&) = delete;
  CrowdElsewhere& operator=(const CrowdElsewhere&) = delete;

  void grow(std::size_t size);  // as Crowd's

 private:
  int line_ = -1;  // a size to the crowd; the same back when it is reached
  pid_t process_ = -1;
};

// One publisher and its subscribers. The publisher waits for the slowest of them, so that nothing
// is dropped.
class Fanout {
 public:
  // The first devices of the fleet. Topic: `broadcast/<publisher>/data`.
  Fanout(const std::vector<Device>& fleet, const Door& door, std::size_t subscribers);

  // Messages delivered to all subscribers together.
  struct Flow {
    std::uint64_t delivered = 0;
    double seconds = 0;
    double broker_us = 0;

    double broker_us_each() const { return broker_us / static_cast<double>(delivered); }
    double per_second() const { return static_cast<double>(delivered) / seconds; }
  };
  Flow run(milliseconds length);

 private:
  void take_turn();
  std::uint64_t slowest() const;  // bytes
  std::uint64_t bytes() const;    // of all subscribers

  const pid_t broker_;
  TlsContext context_ = make_context();
  Links links_;
  Link* publisher_ = nullptr;
  std::vector<Link*> subscribers_;
  std::map<const Link*, std::uint64_t> received_;  // bytes, by subscriber
  std::string batch_;
  std::uint64_t message_bytes_ = 0;
  std::uint64_t window_ = 0;     // bytes that may be on their way to each subscriber
  std::uint64_t published_ = 0;  // bytes
};

}  // namespace leafgate::bench
