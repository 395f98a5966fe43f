/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_SUBSET_H
#define SIM_CORE_SUBSET_H

/*
 * Which of many changes make the difference? Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating
 * Failure-Inducing Input", 2002, section 3): halves, quarters, ... of what is left are tried alone, then left out.
 */
#include <stdbool.h>

#include <glib.h>

/** Returns 1 if the changes @in have the effect, 0 if not, -1 with *@error. @in has an element for each change. */
typedef int (*subset_test)(void *data, const bool *in, GError **error);

/** Reduces @in, of @count elements, which has the effect, until it has it no more without any one of them; and to a single one
 *  if any has the effect alone. Returns false with *@error. */
bool subset_reduce(unsigned count, bool *in, subset_test test, void *data, GError **error);

#endif
