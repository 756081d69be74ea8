// SPDX-License-Identifier: Apache-2.0
#include "registry/resolve.h"

#include <csignal>
#include <cstring>
#include <mutex>
#include <utility>

namespace leafgate::registry {
namespace {

std::vector<Address> take_addresses(const addrinfo* list) {
  std::vector<Address> addresses;
  for (; list != nullptr && addresses.size() < kAddressesMax; list = list->ai_next) {
    if (list->ai_addrlen > sizeof(sockaddr_storage)) continue;
    Address address;
    std::memcpy(&address.storage, list->ai_addr, list->ai_addrlen);
    address.size = list->ai_addrlen;
    addresses.push_back(address);
  }
  return addresses;
}

}  // namespace

// Everything getaddrinfo_a() reads or writes while it works: it stays where it is.
struct Lookup::Request {
  std::string host;
  std::string service;
  addrinfo hints{};
  gaicb control{};
  std::unique_ptr<Request> next;  // abandoned like this one

  ~Request() {
    if (control.ar_result != nullptr) freeaddrinfo(control.ar_result);
  }
  bool in_progress() { return gai_error(&control) == EAI_INPROGRESS; }
};

// The C library's own thread is at work in these and cannot be stopped; waiting for it is what
// Lookup exists to avoid. They go when it has finished. A chain, because it must grow without
// memory.
class Lookup::Abandoned {
 public:
  static void add(std::unique_ptr<Request> request) {
    static Abandoned instance;
    const std::lock_guard lock(instance.mutex_);
    request->next = std::move(instance.first_);
    instance.first_ = std::move(request);
    for (auto* at = &instance.first_; *at != nullptr;) {
      if ((*at)->in_progress()) {
        at = &(*at)->next;
      } else {
        *at = std::move((*at)->next);
      }
    }
  }

 private:
  Abandoned() = default;
  // At the process's end or our unloading: what is still at work keeps its memory.
  ~Abandoned() { static_cast<void>(first_.release()); }

  std::mutex mutex_;
  std::unique_ptr<Request> first_;  // guarded by mutex_
};

Lookup::Lookup(std::string host, std::uint16_t port)
    : host_(std::move(host)), request_(std::make_unique<Request>()) {
  request_->host = host_;
  request_->service = std::to_string(port);
  request_->hints.ai_family = AF_UNSPEC;
  request_->hints.ai_socktype = SOCK_STREAM;
  request_->hints.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (getaddrinfo(host_.c_str(), request_->service.c_str(), &request_->hints, &found) == 0) {
    known_ = take_addresses(found);
    freeaddrinfo(found);
  }
  if (!known_.empty()) {
    request_.reset();
    return;
  }

  request_->hints.ai_flags = AI_NUMERICSERV;
  request_->control.ar_name = request_->host.c_str();
  request_->control.ar_service = request_->service.c_str();
  request_->control.ar_request = &request_->hints;
  gaicb* list[] = {&request_->control};
  sigevent silent{};
  silent.sigev_notify = SIGEV_NONE;
  refused_ = getaddrinfo_a(GAI_NOWAIT, list, 1, &silent);
}

Lookup::Lookup(Lookup&&) noexcept = default;

Lookup& Lookup::operator=(Lookup&& other) noexcept {
  if (this != &other) {
    abandon(std::move(request_));
    host_ = std::move(other.host_);
    known_ = std::move(other.known_);
    request_ = std::move(other.request_);
    refused_ = other.refused_;
  }
  return *this;
}

Lookup::~Lookup() {
  abandon(std::move(request_));
}

void Lookup::abandon(std::unique_ptr<Request> request) noexcept {
  if (request == nullptr) return;
  gai_cancel(&request->control);
  Abandoned::add(std::move(request));
}

Result<std::optional<std::vector<Address>>> Lookup::poll() {
  if (!known_.empty()) return std::optional(known_);
  const int code = refused_ != 0 ? refused_ : gai_error(&request_->control);
  if (code == EAI_INPROGRESS) return std::optional<std::vector<Address>>();
  if (code != 0) {
    return Error{ErrorKind::kUnreachable,
                 "cannot look up host `" + host_ + "`: " + gai_strerror(code)};
  }
  std::vector<Address> addresses = take_addresses(request_->control.ar_result);
  if (addresses.empty()) {
    return Error{ErrorKind::kUnreachable, "host `" + host_ + "` has no address"};
  }
  return std::optional(std::move(addresses));
}

}  // namespace leafgate::registry
