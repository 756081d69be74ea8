// SPDX-License-Identifier: Apache-2.0
// TLS to Redis while OpenSSL gets no memory: a connection fails, or is as good as any other.
#include <iostream>
#include <new>

#include "registry/client.h"
#include "tests/catch.h"
#include "tests/support/scarce_openssl.h"
#include "tests/support/tls_redis.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Client;
using registry::Endpoint;

namespace {

// A handshake and what comes before it take fewer allocations.
constexpr unsigned kAllocationsMax = 50'000;

bool connects(const Endpoint& endpoint) {
  auto client = Client::connect(endpoint, std::chrono::seconds(10));
  if (!client) return false;
  const auto answer = client.value().call({"PING"});
  return answer && answer.value().text() == "PONG";
}

struct Tally {
  unsigned connected = 0;
  unsigned failed = 0;
};

// Every `stride`th of the allocations that a connection takes fails.
Tally with_failures(const Endpoint& endpoint, unsigned stride, FailingOpenssl::Which which) {
  // What OpenSSL sets up once in a process it never tries again; a broker with TLS has done it.
  static_cast<void>(connects(endpoint));
  Tally tally;
  for (unsigned n = 0; n < kAllocationsMax; n += stride) {
    const FailingOpenssl scarcity(n, which);
    bool connected = false;
    try {
      connected = connects(endpoint);
    } catch (const std::bad_alloc&) {
      connected = false;  // what the sync's thread catches
    }
    ++(connected ? tally.connected : tally.failed);
    if (!FailingOpenssl::failed()) return tally;
  }
  FAIL("there was no end to the allocations");
  return tally;
}

}  // namespace

TEST_CASE("without memory no server is taken for Redis that is not", "[tls]") {
  const TlsRedis redis;
  Endpoint of_another_name = redis.endpoint();
  of_another_name.tls->server_name = "elsewhere.example";
  const Pki stranger("another CA");
  Endpoint of_another_ca = redis.endpoint();
  of_another_ca.tls->ca_file = stranger.ca_file();

  for (const Endpoint& endpoint : {of_another_name, of_another_ca}) {
    const Tally tally = with_failures(endpoint, 1, FailingOpenssl::Which::kOne);
    CHECK(tally.connected == 0);
    CHECK(tally.failed > 100);
  }
}

TEST_CASE("a connection that failed for want of memory is made when there is some", "[tls]") {
  const TlsRedis redis;
  for (const auto which : {FailingOpenssl::Which::kOne, FailingOpenssl::Which::kAllFrom}) {
    const Tally tally = with_failures(redis.endpoint(), 3, which);
    std::cout << tally.failed << " attempts failed, " << tally.connected << " did not\n";
    CHECK(tally.failed > 30);
    CHECK(tally.connected > 0);  // the last, with all the memory it wants
    CHECK(connects(redis.endpoint()));
  }
}
