/* SPDX-License-Identifier: MIT */
#include "sim/machine/machine.h"

#include <errno.h>
#include <string.h>

#include "blockdma/snapshot.h"
#include "devtree/device/snapshot.h"
#include "iommu/dma/snapshot.h"

const struct fault_table *const machine_fault_tables[] = {
	&iova_fault_table, &iommu_fault_table, &dma_fault_table, &nvme_fault_table, &controller_fault_table,
	&devtree_fault_table, NULL,
};

/** Runs what a timer, @name, does as a step of @cpu, for nobody's request. */
static void machine_timer(struct machine *machine, unsigned cpu, const char *name,
			  void (*run)(struct machine *machine, uint32_t payload), uint32_t payload)
{
	struct sim *sim = machine->sim;
	uint64_t actor = sim->actor, begun_ns;
	const char *device = sim->device;

	sim->actor = 0;
	sim->device = machine->name;
	sim_step_begin(sim, cpu, sim->now_ns);
	begun_ns = sim_cursor_ns(sim);
	run(machine, payload);
	sim_step_end(sim, begun_ns);
	SIM_TOOK(sim, .what = SPAN_TIMER, .from_ps = begun_ns * 1000, .name = name);
	sim->actor = actor;
	sim->device = device;
}

/** Returns the controller that has domain @domain. */
static struct machine *machine_of_domain(struct machine *first, uint32_t domain)
{
	struct machine *machine = first;

	while (MACHINE_DOMAIN + machine->number != domain)
		machine = machine->next;
	return machine;
}

static void machine_depot_work(struct machine *machine, uint32_t payload)
{
	iova_depot_work(machine->iovad, payload & 7);
}

static void machine_depot_timer(struct sim *sim, uint32_t payload)
{
	machine_timer(machine_of_domain(sim->handler_data[EVENT_DEPOT], payload >> 3), 0, "depot timer",
		      machine_depot_work, payload);
}

static void machine_flush(struct machine *machine, uint32_t payload)
{
	fq_timeout(machine->dev.fq);
}

static void machine_flush_timer(struct sim *sim, uint32_t payload)
{
	struct machine *machine = machine_of_domain(sim->handler_data[EVENT_FLUSH], payload);

	machine_timer(machine, fq_timer_cpu(machine->dev.fq), "flush queue timer", machine_flush, payload);
}

struct machine *machine_new(const struct machine_config *config, unsigned cpus, struct fault_rules *rules)
{
	struct machine *machine = g_new0(struct machine, 1);
	struct sim *sim = sim_new(cpus, config->seed);

	machine->sim = sim;
	machine->first = machine;
	g_strlcpy(machine->name, MACHINE_DEVICE, sizeof(machine->name));
	machine->config = *config;
	machine->queues = config->queues ? (unsigned)config->queues : cpus;
	behaviour_set_version(sim, (enum kernel_version)config->version);
	for (unsigned row = 0; row < BEHAVIOURS; row++)
		sim->behaviour[row] = (uint8_t)machine_config_behaviour(config, (enum behaviour)row);
	for (unsigned kind = 0; kind < WORK_KINDS; kind++)
		sim->cost_ps[kind] = (uint32_t)config->cost_ns[kind] * 1000;
	sim->device = MACHINE_DEVICE;
	if (config->board)
		physmem_move(&sim->mem, config->board->memory_base);
	if (config->board)
		machine->board = board_new_in(sim, config->board->tree);
	else
		ledger_new(sim);
	sim_handle(sim, EVENT_DEPOT, machine_depot_timer, machine);
	sim_handle(sim, EVENT_FLUSH, machine_flush_timer, machine);
	if (rules)
		fault_rules_arm(rules, sim);
	return machine;
}

struct machine *machine_add(struct machine *first)
{
	struct machine *machine = g_new0(struct machine, 1), *last = first;

	g_assert(!first->board);
	g_assert(!first->nvme);
	while (last->next)
		last = last->next;
	last->next = machine;
	machine->first = first;
	machine->number = last->number + 1;
	g_assert(machine->number < MACHINE_CONTROLLERS_MAX);
	g_snprintf(machine->name, sizeof(machine->name), "nvme%u", machine->number);
	machine->sim = first->sim;
	machine->config = first->config;
	machine->queues = first->queues;
	return machine;
}

/** Frees what is one controller's. */
static void machine_free_one(struct machine *machine)
{
	nvme_free(machine->nvme);
	if (machine->has_dev) {
		fq_free(machine->dev.fq);
		dma_device_finish(&machine->dev);
	}
	iova_domain_free(machine->iovad);
	iommu_domain_free(machine->domain);
	iotlb_free(machine->device_tlb);
}

void machine_free(struct machine *machine)
{
	struct machine *next;

	if (!machine)
		return;
	for (struct machine *at = machine; at; at = at->next)
		machine_free_one(at);
	swiotlb_free(machine->swiotlb);
	iommu_free(machine->iommu);
	if (machine->board)
		board_free(machine->board);
	else
		ledger_free(machine->sim);
	sim_free(machine->sim);
	for (; machine; machine = next) {
		next = machine->next;
		g_free(machine);
	}
}

/** Keeps the IOVAs from @first to @last from being handed out. */
static int machine_reserve(struct machine *machine, uint64_t first, uint64_t last)
{
	unsigned granule_lg2 = iommu_granule_lg2(machine->domain);
	uint64_t lo, hi;

	return iova_reserve(machine->iovad, first >> granule_lg2, last >> granule_lg2, &lo, &hi) ? 0 : -ENOMEM;
}

/** iommu_dma_init_domain: allocator, caches, then what must not be handed out. */
static int machine_init_iova(struct machine *machine, const char **reterr_step)
{
	const struct machine_config *config = &machine->config;
	unsigned granule_lg2 = iommu_granule_lg2(machine->domain);
	struct dma_p2p_window p2p;
	int err = 0;

	machine->iovad = iova_domain_new(machine->sim, 1u << granule_lg2, 1, machine->domain->id, EVENT_DEPOT);
	if (config->allocator == ALLOCATOR_TREE)
		iova_set_tree_only(machine->iovad);
	else
		err = iova_rcaches_init(machine->iovad);
	if (err) {
		*reterr_step = "IOVA caches";
		return err;
	}
	for (unsigned i = 0; i < config->reserved_count && !err; i++)
		err = machine_reserve(machine, config->reserved[i].first, config->reserved[i].last);
	/* iova_reserve_pci_windows: what an address on the bus reaches without the IOMMU is nobody's IOVA. */
	if (!err && machine_config_p2p(config, &p2p))
		err = machine_reserve(machine, p2p.first + p2p.bus_offset, p2p.last + p2p.bus_offset);
	if (err)
		*reterr_step = "reserved regions";
	return err;
}

/** Returns the IOMMU that all controllers are behind; the first asks for it. NULL: it cannot be had. */
static struct iommu *machine_iommu(struct machine *machine)
{
	const struct machine_config *config = &machine->config;
	static const struct iommu_hw_config usual = {0};
	struct iotlb_config tlb;
	struct iommu *iommu;

	if (machine->first->iommu)
		return machine->first->iommu;
	machine_config_tlb(config, &tlb);
	iommu = iommu_new_config(machine->sim, machine_config_hardware(config),
				 config->board ? &config->board->hw_config : &usual, &tlb);
	if (iommu)
		iommu->caching_mode = config->caching_mode;
	return iommu;
}

static int machine_attach(struct machine *machine, const char **reterr_step)
{
	const struct machine_config *config = &machine->config;
	const struct iotlb_config device_tlb = {.entries = (uint32_t)config->ats_entries,
						.ways = (uint32_t)config->ats_ways};
	struct pgtable_config pgtable = {.ias_bits = 12 + 9 * (unsigned)config->levels,
					 .oas_bits = 52,
					 .top_level = (unsigned)config->levels - 1};
	int err;

	machine->iommu = machine_iommu(machine);
	if (!machine->iommu) {
		*reterr_step = "IOMMU";
		return -EINVAL;
	}
	err = iommu_domain_new(machine->iommu, MACHINE_DOMAIN + machine->number, &pgtable, &machine->domain);
	if (err) {
		*reterr_step = "IOMMU domain";
		return err;
	}
	err = iommu_domain_attach(machine->domain);
	if (err) {
		*reterr_step = "attachment to the IOMMU";
		return err;
	}
	if (config->ats)
		machine->domain->device_tlb = machine->device_tlb = iotlb_new(&device_tlb);
	return machine_init_iova(machine, reterr_step);
}

/* Who holds the device from discovery to removal: (holder, function that takes the reference, function that drops it). Each
 * controller is a group of its own. */
static const struct {
	const char *holder, *get, *put;
} machine_holders[] = {
	{"bus pci", "pci_device_add", "pci_stop_and_remove_bus_device"},
	{"iommu group", "iommu_group_add_device", "__iommu_group_remove_device"},
	{"driver nvme", "nvme_probe", "nvme_remove"},
};

#define MACHINE_GROUP 1 /* which of these is numbered */

/** Returns the name of a holder; free with g_free(). */
static char *machine_holder(const struct machine *machine, unsigned i)
{
	if (i == MACHINE_GROUP)
		return g_strdup_printf("%s %u", machine_holders[i].holder, MACHINE_DOMAIN + machine->number);
	return g_strdup(machine_holders[i].holder);
}

static void machine_hold(struct machine *machine)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(machine_holders); i++) {
		g_autofree char *holder = machine_holder(machine, i);

		ledger_get(machine->sim, machine->name, holder, machine_holders[i].get);
	}
}

static void machine_release(struct machine *machine)
{
	for (unsigned i = G_N_ELEMENTS(machine_holders); i-- > 0;) {
		g_autofree char *holder = machine_holder(machine, i);

		ledger_put(machine->sim, machine->name, holder, machine_holders[i].put);
	}
}

/** Returns the last IOVA that the page table can hold. */
static uint64_t machine_aperture_end(const struct iommu_domain *domain)
{
	return UINT64_MAX >> (64 - domain->pt->config.ias_bits);
}

/** Returns bounce buffers for a device that may come to need them, or NULL. All controllers share them. */
static struct swiotlb *machine_swiotlb(const struct machine *machine)
{
	const struct machine_config *config = &machine->config;
	const struct swiotlb_config swiotlb = {.base = MACHINE_SWIOTLB_BASE,
					       .slots = (uint32_t)(config->swiotlb_bytes / SWIOTLB_SLOT_BYTES),
					       .slot_bytes = SWIOTLB_SLOT_BYTES,
					       .run_max = SWIOTLB_RUN_MAX};
	bool beyond_reach = !machine_config_translates(config) && config->dma_bits < 64;

	if (machine->first->swiotlb)
		return machine->first->swiotlb;
	return swiotlb.slots && (config->untrusted || beyond_reach) ? swiotlb_new(&swiotlb) : NULL;
}

/** Brings the board up. Returns whether the controller has an IOMMU then: an error on the way leaves it without. */
static bool machine_boot(struct machine *machine)
{
	const struct machine_board *config = machine->config.board;
	const struct device_core *core = machine->board->core;
	const struct platform_iommu *platform;
	struct sim *sim = machine->sim;
	int err;

	board_boot(machine->board, NULL);
	sim->device = MACHINE_DEVICE;
	if (machine_board_iommu(core, config->nvme, &platform))
		return true;
	err = device_by_path(core, config->nvme)->iommu_error;
	if (config->hw)
		sim_find(sim, FINDING_UNTRANSLATED, NULL, "%s is behind %s, and does its DMA without it (%s)",
			 config->nvme, config->iommu, device_errno_name(err));
	else
		sim_find(sim, FINDING_UNTRANSLATED, NULL, "%s has no IOMMU that takes it (%s), and does its DMA without",
			 config->nvme, device_errno_name(err));
	return false;
}

static int machine_probe_one(struct machine *machine, bool timed, const char **reterr_step)
{
	const struct machine_config *config = &machine->config;
	struct dma_config dma = {.name = machine->name,
				 .mask = UINT64_MAX >> (64 - config->dma_bits),
				 .forcedac = config->forcedac,
				 .incoherent = !config->coherent,
				 .untrusted = config->untrusted,
				 .min_align_mask = NVME_PAGE - 1};
	struct nvme_config nvme = {.io_queues = machine->queues + (unsigned)config->poll_queues,
				   .poll_queues = (unsigned)config->poll_queues,
				   .depth = (unsigned)config->depth,
				   .sgl = config->sgl,
				   .sgl_threshold = (uint32_t)config->sgl_threshold,
				   .hmb_preferred = config->hmb_preferred,
				   .hmb_min = config->hmb_min,
				   .hmb_desc_min = config->hmb_desc_min,
				   .hmb_descs_max = (unsigned)config->hmb_descs_max,
				   .hmb_limit = config->hmb_limit,
				   .acl = (unsigned)config->acl,
				   .crdt = (unsigned)config->crdt,
				   .meta_bytes = (unsigned)config->meta_bytes,
				   .meta_sgl = config->meta_sgl,
				   .mdts = (unsigned)config->mdts,
				   .shadow_doorbells = config->shadow_doorbells,
				   .logical_block_bytes = (uint32_t)config->logical_block_bytes};
	bool translated = machine->board ? machine_boot(machine) : true;
	int err = 0;

	machine_config_p2p(config, &dma.p2p);
	machine->sim->device = machine->name;
	machine_hold(machine);
	if (translated && machine_config_translates(config))
		err = machine_attach(machine, reterr_step);
	if (err)
		goto release;
	if (machine->domain)
		dma.aperture_end = machine_aperture_end(machine->domain);
	dma.swiotlb = machine->swiotlb = machine_swiotlb(machine);
	dma_device_init(&machine->dev, machine->sim, &dma, machine->domain, machine->iovad);
	machine->has_dev = true;
	/* An IOMMU in caching mode makes the driver go strict, whatever was asked for; and others always are. */
	if (machine->domain && config->iommu_mode == IOMMU_LAZY && !config->caching_mode &&
	    machine->iommu->ops->deferred_flush)
		machine->dev.fq =
			fq_new(machine->domain, machine->iovad, config->flush_queue == FLUSH_QUEUE_SINGLE,
			       1000000000 / config->hz, EVENT_FLUSH, machine->domain->id);
	err = nvme_new(machine->sim, &machine->dev, &nvme, &machine->nvme);
	if (err) {
		*reterr_step = "NVMe admin queue";
		goto release;
	}
	/* Fewer than wanted, where one could not be had. */
	machine->queues = machine->nvme->queue_count - 1;
	machine->ctrl = (struct controller){
		.nvme = machine->nvme,
		.iotlb = timed,
		.stream = config->board ? config->board->stream : machine->number,
		.faults = {.status = (uint16_t)config->fault_status,
			   .dnr = config->fault_dnr,
			   .loss = (enum controller_loss)config->lost_completion}};
	return 0;

release:
	machine_release(machine);
	return err;
}

int machine_probe(struct machine *machine, bool timed, const char **reterr_step)
{
	int err = 0;

	machine->sim->timed = timed;
	for (; machine && !err; machine = machine->next)
		err = machine_probe_one(machine, timed, reterr_step);
	return err;
}

/* ---- removal ---- */

static void machine_report_pool(struct machine *machine, const struct dma_pool *pool)
{
	if (pool->in_use)
		sim_find(machine->sim, FINDING_LEAK, pool->name, "%u blocks of %u bytes were never freed",
			 pool->in_use, pool->block_bytes);
}

static void machine_report_live(void *data, const struct dma_live *live)
{
	struct machine *machine = data;
	g_autofree char *taken = dma_live_text(live);
	uint64_t mapped = 0;

	for (uint64_t at = 0; at < live->len_bytes; at += FRAME_SIZE)
		if (iommu_iova_to_phys(machine->domain, live->iova + at))
			mapped += FRAME_SIZE;
	sim_find(machine->sim, FINDING_LEAK, taken,
		 "IOVA 0x%" G_GINT64_MODIFIER "x, %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT
		 " of them still mapped",
		 live->iova, live->len_bytes, mapped);
}

/** Unbinds the driver from one controller. */
static void machine_remove_one(struct machine *machine)
{
	struct sim *sim = machine->sim;

	sim->actor = 0;
	sim->cpu = 0;
	sim->device = machine->name;
	machine_report_pool(machine, &machine->nvme->small_pool);
	machine_report_pool(machine, &machine->nvme->large_pool);
	if (machine->nvme->dma_vecs)
		sim_find(sim, FINDING_LEAK, "nvme_pci_prp_save_mapping", "%u vector tables were never freed",
			 machine->nvme->dma_vecs);
	g_clear_pointer(&machine->nvme, nvme_free);
	if (machine->domain)
		dma_live_each(&machine->dev, machine_report_live, machine);
	machine_release(machine);
}

void machine_remove(struct machine *machine)
{
	struct sim *sim = machine->sim;

	if (!machine->nvme)
		return;
	for (struct machine *at = machine; at; at = at->next)
		if (at->nvme)
			machine_remove_one(at);
	sim->device = machine->name;
	if (machine->swiotlb && machine->swiotlb->stats.in_use)
		sim_find(sim, FINDING_LEAK, "swiotlb_tbl_map_single", "%u bounce slots were never freed",
			 machine->swiotlb->stats.in_use);
	for (unsigned use = FRAME_NVME_QUEUE; use < FRAME_USES; use++)
		g_assert(sim->mem.in_use[use] == 0);
	if (machine->board)
		board_down(machine->board);
	else
		ledger_report_leaks(sim);
}

/* ---- snapshots ---- */

/** The header: the version, the simulated time, and what differs from the default machine. */
static bool machine_snapshot_write(struct machine *machine, const char *path,
				   const struct snapshot_source *sources, GError **error)
{
	g_autofree char *time = g_strdup_printf("%" G_GUINT64_FORMAT, machine->sim->now_ns);
	g_auto(GStrv) changes = machine_config_changes(&machine->config);
	g_autoptr(GPtrArray) header = g_ptr_array_new();

	g_ptr_array_add(header, (char *)"kernel.version");
	g_ptr_array_add(header, (char *)kernel_version_names[machine->config.version]);
	g_ptr_array_add(header, (char *)"time_ns");
	g_ptr_array_add(header, time);
	for (char **change = changes; *change; change += 2) {
		if (strcmp(change[0], "kernel.version") == 0)
			continue;
		g_ptr_array_add(header, change[0]);
		g_ptr_array_add(header, change[1]);
	}
	g_ptr_array_add(header, NULL);
	return snapshot_write(path, machine->sim, (const char *const *)header->pdata, sources, error);
}

/** Adds @section of each controller: they stand together, as one. */
static void machine_add_sources(GArray *sources, struct machine *machine, const struct snapshot_section *section)
{
	for (; machine; machine = machine->next) {
		const struct snapshot_source source = {section, section == &nvme_section ? (void *)machine->nvme
											 : &machine->dev};

		g_array_append_val(sources, source);
	}
}

/** Adds what is of the whole simulation. */
static void machine_add_own(GArray *sources, const struct machine *machine)
{
	const struct snapshot_source own[] = {{&device_section, machine->board ? machine->board->core : NULL},
					      {&ledger_section, NULL},
					      {&machine_behaviour_section, NULL},
					      {&machine_fault_section, NULL},
					      {&machine_violation_section, NULL}};

	g_array_append_vals(sources, own, G_N_ELEMENTS(own));
}

bool machine_snapshot(struct machine *machine, const char *path, const struct snapshot_source *requests,
		      GError **error)
{
	g_autoptr(GArray) sources = g_array_new(TRUE, FALSE, sizeof(struct snapshot_source));

	machine_add_sources(sources, machine, &dma_domain_section);
	machine_add_sources(sources, machine, &dma_iova_section);
	machine_add_sources(sources, machine, &dma_mapping_section);
	machine_add_sources(sources, machine, &dma_pgtable_section);
	machine_add_sources(sources, machine, &dma_iotlb_section);
	machine_add_sources(sources, machine, &nvme_section);
	if (requests)
		g_array_append_vals(sources, requests, 1);
	machine_add_own(sources, machine);
	return machine_snapshot_write(machine, path, (const void *)sources->data, error);
}

bool machine_snapshot_left(struct machine *machine, const char *path, GError **error)
{
	g_autoptr(GArray) sources = g_array_new(TRUE, FALSE, sizeof(struct snapshot_source));

	machine_add_sources(sources, machine, &dma_domain_section);
	machine_add_sources(sources, machine, &dma_held_section);
	machine_add_sources(sources, machine, &dma_mapping_section);
	machine_add_sources(sources, machine, &dma_pgtable_section);
	machine_add_own(sources, machine);
	return machine_snapshot_write(machine, path, (const void *)sources->data, error);
}
