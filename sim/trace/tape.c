/* SPDX-License-Identifier: MIT */
#include "sim/trace/tape.h"

struct tape_step {
	enum io_step step;
	struct io_complete complete; /* of IO_COMPLETE */
	struct io_record record;     /* its segments are the tape's */
};

struct tape {
	GPtrArray *steps; /* of struct tape_step */
	guint at;
};

static void tape_step_free(void *data)
{
	struct tape_step *step = data;

	g_free(step->record.segments);
	g_free(step);
}

struct tape *tape_new(void)
{
	struct tape *tape = g_new0(struct tape, 1);

	tape->steps = g_ptr_array_new_with_free_func(tape_step_free);
	return tape;
}

void tape_free(struct tape *tape)
{
	if (!tape)
		return;
	g_ptr_array_unref(tape->steps);
	g_free(tape);
}

void tape_add(struct tape *tape, enum io_step step, const struct io_record *record,
	      const struct io_complete *complete)
{
	struct tape_step *copy = g_new0(struct tape_step, 1);

	copy->step = step;
	copy->record = *record;
	copy->record.segments =
		g_memdup2(record->segments, record->segment_count * sizeof(struct io_segment));
	if (step == IO_COMPLETE)
		copy->complete = *complete;
	g_ptr_array_add(tape->steps, copy);
}

enum io_step tape_play(struct tape *tape, const struct io_record **ret_record,
		       struct io_complete *ret_complete)
{
	const struct tape_step *step;

	if (tape->at == tape->steps->len)
		return IO_END;
	step = g_ptr_array_index(tape->steps, tape->at++);
	*ret_record = &step->record;
	if (step->step == IO_COMPLETE)
		*ret_complete = step->complete;
	return step->step;
}

void tape_rewind(struct tape *tape)
{
	tape->at = 0;
}
