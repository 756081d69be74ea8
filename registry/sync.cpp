// SPDX-License-Identifier: Apache-2.0
#include "registry/sync.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <random>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "registry/board.h"
#include "registry/data_set.h"
#include "registry/lease.h"
#include "registry/link.h"
#include "registry/mail.h"
#include "registry/mirror.h"
#include "registry/own_files.h"
#include "registry/pipeline.h"
#include "registry/sentinel.h"

namespace leafgate::registry {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPollMax{100};
constexpr milliseconds kWakeInterval{1};
constexpr int kNoticesPerTurn = 64;
constexpr int kAnswersPerTurn = 1024;
constexpr std::string_view kPulseTtl = "30";  // seconds
// A link that lived shorter does not start the back-off anew.
constexpr std::chrono::seconds kStable{5};

std::string random_id() {
  std::random_device random;
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%08x%08x", random(), random());
  return text.data();
}

}  // namespace

std::string_view to_string(SyncState state) {
  switch (state) {
    case SyncState::kDown:
      return "down";
    case SyncState::kArm:
      return "arm";
    case SyncState::kSyncing:
      return "syncing";
    case SyncState::kLive:
      return "live";
  }
  return "down";
}

// The state machine of sync.h. Everything but the Board belongs to the thread.
class Sync::Thread {
 public:
  Thread(SyncOptions options, Replica& replica, Changes& changes, Outbox& outbox, log::Queue& log,
         std::function<void()> wake);
  ~Thread();
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  Result<void> start();
  void stop();
  const Board& board() const { return board_; }

 private:
  struct Pulse {
    SteadyTime sent;
    std::uint64_t returning;  // the Fence's
    bool refused = false;     // Redis takes no writes; S was asked to say something instead
  };
  // A pulse came back: when the keys named until then are applied, and meta was read since, so is
  // all that was written before it.
  struct Mark {
    SteadyTime sent;
    std::uint64_t named;
    std::uint64_t pulse;
    std::uint64_t returning;
  };

  void run();
  void turn();
  void follow_sentinels(SteadyTime now);
  void survive(const char* what) noexcept;
  void dial(SteadyTime now);
  void fall(const Error& error, SteadyTime now);
  void drop(SteadyTime now) noexcept;
  void tell_down(const std::string& error);
  void enter(SyncState state);
  void show_complaint();
  Result<void> serve(SteadyTime now);
  Result<void> hear(SteadyTime now);
  Result<void> hear_keys(const Reply& keys, SteadyTime now);
  Result<void> take_answers(SteadyTime now);
  Result<void> take_answer(const Pipeline::Answer& answer, SteadyTime now);
  Result<void> take_pulse(const Reply& reply);
  Result<void> ask_meta_for_absences();
  Result<void> take_meta(const Pipeline::Answer& answer, SteadyTime now);
  Result<void> take_replication(const Reply& reply, SteadyTime now);
  Result<void> read_again(SteadyTime now);
  void report();
  Result<void> check_answers_come(SteadyTime now) const;
  Result<void> beat(SteadyTime now);
  Result<void> pulse_over(SteadyTime now, bool proven);
  Result<void> rebuild(SteadyTime now);
  Result<void> audit(SteadyTime now);
  void finish_scan(SteadyTime now);
  void arrive(SteadyTime now);
  Result<void> move_watermark(SteadyTime now);
  void wake_broker();
  void sleep(SteadyTime now);
  milliseconds jitter(milliseconds length);
  milliseconds audit_pause();

  // Constant after construction.
  const SyncOptions options_;
  const Schema schema_;
  const std::string instance_;
  const std::string pulse_key_;
  Replica& replica_;
  Changes& changes_;
  log::Queue& log_;
  const std::function<void()> wake_;
  const int stop_event_;  // readable: stop

  Board board_;
  DataSet data_set_;
  Lease lease_;
  Mirror mirror_;
  Mail mail_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::minstd_rand random_;

  SyncState state_ = SyncState::kDown;
  std::optional<SentinelWatch> sentinels_;
  std::string sentinels_error_;  // empty: their majority names a master, or there are none
  Endpoint server_;              // where link_ leads
  std::unique_ptr<Link> link_;   // null exactly in kDown
  SteadyTime dial_at_{};
  milliseconds backoff_{0};
  std::vector<pollfd> awaited_;  // sleep()'s, which must not need memory
  std::optional<SteadyTime> live_since_;
  std::string logged_error_;  // empty: none since LIVE

  bool more_to_read_ = false;  // a turn's limit was reached
  bool heard_all_ = false;     // S has nothing more to say now
  std::optional<Pulse> pulse_;
  SteadyTime next_pulse_{};
  std::uint64_t pulses_ = 0;
  std::string pulse_refusal_;  // empty: Redis takes it
  std::optional<Mark> mark_;
  SteadyTime next_audit_{};
  SteadyTime next_wake_{};

  std::uint64_t meta_read_ = 0;  // the number of the last pulse whose meta has been read
  std::uint64_t reported_ = 0;   // the Fence's version on the Board
};

Sync::Thread::Thread(SyncOptions options, Replica& replica, Changes& changes, Outbox& outbox,
                     log::Queue& log, std::function<void()> wake)
    : options_(std::move(options)),
      schema_(options_.prefix),
      instance_(random_id()),
      pulse_key_(schema_.pulse(options_.broker, instance_)),
      replica_(replica),
      changes_(changes),
      log_(log),
      wake_(std::move(wake)),
      stop_event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      board_(instance_, options_.age_at_start, options_.remembered),
      data_set_(options_.remembered, options_.hold_on_data_loss, options_.device_id_rule, outbox,
                log),
      lease_(schema_, instance_, {options_.lease_free_keys, options_.lease_patience}, log),
      mirror_(schema_, options_.endpoint.database, data_set_.fence(), lease_, replica, changes,
              log),
      mail_(schema_, {options_.broker, instance_, options_.version}, outbox, log),
      random_(std::random_device()()) {
  if (options_.endpoint.sentinels) sentinels_.emplace(options_.endpoint);
  awaited_.reserve(3 + (sentinels_ ? 2 * options_.endpoint.sentinels->servers.size() : 0));
}

Sync::Thread::~Thread() {
  stop();
  if (stop_event_ >= 0) ::close(stop_event_);
}

Result<void> Sync::Thread::start() {
  if (stop_event_ < 0) return Error{ErrorKind::kInternal, "cannot start the sync: no eventfd"};
  // A thread inherits the mask: none of the broker's signals may land here.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Result<void> started;
  try {
    thread_ = std::thread([this] { run(); });
    pthread_setname_np(thread_.native_handle(), "leafgate-sync");
  } catch (const std::system_error& error) {
    started = Error{ErrorKind::kInternal, std::string("cannot start the sync: ") + error.what()};
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

void Sync::Thread::stop() {
  stopping_ = true;
  if (stop_event_ >= 0) ::eventfd_write(stop_event_, 1);
  if (thread_.joinable()) thread_.join();
}

// Whatever happens here, above all memory that runs out, must not end the broker: the old replica
// serves, and all that the link had in flight is read again on the next.
void Sync::Thread::run() {
  static_cast<void>(own_files(stop_event_));
  while (!stopping_) {
    try {
      turn();
    } catch (const std::exception& error) {
      survive(error.what());
    } catch (...) {
      survive("an unknown exception");
    }
    sleep(steady_clock::now());
  }
  // Their descriptors are this thread's.
  link_.reset();
  sentinels_.reset();
}

void Sync::Thread::turn() {
  const SteadyTime now = steady_clock::now();
  more_to_read_ = false;
  if (sentinels_) follow_sentinels(now);
  if (!link_ && now >= dial_at_) dial(now);
  if (link_) {
    const Result<void> served = serve(now);
    if (!served) fall(served.error(), now);
  }
  report();
  wake_broker();
}

void Sync::Thread::survive(const char* what) noexcept {
  drop(steady_clock::now());
  try {
    changes_.everything();  // the broker may not have been told of all that was applied
    tell_down(std::string("the sync stumbled: ") + what);
  } catch (...) {
    // Not even memory to say so.
  }
}

// ---- the link

void Sync::Thread::follow_sentinels(SteadyTime now) {
  sentinels_->progress(now, options_.answer_deadline);
  const Result<std::optional<Endpoint>> master = sentinels_->master();
  if (master && !master.value()) return;
  const bool changed = master.ok() != sentinels_error_.empty();
  sentinels_error_ = master ? "" : master.error().message;
  if (!link_) return;
  if (changed) {
    show_complaint();
    log_.push(master ? log::Line(log::Level::kNotice, "sentinels_back")
                     : log::Line(log::Level::kWarning, "sentinels_away")
                           .add("error", sentinels_error_)
                           .add("redis", server_.text()));
  }
  if (!master || *master.value() == server_) return;
  fall({ErrorKind::kUnreachable,
        server_.text() + ": the sentinels name another master: " + master.value()->text()},
       now);
  dial_at_ = now;
}

void Sync::Thread::dial(SteadyTime now) {
  server_ = options_.endpoint;
  if (sentinels_) {
    const Result<std::optional<Endpoint>> master = sentinels_->master();
    if (!master) {
      fall(master.error(), now);
      return;
    }
    if (!master.value()) {
      dial_at_ = now + Connection::kLookupPause;
      return;
    }
    server_ = *master.value();
  }
  link_ = std::make_unique<Link>(server_, schema_, pulse_key_, now);
  next_pulse_ = now;
  enter(SyncState::kArm);
}

void Sync::Thread::fall(const Error& error, SteadyTime now) {
  drop(now);
  tell_down(error.message);
}

// Takes no memory, so that it can be done when there is none.
void Sync::Thread::drop(SteadyTime now) noexcept {
  link_.reset();
  mirror_.disconnect();
  mail_.disconnect();
  data_set_.fence().disconnect();
  pulse_.reset();
  mark_.reset();
  if (live_since_ && now - *live_since_ > kStable) backoff_ = milliseconds(0);
  live_since_.reset();
  backoff_ = std::clamp(backoff_ * 2, options_.backoff_min, options_.backoff_max);
  dial_at_ = now + jitter(backoff_);
  enter(SyncState::kDown);
}

void Sync::Thread::tell_down(const std::string& error) {
  board_.set_error(error);
  if (error == logged_error_) return;
  logged_error_ = error;
  log_.push(log::Line(log::Level::kWarning, "registry_down").add("error", error));
}

void Sync::Thread::enter(SyncState state) {
  state_ = state;
  board_.set_state(state);
}

// What is wrong although the link works.
void Sync::Thread::show_complaint() {
  board_.set_error(pulse_refusal_.empty() ? sentinels_error_ : pulse_refusal_);
}

Result<void> Sync::Thread::serve(SteadyTime now) {
  if (Result<void> done = link_->progress(now, options_.answer_deadline); !done) return done;
  if (!link_->armed()) return {};
  if (Result<void> done = hear(now); !done) return done;
  if (Result<void> done = take_answers(now); !done) return done;
  if (Result<void> done = check_answers_come(now); !done) return done;
  finish_scan(now);
  if (state_ != SyncState::kArm && mirror_.overwhelmed()) {
    if (Result<void> done = rebuild(now); !done) return done;
  }
  if (Result<void> done = audit(now); !done) return done;
  if (Result<void> done = beat(now); !done) return done;
  if (Result<void> done = ask_meta_for_absences(); !done) return done;
  if (Result<void> done = mirror_.ask(link_->pipeline(), now); !done) return done;
  if (Result<void> done = move_watermark(now); !done) return done;
  if (state_ != SyncState::kArm) {
    if (Result<void> done = mail_.send(link_->pipeline(), now); !done) return done;
  }
  return link_->progress(now, options_.answer_deadline);
}

Result<void> Sync::Thread::check_answers_come(SteadyTime now) const {
  const bool pulse_late = heard_all_ && pulse_ && now - pulse_->sent > options_.answer_deadline;
  if (!pulse_late && !link_->pipeline().silent(now, options_.answer_deadline)) return {};
  return Error{ErrorKind::kUnreachable,
               server_.text() + ": redis does not answer: check it and the network"};
}

// ---- S

Result<void> Sync::Thread::hear(SteadyTime now) {
  heard_all_ = false;
  for (int i = 0; i < kNoticesPerTurn; ++i) {
    Result<std::optional<Notice>> notice = link_->next_notice();
    if (!notice) return notice.error();
    if (!notice.value()) {
      heard_all_ = true;
      return {};
    }
    Result<void> done;
    switch (notice.value()->kind) {
      case Notice::Kind::kKeys:
        done = hear_keys(*notice.value()->keys, now);
        break;
      case Notice::Kind::kEverything:
        if (state_ != SyncState::kArm) done = rebuild(now);
        break;
      case Notice::Kind::kPong:
        if (pulse_ && pulse_->refused) done = pulse_over(now, false);
        break;
    }
    if (!done) return done;
  }
  more_to_read_ = true;
  return {};
}

Result<void> Sync::Thread::hear_keys(const Reply& keys, SteadyTime now) {
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::optional<std::string_view> key = keys.text_at(i);
    if (!key) return rebuild(now);
    if (*key != pulse_key_) {
      board_.count_invalidation();
      mirror_.name(*key);
    } else if (pulse_ && !pulse_->refused) {
      if (Result<void> done = pulse_over(now, true); !done) return done;
    }
  }
  return {};
}

// ---- D

Result<void> Sync::Thread::take_answers(SteadyTime now) {
  for (int i = 0; i < kAnswersPerTurn; ++i) {
    Result<std::optional<Pipeline::Answer>> answer = link_->pipeline().receive(now);
    if (!answer) return answer.error();
    if (!answer.value()) return {};
    if (Result<void> done = take_answer(*answer.value(), now); !done) return done;
  }
  more_to_read_ = true;
  return {};
}

Result<void> Sync::Thread::take_answer(const Pipeline::Answer& answer, SteadyTime now) {
  const Request::Kind kind = answer.request.kind;
  if (Mirror::owns(kind)) return mirror_.apply(answer, link_->pipeline(), now);
  if (Mail::owns(kind)) {
    mail_.apply(answer, now);
    return {};
  }
  if (kind == Request::Kind::kPulse) return take_pulse(answer.reply);
  if (kind == Request::Kind::kRole) return must_be_master(answer.reply);
  if (kind == Request::Kind::kMeta) return take_meta(answer, now);
  if (kind == Request::Kind::kReplication) return take_replication(answer.reply, now);
  const bool may_read = !answer.reply.is_error() || classify(answer.reply) == Refusal::kWrongType;
  return may_read ? Result<void>() : unexpected("cannot read certificates", answer.reply);
}

// ---- the pulse

Result<void> Sync::Thread::beat(SteadyTime now) {
  if (pulse_ || now < next_pulse_) return {};
  pulse_ = Pulse{now, data_set_.fence().returning()};
  next_pulse_ = now + options_.pulse_interval;
  mirror_.pulse_sent();
  Pipeline& pipeline = link_->pipeline();
  Request request;
  request.kind = Request::Kind::kPulse;
  Result<void> sent = pipeline.send(
      request, {"SET", pulse_key_, std::to_string(++pulses_), "EX", std::string(kPulseTtl)});
  if (!sent) return sent;
  // A master that is demoted goes on talking to us.
  request.kind = Request::Kind::kRole;
  sent = pipeline.send(request, {"ROLE"});
  if (!sent) return sent;
  if (sent = ask_meta(schema_, pulses_, pipeline); !sent) return sent;
  request.kind = Request::Kind::kReplication;
  if (sent = pipeline.send(request, {"INFO", "replication"}); !sent) return sent;
  request.kind = Request::Kind::kProbe;
  return pipeline.send(request,
                       {"HMGET", schema_.cert(policy::Fingerprint()), std::string(field::kState)});
}

// The answer only says that Redis took it; what counts is that S names it.
Result<void> Sync::Thread::take_pulse(const Reply& reply) {
  if (!reply.is_error()) {
    if (!pulse_refusal_.empty()) {
      pulse_refusal_.clear();
      show_complaint();
    }
    return {};
  }
  Error error = unexpected("cannot write the pulse", reply);
  if (classify(reply) != Refusal::kWrite || !pulse_) return error;
  pulse_->refused = true;
  if (error.message != pulse_refusal_) {
    pulse_refusal_ = error.message;
    show_complaint();
    log_.push(log::Line(log::Level::kWarning, "registry_unproven").add("error", error.message));
  }
  return link_->ask_hearing();
}

Result<void> Sync::Thread::pulse_over(SteadyTime now, bool proven) {
  const Pulse pulse = *pulse_;
  pulse_.reset();
  if (state_ == SyncState::kArm) return rebuild(now);
  if (!proven) return {};
  mirror_.pulse_returned();
  if (state_ == SyncState::kLive && !mark_) {
    mark_ = Mark{pulse.sent, mirror_.named(), pulses_, pulse.returning};
  }
  return {};
}

Result<void> Sync::Thread::move_watermark(SteadyTime now) {
  if (!mark_ || mirror_.applied() < mark_->named || meta_read_ < mark_->pulse) return {};
  const Mark mark = *std::exchange(mark_, std::nullopt);
  if (!data_set_.fence().holding()) board_.advance_watermark(mark.sent);
  return data_set_.returned(mark.returning) ? read_again(now) : Result<void>();
}

// ---- full scans

Result<void> Sync::Thread::rebuild(SteadyTime now) {
  mark_.reset();
  enter(SyncState::kSyncing);
  // Whose data they are is known before the first of them is taken.
  if (Result<void> asked = ask_meta(schema_, 0, link_->pipeline()); !asked) return asked;
  return mirror_.begin_scan(Mirror::Purpose::kRebuild, link_->pipeline(), now);
}

Result<void> Sync::Thread::audit(SteadyTime now) {
  if (state_ != SyncState::kLive || mirror_.scanning() || now < next_audit_) return {};
  next_audit_ = now + audit_pause();
  return mirror_.begin_scan(Mirror::Purpose::kAudit, link_->pipeline(), now);
}

void Sync::Thread::finish_scan(SteadyTime now) {
  const std::optional<Mirror::Finished> finished = mirror_.take_finished();
  if (!finished) return;
  data_set_.reconciled();
  board_.count_full_sync();
  if (!data_set_.fence().holding()) board_.advance_watermark(finished->began);
  if (state_ == SyncState::kSyncing) arrive(now);
}

void Sync::Thread::arrive(SteadyTime now) {
  enter(SyncState::kLive);
  next_audit_ = now + audit_pause();
  if (!live_since_) {
    live_since_ = now;
    board_.count_connect();
  }
  logged_error_.clear();
  show_complaint();
  board_.announce_sync();
  log_.push(log::Line(log::Level::kNotice, "registry_live")
                .add("certificates", static_cast<std::int64_t>(replica_.size()))
                .add("redis", server_.text()));
}

// ---- the data set

Result<void> Sync::Thread::ask_meta_for_absences() {
  const bool asked = link_->pipeline().asking(Request::Kind::kMeta);
  if (asked || !mirror_.waits_for_meta()) return {};
  return ask_meta(schema_, 0, link_->pipeline());
}

Result<void> Sync::Thread::take_meta(const Pipeline::Answer& answer, SteadyTime now) {
  const Result<bool> again = data_set_.take_meta(answer.reply);
  if (!again) return again.error();
  meta_read_ = std::max(meta_read_, answer.request.named);
  if (again.value()) return read_again(now);
  mirror_.meta_read();
  return {};
}

Result<void> Sync::Thread::take_replication(const Reply& reply, SteadyTime now) {
  const Result<bool> again = data_set_.take_replication(reply);
  if (!again) return again.error();
  return again.value() ? read_again(now) : Result<void>();
}

// Before the first scan of a link nothing has been read yet.
Result<void> Sync::Thread::read_again(SteadyTime now) {
  return state_ == SyncState::kArm ? Result<void>() : rebuild(now);
}

void Sync::Thread::report() {
  data_set_.report_regressions();
  board_.set_counters(mirror_);
  if (reported_ == data_set_.fence().version()) return;
  reported_ = data_set_.fence().version();
  board_.set_fence(data_set_.fence());
}

// ---- waiting

void Sync::Thread::wake_broker() {
  if (!changes_.waiting()) {
    next_wake_ = SteadyTime{};
    return;
  }
  const SteadyTime now = steady_clock::now();
  if (now < next_wake_) return;
  next_wake_ = now + kWakeInterval;
  wake_();
}

void Sync::Thread::sleep(SteadyTime now) {
  SteadyTime until = more_to_read_ ? now : now + kPollMax;
  if (changes_.waiting()) until = std::min(until, next_wake_);
  std::vector<pollfd>& items = awaited_;
  items.assign({{stop_event_, POLLIN, 0}, {-1, 0, 0}, {-1, 0, 0}});
  if (sentinels_) sentinels_->add_to(items);
  if (!link_) {
    until = std::min(until, dial_at_);
  } else {
    items[1] = {link_->hearing().fd(), link_->hearing().events(), 0};
    items[2] = {link_->data().fd(), link_->data().events(), 0};
    if (items[1].fd < 0 || items[2].fd < 0) until = std::min(until, now + Connection::kLookupPause);
    if (link_->armed() && !pulse_) until = std::min(until, next_pulse_);
    if (const auto due = mirror_.due()) until = std::min(until, *due);
  }
  const nanoseconds left = std::max(nanoseconds(until - now), nanoseconds(0));
  const timespec limit{static_cast<time_t>(left.count() / 1'000'000'000),
                       static_cast<long>(left.count() % 1'000'000'000)};
  ::ppoll(items.data(), items.size(), &limit, nullptr);
}

// Between half of `length` and all of it, so that a fleet of brokers does not act as one.
milliseconds Sync::Thread::jitter(milliseconds length) {
  std::uniform_int_distribution<std::int64_t> choose(length.count() / 2, length.count());
  return milliseconds(choose(random_));
}

milliseconds Sync::Thread::audit_pause() {
  return options_.reconcile_interval / 2 + jitter(options_.reconcile_interval);
}

// ---- Sync

Sync::Sync(SyncOptions options, Replica& replica, Changes& changes, Outbox& outbox, log::Queue& log,
           std::function<void()> wake)
    : thread_(std::make_unique<Thread>(std::move(options), replica, changes, outbox, log,
                                       std::move(wake))) {}

Sync::~Sync() = default;

Result<void> Sync::start() {
  return thread_->start();
}

void Sync::stop() {
  thread_->stop();
}

bool Sync::wait_until_synced(milliseconds limit) const {
  return thread_->board().wait_until_synced(limit);
}

SyncStatus Sync::status() const {
  return thread_->board().status();
}

std::optional<milliseconds> Sync::age() const noexcept {
  return thread_->board().age();
}

Remembered Sync::remembered() const {
  return thread_->board().remembered();
}

}  // namespace leafgate::registry
