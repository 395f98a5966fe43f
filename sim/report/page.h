/* SPDX-License-Identifier: MIT */
#ifndef SIM_REPORT_PAGE_H
#define SIM_REPORT_PAGE_H

/*
 * One run, or two side by side, as one HTML page that needs nothing else: style, script and Chart.js are in it, a content
 * security policy with their digests lets nothing else run or load, and every chart has its numbers as a table, so that the
 * page says the same without script, to a screen reader and on paper.
 *
 * The page shows what run.json has: what a section needs and the run lacks is left out with a sentence, and groups that no
 * section knows stand at its end. The same results give the same bytes.
 */
#include "sim/report/results.h"

#define PAGE_RUNS_MAX 2

/** Returns the page of @count runs, from 1 to PAGE_RUNS_MAX; @version is the program's. NULL with "FILE:LINE: …" in *@error
 *  where run.json has something of a type that makes no sense. Free with g_string_free(). */
GString *page_new(struct results *const *runs, unsigned count, const char *version, GError **error);

#endif
