// SPDX-License-Identifier: Apache-2.0
#include "plugin/plugin.h"

#include <algorithm>
#include <utility>

#include "plugin/broker.h"
#include "plugin/status.h"

namespace leafgate::plugin {
namespace {

using std::chrono::milliseconds;

// What waits at most this long: other threads' log lines, notices that were only counted, sessions
// that could not be ended at once. TICK comes thousands of times a second under load and does none
// of it.
constexpr milliseconds kLogEvery{50};
constexpr milliseconds kWatchEvery{200};
constexpr milliseconds kStatusEvery{5000};
constexpr milliseconds kWorkEvery{1};  // of Rejudge, which rests in between

policy::Time wall_clock() {
  return std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
}

std::chrono::microseconds precise_uptime() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
}

milliseconds uptime() {
  return std::chrono::duration_cast<milliseconds>(precise_uptime());
}

}  // namespace

Result<std::unique_ptr<Plugin>> Plugin::start(const std::string& config_path) {
  Result<config::Config> config = config::load(config_path);
  if (!config) return config.error();
  std::unique_ptr<Plugin> plugin(new Plugin(config_path, config.value()));
  const Result<void> begun = plugin->begin();
  if (!begun) return begun.error();
  return plugin;
}

Plugin::Plugin(std::string config_path, const config::Config& config)
    : thread_(pthread_self()),
      config_path_(std::move(config_path)),
      broker_(config.broker),
      registry_(config.registry),
      started_at_(wall_clock()),
      notices_(outbox_, uptime),
      gate_(config, replica_,
            Clocks{.now = wall_clock,
                   .uptime = uptime,
                   .age = [this] { return sync_ ? sync_->age() : std::nullopt; }},
            sessions_, notices_),
      rejudge_(gate_, sessions_, notices_, precise_uptime) {}

Plugin::~Plugin() {
  if (sync_) {
    sync_->stop();
    if (snapshots_) snapshots_->finish();
  }
  drain_log();
}

Result<void> Plugin::begin() {
  Result<std::unique_ptr<Wake>> wake = Wake::install();
  if (!wake) return wake.error();
  wake_ = std::move(wake.value());
  say_hello();
  const std::optional<registry::SnapshotRead> snapshot = load_snapshot();

  registry::SyncOptions options;
  options.endpoint = registry_.endpoint;
  options.prefix = registry_.prefix;
  options.broker = broker_;
  options.version = LEAFGATE_VERSION;
  options.hold_on_data_loss = registry_.hold_on_data_loss;
  options.device_id_rule = config::device_id_rule(gate_.config().rules);
  if (snapshot) {
    options.remembered = snapshot->remembered;
    options.age_at_start = std::max(wall_clock() - snapshot->watermark, milliseconds(0));
  }
  sync_ = std::make_unique<registry::Sync>(std::move(options), replica_, changes_, outbox_, log_,
                                           [wake = wake_.get()] { wake->ring(); });
  Result<void> started = sync_->start();
  if (!started) return started;

  if (snapshot) {
    say_loaded(*snapshot);
  } else {
    wait_for_sync();
  }
  drain_log();
  was_stale_ = gate_.is_stale();
  return {};
}

std::optional<registry::SnapshotRead> Plugin::load_snapshot() {
  if (registry_.snapshot.empty()) return std::nullopt;
  registry::SnapshotsOptions options;
  options.path = registry_.snapshot;
  options.prefix = registry_.prefix;
  options.age = [this] { return sync_->age(); };
  options.remembered = [this] { return sync_->remembered(); };
  snapshots_ = std::make_unique<registry::Snapshots>(std::move(options), replica_, log_);

  Result<registry::SnapshotRead> read = snapshots_->load();
  if (read) return std::move(read.value());
  // The first start has none.
  const bool is_absent = read.error().kind == ErrorKind::kNotFound;
  broker::log(log::Line(is_absent ? log::Level::kNotice : log::Level::kError, "snapshot_unusable")
                  .add("error", read.error().message)
                  .add("so", "nothing is known until Redis is there"));
  return std::nullopt;
}

void Plugin::say_loaded(const registry::SnapshotRead& read) const {
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(wall_clock() - read.watermark);
  const bool is_stale = gate_.is_stale();
  log::Line line(is_stale ? log::Level::kWarning : log::Level::kNotice, "snapshot_loaded");
  line.add("file", registry_.snapshot)
      .add("certificates", static_cast<std::int64_t>(read.certificates))
      .add("age_s", static_cast<std::int64_t>(age.count()));
  if (is_stale) {
    line.add("so", "older than freshness.max_staleness: it admits nobody until Redis is there");
  }
  broker::log(line);
}

void Plugin::say_hello() const {
  broker::log(log::Line(log::Level::kNotice, "started")
                  .add("version", LEAFGATE_VERSION)
                  .add("broker", broker_)
                  .add("registry", registry_.endpoint.text())
                  .add("config", config_path_));
  say_mode();
}

void Plugin::say_mode() const {
  if (gate_.config().rules.spec().mode != policy::Mode::kReport) return;
  broker::log(log::Level::kWarning,
              "admission.mode is report: nobody is refused, refusals are only logged as "
              "would_refuse");
}

void Plugin::wait_for_sync() const {
  if (registry_.wait_at_start == milliseconds(0)) return;
  broker::log(log::Line(log::Level::kInfo, "waiting_for_registry")
                  .add("at_most_ms", static_cast<std::int64_t>(registry_.wait_at_start.count())));
  if (sync_->wait_until_synced(registry_.wait_at_start)) {
    broker::log(log::Line(log::Level::kNotice, "registry_synced")
                    .add("certificates", static_cast<std::int64_t>(replica_.size())));
  } else {
    broker::log(log::Line(log::Level::kWarning, "registry_away")
                    .add("error", sync_->status().last_error)
                    .add("until_it_is_there", "connections are refused as registry_stale"));
  }
}

void Plugin::reload() {
  gate_.reload_begins();
  Result<config::Config> config = config::load(config_path_);
  if (!config) {
    broker::log(log::Line(log::Level::kError, "reload_failed")
                    .add("error", config.error().message)
                    .add("so", "the rules of before stay"));
    return;
  }
  if (config.value().broker != broker_) say_needs_restart("broker");
  if (!(config.value().registry == registry_)) say_needs_restart("registry");
  gate_.configure(std::move(config.value()));
  changes_.everything();  // in the TICK that follows
  broker::log(log::Line(log::Level::kNotice, "reloaded").add("config", config_path_));
  say_mode();
}

void Plugin::say_needs_restart(std::string_view key) {
  broker::log(log::Line(log::Level::kWarning, "needs_restart")
                  .add("key", key)
                  .add("so", "its change needs a restart of the broker"));
}

void Plugin::tick() {
  try {
    turn();
  } catch (...) {
    changes_.everything();  // what was taken from it may be lost; allocates nothing
    throw;
  }
}

void Plugin::turn() {
  gate_.tick();
  if (changes_.waiting()) rejudge_.changed(changes_.take());
  const policy::Time now = wall_clock();
  if (now >= stale_at_) watch_freshness(now);
  rejudge_.run(now);

  const milliseconds since_start = uptime();
  if (since_start >= next_log_) keep_house(now, since_start);
  // The timer gets the loop round again soon while there is work, and wakes it at the next
  // deadline.
  wake_->at(rejudge_.busy() ? now + kWorkEvery : std::min(sessions_.first_deadline(), stale_at_));
}

void Plugin::keep_house(policy::Time now, milliseconds since_start) {
  next_log_ = since_start + kLogEvery;
  drain_log();
  rejudge_.retry();
  if (since_start >= next_watch_) {
    next_watch_ = since_start + kWatchEvery;
    notices_.flush();
    watch_freshness(now);
    if (snapshots_) snapshots_->tick(since_start);
  }
  if (since_start >= next_status_) {
    next_status_ = since_start + kStatusEvery;
    report_status();
  }
}

void Plugin::drain_log() {
  log_.drain([](log::Level level, const std::string& text) { broker::log(level, text); });
}

void Plugin::report_status() {
  const bool reports = gate_.config().rules.spec().mode == policy::Mode::kReport;
  const auto started = std::chrono::floor<std::chrono::seconds>(started_at_).time_since_epoch();
  const std::string when_stale(config::to_string(gate_.config().freshness.when_stale));
  Status status{{"version", "version", LEAFGATE_VERSION},
                {"mode", "mode", reports ? "report" : "enforce"},
                {"started_at", "", std::to_string(started.count())},
                {"stale", "stale", was_stale_ ? "1" : "0"},
                {"when_stale", "", when_stale},
                {"sessions", "sessions", std::to_string(sessions_.size())},
                {"events_dropped", "events_dropped", std::to_string(outbox_.dropped())}};
  add_registry(status, sync_->status());
  add_counters(status, notices_.counters());
  add_states(status, replica_);
  if (snapshots_) add_snapshot(status, snapshots_->status(), registry_.snapshot, wall_clock());
  sys_topics_.publish(status);
  outbox_.status(fields_of(status));
}

void Plugin::watch_freshness(policy::Time now) {
  const milliseconds left = gate_.fresh_for();
  const bool is_stale = left < milliseconds(0);
  const bool has_end = !is_stale && left != milliseconds::max();
  stale_at_ = has_end ? now + left + milliseconds(1) : policy::kNever;
  if (is_stale == was_stale_) return;
  was_stale_ = is_stale;
  if (!is_stale) return broker::log(log::Line(log::Level::kNotice, "registry_fresh"));

  const bool ends = gate_.ends_when_stale();
  if (ends) rejudge_.everything();
  broker::log(log::Line(log::Level::kWarning, "registry_stale")
                  .add("so", ends ? "new connections are refused and live sessions are ended"
                                  : "new connections are refused; live sessions stay"));
}

}  // namespace leafgate::plugin
