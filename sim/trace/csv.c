/* SPDX-License-Identifier: MIT */
/*
 * Lists of requests, a row each: the families that are published, and any other by its columns.
 *
 * What a column holds, and in which unit, is said by a layout such as "time:ns,op,offset:sectors,size:bytes"; a family is
 * nothing but a name, a layout and how it looks. Rows are put in order of time within a window.
 */
#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/formats.h"
#include "sim/trace/names.h"
#include "sim/trace/scan.h"
#include "sim/trace/window.h"

#define COLUMNS_MAX	64
#define PROBE_ROWS	8
#define DEVICE_MAX	255 /* bytes of a name */
#define LAYOUT_LINE_MAX 1024
#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* of UTF-8, which spreadsheets put first */

enum column_kind {
	COLUMN_SKIP,
	COLUMN_TIME,
	COLUMN_RESPONSE,
	COLUMN_OP,
	COLUMN_OFFSET,
	COLUMN_SIZE,
	COLUMN_DEVICE,
	COLUMN_CPU,
	COLUMN_KINDS,
};

/* How numbers stand for operations. */
enum op_digits {
	OP_LETTERS, /* not at all */
	OP_RW,	    /* 0 is a read, 1 a write */
	OP_WR,	    /* the reverse */
};

struct column {
	enum column_kind kind;
	uint64_t unit; /* ns or bytes; of an operation enum op_digits */
};

struct layout {
	struct column columns[COLUMNS_MAX];
	unsigned count;
	bool open_ended;   /* rows may have more */
	bool has_response; /* else the list has no completions at all */
};

struct row {
	struct scan fields[COLUMNS_MAX];
	unsigned count; /* of all, even if that is above COLUMNS_MAX */
};

struct csv {
	struct input *input;
	struct layout layout;
	char separator;
	bool started, ended;
	uint64_t without_op, without_data, unaligned;
	struct window window;
	struct names devices, ops;
};

/* ---- layouts ---- */

static const struct {
	const char *name;
	enum column_kind kind;
} column_names[] = {
	{"-", COLUMN_SKIP},	   {"time", COLUMN_TIME}, {"response", COLUMN_RESPONSE}, {"op", COLUMN_OP},
	{"offset", COLUMN_OFFSET}, {"size", COLUMN_SIZE}, {"device", COLUMN_DEVICE},	 {"cpu", COLUMN_CPU},
};

static const struct {
	const char *name;
	uint64_t ns;
} time_units[] = {{"s", 1000000000}, {"ms", 1000000}, {"us", 1000}, {"100ns", 100}, {"ns", 1}};

static bool unit_of_time(const char *name, uint64_t *ret_unit)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(time_units); i++)
		if (strcmp(time_units[i].name, name) == 0) {
			*ret_unit = time_units[i].ns;
			return true;
		}
	return false;
}

/* "bytes", "sectors", or the bytes of a block. */
static bool unit_of_size(const char *name, uint64_t *ret_unit)
{
	struct scan scan = {.at = name, .end = name + strlen(name)};

	if (strcmp(name, "bytes") == 0 || strcmp(name, "sectors") == 0) {
		*ret_unit = *name == 'b' ? 1 : 512;
		return true;
	}
	return scan_decimal(&scan, ret_unit) && scan.at == scan.end && *ret_unit && *ret_unit <= 1u << 20;
}

static bool unit_of_op(const char *name, uint64_t *ret_unit)
{
	*ret_unit = strcmp(name, "rw") == 0 ? OP_RW : OP_WR;
	return *ret_unit == OP_RW || strcmp(name, "wr") == 0;
}

/* Units are explicit: what has one must say it. */
static bool column_unit(struct column *column, const char *unit)
{
	switch (column->kind) {
	case COLUMN_TIME:
	case COLUMN_RESPONSE:
		return unit && unit_of_time(unit, &column->unit);
	case COLUMN_OFFSET:
	case COLUMN_SIZE:
		return unit && unit_of_size(unit, &column->unit);
	case COLUMN_OP:
		return !unit || unit_of_op(unit, &column->unit);
	default:
		return !unit;
	}
}

static bool column_compile(const char *text, struct column *ret_column)
{
	g_auto(GStrv) parts = g_strsplit(text, ":", 2);

	for (unsigned i = 0; parts[0] && i < G_N_ELEMENTS(column_names); i++)
		if (strcmp(column_names[i].name, parts[0]) == 0) {
			*ret_column = (struct column){.kind = column_names[i].kind};
			return column_unit(ret_column, parts[1]);
		}
	return false;
}

static bool layout_check(const struct layout *layout, const char *text, GError **error)
{
	unsigned counts[COLUMN_KINDS] = {0};

	for (unsigned i = 0; i < layout->count; i++)
		counts[layout->columns[i].kind]++;
	for (unsigned i = 0; i < G_N_ELEMENTS(column_names); i++) {
		enum column_kind kind = column_names[i].kind;
		bool needed = kind == COLUMN_TIME || kind == COLUMN_OP || kind == COLUMN_OFFSET ||
			      kind == COLUMN_SIZE;

		if (needed && !counts[kind])
			return sim_error_plain(error, "--csv=%s: lacks %s", text, column_names[i].name) == 0;
		if (counts[kind] > 1 && kind != COLUMN_SKIP && kind != COLUMN_DEVICE)
			return sim_error_plain(error, "--csv=%s: has %s twice", text, column_names[i].name) ==
			       0;
	}
	return true;
}

static bool layout_compile(struct layout *layout, const char *text, GError **error)
{
	g_auto(GStrv) columns = g_strsplit(text, ",", COLUMNS_MAX + 1);

	for (unsigned i = 0; columns[i]; i++) {
		if (strcmp(columns[i], "...") == 0 && !columns[i + 1]) {
			layout->open_ended = true;
			break;
		}
		if (i == COLUMNS_MAX)
			return sim_error_plain(error, "--csv: more than %d columns", COLUMNS_MAX) == 0;
		if (!column_compile(columns[i], &layout->columns[layout->count++]))
			return sim_error_plain(
				       error,
				       "--csv=%s: '%s' is no column with its unit (time:ns, op, op:rw, "
				       "offset:sectors, size:bytes, response:us, device, cpu, -)",
				       text, columns[i]) == 0;
	}
	for (unsigned i = 0; i < layout->count; i++)
		layout->has_response |= layout->columns[i].kind == COLUMN_RESPONSE;
	return layout_check(layout, text, error);
}

/* ---- rows ---- */

static struct scan line_scan(const char *text, size_t len)
{
	struct scan scan = {.at = text, .end = text + len};

	while (scan.end > text && g_ascii_isspace(scan.end[-1]))
		scan.end--;
	while (scan.at < scan.end && g_ascii_isspace(*scan.at))
		scan.at++;
	return scan;
}

/* What stands between the fields of @line: the first of these that it has. */
static char separator_of(struct scan line)
{
	static const char separators[] = ",;\t";

	for (const char *c = separators; *c; c++)
		if (memchr(line.at, *c, (size_t)(line.end - line.at)))
			return *c;
	return ' ';
}

static struct scan field_trim(struct scan field)
{
	field = line_scan(field.at, (size_t)(field.end - field.at));
	if (field.end - field.at >= 2 && *field.at == '"' && field.end[-1] == '"') {
		field.at++;
		field.end--;
	}
	return field;
}

static void row_split(struct scan line, char separator, struct row *ret_row)
{
	ret_row->count = 0;
	for (;;) {
		const char *end = memchr(line.at, separator, (size_t)(line.end - line.at));

		if (ret_row->count < COLUMNS_MAX)
			ret_row->fields[ret_row->count] =
				field_trim((struct scan){.at = line.at, .end = end ? end : line.end});
		ret_row->count++;
		if (!end)
			return;
		line.at = end + 1;
		if (separator == ' ')
			scan_blanks(&line);
	}
}

static const struct {
	const char *name;
	enum io_op op;
} op_words[] = {
	{"r", IO_READ},	   {"read", IO_READ},	    {"w", IO_WRITE},	  {"write", IO_WRITE},
	{"d", IO_DISCARD}, {"discard", IO_DISCARD}, {"trim", IO_DISCARD}, {"unmap", IO_DISCARD},
	{"f", IO_FLUSH},   {"flush", IO_FLUSH},	    {"sync", IO_FLUSH},	  {"write zeroes", IO_WRITE_ZEROES},
};

static bool take_op(struct scan field, uint64_t digits, enum io_op *ret_op)
{
	size_t len = (size_t)(field.end - field.at);

	if (digits != OP_LETTERS && len == 1 && (*field.at == '0' || *field.at == '1')) {
		*ret_op = (*field.at == '0') == (digits == OP_RW) ? IO_READ : IO_WRITE;
		return true;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(op_words); i++)
		if (strlen(op_words[i].name) == len &&
		    g_ascii_strncasecmp(op_words[i].name, field.at, len) == 0) {
			*ret_op = op_words[i].op;
			return true;
		}
	return false;
}

static bool take_bytes(struct scan *field, uint64_t unit, uint64_t *ret_bytes)
{
	uint64_t value;

	if (!scan_decimal(field, &value) || value > UINT64_MAX / unit)
		return false;
	*ret_bytes = value * unit;
	return true;
}

/* What a row says, as far as its layout names it. */
struct request {
	uint64_t time_ns, response_ns, offset, size, cpu;
	enum io_op op;
	bool has_op, has_response;
	char device[DEVICE_MAX + 1];
	size_t device_len;
};

/* Several columns name a device together: "server/0". */
static bool add_device(struct request *request, struct scan field)
{
	size_t len = (size_t)(field.end - field.at);

	if (request->device_len + len + 1 > DEVICE_MAX)
		return false;
	if (request->device_len)
		request->device[request->device_len++] = '/';
	memcpy(request->device + request->device_len, field.at, len);
	request->device_len += len;
	return true;
}

static bool take_column(const struct column *column, struct scan field, struct request *request)
{
	bool taken = true;

	switch (column->kind) {
	case COLUMN_TIME:
		taken = scan_time(&field, column->unit, &request->time_ns);
		break;
	case COLUMN_RESPONSE:
		/* An empty one: it never completed. */
		request->has_response = field.at < field.end;
		if (!request->has_response)
			return true;
		taken = scan_time(&field, column->unit, &request->response_ns);
		break;
	case COLUMN_OP:
		request->has_op = field.at < field.end;
		return !request->has_op || take_op(field, column->unit, &request->op);
	case COLUMN_OFFSET:
		taken = take_bytes(&field, column->unit, &request->offset);
		break;
	case COLUMN_SIZE:
		taken = take_bytes(&field, column->unit, &request->size);
		break;
	case COLUMN_DEVICE:
		return add_device(request, field);
	case COLUMN_CPU:
		taken = scan_decimal(&field, &request->cpu);
		break;
	default:
		return true;
	}
	return taken && field.at == field.end;
}

/* Returns the number of the first column that is not understood, from 1; 0 where all are. */
static unsigned row_parse(const struct layout *layout, const struct row *row, struct request *ret_request)
{
	/* Not the whole of it, which is mostly the name. */
	ret_request->time_ns = ret_request->response_ns = ret_request->offset = 0;
	ret_request->size = ret_request->cpu = 0;
	ret_request->op = IO_READ;
	ret_request->has_op = ret_request->has_response = false;
	ret_request->device_len = 0;
	for (unsigned i = 0; i < layout->count; i++)
		if (!take_column(&layout->columns[i], row->fields[i], ret_request))
			return i + 1;
	return 0;
}

static bool row_has_columns(const struct layout *layout, const struct row *row)
{
	return row->count == layout->count || (layout->open_ended && row->count > layout->count);
}

/* Column titles: in the first line, and no time, not even one that cannot be. */
static bool row_is_header(const struct layout *layout, const struct row *row)
{
	for (unsigned i = 0; i < layout->count && i < row->count; i++)
		if (layout->columns[i].kind == COLUMN_TIME)
			return row->fields[i].at < row->fields[i].end &&
			       !g_ascii_isdigit(*row->fields[i].at) && !strchr("+-.", *row->fields[i].at);
	return false;
}

/* ---- events ---- */

/* Whole sectors: a place in the middle of one counts as all of it. */
static bool set_range(struct csv *csv, const struct request *request, struct trace_event *event)
{
	uint64_t end = request->offset + request->size;

	if (request->size > UINT32_MAX || end < request->offset || end >> 9 >= TRACE_LBA_MAX)
		return false;
	csv->unaligned += request->offset % 512 || request->size % 512;
	event->lba = request->offset >> 9;
	event->bytes = (((end + 511) >> 9) - event->lba) << 9;
	return event->bytes <= UINT32_MAX;
}

static int line_error(const struct csv *csv, GError **error, const char *what, uint64_t number)
{
	return sim_error_line(error, input_path(csv->input), input_line_number(csv->input),
			      "%s %" G_GUINT64_FORMAT, what, number);
}

static void count_op(struct csv *csv, const struct request *request, const struct trace_event *event)
{
	const char *name = request->has_op ? io_op_names[request->op] : "without operation";

	csv->without_op += !request->has_op;
	csv->without_data += request->has_op && event->kind == TRACE_OTHER;
	names_count(&csv->ops, name, strlen(name), TRACE_EVENTS_MAX);
}

static int add_request(struct csv *csv, const struct request *request, GError **error)
{
	struct trace_event event = {
		.kind = TRACE_ISSUE,
		.op = request->op,
		.time_ns = request->time_ns,
		.position = input_line_number(csv->input),
		.cpu = (uint32_t)request->cpu,
		.queue = TRACE_NO_QUEUE,
		.never_completes = !csv->layout.has_response,
	};

	if (request->cpu >= SIM_CPUS_MAX)
		return line_error(csv, error, "impossible CPU", request->cpu);
	event.device = names_count(&csv->devices, request->device, request->device_len, TRACE_DEVICES_MAX);
	if (event.device == NAMES_NONE)
		return line_error(csv, error, "more devices than", TRACE_DEVICES_MAX);
	if (request->op != IO_FLUSH && !set_range(csv, request, &event))
		return line_error(csv, error, "impossible range: bytes from", request->offset);
	if (!request->has_op || (request->op != IO_FLUSH && !event.bytes))
		event.kind = TRACE_OTHER;
	count_op(csv, request, &event);
	window_add(&csv->window, &event);
	if (event.kind == TRACE_OTHER || !request->has_response)
		return 0;
	if (request->response_ns > UINT64_MAX - event.time_ns)
		return line_error(csv, error, "impossible response: ns", request->response_ns);
	event.kind = TRACE_COMPLETE;
	event.time_ns += request->response_ns;
	window_add(&csv->window, &event);
	return 0;
}

/* ---- the reader ---- */

static int read_row(struct csv *csv, struct scan line, GError **error)
{
	bool first = !csv->started;
	struct request request;
	struct row row;
	unsigned wrong;

	if (first)
		csv->separator = separator_of(line);
	csv->started = true;
	row_split(line, csv->separator, &row);
	if (first && row_is_header(&csv->layout, &row))
		return 0;
	if (!row_has_columns(&csv->layout, &row))
		return line_error(csv, error, "row of another number of columns:", row.count);
	wrong = row_parse(&csv->layout, &row, &request);
	if (wrong)
		return line_error(csv, error, "not understood: column", wrong);
	return add_request(csv, &request, error);
}

static int csv_next(void *state, struct trace_event *ret_event, GError **error)
{
	struct csv *csv = state;
	const char *text;
	size_t len;

	while (!window_take(&csv->window, csv->ended, ret_event)) {
		int result = csv->ended ? 0 : input_line(csv->input, &text, &len, error);
		struct scan line;

		if (result < 0 || csv->ended)
			return result;
		csv->ended = result == 0;
		if (csv->ended)
			continue;
		line = line_scan(text, len);
		if (!csv->started)
			(void)SCAN(&line, BYTE_ORDER_MARK);
		if (line.at < line.end && *line.at != '#' && read_row(csv, line, error) < 0)
			return -1;
	}
	return 1;
}

static bool layout_open(struct csv *csv, struct input *input, const char *layout, GError **error)
{
	csv->input = input;
	window_init(&csv->window);
	names_init(&csv->devices);
	names_init(&csv->ops);
	return layout_compile(&csv->layout, layout, error);
}

/* Returns the layout that a list made by this program says in its first line, NULL where there is none. */
static char *said_layout(struct input *input)
{
	const uint8_t *bytes = NULL;
	ssize_t len = input_peek(input, LAYOUT_LINE_MAX, &bytes, NULL);
	struct scan scan = {.at = (const char *)bytes, .end = (const char *)bytes + MAX(len, 0)};
	const char *newline;

	if (len < 0 || !SCAN(&scan, CSV_SAYS))
		return NULL;
	newline = memchr(scan.at, '\n', (size_t)(scan.end - scan.at));
	return newline ? g_strndup(scan.at, (size_t)(newline - scan.at)) : NULL;
}

static bool csv_open(void *state, struct input *input, const char *path, const struct trace_options *options,
		     GError **error)
{
	g_autofree char *said = options->csv ? NULL : said_layout(input);

	if (!options->csv && !said) {
		sim_error_plain(error, "csv: give the columns as --csv=time:ns,op,offset:sectors,size:bytes");
		return false;
	}
	return layout_open(state, input, said ? said : options->csv, error);
}

static void add_fact(GHashTable *facts, const char *key, uint64_t value)
{
	g_hash_table_replace(facts, g_strdup(key), g_strdup_printf("%" G_GUINT64_FORMAT, value));
}

static void csv_facts(void *state, GHashTable *facts)
{
	const struct csv *csv = state;

	add_fact(facts, "without an operation", csv->without_op);
	add_fact(facts, "without data", csv->without_data);
	add_fact(facts, "not of whole sectors", csv->unaligned);
}

static const struct names *csv_events(const void *state)
{
	return &((const struct csv *)state)->ops;
}

static char *csv_device_name(const void *state, uint32_t number)
{
	const char *name = names_at(&((const struct csv *)state)->devices, number)->text;

	return g_strdup(name[0] ? name : "disk");
}

static void csv_close(void *state)
{
	struct csv *csv = state;

	window_finish(&csv->window);
	names_finish(&csv->devices);
	names_finish(&csv->ops);
}

/* ---- families ---- */

/* Whether the first rows of @bytes are of @layout, and @looks of each, where only that tells families apart. */
static bool probe_rows(const uint8_t *bytes, size_t len, const char *text, bool (*looks)(const struct row *))
{
	struct scan all = {.at = (const char *)bytes, .end = (const char *)bytes + len};
	struct layout layout = {0};
	unsigned rows = 0;
	char separator = 0;

	if (!layout_compile(&layout, text, NULL))
		return false;
	(void)SCAN(&all, BYTE_ORDER_MARK);
	for (const char *newline; rows < PROBE_ROWS && all.at < all.end;
	     all.at = newline ? newline + 1 : all.end) {
		struct request request;
		struct scan line;
		struct row row;

		newline = memchr(all.at, '\n', (size_t)(all.end - all.at));
		line = line_scan(all.at, (size_t)((newline ? newline : all.end) - all.at));
		if (!newline && rows)
			break; /* perhaps only half of it is visible */
		if (line.at == line.end || *line.at == '#')
			continue;
		if (!separator)
			separator = separator_of(line);
		row_split(line, separator, &row);
		if (!row_has_columns(&layout, &row) || row_parse(&layout, &row, &request) || !looks(&row))
			return false;
		rows++;
	}
	return rows > 0;
}

static size_t field_len(const struct row *row, unsigned i)
{
	return (size_t)(row->fields[i].end - row->fields[i].at);
}

/* 100 ns since 1601 has 18 digits for a long time. */
static bool looks_msr(const struct row *row)
{
	return field_len(row, 0) == 18 && field_len(row, 3) > 1;
}

/* Microseconds since 1970 have 16 digits. */
static bool looks_alibaba(const struct row *row)
{
	return field_len(row, 4) == 16;
}

/* Seconds since 1970 have ten. */
static bool looks_tencent(const struct row *row)
{
	return field_len(row, 0) == 10;
}

static bool looks_spc(const struct row *row)
{
	return field_len(row, 3) == 1 && memchr(row->fields[4].at, '.', field_len(row, 4));
}

static bool looks_mqsim(const struct row *row)
{
	return row->fields[1].at[-1] == ' ';
}

#define SYSTOR_HEADER "Timestamp,Response,IOType,LUN,Offset,Size"

static int systor_probe(const uint8_t *bytes, size_t len)
{
	return len > strlen(SYSTOR_HEADER) && memcmp(bytes, SYSTOR_HEADER, strlen(SYSTOR_HEADER)) == 0 ? 100
												       : 0;
}

#define CSV_OPS(symbol, title, about, open_function, probe_function) \
	const struct trace_reader_ops symbol = {                     \
		.name = title,                                       \
		.description = about,                                \
		.counts_lines = true,                                \
		.probe = probe_function,                             \
		.state_size = sizeof(struct csv),                    \
		.open = open_function,                               \
		.next = csv_next,                                    \
		.facts = csv_facts,                                  \
		.events = csv_events,                                \
		.device_name = csv_device_name,                      \
		.close = csv_close,                                  \
	}

#define FAMILY_OPEN(family, columns)                                                   \
	static bool family##_open(void *state, struct input *input, const char *path,  \
				  const struct trace_options *options, GError **error) \
	{                                                                              \
		return layout_open(state, input, columns, error);                      \
	}

#define FAMILY(family, score, about, columns)                                       \
	FAMILY_OPEN(family, columns)                                                \
	static int family##_probe(const uint8_t *bytes, size_t len)                 \
	{                                                                           \
		return probe_rows(bytes, len, columns, looks_##family) ? score : 0; \
	}                                                                           \
	CSV_OPS(trace_##family, #family, about, family##_open, family##_probe)

FAMILY(msr, 75, "MSR Cambridge block traces",
       "time:100ns,device,device,op,offset:bytes,size:bytes,response:100ns");
FAMILY(alibaba, 75, "Alibaba block traces", "device,op,offset:bytes,size:bytes,time:us");
FAMILY(tencent, 70, "Tencent CBS traces", "time:s,offset:sectors,size:sectors,op:rw,device");
FAMILY(spc, 70, "SPC traces, as of the UMass repository", "device,offset:sectors,size:bytes,op,time:s,...");
FAMILY(mqsim, 65, "MQSim's ASCII traces, in nanoseconds", "time:ns,device,offset:sectors,size:sectors,op:wr");

FAMILY_OPEN(systor, "time:s,response:s,op,device,offset:bytes,size:bytes")
CSV_OPS(trace_systor, "systor", "SYSTOR '17 (VDI) traces", systor_open, systor_probe);

static int csv_probe(const uint8_t *bytes, size_t len)
{
	return len > strlen(CSV_SAYS) && memcmp(bytes, CSV_SAYS, strlen(CSV_SAYS)) == 0 ? 100 : 0;
}

CSV_OPS(trace_csv, "csv", "any other list of requests, by --csv", csv_open, csv_probe);
