/* SPDX-License-Identifier: MIT */
/*
 * Trace events: names, times, pools, what is set aside, and what an observer makes of announcements. Each case writes a file and
 * looks at its text; the whole of a run is compared with a schema by cli/test-perfetto.py.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "blockdma/request.h"
#include "sim/report/perfetto.h"
#include "sim/report/trace-events.h"

/** Returns the path of an empty file; free with g_free(). */
static char *temporary(void)
{
	char *path;
	int file = g_file_open_tmp("test-perfetto-XXXXXX", &path, NULL);

	g_assert_cmpint(file, >=, 0);
	g_close(file, NULL);
	return path;
}

/** Ends @events and returns what the file has; it is removed. */
static char *ended(struct trace_events *events, const char *path)
{
	char *text;

	g_assert_true(trace_events_commit(events, "", NULL));
	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	g_remove(path);
	return text;
}

static unsigned count_of(const char *text, const char *what)
{
	unsigned count = 0;

	for (; (text = strstr(text, what)); text++)
		count++;
	return count;
}

#define CHECK_HAS(text, what) g_assert_cmpuint(count_of(text, what), ==, 1)

static void test_empty(void)
{
	g_autofree char *path = temporary();
	g_autofree char *text = ended(trace_events_new(path, 1, NULL), path);

	g_assert_cmpstr(text, ==, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n],\"otherData\":{}}\n");
}

static void test_names_come_once_and_count(void)
{
	g_autofree char *path = temporary();
	struct trace_events *events = trace_events_new(path, 6, NULL);
	struct trace_group *group = trace_group_new(events, 7, "a \"group\"\n");
	struct trace_track *track = trace_track_new(group, 9, "track");
	g_autofree char *text = NULL;

	trace_slice(track, 0, 1, "one", "x", "");
	g_assert_cmpuint(trace_events_count(events), ==, 5);
	g_assert_true(trace_events_room(events, 1));
	trace_slice(track, 1000, 2000, "two", "x", "\"n\":1");
	g_assert_cmpuint(trace_events_count(events), ==, 6);
	g_assert_false(trace_events_room(events, 1));
	text = ended(events, path);
	CHECK_HAS(text, "\"args\":{\"name\":\"a \\\"group\\\"\\u000a\"}");
	CHECK_HAS(text, "{\"ph\":\"M\",\"name\":\"thread_sort_index\",\"pid\":1,\"tid\":1,\"args\":{\"sort_"
			"index\":9}}");
	CHECK_HAS(text, "\"args\":{\"n\":1}}");
}

/** What touches in ps touches in ns. */
static void test_times_are_rounded_up(void)
{
	g_autofree char *path = temporary();
	struct trace_events *events = trace_events_new(path, 100, NULL);
	struct trace_track *track = trace_track_new(trace_group_new(events, 0, "g"), 0, "t");
	g_autofree char *text = NULL;

	trace_slice(track, 1, 1999, "a", "x", "");
	trace_slice(track, 1999, 12345678001, "b", "x", "");
	trace_slice(track, UINT64_C(17280000000000000000), UINT64_C(17280000000000000000), "c", "x", "");
	text = ended(events, path);
	CHECK_HAS(text, "\"ts\":0.001,\"dur\":0.001}");
	CHECK_HAS(text, "\"ts\":0.002,\"dur\":12345.677}");
	CHECK_HAS(text, "\"ts\":17280000000000.000,\"dur\":0.000}");
}

static void test_a_pool_has_no_more_tracks_than_overlap(void)
{
	g_autofree char *path = temporary(), *text = NULL;
	struct trace_events *events = trace_events_new(path, 100, NULL);
	struct trace_pool *pool = trace_pool_new(trace_group_new(events, 0, "g"), 0, "queue 1");
	struct trace_track *first = trace_pool_take(pool, 50, 60), *second = trace_pool_take(pool, 0, 100);

	g_assert_true(first != second);
	g_assert_true(trace_pool_take(pool, 60, 70) == first);
	g_assert_true(trace_pool_take(pool, 69, 120) != first);
	g_assert_true(trace_pool_take(pool, 100, 130) == first);
	g_assert_true(trace_pool_take(pool, 100, 130) == second);
	trace_events_abandon(events);
	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	g_assert_cmpstr(text, ==, "");
	g_remove(path);
}

static void test_what_is_set_aside_is_there(void)
{
	g_autofree char *path = temporary(), *text = NULL;
	struct trace_events *events = trace_events_new(path, 10, NULL);
	struct trace_track *track = trace_track_new(trace_group_new(events, 0, "g"), 0, "t");
	uint32_t reserve = 0;

	trace_slice(track, 0, 1, "first", "x", "");
	g_assert_false(trace_events_reserve(events, 6, &reserve));
	g_assert_true(trace_events_reserve(events, 4, &reserve));
	g_assert_false(trace_events_room(events, 2));
	trace_events_use(events, &reserve);
	trace_slice(track, 1, 2, "aside", "x", "");
	trace_events_use(events, NULL);
	g_assert_cmpuint(reserve, ==, 3);
	trace_slice(track, 2, 3, "not", "x", "");
	g_assert_false(trace_events_room(events, 1));
	trace_events_release(events, &reserve);
	g_assert_true(trace_events_room(events, 3));
	g_assert_false(trace_events_room(events, 4));
	text = ended(events, path);
	g_assert_cmpuint(count_of(text, "\"ph\":\"X\""), ==, 3);
}

/* ---- the observer ---- */

struct fixture {
	struct sim *sim;
	struct perfetto *perfetto;
	struct perfetto_left left;
	char *path, *text;
};

static void set_up(struct fixture *fixture, const void *limit)
{
	fixture->path = temporary();
	fixture->sim = sim_new(2, 1);
	fixture->sim->device = "nvme0";
	fixture->perfetto = perfetto_new(fixture->path, GPOINTER_TO_UINT(limit), NULL);
	perfetto_observe(fixture->perfetto, fixture->sim);
}

static void tear_down(struct fixture *fixture, const void *limit)
{
	sim_free(fixture->sim);
	perfetto_free(fixture->perfetto);
	g_remove(fixture->path);
	g_free(fixture->path);
	g_free(fixture->text);
}

static void end(struct fixture *fixture)
{
	g_assert_true(perfetto_commit(fixture->perfetto, &fixture->left, NULL));
	g_assert_true(g_file_get_contents(fixture->path, &fixture->text, NULL, NULL));
}

/** A CPU is at @cursor_ps in a step. */
static void at(struct fixture *fixture, unsigned cpu, uint64_t cursor_ps)
{
	fixture->sim->cpu = cpu;
	fixture->sim->cursor_ps = cursor_ps;
}

/** CPU 0 prepares @req from @from_ps for 1 ns, in which it allocates. */
static void submit(struct fixture *fixture, const struct request *req, uint64_t from_ps, int err)
{
	struct sim *sim = fixture->sim;

	at(fixture, 0, from_ps);
	SIM_ANNOUNCE(sim, nvme_setup, req, 1, 5);
	at(fixture, 0, from_ps + 500);
	SIM_TOOK(sim, .what = SPAN_ALLOC, .from_ps = from_ps + 100);
	at(fixture, 0, from_ps + 1000);
	SIM_TOOK(sim, .what = SPAN_PREPARE, .from_ps = from_ps, .req = req, .err = err);
	SIM_TOOK(sim, .what = SPAN_SUBMIT, .from_ps = from_ps);
}

static void finish(struct fixture *fixture, const struct request *req, unsigned cpu, uint64_t from_ps)
{
	at(fixture, cpu, from_ps + 1000);
	SIM_TOOK(fixture->sim, .what = SPAN_FINISH, .from_ps = from_ps, .req = req);
	SIM_TOOK(fixture->sim, .what = SPAN_COMPLETE, .from_ps = from_ps);
}

static void serve(struct fixture *fixture, const struct request *req, uint64_t from_ps)
{
	SIM_HARDWARE(fixture->sim, .what = SPAN_FETCH, .req = req, .from_ps = from_ps,
		     .to_ps = from_ps + 1000);
	SIM_HARDWARE(fixture->sim, .what = SPAN_SERVICE, .req = req, .unit = 3, .from_ps = from_ps + 1000,
		     .to_ps = from_ps + 9000);
}

static void test_parts_come_behind_their_whole(struct fixture *fixture, const void *limit)
{
	struct request req = {.number = 1};
	const char *step, *prepare, *begin, *alloc;

	submit(fixture, &req, 2000, 0);
	end(fixture);
	step = strstr(fixture->text, "\"submission\"");
	prepare = strstr(fixture->text, "\"prepare\"");
	begin = strstr(fixture->text, "{\"ph\":\"s\"");
	alloc = strstr(fixture->text, "\"alloc\"");
	g_assert_true(step && prepare && begin && alloc);
	g_assert_true(step < prepare && prepare < begin && begin < alloc);
}

static void test_an_arrow_has_three_points(struct fixture *fixture, const void *limit)
{
	struct request req = {.number = 1};

	submit(fixture, &req, 2000, 0);
	serve(fixture, &req, 3000);
	finish(fixture, &req, 1, 20000);
	end(fixture);
	CHECK_HAS(fixture->text, "{\"ph\":\"s\",\"name\":\"request\",\"pid\":1,\"tid\":1,\"cat\":\"flow\","
				 "\"id\":1,\"ts\":0.002}");
	CHECK_HAS(fixture->text, "\"cat\":\"flow\",\"id\":1,\"ts\":0.003}");
	CHECK_HAS(fixture->text, "\"pid\":1,\"tid\":2,\"cat\":\"flow\",\"id\":1,\"ts\":0.020,\"bp\":\"e\"}");
	CHECK_HAS(fixture->text, "{\"name\":\"channel 3\"}");
	CHECK_HAS(fixture->text, "\"name\":\"complete\"");
	g_assert_cmpuint(fixture->left.requests, ==, 1);
}

/** A reset on another CPU, which is behind the one that submits. */
static void test_an_end_before_the_beginning(struct fixture *fixture, const void *limit)
{
	struct request req = {.number = 1};

	submit(fixture, &req, 50000, 0);
	serve(fixture, &req, 60000);
	finish(fixture, &req, 1, 20000);
	end(fixture);
	g_assert_cmpuint(count_of(fixture->text, "{\"ph\":\"t\""), ==, 0);
	CHECK_HAS(fixture->text, "{\"ph\":\"f\"");
	CHECK_HAS(fixture->text, "\"ts\":0.050,\"bp\":\"e\"}");
}

static void test_a_request_that_is_refused_has_no_arrow(struct fixture *fixture, const void *limit)
{
	struct request req = {.number = 1};

	submit(fixture, &req, 2000, -5);
	serve(fixture, &req, 3000);
	end(fixture);
	CHECK_HAS(fixture->text, "\"name\":\"prepare\"");
	CHECK_HAS(fixture->text, "\"error\":-5");
	g_assert_cmpuint(count_of(fixture->text, "\"cat\":\"flow\""), ==, 0);
	g_assert_cmpuint(count_of(fixture->text, "\"service\""), ==, 0);
}

static void test_a_request_that_never_ends_is_closed(struct fixture *fixture, const void *limit)
{
	struct request first = {.number = 1}, second = {.number = 2};

	submit(fixture, &second, 2000, 0);
	submit(fixture, &first, 4000, 0);
	end(fixture);
	g_assert_cmpuint(count_of(fixture->text, "{\"ph\":\"s\""), ==, 2);
	g_assert_cmpuint(count_of(fixture->text, "{\"ph\":\"f\""), ==, 2);
	CHECK_HAS(fixture->text, "\"queue 1\"");
}

/** Nothing new begins; what has begun ends. */
static void test_the_limit_lets_end_what_began(struct fixture *fixture, const void *limit)
{
	struct request reqs[100];

	for (unsigned i = 0; i < 100; i++) {
		reqs[i] = (struct request){.number = i + 1};
		submit(fixture, &reqs[i], 10000 * (i + 1), 0);
		serve(fixture, &reqs[i], 10000 * i + 12000);
	}
	for (unsigned i = 0; i < 100; i++)
		finish(fixture, &reqs[i], 1, 2000000 + 1000 * i);
	end(fixture);
	g_assert_cmpuint(fixture->left.events, <=, GPOINTER_TO_UINT(limit));
	g_assert_cmpuint(fixture->left.requests, >, 2);
	g_assert_cmpuint(fixture->left.requests + fixture->left.left_requests, ==, 100);
	g_assert_cmpuint(count_of(fixture->text, "{\"ph\":\"s\""), ==, fixture->left.requests);
	g_assert_cmpuint(count_of(fixture->text, "{\"ph\":\"t\""), ==, fixture->left.requests);
	g_assert_cmpuint(count_of(fixture->text, "{\"ph\":\"f\""), ==, fixture->left.requests);
	CHECK_HAS(fixture->text, "\"complete\":false");
}

static void add_observed(const char *name, guint limit,
			 void (*test)(struct fixture *fixture, const void *limit))
{
	g_test_add(name, struct fixture, GUINT_TO_POINTER(limit), set_up, test, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/report/trace-events/empty", test_empty);
	g_test_add_func("/report/trace-events/names-come-once-and-count", test_names_come_once_and_count);
	g_test_add_func("/report/trace-events/times-are-rounded-up", test_times_are_rounded_up);
	g_test_add_func("/report/trace-events/a-pool-has-no-more-tracks-than-overlap",
			test_a_pool_has_no_more_tracks_than_overlap);
	g_test_add_func("/report/trace-events/what-is-set-aside-is-there", test_what_is_set_aside_is_there);
	add_observed("/report/perfetto/parts-come-behind-their-whole", 1000,
		     test_parts_come_behind_their_whole);
	add_observed("/report/perfetto/an-arrow-has-three-points", 1000, test_an_arrow_has_three_points);
	add_observed("/report/perfetto/an-end-before-the-beginning", 1000, test_an_end_before_the_beginning);
	add_observed("/report/perfetto/a-request-that-is-refused-has-no-arrow", 1000,
		     test_a_request_that_is_refused_has_no_arrow);
	add_observed("/report/perfetto/a-request-that-never-ends-is-closed", 1000,
		     test_a_request_that_never_ends_is_closed);
	add_observed("/report/perfetto/the-limit-lets-end-what-began", 200,
		     test_the_limit_lets_end_what_began);
	return g_test_run();
}
