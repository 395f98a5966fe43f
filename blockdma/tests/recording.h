/* SPDX-License-Identifier: MIT */
#ifndef BLOCKDMA_TESTS_RECORDING_H
#define BLOCKDMA_TESTS_RECORDING_H

/*
 * Reads recordings of the kernel's block DMA path, "blockdma-golden 1 variant=V kernel=7.0", into cases and
 * runs.
 *
 * A case is an environment, requests, and maybe a script of operations on them; a run is one execution with a
 * tag ("ok", "fail SITE:N [partial] errno=E") and the lines that were logged. A recording is read whole;
 * damaged ones fail the test that asked for it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "blockdma/request.h"
#include "sim/core/text.h"
#include "sim/io/input.h"

struct recorded_run {
	char *tag;
	GPtrArray *lines; /* of char * */
};

struct recorded_request {
	char *name;
	enum req_op op;
	bool to_device, special;
	GArray *vecs;	   /* of struct bio_vec */
	GArray *bio_first; /* of uint32_t: index of each bio's first vector */
};

struct recorded_case {
	char *name;
	GHashTable *settings; /* of "env" and "lim": key -> value, both text */
	bool metadata;
	GPtrArray *requests; /* of struct recorded_request * */
	GPtrArray *ops;	     /* of char *: the script, "map A" */
	GPtrArray *runs;     /* of struct recorded_run * */
};

static inline void recorded_run_free(void *data)
{
	struct recorded_run *run = data;

	g_ptr_array_unref(run->lines);
	g_free(run->tag);
	g_free(run);
}

static inline void recorded_request_free(void *data)
{
	struct recorded_request *req = data;

	g_array_unref(req->vecs);
	g_array_unref(req->bio_first);
	g_free(req->name);
	g_free(req);
}

static inline void recorded_case_free(void *data)
{
	struct recorded_case *rec = data;

	g_hash_table_unref(rec->settings);
	g_ptr_array_unref(rec->requests);
	g_ptr_array_unref(rec->ops);
	g_ptr_array_unref(rec->runs);
	g_free(rec->name);
	g_free(rec);
}

static inline struct recorded_case *recorded_case_new(const char *name)
{
	static const char *const defaults[][2] = {
		{"mode", "strict"},
		{"driver", "pt"},
		{"coherent", "1"},
		{"untrusted", "0"},
		{"p2p", "none"},
		{"level", "blk"},
		{"deferred", "none"},
		{"swiotlb", "1"},
		{"swiotlb_force", "0"},
		{"forcedac", "0"},
		{"dma_mask_bits", "64"},
		{"bus_dma_limit", "0"},
		{"aperture_end", "0xffffffffffff"},
		{"sgl", "1"},
		{"usercmd", "0"},
		{"qid", "1"},
		{"sgl_threshold", "32768"},
		{"virt_boundary", "0"},
		{"max_segments", "256"},
		{"lbs", "512"},
		{"max_bytes", "8388608"},
		{"meta_size", "0"},
	};
	struct recorded_case *rec = g_new0(struct recorded_case, 1);

	rec->name = g_strdup(name);
	rec->settings = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	for (unsigned i = 0; i < G_N_ELEMENTS(defaults); i++)
		g_hash_table_insert(rec->settings, g_strdup(defaults[i][0]), g_strdup(defaults[i][1]));
	rec->requests = g_ptr_array_new_with_free_func(recorded_request_free);
	rec->ops = g_ptr_array_new_with_free_func(g_free);
	rec->runs = g_ptr_array_new_with_free_func(recorded_run_free);
	return rec;
}

static inline const char *recorded_text(const struct recorded_case *rec, const char *key)
{
	return g_hash_table_lookup(rec->settings, key);
}

static inline bool recorded_is(const struct recorded_case *rec, const char *key, const char *value)
{
	return g_strcmp0(recorded_text(rec, key), value) == 0;
}

static inline uint64_t recorded_number(const struct recorded_case *rec, const char *key)
{
	uint64_t value = 0;

	g_assert_true(text_parse_u64(recorded_text(rec, key), &value));
	return value;
}

static inline uint64_t recorded_word(char *const *words, unsigned index)
{
	uint64_t value = 0;

	g_assert_true(text_parse_u64(words[index], &value));
	return value;
}

/** Adds the request of "req NAME read|write|discard [special]". */
static inline void recorded_add_request(struct recorded_case *rec, char *const *words, unsigned count)
{
	struct recorded_request *req = g_new0(struct recorded_request, 1);
	uint32_t first = 0;

	req->name = g_strdup(words[1]);
	req->to_device = !g_str_equal(words[2], "read");
	req->op = g_str_equal(words[2], "discard") ? REQ_OP_DISCARD
		  : req->to_device		   ? REQ_OP_WRITE
						   : REQ_OP_READ;
	req->special = count > 3;
	req->vecs = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));
	req->bio_first = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	g_array_append_val(req->bio_first, first);
	g_ptr_array_add(rec->requests, req);
}

/** Adds the vectors of "bvec PADDR LEN [COUNT STEP]" to the latest request. */
static inline void recorded_add_vecs(struct recorded_case *rec, char *const *words, unsigned count)
{
	struct recorded_request *req = g_ptr_array_index(rec->requests, rec->requests->len - 1);
	uint64_t repeat = count > 3 ? recorded_word(words, 3) : 1,
		 step = count > 4 ? recorded_word(words, 4) : 0;
	struct bio_vec vec = {recorded_word(words, 1), recorded_word(words, 2)};

	for (; repeat; repeat--, vec.paddr += step)
		g_array_append_val(req->vecs, vec);
}

/** Takes a line of a case's definition. */
static inline void recorded_define(struct recorded_case *rec, const char *line)
{
	g_auto(GStrv) words = g_strsplit(line, " ", -1);
	unsigned count = g_strv_length(words);

	if (g_str_equal(words[0], "env") || g_str_equal(words[0], "lim")) {
		for (unsigned i = 1; i < count; i++) {
			const char *equals = strchr(words[i], '=');

			g_assert_nonnull(equals);
			g_hash_table_insert(rec->settings, g_strndup(words[i], (gsize)(equals - words[i])),
					    g_strdup(equals + 1));
		}
	} else if (g_str_equal(words[0], "req")) {
		recorded_add_request(rec, words, count);
	} else if (g_str_equal(words[0], "bvec")) {
		recorded_add_vecs(rec, words, count);
	} else if (g_str_equal(words[0], "bio")) {
		struct recorded_request *req = g_ptr_array_index(rec->requests, rec->requests->len - 1);

		g_array_append_val(req->bio_first, req->vecs->len);
	} else if (g_str_equal(words[0], "mbvec")) {
		rec->metadata = true;
	} else {
		g_assert_cmpstr(words[0], ==, "op");
		g_ptr_array_add(rec->ops, g_strdup(line + strlen("op ")));
	}
}

/** Returns the cases of the recording at @path, plain or compressed, of @variant; free with
 * g_ptr_array_unref(). */
static inline GPtrArray *recording_read(const char *path, const char *variant)
{
	g_autofree char *header = g_strdup_printf("blockdma-golden 1 variant=%s kernel=7.0", variant);
	GPtrArray *cases = g_ptr_array_new_with_free_func(recorded_case_free);
	struct recorded_case *rec = NULL;
	struct recorded_run *run = NULL;
	g_autoptr(GError) error = NULL;
	struct input *input = input_open(path, &error);
	const char *bytes;
	size_t len;
	int got;

	g_assert_no_error(error);
	while ((got = input_line(input, &bytes, &len, &error)) == 1) {
		g_autofree char *line = g_strndup(bytes, len);

		if (input_line_number(input) == 1)
			g_assert_cmpstr(line, ==, header);
		else if (g_str_has_prefix(line, "case "))
			g_ptr_array_add(cases, rec = recorded_case_new(line + 5));
		else if (g_str_equal(line, "endcase"))
			rec = NULL;
		else if (g_str_equal(line, "end"))
			run = NULL;
		else if (g_str_has_prefix(line, "run ")) {
			run = g_new0(struct recorded_run, 1);
			run->tag = g_strdup(line + 4);
			run->lines = g_ptr_array_new_with_free_func(g_free);
			g_ptr_array_add(rec->runs, run);
		} else if (run)
			g_ptr_array_add(run->lines, g_steal_pointer(&line));
		else if (rec)
			recorded_define(rec, line);
		else
			g_assert_cmpstr(line, ==, "");
	}
	g_assert_no_error(error);
	g_assert_cmpint(got, ==, 0);
	input_close(input);
	return cases;
}

static inline const struct recorded_case *recording_find(const GPtrArray *cases, const char *name)
{
	for (guint i = 0; cases && i < cases->len; i++) {
		const struct recorded_case *rec = g_ptr_array_index(cases, i);

		if (g_str_equal(rec->name, name))
			return rec;
	}
	return NULL;
}

static inline const struct recorded_run *recorded_find_run(const struct recorded_case *rec, const char *tag)
{
	for (guint i = 0; rec && i < rec->runs->len; i++) {
		const struct recorded_run *run = g_ptr_array_index(rec->runs, i);

		if (g_str_equal(run->tag, tag))
			return run;
	}
	return NULL;
}

#endif
