/* SPDX-License-Identifier: MIT */
/*
 * Text of the kernel's blk tracer: the prefix of ftrace, and behind it "MAJOR,MINOR ACTION RWBS …" as in blkparse's lines.
 */
#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/formats.h"
#include "sim/trace/ktext.h"
#include "sim/trace/names.h"

#define HEADER_BYTES 1024 /* where the header with the number of CPUs stands */

struct blktext {
	struct input *input;
	uint32_t cpus;	/* as the header says; 0: it does not */
	bool mark_open; /* the line before was free text, which may hold newlines */
	struct ktext_aside aside;
	struct names actions;
};

/* Takes an action. Returns false when it is none, or not as it should be. */
static bool take_action(struct scan scan, struct trace_event *event, const char **ret_action, size_t *ret_len)
{
	struct ktext_rwbs rwbs;

	scan_blanks(&scan);
	if (!ktext_device(&scan, &event->device))
		return false;
	scan_blanks(&scan);
	*ret_action = scan.at;
	if (!ktext_action(&scan, &event->kind))
		return false;
	*ret_len = (size_t)(scan.at - *ret_action);
	scan_blanks(&scan);
	return ktext_rwbs(&scan, &rwbs) && (event->kind == TRACE_OTHER || ktext_request(&scan, &rwbs, event));
}

static int line_error(const struct blktext *blktext, GError **error, const char *what)
{
	return sim_error_line(error, input_path(blktext->input), input_line_number(blktext->input), "%s",
			      what);
}

static int line_event(struct blktext *blktext, const struct ktext_line *line, struct trace_event *ret_event,
		      GError **error)
{
	struct trace_event event = {
		.kind = TRACE_OTHER,
		.time_ns = line->time_ns,
		.position = input_line_number(blktext->input),
		.cpu = line->cpu,
		.context = line->context,
		.queue = TRACE_NO_QUEUE,
	};
	const char *name = line->name;
	size_t name_len = line->name_len;

	if (line->cpu >= SIM_CPUS_MAX)
		return sim_error_line(error, input_path(blktext->input), event.position,
				      "CPU %u: at most %u CPUs", line->cpu, SIM_CPUS_MAX);
	/* With a name it is an event beside the tracer's own actions. */
	if (!name_len && !take_action(line->body, &event, &name, &name_len))
		return line_error(blktext, error, "action of the blk tracer: fields not understood");
	blktext->mark_open = name == line->name;
	names_count(&blktext->actions, name, name_len, TRACE_EVENTS_MAX);
	*ret_event = event;
	return 1;
}

static int blktext_next(void *state, struct trace_event *ret_event, GError **error)
{
	struct blktext *blktext = state;
	const char *text;
	size_t len;

	for (;;) {
		int result = input_line(blktext->input, &text, &len, error);
		struct scan scan = {.at = text, .end = text + len};
		struct ktext_line line;

		if (result <= 0)
			return result;
		if (ktext_split(text, len, &line))
			return line_event(blktext, &line, ret_event, error);
		if (!ktext_aside(&blktext->aside, scan) && !blktext->mark_open)
			return line_error(blktext, error, "not a line of the blk tracer");
	}
}

static bool blktext_open(void *state, struct input *input, const char *path,
			 const struct trace_options *options, GError **error)
{
	struct blktext *blktext = state;
	const uint8_t *bytes;
	ssize_t len = input_peek(input, HEADER_BYTES, &bytes, error);

	blktext->input = input;
	names_init(&blktext->actions);
	if (len < 0)
		return false;
	blktext->cpus = ktext_header_cpus(bytes, (size_t)len);
	return true;
}

static int blktext_probe(const uint8_t *bytes, size_t len)
{
	struct trace_event event = {0};
	struct ktext_line line;
	const char *action;
	size_t action_len;

	if (len >= 14 && memcmp(bytes, "# tracer: blk\n", 14) == 0)
		return 95;
	if (!ktext_first(bytes, len, &line) || line.name_len)
		return 0;
	return take_action(line.body, &event, &action, &action_len) ? 90 : 0;
}

static uint32_t blktext_cpus(const void *state)
{
	return ((const struct blktext *)state)->cpus;
}

static void blktext_facts(void *state, GHashTable *facts)
{
	ktext_aside_facts(&((const struct blktext *)state)->aside, facts);
}

static const struct names *blktext_events(const void *state)
{
	return &((const struct blktext *)state)->actions;
}

static void blktext_close(void *state)
{
	names_finish(&((struct blktext *)state)->actions);
}

const struct trace_reader_ops trace_blktext = {
	.name = "blk",
	.description = "text of the kernel's blk tracer",
	.counts_lines = true,
	.probe = blktext_probe,
	.state_size = sizeof(struct blktext),
	.open = blktext_open,
	.next = blktext_next,
	.cpus = blktext_cpus,
	.facts = blktext_facts,
	.events = blktext_events,
	.close = blktext_close,
};
