/* SPDX-License-Identifier: MIT */
#include "blockdma/golden-case.h"

#include <stddef.h>
#include <string.h>

#include "sim/core/text.h"

#define VECS_MAX     65536 /* of a request */
#define BYTES_MAX    (16u << 20) /* of its data, and as much of integrity data: four times what recordings have */
#define PADDR_LG2    52		 /* what page tables can hold */
#define SEGMENT_MIN  4096	 /* what the block layer lets a driver limit segments to: BLK_MIN_SEGMENT_SIZE */
#define REQUESTS_MAX 64
#define OPS_MAX	     65536

static const char *const modes[] = {"strict", "lazy", "lazy1", "direct", NULL};
static const char *const drivers[] = {"pt", "pt_nosm", "pgtbl", "pgtbl_4k", NULL};
static const char *const levels[] = {"blk", "meta", "nvme", NULL};
static const char *const p2p_kinds[] = {"none", "bus", "host", "unsup", NULL};
static const char *const deferred_kinds[] = {"none", "ok", "fail", NULL};

#define AT(member) offsetof(struct golden_settings, member)

static const struct setting {
	const char *key;
	size_t at;
	uint64_t initial;
	const char *const *words; /* of a choice; NULL: a number, from @min to @max */
	uint64_t max;
	uint64_t min;
} settings[] = {
	{"mode", AT(mode), GOLDEN_STRICT, modes},
	{"driver", AT(driver), GOLDEN_PT, drivers},
	{"level", AT(level), GOLDEN_BLK, levels},
	{"p2p", AT(p2p), GOLDEN_P2P_NONE, p2p_kinds},
	{"deferred", AT(deferred), GOLDEN_DEFERRED_NONE, deferred_kinds},
	{"coherent", AT(coherent), 1, NULL, 1},
	{"untrusted", AT(untrusted), 0, NULL, 1},
	{"swiotlb", AT(swiotlb), 1, NULL, 1},
	{"swiotlb_force", AT(swiotlb_force), 0, NULL, 1},
	{"forcedac", AT(forcedac), 0, NULL, 1},
	{"sgl", AT(sgl), 1, NULL, 1},
	{"meta_sgl", AT(meta_sgl), 0, NULL, 1},
	{"usercmd", AT(usercmd), 0, NULL, 1},
	{"p2p_lo", AT(p2p_lo), 0, NULL, UINT64_MAX},
	{"p2p_hi", AT(p2p_hi), 0, NULL, UINT64_MAX},
	{"bus_offset", AT(bus_offset), 0, NULL, UINT64_MAX},
	{"dma_mask_bits", AT(dma_mask_bits), 64, NULL, 64},
	{"bus_dma_limit", AT(bus_dma_limit), 0, NULL, UINT64_MAX},
	{"aperture_end", AT(aperture_end), UINT64_C(0xffffffffffff), NULL, UINT64_MAX},
	{"qid", AT(qid), 1, NULL, 1},
	{"sgl_threshold", AT(sgl_threshold), 32768, NULL, UINT32_MAX},
	{"meta_size", AT(meta_size), 0, NULL, 4096},
	{"interval_exp", AT(interval_exp), 12, NULL, 16, 9},
	{"dma_alignment", AT(dma_alignment), 3, NULL, UINT32_MAX},
	{"virt_boundary", AT(virt_boundary), 0, NULL, UINT64_MAX},
	{"seg_boundary", AT(seg_boundary), UINT64_MAX, NULL, UINT64_MAX, SEGMENT_MIN - 1},
	{"max_segment_size", AT(max_segment_size), UINT32_MAX, NULL, UINT32_MAX, SEGMENT_MIN},
	{"max_segments", AT(max_segments), 256, NULL, UINT32_MAX},
	{"lbs", AT(lbs), 512, NULL, 65536, 512},
	{"max_bytes", AT(max_bytes), 8388608, NULL, UINT32_MAX},
};

static uint64_t *setting_value(struct golden_case *rec, const struct setting *setting)
{
	return (uint64_t *)(void *)((char *)&rec->settings + setting->at);
}

static void request_free(void *data)
{
	struct golden_request *req = data;

	g_array_unref(req->vecs);
	g_array_unref(req->bio_first);
	g_array_unref(req->meta_vecs);
	g_array_unref(req->meta_first);
	g_free(req->name);
	g_free(req);
}

struct golden_case *golden_case_new(const char *name)
{
	struct golden_case *rec = g_new0(struct golden_case, 1);

	rec->name = g_strdup(name);
	rec->requests = g_ptr_array_new_with_free_func(request_free);
	rec->ops = g_ptr_array_new_with_free_func(g_free);
	for (unsigned i = 0; i < G_N_ELEMENTS(settings); i++)
		*setting_value(rec, &settings[i]) = settings[i].initial;
	return rec;
}

void golden_case_free(struct golden_case *rec)
{
	if (!rec)
		return;
	g_ptr_array_unref(rec->requests);
	g_ptr_array_unref(rec->ops);
	g_free(rec->name);
	g_free(rec);
}

int golden_case_request(const struct golden_case *rec, const char *name)
{
	for (guint i = 0; name && i < rec->requests->len; i++)
		if (strcmp(((const struct golden_request *)g_ptr_array_index(rec->requests, i))->name, name) == 0)
			return (int)i;
	return -1;
}

static const char *setting_read(struct golden_case *rec, const struct setting *setting, const char *text)
{
	uint64_t value = 0;

	if (!setting->words) {
		/* A mask may be written as ~0. */
		if (strcmp(text, "~0") == 0 && setting->max == UINT64_MAX)
			value = UINT64_MAX;
		else if (!text_parse_u64(text, &value) || value > setting->max || value < setting->min)
			return "a setting is not a number that can be";
	} else {
		while (setting->words[value] && strcmp(setting->words[value], text) != 0)
			value++;
		if (!setting->words[value])
			return "a setting has none of its words";
	}
	*setting_value(rec, setting) = value;
	return NULL;
}

static const char *define_settings(struct golden_case *rec, char **words)
{
	for (; *words; words++) {
		char *equals = strchr(*words, '=');
		const char *wrong = "unknown setting";

		if (!equals)
			return "a setting is not KEY=VALUE";
		*equals = '\0';
		for (unsigned i = 0; i < G_N_ELEMENTS(settings); i++)
			if (strcmp(settings[i].key, *words) == 0)
				wrong = setting_read(rec, &settings[i], equals + 1);
		if (wrong)
			return wrong;
	}
	if (rec->settings.seg_boundary & (rec->settings.seg_boundary + 1))
		return "seg_boundary is not one less than a power of two";
	return NULL;
}

/** "req NAME read|write|discard [special]" */
static const char *define_request(struct golden_case *rec, char **words, unsigned count)
{
	static const struct {
		const char *name;
		enum req_op op;
	} ops[] = {{"read", REQ_OP_READ}, {"write", REQ_OP_WRITE}, {"discard", REQ_OP_DISCARD}};
	struct golden_request *req;
	uint32_t first = 0;
	unsigned op = 0;

	if (count < 2 || count > 3 || (count == 3 && strcmp(words[2], "special") != 0))
		return "not 'req NAME read|write|discard [special]'";
	while (op < G_N_ELEMENTS(ops) && strcmp(ops[op].name, words[1]) != 0)
		op++;
	if (op == G_N_ELEMENTS(ops))
		return "a request does not read, write or discard";
	if (rec->requests->len == REQUESTS_MAX)
		return "too many requests";
	req = g_new0(struct golden_request, 1);
	req->name = g_strdup(words[0]);
	req->op = ops[op].op;
	req->to_device = req->op != REQ_OP_READ;
	req->special = count == 3;
	req->vecs = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));
	req->bio_first = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	req->meta_vecs = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));
	req->meta_first = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	g_array_append_val(req->bio_first, first);
	g_array_append_val(req->meta_first, first);
	g_ptr_array_add(rec->requests, req);
	return NULL;
}

static uint64_t vecs_bytes(const GArray *vecs)
{
	uint64_t bytes = 0;

	for (guint i = 0; i < vecs->len; i++)
		bytes += g_array_index(vecs, struct bio_vec, i).len;
	return bytes;
}

/** "bvec PADDR LEN [COUNT STEP]" */
static const char *define_vecs(GArray *vecs, char **words, unsigned count)
{
	uint64_t number[4] = {0, 0, 1, 0};

	if (count != 2 && count != 4)
		return "a vector is not PADDR LEN [COUNT STEP]";
	for (unsigned i = 0; i < count; i++)
		if (!text_parse_u64(words[i], &number[i]))
			return "a vector is not of numbers";
	if (number[1] == 0)
		return "a vector of no bytes";
	if (number[1] > BYTES_MAX || number[2] > VECS_MAX || vecs->len + number[2] > VECS_MAX ||
	    vecs_bytes(vecs) + number[1] * number[2] > BYTES_MAX)
		return "too many vectors, or too long ones";
	for (uint64_t i = 0; i < number[2]; i++) {
		struct bio_vec vec = {number[0] + i * number[3], number[1]};

		if (vec.paddr >> PADDR_LG2 || (vec.paddr + vec.len - 1) >> PADDR_LG2)
			return "a vector beyond 2^52 bytes of memory";
		g_array_append_val(vecs, vec);
	}
	return NULL;
}

const char *golden_case_define(struct golden_case *rec, const char *line)
{
	g_auto(GStrv) words = g_strsplit(line, " ", -1);
	unsigned count = g_strv_length(words) - 1;
	struct golden_request *req = NULL;

	if (rec->requests->len)
		req = g_ptr_array_index(rec->requests, rec->requests->len - 1);
	if (strcmp(words[0], "env") == 0 || strcmp(words[0], "lim") == 0)
		return define_settings(rec, words + 1);
	if (strcmp(words[0], "req") == 0)
		return define_request(rec, words + 1, count);
	if (strcmp(words[0], "op") == 0 && count && rec->ops->len < OPS_MAX) {
		g_ptr_array_add(rec->ops, g_strdup(line + strlen("op ")));
		return NULL;
	}
	if (!req)
		return "neither a setting, nor a request, nor an op";
	if (strcmp(words[0], "bvec") == 0)
		return define_vecs(req->vecs, words + 1, count);
	if (strcmp(words[0], "mbvec") == 0)
		return define_vecs(req->meta_vecs, words + 1, count);
	if (strcmp(words[0], "bio") != 0 || count)
		return "unknown line in a case";
	g_array_append_val(req->bio_first, req->vecs->len);
	g_array_append_val(req->meta_first, req->meta_vecs->len);
	return NULL;
}
