// SPDX-License-Identifier: Apache-2.0
// `leafgate check-config`: will this leafgate.yaml and this mosquitto.conf do what they are meant
// to?
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "admin/mosquitto_conf.h"
#include "admin/options.h"
#include "config/config.h"

namespace leafgate::admin {

// What is wrong with how the broker is told to run leafgate. `path`: of mosquitto.conf. `config` is
// the leafgate.yaml the broker will read, nullopt when there is none to be had; `config_path` its
// path, empty when unknown.
std::vector<Finding> check_conf(const std::vector<ConfLine>& lines, const std::string& path,
                                const std::optional<config::Config>& config,
                                const std::string& config_path);

// The value of our plugin's `plugin_opt_config`; empty when it is not there.
std::string config_path_of(const std::vector<ConfLine>& lines);

// kRefused when there are errors; warnings are only shown.
Exit check_config(const CommonOptions& common, const CheckConfigOptions& options);

}  // namespace leafgate::admin
