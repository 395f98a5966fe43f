/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: any bytes as a trace. Built with libFuzzer (once for each format, as FUZZ_FORMAT, and once without) it is
 * driven by that; otherwise its main() replays the files and directories given, each in every format, so that what was
 * once found stays tested.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/core/error.h"
#include "sim/tests/fuzz-main.h"
#include "sim/trace/iot.h"
#include "sim/trace/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_trace(const char *path, const struct trace_options *options)
{
	g_autoptr(GError) error = NULL;
	struct io_stream *stream = io_stream_open_options(path, options, &error);
	const struct io_record *record;
	struct io_complete complete;
	enum io_step step = IO_TROUBLE;

	while (stream && (step = io_stream_next(stream, &record, &complete, &error)) > 0)
		;
	g_assert_true((step == IO_TROUBLE) == (error != NULL));
	g_assert_true(!error || error->domain == SIM_ERROR);
	io_stream_close(stream);
}

#define FUZZ_CSV "time:ns,op:rw,offset:sectors,size:bytes,response:us,device,cpu,..."

/* Told by content, in every format, and with what the user may say of them. */
static const struct trace_options extras[] = {
	{0},
	{.at = TRACE_AT_QUEUE},
	{.at = TRACE_AT_SETUP},
	{.blkparse_format = "%D %2c %8s %5T.%9t %5p %2a %3d %S + %n [%C]"},
	{.csv = FUZZ_CSV},
};

static void read_all(const char *path)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(extras); i++)
		read_trace(path, &extras[i]);
	for (unsigned i = 0; trace_formats[i]; i++)
		read_trace(path, &(struct trace_options){.format = trace_formats[i]->name});
}

/* The same with checksums that fit, behind which nobody would get otherwise. */
static void write_resealed(int fd, const uint8_t *data, size_t size)
{
	g_autofree uint8_t *copy = g_memdup2(data, size);

	iot_reseal(copy, size);
	g_assert_cmpint(pwrite(fd, copy, size, 0), ==, (ssize_t)size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("trace", MFD_CLOEXEC);
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, data, size), ==, (ssize_t)size);
#ifdef FUZZ_FORMAT
	read_trace(path, &(struct trace_options){.format = FUZZ_FORMAT, .csv = FUZZ_CSV});
#else
	read_all(path);
#endif
	if (size > IOT_MAGIC_BYTES && memcmp(data, IOT_MAGIC, IOT_MAGIC_BYTES) == 0) {
		write_resealed(fd, data, size);
		read_trace(path, &extras[0]);
	}
	close(fd);
	return 0;
}

#ifndef FUZZ_ENGINE
static bool replay_file(const char *path)
{
	g_autofree char *bytes = NULL;
	g_autoptr(GError) error = NULL;
	gsize len;

	if (!g_file_get_contents(path, &bytes, &len, &error)) {
		fprintf(stderr, "%s\n", error->message);
		return false;
	}
	LLVMFuzzerTestOneInput((const uint8_t *)bytes, len);
	read_trace(path, &extras[0]); /* with its name, and so its siblings */
	return true;
}

int main(int argc, char **argv)
{
	return fuzz_main(argc, argv, replay_file);
}
#endif
