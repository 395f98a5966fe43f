/* SPDX-License-Identifier: MIT */
/*
 * Parts of traces: what io_transform_next() returns is compared, step by step, with what a plain program makes of all
 * steps of the trace held in memory. Traces are the recordings in fixtures; parts are edges and drawn ones. What each option
 * is to do is spelled out, in numbers worked out by hand, in cli/test-scale.py.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "sim/core/prng.h"
#include "sim/tests/steps.h"
#include "sim/trace/transform.h"

#define DRAWS 40

static const char *const recordings[] = {
	"synthetic-nvme-iommu-dma.ftrace.txt",
	"loop-mix.ftrace-events.txt",
	"synthetic-msr.csv",
	"synthetic-systor17.csv",
	"synthetic-fio-v2.iolog",
};

/** A step of the stream, kept. */
struct kept {
	enum io_step step;
	struct io_record record; /* its segments are counted, not kept */
	struct io_complete complete;
};

static void append_step(GString *out, enum io_step step, const struct io_record *record,
			const struct io_complete *complete)
{
	if (step == IO_ISSUE)
		g_string_append_printf(
			out,
			"issue %" G_GUINT64_FORMAT " ns=%" G_GUINT64_FORMAT " cpu=%u %u %s %" G_GUINT64_FORMAT
			"+%" G_GUINT64_FORMAT " %u segments\n",
			record->number, record->time_ns, record->cpu, record->device, io_op_names[record->op],
			record->lba, record->bytes, record->segment_count);
	else
		g_string_append_printf(
			out, "done %" G_GUINT64_FORMAT " ns=%" G_GUINT64_FORMAT " cpu=%u %d %d\n",
			record->number, complete->time_ns, complete->cpu, complete->error, record->completes);
}

static GArray *keep_all(const char *path)
{
	GArray *all = g_array_new(FALSE, TRUE, sizeof(struct kept));
	g_autoptr(GError) error = NULL;
	struct io_stream *stream = io_stream_open(path, NULL, &error);
	const struct io_record *record;
	struct io_complete complete;
	enum io_step step;

	g_assert_no_error(error);
	while ((step = io_stream_next(stream, &record, &complete, &error)) > 0) {
		struct kept kept = {.step = step, .record = *record};

		if (step == IO_COMPLETE)
			kept.complete = complete;
		g_array_append_val(all, kept);
	}
	g_assert_no_error(error);
	io_stream_close(stream);
	return all;
}

/* ---- the reference ---- */

struct reference {
	const struct trace_part *part;
	const GArray *all;
	GString *out;
	GArray *numbers; /* of uint64_t: of a request of the trace, its number now; 0: left out, or ended */
	uint64_t number, last_ns, round, shift;
	uint64_t first, end;
};

static uint64_t reference_time(const struct reference *reference, uint64_t time_ns, uint64_t base_ns,
			       uint64_t begin_ns)
{
	uint64_t scale = reference->part->scale_millionths ? reference->part->scale_millionths : 1000000;

	return begin_ns + (time_ns - base_ns) * 1000000 / scale;
}

static bool reference_placed(const struct io_record *record)
{
	return record->op == IO_READ || record->op == IO_WRITE || record->op == IO_DISCARD ||
	       record->op == IO_WRITE_ZEROES;
}

static void reference_put(struct reference *reference, const struct kept *kept, uint64_t number,
			  uint64_t time_ns)
{
	struct io_record record = kept->record;
	struct io_complete complete = kept->complete;

	record.number = number;
	record.time_ns = complete.time_ns = time_ns;
	if (reference_placed(&record))
		record.lba += reference->round * reference->shift;
	append_step(reference->out, kept->step, &record, &complete);
	reference->last_ns = time_ns;
}

/* Completes what the round has left open, in order of its numbers. */
static void reference_close(struct reference *reference)
{
	for (guint i = 0; i < reference->all->len; i++) {
		struct kept kept = g_array_index(reference->all, struct kept, i);
		uint64_t *number = &g_array_index(reference->numbers, uint64_t, kept.record.number);

		if (kept.step != IO_ISSUE || !*number)
			continue;
		kept.step = IO_COMPLETE;
		kept.record.completes = false;
		kept.complete = (struct io_complete){.cpu = kept.record.cpu};
		reference_put(reference, &kept, *number, reference->last_ns);
		*number = 0;
	}
}

static void reference_round(struct reference *reference)
{
	const struct trace_part *part = reference->part;
	uint64_t begin_ns = reference->last_ns, base_ns = part->from_ns, passed = 0;
	bool any = part->skip == 0;

	for (guint i = 0; i < reference->all->len; i++) {
		const struct kept *kept = &g_array_index(reference->all, struct kept, i);
		const struct io_record *record = &kept->record;
		uint64_t *number = &g_array_index(reference->numbers, uint64_t, record->number);

		if (kept->step == IO_COMPLETE) {
			if (*number)
				reference_put(
					reference, kept, *number,
					reference_time(reference, kept->complete.time_ns, base_ns, begin_ns));
			*number = 0;
			continue;
		}
		if (record->time_ns < part->from_ns || (part->to_ns && record->time_ns >= part->to_ns) ||
		    passed++ < part->skip)
			continue;
		if (!any)
			base_ns = record->time_ns;
		any = true;
		if (reference->round == 0 && reference_placed(record)) {
			reference->first = MIN(reference->first, record->lba);
			reference->end = MAX(reference->end, record->lba + record->bytes / 512);
		}
		*number = ++reference->number;
		reference_put(reference, kept, *number,
			      reference_time(reference, record->time_ns, base_ns, begin_ns));
	}
}

/** Returns the steps of @part of @all; "" for a part without any. */
static char *reference_steps(const GArray *all, const struct trace_part *part)
{
	struct reference reference = {.part = part,
				      .all = all,
				      .out = g_string_new(NULL),
				      .numbers = g_array_new(FALSE, TRUE, sizeof(uint64_t)),
				      .first = UINT64_MAX};

	g_array_set_size(reference.numbers, all->len + 1);
	for (; reference.round < MAX(part->repeat, 1); reference.round++) {
		if (reference.round)
			reference_close(&reference);
		if (reference.round == 1 && part->has_shift)
			reference.shift = part->shift_bytes / 512;
		else if (reference.round == 1 && reference.end > reference.first)
			reference.shift = (reference.end - reference.first + 2047) / 2048 * 2048;
		reference_round(&reference);
	}
	g_array_unref(reference.numbers);
	return g_string_free(reference.out, FALSE);
}

/* ---- comparing ---- */

/** Returns the steps that the layer makes, "" where it finds no request, and checks its counts against them. */
static char *transform_steps(const char *path, const struct trace_part *part)
{
	const struct trace_options options = {.part = *part};
	g_autoptr(GError) error = NULL;
	struct io_transform *transform = io_transform_open(path, &options, &error);
	GString *out = g_string_new(NULL);
	const struct io_stream_stats *stats;
	const struct io_record *record;
	struct io_complete complete;
	uint64_t issues = 0, ends = 0, open_max = 0;
	enum io_step step;

	g_assert_no_error(error);
	while ((step = io_transform_next(transform, &record, &complete, &error)) > 0) {
		append_step(out, step, record, &complete);
		issues += step == IO_ISSUE;
		ends += step == IO_COMPLETE && record->completes;
		open_max = MAX(open_max, issues - ends);
	}
	stats = io_transform_stats(transform);
	g_assert_cmpuint(stats->issues, ==, issues);
	g_assert_cmpuint(stats->completions + stats->requeued, ==, ends);
	g_assert_cmpint(io_transform_next(transform, &record, &complete, NULL), ==, step);
	if (step == IO_END) {
		g_assert_cmpuint(stats->unfinished, ==, issues - ends);
		g_assert_cmpuint(stats->max_in_flight, <=, open_max);
	} else {
		g_assert_cmpint(step, ==, IO_TROUBLE);
		g_assert_cmpuint(issues, ==, 0);
		g_assert_nonnull(strstr(error->message, "no request is left of it"));
	}
	io_transform_close(transform);
	return g_string_free(out, FALSE);
}

static void assert_part(const char *path, const GArray *all, const struct trace_part *part)
{
	g_autofree char *wanted = reference_steps(all, part), *got = transform_steps(path, part);
	g_autofree char *text = trace_part_text(part);

	if (strcmp(wanted, got) == 0)
		return;
	g_test_message("%s with %s", path, text);
	g_assert_cmpstr(got, ==, wanted);
}

static uint64_t draw_time(struct prng *prng, const GArray *all)
{
	const struct kept *kept = &g_array_index(all, struct kept, prng_below(prng, all->len));
	uint64_t time_ns = kept->step == IO_ISSUE ? kept->record.time_ns : kept->complete.time_ns;

	return time_ns + prng_below(prng, 2);
}

static void draw_part(struct prng *prng, const GArray *all, struct trace_part *ret_part)
{
	struct trace_part part = {.scale_millionths = 1 + prng_below(prng, 3000000),
				  .repeat = prng_below(prng, 4),
				  .has_shift = prng_below(prng, 2),
				  .shift_bytes = prng_below(prng, 1000) * UINT64_C(512)};

	if (prng_below(prng, 2))
		part.from_ns = draw_time(prng, all);
	if (prng_below(prng, 2))
		part.to_ns = draw_time(prng, all);
	if (prng_below(prng, 2))
		part.skip = prng_below(prng, all->len / 2);
	*ret_part = part;
}

static void test_against_reference(void)
{
	static const struct trace_part edges[] = {
		{0},
		{.scale_millionths = 1000000, .repeat = 1},
		{.scale_millionths = 1000},
		{.scale_millionths = 333333, .repeat = 3},
		{.skip = 1},
		{.skip = 1000000},
		{.from_ns = 1},
		{.to_ns = 1},
		{.repeat = 2},
		{.repeat = 5, .skip = 7, .has_shift = true},
		{.repeat = 2, .has_shift = true, .shift_bytes = UINT64_C(1) << 40},
	};
	struct prng prng;

	prng_init(&prng, 1, "parts");
	for (unsigned i = 0; i < G_N_ELEMENTS(recordings); i++) {
		g_autofree char *path = steps_fixture(recordings[i]);
		GArray *all = keep_all(path);

		for (unsigned k = 0; k < G_N_ELEMENTS(edges); k++)
			assert_part(path, all, &edges[k]);
		for (unsigned k = 0; k < DRAWS; k++) {
			struct trace_part part;

			draw_part(&prng, all, &part);
			assert_part(path, all, &part);
		}
		g_array_unref(all);
	}
}

static void test_whole_is_the_stream(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(recordings); i++) {
		g_autofree char *path = steps_fixture(recordings[i]);
		const struct trace_options options = {
			.part = {.scale_millionths = TRACE_SCALE_ONE, .repeat = 2}};
		struct io_transform *transform = io_transform_open(path, &options, NULL);
		const struct io_record *record;
		struct io_complete complete;
		struct io_stream_stats stats;

		while (io_transform_next(transform, &record, &complete, NULL) > 0)
			;
		g_free(steps_run(path, NULL, false, &stats, NULL));
		g_assert_cmpuint(io_transform_stats(transform)->events, ==, 2 * stats.events);
		g_assert_cmpuint(io_transform_stats(transform)->issues, ==, 2 * stats.issues);
		g_assert_cmpuint(io_transform_stats(transform)->completions, ==, 2 * stats.completions);
		g_assert_cmpuint(io_transform_stats(transform)->unfinished, ==, 2 * stats.unfinished);
		g_assert_cmpuint(io_transform_stats(transform)->without_segments, ==,
				 2 * stats.without_segments);
		g_assert_cmpuint(io_transform_stats(transform)->max_in_flight, ==, stats.max_in_flight);
		for (unsigned op = 0; op < IO_OPS; op++)
			g_assert_cmpuint(io_transform_stats(transform)->op_bytes[op], ==,
					 2 * stats.op_bytes[op]);
		io_transform_close(transform);
	}
}

/* Requests without completions: each round ends its own, so that their number does not grow with the rounds. */
static void test_rounds_leave_nothing_open(void)
{
	static const char trace[] =
		"  fio-1 [000] ..... 1.000000: block_rq_issue: 259,0 R 4096 () 64 + 8 be,0,4 [fio]\n"
		"  fio-1 [000] ..... 1.000005: block_rq_issue: 259,0 R 4096 () 72 + 8 be,0,4 [fio]\n"
		"  fio-1 [000] ..... 1.000010: block_rq_complete: 259,0 R () 72 + 8 be,0,4 [0]\n";
	g_autofree char *path = steps_scratch(trace, strlen(trace));
	const struct trace_part part = {.repeat = 3};
	g_autofree char *got = transform_steps(path, &part);

	g_unlink(path);
	g_assert_cmpstr(got, ==,
			"issue 1 ns=0 cpu=0 0 read 64+4096 0 segments\n"
			"issue 2 ns=5000 cpu=0 0 read 72+4096 0 segments\n"
			"done 2 ns=10000 cpu=0 0 1\n"
			"done 1 ns=10000 cpu=0 0 0\n"
			"issue 3 ns=10000 cpu=0 0 read 2112+4096 0 segments\n"
			"issue 4 ns=15000 cpu=0 0 read 2120+4096 0 segments\n"
			"done 4 ns=20000 cpu=0 0 1\n"
			"done 3 ns=20000 cpu=0 0 0\n"
			"issue 5 ns=20000 cpu=0 0 read 4160+4096 0 segments\n"
			"issue 6 ns=25000 cpu=0 0 read 4168+4096 0 segments\n"
			"done 6 ns=30000 cpu=0 0 1\n");
}

static void assert_trouble(const char *path, const char *columns, const struct trace_part *part,
			   const char *message)
{
	const struct trace_options options = {.part = *part, .csv = columns};
	g_autoptr(GError) error = NULL;
	struct io_transform *transform = io_transform_open(path, &options, &error);
	const struct io_record *record;
	struct io_complete complete;
	enum io_step step;

	g_assert_no_error(error);
	while ((step = io_transform_next(transform, &record, &complete, &error)) > 0)
		;
	g_assert_cmpint(step, ==, IO_TROUBLE);
	g_assert_nonnull(strstr(error->message, message));
	g_assert_cmpint(io_transform_next(transform, &record, &complete, NULL), ==, IO_TROUBLE);
	io_transform_close(transform);
}

static void test_too_far(void)
{
	const struct trace_part disk = {
		.repeat = 1000000000, .has_shift = true, .shift_bytes = UINT64_C(1) << 40};
	const struct trace_part wrap = {
		.repeat = 1000000000, .has_shift = true, .shift_bytes = UINT64_C(1) << 63};
	const struct trace_part slow = {.scale_millionths = 1};
	const struct trace_part often = {.repeat = 1000000000, .has_shift = true, .scale_millionths = 1000};
	/* Three hours, so a round of a thousandth of the speed takes months. */
	static const char trace[] = "0 R 8 4096\n10000 R 8 4096\n";
	static const char columns[] = "time:s,op,offset:sectors,size:bytes";
	g_autofree char *path = steps_fixture(recordings[0]), *list = steps_scratch(trace, strlen(trace));

	assert_trouble(path, NULL, &disk, "ends past the last sector, 2^45");
	assert_trouble(path, NULL, &wrap, "ends past the last sector, 2^45");
	assert_trouble(list, columns, &slow, "--scale takes it past 292 years");
	assert_trouble(list, columns, &often, "--repeat takes it past 292 years");
	g_unlink(list);
}

static void test_text(void)
{
	const struct trace_part part = {.from_ns = 5,
					.to_ns = 7000,
					.skip = 3,
					.scale_millionths = 1500000,
					.repeat = 2,
					.has_shift = true};
	const struct trace_part slow = {.scale_millionths = 1}, fast = {.scale_millionths = 20000000};
	g_autofree char *all = trace_part_text(&part), *a = trace_part_text(&slow),
			*b = trace_part_text(&fast);

	g_assert_cmpstr(all, ==, "--from=5ns --to=7000ns --skip=3 --scale=1.5 --repeat=2 --shift=0");
	g_assert_cmpstr(a, ==, "--scale=0.000001");
	g_assert_cmpstr(b, ==, "--scale=20");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/transform/against-a-plain-reference", test_against_reference);
	g_test_add_func("/transform/two-rounds-count-twice", test_whole_is_the_stream);
	g_test_add_func("/transform/rounds-leave-nothing-open", test_rounds_leave_nothing_open);
	g_test_add_func("/transform/too-far-on-disk-or-in-time-is-refused", test_too_far);
	g_test_add_func("/transform/part-as-options", test_text);
	return g_test_run();
}
