/* SPDX-License-Identifier: MIT */
/*
 * Input in three layers: the source fetches pieces of the file (io_uring or read(2)), the decoder turns pieces into
 * bytes (a copy, zlib, zstd), the window holds what is visible to the caller.
 */
#include "sim/io/input.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "sim/core/error.h"
#include "sim/io/kind.h"

#define PIECE_BYTES  (64u << 10)  /* with a window it stays in a CPU's cache, of several files too */
#define PIECES	     4		  /* in flight at once */
#define WINDOW_BYTES (256u << 10) /* what stays when it is refilled is below INPUT_LINE_MAX + 1 */
#define MAGIC_BYTES  4

enum coding {
	CODING_UNKNOWN,
	CODING_PLAIN,
	CODING_GZIP,
	CODING_ZSTD,
};

/* One read in flight, or its result. */
struct piece {
	uint8_t *bytes;
	uint64_t file_offset;
	uint32_t asked;
	int32_t result; /* bytes read or negative errno, once @done */
	bool in_flight;
	bool done;
};

struct source {
	int fd;
	bool ring_ready;
	bool ring_broken;
	struct io_uring ring;
	struct piece pieces[PIECES];
	unsigned head;	      /* piece whose bytes are consumed now or next */
	bool head_held;	      /* the decoder is in the middle of it */
	uint64_t size;	      /* of the file when it was opened; 0: unknown */
	uint64_t next_offset; /* first byte not yet asked for */
};

struct input {
	char *path;
	struct source source;
	enum coding coding;
	const uint8_t *raw; /* what is left of the piece that the decoder works on */
	size_t raw_len;
	bool raw_end;
	uint64_t raw_consumed;
	uint8_t magic[MAGIC_BYTES]; /* first bytes, gathered although a pipe may give them one by one */
	z_stream zlib;
	bool zlib_ready;
	ZSTD_DStream *zstd;
	bool frame_open; /* a compressed frame or member has begun and not ended */
	bool ended;	 /* nothing more will come into the window */
	GError *trouble; /* met while reading ahead; reported once all before it is consumed */
	uint8_t *window;
	size_t start, end; /* visible part of the window */
	size_t searched;   /* of the visible part: known to hold no newline */
	uint64_t consumed;
	uint64_t line;
};

/* ---- source ---- */

/* Asks for the next piece of the file. Where the ring refuses, the piece counts as read with nothing, and
 * piece_complete() reads it. */
static void ring_ask(struct source *source, struct piece *piece)
{
	struct io_uring_sqe *sqe;
	int count = -EBUSY;

	piece->asked = (uint32_t)MIN((uint64_t)PIECE_BYTES, source->size - source->next_offset);
	piece->file_offset = source->next_offset;
	piece->result = 0;
	source->next_offset += piece->asked;
	if (!source->ring_broken) {
		sqe = io_uring_get_sqe(&source->ring);
		g_assert(sqe); /* as many entries as pieces */
		io_uring_prep_read(sqe, source->fd, piece->bytes, piece->asked, piece->file_offset);
		io_uring_sqe_set_data(sqe, piece);
		do {
			count = io_uring_submit(&source->ring);
		} while (count == -EINTR);
	}
	piece->in_flight = count == 1;
	piece->done = !piece->in_flight;
	source->ring_broken =
		piece->done; /* what it did not take stays in it: nothing may be submitted any more */
}

/* Asks for as many pieces as are free, in order after the head. */
static void ring_fill(struct source *source)
{
	for (unsigned i = 0; i < PIECES && source->next_offset < source->size; i++) {
		struct piece *piece = &source->pieces[(source->head + i) % PIECES];

		if (!piece->in_flight && !piece->done)
			ring_ask(source, piece);
	}
}

static int ring_reap_one(struct source *source)
{
	struct io_uring_cqe *cqe;
	struct piece *piece;
	int error;

	do {
		error = io_uring_wait_cqe(&source->ring, &cqe);
	} while (error == -EINTR);
	if (error)
		return error;
	piece = io_uring_cqe_get_data(cqe);
	piece->result = cqe->res;
	piece->in_flight = false;
	piece->done = true;
	io_uring_cqe_seen(&source->ring, cqe);
	return 0;
}

/* What the ring left undone of @piece, because a read was short or interrupted, is read the plain way. */
static ssize_t piece_complete(struct source *source, struct piece *piece)
{
	size_t have = piece->result > 0 ? (size_t)piece->result : 0;

	if (piece->result < 0 && piece->result != -EINTR && piece->result != -EAGAIN)
		return piece->result;
	while (have < piece->asked) {
		ssize_t count = pread(source->fd, piece->bytes + have, piece->asked - have,
				      (off_t)(piece->file_offset + have));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (count == 0)
			break; /* the file became shorter */
		have += (size_t)count;
	}
	return (ssize_t)have;
}

static ssize_t ring_next(struct source *source, const uint8_t **ret_bytes)
{
	struct piece *piece;
	int error;

	if (source->head_held) {
		source->pieces[source->head].done = false;
		source->head = (source->head + 1) % PIECES;
		source->head_held = false;
	}
	ring_fill(source);
	piece = &source->pieces[source->head];
	if (!piece->in_flight && !piece->done)
		return 0;
	while (!piece->done) {
		error = ring_reap_one(source);
		if (error)
			return error;
	}
	source->head_held = true;
	*ret_bytes = piece->bytes;
	return piece_complete(source, piece);
}

static ssize_t read_next(struct source *source, const uint8_t **ret_bytes)
{
	ssize_t count;

	do {
		count = read(source->fd, source->pieces[0].bytes, PIECE_BYTES);
	} while (count < 0 && errno == EINTR);
	*ret_bytes = source->pieces[0].bytes;
	return count < 0 ? -errno : count;
}

/* Returns how many bytes are at *@ret_bytes, borrowed until the next call; 0 at the end, negative errno. */
static ssize_t source_next(struct source *source, const uint8_t **ret_bytes)
{
	return source->ring_ready ? ring_next(source, ret_bytes) : read_next(source, ret_bytes);
}

/* Returns 0 or a negative errno, which is an error only to who insists on a ring. */
static int source_start_ring(struct source *source)
{
	int error = io_uring_queue_init(PIECES, &source->ring, 0);

	if (error)
		return error;
	source->ring_ready = true;
	for (unsigned i = 1; i < PIECES; i++)
		source->pieces[i].bytes = g_malloc(PIECE_BYTES);
	return 0;
}

static void source_finish(struct source *source)
{
	if (source->ring_ready) {
		/* The kernel writes into pieces that are in flight: they are freed only after that. */
		for (unsigned i = 0; i < PIECES; i++)
			while (source->pieces[i].in_flight)
				if (ring_reap_one(source))
					g_error("io_uring lost a read");
		io_uring_queue_exit(&source->ring);
	}
	for (unsigned i = 0; i < PIECES; i++)
		g_free(source->pieces[i].bytes);
	if (source->fd > STDIN_FILENO)
		close(source->fd);
}

/* ---- decoders: each fills the window from its end on, from raw bytes; false with input->trouble ---- */

static uint64_t window_offset(const struct input *input)
{
	return input->consumed + (input->end - input->start);
}

static bool decode_trouble(struct input *input, const char *what)
{
	sim_error_offset(&input->trouble, input->path, window_offset(input), "%s", what);
	return false;
}

static void raw_take(struct input *input, size_t count)
{
	input->raw += count;
	input->raw_len -= count;
	input->raw_consumed += count;
}

static bool decode_plain(struct input *input)
{
	size_t count = MIN(input->raw_len, WINDOW_BYTES - input->end);

	memcpy(input->window + input->end, input->raw, count);
	input->end += count;
	raw_take(input, count);
	return true;
}

static bool decode_gzip(struct input *input)
{
	z_stream *zlib = &input->zlib;
	int result;

	if (!input->frame_open) {
		if (inflateReset(zlib) != Z_OK)
			return decode_trouble(input, "zlib does not start");
		input->frame_open = true;
	}
	zlib->next_in = (Bytef *)input->raw;
	zlib->avail_in = (uInt)input->raw_len;
	zlib->next_out = input->window + input->end;
	zlib->avail_out = (uInt)(WINDOW_BYTES - input->end);
	result = inflate(zlib, Z_NO_FLUSH);
	raw_take(input, input->raw_len - zlib->avail_in);
	input->end = WINDOW_BYTES - zlib->avail_out;
	if (result == Z_STREAM_END)
		input->frame_open = false;
	else if (result != Z_OK && result != Z_BUF_ERROR)
		return decode_trouble(input, "damaged gzip data");
	return true;
}

static bool decode_zstd(struct input *input)
{
	ZSTD_inBuffer in = {.src = input->raw, .size = input->raw_len};
	ZSTD_outBuffer out = {.dst = input->window, .size = WINDOW_BYTES, .pos = input->end};
	size_t result = ZSTD_decompressStream(input->zstd, &out, &in);

	raw_take(input, in.pos);
	input->end = out.pos;
	if (ZSTD_isError(result)) {
		sim_error_offset(&input->trouble, input->path, window_offset(input), "damaged zstd data: %s",
				 ZSTD_getErrorName(result));
		return false;
	}
	input->frame_open = result != 0;
	return true;
}

static bool decode(struct input *input)
{
	switch (input->coding) {
	case CODING_GZIP:
		return decode_gzip(input);
	case CODING_ZSTD:
		return decode_zstd(input);
	default:
		return decode_plain(input);
	}
}

static enum coding coding_of(const uint8_t *magic, size_t len)
{
	if (len >= 2 && magic[0] == 0x1f && magic[1] == 0x8b)
		return CODING_GZIP;
	if (len >= 4 && magic[1] == 0xb5 && magic[2] == 0x2f && magic[3] == 0xfd && magic[0] == 0x28)
		return CODING_ZSTD;
	if (len >= 4 && (magic[0] & 0xf0) == 0x50 && magic[1] == 0x2a && magic[2] == 0x4d && magic[3] == 0x18)
		return CODING_ZSTD; /* a skippable frame first */
	return CODING_PLAIN;
}

static bool coding_start(struct input *input)
{
	if (input->coding == CODING_GZIP) {
		if (inflateInit2(&input->zlib, 16 + MAX_WBITS) != Z_OK)
			return decode_trouble(input, "zlib does not start");
		input->zlib_ready = true;
	} else if (input->coding == CODING_ZSTD) {
		input->zstd = ZSTD_createDStream();
		if (!input->zstd || ZSTD_isError(ZSTD_initDStream(input->zstd)) ||
		    ZSTD_isError(
			    ZSTD_DCtx_setParameter(input->zstd, ZSTD_d_windowLogMax, INPUT_ZSTD_WINDOW_LG2)))
			return decode_trouble(input, "zstd does not start");
	}
	return true;
}

/* Makes the next piece the raw bytes. False at the end of the file or with input->trouble. */
static bool raw_next(struct input *input)
{
	ssize_t count = source_next(&input->source, &input->raw);

	if (count < 0) {
		sim_error_offset(&input->trouble, input->path, window_offset(input), "%s",
				 g_strerror((int)-count));
		return false;
	}
	input->raw_len = (size_t)count;
	input->raw_end = count == 0;
	return count > 0;
}

/* Gathers the first bytes, which tell the coding, and decodes them. They may end in the middle of a short file. */
static bool input_begin(struct input *input)
{
	size_t have = 0;
	const uint8_t *rest;
	size_t rest_len;

	while (have < MAGIC_BYTES && (input->raw_len || raw_next(input))) {
		size_t count = MIN(MAGIC_BYTES - have, input->raw_len);

		memcpy(input->magic + have, input->raw, count);
		have += count;
		input->raw += count;
		input->raw_len -= count;
	}
	if (input->trouble)
		return false;
	input->coding = coding_of(input->magic, have);
	if (!coding_start(input))
		return false;
	rest = input->raw;
	rest_len = input->raw_len;
	input->raw = input->magic;
	input->raw_len = have;
	while (input->raw_len)
		if (!decode(input))
			return false;
	input->raw = rest;
	input->raw_len = rest_len;
	return true;
}

/* Brings more bytes into the window. False once nothing more comes: input->ended, perhaps with input->trouble. */
static bool window_fill(struct input *input)
{
	size_t before;

	if (input->ended)
		return false;
	if (input->start > 0) {
		memmove(input->window, input->window + input->start, input->end - input->start);
		input->end -= input->start;
		input->start = 0;
	}
	before = input->end;
	g_assert(before < WINDOW_BYTES);
	if (input->coding == CODING_UNKNOWN && !input_begin(input))
		goto out_end;
	while (input->end == before) {
		if (!input->raw_len && !input->raw_end && !raw_next(input) && input->trouble)
			goto out_end;
		if (input->raw_end && input->coding == CODING_PLAIN)
			goto out_end;
		if (input->raw_end) {
			/* A decoder may still hold output of a frame that has ended in the file. */
			if (input->frame_open && decode(input) && input->end == before)
				decode_trouble(input, "compressed data end too early");
			if (input->end == before)
				goto out_end;
			break;
		}
		if (!decode(input))
			goto out_end;
	}
	return true;
out_end:
	input->ended = true;
	return input->end > before;
}

/* ---- what callers see ---- */

struct input *input_open_fetch(const char *path, enum input_fetch fetch, GError **error)
{
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct input *input;
	struct stat status;
	int refused = -ESPIPE;

	if (fd < 0 || fstat(fd, &status) < 0 || S_ISDIR(status.st_mode)) {
		int failure = fd < 0 ? errno : EISDIR;
		const char *kind = failure == EISDIR ? kind_of_directory(path) : NULL;

		sim_error_plain(error, "%s: %s%s%s", path, g_strerror(failure), kind ? ": " : "", kind ? kind : "");
		if (fd > STDIN_FILENO)
			close(fd);
		return NULL;
	}
	input = g_new0(struct input, 1);
	input->path = g_strdup(path);
	input->window = g_malloc(WINDOW_BYTES);
	input->source.fd = fd;
	input->source.pieces[0].bytes = g_malloc(PIECE_BYTES);
	/* Files made up while they are read (tracefs, proc) are regular and have size 0; stdin may be anywhere. */
	if (S_ISREG(status.st_mode) && !is_stdin)
		input->source.size = (uint64_t)status.st_size;
	if (fetch == INPUT_FETCH_RING ? input->source.size > 0
				      : fetch == INPUT_FETCH_AUTO && input->source.size > PIECE_BYTES)
		refused = source_start_ring(&input->source);
	if (fetch == INPUT_FETCH_RING && refused) {
		sim_error_plain(error, "%s: io_uring: %s", path, g_strerror(-refused));
		input_close(input);
		return NULL;
	}
	return input;
}

struct input *input_open(const char *path, GError **error)
{
	return input_open_fetch(path, INPUT_FETCH_AUTO, error);
}

void input_close(struct input *input)
{
	if (!input)
		return;
	source_finish(&input->source);
	if (input->zlib_ready)
		inflateEnd(&input->zlib);
	ZSTD_freeDStream(input->zstd);
	g_clear_error(&input->trouble);
	g_free(input->window);
	g_free(input->path);
	g_free(input);
}

const char *input_path(const struct input *input)
{
	return input->path;
}

uint64_t input_offset(const struct input *input)
{
	return input->consumed;
}

uint64_t input_position(const struct input *input, uint64_t *ret_size)
{
	*ret_size = input->source.size;
	/* A plain file's window was read but not yet consumed. */
	return input->coding == CODING_PLAIN ? input->consumed : input->raw_consumed;
}

static int report_trouble(struct input *input, GError **error)
{
	g_propagate_error(error, g_error_copy(input->trouble));
	return -1;
}

ssize_t input_peek(struct input *input, size_t want, const uint8_t **ret_bytes, GError **error)
{
	g_assert(want <= INPUT_LINE_MAX);
	while (input->end - input->start < want && window_fill(input))
		;
	if (input->end - input->start < want && input->trouble)
		return report_trouble(input, error);
	*ret_bytes = input->window + input->start;
	return (ssize_t)(input->end - input->start);
}

void input_skip(struct input *input, size_t count)
{
	g_assert(count <= input->end - input->start);
	input->start += count;
	input->consumed += count;
	input->searched = 0;
}

static int take_line(struct input *input, size_t len, size_t newline, const char **ret_line, size_t *ret_len)
{
	*ret_line = (const char *)input->window + input->start;
	*ret_len = len;
	input->start += len + newline;
	input->consumed += len + newline;
	input->searched = 0;
	input->line++;
	return 1;
}

int input_line(struct input *input, const char **ret_line, size_t *ret_len, GError **error)
{
	for (;;) {
		const uint8_t *line = input->window + input->start;
		size_t visible = input->end - input->start;
		const uint8_t *newline = memchr(line + input->searched, '\n', visible - input->searched);

		if (newline && (size_t)(newline - line) <= INPUT_LINE_MAX)
			return take_line(input, (size_t)(newline - line), 1, ret_line, ret_len);
		if (newline || visible > INPUT_LINE_MAX)
			return sim_error_line(error, input->path, input->line + 1,
					      "line longer than %u bytes", INPUT_LINE_MAX);
		input->searched = visible;
		if (window_fill(input))
			continue;
		if (input->trouble)
			return report_trouble(input, error);
		if (visible == 0)
			return 0;
		return take_line(input, visible, 0, ret_line, ret_len);
	}
}

uint64_t input_line_number(const struct input *input)
{
	return input->line;
}
