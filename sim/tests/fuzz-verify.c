/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: any bytes as a recording for verify, with any machine it asks for. Built with libFuzzer it is driven by that;
 * otherwise its main() replays the files and directories given, so that what was once found stays tested.
 */
#include <glib/gstdio.h>
#include <unistd.h>

#include "sim/core/error.h"
#include "sim/tests/fuzz-main.h"
#include "sim/verify/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void verify_file(const char *path)
{
	g_autoptr(GError) error = NULL;
	struct verify_recording *recording = verify_recording_read(path, &error);
	struct verify_result result = {0};
	struct machine_config config;

	if (recording) {
		machine_config_init(&config);
		verify_configure(recording, &config);
		if (machine_config_check(&config, &error) &&
		    verify(recording, &(const struct verify_options){.config = &config}, &result, &error)) {
			/* What differs is named by an event that there is. */
			g_assert_true(!result.first.found || result.first.event < recording->event_count);
			g_assert_true(!result.first.found || result.first.text);
		}
		for (unsigned class = 0; class < VERIFY_CLASSES; class ++)
			g_assert_cmpuint(result.count[class].predicted + result.count[class].undecided, <=,
					 result.count[class].recorded);
		verify_result_clear(&result);
	} else {
		g_assert_nonnull(error);
	}
	g_assert_true(!error || error->domain == SIM_ERROR);
	verify_recording_free(recording);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp("recording-XXXXXX", &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, data, size), ==, (ssize_t)size);
	close(fd);
	verify_file(path);
	g_unlink(path);
	return 0;
}

#ifndef FUZZ_ENGINE
static bool replay_file(const char *path)
{
	verify_file(path);
	return access(path, R_OK) == 0;
}

int main(int argc, char **argv)
{
	return fuzz_main(argc, argv, replay_file);
}
#endif
