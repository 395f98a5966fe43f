/* SPDX-License-Identifier: MIT */
/*
 * Events of the kernel's DMA and IOMMU layers: what a line of each kind says, and lines that do not; what a record of trace.dat
 * says, that recordings say the same in both, and that damage ends.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>

#include "sim/core/error.h"
#include "sim/tests/dat.h"
#include "sim/tests/sample.h"
#include "sim/tests/steps.h"
#include "sim/trace/kevent.h"

#define HEX "0x%" G_GINT64_MODIFIER "x"

struct line {
	const char *name; /* of the test */
	const char *text; /* NAME: BODY */
	const char *says; /* NULL: it is an error */
};

static const struct line lines[] = {
	{"probe/iova-init", "iova_init: (init_iova_domain+0x0/0xa0) granule=0x1000 start=0x1 iovad=0xff11",
	 "iova_init object=0xff11 0x1 0x1000"},
	{"probe/iova-reserve", "iova_reserve: (reserve_iova+0x0/0x170) lo=0xa0 hi=0xbf iovad=0xff11",
	 "iova_reserve object=0xff11 0xa0 0xbf"},
	{"probe/iova-alloc",
	 "iova_alloc: (alloc_iova_fast+0x0/0x2f0) size=32 limit=0xfffff flush=1 iovad=0xff11",
	 "iova_alloc object=0xff11 - 0x20 0xfffff 0x1"},
	{"probe/iova-alloc-ret",
	 "iova_alloc_ret: (iommu_dma_alloc_iova+0xd4/0x120 <- alloc_iova_fast) pfn=0xfff40",
	 "iova_alloc_ret object=- 0xfff40"},
	{"probe/iova-free", "iova_free: (free_iova_fast+0x0/0x160) pfn=0xffffd size=1 iovad=0xff11",
	 "iova_free object=0xff11 0xffffd 0x1"},
	{"probe/link", "link: (dma_iova_link+0x0/0x320) st=0xff phys=0x115bb2000 off=4096 size=131072 dir=2",
	 "link object=0xff - 0x20000 0x115bb2000 0x1000 0x2"},
	{"probe/destroy",
	 "destroy: (dma_iova_destroy+0x0/0x30) st=0xff addr=0xffbe0000 sz=131072 len=0 dir=1",
	 "destroy object=0xff 0xffbe0000 0x20000 - 0x0 0x1"},
	{"probe/map",
	 "map_nosync: (iommu_map_nosync+0x0/0x240) iova=0xfff40000 paddr=0x115bb2000 size=131072 prot=0x6",
	 "map_nosync object=- 0xfff40000 0x20000 0x115bb2000 - 0x6"},
	{"probe/map-failed", "map_nosync_ret: (iommu_map+0x20/0x80 <- iommu_map_nosync) ret=-12",
	 "map_nosync_ret object=- - - - - 0xfffffffffffffff4"},
	{"probe/without-an-argument", "iova_free: (free_iova_fast+0x0/0x160) pfn=0xffffd",
	 "iova_free object=- 0xffffd"},
	{"probe/map-page", "dma_map_page: (dma_map_page_attrs+0x0/0x270) offset=0x200 size=512 dir=2",
	 "dma_map_page (entry) object=- - 0x200 - 0x200 0x2"},
	{"event/map-page",
	 "dma_map_page: 0000:00:04.0 dir=TO_DEVICE dma_addr=fff2f200 size=512 phys_addr=10cd25200 attrs=",
	 "dma_map_phys object=- 0xfff2f200 0x200 0x10cd25200 - 0x1"},
	{"event/map",
	 "map: IOMMU: iova=0x00000000bf0a0000 - 0x00000000bf0a1000 paddr=0x0000000113c3b000 size=4096",
	 "map object=- 0xbf0a0000 0x1000 0x113c3b000"},
	{"event/unmap",
	 "unmap: IOMMU: iova=0x00000000ffffd000 - 0x00000000ffffe000 size=4096 unmapped_size=8192",
	 "unmap object=- 0xffffd000 0x1000 - 0x2000"},
	{"event/invalidate",
	 "cache_tag_flush_range: dmar0 dmar0[0] type iotlb did 3 [0xffffd000-0xffffdfff] addr 0xffffd000 "
	 "mask 0x0",
	 "cache_tag_flush_range object=- 0xffffd000 - - 0xffffdfff 0x3"},
	{"event/descriptor", "qi_submit: iotlb_inv dmar0: 0x300f2 0xffffd040 0x0 0x0",
	 "qi_submit object=- 0x300f2 0xffffd040"},
	{"event/mark", "tracing_mark_write: phase workload begin", "tracing_mark_write object=-"},
	{"event/another", "sched_switch: prev_comm=x ==> next_comm=y", "other object=-"},
	{"event/io",
	 "nvme_setup_cmd: nvme0: qid=0, cmdid=20, nsid=0, flags=0x0, meta=0x0, cmd=(nvme_admin_identify "
	 "cns=1)",
	 "I/O object=-"},
	{"bad/number", "iova_free: (free_iova_fast+0x0/0x160) pfn=x size=1", NULL},
	{"bad/direction", "link: (dma_iova_link+0x0/0x320) st=0xff phys=0x1 off=0 size=1 dir=3", NULL},
	{"bad/descriptor", "qi_submit: iotlb_inv dmar0: 0x300f2", NULL},
	{"bad/range", "cache_tag_flush_range: dmar0 dmar0[0] type iotlb did 3 [0xffffd000", NULL},
};

static char *event_text(const struct kevent *event)
{
	GString *text = g_string_new(kevent_names[event->kind]);
	unsigned last = KEVENT_FIELDS;

	g_string_append(text, " object=");
	while (last > 1 && !kevent_has(event, last - 1))
		last--;
	for (unsigned i = 0; i < last; i++) {
		if (i)
			g_string_append_c(text, ' ');
		if (kevent_has(event, i))
			g_string_append_printf(text, HEX, event->field[i]);
		else
			g_string_append_c(text, '-');
	}
	return g_string_free(text, FALSE);
}

static char *write_text(const char *text)
{
	g_autofree char *dir = g_dir_make_tmp("kevent-XXXXXX", NULL);
	char *path = g_build_filename(dir, "trace.txt", NULL);

	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	return path;
}

static void remove_text(char *path)
{
	g_autofree char *dir = g_path_get_dirname(path);

	g_unlink(path);
	g_rmdir(dir);
	g_free(path);
}

static void test_line(gconstpointer data)
{
	const struct line *line = data;
	g_autofree char *text =
		g_strdup_printf("        fio-118     [001] d.s2.    10.936127: %s\n", line->text);
	char *path = write_text(text);
	g_autoptr(GError) error = NULL;
	struct kevent_stream *stream = kevent_open(path, &error);
	struct kevent event;
	int result;

	g_assert_no_error(error);
	result = kevent_next(stream, &event, &error);
	if (line->says) {
		g_autofree char *says = event_text(&event);

		g_assert_no_error(error);
		g_assert_cmpint(result, ==, 1);
		g_assert_cmpstr(says, ==, line->says);
		g_assert_cmpuint(event.probe, ==, g_str_has_prefix(line->name, "probe/"));
		g_assert_cmpuint(event.pid, ==, 118);
		g_assert_cmpuint(event.io.cpu, ==, 1);
		g_assert_cmpuint(event.io.context, ==, TRACE_SOFTIRQ);
		g_assert_cmpint(kevent_next(stream, &event, &error), ==, 0);
	} else {
		g_autofree char *where = g_strdup_printf("%s:1: ", path);

		g_assert_cmpint(result, ==, -1);
		g_assert_true(g_str_has_prefix(error->message, where));
		g_assert_true(g_str_has_suffix(error->message, ": fields not understood"));
	}
	kevent_close(stream);
	remove_text(path);
}

/* What is shown of an event has the names and the numbers of the line it came from. */
static const struct {
	const char *text, *shown;
} shown[] = {
	{"iova_alloc: (alloc_iova_fast+0x0/0x2f0) size=32 limit=0xfffff flush=1 iovad=0xff11",
	 "iova_alloc size=32 limit=0xfffff flush=1"},
	{"iova_free: (free_iova_fast+0x0/0x160) pfn=0xffffd size=1 iovad=0xff11",
	 "iova_free pfn=0xffffd size=1"},
	{"link: (dma_iova_link+0x0/0x320) st=0xff phys=0x115bb2000 off=4096 size=131072 dir=2",
	 "link phys=0x115bb2000 off=4096 size=131072 dir=FROM_DEVICE"},
	{"map_nosync_ret: (iommu_map+0x20/0x80 <- iommu_map_nosync) ret=-12", "map_nosync_ret ret=-12"},
	{"dma_map_phys: 0000:00:04.0 dir=TO_DEVICE dma_addr=fff2f200 size=512 phys_addr=10cd25200 attrs=",
	 "dma_map_phys dir=TO_DEVICE dma_addr=0xfff2f200 size=512 phys_addr=0x10cd25200"},
	{"dma_unmap_page: (dma_unmap_page_attrs+0x0/0x1c0) addr=0xfff4c400 size=1024 dir=1",
	 "dma_unmap_phys dir=TO_DEVICE dma_addr=0xfff4c400 size=1024"},
	{"qi_submit: iotlb_inv dmar0: 0x300f2 0xffffd040 0x0 0x0", "qi_submit qw0=0x300f2 qw1=0xffffd040"},
	{"cache_tag_flush_range: dmar0 dmar0[0] type iotlb did 3 [0xffffd000-0xffffdfff] addr 0xffffd000 "
	 "mask 0x0",
	 "cache_tag_flush_range did=3 first=0xffffd000 last=0xffffdfff"},
	{"iova_free_ret: (iommu_dma_free_iova+0x167/0x1d0 <- free_iova_fast) r=0x0", "iova_free_ret"},
};

static void test_shown(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(shown); i++) {
		g_autofree char *text =
			g_strdup_printf("        fio-118     [001] d.s2.    10.936127: %s\n", shown[i].text);
		g_autoptr(GString) says = g_string_new(NULL);
		char *path = write_text(text);
		struct kevent_stream *stream = kevent_open(path, NULL);
		struct kevent event;

		g_assert_cmpint(kevent_next(stream, &event, NULL), ==, 1);
		kevent_append(says, event.kind, event.has, event.field);
		g_assert_cmpstr(says->str, ==, shown[i].shown);
		kevent_close(stream);
		remove_text(path);
	}
}

/* ---- trace.dat ---- */

/* clang-format off */
#define PLACE {"unsigned long __probe_ip", 8, false, 0xffffffff81000000}
#define PLACES {"unsigned long __probe_func", 8, false, 1}, {"unsigned long __probe_ret_ip", 8, false, 2}
#define U64(name, value) {"u64 " name, 8, false, value}
#define S64(name, value) {"s64 " name, 8, true, value}
#define U32(name, value) {"u32 " name, 4, false, value}
#define S32(name, value) {"int " name, 4, true, (uint64_t)(value)}
#define U16(name, value) {"u16 " name, 2, false, value}
#define S8(name, value) {"s8 " name, 1, true, (uint64_t)(value)}
/* clang-format on */

#define LONG_TEXT                                                                                     \
	"phase 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234" \
	"5678901234567890123456789012345678901234567890123456789 end"

struct record {
	const char *name; /* of the test */
	struct dat_event event;
	const char *says; /* NULL: it is an error */
	const char *body; /* NULL: none */
};

static const struct record records[] = {
	{"probe/iova-alloc",
	 {"iova",
	  "iova_alloc",
	  {PLACE, U64("size", 32), U64("limit", 0xfffff), {"u8 flush", 1, false, 1}, U64("iovad", 0xff11)}},
	 "iova_alloc object=0xff11 - 0x20 0xfffff 0x1"},
	{"probe/iova-alloc-ret",
	 {"iova", "iova_alloc_ret", {PLACES, U64("pfn", 0xfff40)}},
	 "iova_alloc_ret object=- 0xfff40"},
	{"probe/link",
	 {"io",
	  "link",
	  {PLACE, U64("st", 0xff), U64("phys", 0x115bb2000), U64("off", 4096), U64("size", 131072),
	   U32("dir", 2)}},
	 "link object=0xff - 0x20000 0x115bb2000 0x1000 0x2"},
	{"probe/destroy",
	 {"io",
	  "destroy",
	  {PLACE, U64("st", 0xff), U64("addr", 0xffbe0000), U64("sz", 131072), U64("len", 0), U32("dir", 1)}},
	 "destroy object=0xff 0xffbe0000 0x20000 - 0x0 0x1"},
	{"probe/map-failed",
	 {"io", "map_nosync_ret", {PLACES, S32("ret", -12)}},
	 "map_nosync_ret object=- - - - - 0xfffffffffffffff4"},
	{"probe/signed-byte",
	 {"io", "should_failslab", {PLACES, S8("ret", -12)}},
	 "should_failslab object=- - - - - 0xfffffffffffffff4"},
	{"probe/signed-and-positive",
	 {"io", "should_fail_alloc_page", {PLACES, S64("ret", 12)}},
	 "should_fail_alloc_page object=- - - - - 0xc"},
	{"probe/without-an-argument",
	 {"iova", "iova_free", {PLACE, U64("pfn", 0xffffd)}},
	 "iova_free object=- 0xffffd"},
	{"probe/map-page",
	 {"dma2", "dma_map_page", {PLACE, U64("offset", 0x200), U64("size", 512), U32("dir", 2)}},
	 "dma_map_page (entry) object=- - 0x200 - 0x200 0x2"},
	{"event/map-page",
	 {"dma",
	  "dma_map_page",
	  {U64("phys_addr", 0x10cd25200), U64("dma_addr", 0xfff2f200), U64("size", 512), U32("dir", 1)}},
	 "dma_map_phys object=- 0xfff2f200 0x200 0x10cd25200 - 0x1"},
	{"event/unmap-phys",
	 {"dma", "dma_unmap_phys", {U64("addr", 0xfff2f200), U64("size", 512), U32("dir", 0)}},
	 "dma_unmap_phys object=- 0xfff2f200 0x200 - - 0x0"},
	{"event/unmap-page-with-the-text's-name",
	 {"dma", "dma_unmap_page", {U64("dma_addr", 0xfff2f200), U64("size", 512), U32("dir", 0)}},
	 "dma_unmap_phys object=- 0xfff2f200 0x200 - - 0x0"},
	{"event/unmap",
	 {"iommu", "unmap", {U64("iova", 0xffffd000), U64("size", 4096), U64("unmapped_size", 8192)}},
	 "unmap object=- 0xffffd000 0x1000 - 0x2000"},
	{"event/free",
	 {"dma", "dma_free", {U64("virt_addr", 1), U64("dma_addr", 0xffffd000), U64("size", 40)}},
	 "dma_free object=- 0xffffd000 0x28"},
	{"event/invalidate",
	 {"intel_iommu",
	  "cache_tag_flush_range",
	  {U16("domain_id", 0xfffe), U64("start", 0), U64("end", UINT64_MAX), U64("addr", 1)}},
	 "cache_tag_flush_range object=- 0x0 - - 0xffffffffffffffff 0xfffe"},
	{"event/descriptor",
	 {"intel_iommu", "qi_submit", {U64("qw0", 0x300f2), U64("qw1", 0xffffd040), U64("qw2", 3)}},
	 "qi_submit object=- 0x300f2 0xffffd040"},
	{"event/another", {"sched", "sched_switch", {S32("prev_pid", 1)}}, "other object=-"},
	{"event/mark",
	 {"ftrace", "print", {U64("ip", 1), {"char buf[]"}}, .text = " phase workload begin \r\nand more\n"},
	 "tracing_mark_write object=-",
	 "phase workload begin"},
	{"event/long-mark",
	 {"ftrace", "print", {U64("ip", 1), {"char buf[]"}}, .text = LONG_TEXT},
	 "tracing_mark_write object=-",
	 LONG_TEXT},
	{"event/print-of-another", {"mine", "print", {U64("ip", 1)}}, "other object=-"},
	{"event/io",
	 {"nvme",
	  "nvme_complete_rq",
	  {S32("ctrl_id", 0), S32("qid", 3), S32("cid", 7), U16("status", 0x4002)}},
	 "I/O object=-"},
	{"bad/direction", {"io", "link", {PLACE, U64("phys", 1), U64("size", 1), U32("dir", 3)}}},
	{"bad/descriptor", {"intel_iommu", "qi_submit", {U64("qw0", 0x300f2)}}},
	{"bad/range",
	 {"intel_iommu", "cache_tag_flush_range", {U16("domain_id", 3), U64("start", 0xffffd000)}}},
	{"bad/three-bytes", {"iova", "iova_free", {PLACE, {"u64 pfn", 3, false, 1}}}},
	{"bad/letters", {"iova", "iova_free", {PLACE, {"char pfn[8]", 8, false, 1}}}},
	{"bad/text", {"iova", "iova_free", {PLACE, {"__data_loc char[] pfn", 4, true, 1}}}},
	{"bad/cut", {"iova", "iova_free", {PLACE, U64("pfn", 1), U64("size", 1)}, .cut = 4}},
	{"bad/mark", {"ftrace", "print", {U64("ip", 1)}}},
	{"bad/io", {"nvme", "nvme_complete_rq", {S32("ctrl_id", 0), S32("qid", 3)}}},
};

static char *write_records(const struct dat_event *const *events, unsigned count, size_t *ret_first)
{
	g_autoptr(GByteArray) file = dat_make(events, count, ret_first);

	return steps_scratch(file->data, file->len);
}

static void assert_says(const struct kevent *event, const struct record *record)
{
	g_autofree char *says = event_text(event), *body = g_strndup(event->body, event->body_len),
			*name = g_strndup(event->name, event->name_len);

	g_assert_cmpstr(says, ==, record->says);
	g_assert_cmpstr(name, ==, record->event.name);
	g_assert_cmpstr(body, ==, record->body ? record->body : "");
	g_assert_cmpuint(event->probe, ==, g_str_has_prefix(record->name, "probe/"));
	g_assert_cmpuint(event->pid, ==, DAT_PID);
	g_assert_cmpuint(event->io.cpu, ==, 0);
	g_assert_cmpuint(event->io.context, ==, TRACE_SOFTIRQ);
}

static void test_record(gconstpointer data)
{
	const struct record *record = data;
	const struct dat_event *event = &record->event;
	size_t first;
	char *path = write_records(&event, 1, &first);
	g_autoptr(GError) error = NULL;
	struct kevent_stream *stream = kevent_open(path, &error);
	struct kevent is;
	int result;

	g_assert_no_error(error);
	g_assert_false(kevent_counts_lines(stream));
	g_assert_cmpuint(kevent_cpus(stream), ==, 1);
	result = kevent_next(stream, &is, &error);
	if (record->says) {
		g_assert_no_error(error);
		g_assert_cmpint(result, ==, 1);
		assert_says(&is, record);
		g_assert_cmpuint(is.io.position, ==, first);
		g_assert_cmpint(kevent_next(stream, &is, &error), ==, 0);
		g_assert_cmpuint(kevent_lost(stream), ==, 0);
	} else {
		g_autofree char *expected =
			g_strdup_printf("%s@%zu: %s: fields not understood", path, first, event->name);

		g_assert_cmpint(result, ==, -1);
		g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
		g_assert_cmpstr(error->message, ==, expected);
	}
	kevent_close(stream);
	g_unlink(path);
	g_free(path);
}

/* Returns how many of the records are good, which come first. */
static unsigned good_records(const struct dat_event *events[G_N_ELEMENTS(records)])
{
	unsigned count = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(records); i++)
		if (records[i].says)
			events[count++] = &records[i].event;
	return count;
}

/* One after another in one file: nothing of an event is left in the next. */
static void test_records(void)
{
	const struct dat_event *events[G_N_ELEMENTS(records)];
	size_t first;
	unsigned count = good_records(events);
	char *path = write_records(events, count, &first);
	struct kevent_stream *stream = kevent_open(path, NULL);
	struct kevent event;

	for (unsigned i = 0; i < count; i++) {
		g_assert_cmpint(kevent_next(stream, &event, NULL), ==, 1);
		assert_says(&event, &records[i]);
		g_assert_cmpuint(event.io.time_ns, ==, 1000000 + (i + 1) * DAT_DELTA_NS);
	}
	g_assert_cmpint(kevent_next(stream, &event, NULL), ==, 0);
	kevent_close(stream);
	g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
	g_unlink(path);
	g_free(path);
}

static void test_synthetic(void)
{
	static const char *const says[] = {
		"I/O object=-", "dma_map_phys object=- - 0x1000 0x100000 - 0x2",
		"I/O object=-", "other object=-",
		"I/O object=-", "I/O object=-",
		"I/O object=-", "dma_map_phys object=- - 0x1000 0x101000 - 0x1",
	};
	g_autofree char *path = steps_fixture("synthetic.trace.dat"),
			*lost = steps_fixture("synthetic-lost.trace.dat");
	struct kevent_stream *stream = kevent_open(path, NULL);
	struct kevent event;
	unsigned count = 0;

	for (; kevent_next(stream, &event, NULL) > 0; count++) {
		g_autofree char *text = event_text(&event);

		if (count < G_N_ELEMENTS(says))
			g_assert_cmpstr(text, ==, says[count]);
	}
	g_assert_cmpuint(count, ==, 60);
	kevent_close(stream);
	stream = kevent_open(lost, NULL);
	while (kevent_next(stream, &event, NULL) > 0)
		;
	g_assert_cmpuint(kevent_lost(stream), ==, 17);
	g_assert_cmpuint(kevent_cpus(stream), ==, 2);
	kevent_close(stream);
}

static void assert_ends(const char *path)
{
	g_autoptr(GError) error = NULL;
	struct kevent_stream *stream = kevent_open(path, &error);
	struct kevent event;

	while (stream && kevent_next(stream, &event, &error) > 0)
		;
	if (stream)
		kevent_close(stream);
	if (!error)
		return;
	g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
	g_assert_true(g_str_has_prefix(error->message, path));
	g_assert_null(strchr(error->message, '\n'));
}

/* Cut off, and with a byte changed, here and there: each is a process of its own, so not everywhere. */
static void test_damage_ends(void)
{
	const struct dat_event *events[G_N_ELEMENTS(records)];
	size_t first;
	g_autoptr(GByteArray) file = dat_make(events, good_records(events), &first);

	for (size_t i = 0; i < 2 * file->len; i += i < file->len ? 131 : 61) {
		size_t at = i < file->len ? i : i - file->len;
		g_autofree char *path = NULL;

		file->data[at] ^= i < file->len ? 0 : 0xff;
		path = steps_scratch(file->data, i < file->len ? at : file->len);
		file->data[at] ^= i < file->len ? 0 : 0xff;
		assert_ends(path);
		g_unlink(path);
	}
}

static void test_closed_early(void)
{
	g_autofree char *path = steps_fixture("synthetic.trace.dat");

	kevent_close(kevent_open(path, NULL));
	g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
}

/* The kernel prints the nearest microsecond. */
static uint64_t printed_us(const struct kevent *event)
{
	return (event->io.time_ns + 500) / 1000;
}

static void assert_same_io(const struct trace_event *a, const struct trace_event *b)
{
	g_assert_cmpuint(a->kind, ==, b->kind);
	g_assert_cmpuint(a->op, ==, b->op);
	g_assert_cmpuint(a->cpu, ==, b->cpu);
	g_assert_cmpuint(a->context, ==, b->context);
	g_assert_cmpuint(a->device, ==, b->device);
	g_assert_cmpuint(a->lba, ==, b->lba);
	g_assert_cmpuint(a->bytes, ==, b->bytes);
	g_assert_cmpuint(a->paddr, ==, b->paddr);
	g_assert_cmpint(a->error, ==, b->error);
	g_assert_cmpuint(a->queue, ==, b->queue);
	g_assert_cmpuint(a->tag, ==, b->tag);
	g_assert_cmpuint(a->to_device, ==, b->to_device);
}

static void assert_same(const struct kevent *text, const struct kevent *binary)
{
	g_assert_cmpstr(kevent_names[text->kind], ==, kevent_names[binary->kind]);
	g_assert_cmpuint(printed_us(text), ==, printed_us(binary));
	assert_same_io(&text->io, &binary->io);
	g_assert_cmpuint(text->pid, ==, binary->pid);
	g_assert_cmpuint(text->probe, ==, binary->probe);
	g_assert_cmpuint(text->has, ==, binary->has);
	g_assert_cmpmem(text->field, sizeof(text->field), binary->field, sizeof(binary->field));
	if (text->kind == KEVENT_MARK) /* whose name in a format is "print" */
		g_assert_cmpmem(text->body, text->body_len, binary->body, binary->body_len);
	else
		g_assert_cmpmem(text->name, text->name_len, binary->name, binary->name_len);
}

/* The same buffer, as text and in binary. */
static void test_is_text(gconstpointer data)
{
	g_autofree char *text_path = g_build_filename(data, "trace.txt.zst", NULL),
			*binary_path = g_build_filename(data, "trace.dat.zst", NULL);
	g_autoptr(GError) error = NULL;
	struct kevent_stream *text = kevent_open(text_path, &error),
			     *binary = kevent_open(binary_path, &error);
	struct kevent of_text, of_binary;
	unsigned count = 0;

	g_assert_no_error(error);
	g_assert_cmpuint(kevent_cpus(text), ==, kevent_cpus(binary));
	while (kevent_next(text, &of_text, &error) > 0) {
		g_assert_cmpint(kevent_next(binary, &of_binary, &error), ==, 1);
		assert_same(&of_text, &of_binary);
		count++;
	}
	g_assert_no_error(error);
	g_assert_cmpint(kevent_next(binary, &of_binary, &error), ==, 0);
	g_assert_cmpuint(kevent_lost(text), ==, kevent_lost(binary));
	g_assert_cmpuint(count, >, 0);
	kevent_close(text);
	kevent_close(binary);
}

static void test_no_recordings(void)
{
	g_test_skip("needs shared/traces");
}

/* The recordings of the folder shared that are there as text and in binary. */
static void add_recordings(void)
{
	g_autofree char *folder =
		g_build_filename(g_getenv("SHARED") ? g_getenv("SHARED") : "", "traces", NULL);
	GDir *dir = g_dir_open(folder, 0, NULL);
	unsigned found = 0;
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		char *run = g_build_filename(folder, name, NULL);
		g_autofree char *binary = g_build_filename(run, "trace.dat.zst", NULL),
				*path = g_strdup_printf("/kevent/tracedat/is-text/%s", name);

		if (sample_takes_name(name) && g_file_test(binary, G_FILE_TEST_EXISTS)) {
			g_test_add_data_func_full(path, run, test_is_text, g_free);
			found++;
		} else {
			g_free(run);
		}
	}
	if (dir)
		g_dir_close(dir);
	if (!found)
		g_test_add_func("/kevent/tracedat/is-text", test_no_recordings);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/kevent/shown-by-the-names-of-the-recording", test_shown);
	for (unsigned i = 0; i < G_N_ELEMENTS(lines); i++) {
		g_autofree char *name = g_strdup_printf("/kevent/%s", lines[i].name);

		g_test_add_data_func(name, &lines[i], test_line);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(records); i++) {
		g_autofree char *name = g_strdup_printf("/kevent/tracedat/%s", records[i].name);

		g_test_add_data_func(name, &records[i], test_record);
	}
	g_test_add_func("/kevent/tracedat/one-after-another", test_records);
	g_test_add_func("/kevent/tracedat/synthetic", test_synthetic);
	g_test_add_func("/kevent/tracedat/damage-ends", test_damage_ends);
	g_test_add_func("/kevent/tracedat/closed-early-leaves-nobody", test_closed_early);
	add_recordings();
	return g_test_run();
}
