// SPDX-License-Identifier: Apache-2.0
// The parts of the benchmark. Each starts the brokers it compares, goes through its rounds with all
// of them in turn, and adds its rows.
#pragma once

#include "tests/bench/contender.h"
#include "tests/bench/figures.h"

namespace leafgate::bench {

// Connects per second and the broker's processor time for each, whoever is asked.
void measure_connects(Grounds& grounds, Figures& figures);
// What other clients feel meanwhile.
void measure_bystanders(Grounds& grounds, Figures& figures);
// Messages per second, from one to one and from one to a hundred.
void measure_messages(Grounds& grounds, Figures& figures);
// From a change in Redis to the end of the sessions: one, a hundred, all.
void measure_ends(Grounds& grounds, Figures& figures);
// How all of that grows with records and with sessions; memory; first load; an idle broker.
void measure_growth(Grounds& grounds, Figures& figures);
// Instructions and time of one decision, without a broker.
void measure_decisions(Grounds& grounds, Figures& figures);

}  // namespace leafgate::bench
