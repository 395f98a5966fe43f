/* SPDX-License-Identifier: MIT */
#include "sim/cmd/progress.h"

#include <stdio.h>

#define INTERVAL_US 250000

void progress_show(struct progress *progress, uint64_t ios)
{
	gint64 now_us = g_get_monotonic_time();
	double elapsed_s = (double)(now_us - progress->begun_us) / 1e6;
	uint64_t size, at;

	if (now_us < progress->next_us)
		return;
	progress->next_us = now_us + INTERVAL_US;
	at = input_position(io_stream_input(io_transform_stream(progress->trace)), &size);
	fprintf(stderr, "\r%" G_GUINT64_FORMAT " I/Os, %.0f k/s", ios, (double)ios / elapsed_s / 1e3);
	if (size && at)
		fprintf(stderr, ", %.0f %%, %.0f s left ", 100.0 * (double)at / (double)size,
			elapsed_s * (double)(size - at) / (double)at);
	fputs("\033[K", stderr);
}

void progress_clear(void)
{
	fputs("\r\033[K", stderr);
}
