/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_PLATFORM_GOLDEN_H
#define DEVTREE_PLATFORM_GOLDEN_H

/*
 * Expected facts and leaks of boards ("golden devtree facts v1", "leak expectations v1"): the only input is the name of the
 * blob, on the second line.
 */
#include "sim/core/golden.h"

extern const struct golden_runner devtree_facts_golden_runner;
extern const struct golden_runner devtree_leaks_golden_runner;

#endif
