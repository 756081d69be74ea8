// SPDX-License-Identifier: Apache-2.0
// One loaded plugin: owns the registry's replica and its sync thread, the gate, and everything
// between them, from mosquitto_plugin_init to mosquitto_plugin_cleanup.
//
// The broker's thread only, on_broker_thread() excepted.
#pragma once

#include <pthread.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "config/config.h"
#include "plugin/gate.h"
#include "plugin/notices.h"
#include "plugin/rejudge.h"
#include "plugin/sessions.h"
#include "plugin/sys_topics.h"
#include "plugin/wake.h"
#include "registry/changes.h"
#include "registry/outbox.h"
#include "registry/replica.h"
#include "registry/snapshots.h"
#include "registry/sync.h"

namespace leafgate::plugin {

class Plugin {
 public:
  // Reads the configuration and the snapshot, starts the sync thread and, without a usable
  // snapshot, waits up to `registry.wait_at_start` for the first sync: the broker's listeners are
  // closed until then. A registry that is away is no
  // failure, only logged: connections are refused until it is there. An Error stops the broker's
  // start.
  static Result<std::unique_ptr<Plugin>> start(const std::string& config_path);

  // Stops the sync thread and writes the last snapshot: afterwards nothing of ours runs.
  ~Plugin();
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  // False in the threads of 2.1's HTTP API, which ask without being the broker's.
  bool on_broker_thread() const noexcept { return pthread_equal(pthread_self(), thread_) != 0; }

  Gate& gate() { return gate_; }

  // Reads the configuration again, all or nothing.
  void reload();
  void tick();

 private:
  Plugin(std::string config_path, const config::Config& config);

  Result<void> begin();
  // What the sync goes on from; nullopt: it starts with nothing.
  std::optional<registry::SnapshotRead> load_snapshot();
  void say_loaded(const registry::SnapshotRead& read) const;
  void wait_for_sync() const;
  void say_hello() const;
  void say_mode() const;
  static void say_needs_restart(std::string_view key);
  void turn();
  void keep_house(policy::Time now, std::chrono::milliseconds since_start);
  void drain_log();
  void watch_freshness(policy::Time now);
  void report_status();
  void set_alarm();

  const pthread_t thread_;
  const std::string config_path_;
  const std::string broker_;               // of the start: a reload does not change it
  const config::RegistryConfig registry_;  // likewise
  const policy::Time started_at_;

  log::Queue log_;
  registry::Replica replica_;
  registry::Changes changes_;
  registry::Outbox outbox_;
  Sessions sessions_;
  Notices notices_;
  Gate gate_;
  Rejudge rejudge_;
  SysTopics sys_topics_;
  std::unique_ptr<Wake> wake_;
  std::unique_ptr<registry::Sync> sync_;            // uses what stands above
  std::unique_ptr<registry::Snapshots> snapshots_;  // uses sync_; null: none is kept

  bool was_stale_ = false;
  policy::Time stale_at_ = policy::kNever;  // unless more is heard of the registry
  std::chrono::milliseconds next_log_{};
  std::chrono::milliseconds next_watch_{};
  std::chrono::milliseconds next_status_{};
};

}  // namespace leafgate::plugin
