/* SPDX-License-Identifier: MIT */
#include "sim/campaign/sweep-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/core/error.h"
#include "sim/io/output.h"

/*
 * One line a pair, "POINT PASS ok" or "POINT PASS broke: WHAT", below a head that says what was swept. Lines are appended
 * as results come out; whoever is killed leaves at worst half a line.
 */
#define SWEEP_FILE	 "sweep.txt"
#define SWEEP_FILE_FIRST "# iommusim faults sweep, 1: POINT PASS ok, or POINT PASS broke: WHAT\n"
#define SWEEP_FILE_MAX	 (1 << 30) /* bytes */

static GString *sweep_file_head(const struct sweep_options *options, const struct sweep_outcome *reference)
{
	const struct sim *sim = reference->machine->sim;
	g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
	GString *head = g_string_new(SWEEP_FILE_FIRST);

	g_checksum_update(checksum, (const guchar *)options->identity, (gssize)strlen(options->identity));
	for (unsigned point = 0; point < SIM_FAULTS_MAX; point++) {
		g_autofree char *passes = g_strdup_printf(" %" G_GUINT64_FORMAT, sim->fault_passes[point]);

		g_checksum_update(checksum, (const guchar *)passes, (gssize)strlen(passes));
	}
	g_string_append_printf(head, "# points %s, max %" G_GUINT64_FORMAT "\n", options->points,
			       options->max);
	g_string_append_printf(
		head, "# unfaulted: %" G_GUINT64_FORMAT " requests, ends at %" G_GUINT64_FORMAT " ns\n",
		reference->stats.ios, sim->now_ns);
	g_string_append_printf(head, "# of %s\n", g_checksum_get_string(checksum));
	return head;
}

static char *sweep_file_line(const struct sweep_options *options, const struct sweep_pair *pair)
{
	const char *name = fault_point_get(options->rules, pair->point)->name;

	if (!pair->broke)
		return g_strdup_printf("%s %" G_GUINT64_FORMAT " ok\n", name, pair->pass);
	return g_strdup_printf("%s %" G_GUINT64_FORMAT " broke: %s\n", name, pair->pass, pair->broke);
}

/** Returns the pairs of @result by "POINT PASS". */
static GHashTable *sweep_file_pairs(const struct sweep_options *options, const struct sweep_result *result)
{
	GHashTable *pairs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (guint i = 0; i < result->pairs->len; i++) {
		struct sweep_pair *pair = &g_array_index(result->pairs, struct sweep_pair, i);

		g_hash_table_insert(pairs,
				    g_strdup_printf("%s %" G_GUINT64_FORMAT,
						    fault_point_get(options->rules, pair->point)->name,
						    pair->pass),
				    pair);
	}
	return pairs;
}

/** Takes one result up. Returns whether @line, which is changed, is one. */
static bool sweep_file_take(GHashTable *pairs, char *line)
{
	static const char broke[] = "broke: ";
	char *said = strchr(line, ' ');
	struct sweep_pair *pair;

	said = said ? strchr(said + 1, ' ') : NULL;
	if (!said)
		return false;
	*said++ = '\0';
	pair = g_hash_table_lookup(pairs, line);
	if (!pair || pair->done)
		return false;
	if (g_str_has_prefix(said, broke))
		pair->broke = g_strdup(said + strlen(broke));
	else if (strcmp(said, "ok") != 0)
		return false;
	pair->done = true;
	return true;
}

/** Takes up all results of @text, which is changed; half a line at its end is none. *@ret_len: of what is whole. */
static bool sweep_file_read(const struct sweep_file *file, char *text, GHashTable *pairs, size_t *ret_len,
			    GError **error)
{
	char *line = text, *end;
	uint64_t number = 1;

	if (!g_str_has_prefix(text, file->head->str))
		return sim_error_plain(error, "%s: the results of another sweep: choose another directory",
				       file->path) == 0;
	for (char *at = text; at < text + file->head->len; at++)
		number += *at == '\n';
	for (line += file->head->len; (end = strchr(line, '\n')); line = end + 1, number++) {
		*end = '\0';
		if (!sweep_file_take(pairs, line))
			return sim_error_line(error, file->path, number,
					      "not a result of this sweep, or its second") == 0;
	}
	*ret_len = (size_t)(line - text);
	return true;
}

/** Takes up what is there already. */
static bool sweep_file_load(const struct sweep_file *file, const struct sweep_options *options,
			    const struct sweep_result *result, GError **error)
{
	g_autoptr(GHashTable) pairs = sweep_file_pairs(options, result);
	g_autofree char *text = NULL;
	g_autoptr(GError) reason = NULL;
	struct stat status;
	size_t len = 0;

	if (stat(file->path, &status) == 0 && status.st_size > SWEEP_FILE_MAX)
		return sim_error_plain(error, "%s: more than %d bytes", file->path, SWEEP_FILE_MAX) == 0;
	if (!g_file_get_contents(file->path, &text, NULL, &reason))
		return sim_error_plain(error, "%s", reason->message) == 0;
	if (!sweep_file_read(file, text, pairs, &len, error))
		return false;
	if (truncate(file->path, (off_t)len) != 0)
		return sim_error_plain(error, "%s: %s", file->path, g_strerror(errno)) == 0;
	return true;
}

bool sweep_file_open(struct sweep_file *file, const struct sweep_options *options,
		     const struct sweep_outcome *reference, struct sweep_result *result, GError **error)
{
	*file = (struct sweep_file){.fd = -1};
	if (!options->dir)
		return true;
	file->path = g_build_filename(options->dir, SWEEP_FILE, NULL);
	file->head = sweep_file_head(options, reference);
	if (g_file_test(file->path, G_FILE_TEST_EXISTS)) {
		if (!sweep_file_load(file, options, result, error))
			return false;
	} else if (!output_write_text(options->dir, SWEEP_FILE, file->head->str, error)) {
		return false;
	}
	file->fd = open(file->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (file->fd < 0)
		return sim_error_plain(error, "%s: %s", file->path, g_strerror(errno)) == 0;
	return true;
}

bool sweep_file_add(const struct sweep_file *file, const struct sweep_options *options,
		    const struct sweep_pair *pair, GError **error)
{
	g_autofree char *line = NULL;
	ssize_t len;

	if (file->fd < 0)
		return true;
	line = sweep_file_line(options, pair);
	len = (ssize_t)strlen(line);
	if (write(file->fd, line, (size_t)len) == len)
		return true;
	return sim_error_plain(error, "%s: cannot be written", file->path) == 0;
}

bool sweep_file_finish(const struct sweep_file *file, const struct sweep_options *options,
		       const struct sweep_result *result, GError **error)
{
	g_autoptr(GString) text = NULL;

	if (file->fd < 0)
		return true;
	text = g_string_new(file->head->str);
	for (guint i = 0; i < result->pairs->len; i++) {
		g_autofree char *line =
			sweep_file_line(options, &g_array_index(result->pairs, struct sweep_pair, i));

		g_string_append(text, line);
	}
	return output_write_text(options->dir, SWEEP_FILE, text->str, error);
}

void sweep_file_clear(struct sweep_file *file)
{
	if (file->head)
		g_string_free(file->head, TRUE);
	g_free(file->path);
	if (file->fd >= 0)
		close(file->fd);
}
