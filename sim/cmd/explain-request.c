/* SPDX-License-Identifier: MIT */
#include "sim/cmd/explain-request.h"

#include <string.h>

#include "blockdma/nvme.h"
#include "sim/core/text.h"

#define DMA_ALIGNMENT UINT64_C(4) /* of NVMe: what the driver tells the block layer is 3, as a mask */

/** One word of the description: NAME=VALUE. */
struct explain_key {
	const char *name;
	bool (*parse)(struct explain_request *request, const char *value, GError **error);
};

static bool wrong(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool wrong(GError **error, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	return sim_error_plain(error, "--request: %s", text) == 0;
}

/** Parses ADDR+LEN. */
static bool parse_vec(const char *key, const char *text, struct bio_vec *ret_vec, GError **error)
{
	const char *plus = strchr(text, '+');
	g_autofree char *addr = plus ? g_strndup(text, (size_t)(plus - text)) : NULL;
	struct bio_vec vec;

	if (!plus || !text_parse_u64(addr, &vec.paddr) || !text_parse_size(plus + 1, &vec.len))
		return wrong(error, "%s: \"%s\" must be ADDR+LEN, such as 0x100000000+4k or 4096+1M", key,
			     text);
	if (!vec.len || vec.len > EXPLAIN_BYTES_MAX)
		return wrong(error, "%s: \"%s\": the length must be 1 byte to 16 MiB", key, text);
	if (vec.paddr >= PHYSMEM_BASE || vec.paddr + vec.len > PHYSMEM_BASE)
		return wrong(error, "%s: \"%s\" must lie below 64 TiB", key, text);
	*ret_vec = vec;
	return true;
}

static bool parse_bio(struct explain_request *request, const char *text, GError **error)
{
	g_auto(GStrv) words = g_strsplit(text, ",", -1);
	uint32_t first = request->vecs.count;

	g_array_append_val(request->bio_first, first);
	if (!words[0])
		return wrong(error, "bvec: an empty bio");
	for (char **word = words; *word; word++) {
		struct bio_vec vec;

		if (!parse_vec("bvec", *word, &vec, error))
			return false;
		if ((vec.paddr | vec.len) % DMA_ALIGNMENT)
			return wrong(
				error,
				"bvec: \"%s\": address and length must be multiples of 4, as NVMe needs them",
				*word);
		if (request->vecs.count == EXPLAIN_VECS_MAX)
			return wrong(error, "bvec: more than %u vectors", EXPLAIN_VECS_MAX);
		request->bytes += vec.len;
		if (request->bytes > EXPLAIN_BYTES_MAX)
			return wrong(error, "bvec: more than 16 MiB");
		bio_vec_list_add(&request->vecs, vec.paddr, vec.len);
	}
	return true;
}

static bool parse_bvec(struct explain_request *request, const char *value, GError **error)
{
	g_auto(GStrv) bios = g_strsplit(value, "/", -1);

	if (!bios[0])
		return wrong(error, "bvec= needs a value: ADDR+LEN,...");
	for (char **bio = bios; *bio; bio++)
		if (!parse_bio(request, *bio, error))
			return false;
	return true;
}

static bool parse_lba(struct explain_request *request, const char *value, GError **error)
{
	/* Sectors are counted in 64 bits, and so are their bytes. */
	if (text_parse_u64(value, &request->lba) && request->lba <= UINT64_C(1) << 50)
		return true;
	return wrong(error, "lba=%s: must be a block number, at most 2^50", value);
}

static bool parse_meta(struct explain_request *request, const char *value, GError **error)
{
	g_auto(GStrv) words = g_strsplit(value, ",", -1);

	for (char **word = words; *word; word++) {
		struct bio_vec vec;

		if (!parse_vec("meta", *word, &vec, error))
			return false;
		if (request->meta.count == NVME_MAX_META_SEGMENTS)
			return wrong(error, "meta: more than %u pieces", NVME_MAX_META_SEGMENTS);
		request->meta_bytes += vec.len;
		bio_vec_list_add(&request->meta, vec.paddr, vec.len);
	}
	return request->meta.count || wrong(error, "meta= needs a value: ADDR+LEN,...");
}

static bool parse_queue(struct explain_request *request, const char *value, GError **error)
{
	request->has_queue = true;
	return text_parse_u64(value, &request->queue) || wrong(error, "queue=%s: must be a number", value);
}

static bool parse_dir(struct explain_request *request, const char *value, GError **error)
{
	if (request->op != REQ_OP_DRV)
		return wrong(error, "dir= is for passthrough: the direction of a %s is known",
			     req_op_names[request->op]);
	request->to_device = strcmp(value, "out") == 0;
	return request->to_device || strcmp(value, "in") == 0 ||
	       wrong(error, "dir=%s: must be in (from the device) or out (to it)", value);
}

static const struct explain_key keys[] = {
	{"lba", parse_lba},	{"bvec", parse_bvec}, {"meta", parse_meta},
	{"queue", parse_queue}, {"dir", parse_dir},
};

static bool parse_op(struct explain_request *request, const char *word, GError **error)
{
	for (unsigned op = 0; op < REQ_OPS; op++)
		if (strcmp(req_op_names[op], word) == 0) {
			request->op = (enum req_op)op;
			request->to_device = op == REQ_OP_WRITE || op == REQ_OP_DISCARD;
			return true;
		}
	return wrong(error,
		     "\"%s\": must begin with read, write, flush, discard, write-zeroes or passthrough",
		     word);
}

/** Parses NAME=VALUE; *@seen has a bit for each key that stood before. */
static bool parse_word(struct explain_request *request, const char *word, unsigned *seen, GError **error)
{
	const char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : 0;

	for (unsigned i = 0; equals && i < G_N_ELEMENTS(keys); i++) {
		if (strlen(keys[i].name) != len || strncmp(keys[i].name, word, len) != 0)
			continue;
		if (*seen & 1u << i)
			return wrong(error, "%s= twice%s", keys[i].name,
				     i == 1 ? "; the vectors of the next bio follow a \"/\"" : "");
		*seen |= 1u << i;
		return keys[i].parse(request, equals + 1, error);
	}
	return wrong(error, "\"%s\": must be lba=N, bvec=ADDR+LEN,..., meta=ADDR+LEN,..., queue=N or dir=in|out",
		     word);
}

/** What no single word can tell. */
static bool check_request(struct explain_request *request, uint32_t block_bytes, GError **error)
{
	bool moves = request->op == REQ_OP_READ || request->op == REQ_OP_WRITE;
	const char *name = req_op_names[request->op];

	if (moves && !request->bytes)
		return wrong(error, "a %s needs its data: bvec=ADDR+LEN,...", name);
	if (moves && request->bytes % block_bytes)
		return wrong(error,
			     "a %s of %" G_GUINT64_FORMAT " bytes is no multiple of the logical block, %u",
			     name, request->bytes, block_bytes);
	if ((request->op == REQ_OP_FLUSH || request->op == REQ_OP_WRITE_ZEROES) && request->bytes)
		return wrong(error, "a %s has no data: no bvec=", name);
	if (request->meta_bytes && !moves)
		return wrong(error, "meta= is for read and write");
	if (request->meta_bytes % (moves ? request->bytes / block_bytes : 1))
		return wrong(error,
			     "meta: %" G_GUINT64_FORMAT " bytes cannot be shared out among %" G_GUINT64_FORMAT
			     " blocks",
			     request->meta_bytes, request->bytes / block_bytes);
	if (request->has_queue && request->queue == 0 && request->op != REQ_OP_DRV)
		return wrong(error, "queue=0, the admin queue, is for passthrough");
	if (request->op != REQ_OP_DISCARD)
		return true;
	if (!request->bytes) {
		bio_vec_list_add(&request->vecs, EXPLAIN_RANGES_PADDR, NVME_DSM_BYTES);
		request->bytes = NVME_DSM_BYTES;
	}
	if (request->vecs.count != 1 || request->bytes != NVME_DSM_BYTES)
		return wrong(error, "bvec of a discard is where the driver's range list lies: ADDR+4k");
	return true;
}

bool explain_request_parse(struct explain_request *request, const char *text, uint32_t block_bytes,
			   GError **error)
{
	g_auto(GStrv) words = g_strsplit_set(text, " \t\n", -1);
	unsigned seen = 0, count = 0;
	uint32_t first = 0;

	*request = (struct explain_request){.bio_first = g_array_new(FALSE, FALSE, sizeof(uint32_t))};
	for (char **word = words; *word; word++) {
		if (!**word)
			continue;
		if (!(count++ ? parse_word(request, *word, &seen, error) : parse_op(request, *word, error)))
			return false;
	}
	if (!count)
		return parse_op(request, "", error);
	if (!request->has_queue)
		request->queue = 1;
	if (!request->bio_first->len)
		g_array_append_val(request->bio_first, first);
	return check_request(request, block_bytes, error);
}

void explain_request_clear(struct explain_request *request)
{
	bio_vec_list_finish(&request->vecs);
	g_clear_pointer(&request->bio_first, g_array_unref);
	bio_vec_list_finish(&request->meta);
}
