/* SPDX-License-Identifier: MIT */
/*
 * The flush queues' timer, whose flush takes its time while others unmap.
 */
#include "sim/verify/model-internal.h"

/* ---- flushes ---- */

/** Lets @run act for the timer's flush, whose effects are kept apart from those of ops that run meanwhile. */
static void flush_act(struct verify_model *model, void (*run)(struct verify_model *model, uint32_t at),
		      uint32_t at)
{
	GArray *effects = model->effects;
	unsigned cpu = model->sim->cpu;

	model->effects = model->flush_effects;
	model->sim->cpu = verify_op(model->recording, model->flush)->cpu;
	model->flushing = true;
	run(model, at);
	model->flushing = false;
	model->effects = effects;
	model->sim->cpu = cpu;
}

void verify_flush_notice(struct verify_model *model)
{
	model->notice = VERIFY_NONE;
	if (model->dev.fq)
		fq_hold(model->dev.fq, false);
}

void verify_queue_last(struct verify_model *model, uint32_t at)
{
	uint32_t number = model->queuing[verify_event_at(model, at)->cpu];

	if (number == VERIFY_NONE || verify_op(model->recording, number)->last != at)
		return;
	model->sim->cpu = verify_event_at(model, at)->cpu;
	fq_queued_now(model->dev.fq);
	model->queuing[model->sim->cpu] = VERIFY_NONE;
}

void verify_flush_hold(struct verify_model *model, uint32_t number)
{
	const struct verify_recording *recording = model->recording;
	const struct verify_op *op = verify_op(recording, number);
	uint32_t freed = verify_find(recording, verify_op_flush(recording, op), KEVENT_IOVA_FREE);

	fq_hold(model->dev.fq, true);
	model->notice = MIN(freed, verify_event_at(model, op->last)->follows);
}

/** Whether the model has given back what the event at @at says, in this flush. */
static bool flush_has(const struct verify_model *model, uint32_t at)
{
	for (unsigned i = model->effects->len; i-- > 0;) {
		const struct verify_effect *effect = &g_array_index(model->effects, struct verify_effect, i);

		if (effect->kind == KEVENT_IOVA_FREE &&
		    effect->field[KEVENT_PFN] == verify_event_at(model, at)->field[KEVENT_PFN])
			return true;
	}
	return false;
}

/** Something is given back in the recording: the next ring that has it as its oldest is emptied. */
static void flush_step(struct verify_model *model, uint32_t at)
{
	uint64_t oldest;

	if (verify_event_at(model, at)->kind != KEVENT_IOVA_FREE)
		return;
	if (flush_has(model, at))
		return;
	for (unsigned ring = model->flush_ring; ring < fq_ring_count(model->dev.fq); ring++) {
		if (!fq_ring_oldest(model->dev.fq, ring, &oldest) ||
		    oldest != verify_event_at(model, at)->field[KEVENT_PFN])
			continue;
		model->flush_ring = ring + 1;
		fq_timeout_ring(model->dev.fq, ring);
		return;
	}
}

static void flush_last(struct verify_model *model, uint32_t at)
{
	for (; model->flush_ring < fq_ring_count(model->dev.fq); model->flush_ring++)
		fq_timeout_ring(model->dev.fq, model->flush_ring);
	verify_compare(model, model->flush);
}

static void flush_first(struct verify_model *model, uint32_t at)
{
	fq_timeout_flush(model->dev.fq);
}

void verify_flush_end(struct verify_model *model)
{
	flush_act(model, flush_last, 0);
	model->flush = VERIFY_NONE;
}

void verify_flush_begin(struct verify_model *model, uint32_t number)
{
	const struct verify_event *first = verify_event_at(model, verify_op(model->recording, number)->first);
	unsigned domain = model->recording->machine.domain_id;

	verify_event_domain(first, &domain);
	if (!model->dev.fq || domain != model->recording->machine.domain_id) {
		verify_count_undecided(model, number);
		return;
	}
	if (model->flush != VERIFY_NONE)
		verify_flush_end(model);
	model->flush = number;
	verify_flush_hold(model, number);
	model->flush_ring = 0;
	g_array_set_size(model->flush_effects, 0);
	flush_act(model, flush_first, 0);
}

void verify_flush_go(struct verify_model *model, uint32_t at)
{
	if (model->flush == VERIFY_NONE)
		return;
	if (verify_event_at(model, verify_op(model->recording, model->flush)->last)->follows <= at)
		verify_flush_end(model);
	else if (verify_event_at(model, at)->op == model->flush)
		flush_act(model, flush_step, at);
}
