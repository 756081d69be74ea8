// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/load.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <utility>

#include "tests/bench/gauge.h"
#include "tests/support/mqtt_packets.h"

namespace leafgate::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr milliseconds kWarmUp{100};
constexpr milliseconds kPatience{5000};
constexpr milliseconds kStormMax{30000};
constexpr std::size_t kResuming = 100;  // more than are under way at a time

double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

}  // namespace

// ---- links

Links::Links() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

Links::~Links() {
  close(epoll_);
}

Link& Links::add(std::unique_ptr<Link> link) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.fd = link->socket();
  epoll_ctl(epoll_, EPOLL_CTL_ADD, link->socket(), &event);
  return *(links_[link->socket()] = std::move(link));
}

void Links::remove(const Link& link) {
  links_.erase(link.socket());  // closing the socket takes it out of the set
}

void Links::wait(milliseconds limit, const std::function<void(Link&)>& serve) {
  std::array<epoll_event, 256> events{};
  const int count =
      epoll_wait(epoll_, events.data(), events.size(), static_cast<int>(limit.count()));
  for (int i = 0; i < count; ++i) {
    const auto found = links_.find(events[static_cast<std::size_t>(i)].data.fd);
    if (found != links_.end()) serve(*found->second);
  }
}

// ---- those who come and go

// One run of them.
class Visitors::Visit {
 public:
  Visit(Visitors& visitors, const Door& door) : visitors_(visitors), door_(door) {}

  void start() {
    const std::size_t devices = visitors_.resumes_ ? kResuming : visitors_.fleet_.size();
    const Device& device = visitors_.fleet_.at(visitors_.next_++ % devices);
    SSL_SESSION* session = visitors_.resumes_ ? visitors_.sessions_[&device].get() : nullptr;
    Link& link =
        links_.add(std::make_unique<Link>(door_, device, visitors_.context_.get(), session));
    under_way_[&link] = &device;
  }

  void wait(milliseconds limit) {
    links_.wait(limit, [this](Link& link) { serve(link); });
  }

  // Those under way still get in, but not for ever.
  void finish() {
    const auto patience = Clock::now() + kPatience;
    while (in_flight() > 0 && Clock::now() < patience)
      wait(milliseconds(10));
  }

  // Called right after each acceptance.
  void at_acceptance(std::function<void()> note) { note_ = std::move(note); }

  std::size_t in_flight() const { return under_way_.size(); }
  const Storm& counts() const { return counts_; }

 private:
  void serve(Link& link) {
    link.advance();
    if (link.state() == Link::State::kAccepted) {
      accept(link);
    } else if (link.over()) {
      ++(link.state() == Link::State::kRefused ? counts_.refused : counts_.failed);
    } else {
      return;
    }
    under_way_.erase(&link);
    links_.remove(link);
  }

  void accept(Link& link) {
    ++counts_.accepted;
    counts_.resumed += link.resumed() ? 1 : 0;
    if (visitors_.resumes_) visitors_.sessions_[under_way_[&link]] = link.resume();
    link.leave();
    if (note_) note_();
  }

  Visitors& visitors_;
  const Door door_;
  Links links_;
  std::map<const Link*, const Device*> under_way_;
  Storm counts_;
  std::function<void()> note_;
};

Storm Visitors::storm(const Door& door, std::size_t connects) {
  constexpr std::size_t kFirst = 2 * kInFlight;
  Visit visit(*this, door);
  Clock::time_point start;
  Storm first;
  std::optional<Storm> counted;
  visit.at_acceptance([&] {
    const Storm& now = visit.counts();
    if (now.accepted == kFirst) {
      first = now;
      first.broker_us = processor_time(door.broker).count();
      start = Clock::now();
    } else if (now.accepted == kFirst + connects) {
      counted = Storm{connects,
                      now.refused,
                      now.failed,
                      now.resumed - first.resumed,
                      seconds_between(start, Clock::now()),
                      processor_time(door.broker).count() - first.broker_us};
    }
  });
  const auto patience = Clock::now() + kStormMax;
  while (!counted) {
    if (Clock::now() > patience) throw std::runtime_error("the devices do not get in");
    while (visit.in_flight() < kInFlight)
      visit.start();
    visit.wait(milliseconds(10));
  }
  visit.finish();
  return *counted;
}

Storm Visitors::arrive(const Door& door, int per_second, milliseconds length) {
  Visit visit(*this, door);
  const auto interval = std::chrono::nanoseconds(std::chrono::seconds(1)) / per_second;
  const auto start = Clock::now();
  for (auto due = start; Clock::now() < start + length;) {
    for (; due <= Clock::now(); due += interval)
      visit.start();
    visit.wait(std::chrono::ceil<milliseconds>(due - Clock::now()));
  }
  visit.finish();
  Storm counted = visit.counts();
  counted.seconds = seconds_between(start, start + length);
  counted.failed += visit.in_flight();
  return counted;
}

// ---- those who stay

void Crowd::grow(const Door& door, std::size_t size) {
  constexpr std::size_t kInFlight = 32;
  std::size_t in_flight = 0;
  const auto serve = [&](Link& link) {
    if (link.state() == Link::State::kAccepted) return;
    link.advance();
    if (link.over()) throw std::runtime_error("a device of the crowd was not admitted");
    in_flight -= link.state() == Link::State::kAccepted ? 1 : 0;
  };
  while (links_.size() < size || in_flight > 0) {
    for (; in_flight < kInFlight && links_.size() < size; ++in_flight)
      links_.add(std::make_unique<Link>(door, fleet_.at(next_++), context_.get(), nullptr));
    links_.wait(milliseconds(10), serve);
  }
}

std::vector<test::Latency> Crowd::ends(std::size_t count, Clock::time_point start,
                                       milliseconds limit) {
  std::vector<test::Latency> took;
  while (took.size() < count) {
    if (Clock::now() > start + limit) throw std::runtime_error("not all sessions were ended");
    links_.wait(milliseconds(100), [&](Link& link) {
      link.discard();
      if (!link.over()) return;
      took.push_back(Clock::now() - start);
      links_.remove(link);
    });
  }
  return took;
}

CrowdElsewhere::CrowdElsewhere(const std::vector<Device>& fleet, const Door& door) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw std::runtime_error("no line to a crowd");
  process_ = fork();
  if (process_ < 0) throw std::runtime_error("no process for a crowd");
  if (process_ > 0) {
    close(ends[1]);
    line_ = ends[0];
    return;
  }
  close(ends[0]);
  try {
    Crowd crowd(fleet);
    for (std::size_t size = 0; read(ends[1], &size, sizeof size) == sizeof size;) {
      crowd.grow(door, size);
      static_cast<void>(write(ends[1], &size, sizeof size));
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  _exit(0);  // the other end is closed: what we have of our parent is not ours to end
}

CrowdElsewhere::~CrowdElsewhere() {
  shutdown(line_, SHUT_RDWR);  // crowds that were started later have this socket as well
  close(line_);
  waitpid(process_, nullptr, 0);
}

void CrowdElsewhere::grow(std::size_t size) {
  std::size_t reached = 0;
  if (write(line_, &size, sizeof size) != sizeof size ||
      read(line_, &reached, sizeof reached) != sizeof reached) {
    throw std::runtime_error("a crowd did not get in");
  }
}

// ---- those who publish

Fanout::Fanout(const std::vector<Device>& fleet, const Door& door, std::size_t subscribers)
    : broker_(door.broker) {
  constexpr std::uint64_t kBatch = 20;
  const std::string topic = "broadcast/" + fleet.at(0).name + "/data";
  const std::string message = test::packet::publish({topic, std::string(64, 'x'), 0, false}, 0, 4);
  for (std::uint64_t i = 0; i < kBatch; ++i)
    batch_ += message;
  message_bytes_ = message.size();
  window_ = std::max<std::uint64_t>(batch_.size() * 2, message_bytes_ * 800 / subscribers);

  for (std::size_t i = 0; i <= subscribers; ++i) {
    subscribers_.push_back(
        &links_.add(std::make_unique<Link>(door, fleet.at(i), context_.get(), nullptr)));
  }
  const auto all_in = [&] {
    return std::all_of(subscribers_.begin(), subscribers_.end(),
                       [](const Link* link) { return link->state() == Link::State::kAccepted; });
  };
  while (!all_in()) {
    links_.wait(milliseconds(10), [](Link& link) {
      link.advance();
      if (link.over()) throw std::runtime_error("a subscriber was not admitted");
    });
  }
  publisher_ = subscribers_.front();
  subscribers_.erase(subscribers_.begin());
  constexpr std::uint64_t kSubackBytes = 5;
  for (Link* link : subscribers_) {
    received_[link] = 0;
    link->write(test::packet::subscribe(topic, 0, 1, 4));
  }
  while (slowest() < kSubackBytes)
    take_turn();
  for (auto& [link, bytes] : received_)
    bytes = 0;
}

void Fanout::take_turn() {
  links_.wait(milliseconds(10), [this](Link& link) {
    if (&link == publisher_) return;
    received_[&link] += link.discard();
    if (link.over()) throw std::runtime_error("a subscriber was cut off");
  });
}

std::uint64_t Fanout::slowest() const {
  const auto less = [](const auto& a, const auto& b) { return a.second < b.second; };
  return std::min_element(received_.begin(), received_.end(), less)->second;
}

std::uint64_t Fanout::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [link, bytes] : received_)
    sum += bytes;
  return sum;
}

Fanout::Flow Fanout::run(milliseconds length) {
  const auto until = [this](Clock::time_point end) {
    while (Clock::now() < end) {
      while (published_ - slowest() < window_ && publisher_->write(batch_))
        published_ += batch_.size();
      take_turn();
    }
  };
  until(Clock::now() + kWarmUp);
  const auto time_before = processor_time(broker_);
  const auto start = Clock::now();
  const std::uint64_t before = bytes();
  until(start + length);
  const Flow flow{(bytes() - before) / message_bytes_, seconds_between(start, Clock::now()),
                  (processor_time(broker_) - time_before).count()};
  if (flow.delivered == 0) throw std::runtime_error("no message arrived");
  const auto patience = Clock::now() + kPatience;
  while (slowest() < published_ && Clock::now() < patience)
    take_turn();
  return flow;
}

}  // namespace leafgate::bench
