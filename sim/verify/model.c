/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "iommu/hw/hw.h"
#include "sim/behaviour/behaviour.h"
#include "sim/core/error.h"
#include "sim/verify/model-internal.h"

#define DEPTH 1024 /* of the driver's queues; more requests in flight are an error in the recording */

const char *const verify_class_names[VERIFY_CLASSES] = {
	[VERIFY_IOVA] = "iova",
	[VERIFY_REQUESTS] = "iova requests",
	[VERIFY_FREES] = "iova frees",
	[VERIFY_CALLS] = "dma calls",
	[VERIFY_MAPS] = "maps",
	[VERIFY_MAP_RESULTS] = "map results",
	[VERIFY_UNMAPS] = "unmaps",
	[VERIFY_INVALIDATIONS] = "invalidations",
	[VERIFY_POOLS] = "pools",
	[VERIFY_COHERENT] = "coherent",
	[VERIFY_ORDER] = "order within ops",
	[VERIFY_TABLES] = "page-table entries",
	[VERIFY_TABLES_LOADED] = "page-table entries under load",
};

void verify_differs(struct verify_result *result, uint32_t event, char *text)
{
	if (result->first.found && result->first.event <= event) {
		g_free(text);
		return;
	}
	g_free(result->first.text);
	result->first = (struct verify_difference){.found = true, .event = event, .text = text};
}

struct iommu_domain *verify_model_domain(const struct verify_model *model)
{
	return model->domain;
}

/* ---- the allocator's answers ---- */

/** Returns the next address in the op, from event *@at on, that @event tells the allocator gave; 0 when it has no more. */
static uint64_t next_address(const struct verify_model *model, uint32_t *at, enum kevent_kind kind,
			     uint64_t bytes)
{
	uint64_t iova;

	*at = verify_find(model->recording, *at, kind);
	if (*at == VERIFY_NONE)
		return 0;
	iova = verify_event_at(model, *at)->field[KEVENT_ADDR] & -(uint64_t)FRAME_SIZE;
	/* A list is mapped piece by piece into one range. */
	do
		*at = verify_find(model->recording, verify_event_at(model, *at)->next, kind);
	while (*at != VERIFY_NONE && verify_event_at(model, *at)->field[KEVENT_ADDR] - iova < bytes);
	return iova == (DMA_MAPPING_ERROR & -(uint64_t)FRAME_SIZE) ? 0 : iova;
}

/** The same for a recording without the allocator's own events: what is mapped, or else unmapped later, tells. */
static uint64_t mapped_address(struct verify_model *model, uint64_t bytes)
{
	const enum kevent_kind tells[] = {KEVENT_MAP_NOSYNC, KEVENT_MAP,
					  model->sharing ? KEVENT_DMA_ALLOC : KEVENT_DMA_MAP};
	const struct verify_op *op = verify_op(model->recording, model->op);

	for (unsigned i = 0; i < G_N_ELEMENTS(tells); i++)
		if (verify_find(model->recording, model->answer, tells[i]) != VERIFY_NONE)
			return next_address(model, &model->answer, tells[i], bytes);
	if (op->kind != VERIFY_OP_SUBMIT || op->partner == VERIFY_NONE)
		return 0;
	if (model->undo == VERIFY_NONE)
		model->undo = verify_op(model->recording, op->partner)->first;
	return next_address(model, &model->undo, KEVENT_UNMAP, bytes);
}

static void collect(struct verify_model *model, uint32_t op, uint32_t from, const struct verify_call *call)
{
	if (model->calls)
		verify_calls_add(model->calls, model->recording, op, model->call_count++, from, call);
}

void verify_model_collect(struct verify_model *model, struct verify_calls *calls)
{
	model->calls = calls;
}

/** Returns what the allocator gave this op next, 0 when it failed or the recording has no more. */
static uint64_t recorded_alloc(void *data, uint64_t size, uint64_t limit_pfn, bool flush)
{
	struct verify_model *model = data;
	uint64_t pfn;

	if (!model->recording->machine.kinds[KEVENT_IOVA_ALLOC_RET]) {
		pfn = mapped_address(model, size * FRAME_SIZE) / FRAME_SIZE;
		/* An address above what was asked for comes of a later attempt. */
		if (pfn > limit_pfn)
			pfn = 0;
		collect(model, model->op, verify_op(model->recording, model->op)->first,
			&(const struct verify_call){.kind = VERIFY_ALLOC,
						    .pages = size,
						    .limit_pfn = limit_pfn,
						    .flush = flush,
						    .pfn = pfn});
		return pfn;
	}
	model->answer = verify_find(model->recording, model->answer, KEVENT_IOVA_ALLOC_RET);
	if (model->answer == VERIFY_NONE)
		return 0;
	pfn = verify_event_at(model, model->answer)->field[KEVENT_PFN];
	model->answer = verify_event_at(model, model->answer)->next;
	return pfn;
}

static void recorded_free(void *data, uint64_t pfn, uint64_t size)
{
	struct verify_model *model = data;
	uint32_t op = model->flushing ? model->flush : model->op,
		 from = verify_op(model->recording, op)->first, unmap;

	unmap = verify_find(model->recording, from, KEVENT_UNMAP);
	if (!model->flushing && unmap != VERIFY_NONE)
		from = unmap;
	collect(model, op, from, &(const struct verify_call){.kind = VERIFY_FREE, .pages = size, .pfn = pfn});
	VERIFY_EFFECT(
		data, KEVENT_IOVA_FREE,
		VERIFY_HAS(KEVENT_PFN) | VERIFY_HAS(KEVENT_SIZE), [KEVENT_PFN] = pfn, [KEVENT_SIZE] = size);
	VERIFY_EFFECT(data, KEVENT_IOVA_FREE_RET, 0, 0);
}

static const struct iova_recorded_ops recorded_ops = {.alloc = recorded_alloc, .free = recorded_free};

/* ---- running ---- */

static void op_begin(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);
	uint32_t at;

	model->op = number;
	model->answer = model->map = model->block = op->first;
	model->undo = VERIFY_NONE;
	g_array_set_size(model->effects, 0);
	model->sim->cpu = op->cpu;
	model->sim->actor = number + 1;
	model->sim->now_ns = verify_event_at(model, op->first)->time_ns;
	/* Another CPU may have found out since. */
	at = verify_find(model->recording, op->first, KEVENT_IOVA_ALLOC);
	if (!model->dev.config.forcedac && at != VERIFY_NONE &&
	    behaves(model->sim, IOVA_32BIT_RETRY) == IOVA_32BIT_STICKY)
		model->dev.try_32bit = at < model->gave_up;
}

/** Returns the event at which it showed that there is no address below 4 GiB: from then on none is asked for. */
static uint32_t find_gave_up(const struct verify_recording *recording)
{
	for (uint32_t i = 0; i < recording->event_count; i++) {
		const struct verify_event *event = &recording->events[i];
		uint32_t answer;

		if (event->kind != KEVENT_IOVA_ALLOC || event->op == VERIFY_NONE ||
		    event->field[KEVENT_FLUSH] || event->field[KEVENT_OBJECT] != recording->machine.iovad)
			continue;
		answer = verify_find(recording, event->next, KEVENT_IOVA_ALLOC_RET);
		if (answer != VERIFY_NONE && !recording->events[answer].field[KEVENT_PFN])
			return answer;
	}
	return VERIFY_NONE;
}

static void op_end(struct verify_model *model, uint32_t number, bool known)
{
	if (known)
		verify_compare(model, number);
	else
		verify_count_undecided(model, number);
	fault_rules_arm(NULL, model->sim);
	g_clear_pointer(&model->failure, fault_rules_free);
}

static void run_op(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);
	bool known = true;

	op_begin(model, number);
	switch (op->kind) {
	case VERIFY_OP_SUBMIT:
		verify_submit(model, number);
		break;
	case VERIFY_OP_COMPLETE:
		verify_complete(model, number);
		break;
	case VERIFY_OP_COHERENT:
		verify_shared_alloc(model, op->first, op->bytes);
		break;
	case VERIFY_OP_RELEASE:
		verify_release(model, number);
		break;
	case VERIFY_OP_OTHER:
		known = verify_other(model, number);
		break;
	default:
		break;
	}
	op_end(model, number, known);
}

static void run_due(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);
	uint32_t freed, flush;

	if (op->kind == VERIFY_OP_FLUSH) {
		verify_flush_begin(model, number);
		return;
	}
	if (!model->dev.fq || !verify_op_queues(op)) {
		run_op(model, number);
		return;
	}
	/* Where this op gives back what was queued, the flush that covers it is over. */
	freed = verify_find(model->recording, op->first, KEVENT_IOVA_FREE);
	flush = verify_op_flush(model->recording, op);
	if (freed < flush)
		verify_flush_notice(model);
	if (flush != VERIFY_NONE) {
		verify_flush_hold(model, number);
		model->queuing[op->cpu] = number;
	}
	run_op(model, number);
}

void verify_model_run(struct verify_model *model, uint32_t end)
{
	for (; model->at < MIN(end, model->recording->event_count); model->at++) {
		if (model->at >= model->notice)
			verify_flush_notice(model);
		verify_queue_last(model, model->at);
		verify_flush_go(model, model->at);
		for (uint32_t op = model->due[model->at]; op != VERIFY_NONE; op = model->due_next[op])
			run_due(model, op);
	}
	if (model->at == model->recording->event_count && model->flush != VERIFY_NONE)
		verify_flush_end(model);
}

/* ---- the machine ---- */

static int build(struct verify_model *model, const struct machine_config *config)
{
	const struct verify_machine *machine = &model->recording->machine;
	struct pgtable_config pgtable = {.ias_bits = 12 + 9 * (unsigned)config->levels,
					 .oas_bits = 52,
					 .top_level = (unsigned)config->levels - 1};
	struct nvme_config nvme = {.io_queues = MAX(machine->queues, 1),
				   .depth = DEPTH,
				   .sgl = config->sgl,
				   .sgl_threshold = (uint32_t)config->sgl_threshold,
				   .logical_block_bytes = (uint32_t)config->logical_block_bytes};
	struct dma_config dma = {.name = "nvme0",
				 .mask = UINT64_MAX >> (64 - config->dma_bits),
				 .forcedac = config->forcedac,
				 .min_align_mask = NVME_PAGE - 1};
	struct iotlb_config tlb;
	int err;

	machine_config_tlb(config, &tlb);
	model->iommu = iommu_new(model->sim, machine_config_hardware(config), &tlb);
	model->iommu->caching_mode = config->caching_mode;
	err = iommu_domain_new(model->iommu, machine->domain_id, &pgtable, &model->domain);
	if (!err)
		err = iommu_domain_attach(model->domain);
	if (err)
		return err;
	model->iovad =
		iova_domain_new(model->sim, FRAME_SIZE, machine->start_pfn, machine->domain_id, EVENT_KINDS);
	iova_set_recorded(model->iovad, &recorded_ops, model);
	dma.aperture_end = UINT64_MAX >> (64 - model->domain->pt->config.ias_bits);
	dma_device_init(&model->dev, model->sim, &dma, model->domain, model->iovad);
	if (config->iommu_mode == IOMMU_LAZY && !config->caching_mode)
		model->dev.fq = fq_new(model->domain, model->iovad, config->flush_queue == FLUSH_QUEUE_SINGLE,
				       1000000000 / config->hz, 0, machine->domain_id);
	verify_memory_init(model);
	return nvme_new(model->sim, &model->dev, &nvme, &model->nvme);
}

struct verify_model *verify_model_new(const struct verify_recording *recording,
				      const struct machine_config *config, struct verify_result *result,
				      GError **error)
{
	struct verify_model *model = g_new0(struct verify_model, 1);
	int err;

	model->recording = recording;
	model->result = result;
	model->flush = model->notice = VERIFY_NONE;
	model->sim = sim_new(recording->machine.cpus, config->seed);
	behaviour_set_version(model->sim, (enum kernel_version)config->version);
	for (unsigned row = 0; row < BEHAVIOURS; row++)
		model->sim->behaviour[row] = (uint8_t)machine_config_behaviour(config, (enum behaviour)row);
	model->effects = g_array_new(FALSE, FALSE, sizeof(struct verify_effect));
	model->flush_effects = g_array_new(FALSE, FALSE, sizeof(struct verify_effect));
	model->small_blocks = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	model->large_blocks = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	model->flights = g_hash_table_new_full(NULL, NULL, NULL, verify_flight_free);
	model->shared = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, verify_shared_free);
	model->pools = verify_pools_new(recording, result);
	model->queuing = g_new(uint32_t, recording->machine.cpus);
	memset(model->queuing, 0xff, recording->machine.cpus * sizeof(uint32_t));
	verify_plan(model);
	model->gave_up = find_gave_up(recording);
	err = build(model, config);
	if (err) {
		sim_error_plain(error, "%s: the machine cannot be made: %s", recording->path,
				g_strerror(-err));
		verify_model_free(model);
		return NULL;
	}
	verify_listen(model);
	return model;
}

void verify_model_free(struct verify_model *model)
{
	if (!model)
		return;
	if (model->sim)
		model->sim->observers = NULL;
	nvme_free(model->nvme);
	if (model->dev.sim) {
		fq_free(model->dev.fq);
		dma_device_finish(&model->dev);
	}
	iova_domain_free(model->iovad);
	iommu_domain_free(model->domain);
	if (model->iommu)
		iommu_free(model->iommu);
	g_hash_table_unref(model->flights);
	g_hash_table_unref(model->shared);
	verify_pools_free(model->pools);
	g_array_unref(model->effects);
	g_array_unref(model->flush_effects);
	g_array_unref(model->small_blocks);
	g_array_unref(model->large_blocks);
	g_clear_pointer(&model->failure, fault_rules_free);
	g_free(model->queuing);
	g_free(model->due);
	g_free(model->due_next);
	sim_free(model->sim);
	g_free(model);
}
