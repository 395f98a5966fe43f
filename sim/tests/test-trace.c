/* SPDX-License-Identifier: MIT */
/*
 * Traces: what readers make of files, and what the stream makes of events.
 *
 * Short traces are written out here, and what the stream returns is compared as text, as steps.h has it.
 * Recordings are compared by their counts, and against counting lines. ftrace text and blktrace are here; the other
 * formats are in test-readers.c.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "sim/core/error.h"
#include "sim/tests/sample.h"
#include "sim/tests/steps.h"

static struct io_stream_stats assert_steps(const char *trace, const char *expected)
{
	g_autofree char *path = steps_scratch(trace, strlen(trace));
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;
	g_autofree char *steps = steps_run(path, NULL, true, &stats, &error);

	g_unlink(path);
	g_assert_no_error(error);
	g_assert_cmpstr(steps, ==, expected);
	return stats;
}

/* ---- ftrace lines ---- */

#define T0 "  fio-1 [000] ..... 1.0000"
#define T1 "  fio-2 [001] ..... 1.0000"
#define H0 "  fio-1 [000] d.h1. 1.0000"
#define ISSUE(cpu_and_time, rest) cpu_and_time ": block_rq_issue: 259,0 " rest " be,0,4 [fio]\n"
#define DONE(cpu_and_time, rest) cpu_and_time ": block_rq_complete: 259,0 " rest " be,0,4 [0]\n"
#define NVME(queue, tag) "nvme0: disk=nvme0n1, qid=" queue ", cmdid=" tag ", "
#define SETUP(cpu_and_time, queue, tag, command) \
	cpu_and_time ": nvme_setup_cmd: " NVME(queue, tag) "nsid=1, flags=0x0, meta=0x0, cmd=(nvme_cmd_" command ")\n"
#define ENDED(cpu_and_time, queue, tag, status) \
	cpu_and_time ": nvme_complete_rq: " NVME(queue, tag) "res=0x0, retries=0, flags=0x0, status=" status "\n"
#define READ8(slba) "read slba=" slba ", len=7, ctrl=0x0, dsmgmt=0, reftag=0"
#define LINK(cpu_and_time, phys, size, dir) \
	cpu_and_time ": link: (dma_iova_link+0x0/0x320) st=0x1 phys=" phys " off=0 size=" size " dir=" dir "\n"
#define MAP(cpu_and_time, dir, size, phys) \
	cpu_and_time ": dma_map_phys: 0000:00:04.0 dir=" dir " dma_addr=fff000 size=" size " phys_addr=" phys " attrs=\n"

static void test_request_with_segments(void)
{
	struct io_stream_stats stats = assert_steps(
		SETUP(T0 "00", "1", "8", READ8("64"))
		LINK(T0 "01", "0x1000", "1024", "2") LINK(T0 "01", "0x9000", "3072", "2")
		ISSUE(T0 "02", "R 4096 () 64 + 8")
		ENDED(H0 "09", "1", "8", "0x0") DONE(H0 "10", "R () 64 + 8"),
		"issue 1 us=2 cpu=0 259,0 read 64+4096 q=1/8 < 1000+1024 9000+3072\n"
		"done 1 us=10 cpu=0\n");

	g_assert_cmpuint(stats.events, ==, 6);
	g_assert_cmpuint(stats.without_segments, ==, 0);
	g_assert_cmpuint(stats.op_bytes[IO_READ], ==, 4096);
}

static void test_task_names_of_any_kind(void)
{
	assert_steps("a [0] b-c/d-12 (     12) [003] 1.000001: block_rq_issue: 7,0 R 512 (28 00) 1 + 1 [x]\n"
		     "   <idle>-0 (-------) [002] d.h1.X 1.000002: block_rq_complete: 7,0 R (28 00) 1 + 1 [-5]\n"
		     "<...>-9 [001] 1.000003000: block_rq_issue: 7,0 WFSM 512 () 1 + 1 be,0,4 [a ] b]\r\n"
		     "CPU:1 [LOST 17 EVENTS]\n",
		     "issue 1 us=0 cpu=3 7,0 read 1+512\n"
		     "done 1 us=1 cpu=2 error=-5\n"
		     "issue 2 us=2 cpu=1 7,0 write 1+512\n");
}

static void test_operations_by_their_letters(void)
{
	assert_steps(ISSUE(T0 "00", "FF 0 () 18446744073709551615 + 0") DONE(T0 "01", "FF () 18446744073709551615 + 0")
		     ISSUE(T0 "02", "DS 4096 () 8 + 8") ISSUE(T0 "03", "DE 4096 () 8 + 8")
		     ISSUE(T0 "04", "WZS 4096 () 8 + 8") ISSUE(T0 "05", "N 4096 () 0 + 0")
		     ISSUE(T0 "06", "NS 4096 () 16 + 8") ISSUE(T0 "07", "FWFS 4096 () 24 + 8")
		     ISSUE(T0 "08", "RAM 4096 () 24 + 8") DONE(T0 "09", "WS () 0 + 0"),
		     "issue 1 us=0 cpu=0 259,0 flush 0+0\n"
		     "done 1 us=1 cpu=0\n"
		     "issue 2 us=2 cpu=0 259,0 discard 8+4096\n"
		     "issue 3 us=3 cpu=0 259,0 discard 8+4096\n"
		     "issue 4 us=4 cpu=0 259,0 write zeroes 8+4096\n"
		     "issue 5 us=5 cpu=0 259,0 passthrough 0+4096\n"
		     "issue 6 us=6 cpu=0 259,0 write zeroes 16+4096\n"
		     "issue 7 us=7 cpu=0 259,0 write 24+4096\n"
		     "issue 8 us=8 cpu=0 259,0 read 24+4096\n");
}

/* The interrupt ends one request and sends another, with a segment of its own: neither disturbs the preparation. */
static void test_interrupt_inside_preparation_keeps_it(void)
{
	struct io_stream_stats stats = assert_steps(
		SETUP(T0 "00", "1", "1", READ8("8")) MAP(T0 "00", "FROM_DEVICE", "4096", "a000")
		ISSUE(T0 "01", "R 4096 () 8 + 8")
		SETUP(T0 "02", "1", "2", READ8("16")) LINK(T0 "02", "0x1000", "2048", "2")
		ENDED(H0 "03", "1", "1", "0x0") DONE(H0 "03", "R () 8 + 8")
		SETUP(H0 "04", "1", "3", READ8("24")) MAP(H0 "04", "FROM_DEVICE", "4096", "b000")
		ISSUE(H0 "04", "R 4096 () 24 + 8")
		LINK(T0 "05", "0x2000", "2048", "2") ISSUE(T0 "05", "R 4096 () 16 + 8"),
		"issue 1 us=1 cpu=0 259,0 read 8+4096 q=1/1 < a000+4096\n"
		"done 1 us=3 cpu=0\n"
		"issue 2 us=4 cpu=0 259,0 read 24+4096 q=1/3 < b000+4096\n"
		"issue 3 us=5 cpu=0 259,0 read 16+4096 q=1/2 < 1000+2048 2000+2048\n");

	g_assert_cmpuint(stats.setups_dropped, ==, 0);
}

static void test_failed_preparation_is_dropped(void)
{
	struct io_stream_stats stats = assert_steps(
		SETUP(T0 "00", "1", "1", READ8("8")) LINK(T0 "00", "0x1000", "4096", "2")
		SETUP(T0 "01", "1", "1", READ8("8")) LINK(T0 "01", "0x1000", "4096", "2")
		ISSUE(T0 "02", "R 4096 () 8 + 8")
		/* This one is never issued; the next issue on its CPU is of a disk that has no set-up. */
		SETUP(T0 "03", "1", "2", READ8("8"))
		T0 "04: block_rq_issue: 254,0 R 512 () 8 + 1 be,0,4 [fio]\n",
		"issue 1 us=2 cpu=0 259,0 read 8+4096 q=1/1 < 1000+4096\n"
		"issue 2 us=4 cpu=0 254,0 read 8+512\n");

	g_assert_cmpuint(stats.setups_dropped, ==, 2);
}

/* Sectors of a disk of 4096-byte blocks are eight to one. */
static void test_setup_in_blocks_of_4096(void)
{
	assert_steps(SETUP(T0 "00", "1", "1", "write slba=3, len=1, ctrl=0x0, dsmgmt=0, reftag=0")
		     MAP(T0 "01", "TO_DEVICE", "8192", "4000") ISSUE(T0 "02", "WS 8192 () 24 + 16"),
		     "issue 1 us=2 cpu=0 259,0 write 24+8192 q=1/1 > 4000+8192\n");
}

static void test_segments_that_do_not_add_up_are_not_used(void)
{
	struct io_stream_stats stats = assert_steps(
		SETUP(T0 "00", "1", "1", READ8("8")) LINK(T0 "00", "0x1000", "512", "2") ISSUE(T0 "01", "R 4096 () 8 + 8"),
		"issue 1 us=1 cpu=0 259,0 read 8+4096 q=1/1\n");

	g_assert_cmpuint(stats.segments_dropped, ==, 1);
	g_assert_cmpuint(stats.without_segments, ==, 1);
}

/* The range list of a discard is the driver's own data: of another length, and kept. */
static void test_discard_keeps_its_range_list(void)
{
	assert_steps(SETUP(T0 "00", "1", "1", "dsm nr=0, attributes=4") MAP(T0 "00", "TO_DEVICE", "16", "7000")
		     ISSUE(T0 "01", "DS 1048576 () 8 + 2048"),
		     "issue 1 us=1 cpu=0 259,0 discard 8+1048576 q=1/1 > 7000+16\n");
}

/* Only block and dma events recorded: the last segments before an issue are its own, if they add up to it. */
static void test_segments_without_setup_events(void)
{
	assert_steps(T0 "00: block_rq_issue: 254,0 R 4096 () 0 + 8 be,0,4 [fio]\n"
		     MAP(T0 "01", "FROM_DEVICE", "2048", "f000") MAP(T0 "02", "FROM_DEVICE", "4096", "1000")
		     ISSUE(T0 "03", "R 4096 () 8 + 8") ISSUE(T0 "04", "R 4096 () 16 + 8"),
		     "issue 1 us=0 cpu=0 254,0 read 0+4096\n"
		     "issue 2 us=3 cpu=0 259,0 read 8+4096 < 1000+4096\n"
		     "issue 3 us=4 cpu=0 259,0 read 16+4096\n");
}

/* Steps come in the order of issue although the first one waits for its set-up, and CPU 1 is faster. */
static void test_issue_before_preparation(void)
{
	assert_steps(ISSUE(T0 "00", "R 4096 () 8 + 8") ISSUE(T1 "01", "R 4096 () 16 + 8")
		     MAP(T1 "02", "FROM_DEVICE", "4096", "2000") SETUP(T1 "03", "2", "1", READ8("16"))
		     MAP(T0 "04", "FROM_DEVICE", "4096", "1000") SETUP(T0 "05", "1", "1", READ8("8"))
		     DONE(H0 "06", "R () 8 + 8") DONE(H0 "07", "R () 16 + 8")
		     ISSUE(T0 "08", "R 4096 () 24 + 8") MAP(T0 "09", "FROM_DEVICE", "4096", "3000")
		     SETUP(T0 "10", "1", "2", READ8("24")),
		     "issue 1 us=0 cpu=0 259,0 read 8+4096 q=1/1 < 1000+4096\n"
		     "issue 2 us=1 cpu=1 259,0 read 16+4096 q=2/1 < 2000+4096\n"
		     "done 1 us=6 cpu=0\n"
		     "done 2 us=7 cpu=0\n"
		     "issue 3 us=8 cpu=0 259,0 read 24+4096 q=1/2 < 3000+4096\n");
}

/* The first issue waits, its CPU says nothing more; that must not stop the rest for ever, nor reorder it. */
static void test_silent_cpu_does_not_hold_the_rest(void)
{
	GString *trace = g_string_new(ISSUE(T0 "00", "R 4096 () 8 + 8"));
	GString *expected = g_string_new("issue 1 us=0 cpu=0 259,0 read 8+4096\n");

	for (unsigned i = 1; i <= 1000; i++) {
		g_string_append(trace, ISSUE(T1 "01", "R 4096 () 16 + 8") DONE(T1 "01", "R () 16 + 8"));
		g_string_append_printf(expected, "issue %u us=1 cpu=1 259,0 read 16+4096\ndone %u us=1 cpu=1\n", i + 1,
				       i + 1);
	}
	assert_steps(trace->str, expected->str);
	g_string_free(trace, TRUE);
	g_string_free(expected, TRUE);
}

static void test_command_completions_alone(void)
{
	struct io_stream_stats stats = assert_steps(
		SETUP(T0 "00", "1", "1", READ8("8")) ISSUE(T0 "00", "R 4096 () 8 + 8")
		SETUP(T0 "01", "1", "2", READ8("16")) ISSUE(T0 "01", "R 4096 () 16 + 8")
		ENDED(H0 "02", "1", "2", "0x0") ENDED(H0 "03", "1", "1", "0x4281")
		SETUP(T0 "04", "1", "2", READ8("24")) ISSUE(T0 "04", "R 4096 () 24 + 8"),
		"issue 1 us=0 cpu=0 259,0 read 8+4096 q=1/1\n"
		"issue 2 us=1 cpu=0 259,0 read 16+4096 q=1/2\n"
		"done 2 us=2 cpu=0\n"
		"done 1 us=3 cpu=0 error=17025\n"
		"issue 3 us=4 cpu=0 259,0 read 24+4096 q=1/2\n");

	g_assert_cmpuint(stats.unfinished, ==, 1);
}

/* Passthrough commands all have the same key for the block layer; the commands say which of them ended. */
static void test_passthrough_ends_by_its_command(void)
{
#define ADMIN(time, tag)                                                                                                \
	T0 time ": nvme_setup_cmd: nvme3: qid=0, cmdid=" tag ", nsid=1, flags=0x0, meta=0x0, cmd=(nvme_admin_identify " \
		"cns=1, ctrlid=0)\n" T0 time ": block_rq_issue: 0,0 N 4096 () 0 + 0 none,0,0 [fio]\n"
	assert_steps(ADMIN("00", "1") ADMIN("01", "2")
		     H0 "02: nvme_complete_rq: nvme3: qid=0, cmdid=2, res=0x0, retries=0, flags=0x0, status=0x0\n"
		     H0 "03: block_rq_complete: 0,0 N () 18446744073709551615 + 8 none,0,0 [0]\n"
		     H0 "04: nvme_complete_rq: nvme3: qid=0, cmdid=1, res=0x0, retries=0, flags=0x0, status=0x0\n"
		     H0 "05: block_rq_complete: 0,0 N () 18446744073709551615 + 8 none,0,0 [0]\n",
		     "issue 1 us=0 cpu=0 nvme3 passthrough 0+4096 q=0/1\n"
		     "issue 2 us=1 cpu=0 nvme3 passthrough 0+4096 q=0/2\n"
		     "done 2 us=3 cpu=0\n"
		     "done 1 us=5 cpu=0\n");
}

static void test_requeued_issue_is_withdrawn(void)
{
	struct io_stream_stats stats = assert_steps(
		ISSUE(T0 "00", "R 4096 () 8 + 8") T0 "01: block_rq_requeue: 259,0 R () 8 + 8 be,0,4 [0]\n"
		T0 "02: block_rq_requeue: 259,0 R () 64 + 8 be,0,4 [0]\n"
		ISSUE(T0 "03", "R 4096 () 8 + 8") DONE(T0 "04", "R () 8 + 8"),
		"issue 1 us=0 cpu=0 259,0 read 8+4096\n"
		"done 1 us=1 cpu=0 error=-11\n"
		"issue 2 us=3 cpu=0 259,0 read 8+4096\n"
		"done 2 us=4 cpu=0\n");

	g_assert_cmpuint(stats.requeued, ==, 1);
}

/* A command that failed and is tried again: reported complete, but the request's block completion comes after the
 * second attempt. */
static void test_retried_command_ends_before_its_retry(void)
{
	assert_steps(SETUP(T0 "00", "1", "1", READ8("8")) ISSUE(T0 "00", "R 4096 () 8 + 8")
		     ENDED(H0 "01", "1", "1", "0x0") DONE(H0 "01", "R () 8 + 8")
		     SETUP(T0 "02", "1", "2", READ8("8")) ISSUE(T0 "02", "R 4096 () 8 + 8")
		     ENDED(H0 "03", "1", "2", "0x6")
		     SETUP(T0 "04", "1", "3", READ8("8")) ISSUE(T0 "04", "R 4096 () 8 + 8")
		     ENDED(H0 "05", "1", "3", "0x0") DONE(H0 "05", "R () 8 + 8"),
		     "issue 1 us=0 cpu=0 259,0 read 8+4096 q=1/1\n"
		     "done 1 us=1 cpu=0\n"
		     "issue 2 us=2 cpu=0 259,0 read 8+4096 q=1/2\n"
		     "done 2 us=4 cpu=0 error=6\n"
		     "issue 3 us=4 cpu=0 259,0 read 8+4096 q=1/3\n"
		     "done 3 us=5 cpu=0\n");
}

static void test_same_place_twice_oldest_first(void)
{
	struct io_stream_stats stats = assert_steps(
		ISSUE(T0 "00", "W 4096 () 8 + 8") ISSUE(T0 "01", "W 4096 () 8 + 8")
		DONE(T0 "02", "W () 8 + 8") DONE(T0 "03", "W () 8 + 8") DONE(T0 "04", "W () 8 + 8"),
		"issue 1 us=0 cpu=0 259,0 write 8+4096\n"
		"issue 2 us=1 cpu=0 259,0 write 8+4096\n"
		"done 1 us=2 cpu=0\n"
		"done 2 us=3 cpu=0\n");

	g_assert_cmpuint(stats.unmatched_completions, ==, 1);
	g_assert_cmpuint(stats.max_in_flight, ==, 2);
}

static void test_time_going_back_stands_still(void)
{
	struct io_stream_stats stats = assert_steps(
		ISSUE(T0 "05", "W 4096 () 8 + 8") ISSUE(T0 "02", "W 4096 () 16 + 8") ISSUE(T0 "09", "W 4096 () 24 + 8"),
		"issue 1 us=0 cpu=0 259,0 write 8+4096\n"
		"issue 2 us=0 cpu=0 259,0 write 16+4096\n"
		"issue 3 us=4 cpu=0 259,0 write 24+4096\n");

	g_assert_cmpuint(stats.time_backwards, ==, 1);
}

static void test_trace_without_completions_takes_constant_memory(void)
{
	GString *trace = g_string_new(NULL);
	g_autofree char *path = NULL;
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;

	for (unsigned i = 0; i < IO_IN_FLIGHT_MAX + 1000; i++)
		g_string_append_printf(trace, T0 "00: block_rq_issue: 259,0 R 512 () %u + 1 be,0,4 [fio]\n", i);
	path = steps_scratch(trace->str, trace->len);
	g_free(steps_run(path, NULL, false, &stats, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(stats.issues, ==, IO_IN_FLIGHT_MAX + 1000);
	g_assert_cmpuint(stats.unfinished, ==, stats.issues);
	g_assert_cmpuint(stats.max_in_flight, ==, IO_IN_FLIGHT_MAX);
	g_unlink(path);
	g_string_free(trace, TRUE);
}

static void test_lines_that_are_no_events(void)
{
	struct io_stream_stats stats = assert_steps(
		"# tracer: nop\n\n##### CPU 1 buffer started ####\n"
		T0 "00: tracing_mark_write: phase one\nof a text with newlines\n\nand more\n"
		T0 "00: kernel_stack: <stack trace>\n => submit_bio\n => ext4_readpage\n"
		T0 "00: dma_map_page: (dma_map_page_attrs+0x0/0x270) offset=0x0 size=4096 dir=2\n"
		T0 "00: link: (vfs_link+0x0/0x10) name=\"x\"\n"
		ISSUE(T0 "01", "R 4096 () 8 + 8"),
		"issue 1 us=1 cpu=0 259,0 read 8+4096\n");

	g_assert_cmpuint(stats.other, ==, 4);
}

static void test_facts_name_what_was_lost(void)
{
	static const char trace[] = "# entries-in-buffer/entries-written: 7/9   #P:2\n"
				    "CPU:0 [LOST 17 EVENTS]\nCPU:1 [3 EVENTS DROPPED]\n" ISSUE(T0 "00", "R 512 () 8 + 1");
	g_autofree char *path = steps_scratch(trace, strlen(trace));
	struct io_stream *stream = io_stream_open(path, "ftrace", NULL);
	const struct io_record *record;
	struct io_complete complete;
	GHashTable *facts;

	while (io_stream_next(stream, &record, &complete, NULL) > 0)
		;
	facts = io_stream_facts(stream);
	g_assert_cmpstr(g_hash_table_lookup(facts, "lost events"), ==, "20");
	g_assert_cmpstr(g_hash_table_lookup(facts, "entries in buffer"), ==, "7");
	g_assert_cmpstr(g_hash_table_lookup(facts, "entries written"), ==, "9");
	io_stream_close(stream);
	g_unlink(path);
}

static void test_unknown_format_names_the_known(void)
{
	g_autofree char *message = NULL;
	g_autoptr(GError) error = NULL;

	g_assert_null(io_stream_open("/dev/null", "etrace", &error));
	g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
	message = steps_replace_formats("unknown trace format 'etrace' (known: FORMATS)");
	g_assert_cmpstr(error->message, ==, message);
}

/* ---- recordings ---- */

struct golden {
	const char *name; /* in fixtures/traces */
	uint64_t events, issues, with_queue, with_segments, segment_count, max_in_flight;
	uint64_t op_count[IO_OPS];
};

static const struct golden goldens[] = {
	{"v7.0-strict-ext4.trace.txt.zst", 16735, 696, 695, 533, 1485, 32, {282, 178, 9, 64, 134, 29}},
	{"v7.0-strict-ext4.blktrace", 3902, 524, 0, 0, 0, 32, {280, 171, 9, 64, 0, 0}},
	{"loop-mix.ftrace-events.txt", 992, 327, 0, 0, 0, 4, {208, 108, 3, 8, 0, 0}},
	{"loop-mix.blktrace", 1967, 327, 0, 0, 0, 4, {208, 108, 3, 8, 0, 0}},
	{"synthetic-nvme-iommu-dma.ftrace.txt", 480, 60, 60, 60, 60, 1, {36, 24, 0, 0, 0, 0}},
};

static void test_golden_counts(gconstpointer data)
{
	const struct golden *golden = data;
	g_autofree char *path = steps_fixture(golden->name);
	g_autoptr(GError) error = NULL;
	struct io_stream *stream = io_stream_open(path, NULL, &error);
	const struct io_stream_stats *stats;
	const struct io_record *record;
	struct io_complete complete;
	uint64_t with_queue = 0, with_segments = 0, segment_count = 0;
	enum io_step step;

	g_assert_no_error(error);
	while ((step = io_stream_next(stream, &record, &complete, &error)) > 0) {
		if (step != IO_ISSUE)
			continue;
		with_queue += record->queue != TRACE_NO_QUEUE;
		with_segments += record->segment_count > 0;
		segment_count += record->segment_count;
	}
	g_assert_no_error(error);
	stats = io_stream_stats(stream);
	g_assert_cmpuint(stats->events, ==, golden->events);
	g_assert_cmpuint(stats->issues, ==, golden->issues);
	g_assert_cmpuint(stats->completions, ==, golden->issues);
	g_assert_cmpuint(stats->unmatched_completions, ==, 0);
	g_assert_cmpuint(stats->unfinished, ==, 0);
	g_assert_cmpuint(stats->max_in_flight, ==, golden->max_in_flight);
	g_assert_cmpuint(with_queue, ==, golden->with_queue);
	g_assert_cmpuint(with_segments, ==, golden->with_segments);
	g_assert_cmpuint(segment_count, ==, golden->segment_count);
	for (unsigned op = 0; op < IO_OPS; op++)
		g_assert_cmpuint(stats->op_count[op], ==, golden->op_count[op]);
	io_stream_close(stream);
}

/* Reference: lines that hold the event's name. */
static uint64_t count_lines(const char *path, const char *name)
{
	struct input *input = input_open(path, NULL);
	const char *line;
	size_t len;
	uint64_t count = 0;

	while (input_line(input, &line, &len, NULL) > 0)
		count += memmem(line, len, name, strlen(name)) != NULL;
	input_close(input);
	return count;
}

static void test_recording(gconstpointer data)
{
	const char *path = data;
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;

	g_free(steps_run(path, NULL, false, &stats, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(stats.issues, ==, count_lines(path, ": block_rq_issue: "));
	g_assert_cmpuint(stats.completions, ==, stats.issues);
	g_assert_cmpuint(stats.unmatched_completions, ==, 0);
	g_assert_cmpuint(stats.unfinished, ==, 0);
	g_assert_cmpuint(stats.segments_dropped, ==, 0);
	g_assert_cmpuint(stats.time_backwards, ==, 0);
	/* In 7.0 all data but the result disk's one read have segments; 6.1 does not record them. */
	if (strstr(path, "/v7.0"))
		g_assert_cmpuint(stats.without_segments, ==, 1);
	/* What was set up either was issued or failed. */
	g_assert_cmpuint(count_lines(path, ": nvme_setup_cmd: "), ==,
			 count_lines(path, ": nvme_complete_rq: ") + stats.setups_dropped);
}

static void add_recordings(GPtrArray *paths)
{
	g_autofree char *traces = g_build_filename(g_getenv("SHARED") ? g_getenv("SHARED") : "", "traces", NULL);
	g_autoptr(GDir) dir = g_dir_open(traces, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		char *path = g_build_filename(traces, name, "trace.txt.zst", NULL);
		g_autofree char *test = g_strdup_printf("/trace/recording/%s", name);

		g_ptr_array_add(paths, path);
		if (sample_takes_name(name) && g_file_test(path, G_FILE_TEST_EXISTS))
			g_test_add_data_func(test, path, test_recording);
	}
}

/* ---- blktrace ---- */

static char *steps_of(const char *path)
{
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;
	char *steps = steps_run(path, NULL, true, &stats, &error);

	g_assert_no_error(error);
	return steps;
}

static void test_blktrace_named_in_three_ways(void)
{
	static const char *const names[] = {"loop-mix.blktrace", "loop-mix.blktrace/loop-mix",
					    "loop-mix.blktrace/loop-mix.blktrace.0",
					    "loop-mix.blktrace/loop-mix.blktrace.1"};
	g_autofree char *expected = NULL;

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = steps_fixture(names[i]);
		g_autofree char *steps = steps_of(path);

		if (expected)
			g_assert_cmpstr(steps, ==, expected);
		else
			expected = g_steal_pointer(&steps);
	}
}

/* Reverses the bytes of each field, as a machine of the other byte order would have written them. */
static void swap_records(uint8_t *bytes, size_t len)
{
	static const uint8_t fields[] = {4, 4, 8, 8, 4, 4, 4, 4, 4, 2, 2};
	size_t at = 0;

	while (at + 48 <= len) {
		uint16_t pdu_len;

		memcpy(&pdu_len, bytes + at + 46, 2);
		for (unsigned i = 0; i < G_N_ELEMENTS(fields); at += fields[i++])
			for (unsigned j = 0; j < fields[i] / 2u; j++) {
				uint8_t byte = bytes[at + j];

				bytes[at + j] = bytes[at + fields[i] - 1 - j];
				bytes[at + fields[i] - 1 - j] = byte;
			}
		at += pdu_len;
	}
}

static void test_blktrace_of_the_other_byte_order(void)
{
	g_autofree char *directory = g_dir_make_tmp("trace-XXXXXX", NULL);
	g_autofree char *original = steps_fixture("loop-mix.blktrace");
	g_autofree char *expected = steps_of(original), *steps = NULL;

	for (unsigned cpu = 0; cpu < 2; cpu++) {
		g_autofree char *name = g_strdup_printf("loop-mix.blktrace.%u", cpu);
		g_autofree char *from = g_build_filename(original, name, NULL), *bytes = NULL;
		g_autofree char *to = g_build_filename(directory, name, NULL);
		gsize len;

		g_assert_true(g_file_get_contents(from, &bytes, &len, NULL));
		swap_records((uint8_t *)bytes, len);
		steps_write_file(to, bytes, len);
	}
	steps = steps_of(directory);
	g_assert_cmpstr(steps, ==, expected);
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		g_autofree char *path = g_strdup_printf("%s/loop-mix.blktrace.%u", directory, cpu);

		g_unlink(path);
	}
	g_rmdir(directory);
}

/* A CPU that did nothing has an empty file: naming that one names the trace. */
static void test_blktrace_named_by_an_empty_file(void)
{
	g_autofree char *directory = g_dir_make_tmp("trace-XXXXXX", NULL);
	g_autofree char *from = steps_fixture("loop-mix.blktrace/loop-mix.blktrace.1"), *bytes = NULL;
	g_autofree char *full = g_strdup_printf("%s/t.blktrace.1", directory);
	g_autofree char *empty = g_strdup_printf("%s/t.blktrace.0", directory);
	g_autofree char *expected = NULL, *steps = NULL;
	gsize len;

	g_assert_true(g_file_get_contents(from, &bytes, &len, NULL));
	steps_write_file(full, bytes, len);
	steps_write_file(empty, "", 0);
	expected = steps_of(full);
	steps = steps_of(empty);
	g_assert_cmpstr(steps, ==, expected);
	g_unlink(full);
	g_unlink(empty);
	g_rmdir(directory);
}

/* ---- damage ---- */

struct hostile {
	const char *name;    /* in fixtures/hostile/traces */
	const char *message; /* behind the path */
};

static const struct hostile hostiles[] = {
	{"bad-magic.blktrace.0", "@96: not a blktrace record: magic 0x12345607"},
	{"bad-version.blktrace.0", "@0: blktrace record of unknown version 8"},
	{"binary-garbage.bin", ": no trace in a format known here (FORMATS)"},
	{"complete-without-error.txt", ":5: block_rq_complete: fields not understood"},
	{"cpu-impossible.blktrace.0", "@96: record of impossible CPU 4294967295"},
	{"cpu-too-high.txt", ":3: CPU 9999: at most 4096 CPUs"},
	{"damaged-checksum.gz", "@84816: damaged gzip data"},
	{"damaged.zst", "@0: damaged zstd data: Data corruption detected"},
	{"device-major-too-large.txt", ":3: block_rq_issue: fields not understood"},
	{"empty.txt", ": empty"},
	{"garbage-after.gz", "@84816: damaged gzip data"},
	{"issue-cut-off.txt", ":5: block_rq_issue: fields not understood"},
	{"issue-number-too-large.txt", ":3: block_rq_issue: fields not understood"},
	{"issue-sector-too-large.txt", ":3: block_rq_issue: fields not understood"},
	{"issue-unknown-operation.txt", ":3: block_rq_issue: fields not understood"},
	{"issue-without-sector.txt", ":3: block_rq_issue: fields not understood"},
	{"line-too-long.txt", ":5: line longer than 65536 bytes"},
	{"major-impossible.blktrace.0", "@96: record of impossible device major 4095"},
	{"no-events.txt", ": no I/O events in it, read as ftrace"},
	{"no-io-events.txt", ": no I/O events in it, read as ftrace"},
	{"not-an-ftrace-line.txt", ":5: not a line of ftrace text"},
	{"nul-bytes.txt", ":5: not a line of ftrace text"},
	{"only-notifications.blktrace.0", ": no I/O events in it, read as blktrace"},
	{"pdu-beyond-end.blktrace.0", "@96: record ends 4990 bytes beyond the file"},
	{"same-cpu-twice.blktrace.0", "0: the same CPU as "},
	{"sector-impossible.blktrace.0", "@96: record of impossible sector 1152921504606846976"},
	{"segment-beyond-64-bits.txt", ":3: link: fields not understood"},
	{"segment-of-no-bytes.txt", ":3: dma_map_phys: fields not understood"},
	{"segment-without-size.txt", ":3: link: fields not understood"},
	{"segments-without-end.txt", ":1028: request of more than 1024 segments"},
	{"setup-queue-too-large.txt", ":3: nvme_setup_cmd: fields not understood"},
	{"setup-without-length.txt", ":3: nvme_setup_cmd: fields not understood"},
	{"sibling-damaged.blktrace.1", ": no trace in a format known here (FORMATS)"},
	{"time-out-of-range.txt", ":3: not a line of ftrace text"},
	{"truncated-header.zst", "@0: compressed data end too early"},
	{"truncated-record.blktrace.0", "@96: record cut off after 20 of 48 bytes"},
	{"truncated.gz", "@21125: compressed data end too early"},
	{"truncated.zst", "@0: compressed data end too early"},
};

static void test_hostile(gconstpointer data)
{
	const struct hostile *hostile = data;

	steps_assert_hostile(hostile->name, NULL, hostile->message);
}

/* The damage is in a file that was not named: the message names it. */
static void test_damaged_sibling_is_named(void)
{
	g_autofree char *path = g_build_filename(g_getenv("FIXTURES"), "hostile", "traces", "sibling-damaged", NULL);
	g_autofree char *message = g_strconcat(path, ".blktrace.1@0: not a blktrace record: magic 0x00000000", NULL);
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;

	g_free(steps_run(path, NULL, false, &stats, &error));
	g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
	g_assert_cmpstr(error->message, ==, message);
}

static void test_every_prefix_and_flipped_byte_ends(gconstpointer data)
{
	steps_assert_damage_ends(data, NULL, 2500);
}

int main(int argc, char **argv)
{
	g_autoptr(GPtrArray) recordings = g_ptr_array_new_with_free_func(g_free);

	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/trace/ftrace/request-with-segments", test_request_with_segments);
	g_test_add_func("/trace/ftrace/task-names-of-any-kind", test_task_names_of_any_kind);
	g_test_add_func("/trace/ftrace/operations-by-their-letters", test_operations_by_their_letters);
	g_test_add_func("/trace/ftrace/lines-that-are-no-events", test_lines_that_are_no_events);
	g_test_add_func("/trace/ftrace/facts-name-what-was-lost", test_facts_name_what_was_lost);
	g_test_add_func("/trace/ftrace/interrupt-inside-preparation-keeps-it",
			test_interrupt_inside_preparation_keeps_it);
	g_test_add_func("/trace/stream/failed-preparation-is-dropped", test_failed_preparation_is_dropped);
	g_test_add_func("/trace/stream/setup-in-blocks-of-4096-fits", test_setup_in_blocks_of_4096);
	g_test_add_func("/trace/stream/segments-not-adding-up-unused", test_segments_that_do_not_add_up_are_not_used);
	g_test_add_func("/trace/stream/discard-keeps-its-range-list", test_discard_keeps_its_range_list);
	g_test_add_func("/trace/stream/segments-without-setups-by-length", test_segments_without_setup_events);
	g_test_add_func("/trace/stream/issue-before-preparation-waits", test_issue_before_preparation);
	g_test_add_func("/trace/stream/silent-cpu-does-not-hold-the-rest", test_silent_cpu_does_not_hold_the_rest);
	g_test_add_func("/trace/stream/command-completions-alone-end", test_command_completions_alone);
	g_test_add_func("/trace/stream/passthrough-ends-by-its-command", test_passthrough_ends_by_its_command);
	g_test_add_func("/trace/stream/requeued-issue-is-withdrawn", test_requeued_issue_is_withdrawn);
	g_test_add_func("/trace/stream/retried-command-ends-first", test_retried_command_ends_before_its_retry);
	g_test_add_func("/trace/stream/same-place-oldest-first", test_same_place_twice_oldest_first);
	g_test_add_func("/trace/stream/time-going-back-stands-still", test_time_going_back_stands_still);
	g_test_add_func("/trace/stream/no-completions-constant-memory",
			test_trace_without_completions_takes_constant_memory);
	g_test_add_func("/trace/readers/unknown-format-names-the-known", test_unknown_format_names_the_known);
	g_test_add_func("/trace/blktrace/named-in-three-ways", test_blktrace_named_in_three_ways);
	g_test_add_func("/trace/blktrace/named-by-an-empty-file", test_blktrace_named_by_an_empty_file);
	g_test_add_func("/trace/blktrace/other-byte-order-is-the-same", test_blktrace_of_the_other_byte_order);
	g_test_add_func("/trace/blktrace/damaged-sibling-is-named", test_damaged_sibling_is_named);
	for (unsigned i = 0; i < G_N_ELEMENTS(goldens); i++) {
		g_autofree char *name = g_strdup_printf("/trace/golden/%s", goldens[i].name);

		g_test_add_data_func(name, &goldens[i], test_golden_counts);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(hostiles); i++) {
		g_autofree char *name = g_strdup_printf("/trace/hostile/%s", hostiles[i].name);

		g_test_add_data_func(name, &hostiles[i], test_hostile);
	}
	g_test_add_data_func("/trace/hostile/ftrace-every-prefix-and-flip-ends", "synthetic-nvme-iommu-dma.ftrace.txt",
			     test_every_prefix_and_flipped_byte_ends);
	g_test_add_data_func("/trace/hostile/blktrace-every-prefix-and-flip-ends",
			     "loop-mix.blktrace/loop-mix.blktrace.1", test_every_prefix_and_flipped_byte_ends);
	add_recordings(recordings);
	return g_test_run();
}
