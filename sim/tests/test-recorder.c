/* SPDX-License-Identifier: MIT */
/*
 * The recorder on a file of its own: how many are in flight, that it stops when told, what it tells of each request. Where
 * requests go, and what is not destroyed, is seen by sim/tests/cli/test-trace-record.py, through the program.
 */
#include <errno.h>
#include <unistd.h>

#include "sim/core/prng.h"
#include "sim/host/recorder.h"

#define DEVICE_BYTES (1u << 20)
#define REQUESTS     200u

struct fixture {
	char *path;
	struct target *target;
	struct recorder *recorder; /* NULL: io_uring is not allowed here */
	uint64_t stop_after;	   /* requests */

	uint64_t issued, ended, errors;
	uint64_t in_flight, in_flight_max;
	uint64_t last_ns; /* times never go back */
};

static bool go_on(void *data)
{
	struct fixture *fixture = data;

	return fixture->issued < fixture->stop_after;
}

static void saw(struct fixture *fixture, uint64_t time_ns)
{
	g_assert_cmpuint(time_ns, >=, fixture->last_ns);
	fixture->last_ns = time_ns;
}

static void issued(void *data, const struct io_record *record)
{
	struct fixture *fixture = data;

	saw(fixture, record->time_ns);
	g_assert_cmpuint(record->number, ==, ++fixture->issued);
	g_assert_true(record->completes);
	g_assert_false(record->never_completes);
	fixture->in_flight++;
	fixture->in_flight_max = MAX(fixture->in_flight_max, fixture->in_flight);
}

static void ended(void *data, const struct io_record *record, const struct io_complete *complete,
		  uint64_t latency_ns)
{
	struct fixture *fixture = data;

	saw(fixture, complete->time_ns);
	g_assert_cmpuint(complete->cpu, ==, record->cpu);
	g_assert_cmpuint(record->number, <=, fixture->issued);
	g_assert_cmpuint(latency_ns, <=, complete->time_ns - record->time_ns);
	g_assert_cmpuint(record->segment_count, ==, 0);
	fixture->ended++;
	fixture->errors += complete->error != 0;
	fixture->in_flight--;
}

static void write_device(struct fixture *fixture)
{
	g_autofree uint64_t *words = g_new(uint64_t, DEVICE_BYTES / sizeof(uint64_t));
	g_autoptr(GError) error = NULL;
	struct prng prng;
	int fd = g_file_open_tmp("test-recorder-XXXXXX", &fixture->path, &error);

	g_assert_no_error(error);
	close(fd);
	prng_init(&prng, 1, "device");
	for (size_t i = 0; i < DEVICE_BYTES / sizeof(uint64_t); i++)
		words[i] = prng_next(&prng);
	g_file_set_contents(fixture->path, (const char *)words, DEVICE_BYTES, &error);
	g_assert_no_error(error);
}

static void set_up(struct fixture *fixture, const void *data)
{
	struct recorder_config config = {.slots = 8,
					 .bytes_max = 8192,
					 .wrap = true,
					 .go_on = go_on,
					 .issued = issued,
					 .ended = ended,
					 .data = fixture};
	g_autoptr(GError) error = NULL;

	write_device(fixture);
	fixture->stop_after = UINT64_MAX;
	fixture->target = target_open(fixture->path, false, &error);
	g_assert_no_error(error);
	config.target = fixture->target;
	fixture->recorder = recorder_new(&config, &error);
	if (!fixture->recorder)
		g_test_skip(error->message);
}

static void tear_down(struct fixture *fixture, const void *data)
{
	recorder_free(fixture->recorder);
	target_close(fixture->target);
	unlink(fixture->path);
	g_free(fixture->path);
}

static void issue_all(struct fixture *fixture, unsigned depth)
{
	g_autoptr(GError) error = NULL;

	for (uint64_t i = 0; i < REQUESTS; i++) {
		const struct io_record record = {.op = IO_READ,
						 .time_ns = i,
						 .lba = i * 8,
						 .bytes = 4096,
						 .cpu = 3,
						 .never_completes = true};

		g_assert_true(recorder_issue(fixture->recorder, &record, depth, &error));
		g_assert_no_error(error);
	}
	g_assert_true(recorder_drain(fixture->recorder, &error));
	g_assert_no_error(error);
}

static void test_depth(struct fixture *fixture, const void *data)
{
	const struct recorder_stats *stats;

	if (!fixture->recorder)
		return;
	issue_all(fixture, 3);
	stats = recorder_stats(fixture->recorder);
	g_assert_cmpuint(stats->issued, ==, REQUESTS);
	g_assert_cmpuint(fixture->ended, ==, REQUESTS);
	g_assert_cmpuint(fixture->errors, ==, 0);
	g_assert_cmpuint(fixture->in_flight_max, <=, 3);
	g_assert_cmpuint(stats->max_in_flight, ==, fixture->in_flight_max);
	g_assert_cmpuint(stats->wrapped, ==, 0);
}

static void test_more_depth_than_slots(struct fixture *fixture, const void *data)
{
	if (!fixture->recorder)
		return;
	issue_all(fixture, 1000);
	g_assert_cmpuint(fixture->ended, ==, REQUESTS);
	g_assert_cmpuint(fixture->in_flight_max, <=, 8);
}

static void test_stops(struct fixture *fixture, const void *data)
{
	if (!fixture->recorder)
		return;
	fixture->stop_after = 17;
	issue_all(fixture, 2);
	g_assert_cmpuint(fixture->issued, ==, 17);
	g_assert_cmpuint(fixture->ended, ==, 17);
}

static void test_larger_than_prepared(struct fixture *fixture, const void *data)
{
	const struct io_record record = {.op = IO_READ, .bytes = 1 << 20};
	g_autoptr(GError) error = NULL;

	if (!fixture->recorder)
		return;
	g_assert_false(recorder_issue(fixture->recorder, &record, 1, &error));
	g_assert_nonnull(error);
	g_assert_cmpuint(fixture->issued, ==, 0);
}

static void test_changes_are_left_out(struct fixture *fixture, const void *data)
{
	g_autoptr(GError) error = NULL;

	if (!fixture->recorder)
		return;
	for (unsigned op = 0; op < IO_OPS; op++) {
		const struct io_record record = {.op = (enum io_op)op, .bytes = op == IO_FLUSH ? 0 : 4096};

		g_assert_true(recorder_issue(fixture->recorder, &record, 1, &error));
		g_assert_cmpuint(recorder_stats(fixture->recorder)->skipped[op], ==,
				 op != IO_READ && op != IO_FLUSH);
	}
	g_assert_cmpuint(fixture->issued, ==, 2);
}

static void test_target_by_another_name(struct fixture *fixture, const void *data)
{
	g_autofree char *directory = g_path_get_dirname(fixture->path);
	g_autofree char *base = g_path_get_basename(fixture->path);
	g_autofree char *other = g_build_filename(directory, ".", base, NULL);
	g_autofree char *absent = g_strconcat(fixture->path, ".absent", NULL);

	g_assert_true(target_is(fixture->target, other));
	g_assert_false(target_is(fixture->target, absent));
	g_assert_false(target_is(fixture->target, directory));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define CASE(name, function) g_test_add("/host/" name, struct fixture, NULL, set_up, function, tear_down)
	CASE("recorder/depth-is-kept", test_depth);
	CASE("recorder/depth-beyond-slots-waits", test_more_depth_than_slots);
	CASE("recorder/told-to-stop-stops", test_stops);
	CASE("recorder/larger-than-prepared-is-refused", test_larger_than_prepared);
	CASE("recorder/changes-are-left-out", test_changes_are_left_out);
	CASE("target/another-name-is-the-same", test_target_by_another_name);
#undef CASE
	return g_test_run();
}
