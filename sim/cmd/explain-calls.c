/* SPDX-License-Identifier: MIT */
#include "sim/cmd/explain-calls.h"

#include <string.h>

#include "sim/core/text.h"

#define HEX "0x%" G_GINT64_MODIFIER "x"
#define U64 "%" G_GUINT64_FORMAT

enum below_kind {
	BELOW_ATTEMPT,
	BELOW_USE_64BIT,
	BELOW_MAP,
	BELOW_TOLD,
	BELOW_UNMAP,
	BELOW_INVALIDATE,
	BELOW_QUEUED,
	BELOW_TIMER,
	BELOW_RETURN,
	BELOW_FAULT,
	BELOW_FOUND,
	BELOW_ATTACH,
	BELOW_CACHE_CLEAN,
	BELOW_CACHE_DROP,
	BELOW_CACHE_WAIT,
	BELOW_BOUNCE,
	BELOW_BOUNCE_BACK,
	BELOW_BOUNCE_FREE,
	BELOW_BOUNCE_INACTIVE,
};

static const char *const below_names[] = {
	[BELOW_ATTEMPT] = "iova_attempt",
	[BELOW_USE_64BIT] = "use_64bit",
	[BELOW_MAP] = "map",
	[BELOW_TOLD] = "iotlb_sync_map",
	[BELOW_UNMAP] = "unmap",
	[BELOW_INVALIDATE] = "invalidate",
	[BELOW_QUEUED] = "flush_queue",
	[BELOW_TIMER] = "flush_timer",
	[BELOW_RETURN] = "iova_return",
	[BELOW_FAULT] = "fault",
	[BELOW_FOUND] = "found",
	[BELOW_ATTACH] = "attach",
	[BELOW_CACHE_CLEAN] = "cache_for_device",
	[BELOW_CACHE_DROP] = "cache_for_cpu",
	[BELOW_CACHE_WAIT] = "cache_flush",
	[BELOW_BOUNCE] = "bounce_map",
	[BELOW_BOUNCE_BACK] = "bounce_sync",
	[BELOW_BOUNCE_FREE] = "bounce_unmap",
	[BELOW_BOUNCE_INACTIVE] = "bounce_inactive",
};

/** Something that a call did. Which members say something depends on the kind. */
struct explain_below {
	enum below_kind kind;
	uint64_t iova, paddr, len;
	uint64_t
		count; /* granules of an attempt; invalidation commands; bytes unmapped; ns of a timer; pass of a fault; slots */
	unsigned prot, point;
	int err;
	bool tree;   /* the attempt was served by the tree, not by a cache */
	bool copied; /* a bounce buffer that is given back */
	char *text;  /* of a finding; owned */
};

enum call_kind {
	CALL_DMA,
	CALL_COHERENT, /* a page for descriptor lists */
	CALL_FAULT,    /* of the driver itself */
	CALL_NONE,     /* what no call did: the flush queue's timer, the device */
};

struct explain_call {
	enum call_kind kind;
	struct dma_call dma;
	uint64_t iova; /* CALL_COHERENT */
	uint64_t time_ns;
	unsigned point;	    /* CALL_FAULT */
	guint first, count; /* of explain_hearing.below */
};

/* ---- hearing ---- */

static void below_clear(void *data)
{
	g_free(((struct explain_below *)data)->text);
}

static void close_call(struct explain_hearing *hearing, struct explain_call call)
{
	call.first = hearing->below_first;
	call.count = hearing->below->len - call.first;
	call.time_ns = hearing->machine->sim->now_ns;
	g_array_append_val(hearing->calls, call);
	hearing->below_first = hearing->below->len;
}

/** Looks which faults fired. One of the driver is no part of a call; those of rooms below are of the one that is under way. */
static void look_for_faults(struct explain_hearing *hearing)
{
	const struct fault_firing *firings;
	unsigned count;

	if (!hearing->rules)
		return;
	firings = fault_firings(hearing->rules, &count);
	for (; hearing->firings < count; hearing->firings++) {
		const struct fault_firing *firing = &firings[hearing->firings];
		struct explain_below below = {.kind = BELOW_FAULT,
					      .point = firing->point,
					      .count = firing->pass,
					      .err = firing->error};

		if (firing->point >= FAULT_ROOM_NVME)
			close_call(hearing, (struct explain_call){.kind = CALL_FAULT,
								  .point = firing->point,
								  .dma.err = firing->error,
								  .dma.size = firing->pass});
		else
			g_array_append_val(hearing->below, below);
	}
}

/** Returns how many invalidation commands the IOMMU got since this was last asked. */
static uint64_t new_commands(struct explain_hearing *hearing)
{
	uint64_t before = hearing->commands;

	if (hearing->machine->iommu)
		hearing->commands = hearing->machine->iommu->stats.invalidate_commands;
	return hearing->commands - before;
}

/** Looks for commands that no announced invalidation sent: they tell of what was mapped. A call for lists' memory counts as
 *  returned before it sends them. */
static void look_for_commands(struct explain_hearing *hearing)
{
	struct explain_below below = {.kind = BELOW_TOLD, .count = new_commands(hearing)};
	struct explain_call *last = NULL;

	if (!below.count)
		return;
	if (hearing->calls->len)
		last = &g_array_index(hearing->calls, struct explain_call, hearing->calls->len - 1);
	g_array_append_val(hearing->below, below);
	if (!last || last->kind != CALL_COHERENT || hearing->below_first + 1 != hearing->below->len)
		return;
	last->count++;
	hearing->below_first++;
}

static void add_below(struct explain_hearing *hearing, struct explain_below below)
{
	look_for_faults(hearing);
	if (below.kind != BELOW_INVALIDATE)
		look_for_commands(hearing);
	g_array_append_val(hearing->below, below);
}

static void heard_iova_attempt(void *data, struct sim *sim, uint64_t granules, uint64_t limit_pfn, bool flush,
			       uint64_t pfn)
{
	struct explain_hearing *hearing = data;
	uint64_t tree_allocs = iova_stats(hearing->machine->iovad)->tree_allocs;

	add_below(hearing, (struct explain_below){.kind = BELOW_ATTEMPT,
						  .count = granules,
						  .paddr = limit_pfn << FRAME_LG2,
						  .iova = pfn << FRAME_LG2,
						  .tree = tree_allocs != hearing->tree_allocs});
	hearing->tree_allocs = tree_allocs;
}

/** Memory for lists is taken as data are, but no call of the DMA interface that is announced says so: its holder does. */
static void heard_iova_alloc(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len)
{
	struct explain_hearing *hearing = data;
	struct dma_live live;

	hearing->coherent =
		dma_live_find(&hearing->machine->dev, iova, &live) && live.taker == DMA_TAKER_COHERENT;
	hearing->coherent_iova = iova;
}

static void heard_iova_free(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len)
{
	struct explain_hearing *hearing = data;

	if (hearing->machine->dev.fq)
		add_below(hearing, (struct explain_below){.kind = BELOW_QUEUED, .iova = iova, .len = len});
}

static void heard_iova_return(void *data, struct sim *sim, uint64_t pfn, uint64_t granules)
{
	struct explain_hearing *hearing = data;
	uint64_t iova = pfn << FRAME_LG2;

	/* Given up and returned at once: it never was in the queue. */
	if (hearing->below->len > hearing->below_first) {
		const struct explain_below *last =
			&g_array_index(hearing->below, struct explain_below, hearing->below->len - 1);

		if (last->kind == BELOW_QUEUED && last->iova == iova)
			g_array_set_size(hearing->below, hearing->below->len - 1);
	}
	add_below(hearing,
		  (struct explain_below){.kind = BELOW_RETURN, .iova = iova, .len = granules << FRAME_LG2});
}

static void heard_flush_timer(void *data, struct sim *sim, uint64_t delay_ns)
{
	add_below(data, (struct explain_below){.kind = BELOW_TIMER, .count = delay_ns});
}

static void heard_map(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
		      uint64_t len, unsigned prot)
{
	struct explain_hearing *hearing = data;

	add_below(hearing,
		  (struct explain_below){
			  .kind = BELOW_MAP, .iova = iova, .paddr = paddr, .len = len, .prot = prot});
	if (!hearing->coherent || iova != hearing->coherent_iova)
		return;
	close_call(hearing, (struct explain_call){.kind = CALL_COHERENT, .iova = iova, .dma.size = len});
	hearing->coherent = false;
}

static void heard_unmap(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len,
			uint64_t unmapped)
{
	add_below(data,
		  (struct explain_below){.kind = BELOW_UNMAP, .iova = iova, .len = len, .count = unmapped});
}

static void heard_invalidate(void *data, struct sim *sim, unsigned domain, uint64_t first, uint64_t last)
{
	struct explain_hearing *hearing = data;

	add_below(hearing, (struct explain_below){.kind = BELOW_INVALIDATE,
						  .iova = first,
						  .paddr = last,
						  .count = new_commands(hearing)});
}

static void heard_found(void *data, struct sim *sim, unsigned kind, const char *text)
{
	char *whole = g_strdup_printf("%s: %s", finding_kinds[kind].name, text);

	add_below(data, (struct explain_below){.kind = BELOW_FOUND, .text = whole});
}

/** Hears what the DMA layer announces of the inside of a call. Returns whether @call was that. */
static bool heard_inside(struct explain_hearing *hearing, const struct dma_call *call)
{
	static const struct {
		bool inside;
		enum below_kind kind;
	} kinds[] = {
		[DMA_CALL_USE_64BIT] = {true, BELOW_USE_64BIT},
		[DMA_CALL_DEFERRED_ATTACH] = {true, BELOW_ATTACH},
		[DMA_CALL_CACHE_FOR_DEVICE] = {true, BELOW_CACHE_CLEAN},
		[DMA_CALL_CACHE_FOR_CPU] = {true, BELOW_CACHE_DROP},
		[DMA_CALL_CACHE_FLUSH] = {true, BELOW_CACHE_WAIT},
		[DMA_CALL_BOUNCE_MAP] = {true, BELOW_BOUNCE},
		[DMA_CALL_BOUNCE_SYNC] = {true, BELOW_BOUNCE_BACK},
		[DMA_CALL_BOUNCE_UNMAP] = {true, BELOW_BOUNCE_FREE},
		[DMA_CALL_BOUNCE_INACTIVE] = {true, BELOW_BOUNCE_INACTIVE},
	};

	if (call->kind == DMA_CALL_BOUNCED) /* and the attempt itself follows */
		return true;
	if (call->kind >= G_N_ELEMENTS(kinds) || !kinds[call->kind].inside)
		return false;
	add_below(hearing,
		  (struct explain_below){.kind = kinds[call->kind].kind,
					 .iova = call->addr,
					 .paddr = call->paddr,
					 .len = call->size,
					 .count = call->slots,
					 .copied = !(call->flags & (DMA_TO_DEVICE | DMA_ATTR_SKIP_CPU_SYNC)),
					 .err = call->err});
	return true;
}

static void heard_dma_call(void *data, struct sim *sim, const struct dma_call *call)
{
	struct explain_hearing *hearing = data;

	look_for_faults(hearing);
	if (heard_inside(hearing, call))
		return;
	look_for_commands(hearing);
	close_call(hearing, (struct explain_call){.kind = CALL_DMA, .dma = *call});
	hearing->coherent = false;
}

void explain_hearing_init(struct explain_hearing *hearing, struct machine *machine, struct fault_rules *rules)
{
	*hearing = (struct explain_hearing){
		.machine = machine,
		.rules = rules,
		.calls = g_array_new(FALSE, FALSE, sizeof(struct explain_call)),
		.below = g_array_new(FALSE, FALSE, sizeof(struct explain_below)),
		.observer = {.iova_attempt = heard_iova_attempt,
			     .iova_alloc = heard_iova_alloc,
			     .iova_free = heard_iova_free,
			     .iova_return = heard_iova_return,
			     .flush_timer = heard_flush_timer,
			     .dma_call = heard_dma_call,
			     .found = heard_found,
			     .map = heard_map,
			     .unmap = heard_unmap,
			     .invalidate = heard_invalidate,
			     .data = hearing},
	};
	g_array_set_clear_func(hearing->below, below_clear);
	new_commands(hearing);
	if (machine->iovad)
		hearing->tree_allocs = iova_stats(machine->iovad)->tree_allocs;
	sim_observe(machine->sim, &hearing->observer);
}

void explain_hearing_finish(struct explain_hearing *hearing)
{
	g_clear_pointer(&hearing->calls, g_array_unref);
	g_clear_pointer(&hearing->below, g_array_unref);
}

const struct dma_call *explain_heard_call(const struct explain_hearing *hearing, enum dma_call_kind kind)
{
	for (guint i = 0; i < hearing->calls->len; i++) {
		const struct explain_call *call = &g_array_index(hearing->calls, struct explain_call, i);

		if (call->kind == CALL_DMA && call->dma.kind == kind)
			return &call->dma;
	}
	return NULL;
}

/* ---- telling ---- */

void explain_facts_hex(struct facts *facts, const char *key, uint64_t value)
{
	g_autofree char *text = g_strdup_printf(HEX, value);

	facts_text(facts, key, NULL, text);
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static const char *prot_text(unsigned prot)
{
	static const char *const texts[] = {"-", "r", "w", "rw"};

	return texts[prot & (PROT_READ | PROT_WRITE)];
}

static char *below_text(const struct explain_hearing *hearing, const struct explain_below *below)
{
	g_autofree char *len = text_size(below->len), *time = text_time(below->count);

	switch (below->kind) {
	case BELOW_ATTEMPT:
		if (!below->iova)
			return g_strdup_printf("IOVA of " U64 " granule%s up to " HEX ": none", below->count,
					       plural(below->count), below->paddr | (FRAME_SIZE - 1));
		return g_strdup_printf("IOVA of " U64 " granule%s up to " HEX ": " HEX ", from %s",
				       below->count, plural(below->count), below->paddr | (FRAME_SIZE - 1),
				       below->iova, below->tree ? "the tree" : "this CPU's cache");
	case BELOW_USE_64BIT:
		return g_strdup("none below 4 GiB: these are not tried first any more");
	case BELOW_MAP:
		return g_strdup_printf("map " HEX " -> " HEX ", %s, %s", below->iova, below->paddr, len,
				       prot_text(below->prot));
	case BELOW_TOLD:
		return g_strdup_printf("the hardware is told of what is mapped: " U64 " command%s",
				       below->count, plural(below->count));
	case BELOW_UNMAP:
		if (below->count == below->len)
			return g_strdup_printf("unmap " HEX ", %s", below->iova, len);
		return g_strdup_printf("unmap " HEX ", %s: of this " U64 " bytes were mapped", below->iova,
				       len, below->count);
	case BELOW_INVALIDATE:
		if (below->paddr == UINT64_MAX)
			return g_strdup_printf("invalidate the whole domain, " U64 " command%s", below->count,
					       plural(below->count));
		return g_strdup_printf("invalidate " HEX "-" HEX ", " U64 " command%s", below->iova,
				       below->paddr, below->count, plural(below->count));
	case BELOW_QUEUED:
		return g_strdup_printf("IOVA " HEX ", %s, into the flush queue: nothing is invalidated yet",
				       below->iova, len);
	case BELOW_TIMER:
		return g_strdup_printf("the flush queue's timer is set: %s", time);
	case BELOW_RETURN:
		return g_strdup_printf("IOVA " HEX ", %s, back to the allocator", below->iova, len);
	case BELOW_FAULT:
		return g_strdup_printf("FAULT %s, pass " U64 ": %s",
				       fault_point_get(hearing->rules, below->point)->name, below->count,
				       fault_errno_name(below->err));
	case BELOW_FOUND:
		return g_strdup_printf("FOUND %s", below->text);
	case BELOW_ATTACH:
		return g_strdup_printf("the domain is attached now, at its first use: %s",
				       below->err ? fault_errno_name(below->err) : "OK");
	case BELOW_CACHE_CLEAN:
		return g_strdup_printf("CPU caches: " HEX ", %s, written back for the device", below->paddr,
				       len);
	case BELOW_CACHE_DROP:
		return g_strdup_printf("CPU caches: " HEX ", %s, dropped for the CPU", below->paddr, len);
	case BELOW_CACHE_WAIT:
		return g_strdup("CPU caches: waited until that is done");
	case BELOW_BOUNCE:
		if (below->iova == DMA_MAPPING_ERROR)
			return g_strdup_printf("bounce " HEX ", %s: no buffer", below->paddr, len);
		return g_strdup_printf("bounce " HEX ", %s: copied to " HEX ", " U64 " slot%s", below->paddr,
				       len, below->iova, below->count, plural(below->count));
	case BELOW_BOUNCE_BACK:
		return g_strdup_printf("bounce buffer " HEX ": %s copied back", below->iova, len);
	case BELOW_BOUNCE_FREE:
		return g_strdup_printf("bounce buffer " HEX ", %s, %sfree again", below->iova, len,
				       below->copied ? "copied back, " : "");
	case BELOW_BOUNCE_INACTIVE:
		return g_strdup_printf("must bounce " HEX ", %s, and there is no buffer (machine.swiotlb)",
				       below->paddr, len);
	}
	g_assert_not_reached();
}

static void tell_below(struct explain_hearing *hearing, struct facts *facts,
		       const struct explain_below *below, bool shown)
{
	g_autofree char *text = below_text(hearing, below);
	bool has_len = below->kind == BELOW_MAP || below->kind == BELOW_UNMAP ||
		       below->kind == BELOW_RETURN || below->kind == BELOW_QUEUED;
	bool inside = below->kind >= BELOW_CACHE_CLEAN;

	if (shown)
		facts_line(facts, "       %s", text);
	facts_begin(facts, NULL, NULL);
	facts_text(facts, "what", NULL, below_names[below->kind]);
	facts_text(facts, "text", NULL, text);
	if (below->kind == BELOW_ATTEMPT || has_len)
		explain_facts_hex(facts, "iova", below->iova);
	if (below->kind == BELOW_MAP)
		explain_facts_hex(facts, "pa", below->paddr);
	if (below->kind == BELOW_MAP)
		facts_text(facts, "prot", NULL, prot_text(below->prot));
	if (inside && below->paddr)
		explain_facts_hex(facts, "pa", below->paddr);
	if (inside && below->iova && below->iova != DMA_MAPPING_ERROR)
		explain_facts_hex(facts, "bounce", below->iova);
	if (has_len || (inside && below->len))
		facts_u64(facts, "len_bytes", NULL, below->len);
	if (below->kind == BELOW_UNMAP)
		facts_u64(facts, "unmapped_bytes", NULL, below->count);
	if (below->kind == BELOW_INVALIDATE || below->kind == BELOW_TOLD)
		facts_u64(facts, "commands", NULL, below->count);
	facts_end(facts);
}

/** A call's name, arguments and answer; *@ret_name is the name alone. */
static char *dma_text(const struct dma_call *call, const char **ret_name)
{
	g_autofree char *size = text_size(call->size), *allocated = text_size(call->allocated);
	const char *err = call->err ? fault_errno_name(call->err) : "0";

	switch (call->kind) {
	case DMA_CALL_TRY_ALLOC:
		*ret_name = "dma_iova_try_alloc";
		return call->addr ? g_strdup_printf("phys=" HEX ", size=%s) -> " HEX, call->paddr, size,
						    call->addr)
				  : g_strdup_printf("phys=" HEX ", size=%s) -> none", call->paddr, size);
	case DMA_CALL_LINK:
		*ret_name = "dma_iova_link";
		return g_strdup_printf("phys=" HEX ", offset=" HEX ", size=%s) -> %s", call->paddr,
				       call->offset, size, err);
	case DMA_CALL_SYNC:
		*ret_name = "dma_iova_sync";
		return g_strdup_printf("offset=" HEX ", size=%s) -> %s", call->offset, size, err);
	case DMA_CALL_DESTROY:
		*ret_name = "dma_iova_destroy";
		return g_strdup_printf("mapped=%s), of %s", size, allocated);
	case DMA_CALL_MAP_PHYS:
		*ret_name = "dma_map_phys";
		return call->addr == DMA_MAPPING_ERROR
			       ? g_strdup_printf("phys=" HEX ", size=%s) -> DMA_MAPPING_ERROR", call->paddr,
						 size)
			       : g_strdup_printf("phys=" HEX ", size=%s) -> " HEX, call->paddr, size,
						 call->addr);
	case DMA_CALL_UNMAP_PHYS:
		*ret_name = "dma_unmap_phys";
		return g_strdup_printf("addr=" HEX ", size=%s)", call->addr, size);
	case DMA_CALL_MAP_SG:
		*ret_name = "dma_map_sg";
		return call->err
			       ? g_strdup_printf("first phys=" HEX ", size=%s) -> %s", call->paddr, size, err)
			       : g_strdup_printf("first phys=" HEX ", size=%s) -> " HEX, call->paddr, size,
						 call->addr);
	case DMA_CALL_UNMAP_SG:
		*ret_name = "dma_unmap_sg";
		return g_strdup_printf("addr=" HEX ", size=%s)", call->addr, size);
	case DMA_CALL_BUS_ADDR:
		*ret_name = "p2p_bus_addr";
		return g_strdup_printf("phys=" HEX ") -> " HEX, call->paddr, call->addr);
	case DMA_CALL_VEC_ALLOC:
		*ret_name = "mempool_alloc";
		return g_strdup_printf(") of a record of mappings -> %s", err);
	default:
		g_assert_not_reached(); /* the inside of a call */
	}
}

/** What a call is, for people. *@ret_name is what it is called. */
static char *call_text(const struct explain_hearing *hearing, const struct explain_call *call,
		       const char *others, const char **ret_name)
{
	g_autofree char *size = text_size(call->dma.size), *rest = NULL, *time = text_time(call->time_ns);
	const struct fault_point *point;

	switch (call->kind) {
	case CALL_DMA:
		rest = dma_text(&call->dma, ret_name);
		return g_strdup_printf("%s(%s", *ret_name, rest);
	case CALL_COHERENT:
		*ret_name = "dma_alloc_coherent";
		return g_strdup_printf("dma_alloc_coherent(%s) -> " HEX
				       ": the pool of lists had no free block",
				       size, call->iova);
	case CALL_FAULT:
		point = fault_point_get(hearing->rules, call->point);
		*ret_name = "fault";
		return g_strdup_printf("FAULT %s, pass " U64 ": %s, %s", point->name, call->dma.size,
				       point->sees, fault_errno_name(call->dma.err));
	case CALL_NONE:
		*ret_name = "none";
		return call->time_ns ? g_strdup_printf("%s, after %s", others, time) : g_strdup(others);
	}
	g_assert_not_reached();
}

static void tell_call(struct explain_hearing *hearing, struct facts *facts, guint number,
		      const struct explain_call *call, const char *others, bool shown)
{
	const char *name;
	g_autofree char *text = call_text(hearing, call, others, &name);

	if (shown)
		facts_line(facts, "%3u  %s", number, text);
	facts_begin(facts, NULL, NULL);
	facts_text(facts, "call", NULL, name);
	facts_text(facts, "text", NULL, text);
	if (call->kind == CALL_DMA) {
		if (call->dma.paddr)
			explain_facts_hex(facts, "pa", call->dma.paddr);
		if (call->dma.addr)
			explain_facts_hex(facts, "addr", call->dma.addr);
		facts_u64(facts, "offset_bytes", NULL, call->dma.offset);
		facts_u64(facts, "size_bytes", NULL, call->dma.size);
		facts_u64(facts, "errno", NULL, (uint64_t)-call->dma.err);
	}
	facts_list_begin(facts, "below", NULL);
	for (guint i = 0; i < call->count; i++)
		tell_below(hearing, facts,
			   &g_array_index(hearing->below, struct explain_below, call->first + i), shown);
	facts_list_end(facts);
	facts_end(facts);
}

static bool calls_alike(const struct explain_hearing *hearing, guint a, guint b)
{
	const struct explain_call *x = &g_array_index(hearing->calls, struct explain_call, a),
				  *y = &g_array_index(hearing->calls, struct explain_call, b);

	if (x->kind != CALL_DMA || y->kind != CALL_DMA || x->dma.kind != y->dma.kind || x->dma.err ||
	    y->dma.err || x->count != y->count)
		return false;
	for (guint i = 0; i < x->count; i++) {
		enum below_kind kind = g_array_index(hearing->below, struct explain_below, y->first + i).kind;

		if (g_array_index(hearing->below, struct explain_below, x->first + i).kind != kind ||
		    kind == BELOW_FAULT || kind == BELOW_FOUND)
			return false;
	}
	return true;
}

/* Of a run of at least so many calls alike only the first two and the last are shown. */
#define ALIKE_MIN 6

/** Returns where the run of calls alike that begins at @first ends, exclusively. */
static guint run_end(const struct explain_hearing *hearing, guint first)
{
	guint end = first + 1;

	while (end < hearing->calls->len && calls_alike(hearing, first, end))
		end++;
	return end;
}

bool explain_has_calls(struct explain_hearing *hearing)
{
	look_for_faults(hearing);
	return hearing->calls->len || hearing->below->len;
}

void explain_tell_calls(struct explain_hearing *hearing, struct facts *facts, const char *key,
			const char *label, const char *others, bool all)
{
	look_for_faults(hearing);
	look_for_commands(hearing);
	if (hearing->below_first < hearing->below->len)
		close_call(hearing, (struct explain_call){.kind = CALL_NONE});
	facts_list_begin(facts, key, label);
	for (guint first = 0, end; first < hearing->calls->len; first = end) {
		bool shorten;

		end = run_end(hearing, first);
		shorten = !all && end - first >= ALIKE_MIN;
		for (guint i = first; i < end; i++) {
			if (shorten && i == first + 2)
				facts_line(facts, "     ... %u more like these (--all shows them)",
					   end - first - 3);
			tell_call(hearing, facts, i + 1,
				  &g_array_index(hearing->calls, struct explain_call, i), others,
				  !shorten || i < first + 2 || i + 1 == end);
		}
	}
	facts_list_end(facts);
	g_array_set_size(hearing->calls, 0);
	g_array_set_size(hearing->below, 0);
	hearing->below_first = 0;
	hearing->coherent = false;
}
