/* SPDX-License-Identifier: MIT */
#include "sim/trace/kevent.h"

#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/kevent-rows.h"
#include "sim/trace/ktext.h"
#include "sim/trace/tracedat.h"

#define HEADER_BYTES 1024

const char *const kevent_names[KEVENT_KINDS] = {
	[KEVENT_IO] = "I/O",
	[KEVENT_MARK] = "tracing_mark_write",
	[KEVENT_IOVA_INIT] = "iova_init",
	[KEVENT_IOVA_RESERVE] = "iova_reserve",
	[KEVENT_IOVA_ALLOC] = "iova_alloc",
	[KEVENT_IOVA_ALLOC_RET] = "iova_alloc_ret",
	[KEVENT_IOVA_FREE] = "iova_free",
	[KEVENT_IOVA_FREE_RET] = "iova_free_ret",
	[KEVENT_TRY_ALLOC] = "try_alloc",
	[KEVENT_LINK] = "link",
	[KEVENT_DESTROY] = "destroy",
	[KEVENT_FREE_STATE] = "iova_free_state",
	[KEVENT_MAP_NOSYNC] = "map_nosync",
	[KEVENT_MAP_NOSYNC_RET] = "map_nosync_ret",
	[KEVENT_MAP] = "map",
	[KEVENT_UNMAP] = "unmap",
	[KEVENT_DMA_MAP] = "dma_map_phys",
	[KEVENT_DMA_MAP_CALL] = "dma_map_page (entry)",
	[KEVENT_DMA_UNMAP] = "dma_unmap_phys",
	[KEVENT_DMA_MAP_SG] = "dma_map_sg",
	[KEVENT_DMA_UNMAP_SG] = "dma_unmap_sg",
	[KEVENT_DMA_ALLOC] = "dma_alloc",
	[KEVENT_DMA_ALLOC_CALL] = "dma_alloc_attrs (entry)",
	[KEVENT_DMA_FREE] = "dma_free",
	[KEVENT_POOL_ALLOC] = "pool_alloc",
	[KEVENT_POOL_FREE] = "pool_free",
	[KEVENT_FQ_TIMEOUT] = "fq_timeout",
	[KEVENT_DEPOT_WORK] = "depot_work",
	[KEVENT_DEPOT_WORK_RET] = "depot_work_ret",
	[KEVENT_INVALIDATE] = "cache_tag_flush_range",
	[KEVENT_INVALIDATE_MAP] = "cache_tag_flush_range_np",
	[KEVENT_QI_SUBMIT] = "qi_submit",
	[KEVENT_FAIL_SLAB] = "should_failslab",
	[KEVENT_FAIL_PAGE] = "should_fail_alloc_page",
	[KEVENT_OTHER] = "other",
};

/* ---- bodies without keys ---- */

static void set_field(struct kevent *event, enum kevent_field field, uint64_t value)
{
	event->field[field] = value;
	event->has |= 1u << field;
}

/* "iotlb_inv dmar0: 0x300f2 0xffffd040 0x0 0x0" */
static bool take_descriptor(struct scan body, struct kevent *event)
{
	uint64_t qw0, qw1;

	if (!SCAN_FIND(&body, ": ") || !scan_number(&body, &qw0) || !scan_char(&body, ' ') ||
	    !scan_number(&body, &qw1))
		return false;
	set_field(event, KEVENT_QW0, qw0);
	set_field(event, KEVENT_QW1, qw1);
	return true;
}

/* "dmar0 dmar0[0] type iotlb did 3 [0xffffd000-0xffffdfff] addr 0xffffd000 mask 0x0" */
static bool take_range(struct scan body, struct kevent *event)
{
	uint64_t domain, first, last;

	if (!SCAN_FIND(&body, " did ") || !scan_decimal(&body, &domain) || !SCAN(&body, " [") ||
	    !scan_number(&body, &first) || !scan_char(&body, '-') || !scan_number(&body, &last) ||
	    !scan_char(&body, ']'))
		return false;
	set_field(event, KEVENT_DOMAIN, domain);
	set_field(event, KEVENT_ADDR, first);
	set_field(event, KEVENT_LEN, last);
	return true;
}

/* ---- bodies with keys ---- */

#define IOVAD                                      \
	{                                          \
		" iovad=", KEVENT_OBJECT, NUMBER_C \
	}
#define STATE                                   \
	{                                       \
		" st=", KEVENT_OBJECT, NUMBER_C \
	}
#define DIR                                     \
	{                                       \
		" dir=", KEVENT_DIR, NUMBER_DIR \
	}
#define SIZE                                          \
	{                                             \
		" size=", KEVENT_SIZE, NUMBER_DECIMAL \
	}

#define DMA_ADDR                                      \
	{                                             \
		" dma_addr=", KEVENT_ADDR, NUMBER_HEX \
	}
#define UNMAP_ADDR                                            \
	{                                                     \
		" dma_addr=", KEVENT_ADDR, NUMBER_HEX, "addr" \
	}
#define RANGE                                                          \
	{                                                              \
		{" did=", KEVENT_DOMAIN, NUMBER_DECIMAL, "domain_id"}, \
			{" first=", KEVENT_ADDR, NUMBER_C, "start"},   \
			{" last=", KEVENT_LEN, NUMBER_C, "end"},       \
	}

static const struct kevent_row rows[] = {
	{"iova_init",
	 KEVENT_IOVA_INIT,
	 true,
	 {IOVAD, {" granule=", KEVENT_GRANULE}, {" start=", KEVENT_START}}},
	{"iova_reserve", KEVENT_IOVA_RESERVE, true, {IOVAD, {" lo=", KEVENT_LO}, {" hi=", KEVENT_HI}}},
	{"iova_alloc",
	 KEVENT_IOVA_ALLOC,
	 true,
	 {IOVAD, SIZE, {" limit=", KEVENT_LIMIT}, {" flush=", KEVENT_FLUSH, NUMBER_DECIMAL}}},
	{"iova_alloc_ret", KEVENT_IOVA_ALLOC_RET, true, {{" pfn=", KEVENT_PFN}}},
	{"iova_free", KEVENT_IOVA_FREE, true, {IOVAD, {" pfn=", KEVENT_PFN}, SIZE}},
	{"iova_free_ret", KEVENT_IOVA_FREE_RET, true, {{0}}},
	{"try_alloc", KEVENT_TRY_ALLOC, true, {STATE, {" phys=", KEVENT_PADDR}, SIZE}},
	{"link",
	 KEVENT_LINK,
	 true,
	 {STATE, {" phys=", KEVENT_PADDR}, {" off=", KEVENT_OFFSET, NUMBER_DECIMAL}, SIZE, DIR}},
	{"destroy",
	 KEVENT_DESTROY,
	 true,
	 {STATE,
	  {" addr=", KEVENT_ADDR},
	  {" sz=", KEVENT_SIZE, NUMBER_DECIMAL},
	  {" len=", KEVENT_LEN, NUMBER_DECIMAL},
	  DIR}},
	{"iova_free_state", KEVENT_FREE_STATE, true, {STATE, {" addr=", KEVENT_ADDR}}},
	{"map_nosync",
	 KEVENT_MAP_NOSYNC,
	 true,
	 {{" iova=", KEVENT_ADDR}, {" paddr=", KEVENT_PADDR}, SIZE, {" prot=", KEVENT_PROT}}},
	{"map_nosync_ret", KEVENT_MAP_NOSYNC_RET, true, {{" ret=", KEVENT_RET, NUMBER_DECIMAL}}},
	{"map", KEVENT_MAP, false, {{" iova=", KEVENT_ADDR}, {" paddr=", KEVENT_PADDR}, SIZE}},
	{"unmap",
	 KEVENT_UNMAP,
	 false,
	 {{" iova=", KEVENT_ADDR}, SIZE, {" unmapped_size=", KEVENT_LEN, NUMBER_DECIMAL}}},
	{"dma_map_phys",
	 KEVENT_DMA_MAP,
	 false,
	 {DIR, DMA_ADDR, SIZE, {" phys_addr=", KEVENT_PADDR, NUMBER_HEX}}},
	{"dma_map_page",
	 KEVENT_DMA_MAP,
	 false,
	 {DIR, DMA_ADDR, SIZE, {" phys_addr=", KEVENT_PADDR, NUMBER_HEX}}},
	{"dma_map_page", KEVENT_DMA_MAP_CALL, true, {{" offset=", KEVENT_OFFSET}, SIZE, DIR}},
	{"dma_unmap_phys", KEVENT_DMA_UNMAP, false, {DIR, UNMAP_ADDR, SIZE}},
	{"dma_unmap_page", KEVENT_DMA_UNMAP, false, {DIR, UNMAP_ADDR, SIZE}},
	{"dma_unmap_page", KEVENT_DMA_UNMAP, true, {{" addr=", KEVENT_ADDR}, SIZE, DIR}},
	{"dma_map_sg", KEVENT_DMA_MAP_SG, true, {DIR}},
	{"dma_unmap_sg", KEVENT_DMA_UNMAP_SG, true, {{0}}},
	{"dma_alloc", KEVENT_DMA_ALLOC, false, {DMA_ADDR, SIZE}},
	{"dma_alloc_attrs", KEVENT_DMA_ALLOC_CALL, true, {SIZE}},
	{"dma_free", KEVENT_DMA_FREE, false, {DMA_ADDR, SIZE}},
	{"dma_free_attrs", KEVENT_DMA_FREE, true, {SIZE, {" dma=", KEVENT_ADDR}}},
	{"pool_alloc", KEVENT_POOL_ALLOC, true, {{" pool=", KEVENT_OBJECT}}},
	{"pool_free", KEVENT_POOL_FREE, true, {{" pool=", KEVENT_OBJECT}, {" dma=", KEVENT_ADDR}}},
	{"fq_timeout", KEVENT_FQ_TIMEOUT, true, {{0}}},
	{"depot_work", KEVENT_DEPOT_WORK, true, {{" work=", KEVENT_OBJECT}}},
	{"depot_work_ret", KEVENT_DEPOT_WORK_RET, true, {{0}}},
	{"should_failslab", KEVENT_FAIL_SLAB, true, {{" ret=", KEVENT_RET, NUMBER_DECIMAL}}},
	{"should_fail_alloc_page", KEVENT_FAIL_PAGE, true, {{" ret=", KEVENT_RET, NUMBER_DECIMAL}}},
	{"qi_submit",
	 KEVENT_QI_SUBMIT,
	 false,
	 {{" qw0=", KEVENT_QW0}, {" qw1=", KEVENT_QW1}},
	 take_descriptor},
	{"cache_tag_flush_range", KEVENT_INVALIDATE, false, RANGE, take_range},
	{"cache_tag_flush_range_np", KEVENT_INVALIDATE_MAP, false, RANGE, take_range},
};

struct kevent_stream {
	struct input *input;
	struct tracedat *tracedat; /* NULL: text */
	uint32_t cpus;
	bool mark_open; /* the line before was free text, which may hold newlines */
	struct ktext_aside aside;
};

/* ---- bodies ---- */

static bool take_signed(struct scan *scan, uint64_t *ret_value)
{
	bool negative = scan_char(scan, '-');

	if (!scan_number(scan, ret_value))
		return false;
	if (negative)
		*ret_value = -*ret_value;
	return true;
}

static bool take_direction(struct scan *scan, uint64_t *ret_value)
{
	if (SCAN(scan, "TO_DEVICE"))
		*ret_value = 1;
	else if (SCAN(scan, "FROM_DEVICE"))
		*ret_value = 2;
	else if (SCAN(scan, "BIDIRECTIONAL"))
		*ret_value = 0;
	else
		return scan_number(scan, ret_value) && *ret_value <= 2;
	return true;
}

static bool take_key(struct scan body, const struct kevent_key *key, struct kevent *event)
{
	uint64_t value;
	bool ok;

	if (!scan_find_text(&body, key->text, strlen(key->text)))
		return true; /* a probe that was set without it */
	if (key->number == NUMBER_DIR)
		ok = take_direction(&body, &value);
	else
		ok = key->number == NUMBER_HEX ? scan_hex(&body, &value) : take_signed(&body, &value);
	if (!ok)
		return false;
	event->field[key->field] = value;
	event->has |= 1u << key->field;
	return true;
}

static bool take_row(struct scan body, const struct kevent_row *row, struct kevent *event)
{
	event->kind = row->kind;
	event->probe = row->probe;
	if (row->take)
		return row->take(body, event);
	for (unsigned i = 0; i < KEVENT_KEYS_MAX && row->keys[i].text; i++)
		if (!take_key(body, &row->keys[i], event))
			return false;
	return true;
}

#define NAMED(line, literal) \
	((line)->name_len == sizeof(literal) - 1 && memcmp((line)->name, literal, sizeof(literal) - 1) == 0)

const struct kevent_row *kevent_row_of(const char *name, size_t len, bool probe)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		if (rows[i].probe == probe && strlen(rows[i].name) == len &&
		    memcmp(rows[i].name, name, len) == 0)
			return &rows[i];
	return NULL;
}

/** Whether all that is set in @has has a name in @row. */
static bool row_names(const struct kevent_row *row, uint32_t has)
{
	for (unsigned i = 0; i < KEVENT_KEYS_MAX && row->keys[i].text; i++)
		has &= ~(1u << row->keys[i].field);
	return !has;
}

static void append_key(GString *text, const struct kevent_key *key, uint64_t value)
{
	static const char *const directions[] = {"BIDIRECTIONAL", "TO_DEVICE", "FROM_DEVICE"};

	g_string_append(text, key->text);
	if (key->number == NUMBER_DIR && value < G_N_ELEMENTS(directions))
		g_string_append(text, directions[value]);
	else
		g_string_append_printf(text,
				       key->number == NUMBER_DECIMAL ? "%" G_GINT64_FORMAT
								     : "0x%" G_GINT64_MODIFIER "x",
				       value);
}

void kevent_append(GString *text, enum kevent_kind kind, uint32_t has, const uint64_t field[KEVENT_FIELDS])
{
	g_string_append(text, kevent_names[kind]);
	has &= ~(1u << KEVENT_OBJECT);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct kevent_row *row = &rows[i];

		if (row->kind != kind || !row_names(row, has))
			continue;
		for (unsigned k = 0; k < KEVENT_KEYS_MAX && row->keys[k].text; k++)
			if (has >> row->keys[k].field & 1)
				append_key(text, &row->keys[k], field[row->keys[k].field]);
		return;
	}
}

static bool take_event(const struct ktext_line *line, struct kevent *event)
{
	struct scan body = line->body;
	const struct kevent_row *row =
		kevent_row_of(line->name, line->name_len, body.at < body.end && *body.at == '(');
	ktext_body parse;

	if (row)
		return take_row(body, row, event);
	event->kind = NAMED(line, "tracing_mark_write") || NAMED(line, "print") ? KEVENT_MARK : KEVENT_OTHER;
	parse = ktext_body_of(line);
	if (parse)
		event->kind = KEVENT_IO;
	return !parse || parse(&body, &event->io);
}

/* ---- the stream ---- */

static int stream_error(const struct kevent_stream *stream, GError **error, const char *what)
{
	return sim_error_line(error, input_path(stream->input), input_line_number(stream->input), "%s", what);
}

static int line_event(struct kevent_stream *stream, const char *text, const struct ktext_line *line,
		      struct kevent *ret_event, GError **error)
{
	struct kevent event = {
		.io = {.kind = TRACE_OTHER,
		       .time_ns = line->time_ns,
		       .position = input_line_number(stream->input),
		       .cpu = line->cpu,
		       .context = line->context,
		       .queue = TRACE_NO_QUEUE},
		.pid = ktext_pid(text, line),
		.name = line->name,
		.name_len = line->name_len,
		.body = line->body.at,
		.body_len = (size_t)(line->body.end - line->body.at),
	};

	if (line->cpu >= SIM_CPUS_MAX)
		return sim_error_line(error, input_path(stream->input), event.io.position,
				      "CPU %u: at most %u CPUs", line->cpu, SIM_CPUS_MAX);
	if (!take_event(line, &event))
		return sim_error_line(error, input_path(stream->input), event.io.position,
				      "%.*s: fields not understood", (int)line->name_len, line->name);
	stream->mark_open = event.kind == KEVENT_MARK;
	*ret_event = event;
	return 1;
}

int kevent_next(struct kevent_stream *stream, struct kevent *ret_event, GError **error)
{
	const char *text;
	size_t len;

	if (stream->tracedat)
		return tracedat_next_kevent(stream->tracedat, ret_event, error);
	for (;;) {
		int result = input_line(stream->input, &text, &len, error);
		struct ktext_line line;

		if (result <= 0)
			return result;
		if (ktext_split(text, len, &line))
			return line_event(stream, text, &line, ret_event, error);
		if (!ktext_aside(&stream->aside, (struct scan){.at = text, .end = text + len}) &&
		    !stream->mark_open)
			return stream_error(stream, error, "not a line of ftrace text: a recording of the kernel's events is needed");
	}
}

static bool stream_open(struct kevent_stream *stream, const char *path, GError **error)
{
	const uint8_t *bytes;
	ssize_t len;

	stream->input = input_open(path, error);
	len = stream->input ? input_peek(stream->input, HEADER_BYTES, &bytes, error) : -1;
	if (len < 0)
		return false;
	if (tracedat_probe(bytes, (size_t)len)) {
		stream->tracedat = tracedat_open(stream->input, path, true, error);
		return stream->tracedat != NULL;
	}
	stream->cpus = ktext_header_cpus(bytes, (size_t)len);
	return true;
}

struct kevent_stream *kevent_open(const char *path, GError **error)
{
	struct kevent_stream *stream = g_new0(struct kevent_stream, 1);

	if (stream_open(stream, path, error))
		return stream;
	kevent_close(stream);
	return NULL;
}

void kevent_close(struct kevent_stream *stream)
{
	tracedat_close(stream->tracedat);
	if (stream->input)
		input_close(stream->input);
	g_free(stream);
}

bool kevent_counts_lines(const struct kevent_stream *stream)
{
	return !stream->tracedat;
}

uint32_t kevent_cpus(const struct kevent_stream *stream)
{
	return stream->tracedat ? tracedat_cpus(stream->tracedat) : stream->cpus;
}

uint64_t kevent_lost(const struct kevent_stream *stream)
{
	return stream->tracedat ? tracedat_lost(stream->tracedat) : stream->aside.lost_events;
}

const struct input *kevent_input(const struct kevent_stream *stream)
{
	return stream->input;
}
