/* SPDX-License-Identifier: MIT */
/*
 * What the model does, as the events that it would be, and how that compares.
 */
#include <errno.h>

#include "sim/verify/model-internal.h"

/* Which events are compared, as what; and whether their order among each other tells. Calls are seen at their entry by a probe
 * and at their return by a trace event, so those do not. Returns that say nothing new still have their place. */
static const struct {
	bool compared, ordered;
	enum verify_class class;
} kinds[KEVENT_KINDS] = {
	[KEVENT_IOVA_ALLOC] = {true, true, VERIFY_REQUESTS},
	[KEVENT_IOVA_ALLOC_RET] = {false, true, VERIFY_CLASSES},
	[KEVENT_IOVA_FREE] = {true, true, VERIFY_FREES},
	[KEVENT_IOVA_FREE_RET] = {false, true, VERIFY_CLASSES},
	[KEVENT_TRY_ALLOC] = {true, false, VERIFY_CALLS},
	[KEVENT_LINK] = {true, false, VERIFY_CALLS},
	[KEVENT_DESTROY] = {true, false, VERIFY_CALLS},
	[KEVENT_MAP_NOSYNC] = {true, true, VERIFY_MAPS},
	[KEVENT_MAP_NOSYNC_RET] = {true, true, VERIFY_MAP_RESULTS},
	[KEVENT_MAP] = {true, true, VERIFY_MAPS},
	[KEVENT_UNMAP] = {true, true, VERIFY_UNMAPS},
	[KEVENT_DMA_MAP] = {true, false, VERIFY_CALLS},
	[KEVENT_DMA_MAP_CALL] = {true, false, VERIFY_CALLS},
	[KEVENT_DMA_UNMAP] = {true, false, VERIFY_CALLS},
	[KEVENT_DMA_MAP_SG] = {true, false, VERIFY_CALLS},
	[KEVENT_DMA_UNMAP_SG] = {true, false, VERIFY_CALLS},
	[KEVENT_DMA_ALLOC] = {true, false, VERIFY_COHERENT},
	[KEVENT_DMA_ALLOC_CALL] = {true, false, VERIFY_COHERENT},
	[KEVENT_DMA_FREE] = {true, false, VERIFY_COHERENT},
	[KEVENT_POOL_ALLOC] = {true, true, VERIFY_POOLS},
	[KEVENT_POOL_FREE] = {true, true, VERIFY_POOLS},
	[KEVENT_INVALIDATE] = {true, true, VERIFY_INVALIDATIONS},
	[KEVENT_INVALIDATE_MAP] = {true, true, VERIFY_INVALIDATIONS},
	[KEVENT_QI_SUBMIT] = {true, true, VERIFY_INVALIDATIONS},
};

/* ---- effects ---- */

void verify_effect_add(struct verify_model *model, enum kevent_kind kind, const struct verify_effect *fields)
{
	struct verify_effect effect = *fields;

	effect.kind = kind;
	if (model->recording->machine.kinds[kind])
		g_array_append_val(model->effects, effect);
}

static uint64_t direction_of(unsigned flags)
{
	return flags & DMA_TO_DEVICE ? 1 : 2;
}

static void heard_attempt(void *data, struct sim *sim, uint64_t granules, uint64_t limit_pfn, bool flush,
			  uint64_t pfn)
{
	VERIFY_EFFECT(data, KEVENT_IOVA_ALLOC,
		      VERIFY_HAS(KEVENT_SIZE) | VERIFY_HAS(KEVENT_LIMIT) | VERIFY_HAS(KEVENT_FLUSH),
		      [KEVENT_SIZE] = granules, [KEVENT_LIMIT] = limit_pfn, [KEVENT_FLUSH] = flush);
	VERIFY_EFFECT(data, KEVENT_IOVA_ALLOC_RET, VERIFY_HAS(KEVENT_PFN), [KEVENT_PFN] = pfn);
}

/** Lets the page table fail where the recorded kernel's did. */
static void arm_failure(struct verify_model *model)
{
	uint32_t at = model->map;

	for (; at != VERIFY_NONE && verify_event_at(model, at)->kind != KEVENT_MAP_NOSYNC_RET;
	     at = verify_event_at(model, at)->next)
		if (verify_event_at(model, at)->kind == KEVENT_FAIL_PAGE)
			break;
	if (at == VERIFY_NONE || verify_event_at(model, at)->kind != KEVENT_FAIL_PAGE)
		return;
	g_clear_pointer(&model->failure, fault_rules_free);
	model->failure = fault_rules_new((const struct fault_table *const[]){&iommu_fault_table, NULL});
	fault_rules_add_nth(model->failure, "pgtable.page", 1, -ENOMEM);
	fault_rules_arm(model->failure, model->sim);
}

static void heard_map_call(void *data, struct sim *sim, uint64_t iova, uint64_t paddr, uint64_t len,
			   unsigned prot)
{
	struct verify_model *model = data;

	VERIFY_EFFECT(
		model, KEVENT_MAP_NOSYNC,
		VERIFY_HAS(KEVENT_ADDR) | VERIFY_HAS(KEVENT_SIZE) | VERIFY_HAS(KEVENT_PADDR) |
			VERIFY_HAS(KEVENT_PROT),
		[KEVENT_ADDR] = iova, [KEVENT_SIZE] = len, [KEVENT_PADDR] = paddr, [KEVENT_PROT] = prot);
	model->map = verify_find(model->recording, model->map, KEVENT_MAP_NOSYNC);
	if (model->map == VERIFY_NONE)
		return;
	arm_failure(model);
	model->map = verify_event_at(model, model->map)->next;
}

static void heard_map_return(void *data, struct sim *sim, int err)
{
	VERIFY_EFFECT(data, KEVENT_MAP_NOSYNC_RET,
		      VERIFY_HAS(KEVENT_RET), [KEVENT_RET] = (uint64_t)(int64_t)err);
}

static void heard_map_event(void *data, struct sim *sim, uint64_t iova, uint64_t paddr, uint64_t len)
{
	VERIFY_EFFECT(data, KEVENT_MAP,
		      VERIFY_HAS(KEVENT_ADDR) | VERIFY_HAS(KEVENT_SIZE) | VERIFY_HAS(KEVENT_PADDR),
		      [KEVENT_ADDR] = iova, [KEVENT_SIZE] = len, [KEVENT_PADDR] = paddr);
}

static void heard_unmap(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len,
			uint64_t unmapped)
{
	VERIFY_EFFECT(data, KEVENT_UNMAP,
		      VERIFY_HAS(KEVENT_ADDR) | VERIFY_HAS(KEVENT_SIZE) | VERIFY_HAS(KEVENT_LEN),
		      [KEVENT_ADDR] = iova, [KEVENT_SIZE] = len, [KEVENT_LEN] = unmapped);
}

/** Moves the last effect before the descriptors that it led to: it is heard of after them. */
static void put_before_descriptors(GArray *effects)
{
	struct verify_effect effect = g_array_index(effects, struct verify_effect, effects->len - 1);
	unsigned at = effects->len - 1;

	while (at > 0 && g_array_index(effects, struct verify_effect, at - 1).kind == KEVENT_QI_SUBMIT)
		at--;
	g_array_set_size(effects, effects->len - 1);
	g_array_insert_val(effects, at, effect);
}

static void heard_invalidate(void *data, struct sim *sim, unsigned domain, uint64_t first, uint64_t last)
{
	struct verify_model *model = data;

	VERIFY_EFFECT(model, KEVENT_INVALIDATE,
		      VERIFY_HAS(KEVENT_ADDR) | VERIFY_HAS(KEVENT_LEN) | VERIFY_HAS(KEVENT_DOMAIN),
		      [KEVENT_ADDR] = first, [KEVENT_LEN] = last, [KEVENT_DOMAIN] = domain);
	if (model->recording->machine.kinds[KEVENT_INVALIDATE])
		put_before_descriptors(model->effects);
}

static void heard_sync_map(void *data, struct sim *sim, unsigned domain, uint64_t first, uint64_t last)
{
	VERIFY_EFFECT(data, KEVENT_INVALIDATE_MAP,
		      VERIFY_HAS(KEVENT_ADDR) | VERIFY_HAS(KEVENT_LEN) | VERIFY_HAS(KEVENT_DOMAIN),
		      [KEVENT_ADDR] = first, [KEVENT_LEN] = last, [KEVENT_DOMAIN] = domain);
}

static void heard_command(void *data, const void *command, size_t len)
{
	const uint64_t *qw = command;

	VERIFY_EFFECT(
		data, KEVENT_QI_SUBMIT,
		VERIFY_HAS(KEVENT_QW0) | VERIFY_HAS(KEVENT_QW1), [KEVENT_QW0] = qw[0], [KEVENT_QW1] = qw[1]);
}

static void heard_map_phys(struct verify_model *model, const struct dma_call *call)
{
	uint64_t dir = direction_of(call->flags);

	VERIFY_EFFECT(model, KEVENT_DMA_MAP,
		      VERIFY_HAS(KEVENT_ADDR) | VERIFY_HAS(KEVENT_SIZE) | VERIFY_HAS(KEVENT_PADDR) |
			      VERIFY_HAS(KEVENT_DIR),
		      [KEVENT_ADDR] = call->addr, [KEVENT_SIZE] = call->size, [KEVENT_PADDR] = call->paddr,
		      [KEVENT_DIR] = dir);
	VERIFY_EFFECT(
		model, KEVENT_DMA_MAP_CALL,
		VERIFY_HAS(KEVENT_OFFSET) | VERIFY_HAS(KEVENT_SIZE) | VERIFY_HAS(KEVENT_DIR),
		[KEVENT_OFFSET] = call->paddr % FRAME_SIZE, [KEVENT_SIZE] = call->size, [KEVENT_DIR] = dir);
}

static void heard_call(void *data, struct sim *sim, const struct dma_call *call)
{
	uint64_t dir = direction_of(call->flags);

	switch (call->kind) {
	case DMA_CALL_TRY_ALLOC:
		VERIFY_EFFECT(data, KEVENT_TRY_ALLOC, VERIFY_HAS(KEVENT_PADDR) | VERIFY_HAS(KEVENT_SIZE),
			      [KEVENT_PADDR] = call->paddr, [KEVENT_SIZE] = call->size);
		break;
	case DMA_CALL_LINK:
		VERIFY_EFFECT(data, KEVENT_LINK,
			      VERIFY_HAS(KEVENT_PADDR) | VERIFY_HAS(KEVENT_SIZE) | VERIFY_HAS(KEVENT_OFFSET) |
				      VERIFY_HAS(KEVENT_DIR),
			      [KEVENT_PADDR] = call->paddr, [KEVENT_SIZE] = call->size,
			      [KEVENT_OFFSET] = call->offset, [KEVENT_DIR] = dir);
		break;
	case DMA_CALL_DESTROY:
		VERIFY_EFFECT(data, KEVENT_DESTROY,
			      VERIFY_HAS(KEVENT_SIZE) | VERIFY_HAS(KEVENT_LEN) | VERIFY_HAS(KEVENT_DIR),
			      [KEVENT_SIZE] = call->allocated, [KEVENT_LEN] = call->size, [KEVENT_DIR] = dir);
		break;
	case DMA_CALL_MAP_PHYS:
		heard_map_phys(data, call);
		break;
	case DMA_CALL_UNMAP_PHYS:
		VERIFY_EFFECT(data, KEVENT_DMA_UNMAP,
			      VERIFY_HAS(KEVENT_ADDR) | VERIFY_HAS(KEVENT_SIZE) | VERIFY_HAS(KEVENT_DIR),
			      [KEVENT_ADDR] = call->addr, [KEVENT_SIZE] = call->size, [KEVENT_DIR] = dir);
		break;
	case DMA_CALL_MAP_SG:
		VERIFY_EFFECT(data, KEVENT_DMA_MAP_SG, VERIFY_HAS(KEVENT_DIR), [KEVENT_DIR] = dir);
		break;
	case DMA_CALL_UNMAP_SG:
		VERIFY_EFFECT(data, KEVENT_DMA_UNMAP_SG, 0, 0);
		break;
	default:
		break;
	}
}

void verify_listen(struct verify_model *model)
{
	model->observer = (struct sim_observer){.iova_attempt = heard_attempt,
						.map_call = heard_map_call,
						.map_return = heard_map_return,
						.map_event = heard_map_event,
						.unmap = heard_unmap,
						.invalidate = heard_invalidate,
						.sync_map = heard_sync_map,
						.dma_call = heard_call,
						.data = model};
	sim_observe(model->sim, &model->observer);
	model->iommu->watch.command = heard_command;
	model->iommu->watch.data = model;
}

/* ---- comparing ---- */

static char *effect_text(const struct verify_effect *effect)
{
	GString *text = g_string_new(NULL);

	kevent_append(text, effect->kind, effect->has, effect->field);
	return g_string_free(text, FALSE);
}

static bool agrees(const struct verify_event *event, const struct verify_effect *effect)
{
	uint32_t both = event->has & effect->has;

	for (unsigned i = 0; i < KEVENT_FIELDS; i++)
		if (both >> i & 1 && event->field[i] != effect->field[i])
			return false;
	return true;
}

/** Whether @event is of the domain that is looked at. */
static bool is_ours(const struct verify_model *model, const struct verify_event *event)
{
	const struct verify_machine *machine = &model->recording->machine;
	unsigned domain;

	if (verify_event_domain(event, &domain))
		return domain == machine->domain_id;
	if (event->kind != KEVENT_IOVA_ALLOC && event->kind != KEVENT_IOVA_FREE)
		return true;
	return !verify_has(event, KEVENT_OBJECT) || event->field[KEVENT_OBJECT] == machine->iovad;
}

static const struct verify_effect *next_effect(const struct verify_model *model, enum kevent_kind kind,
					       unsigned *at)
{
	for (; *at < model->effects->len; ++*at) {
		const struct verify_effect *effect =
			&g_array_index(model->effects, struct verify_effect, *at);

		if (effect->kind == kind)
			return &g_array_index(model->effects, struct verify_effect, (*at)++);
	}
	return NULL;
}

/** Compares the events of @kind from @from on with the effects of that kind. */
static void compare_kind(struct verify_model *model, uint32_t from, uint32_t last, enum kevent_kind kind)
{
	struct verify_count *count = &model->result->count[kinds[kind].class];
	const struct verify_effect *effect;
	unsigned at = 0;

	for (; from != VERIFY_NONE; from = verify_event_at(model, from)->next) {
		const struct verify_event *event = verify_event_at(model, from);

		if (event->kind != kind || !is_ours(model, event))
			continue;
		effect = next_effect(model, kind, &at);
		count->recorded++;
		if (effect && agrees(event, effect))
			count->predicted++;
		else
			verify_differs(model->result, from,
				       effect ? effect_text(effect)
					      : g_strdup_printf("no %s here", kevent_names[kind]));
	}
	while ((effect = next_effect(model, kind, &at))) {
		g_autofree char *text = NULL;

		/* What the call led to is compared itself: the probe missed it. */
		if (model->recording->machine.missed[kind] && !kinds[kind].ordered) {
			model->result->missed_calls++;
			continue;
		}
		/* One that is missing counts as recorded and not predicted, so that the class shows it. */
		count->recorded++;
		text = effect_text(effect);
		verify_differs(model->result, last, g_strdup_printf("also %s", text));
	}
}

static const struct verify_event *next_ordered(const struct verify_model *model, uint32_t *from)
{
	for (; *from != VERIFY_NONE; *from = verify_event_at(model, *from)->next)
		if (kinds[verify_event_at(model, *from)->kind].ordered &&
		    is_ours(model, verify_event_at(model, *from)))
			return verify_event_at(model, *from);
	return NULL;
}

static const struct verify_effect *next_ordered_effect(const struct verify_model *model, unsigned *at)
{
	while (*at < model->effects->len) {
		const struct verify_effect *effect =
			&g_array_index(model->effects, struct verify_effect, (*at)++);

		if (kinds[effect->kind].ordered)
			return effect;
	}
	return NULL;
}

static void compare_order(struct verify_model *model, uint32_t from, uint32_t last)
{
	const struct verify_effect *effect;
	const struct verify_event *event;
	unsigned at = 0;
	bool same;

	do {
		effect = next_ordered_effect(model, &at);
		event = next_ordered(model, &from);
		same = effect && event ? event->kind == effect->kind : !effect && !event;
		if (!same)
			verify_differs(model->result, event ? from : last,
				       g_strdup_printf(effect ? "%s %s" : "no %s %s",
						       kevent_names[effect ? effect->kind : event->kind],
						       event ? "here" : "too"));
		if (event)
			from = event->next;
	} while (same && effect);
	model->result->count[VERIFY_ORDER].recorded++;
	model->result->count[VERIFY_ORDER].predicted += same;
}

void verify_count_undecided(struct verify_model *model, uint32_t number)
{
	uint32_t at = verify_op(model->recording, number)->first;

	for (; at != VERIFY_NONE; at = verify_event_at(model, at)->next) {
		const struct verify_event *event = verify_event_at(model, at);
		struct verify_count *count = &model->result->count[kinds[event->kind].class];

		if (!kinds[event->kind].compared || !is_ours(model, event))
			continue;
		count->recorded++;
		count->undecided++;
	}
}

void verify_compare(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);

	for (unsigned kind = 0; kind < KEVENT_KINDS; kind++)
		if (kinds[kind].compared && model->recording->machine.kinds[kind])
			compare_kind(model, op->first, op->last, kind);
	compare_order(model, op->first, op->last);
}
