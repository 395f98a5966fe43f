/* SPDX-License-Identifier: MIT */
#include "sim/verify/verify.h"

#include "sim/verify/calls.h"
#include "sim/verify/dumps.h"
#include "sim/verify/given.h"

/* How far the order is looked for when the ops differ already. */
#define STEPS_DIFFERENT (VERIFY_ORDER_STEPS_DEFAULT / 20)

static char *order_text(const struct verify_order *order, const struct verify_call *call)
{
	const char *end = order->end == VERIFY_ORDER_CONTRADICTION
				  ? "no order of the calls that overlap explains it"
				  : "no order was found that explains it";

	if (call->kind != VERIFY_ALLOC || order->failed_pfn == call->pfn)
		return g_strdup_printf("another address from here on: %s", end);
	return g_strdup_printf("the allocator to answer 0x%" G_GINT64_MODIFIER "x: %s", order->failed_pfn,
			       end);
}

/** What the allocator may not hand out: as recorded, else as the machine has it. */
static GArray *reserved_ranges(const struct verify_recording *recording, const struct machine_config *config)
{
	GArray *ranges = g_array_copy(recording->reserved);

	for (unsigned i = 0; !recording->reserved->len && i < config->reserved_count; i++) {
		struct verify_range range = {config->reserved[i].first / FRAME_SIZE,
					     config->reserved[i].last / FRAME_SIZE};

		g_array_append_val(ranges, range);
	}
	return ranges;
}

/** Looks for an order in which our allocator gives the recorded addresses. */
static bool verify_addresses(const struct verify_recording *recording, const struct machine_config *config,
			     struct verify_calls *calls, const char *given, struct verify_result *result,
			     GError **error)
{
	const struct verify_machine *machine = &recording->machine;
	g_autoptr(GArray) reserved = reserved_ranges(recording, config);
	const struct verify_order_start start = {.granule_bytes = machine->granule,
						 .start_pfn = machine->start_pfn,
						 .cpus = machine->cpus,
						 .version = (enum kernel_version)config->version,
						 .reserved =
							 (const struct verify_range *)(void *)reserved->data,
						 .reserved_count = reserved->len};
	uint64_t steps = result->first.found ? STEPS_DIFFERENT : VERIFY_ORDER_STEPS_DEFAULT;
	struct verify_order order;

	if (given) {
		g_autoptr(GArray) in_turn = verify_given_read(calls, given, error);

		if (!in_turn)
			return false;
		verify_given_check(&start, calls, in_turn, &order);
	} else {
		verify_order_find(&start, (const struct verify_call *)(void *)calls->calls->data,
				  calls->calls->len, steps, &order);
	}
	result->count[VERIFY_IOVA] =
		(struct verify_count){order.recorded + order.undecidable, order.predicted, order.undecidable};
	result->choices += order.choices;
	result->split = order.split;
	result->calls = calls->calls->len;
	result->explained = order.end == VERIFY_ORDER_SOLVED ? calls->calls->len : order.failed;
	/* Where the calls were not recorded, their bounds are wide, and the search may not get through. */
	if (order.end == VERIFY_ORDER_BUDGET && !machine->kinds[KEVENT_IOVA_ALLOC])
		result->count[VERIFY_IOVA].undecided = order.recorded + order.undecidable - order.predicted;
	else if (order.end != VERIFY_ORDER_SOLVED && order.failed < calls->calls->len)
		verify_differs(
			result, g_array_index(calls->events, uint32_t, order.failed),
			order_text(&order, &g_array_index(calls->calls, struct verify_call, order.failed)));
	verify_order_finish(&order);
	return true;
}

bool verify(const struct verify_recording *recording, const struct verify_options *options,
	    struct verify_result *ret_result, GError **error)
{
	struct verify_dumps *dumps = NULL;
	struct verify_calls calls;
	bool ok;
	struct verify_model *model;

	*ret_result = (struct verify_result){0};
	if (options->snapshots) {
		dumps = verify_dumps_read(recording, options->snapshots, error);
		if (!dumps)
			return false;
	}
	model = verify_model_new(recording, options->config, ret_result, error);
	if (!model) {
		verify_dumps_free(dumps);
		return false;
	}
	if (recording->machine.kinds[KEVENT_IOVA_ALLOC]) {
		verify_calls_init(&calls, recording);
	} else {
		verify_calls_init_empty(&calls);
		verify_model_collect(model, &calls);
	}
	for (unsigned i = 0; dumps && i < verify_dumps_count(dumps); i++) {
		verify_model_run(model, verify_dump_event(dumps, i));
		verify_dump_compare(dumps, i, verify_model_domain(model), ret_result);
	}
	verify_model_run(model, recording->event_count);
	verify_model_free(model);
	verify_dumps_free(dumps);
	if (!recording->machine.kinds[KEVENT_IOVA_ALLOC])
		verify_calls_sort(&calls);
	ok = verify_addresses(recording, options->config, &calls, options->order, ret_result, error);
	verify_calls_finish(&calls);
	return ok;
}

void verify_result_clear(struct verify_result *result)
{
	g_free(result->first.text);
}

static void set(struct machine_config *config, const char *assignment)
{
	bool ok = machine_config_set(config, assignment, NULL);

	g_assert(ok);
}

void verify_configure(const struct verify_recording *recording, struct machine_config *config)
{
	const struct verify_machine *machine = &recording->machine;

	if (machine->scatter_lists)
		set(config, "kernel.version=6.1");
	if (machine->lazy)
		set(config, "iommu.mode=lazy");
	if (machine->caching_mode)
		set(config, "iommu.caching-mode=yes");
	if (machine->forcedac)
		set(config, "iommu.forcedac=yes");
	if (machine->limit_pfn > UINT32_MAX / machine->granule && machine->limit_pfn < UINT64_C(1) << 27)
		set(config, "iommu.levels=3");
}
