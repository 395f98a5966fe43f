/* SPDX-License-Identifier: MIT */
#ifndef SIM_TESTS_SAMPLE_H
#define SIM_TESTS_SAMPLE_H

/*
 * Tests that try everything of some kind, by the thousand. Sanitizers make each try many times as long and see the same
 * code in most: there, one of so many is tried; without them, all are. Environment SAMPLE, which -Dsample sets.
 */
#include <glib.h>

/** Returns of how many one is tried: 1 unless the environment says more. */
static inline unsigned sample_every(void)
{
	const char *text = g_getenv("SAMPLE");
	guint64 every = text ? g_ascii_strtoull(text, NULL, 10) : 1;

	g_assert_true(every >= 1 && every <= G_MAXINT);
	return (unsigned)every;
}

/** Returns whether try @number is of the sample; the first, 0, always is. */
static inline gboolean sample_takes(guint64 number)
{
	return number % sample_every() == 0;
}

/** Returns whether the recording @name is of the sample, which is the same in every folder order. */
static inline gboolean sample_takes_name(const char *name)
{
	return sample_takes(g_str_hash(name));
}

#endif
