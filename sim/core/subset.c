/* SPDX-License-Identifier: MIT */
#include "sim/core/subset.h"

#include <string.h>

struct reduction {
	unsigned count;
	bool *in;
	subset_test test;
	void *data;
};

static unsigned members(const struct reduction *r)
{
	unsigned size = 0;

	for (unsigned i = 0; i < r->count; i++)
		size += r->in[i];
	return size;
}

/* Makes @ret_part the members of part @number of @parts, or with @rest all others. */
static void part_of(const struct reduction *r, unsigned number, unsigned parts, bool rest, bool *ret_part)
{
	unsigned size = members(r), first = size * number / parts, end = size * (number + 1) / parts, at = 0;

	for (unsigned i = 0; i < r->count; i++) {
		bool inside = at >= first && at < end;

		ret_part[i] = r->in[i] && inside != rest;
		at += r->in[i];
	}
}

/* Tries each of @parts parts, or what is left without it. Returns 1 with the members reduced, 0, or -1 with *@error. */
static int reduce_to_part(struct reduction *r, unsigned parts, bool rest, GError **error)
{
	g_autofree bool *part = g_new(bool, r->count);

	for (unsigned number = 0; number < parts; number++) {
		int got;

		part_of(r, number, parts, rest, part);
		got = r->test(r->data, part, error);
		if (got < 0)
			return -1;
		if (got == 0)
			continue;
		memcpy(r->in, part, r->count * sizeof(*part));
		return 1;
	}
	return 0;
}

bool subset_reduce(unsigned count, bool *in, subset_test test, void *data, GError **error)
{
	struct reduction r = {count, in, test, data};
	unsigned parts = 2, size = members(&r);
	int got;

	/* One that does it alone is what most often is looked for, and halves would find one that needs another. */
	if (size > 1 && reduce_to_part(&r, size, false, error) < 0)
		return false;
	while ((size = members(&r)) > 1) {
		parts = MIN(parts, size);
		got = reduce_to_part(&r, parts, false, error);
		if (got == 0 && parts > 2) {
			got = reduce_to_part(&r, parts, true, error);
			if (got > 0) {
				parts--;
				continue;
			}
		}
		if (got < 0)
			return false;
		if (got > 0) {
			parts = 2;
			continue;
		}
		if (parts == size)
			return true;
		parts *= 2;
	}
	return true;
}
