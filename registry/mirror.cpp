// SPDX-License-Identifier: Apache-2.0
#include "registry/mirror.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "registry/data_set.h"
#include "registry/info.h"

namespace leafgate::registry {
namespace {

using policy::Time;
using std::chrono::milliseconds;

constexpr std::size_t kAskingMax = 512;  // named keys in flight
// Two pages are in flight in a rebuild. Smaller ones keep named keys and other clients waiting
// less; larger ones make up for a Redis that is far away, where each page takes as long as the way
// there and back.
constexpr std::int64_t kPage = 256;
constexpr std::int64_t kPageMax = 2048;
constexpr std::int64_t kNamesPage = 1000;
constexpr int kAuditRest = 3;              // an audit works a quarter of the time
constexpr std::size_t kOthersMax = 4096;   // keys with a TTL that a scan can tell from certificates
constexpr std::size_t kNamedMin = 10'000;  // so many named keys are always read one by one
constexpr std::size_t kNamedMax = 500'000;     // and so many never
constexpr std::size_t kNamedKept = 2'000'000;  // while a rebuild waits, which reads the others
constexpr std::chrono::seconds kUnusableLogInterval{10};
constexpr std::size_t kRepairsLogged = 10;
constexpr std::int64_t kNoSuchKey = -2;  // PEXPIRETIME's answer

constexpr std::array kCertFields{field::kState, field::kRetireAt, field::kRevokedAt};

// PEXPIRETIME: milliseconds since 1970, -1 without a TTL. Beyond any clock of ours is never.
Time gone_at(std::int64_t answer) {
  if (answer < 0) return policy::kNever;
  return Time(milliseconds(answer));
}

// For a Redis that takes so long to answer. An audit has time.
std::int64_t page_for(Mirror::Purpose purpose, SteadyTime::duration answer) {
  const auto ms = std::chrono::ceil<milliseconds>(answer).count();
  const std::int64_t page = std::clamp(kPage * ms, kPage, kPageMax);
  return purpose == Mirror::Purpose::kAudit ? page / 2 : page;
}

Result<void> ask_ttl(std::string_view key, Request request, Pipeline& pipeline) {
  std::string bytes;
  encode_head(2, bytes);
  encode_word("PEXPIRETIME", bytes);
  encode_word(key, bytes);
  return pipeline.send_encoded(std::move(request), bytes);
}

}  // namespace

Mirror::Mirror(Schema schema, int database, Fence& fence, Lease& lease, Replica& replica,
               Changes& changes, log::Queue& log)
    : schema_(std::move(schema)),
      keyspace_line_("db" + std::to_string(database) + ":"),
      fence_(fence),
      lease_(lease),
      replica_(replica),
      changes_(changes),
      log_(log) {}

void Mirror::name(std::string_view key) {
  const KeyName::Kind kind = parse_key(schema_, key).kind;
  if (kind == KeyName::Kind::kOther) {
    unusable("its name is not canonical", key);
    return;
  }
  suspects_.named(key);
  if (named_.size() >= kNamedKept && rebuild_waits()) return;
  named_.add(key);
}

bool Mirror::rebuild_waits() const {
  return scan_ && scan_->purpose == Purpose::kRebuild && !scan_->reading;
}

bool Mirror::too_many_named() const {
  const std::size_t limit = std::clamp(replica_.size() / 4, kNamedMin, kNamedMax);
  return named_.size() > limit;
}

bool Mirror::overwhelmed() const {
  return too_many_named() && !rebuild_waits();
}

Result<void> Mirror::begin_scan(Purpose purpose, Pipeline& pipeline, SteadyTime now) {
  finished_.reset();  // one that has ended says nothing about what is in doubt now
  if (purpose == Purpose::kRebuild) {
    // What waits for a proof is asked once more: the data may be another's now.
    for (const std::string& key : absences_.take())
      named_.add(key);
    suspects_.clear();
  }
  ++epoch_;
  scan_.emplace();
  scan_->purpose = purpose;
  scan_->began = now;
  Request request;
  request.kind = Request::Kind::kScanBegin;
  request.epoch = epoch_;
  return pipeline.send(std::move(request), {"INFO", "keyspace"});
}

void Mirror::disconnect() noexcept {
  ++epoch_;
  lease_.disconnect();
  scan_.reset();
  finished_.reset();
  named_.clear();
  applied_ = named_.added();
  asking_ = 0;
  absences_.clear();
  suspects_.clear();
}

// ---- asking

Result<void> Mirror::ask(Pipeline& pipeline, SteadyTime now) {
  name_ended_blocks();
  if (Result<void> asked = ask_named(pipeline); !asked) return asked;
  if (Result<void> asked = ask_turn(pipeline, now); !asked) return asked;
  if (scan_ && scan_->page_due && now >= *scan_->page_due) return ask_page(pipeline, now);
  return {};
}

std::optional<SteadyTime> Mirror::due() const {
  return scan_ ? scan_->page_due : std::nullopt;
}

Result<void> Mirror::ask_named(Pipeline& pipeline) {
  while (asking_ < kAskingMax) {
    const std::optional<NamedKeys::Taken> taken = named_.take();
    if (!taken) return {};
    ++asking_;
    const KeyName name = parse_key(schema_, taken->key);
    if (Result<void> asked = ask_key(taken->key, name, taken->place, pipeline); !asked)
      return asked;
  }
  return {};
}

Result<void> Mirror::ask_turn(Pipeline& pipeline, SteadyTime now) {
  if (!scan_ || !scan_->needs_turn) return {};
  // Who knows nothing yet can admit nobody.
  const bool urgent = replica_.size() == 0;
  const Lease::Wish wish{scan_->purpose, urgent, scan_->began};
  if (Result<void> asked = lease_.ask(wish, pipeline, now); !asked) return asked;
  if (scan_->reading || !lease_.held(scan_->purpose)) return {};
  return begin_reading(pipeline, now);
}

// What was named and read until now may be gone, and its naming among those that are dropped: none
// of it counts as seen by this scan.
void Mirror::begin_generation() {
  ++epoch_;
  if (generation_ == std::numeric_limits<Generation>::max()) {
    replica_.unstamp();
    generation_ = kUnstamped;
  }
  ++generation_;
}

Result<void> Mirror::begin_reading(Pipeline& pipeline, SteadyTime now) {
  begin_generation();
  scan_->reading = true;
  // In doubt a scan does not say all that a naming does: see keep_refusal().
  if (scan_->purpose == Purpose::kRebuild && (!fence_.distrusts() || too_many_named())) {
    named_.clear();
    applied_ = named_.added();
  }
  return ask_page(pipeline, now);
}

Result<void> Mirror::ask_key(std::string_view key, const KeyName& name, std::uint64_t place,
                             Pipeline& pipeline) {
  Request request;
  request.epoch = epoch_;
  request.named = place;
  if (name.kind == KeyName::Kind::kCert) {
    request.kind = Request::Kind::kCert;
    request.fingerprint = name.fingerprint;
    if (place != 0) request.key = key;
    request.ttl_follows = place != 0 || scan_->with_ttl;
    return ask_cert(key, std::move(request), pipeline);
  }
  request.kind = Request::Kind::kBlock;
  request.key = key;
  return ask_block(key, std::move(request), pipeline);
}

Result<void> Mirror::ask_cert(std::string_view key, Request request, Pipeline& pipeline) {
  std::string bytes;
  bytes.reserve(256);
  encode_head(2 + kCertFields.size(), bytes);
  encode_word("HMGET", bytes);
  encode_word(key, bytes);
  for (const std::string_view name : kCertFields)
    encode_word(name, bytes);

  const bool ttl_follows = request.ttl_follows;
  Request ttl = request;
  if (Result<void> sent = pipeline.send_encoded(std::move(request), bytes); !sent) return sent;
  if (!ttl_follows) return {};
  ttl.kind = Request::Kind::kCertTtl;
  return ask_ttl(key, std::move(ttl), pipeline);
}

Result<void> Mirror::ask_block(std::string_view key, Request request, Pipeline& pipeline) {
  Request ttl = request;
  ttl.kind = Request::Kind::kBlockTtl;
  const Command command{"HMGET", std::string(key), std::string(field::kBefore)};
  if (Result<void> sent = pipeline.send(std::move(request), command); !sent) return sent;
  return ask_ttl(key, std::move(ttl), pipeline);
}

Result<void> Mirror::ask_page(Pipeline& pipeline, SteadyTime now) {
  const std::int64_t count = scan_->names_only ? kNamesPage : scan_->page;
  scan_->page_asked = now;
  scan_->page_due.reset();
  scan_->page_waiting = true;
  Request request;
  request.kind = Request::Kind::kScan;
  request.epoch = epoch_;
  return pipeline.send(std::move(request), {"SCAN", scan_->cursor, "MATCH", schema_.prefix() + "*",
                                            "COUNT", std::to_string(count)});
}

// Its last answer comes behind those of all reads before it.
Result<void> Mirror::ask_end(Pipeline& pipeline, SteadyTime now) {
  if (!scan_->with_ttl && scan_->others.size() > kOthersMax) return scan_with_ttl(pipeline, now);
  if (Result<void> asked = ask_meta(schema_, 0, pipeline); !asked) return asked;
  std::vector<Command> commands;
  if (!scan_->with_ttl) {
    commands.push_back({"MULTI"});
    for (const std::string& key : scan_->others)
      commands.push_back({"PEXPIRETIME", key});
  }
  commands.push_back({"INFO", "keyspace"});
  if (!scan_->with_ttl) commands.push_back({"EXEC"});

  for (std::size_t i = 0; i < commands.size(); ++i) {
    Request request;
    request.kind = i + 1 == commands.size() ? Request::Kind::kScanEnd : Request::Kind::kNothing;
    request.epoch = epoch_;
    if (Result<void> sent = pipeline.send(std::move(request), commands[i]); !sent) return sent;
  }
  return {};
}

// ---- answers

bool Mirror::owns(Request::Kind kind) noexcept {
  return kind <= Request::Kind::kScanEnd;
}

Result<void> Mirror::apply(const Pipeline::Answer& answer, Pipeline& pipeline, SteadyTime now) {
  const Request& request = answer.request;
  Result<void> done;
  switch (request.kind) {
    case Request::Kind::kCert:
      done = take_cert(request, answer.reply, pipeline);
      if (!request.ttl_follows) finish_read(request);
      break;
    case Request::Kind::kCertTtl:
      done = take_cert_ttl(request, answer.reply, pipeline);
      finish_read(request);
      break;
    case Request::Kind::kBlock:
      done = take_block(request, answer.reply);
      break;
    case Request::Kind::kBlockTtl:
      done = take_block_ttl(request, answer.reply, pipeline);
      finish_read(request);
      break;
    case Request::Kind::kLease:
      return lease_.apply(answer.reply, pipeline, now);
    case Request::Kind::kScanBegin:
    case Request::Kind::kScan:
    case Request::Kind::kNothing:
    case Request::Kind::kScanEnd:
      return take_scan_answer(request, answer.reply, pipeline, now);
    case Request::Kind::kPulse:
    case Request::Kind::kMeta:
    case Request::Kind::kRole:
    case Request::Kind::kReplication:
    case Request::Kind::kProbe:
    case Request::Kind::kEvent:
    case Request::Kind::kStatusRead:
    case Request::Kind::kStatusWrite:
      break;
  }
  rest_between_pages(now);
  return done;
}

void Mirror::rest_between_pages(SteadyTime now) {
  if (!scan_ || scan_->purpose != Purpose::kAudit) return;
  if (scan_->page_waiting || scan_->unread != 0 || scan_->page_due) return;
  scan_->page_due = now + kAuditRest * (now - scan_->page_asked);
}

void Mirror::finish_read(const Request& request) {
  if (request.named != 0) {
    --asking_;
    applied_ = std::max(applied_, request.named);
  } else if (scan_ && request.epoch == epoch_) {
    --scan_->unread;
  }
}

// An answer to an earlier scan's question says nothing about this one.
Result<void> Mirror::take_scan_answer(const Request& request, const Reply& reply,
                                      Pipeline& pipeline, SteadyTime now) {
  if (!scan_ || request.epoch != epoch_) return {};
  if (request.kind == Request::Kind::kScanBegin) return take_begin(reply, pipeline, now);
  if (request.kind == Request::Kind::kScan) return take_page(reply, pipeline, now);
  if (request.kind == Request::Kind::kScanEnd) return take_end(reply, pipeline, now);
  return {};  // a refused MULTI shows in the answer to its EXEC
}

Result<void> Mirror::take_begin(const Reply& reply, Pipeline& pipeline, SteadyTime now) {
  const std::optional<std::string_view> info = reply.text();
  if (!info || reply.is_error()) return unexpected("cannot ask redis for INFO keyspace", reply);
  scan_->page = page_for(scan_->purpose, now - scan_->began);
  const Keyspace keyspace = parse_keyspace(*info, keyspace_line_);
  scan_->with_ttl = ttl_in_use_ || keyspace.expires > kOthersMax;
  const bool believed = fence_.absence() == Fence::Absence::kBelieved;
  if (believed && keyspace.keys == 0 && scan_->purpose == Purpose::kRebuild) {
    // After a flush nobody should have to wait until a million records are swept one by one.
    replica_.clear();
    changes_.everything();
  }
  scan_->needs_turn = lease_.needed(keyspace.keys);
  if (!scan_->needs_turn) return begin_reading(pipeline, now);
  // Turns come and go too fast for a scan to have seen them all.
  scan_->others.insert(lease_.keys().begin(), lease_.keys().end());
  return {};
}

Result<void> Mirror::take_page(const Reply& reply, Pipeline& pipeline, SteadyTime now) {
  const std::optional<std::string_view> cursor = reply.text_at(0);
  if (!cursor || reply.size() != 2 || !reply[1].is_array()) {
    return unexpected("cannot scan the registry", reply);
  }
  scan_->cursor = *cursor;
  scan_->page_waiting = false;
  const bool ended = scan_->cursor == "0";
  // The next page is asked for first: while we read its names Redis works at the reads of this one.
  if (!ended && scan_->purpose == Purpose::kRebuild) {
    if (Result<void> asked = ask_page(pipeline, now); !asked) return asked;
  }

  const Reply keys = reply[1];
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (const auto key = keys.text_at(i)) {
      if (Result<void> asked = take_page_key(*key, pipeline); !asked) return asked;
    }
  }
  if (ended) {
    scan_->page_waiting = true;  // for the end, which is no page to rest after
    return ask_end(pipeline, now);
  }
  rest_between_pages(now);
  return {};
}

Result<void> Mirror::take_page_key(std::string_view key, Pipeline& pipeline) {
  const KeyName name = parse_key(schema_, key);
  const bool is_cert = name.kind == KeyName::Kind::kCert;
  const bool is_block =
      name.kind == KeyName::Kind::kDeviceBlock || name.kind == KeyName::Kind::kIssuerBlock;
  // Those that may have a TTL by the schema, and that a broker's user may ask for it.
  const bool may_end =
      is_block || name.kind == KeyName::Kind::kPulse || key.starts_with(schema_.broker(""));
  if (may_end && scan_->others.size() <= kOthersMax) scan_->others.emplace(key);
  if ((is_cert || is_block) && !scan_->names_only) {
    ++scan_->unread;
    return ask_key(key, name, 0, pipeline);
  }
  const bool meant_as_ours =
      key.starts_with(schema_.cert_prefix()) || key.starts_with(schema_.block_prefix());
  if (name.kind == KeyName::Kind::kOther && meant_as_ours && scan_->purpose == Purpose::kRebuild) {
    unusable("its name is not canonical", key);
  }
  return {};
}

Result<void> Mirror::take_end(const Reply& reply, Pipeline& pipeline, SteadyTime now) {
  if (!scan_->with_ttl && scan_->kept_end) return scan_with_ttl(pipeline, now);
  if (!scan_->with_ttl && !is_proof(reply)) {
    if (scan_->names_only) return scan_with_ttl(pipeline, now);
    // The pulse of a broker that has just started looks like a certificate with a TTL: look again.
    scan_->names_only = true;
    scan_->cursor = "0";
    return ask_page(pipeline, now);
  }
  sweep(pipeline);
  finished_ = {scan_->purpose, scan_->began};
  scan_.reset();
  return lease_.give_back(pipeline);
}

// Whether, at one moment, no more keys had a TTL than those that were asked for theirs.
bool Mirror::is_proof(const Reply& reply) const {
  if (reply.size() != scan_->others.size() + 1) return false;
  std::uint64_t known = 0;
  for (std::size_t i = 0; i + 1 < reply.size(); ++i) {
    if (reply[i].integer().value_or(-1) >= 0) ++known;
  }
  const std::optional<std::string_view> info = reply.text_at(reply.size() - 1);
  return info && parse_keyspace(*info, keyspace_line_).expires == known;
}

Result<void> Mirror::scan_with_ttl(Pipeline& pipeline, SteadyTime now) {
  ttl_in_use_ = true;
  return begin_scan(scan_->purpose, pipeline, now);
}

Result<void> Mirror::take_cert(const Request& request, const Reply& reply, Pipeline& pipeline) {
  std::optional<policy::CertRecord> record;
  if (reply.is_error()) {
    if (classify(reply) != Refusal::kWrongType) {
      return unexpected("cannot read a certificate", reply);
    }
    record.emplace();  // malformed: something is there, and admits nobody
  } else {
    if (reply.size() != kCertFields.size()) return unexpected("cannot read a certificate", reply);
    const auto state = reply.text_at(0);
    const auto retire_at = reply.text_at(1);
    const auto revoked_at = reply.text_at(2);
    // Without any of them there is no record, or one that says as little.
    if (state || retire_at || revoked_at) record = parse_record(state, retire_at, revoked_at);
  }
  if (request.ttl_follows) {
    half_cert_ = record;
  } else {
    store_cert(request, record, false, pipeline);
  }
  return {};
}

Result<void> Mirror::take_cert_ttl(const Request& request, const Reply& reply, Pipeline& pipeline) {
  const std::optional<std::int64_t> ends = reply.integer();
  if (!ends) return unexpected("cannot read a certificate's TTL", reply);
  if (*ends == kNoSuchKey) half_cert_.reset();
  if (half_cert_) half_cert_->gone_at = gone_at(*ends);
  store_cert(request, half_cert_, true, pipeline);
  half_cert_.reset();
  return {};
}

Result<void> Mirror::take_block(const Request&, const Reply& reply) {
  if (reply.is_error()) {
    if (classify(reply) != Refusal::kWrongType) return unexpected("cannot read a block", reply);
    half_block_.emplace();  // something is there: it blocks everything
    return {};
  }
  if (reply.size() != 1) return unexpected("cannot read a block", reply);
  half_block_ = parse_block(reply.text_at(0));
  return {};
}

Result<void> Mirror::take_block_ttl(const Request& request, const Reply& reply,
                                    Pipeline& pipeline) {
  const std::optional<std::int64_t> ends = reply.integer();
  if (!ends) return unexpected("cannot read a block's TTL", reply);
  if (*ends == kNoSuchKey) half_block_.reset();
  store_block(request, half_block_, gone_at(*ends), pipeline);
  half_block_.reset();
  return {};
}

// ---- alarms

void Mirror::suspect(std::string key, const Pipeline& pipeline) {
  // One that was named is no suspect: its answer, or the proof of that, is on its way.
  if (named_.contains(key) || pipeline.reading(key) || absences_.contains(key)) return;
  suspects_.add(std::move(key));
}

void Mirror::pulse_returned() {
  const std::vector<std::string> missed = suspects_.pulse_returned();
  repairs_ += missed.size();
  for (std::size_t i = 0; i < std::min(missed.size(), kRepairsLogged); ++i) {
    log_.push(log::Line(log::Level::kError, "registry_repaired").add("key", missed[i]));
  }
}

void Mirror::unusable(std::string_view why, std::string_view key) {
  ++malformed_;
  const SteadyTime now = std::chrono::steady_clock::now();
  if (unusable_logged_ && now - *unusable_logged_ < kUnusableLogInterval) return;
  unusable_logged_ = now;
  log_.push(log::Line(log::Level::kWarning, "registry_key_unusable")
                .add("key", key)
                .add("why", why)
                .add("total", static_cast<std::int64_t>(malformed_)));
}

}  // namespace leafgate::registry
