/* SPDX-License-Identifier: MIT */
/*
 * whois: the lives of an address, from a recording or from a run that is repeated for it, and what the address was when
 * the device faulted there.
 */
#include <stdio.h>
#include <string.h>

#include "sim/cmd/cmd.h"
#include "sim/cmd/rerun.h"
#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/machine/life-run.h"
#include "sim/report/facts.h"
#include "sim/trace/faultlog.h"
#include "sim/trace/life-trace.h"

#define HEX "0x%" G_GINT64_MODIFIER "x"

static const char *const context_names[TRACE_CONTEXTS] = {
	[TRACE_TASK] = "task",
	[TRACE_SOFTIRQ] = "softirq",
	[TRACE_HARDIRQ] = "hardirq",
	[TRACE_NMI] = "nmi",
};

struct whois_options {
	char *at;
	char *dmesg;
	char *trace;
	gboolean read, write;
};

/** One address that is asked about. */
struct whois_query {
	struct life_book *book; /* borrowed: many faults may be at one address */
	struct life_question question;
	const struct faultlog_entry *entry; /* NULL: asked on the command line */
};

struct whois {
	struct whois_options options;
	GPtrArray *books; /* of struct life_book */
	GHashTable *by_iova;
	GArray *queries; /* of struct whois_query */
	GArray *faults;	 /* of struct faultlog_entry; NULL: no log */
	uint64_t more_faults;
	struct life_scope scope;
	struct life_run run; /* of a run only */
};

/* ---- what is asked ---- */

/** A time stamp of a kernel log, "[   10.936127]" or "10.936127", or a time with its unit. */
static bool whois_parse_time(const char *text, uint64_t *ret_ns)
{
	g_autofree char *bare = g_strdup(text);
	size_t len;

	g_strdelimit(bare, "[]", ' ');
	g_strstrip(bare);
	len = strlen(bare);
	if (len && g_ascii_isdigit(bare[len - 1]) && strchr(bare, '.')) {
		g_autofree char *seconds = g_strconcat(bare, "s", NULL);

		return text_parse_time(seconds, ret_ns);
	}
	return len && !g_ascii_isdigit(bare[len - 1]) && text_parse_time(bare, ret_ns);
}

static struct life_book *whois_book(struct whois *whois, uint64_t iova)
{
	struct life_book *book = g_hash_table_lookup(whois->by_iova, &iova);

	if (book)
		return book;
	book = life_book_new(iova);
	g_ptr_array_add(whois->books, book);
	g_hash_table_insert(whois->by_iova, &book->iova, book);
	return book;
}

static void whois_ask(struct whois *whois, uint64_t iova, struct life_question question,
		      const struct faultlog_entry *entry)
{
	struct whois_query query = {.book = whois_book(whois, iova), .question = question, .entry = entry};

	g_array_append_val(whois->queries, query);
}

/** Takes the faults of the log; with an address on the command line only those. */
static bool whois_read_log(struct whois *whois, const uint64_t *iova, GError **error)
{
	whois->faults = faultlog_read(whois->options.dmesg, &whois->more_faults, error);
	if (!whois->faults)
		return false;
	for (guint i = 0; i < whois->faults->len; i++) {
		const struct faultlog_entry *entry = &g_array_index(whois->faults, struct faultlog_entry, i);
		struct life_question question = {.at_ns = entry->time_ns, .access = entry->access};

		if (!iova || *iova == entry->iova)
			whois_ask(whois, entry->iova, question, entry);
	}
	return true;
}

static bool whois_take_question(struct whois *whois, char **args, GError **error)
{
	const struct whois_options *options = &whois->options;
	struct life_question question = {.at_ns = LIFE_NEVER,
					 .access = (options->read ? LIFE_READ : 0) |
						   (options->write ? LIFE_WRITE : 0)};
	bool has_iova = args[1] != NULL;
	uint64_t iova = 0;

	if (!has_iova && !options->dmesg)
		return sim_error_plain(error,
				       "whois takes 2 arguments (IOVA TRACE|DIR), or --dmesg=FILE and one") ==
		       0;
	if (has_iova && !text_parse_u64(args[0], &iova))
		return sim_error_plain(error, "\"%s\": must be an address such as 0xffeb2000", args[0]) == 0;
	if (options->dmesg && (options->at || question.access))
		return sim_error_plain(error, "--dmesg says when and how: no --at, --read or --write") == 0;
	if (options->dmesg && strcmp(options->dmesg, "-") == 0 && strcmp(args[has_iova], "-") == 0)
		return sim_error_plain(error, "-: only one of log and recording can be standard input") == 0;
	if (options->at && !whois_parse_time(options->at, &question.at_ns))
		return sim_error_plain(error, "--at=%s: must be a time such as 10.936127 or 5ms",
				       options->at) == 0;
	if (options->dmesg)
		return whois_read_log(whois, has_iova ? &iova : NULL, error);
	whois_ask(whois, iova, question, NULL);
	return true;
}

/* ---- who is asked ---- */

static void whois_begins(void *data, struct machine *machine)
{
	struct whois *whois = data;

	life_run_init(&whois->run, machine, whois->books);
}

static void whois_ends(void *data, struct machine *machine)
{
	struct whois *whois = data;

	life_run_end(&whois->run);
}

/** Repeats the run of @dir and listens. */
static bool whois_ask_run(struct whois *whois, const char *dir, bool progress, GError **error)
{
	const struct run_watch watch = {.begins = whois_begins, .ends = whois_ends, .data = whois};
	struct rerun rerun;
	struct run run = {0};
	bool ok = rerun_load(&rerun, dir, whois->options.trace, error);

	if (ok) {
		rerun.options.watch = &watch;
		ok = run_execute(&run, &rerun.options, rerun.traces, progress, error) &&
		     rerun_check(&rerun, &run, error);
	}
	if (ok)
		whois->scope = (struct life_scope){.source = "run",
						   .last_ns = run.machine->sim->now_ns,
						   .from_start = true,
						   .has_maps = true,
						   .has_unmaps = true,
						   .has_flushes = true};
	run_clear(&run);
	life_run_finish(&whois->run);
	rerun_clear(&rerun);
	return ok;
}

static bool whois_find_out(struct whois *whois, const char *source, bool progress, GError **error)
{
	if (g_file_test(source, G_FILE_TEST_IS_DIR))
		return whois_ask_run(whois, source, progress, error);
	if (whois->options.trace)
		return sim_error_plain(error, "--trace is for the directory of a run; %s is none", source) ==
		       0;
	return life_trace_read(source, whois->books, &whois->scope, error);
}

/* ---- what is told ---- */

static void whois_hex(struct facts *facts, const char *key, uint64_t value)
{
	g_autofree char *text = g_strdup_printf(HEX, value);

	facts_text(facts, key, NULL, text);
}

static void whois_show_request(struct facts *facts, const struct life_request *request)
{
	if (!request->known)
		return;
	facts_begin(facts, "request", NULL);
	if (request->number)
		facts_u64(facts, "number", NULL, request->number);
	if (request->has_queue) {
		facts_u64(facts, "queue", NULL, request->queue);
		facts_u64(facts, "tag", NULL, request->tag);
	}
	if (request->has_place) {
		facts_text(facts, "op", NULL, io_op_names[request->op]);
		facts_u64(facts, "sector", NULL, request->lba);
		facts_u64(facts, "data_bytes", NULL, request->bytes);
	}
	facts_end(facts);
}

static char *whois_access_text(unsigned access)
{
	return g_strdup_printf("%s%s", access & LIFE_READ ? "r" : "", access & LIFE_WRITE ? "w" : "");
}

/** What a line of the table says behind the name of the step. */
static char *whois_step_text(const struct life_step *step)
{
	GString *text = g_string_new(NULL);

	if (step->len > 1)
		g_string_append_printf(text, HEX "-" HEX, step->first, step->first + step->len - 1);
	if (step->paddr)
		g_string_append_printf(text, "%sthe address is " HEX, text->len ? "; " : "", step->paddr);
	if (step->prot) {
		g_autofree char *prot = whois_access_text(step->prot);

		g_string_append_printf(text, " (%s)", prot);
	}
	if (step->text)
		g_string_append_printf(text, "%s%s", text->len ? "; " : "", step->text);
	if (step->count > 1) {
		g_autofree char *span = text_time(step->last_ns - step->when.time_ns);

		g_string_append_printf(text, "; %" G_GUINT64_FORMAT " times in %s", step->count, span);
	}
	return g_string_free(text, FALSE);
}

static void whois_show_step(struct facts *facts, const struct life_step *step)
{
	const struct life_when *when = &step->when;
	const char *context = when->context < TRACE_CONTEXTS ? context_names[when->context] : "";
	g_autofree char *said = whois_step_text(step);
	g_autofree char *cpu =
		when->cpu == UINT32_MAX ? g_strdup("device") : g_strdup_printf("cpu %u", when->cpu);
	g_autofree char *line = g_strdup_printf(
		"%5" G_GUINT64_FORMAT ".%09u  %-7s %-7s  %-10s  %s", when->time_ns / 1000000000,
		(unsigned)(when->time_ns % 1000000000), cpu, context, life_step_names[step->kind], said);

	facts_line(facts, "%s", g_strchomp(line));
	facts_begin(facts, NULL, NULL);
	facts_u64(facts, "time_ns", NULL, when->time_ns);
	if (when->cpu != UINT32_MAX)
		facts_u64(facts, "cpu", NULL, when->cpu);
	if (*context)
		facts_text(facts, "context", NULL, context);
	facts_text(facts, "what", NULL, life_step_names[step->kind]);
	if (step->len > 1) {
		whois_hex(facts, "first", step->first);
		facts_u64(facts, "range_bytes", NULL, step->len);
	}
	if (step->paddr)
		whois_hex(facts, "paddr", step->paddr);
	if (step->prot) {
		g_autofree char *prot = whois_access_text(step->prot);

		facts_text(facts, "prot", NULL, prot);
	}
	if (step->count)
		facts_u64(facts, "count", NULL, step->count);
	if (step->text)
		facts_text(facts, "text", NULL, step->text);
	facts_end(facts);
}

static void whois_show_steps(struct facts *facts, const char *key, const GArray *steps)
{
	facts_list_begin(facts, key, NULL);
	for (guint i = 0; i < steps->len; i++)
		whois_show_step(facts, &g_array_index(steps, struct life_step, i));
	facts_list_end(facts);
}

static void whois_show_life(struct facts *facts, const struct life *life)
{
	g_autofree char *owner = life_owner_text(life);
	g_autofree char *label = g_strdup_printf("life %" G_GUINT64_FORMAT ": " HEX "-" HEX ", %s",
						 life->number, life->first, life->last, owner);

	facts_begin(facts, NULL, label);
	facts_u64(facts, "number", NULL, life->number);
	whois_hex(facts, "first", life->first);
	whois_hex(facts, "last", life->last);
	if (life->asked)
		facts_u64(facts, "allocated_bytes", NULL, life->asked);
	if (life->data_end) {
		whois_hex(facts, "data_first", life->data_first);
		whois_hex(facts, "data_last", life->data_end - 1);
	}
	facts_text(facts, "owner", NULL, owner);
	whois_show_request(facts, &life->request);
	whois_show_steps(facts, "steps", life->steps);
	facts_end(facts);
}

/** All lives, or, where one moment was asked about, the one that tells. */
static void whois_show_lives(struct facts *facts, const struct whois_query *query,
			     const struct life_answer *answer)
{
	const GPtrArray *lives = query->book->lives;

	facts_list_begin(facts, "lives", NULL);
	for (guint i = 0; i < lives->len; i++)
		if (query->question.at_ns == LIFE_NEVER ? !query->entry
							: g_ptr_array_index(lives, i) == answer->life)
			whois_show_life(facts, g_ptr_array_index(lives, i));
	facts_list_end(facts);
	if (query->question.at_ns == LIFE_NEVER)
		whois_show_steps(facts, "before_any_life", query->book->strays);
}

static void whois_show_query(struct facts *facts, const struct whois *whois, const struct whois_query *query)
{
	struct life_answer answer = life_answer(query->book, &query->question, &whois->scope);
	g_autofree char *lives =
		g_strdup_printf(HEX ": %u %s in the %s", query->book->iova, query->book->lives->len,
				query->book->lives->len == 1 ? "life" : "lives", whois->scope.source);

	if (query->entry)
		facts_line(facts, "line %" G_GUINT64_FORMAT ": %s", query->entry->line, query->entry->text);
	facts_line(facts, "%s", lives);
	facts_line(facts, "%s: %s", life_verdict_names[answer.verdict], answer.text);
	whois_hex(facts, "iova", query->book->iova);
	if (query->entry) {
		facts_u64(facts, "line", NULL, query->entry->line);
		facts_text(facts, "text", NULL, query->entry->text);
	}
	if (query->question.at_ns != LIFE_NEVER)
		facts_u64(facts, "at_ns", NULL, query->question.at_ns);
	if (query->question.access) {
		g_autofree char *access = whois_access_text(query->question.access);

		facts_text(facts, "access", NULL, access);
	}
	facts_text(facts, "verdict", NULL, life_verdict_names[answer.verdict]);
	facts_text(facts, "explanation", NULL, answer.text);
	if (answer.life)
		facts_u64(facts, "life", NULL, answer.life->number);
	facts_u64(facts, "life_count", NULL, query->book->lives->len);
	whois_show_lives(facts, query, &answer);
	g_free(answer.text);
}

static void whois_show_scope(struct facts *facts, const struct life_scope *scope)
{
	facts_text(facts, "source", NULL, scope->source);
	facts_u64(facts, "first_ns", NULL, scope->first_ns);
	facts_u64(facts, "last_ns", NULL, scope->last_ns);
	if (scope->lost)
		facts_u64(facts, "lost_events", "events lost in the recording", scope->lost);
}

static char *whois_text(const struct whois *whois, bool json)
{
	struct facts *facts = facts_new();
	char *text;

	whois_show_scope(facts, &whois->scope);
	if (whois->faults)
		facts_list_begin(facts, "faults", NULL);
	for (guint i = 0; i < whois->queries->len; i++) {
		const struct whois_query *query = &g_array_index(whois->queries, struct whois_query, i);

		if (!whois->faults) {
			whois_show_query(facts, whois, query);
			continue;
		}
		if (i)
			facts_line(facts, " ");
		facts_begin(facts, NULL, NULL);
		whois_show_query(facts, whois, query);
		facts_end(facts);
	}
	if (whois->faults)
		facts_list_end(facts);
	if (whois->more_faults)
		facts_u64(facts, "faults_skipped", "further faults in the log", whois->more_faults);
	text = json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	return text;
}

/** Whether anything is known of any of the addresses. */
static bool whois_knows(const struct whois *whois)
{
	for (guint i = 0; i < whois->books->len; i++) {
		const struct life_book *book = g_ptr_array_index(whois->books, i);

		if (book->lives->len || book->strays->len || book->reserved)
			return true;
	}
	return false;
}

static void whois_init(struct whois *whois)
{
	*whois = (struct whois){
		.books = g_ptr_array_new_with_free_func((GDestroyNotify)life_book_free),
		.by_iova = g_hash_table_new(g_int64_hash, g_int64_equal),
		.queries = g_array_new(FALSE, FALSE, sizeof(struct whois_query)),
	};
}

static void whois_finish(struct whois *whois)
{
	g_hash_table_unref(whois->by_iova);
	g_ptr_array_free(whois->books, TRUE);
	g_array_unref(whois->queries);
	if (whois->faults)
		g_array_unref(whois->faults);
	g_free(whois->options.at);
	g_free(whois->options.dmesg);
	g_free(whois->options.trace);
}

static int whois_tell(struct whois *whois, const struct cmd_common *common)
{
	const char *source = common->args[common->args[1] ? 1 : 0];
	g_autofree char *text = NULL;
	GError *error = NULL;

	if (!whois_take_question(whois, common->args, &error) ||
	    !whois_find_out(whois, source, cmd_shows_progress(common), &error))
		return cmd_fail_error(error);
	text = whois_text(whois, common->json);
	if (!cmd_print(text))
		return EXIT_UNUSABLE;
	return whois_knows(whois) ? EXIT_DONE : EXIT_FOUND;
}

int cmd_whois(const struct command *command, int argc, char **argv)
{
	struct whois whois;
	const GOptionEntry entries[] = {
		{"at", 0, 0, G_OPTION_ARG_FILENAME, &whois.options.at,
		 "what the address was at this time: a kernel log's time stamp, or with a unit", "TIME"},
		{"read", 0, 0, G_OPTION_ARG_NONE, &whois.options.read, "the device wanted to read there",
		 NULL},
		{"write", 0, 0, G_OPTION_ARG_NONE, &whois.options.write, "the device wanted to write there",
		 NULL},
		{"dmesg", 0, 0, G_OPTION_ARG_FILENAME, &whois.options.dmesg,
		 "explain each fault of this kernel log; IOVA, if given, says which of them", "FILE"},
		{"trace", 0, 0, G_OPTION_ARG_FILENAME, &whois.options.trace,
		 "where the trace of the run in DIR is now", "FILE"},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	struct cmd_common common;
	int code;

	whois_init(&whois);
	if (!cmd_parse(command, argc, argv, entries, 1, 2, &common)) {
		whois_finish(&whois);
		return common.exit_code;
	}
	code = whois_tell(&whois, &common);
	whois_finish(&whois);
	cmd_common_clear(&common);
	return code;
}
