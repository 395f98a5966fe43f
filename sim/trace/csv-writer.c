/* SPDX-License-Identifier: MIT */
/*
 * Writing a list of requests, a row each, that says its own columns. Rows stand in order of issue, so one that completes late
 * holds back those behind it, ROWS_MAX at most.
 */
#include "sim/trace/formats.h"
#include "sim/trace/writer.h"

#define COLUMNS	  "time:ns,op,offset:sectors,size:bytes,device,cpu"
#define RESPONSES ",response:ns"
#define ROWS_MAX  IO_IN_FLIGHT_MAX
#define FOREIGN	  ";\""

enum row_state {
	ROW_NONE, /* of a request that does not fit */
	ROW_OPEN,
	ROW_DONE,
	ROW_ENDLESS, /* the recording has no completion of it */
};

struct row {
	uint64_t time_ns, lba, bytes, response_ns;
	uint32_t device, cpu;
	uint8_t op;
	uint8_t state; /* enum row_state */
};

struct csv_writer {
	bool started, is_list;
	struct row *rows;	/* request n stands at n % ROWS_MAX */
	uint64_t first, behind; /* requests that have a row: first to behind - 1 */
	uint32_t cpus;		/* highest CPU written + 1 */
	uint64_t tie_ns,
		tie_place; /* the last event by time, and the latest in the order in which readers have them */
};

static uint64_t sectors_of(uint64_t bytes)
{
	return (bytes + 511) >> 9;
}

static bool csv_fits(const struct io_record *record)
{
	if (record->op == IO_FLUSH)
		return true;
	return record->op != IO_PASSTHROUGH && record->bytes &&
	       sectors_of(record->bytes) <= UINT32_MAX >> 9 &&
	       record->lba + sectors_of(record->bytes) < TRACE_LBA_MAX;
}

static void write_row(struct trace_writer *writer, const struct row *row)
{
	struct csv_writer *csv = writer->state;
	bool range = row->op != IO_FLUSH;

	csv->cpus = MAX(csv->cpus, row->cpu + 1);
	output_printf(writer->output,
		      "%" G_GUINT64_FORMAT ";%s;%" G_GUINT64_FORMAT ";%" G_GUINT64_FORMAT ";%s;%u",
		      row->time_ns, io_op_names[row->op], range ? row->lba : 0, range ? row->bytes : 0,
		      trace_writer_device(writer, row->device, FOREIGN), row->cpu);
	if (!csv->is_list && row->state == ROW_DONE)
		output_printf(writer->output, ";%" G_GUINT64_FORMAT, row->response_ns);
	else if (!csv->is_list)
		output_puts(writer->output, ";");
	output_puts(writer->output, "\n");
}

static struct row *row_at(struct csv_writer *csv, uint64_t number)
{
	return &csv->rows[number % ROWS_MAX];
}

/* Writes the first row, complete or not. */
static void put_first(struct trace_writer *writer)
{
	struct csv_writer *csv = writer->state;
	const struct row *row = row_at(csv, csv->first++);

	if (row->state != ROW_NONE)
		write_row(writer, row);
}

static void put_ready(struct trace_writer *writer)
{
	struct csv_writer *csv = writer->state;

	while (csv->first < csv->behind && row_at(csv, csv->first)->state != ROW_OPEN)
		put_first(writer);
}

/* Whether there are completions is known with the first request. */
static void start(struct trace_writer *writer, bool is_list)
{
	struct csv_writer *csv = writer->state;
	const char *more = is_list ? "" : RESPONSES;

	csv->started = true;
	csv->is_list = is_list;
	output_printf(writer->output, "%s%s%s\ntime_ns;op;sector;bytes;device;cpu%s\n", CSV_SAYS, COLUMNS,
		      more, is_list ? "" : ";response_ns");
	/* Without operation it is no request; times count from it. */
	output_printf(writer->output, "0;;0;0;;0%s\n", is_list ? "" : ";");
}

/* Readers have an issue, its completion, and then what the next row says, where all is of one time. */
static void check_order(struct trace_writer *writer, uint64_t time_ns, uint64_t place)
{
	struct csv_writer *csv = writer->state;

	if (time_ns == csv->tie_ns && place < csv->tie_place)
		trace_writer_drop(writer, TRACE_FACT_ORDER);
	csv->tie_place = time_ns == csv->tie_ns ? MAX(csv->tie_place, place) : place;
	csv->tie_ns = time_ns;
}

static void csv_issue(struct trace_writer *writer, const struct io_record *record)
{
	struct csv_writer *csv = writer->state;
	bool range = record->op != IO_FLUSH;

	if (!csv->started)
		start(writer, record->never_completes);
	if (record->never_completes != csv->is_list && record->never_completes)
		trace_writer_drop(writer, TRACE_FACT_LIST);
	if (range ? record->bytes % 512 != 0 : record->lba || record->bytes)
		trace_writer_drop(writer, TRACE_FACT_RANGE);
	check_order(writer, record->time_ns, 2 * record->number);
	for (; csv->behind <= record->number; csv->behind++) {
		if (csv->behind - csv->first == ROWS_MAX) {
			/* It ends too late. */
			if (row_at(csv, csv->first)->state == ROW_OPEN)
				trace_writer_drop(writer, TRACE_FACT_END);
			put_first(writer);
		}
		row_at(csv, csv->behind)->state = ROW_NONE;
	}
	*row_at(csv, record->number) = (struct row){
		.time_ns = record->time_ns,
		.lba = record->lba,
		.bytes = record->bytes,
		.device = record->device,
		.cpu = record->cpu,
		.op = (uint8_t)record->op,
		.state = csv->is_list ? ROW_ENDLESS : ROW_OPEN,
	};
	put_ready(writer);
}

static void csv_end(struct trace_writer *writer, const struct io_record *record,
		    const struct io_complete *complete)
{
	struct csv_writer *csv = writer->state;
	struct row *row = row_at(csv, record->number);

	if (csv->is_list && record->completes)
		trace_writer_drop(writer, TRACE_FACT_END);
	if (record->number < csv->first || csv->is_list)
		return;
	row->state = record->completes ? ROW_DONE : ROW_ENDLESS;
	row->response_ns = complete->time_ns - row->time_ns;
	if (record->completes)
		check_order(writer, complete->time_ns, 2 * record->number + 1);
	put_ready(writer);
}

static void csv_open(struct trace_writer *writer)
{
	struct csv_writer *csv = writer->state;

	csv->rows = g_new(struct row, ROWS_MAX);
	csv->first = csv->behind = 1;
	csv->tie_ns = UINT64_MAX;
}

static void csv_finish(struct trace_writer *writer)
{
	struct csv_writer *csv = writer->state;
	uint32_t cpus = writer->cpus;

	if (!csv->started)
		start(writer, false);
	while (csv->first < csv->behind)
		put_first(writer);
	/* The recording has a CPU that has no requests. */
	if (cpus > csv->cpus)
		output_printf(writer->output, "%" G_GUINT64_FORMAT ";;0;0;;%u%s\n", writer->time_ns, cpus - 1,
			      csv->is_list ? "" : ";");
}

static void csv_close(struct trace_writer *writer)
{
	g_free(((struct csv_writer *)writer->state)->rows);
}

const struct trace_writer_ops trace_csv_writer = {
	.name = "csv",
	.description = "a list of requests that says its columns",
	.holds = TRACE_HOLDS(REQUEST) | TRACE_HOLDS(TIME) | TRACE_HOLDS(CPU) | TRACE_HOLDS(DEVICE) |
		 TRACE_HOLDS(RANGE) | TRACE_HOLDS(END) | TRACE_HOLDS(LIST),
	.state_size = sizeof(struct csv_writer),
	.fits = csv_fits,
	.open = csv_open,
	.issue = csv_issue,
	.end = csv_end,
	.finish = csv_finish,
	.close = csv_close,
};
