/* SPDX-License-Identifier: MIT */
/*
 * Events of the kernel's DMA and IOMMU layers: what a line of each kind says, and lines that do not.
 */
#include <glib/gstdio.h>
#include <string.h>

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

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/kevent/shown-by-the-names-of-the-recording", test_shown);
	for (unsigned i = 0; i < G_N_ELEMENTS(lines); i++) {
		g_autofree char *name = g_strdup_printf("/kevent/%s", lines[i].name);

		g_test_add_data_func(name, &lines[i], test_line);
	}
	return g_test_run();
}
