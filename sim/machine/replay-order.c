/* SPDX-License-Identifier: MIT */
/*
 * The order of calls of a run, written down, and given to another: what decides the state, without any time.
 *
 *	issue CONTROLLER		the next request of its trace comes
 *	ask SLOT			the controller asks where the completion of the request in this slot goes to
 *	ask-at-once SLOT		the same, while the call above fetches it: it has no data
 *	post SLOT			the controller completes the request in this slot
 *	take CONTROLLER QUEUE CPU	the CPU takes all completions off the queue
 *	timer KIND PAYLOAD		a timer of the allocator or of a flush queue fires
 *	unordered			a retry, time-out or reset: their order is not kept
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/core/error.h"
#include "sim/io/input.h"
#include "sim/machine/replay-internal.h"

#define ORDER_HEAD "iommusim-order 1"

void replay_save(struct replay_shared *shared, const char *what, uint64_t a, uint64_t b, uint64_t c)
{
	output_printf(shared->order, "%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", what, a, b, c);
}

/* ---- writing ---- */

static struct replay_shared *order_shared(struct sim *sim)
{
	return sim->handler_data[EVENT_COMPLETION];
}

static void order_timer(struct sim *sim, unsigned kind, uint32_t payload)
{
	struct replay_shared *shared = order_shared(sim);

	if (shared->order)
		replay_save(shared, "timer", kind, payload, 0);
	shared->order_handlers[kind](sim, payload);
}

static void order_depot(struct sim *sim, uint32_t payload)
{
	order_timer(sim, EVENT_DEPOT, payload);
}

static void order_flush(struct sim *sim, uint32_t payload)
{
	order_timer(sim, EVENT_FLUSH, payload);
}

static void order_other(struct sim *sim, unsigned kind, uint32_t payload)
{
	struct replay_shared *shared = order_shared(sim);

	if (shared->order)
		output_puts(shared->order, "unordered\n");
	shared->order_handlers[kind](sim, payload);
}

static void order_requeue(struct sim *sim, uint32_t payload)
{
	order_other(sim, EVENT_REQUEUE, payload);
}

static void order_run_queue(struct sim *sim, uint32_t payload)
{
	order_other(sim, EVENT_RUN_QUEUE, payload);
}

static void order_timeout(struct sim *sim, uint32_t payload)
{
	order_other(sim, EVENT_TIMEOUT, payload);
}

static void order_wrap(struct replay_shared *shared, unsigned kind, event_handler handler)
{
	shared->order_handlers[kind] = shared->sim->handlers[kind];
	shared->sim->handlers[kind] = handler;
}

bool replay_save_begin(struct replay_shared *shared, GError **error)
{
	if (!shared->options->save_order)
		return true;
	shared->order = output_new(shared->options->save_order, error);
	if (!shared->order)
		return false;
	output_puts(shared->order, ORDER_HEAD "\n");
	order_wrap(shared, EVENT_DEPOT, order_depot);
	order_wrap(shared, EVENT_FLUSH, order_flush);
	order_wrap(shared, EVENT_REQUEUE, order_requeue);
	order_wrap(shared, EVENT_RUN_QUEUE, order_run_queue);
	order_wrap(shared, EVENT_TIMEOUT, order_timeout);
	return true;
}

bool replay_save_end(struct replay_shared *shared, GError **error)
{
	return !shared->order || output_commit(g_steal_pointer(&shared->order), error);
}

void replay_save_abandon(struct replay_shared *shared)
{
	output_abandon(g_steal_pointer(&shared->order));
	for (unsigned kind = 0; kind < EVENT_KINDS; kind++)
		if (shared->order_handlers[kind])
			shared->sim->handlers[kind] = shared->order_handlers[kind];
}

/* ---- following ---- */

static bool order_issue(struct replay_shared *shared, uint64_t controller, GError **error)
{
	struct replay *replay = controller < shared->count ? &shared->replays[controller] : NULL;

	if (!replay || replay->step != IO_ISSUE)
		return false;
	shared->sim->now_ns = MAX(shared->sim->now_ns, replay->record->time_ns);
	return replay_step(replay, error);
}

/** Returns the request in @slot, which the controller has and has not completed, or NULL. */
static struct replay_request *order_request(struct replay_shared *shared, uint64_t slot)
{
	struct replay_request *rr =
		slot < shared->requests->len ? g_ptr_array_index(shared->requests, slot) : NULL;

	if (!rr || rr->state != STATE_IN_FLIGHT || !rr->fetched || rr->posted)
		return NULL;
	replay_act_for(rr->replay);
	return rr;
}

static bool order_ask(struct replay_shared *shared, uint64_t slot)
{
	struct replay_request *rr = order_request(shared, slot);

	if (!rr || rr->command.completion_asked)
		return false;
	controller_ask_completion(&rr->replay->machine->ctrl, rr->qid, &rr->command);
	return true;
}

static bool order_post(struct replay_shared *shared, uint64_t slot)
{
	struct replay_request *rr = order_request(shared, slot);

	if (!rr)
		return false;
	replay_post(rr->replay, rr);
	return true;
}

static bool order_take(struct replay_shared *shared, uint64_t controller, uint64_t qid, uint64_t cpu)
{
	struct replay *replay = controller < shared->count ? &shared->replays[controller] : NULL;

	if (!replay || qid >= replay->nvme->queue_count || cpu >= shared->sim->cpu_count)
		return false;
	replay_act_for(replay);
	replay_take_completions(replay, (unsigned)qid, (unsigned)cpu);
	return true;
}

static bool order_fire(struct replay_shared *shared, uint64_t kind, uint64_t payload)
{
	struct sim *sim = shared->sim;
	struct event event;

	if ((kind != EVENT_DEPOT && kind != EVENT_FLUSH) || payload > EVENT_PAYLOAD_MAX ||
	    !event_queue_take(&sim->events, (unsigned)kind, (uint32_t)payload, &event))
		return false;
	sim->now_ns = MAX(sim->now_ns, event.time_ns);
	sim->handlers[kind](sim, (uint32_t)payload);
	return true;
}

/** Does what @line says. Returns false with *@error, or without one if it is nothing that can be done now. */
static bool order_follow(struct replay_shared *shared, const char *line, GError **error)
{
	uint64_t a, b, c;

	if (sscanf(line, "issue %" SCNu64, &a) == 1)
		return order_issue(shared, a, error);
	if (sscanf(line, REPLAY_ASK " %" SCNu64, &a) == 1)
		return order_ask(shared, a);
	if (sscanf(line, "post %" SCNu64, &a) == 1)
		return order_post(shared, a);
	if (sscanf(line, "take %" SCNu64 " %" SCNu64 " %" SCNu64, &a, &b, &c) == 3)
		return order_take(shared, a, b, c);
	if (sscanf(line, "timer %" SCNu64 " %" SCNu64, &a, &b) == 2)
		return order_fire(shared, a, b);
	return false;
}

/* The file that is followed. */
struct replay_following {
	struct input *input;
	char *line;	 /* the next; NULL: it was not read yet */
	uint64_t number; /* of it */
	GError *error;	 /* of reading it */
};

/** Returns the next line, which is the next still; NULL: there is none, or it cannot be read. */
static const char *order_next(struct replay_following *following)
{
	const char *line;
	size_t len;

	if (following->line || following->error ||
	    input_line(following->input, &line, &len, &following->error) <= 0)
		return following->line;
	following->line = g_strndup(line, len);
	following->number = input_line_number(following->input);
	return following->line;
}

bool replay_follows_ask(struct replay_shared *shared, const struct replay_request *rr)
{
	const char *line = order_next(shared->following);
	uint64_t slot;

	if (!line || sscanf(line, REPLAY_ASK_AT_ONCE " %" SCNu64, &slot) != 1 || slot != rr->slot)
		return false;
	g_clear_pointer(&shared->following->line, g_free);
	return true;
}

/** Does what all lines say. */
static bool order_follow_all(struct replay_shared *shared, GError **error)
{
	struct replay_following *following = shared->following;
	const char *path = shared->options->order;
	GError *own = NULL;

	while (order_next(following)) {
		g_autofree char *line = g_steal_pointer(&following->line);
		uint64_t number = following->number;

		if (number == 1 ? strcmp(line, ORDER_HEAD) == 0 : order_follow(shared, line, &own))
			continue;
		if (!own)
			sim_error_line(&own, path, number, "not what can come next in this run: %s", line);
		g_propagate_error(error, own);
		return false;
	}
	if (!following->error)
		return true;
	g_propagate_error(error, g_steal_pointer(&following->error));
	return false;
}

bool replay_follow(struct replay_shared *shared, GError **error)
{
	struct replay_following following = {.input = input_open(shared->options->order, error)};
	bool followed;

	if (!following.input)
		return false;
	shared->following = &following;
	followed = order_follow_all(shared, error);
	shared->following = NULL;
	input_close(following.input);
	g_free(following.line);
	g_clear_error(&following.error);
	return followed;
}
