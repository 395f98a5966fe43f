/* SPDX-License-Identifier: MIT */
#ifndef SIM_REPORT_RESULTS_H
#define SIM_REPORT_RESULTS_H

/*
 * What "replay -o DIR" wrote, read back: run.json, and timeline.csv and machine.ini where they are.
 */
#include "sim/io/keyfile.h"
#include "sim/report/document.h"
#include "sim/report/timeline.h"

struct results {
	char *dir; /* as the user named it, valid UTF-8 */
	struct document *run;
	struct keyfile *machine;   /* NULL: there is no machine.ini */
	GPtrArray *machine_lines;  /* of char *, its text; NULL with it */
	struct timeline *timeline; /* NULL: there is no timeline.csv */
};

/** Returns NULL with *@error: there is no run.json, or one of the files is unusable. Free with results_free(). */
struct results *results_load(const char *dir, GError **error);
/** NULL is allowed. */
void results_free(struct results *results);

#endif
