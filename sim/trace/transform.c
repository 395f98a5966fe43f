/* SPDX-License-Identifier: MIT */
#include "sim/trace/transform.h"

#include <string.h>
#include <sys/stat.h>

#include "sim/core/error.h"

#define SECTOR_BYTES 512
#define TIME_MAX_NS  INT64_MAX /* 292 years: sums of two times do not overflow */

/* A request that was taken and has not ended. */
struct taken {
	uint64_t number;		/* 0: none in this slot, or it was not taken */
	const struct io_record *record; /* of the stream */
};

struct io_transform {
	char *path;
	struct trace_options options;
	struct trace_part part;
	bool whole; /* nothing to do but to pass on what the stream says */
	struct io_stream *stream;
	GError *trouble;
	bool ended;

	uint64_t round;	   /* from 0 */
	uint64_t round_ns; /* when it began */
	uint64_t base_ns;  /* time of the stream that is the round's beginning */
	bool has_base;
	bool past;			   /* no request of the stream that is still to come will be taken */
	uint64_t passed;		   /* requests of the round that skip has left out */
	uint64_t last_ns;		   /* of the last step returned */
	uint64_t first_sector, end_sector; /* what the requests of the first round cover */
	uint64_t shift_sectors;

	GArray *taken;	 /* of struct taken, by slot */
	uint64_t open;	 /* of these, in flight */
	GArray *closing; /* of struct taken: what ends with the round, from closing_at on */
	guint closing_at;

	struct io_record record;	  /* the last that was returned */
	struct io_stream_stats stats;	  /* of requests: as returned. Of events: of the rounds before */
	struct io_stream_stats stats_now; /* for io_transform_stats() */
};

bool trace_can_read_twice(const char *path)
{
	struct stat status;

	if (strcmp(path, "-") == 0)
		return false;
	/* A name that does not exist is the prefix of a trace in several files. */
	return stat(path, &status) != 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode);
}

/* ---- times and places ---- */

/* Returns whether @time_ns of the stream, not before the base, can be told in time of ours. */
static bool scale_time(const struct io_transform *transform, uint64_t time_ns, uint64_t *ret_ns)
{
	unsigned __int128 scaled = time_ns - transform->base_ns;

	if (transform->part.scale_millionths)
		scaled = scaled * TRACE_SCALE_ONE / transform->part.scale_millionths;
	scaled += transform->round_ns;
	if (scaled > TIME_MAX_NS)
		return false;
	*ret_ns = (uint64_t)scaled;
	return true;
}

/* Passthrough commands and flushes have no place on the disk. */
static bool has_place(const struct io_record *record)
{
	return record->op != IO_FLUSH && record->op != IO_PASSTHROUGH;
}

/* Makes the record of the stream, with its slot taken, one of ours. */
static void take_record(struct io_transform *transform, const struct io_record *record)
{
	transform->record = *record;
	transform->record.number = g_array_index(transform->taken, struct taken, record->slot).number;
	if (has_place(record))
		transform->record.lba += transform->round * transform->shift_sectors;
}

static enum io_step fail(struct io_transform *transform, GError **error)
{
	g_propagate_error(error, g_error_copy(transform->trouble));
	return IO_TROUBLE;
}

static enum io_step fail_time(struct io_transform *transform, GError **error)
{
	sim_error_plain(&transform->trouble, "%s: %s takes it past 292 years", transform->path,
			transform->part.repeat > 1 ? "--repeat" : "--scale");
	return fail(transform, error);
}

/* ---- issues ---- */

/* Remembers what the first round covers: the next lies behind it. */
static void count_place(struct io_transform *transform, const struct io_record *record)
{
	uint64_t end = record->lba + record->bytes / SECTOR_BYTES;

	if (transform->round || !has_place(record))
		return;
	transform->first_sector = MIN(transform->first_sector, record->lba);
	transform->end_sector = MAX(transform->end_sector, end);
}

static void count_issue(struct io_transform *transform, const struct io_record *record)
{
	struct io_stream_stats *stats = &transform->stats;
	bool data = record->op == IO_READ || record->op == IO_WRITE || record->op == IO_PASSTHROUGH;

	if (stats->issues++ == 0)
		stats->first_ns = record->time_ns;
	stats->last_ns = record->time_ns;
	stats->op_count[record->op]++;
	stats->op_bytes[record->op] += record->bytes;
	stats->without_segments += data && record->bytes && !record->segment_count;
	transform->open++;
	stats->max_in_flight = MAX(stats->max_in_flight, transform->open);
}

/* Returns whether the part asked for has the request that @record begins. */
static bool wants(struct io_transform *transform, const struct io_record *record)
{
	const struct trace_part *part = &transform->part;

	if (record->time_ns < part->from_ns || transform->past)
		return false;
	if (part->to_ns && record->time_ns >= part->to_ns) {
		transform->past = true;
		return false;
	}
	if (transform->passed == part->skip)
		return true;
	transform->passed++;
	return false;
}

/* Returns IO_ISSUE, IO_TROUBLE, or IO_END: the request is left out. */
static enum io_step take_issue(struct io_transform *transform, const struct io_record *record, GError **error)
{
	struct taken *taken;
	uint64_t time_ns;

	if (record->slot >= transform->taken->len)
		g_array_set_size(transform->taken, record->slot + 1);
	taken = &g_array_index(transform->taken, struct taken, record->slot);
	taken->number = 0;
	if (!wants(transform, record))
		return IO_END;
	if (!transform->has_base)
		transform->base_ns = record->time_ns;
	transform->has_base = true;
	if (!scale_time(transform, record->time_ns, &time_ns))
		return fail_time(transform, error);
	*taken = (struct taken){transform->stats.issues + 1, record};
	count_place(transform, record);
	take_record(transform, record);
	transform->record.time_ns = transform->last_ns = time_ns;
	count_issue(transform, &transform->record);
	return IO_ISSUE;
}

/* ---- completions ---- */

/* Ends the request of @record, which was taken. */
static void end_taken(struct io_transform *transform, const struct io_record *record,
		      const struct io_complete *complete)
{
	struct io_stream_stats *stats = &transform->stats;

	take_record(transform, record);
	g_array_index(transform->taken, struct taken, record->slot).number = 0;
	transform->open--;
	transform->last_ns = complete->time_ns;
	if (!record->completes) {
		stats->unfinished++;
		return;
	}
	stats->last_ns = complete->time_ns;
	stats->requeued += complete->requeued;
	stats->completions += !complete->requeued;
}

/* Returns IO_COMPLETE, IO_TROUBLE, or IO_END: the request was not taken. */
static enum io_step take_complete(struct io_transform *transform, const struct io_record *record,
				  struct io_complete *complete, GError **error)
{
	if (!g_array_index(transform->taken, struct taken, record->slot).number)
		return IO_END;
	if (!scale_time(transform, complete->time_ns, &complete->time_ns))
		return fail_time(transform, error);
	end_taken(transform, record, complete);
	return IO_COMPLETE;
}

/* ---- rounds ---- */

static int older(const void *a, const void *b)
{
	const struct taken *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* What the round leaves open ends with it, oldest first. */
static void plan_closing(struct io_transform *transform)
{
	for (guint i = 0; i < transform->taken->len; i++)
		if (g_array_index(transform->taken, struct taken, i).number)
			g_array_append_val(transform->closing,
					   g_array_index(transform->taken, struct taken, i));
	g_array_sort(transform->closing, older);
}

/* Returns the next request that ends with the round; false: there is none. */
static bool close_next(struct io_transform *transform, struct io_complete *ret_complete)
{
	const struct io_record *record;

	if (transform->closing_at == transform->closing->len)
		return false;
	record = g_array_index(transform->closing, struct taken, transform->closing_at++).record;
	*ret_complete = (struct io_complete){.time_ns = transform->last_ns, .cpu = record->cpu};
	end_taken(transform, record, ret_complete);
	return true;
}

/* Decides, after the first round, how far the others are shifted. */
static bool plan_shift(struct io_transform *transform)
{
	const struct trace_part *part = &transform->part;
	uint64_t span = 0, align = TRANSFORM_SPAN_ALIGN_BYTES / SECTOR_BYTES, last;

	if (transform->end_sector > transform->first_sector)
		span = transform->end_sector - transform->first_sector;
	transform->shift_sectors =
		part->has_shift ? part->shift_bytes / SECTOR_BYTES : (span + align - 1) / align * align;
	if (!__builtin_mul_overflow(transform->shift_sectors, part->repeat - 1, &last) &&
	    !__builtin_add_overflow(last, transform->end_sector, &last) && last <= TRACE_LBA_MAX + 1)
		return true;
	sim_error_plain(&transform->trouble,
			"%s: --repeat=%" G_GUINT64_FORMAT " at a distance of %" G_GUINT64_FORMAT
			" bytes ends past the last sector, 2^45",
			transform->path, part->repeat, transform->shift_sectors * SECTOR_BYTES);
	return false;
}

/* Adds the counts of events, which are those of reading. */
static void add_reading(struct io_stream_stats *sum, const struct io_stream_stats *read)
{
	sum->events += read->events;
	sum->other += read->other;
	sum->queued += read->queued;
	sum->unmatched_completions += read->unmatched_completions;
	sum->segments_dropped += read->segments_dropped;
	sum->setups_dropped += read->setups_dropped;
	sum->time_backwards += read->time_backwards;
	sum->ties += read->ties;
	sum->at_missing += read->at_missing;
	sum->cpus = MAX(sum->cpus, read->cpus);
}

static void begin_round(struct io_transform *transform)
{
	transform->round_ns = transform->last_ns;
	transform->base_ns = transform->part.from_ns;
	transform->has_base = transform->part.skip == 0;
	transform->past = false;
	transform->passed = 0;
	g_array_set_size(transform->closing, 0);
	transform->closing_at = 0;
}

/* Opens the trace once more. */
static bool next_round(struct io_transform *transform)
{
	struct io_stream *stream =
		io_stream_open_options(transform->path, &transform->options, &transform->trouble);

	if (!stream)
		return false;
	add_reading(&transform->stats, io_stream_stats(transform->stream));
	io_stream_close(transform->stream);
	transform->stream = stream;
	transform->round++;
	begin_round(transform);
	return true;
}

/* The stream has nothing more for this round: what it leaves open is to end, or the next round begins, or all is over. Returns
 * false with trouble. */
static bool end_round(struct io_transform *transform)
{
	const struct trace_part *part = &transform->part;

	if (!transform->stats.issues) {
		sim_error_plain(&transform->trouble,
				"%s: no request is left of it by --from, --to and --skip", transform->path);
		return false;
	}
	if (transform->round + 1 >= part->repeat) {
		transform->stats.unfinished += transform->open;
		transform->ended = true;
		return true;
	}
	if (transform->round == 0 && !plan_shift(transform))
		return false;
	if (!transform->open)
		return next_round(transform);
	plan_closing(transform);
	return true;
}

/* ---- the steps ---- */

/* Whether what follows in the stream is of no use. */
static bool round_is_over(const struct io_transform *transform)
{
	return transform->past && transform->open == 0;
}

/* Takes one step of the stream, or of a round's end. Returns IO_END for one that is nobody's. */
static enum io_step take_step(struct io_transform *transform, struct io_complete *ret_complete,
			      GError **error)
{
	const struct io_record *record;
	enum io_step step = IO_END;

	if (close_next(transform, ret_complete))
		return IO_COMPLETE;
	if (!round_is_over(transform) && !transform->closing->len)
		step = io_stream_next(transform->stream, &record, ret_complete, &transform->trouble);
	if (step == IO_ISSUE)
		return take_issue(transform, record, error);
	if (step == IO_COMPLETE)
		return take_complete(transform, record, ret_complete, error);
	if (step == IO_TROUBLE || !end_round(transform))
		return fail(transform, error);
	return IO_END;
}

enum io_step io_transform_next(struct io_transform *transform, const struct io_record **ret_record,
			       struct io_complete *ret_complete, GError **error)
{
	if (transform->whole)
		return io_stream_next(transform->stream, ret_record, ret_complete, error);
	*ret_record = &transform->record;
	while (!transform->ended && !transform->trouble) {
		enum io_step step = take_step(transform, ret_complete, error);

		if (step != IO_END)
			return step;
	}
	return transform->trouble ? fail(transform, error) : IO_END;
}

/* ---- opening and asking ---- */

static bool is_whole(const struct trace_part *part)
{
	bool as_recorded = !part->scale_millionths || part->scale_millionths == TRACE_SCALE_ONE;

	return !part->from_ns && !part->to_ns && !part->skip && as_recorded && part->repeat <= 1;
}

struct io_transform *io_transform_open(const char *path, const struct trace_options *options, GError **error)
{
	struct io_transform *transform;
	struct io_stream *stream;

	if (options->part.repeat > 1 && !trace_can_read_twice(path)) {
		sim_error_plain(error, "%s: --repeat needs a trace that can be read again, not a pipe", path);
		return NULL;
	}
	stream = io_stream_open_options(path, options, error);
	if (!stream)
		return NULL;
	transform = g_new0(struct io_transform, 1);
	transform->path = g_strdup(path);
	transform->options = *options;
	transform->part = options->part;
	transform->whole = is_whole(&options->part);
	transform->stream = stream;
	transform->first_sector = UINT64_MAX;
	transform->taken = g_array_new(FALSE, TRUE, sizeof(struct taken));
	transform->closing = g_array_new(FALSE, FALSE, sizeof(struct taken));
	begin_round(transform);
	return transform;
}

void io_transform_close(struct io_transform *transform)
{
	if (!transform)
		return;
	io_stream_close(transform->stream);
	g_array_unref(transform->taken);
	g_array_unref(transform->closing);
	g_clear_error(&transform->trouble);
	g_free(transform->path);
	g_free(transform);
}

const struct io_stream_stats *io_transform_stats(struct io_transform *transform)
{
	const struct io_stream_stats *read = io_stream_stats(transform->stream);

	if (transform->whole)
		return read;
	transform->stats_now = transform->stats;
	add_reading(&transform->stats_now, read);
	/* A recording without completions tells nothing of how many were in flight. */
	if (!read->max_in_flight)
		transform->stats_now.max_in_flight = 0;
	return &transform->stats_now;
}

uint64_t io_transform_shift_bytes(const struct io_transform *transform)
{
	return transform->shift_sectors * SECTOR_BYTES;
}

struct io_stream *io_transform_stream(struct io_transform *transform)
{
	return transform->stream;
}

/* ---- as text ---- */

/* Returns @millionths as a decimal number without needless digits; free with g_free(). */
static char *millionths_text(uint64_t millionths)
{
	char *text = g_strdup_printf("%" G_GUINT64_FORMAT ".%06" G_GUINT64_FORMAT,
				     millionths / TRACE_SCALE_ONE, millionths % TRACE_SCALE_ONE);
	size_t len = strlen(text);

	while (text[len - 1] == '0')
		text[--len] = '\0';
	if (text[len - 1] == '.')
		text[len - 1] = '\0';
	return text;
}

char *trace_part_text(const struct trace_part *part)
{
	GString *text = g_string_new(NULL);

	if (part->from_ns)
		g_string_append_printf(text, " --from=%" G_GUINT64_FORMAT "ns", part->from_ns);
	if (part->to_ns)
		g_string_append_printf(text, " --to=%" G_GUINT64_FORMAT "ns", part->to_ns);
	if (part->skip)
		g_string_append_printf(text, " --skip=%" G_GUINT64_FORMAT, part->skip);
	if (part->scale_millionths && part->scale_millionths != TRACE_SCALE_ONE) {
		g_autofree char *scale = millionths_text(part->scale_millionths);

		g_string_append_printf(text, " --scale=%s", scale);
	}
	if (part->repeat > 1)
		g_string_append_printf(text, " --repeat=%" G_GUINT64_FORMAT, part->repeat);
	if (part->repeat > 1 && part->has_shift)
		g_string_append_printf(text, " --shift=%" G_GUINT64_FORMAT, part->shift_bytes);
	if (text->len)
		g_string_erase(text, 0, 1);
	return g_string_free(text, FALSE);
}
