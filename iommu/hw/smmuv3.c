/* SPDX-License-Identifier: MIT */

/*
 * Arm SMMUv3, stage 1 or stage 2.
 *
 * Unmap: pages are gathered as long as they are of one size and lie side by side; the sync sends a TLBI command for the
 * whole range, or for each run of at most 31 * 2^n pages, or, without range invalidation, for each page, and then a
 * CMD_SYNC. A table that is freed is invalidated at once, walk caches included. Map: nothing. Sources:
 * drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c of Linux 7.0, pagetable-facts section 5; Arm System Memory Management Unit
 * Architecture Specification, version 3 (IHI 0070), sections 4.3, 4.4 and 4.7.3 (commands), 5.2 and 5.4 (structures),
 * 6 (registers), 7.3 (events).
 */
#include <errno.h>
#include <string.h>

#include "iommu/hw/hw.h"
#include "iommu/hw/smmuv3.h"
#include "iommu/pgtable/arm-registers.h"

#define CMDQ_PROD 0x98
#define EVTQ_CONS 0x100ac
#define EVENT	  0x20000 /* the record's quadwords, which the hardware writes into memory */

/* The queues are as long as the driver can allocate them, 4 MiB: hardware seldom sets a lower limit. */
#define CMDQ_LG2 18
#define EVTQ_LG2 17

#define CMD_QWORDS 2

enum opcode {
	CMD_PREFETCH_CONFIG = 0x01,
	CMD_CFGI_STE = 0x03,
	CMD_CFGI_CD = 0x05,
	CMD_TLBI_NH_ASID = 0x11,
	CMD_TLBI_NH_VA = 0x12,
	CMD_TLBI_S12_VMALL = 0x28,
	CMD_TLBI_S2_IPA = 0x2a,
	CMD_SYNC = 0x46,
};

/* Where fields begin. */
#define CMD_SID_LG2	   32
#define CMD_CFGI_LEAF	   UINT64_C(1) /* quadword 1 */
#define CMD_TLBI_NUM_LG2   12
#define CMD_TLBI_SCALE_LG2 20
#define CMD_TLBI_VMID_LG2  32
#define CMD_TLBI_ASID_LG2  48
#define CMD_TLBI_LEAF	   UINT64_C(1) /* quadword 1, and these too: */
#define CMD_TLBI_TTL_LG2   8
#define CMD_TLBI_TG_LG2	   10
#define CMD_TLBI_ADDRESS   (~UINT64_C(0xfff))

#define CMD_TLBI_NUM_MAX   31u
#define CMD_TLBI_SCALE_MAX 31u

/* Completion tells by an event (CS = 2), inner shareable and write-back where it would tell by a write. */
#define CMD_SYNC_EVENT (UINT64_C(2) << 12 | UINT64_C(3) << 22 | UINT64_C(0xf) << 24)

#define BATCH_MAX 64 /* commands made known at once */

/* A look ten times, then after 1, 2, 4 … microseconds ten times more, one second long. */
#define SYNC_TRIES	200
#define SYNC_TIMEOUT_NS (UINT64_C(1000) * 1000 * 1000)

#define STREAM 0 /* one stands for all that are attached */

struct smmuv3 {
	unsigned stage;
	bool ranges;
	uint32_t cmdq_prod, evtq_cons; /* index, and above it a bit that turns with each round */
};

static struct smmuv3 *smmuv3(const struct iommu *iommu)
{
	return iommu->state;
}

static int smmuv3_init(struct iommu *iommu, const struct iommu_hw_config *config)
{
	struct smmuv3 *smmu = iommu->state;

	smmu->stage = config->stage ? config->stage : 1;
	smmu->ranges = !(config->features & SMMUV3_NO_RANGES);
	return smmu->stage <= 2 ? 0 : -EINVAL;
}

static const struct pgtable_ops *smmuv3_domain_format(const struct iommu *iommu)
{
	return smmuv3(iommu)->stage == 1 ? &arm_64_lpae_s1_ops : &arm_64_lpae_s2_ops;
}

static void smmuv3_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	config->ias_bits = 48;
	config->oas_bits = 48;
	config->quirks = 0;
	config->incoherent = false;
}

/* Structures in memory. */

#define CD_EPD1	    (UINT64_C(1) << 30) /* no walks from TTBR1 */
#define CD_V	    (UINT64_C(1) << 31)
#define CD_IPS_LG2  32
#define CD_AA64	    (UINT64_C(1) << 41)
#define CD_R	    (UINT64_C(1) << 45) /* faults are recorded */
#define CD_A	    (UINT64_C(1) << 46) /* and answered with an abort */
#define CD_ASET	    (UINT64_C(1) << 47)
#define CD_ASID_LG2 48
#define CD_TTB_MASK UINT64_C(0x000ffffffffffff0)

/** How tables are read, which the descriptor and VTCR have in the same bits. */
static uint64_t walk_fields(const struct lpae_control *control)
{
	return control->size | control->inner << 8 | control->outer << 10 | control->shareability << 12;
}

void smmuv3_context_descriptor(const struct iommu_domain *domain, uint64_t ret_entry[SMMUV3_ENTRY_QWORDS])
{
	struct lpae_control control;

	lpae_control(domain->pt, &control);
	memset(ret_entry, 0, SMMUV3_ENTRY_QWORDS * sizeof(*ret_entry));
	ret_entry[0] = walk_fields(&control) | control.granule << 6 | (uint64_t)control.width << CD_IPS_LG2 |
		       (uint64_t)domain->id << CD_ASID_LG2 | CD_EPD1 | CD_V | CD_AA64 | CD_R | CD_A | CD_ASET;
	ret_entry[1] = pgtable_root(domain->pt) & CD_TTB_MASK;
	ret_entry[3] = LPAE_MAIR;
}

#define STE_V		   (UINT64_C(1) << 0)
#define STE_STAGE1	   (UINT64_C(5) << 1)
#define STE_STAGE2	   (UINT64_C(6) << 1)
#define STE_CONTEXT_MASK   UINT64_C(0x000fffffffffffc0)
#define STE_S1DSS_SSID0	   (UINT64_C(2) << 0) /* quadword 1: without a substream, the first context */
#define STE_S1CIR_WBRA	   (UINT64_C(1) << 2)
#define STE_S1COR_WBRA	   (UINT64_C(1) << 4)
#define STE_S1CSH_INNER	   (UINT64_C(3) << 6)
#define STE_SHCFG_INCOMING (UINT64_C(1) << 44)
#define STE_VTCR_LG2	   32 /* quadword 2 */
#define STE_S2AA64	   (UINT64_C(1) << 51)
#define STE_S2PTW	   (UINT64_C(1) << 54)
#define STE_S2R		   (UINT64_C(1) << 58)
#define STE_TTB_MASK	   UINT64_C(0x000ffffffffffff0)

void smmuv3_stream_entry(const struct iommu_domain *domain, uint64_t context,
			 uint64_t ret_entry[SMMUV3_ENTRY_QWORDS])
{
	struct lpae_control control;
	uint64_t vtcr;

	memset(ret_entry, 0, SMMUV3_ENTRY_QWORDS * sizeof(*ret_entry));
	if (smmuv3(domain->iommu)->stage == 1) {
		ret_entry[0] = STE_V | STE_STAGE1 | (context & STE_CONTEXT_MASK);
		ret_entry[1] = STE_S1DSS_SSID0 | STE_S1CIR_WBRA | STE_S1COR_WBRA | STE_S1CSH_INNER;
		return;
	}
	lpae_control(domain->pt, &control);
	vtcr = walk_fields(&control) | control.start << 6 | control.granule << 14 | control.width << 16;
	ret_entry[0] = STE_V | STE_STAGE2;
	ret_entry[1] = STE_SHCFG_INCOMING;
	ret_entry[2] = domain->id | vtcr << STE_VTCR_LG2 | STE_S2AA64 | STE_S2PTW | STE_S2R;
	ret_entry[3] = pgtable_root(domain->pt) & STE_TTB_MASK;
}

/* The command queue. */

/** Commands that are in the queue and not yet made known. */
struct batch {
	struct iommu *iommu;
	unsigned count;
};

/** There is no lock, but who makes commands known waits for those who reserved their place before, and all share the index. */
static void batch_publish(struct batch *batch)
{
	struct smmuv3 *smmu = batch->iommu->state;

	sim_lock(batch->iommu->sim, &batch->iommu->queue_lock);
	smmu->cmdq_prod = (smmu->cmdq_prod + batch->count) & ((2u << CMDQ_LG2) - 1);
	iommu_writel(batch->iommu, CMDQ_PROD, smmu->cmdq_prod);
	sim_unlock(batch->iommu->sim, &batch->iommu->queue_lock);
	batch->count = 0;
}

static void batch_put(struct batch *batch, uint64_t qword0, uint64_t qword1)
{
	const uint64_t command[CMD_QWORDS] = {qword0, qword1};

	iommu_command(batch->iommu, command, sizeof(command));
	batch->count++;
}

static void batch_add(struct batch *batch, uint64_t qword0, uint64_t qword1)
{
	if (batch->count == BATCH_MAX)
		batch_publish(batch);
	batch_put(batch, qword0, qword1);
}

/** Ends @batch with a CMD_SYNC and waits for it: arm_smmu_cmdq_issue_cmdlist(). The callers do not look at the answer,
 * so that the pages are used again whether or not the hardware let them go. */
static int batch_sync(struct batch *batch)
{
	struct iommu *iommu = batch->iommu;
	const struct smmuv3 *smmu = iommu->state;
	uint32_t at = (smmu->cmdq_prod + batch->count) & ((2u << CMDQ_LG2) - 1), cons = smmu->cmdq_prod;
	int err;

	batch_put(batch, CMD_SYNC | CMD_SYNC_EVENT, 0);
	batch_publish(batch);
	err = iommu_poll(iommu, SYNC_TRIES, SYNC_TIMEOUT_NS);
	if (err)
		sim_find(iommu->sim, FINDING_KERNEL_WARNING, NULL,
			 "CMD_SYNC timeout at 0x%08x [hwprod 0x%08x, hwcons 0x%08x]", at, smmu->cmdq_prod,
			 cons);
	return err;
}

/* Invalidation. */

/** Returns the opcode of a TLBI by address, with the tag of @domain. */
static uint64_t tlbi_address(const struct iommu_domain *domain)
{
	if (smmuv3(domain->iommu)->stage == 1)
		return CMD_TLBI_NH_VA | (uint64_t)domain->id << CMD_TLBI_ASID_LG2;
	return CMD_TLBI_S2_IPA | (uint64_t)domain->id << CMD_TLBI_VMID_LG2;
}

static void smmuv3_flush_domain(struct iommu_domain *domain)
{
	struct batch batch = {domain->iommu, 0};

	if (smmuv3(domain->iommu)->stage == 1)
		batch_add(&batch, CMD_TLBI_NH_ASID | (uint64_t)domain->id << CMD_TLBI_ASID_LG2, 0);
	else
		batch_add(&batch, CMD_TLBI_S12_VMALL | (uint64_t)domain->id << CMD_TLBI_VMID_LG2, 0);
	domain->iommu->stats.invalidate_commands++;
	if (batch_sync(&batch) == 0)
		iotlb_invalidate_domain(domain->iommu->tlb, domain->id);
}

/** One command for each @granule. Returns where the last one ends. */
static uint64_t add_granules(struct batch *batch, const struct iommu_domain *domain, uint64_t iova,
			     uint64_t size, uint64_t granule, bool leaf)
{
	uint64_t at;

	for (at = iova; at < iova + size; at += granule) {
		batch_add(batch, tlbi_address(domain), (at & CMD_TLBI_ADDRESS) | (leaf ? CMD_TLBI_LEAF : 0));
		batch->iommu->stats.invalidate_commands++;
	}
	return at;
}

/** The same with as few commands as ranges allow. With @leaf, @granule is the size of each page. */
static uint64_t add_ranges(struct batch *batch, const struct iommu_domain *domain, uint64_t iova,
			   uint64_t size, uint64_t granule, bool leaf)
{
	unsigned page_lg2 = (unsigned)__builtin_ctzll(domain->pt->page_sizes), scale, num;
	unsigned granule_lg2 = 63 - (unsigned)__builtin_clzll(granule);
	uint64_t pages = size >> page_lg2, at = iova,
		 common = (uint64_t)(page_lg2 - 10) / 2 << CMD_TLBI_TG_LG2;

	if (leaf)
		common |= CMD_TLBI_LEAF | (uint64_t)(4 - (granule_lg2 - 3) / (page_lg2 - 3))
						  << CMD_TLBI_TTL_LG2;
	else if ((pages & CMD_TLBI_NUM_MAX) == 1)
		pages++; /* NUM = SCALE = TTL = 0 is reserved */
	for (; pages; pages -= (uint64_t)num << scale, at += (uint64_t)num << (scale + page_lg2)) {
		scale = (unsigned)__builtin_ctzll(pages);
		num = (unsigned)(pages >> scale) & CMD_TLBI_NUM_MAX;
		batch_add(batch,
			  tlbi_address(domain) | (uint64_t)(num - 1) << CMD_TLBI_NUM_LG2 |
				  (uint64_t)(scale & CMD_TLBI_SCALE_MAX) << CMD_TLBI_SCALE_LG2,
			  common | (at & CMD_TLBI_ADDRESS));
		batch->iommu->stats.invalidate_commands++;
		batch->iommu->queued_pages += (uint64_t)num << scale;
	}
	return at;
}

/** __arm_smmu_tlb_inv_range(). */
static void smmuv3_flush_range(struct iommu_domain *domain, uint64_t iova, uint64_t size, uint64_t granule,
			       bool leaf)
{
	struct batch batch = {domain->iommu, 0};
	uint64_t end;

	if (smmuv3(domain->iommu)->ranges)
		end = add_ranges(&batch, domain, iova, size, granule, leaf);
	else
		end = add_granules(&batch, domain, iova, size, granule, leaf);
	if (batch_sync(&batch) == 0)
		iotlb_invalidate(domain->iommu->tlb, domain->id, iova, end - 1, leaf);
}

static void smmuv3_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	if (gather->page_size)
		smmuv3_flush_range(domain, gather->start, gather->end - gather->start + 1, gather->page_size,
				   true);
}

/* What the format tells. */

static void smmuv3_flush_all(void *cookie)
{
	smmuv3_flush_domain(cookie);
}

static void smmuv3_flush_walk(uint64_t iova, uint64_t size, uint64_t granule, void *cookie)
{
	smmuv3_flush_range(cookie, iova, size, granule, false);
}

/** iommu_iotlb_gather_add_page(): what the hardware cannot take at once is invalidated before the rest is gathered. */
static void smmuv3_add_page(struct pgtable_gather *gather, uint64_t iova, uint64_t granule, void *cookie)
{
	bool disjoint = gather->end && (iova + granule < gather->start || iova > gather->end + 1);

	if (disjoint || (gather->page_size && gather->page_size != granule))
		iommu_iotlb_sync(cookie, gather);
	gather->page_size = granule;
	pgtable_gather_add_range(gather, iova, granule);
}

static const struct pgtable_tlb_ops smmuv3_tlb_ops = {
	.flush_all = smmuv3_flush_all,
	.flush_walk = smmuv3_flush_walk,
	.add_page = smmuv3_add_page,
};

static void smmuv3_domain_init(struct iommu_domain *domain)
{
	domain->pt->tlb = &smmuv3_tlb_ops;
	domain->pt->tlb_cookie = domain;
}

/* Attachment. Either entry changes in two steps that the hardware is told of, since it looks at it all the while: what it
 * does not use yet and then the quadword that turns it over, or the other way round. */

#define ENTRY_STEPS 2

static void write_entry(struct iommu *iommu, enum opcode opcode)
{
	for (unsigned step = 0; step < ENTRY_STEPS; step++) {
		struct batch batch = {iommu, 0};

		batch_add(&batch, opcode | (uint64_t)STREAM << CMD_SID_LG2, CMD_CFGI_LEAF);
		batch_sync(&batch);
	}
}

static void write_stream_entry(struct iommu *iommu)
{
	struct batch batch = {iommu, 0};

	write_entry(iommu, CMD_CFGI_STE);
	batch_add(&batch, CMD_PREFETCH_CONFIG | (uint64_t)STREAM << CMD_SID_LG2, 0);
	batch_publish(&batch);
}

static int smmuv3_attach(struct iommu_domain *domain)
{
	if (smmuv3(domain->iommu)->stage == 1)
		write_entry(domain->iommu, CMD_CFGI_CD);
	write_stream_entry(domain->iommu);
	return 0;
}

static void smmuv3_detach(struct iommu_domain *domain)
{
	write_stream_entry(domain->iommu);
	if (smmuv3(domain->iommu)->stage == 1)
		write_entry(domain->iommu, CMD_CFGI_CD);
}

/* Faults. */

#define EVENT_TRANSLATION 0x10
#define EVENT_PERMISSION  0x13
#define EVENT_SID_LG2	  32
#define EVENT_PRIVILEGED  (UINT64_C(1) << 33) /* quadword 1 */
#define EVENT_INSTRUCTION (UINT64_C(1) << 34)
#define EVENT_READ	  (UINT64_C(1) << 35)
#define EVENT_STAGE2	  (UINT64_C(1) << 39)
#define EVENT_CLASS_INPUT (UINT64_C(2) << 40) /* the address itself, not that of a table or a descriptor */
#define EVENT_IPA_MASK	  UINT64_C(0x000ffffffffff000) /* quadword 3 */

static void smmuv3_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			       struct iommu_registers *ret_registers)
{
	bool stage2 = smmuv3(iommu)->stage == 2;
	uint64_t id = fault->reason == IOMMU_FAULT_PERMISSION ? EVENT_PERMISSION : EVENT_TRANSLATION;

	iommu_registers_add(ret_registers, EVENT, id | (uint64_t)fault->stream << EVENT_SID_LG2);
	iommu_registers_add(ret_registers, EVENT + 8,
			    EVENT_CLASS_INPUT | (fault->write ? 0 : EVENT_READ) |
				    (stage2 ? EVENT_STAGE2 : 0));
	iommu_registers_add(ret_registers, EVENT + 16, fault->iova);
	iommu_registers_add(ret_registers, EVENT + 24, stage2 ? fault->iova & EVENT_IPA_MASK : 0);
}

static void print_event(const uint64_t event[4], GString *out)
{
	unsigned id = event[0] & 0xff;

	g_string_append_printf(out, "event 0x%02x received:\n", id);
	for (unsigned i = 0; i < 4; i++)
		g_string_append_printf(out, "\t0x%016" G_GINT64_MODIFIER "x\n", event[i]);
	/* This room knows no devices; the driver says so of a stream without one. */
	g_string_append_printf(
		out,
		"event: %s client: (unassigned sid) sid: %#x ssid: 0 iova: %#" G_GINT64_MODIFIER
		"x ipa: %#" G_GINT64_MODIFIER "x\n",
		id == EVENT_PERMISSION ? "F_PERMISSION" : "F_TRANSLATION",
		(unsigned)(event[0] >> EVENT_SID_LG2), event[2], event[3] & EVENT_IPA_MASK);
	g_string_append_printf(out, "%s %s %s %s \"Input address caused fault\" stag: 0\n",
			       event[1] & EVENT_PRIVILEGED ? "priv" : "unpriv",
			       event[1] & EVENT_INSTRUCTION ? "inst" : "data",
			       event[1] & EVENT_READ ? "read" : "write",
			       event[1] & EVENT_STAGE2 ? "s2" : "s1");
}

/** arm_smmu_evtq_thread(). The record is taken out of the queue before anything is printed. */
static void smmuv3_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	struct smmuv3 *smmu = iommu->state;
	uint64_t event[4];

	for (uint32_t i = 0; i < 4; i++)
		event[i] = iommu_registers_get(registers, EVENT + 8 * i);
	smmu->evtq_cons = (smmu->evtq_cons + 1) & ((2u << EVTQ_LG2) - 1);
	iommu_writel(iommu, EVTQ_CONS, smmu->evtq_cons);
	print_event(event, out);
}

const struct iommu_hw_ops smmuv3_ops = {
	.name = "arm-smmu-v3",
	.description = "Arm SMMUv3, command queue, with or without range invalidation",
	.deferred_flush = true,
	.format = &arm_64_lpae_s1_ops,
	.state_size = sizeof(struct smmuv3),
	.init = smmuv3_init,
	.domain_format = smmuv3_domain_format,
	.domain_config = smmuv3_domain_config,
	.domain_init = smmuv3_domain_init,
	.attach = smmuv3_attach,
	.detach = smmuv3_detach,
	.fault_latch = smmuv3_fault_latch,
	.fault_handle = smmuv3_fault_handle,
	.tlb = {.entries = 1024, .ways = 4, .walk_entries = 128},
	.tlb_source = "assumed, of an MMU-600, which its integrator configures",
	.iotlb_sync = smmuv3_iotlb_sync,
	.flush_iotlb_all = smmuv3_flush_domain,
};
