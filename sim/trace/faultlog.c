/* SPDX-License-Identifier: MIT */
#include "sim/trace/faultlog.h"

#include <string.h>

#include "sim/io/input.h"
#include "sim/trace/life.h"
#include "sim/trace/scan.h"

#define TEXT_MAX 512 /* bytes kept of a line */

/** How one driver says it. */
struct wording {
	const char *mark;    /* a line is the driver's that has this … */
	const char *address; /* … and, behind it or before it, this, before the address in hexadecimal */
	const char *write, *read; /* what tells the access; NULL: see flags, or nothing does */
	const char *flags;	  /* a hexadecimal number stands behind this … */
	uint64_t write_flag;	  /* … and has this bit for a write */
};

static const struct wording wordings[] = {
	{"DMAR: [", " fault addr ", "DMA Write", "DMA Read"},
	{"[IO_PAGE_FAULT ", " address=", NULL, NULL, " flags=", 0x20},
	/* arm-smmu and qcom-iommu */
	{"Unhandled context fault: ", " iova=", NULL, NULL, " fsynr=", 0x10},
	/* apple-dart; also "NO PTE FOR IOVA" and the like */
	{"translation fault: status:", " at ", "(WRITE FAULT)", "(READ FAULT)"},
	/* exynos-sysmmu */
	{" FAULT occurred at ", " FAULT occurred at ", "[WRITE]", "[READ]"},
	/* ipmmu-vmsa */
	{"Unhandled fault: status ", " iova ", NULL, NULL},
	{"Multiple TLB hits @", " hits @", NULL, NULL},
	{"Page Table Walk Abort @", " Abort @", NULL, NULL},
	/* mtk_iommu, both generations */
	{"fault type=", " iova=", " write", " read"},
	/* sun50i-iommu */
	{"Page fault for ", "Page fault for ", "dir wr", "dir rd"},
	/* omap-iommu */
	{"errs:0x", " da:", NULL, NULL},
	/* tegra-mc */
	{"SMMU translation error", " @", " write @", " read @"},
	/* msm_iommu: a line of a table of registers */
	{"FAR    = ", "FAR    = ", NULL, NULL},
};

/* Records of the SMMUv3's event queue: number, then four words. */
#define EVENT_WORDS   4
#define EVENT_READ    (UINT64_C(1) << 35) /* of the second */
#define EVENT_ADDRESS 2			  /* which word it is */

struct faultlog {
	GArray *entries;
	uint64_t more;
	unsigned event_words; /* of a record of the SMMUv3, so far; EVENT_WORDS: none is being read */
	uint64_t event[EVENT_WORDS];
	uint64_t event_time_ns;
};

static void entry_clear(void *data)
{
	g_free(((struct faultlog_entry *)data)->text);
}

static bool has(struct scan line, const char *text)
{
	return text && scan_find_text(&line, text, strlen(text));
}

static bool find_hex(struct scan line, const char *before, uint64_t *ret_value)
{
	if (!scan_find_text(&line, before, strlen(before)))
		return false;
	(void)SCAN(&line, "0x");
	return scan_hex(&line, ret_value);
}

/** Takes "<3>[   10.936127][    T1] ", or as much of it as there is. Returns the time stamp, UINT64_MAX for none. */
static uint64_t take_stamp(struct scan line)
{
	uint64_t level, time_ns;

	if (scan_char(&line, '<') && (!scan_decimal(&line, &level) || !scan_char(&line, '>')))
		return UINT64_MAX;
	if (!scan_char(&line, '['))
		return UINT64_MAX;
	scan_blanks(&line);
	if (!scan_time(&line, 1000000000, &time_ns) || !scan_char(&line, ']'))
		return UINT64_MAX;
	return time_ns;
}

static void add(struct faultlog *log, struct scan line, uint64_t number, uint64_t time_ns, uint64_t iova,
		unsigned access)
{
	size_t len = MIN((size_t)(line.end - line.at), TEXT_MAX);
	struct faultlog_entry entry = {.line = number, .time_ns = time_ns, .iova = iova, .access = access};

	if (log->entries->len == FAULTLOG_MAX) {
		log->more++;
		return;
	}
	entry.text = g_utf8_make_valid(line.at, (gssize)len);
	g_array_append_val(log->entries, entry);
}

static unsigned access_of(struct scan line, const struct wording *wording)
{
	uint64_t flags;

	if (has(line, wording->write))
		return LIFE_WRITE;
	if (has(line, wording->read))
		return LIFE_READ;
	if (wording->flags && find_hex(line, wording->flags, &flags))
		return flags & wording->write_flag ? LIFE_WRITE : LIFE_READ;
	return 0;
}

static bool take_wording(struct faultlog *log, struct scan line, uint64_t number)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(wordings); i++) {
		uint64_t iova;

		if (!has(line, wordings[i].mark) || !find_hex(line, wordings[i].address, &iova))
			continue;
		add(log, line, number, take_stamp(line), iova, access_of(line, &wordings[i]));
		return true;
	}
	return false;
}

/** arm-smmu-v3: "event 0x10 received:", four words of the record, one a line, and in newer kernels what they mean. */
static bool take_event(struct faultlog *log, struct scan line, uint64_t number)
{
	uint64_t id, word;

	if (find_hex(line, "event ", &id) && has(line, " received:")) {
		log->event_words = id >= 0x10 && id <= 0x13 ? 0 : EVENT_WORDS;
		log->event_time_ns = take_stamp(line);
		return true;
	}
	if (log->event_words == EVENT_WORDS || !find_hex(line, "\t", &word))
		return false;
	log->event[log->event_words++] = word;
	if (log->event_words == EVENT_WORDS)
		add(log, line, number, log->event_time_ns, log->event[EVENT_ADDRESS],
		    log->event[1] & EVENT_READ ? LIFE_READ : LIFE_WRITE);
	return true;
}

GArray *faultlog_read(const char *path, uint64_t *ret_more, GError **error)
{
	struct input *input = input_open(path, error);
	struct faultlog log = {.event_words = EVENT_WORDS};
	const char *text;
	size_t len;
	int result;

	if (!input)
		return NULL;
	log.entries = g_array_new(FALSE, FALSE, sizeof(struct faultlog_entry));
	g_array_set_clear_func(log.entries, entry_clear);
	while ((result = input_line(input, &text, &len, error)) > 0) {
		struct scan line = {.at = text, .end = text + len};

		if (!take_event(&log, line, input_line_number(input)))
			take_wording(&log, line, input_line_number(input));
	}
	input_close(input);
	if (result < 0) {
		g_array_unref(log.entries);
		return NULL;
	}
	*ret_more = log.more;
	return log.entries;
}
