/* SPDX-License-Identifier: MIT */

/*
 * Apple DART, of two kinds: T8020, which the M1 has (t8103, its USB4 ports with 64 streams, and t6000), and T8110, which
 * the M2 has. Nothing finer than a stream can be invalidated, and the driver does so after every map too. Source:
 * drivers/iommu/apple-dart.c of Linux 7.0; pagetable-facts sections 1, 3 and 5 to 8.
 */
#include <errno.h>
#include <string.h>

#include "iommu/hw/dart.h"
#include "iommu/hw/hw.h"
#include "iommu/pgtable/formats.h"

/* T8020: a command is for the streams of a bitmap. */
#define T8020_STREAM_COMMAND 0x20
#define T8020_STREAM_SELECT  0x34 /* as many words as the streams need */
#define T8020_ERROR	     0x40
#define T8020_ERROR_ADDR_LO  0x50
#define T8020_ERROR_ADDR_HI  0x54
#define T8020_TCR	     0x100
#define T8020_TTBR	     0x200
#define T8020_USB4_TTBR	     0x400

#define T8020_STREAM_COMMAND_INVALIDATE 0x100000u
#define T8020_TCR_TRANSLATE		0x80u

/* T8110: a command is for one stream. */
#define T8110_TLB_CMD	    0x80
#define T8110_ERROR	    0x100
#define T8110_ERROR_ADDR_LO 0x170
#define T8110_ERROR_ADDR_HI 0x174
#define T8110_ERROR_STREAMS 0x1c0
#define T8110_TCR	    0x1000
#define T8110_TTBR	    0x1400

#define T8110_TLB_CMD_OP_LG2	   8
#define T8110_TLB_CMD_FLUSH_STREAM 1u
#define T8110_TCR_TRANSLATE	   0x1u
#define T8110_TCR_FOUR_LEVEL	   0x8u

#define ERROR_FLAG 0x80000000u

/* A look every microsecond, 100 microseconds long. */
#define BUSY_TRIES	100
#define BUSY_TIMEOUT_NS 100000

#define FAULTS_MAX 6

/** What two DARTs have in common whose registers are alike. */
struct dart_kind {
	/** Commands all attached streams to forget. Returns 0 or -ETIMEDOUT. */
	int (*invalidate)(struct iommu *iommu);
	uint32_t tcr, tcr_translate, tcr_four_level;
	unsigned ttbr_count; /* of each stream */
	uint32_t ttbr_valid;
	unsigned ttbr_page_lg2, ttbr_lg2; /* a TTBR holds an address in such pages, from this bit on */
	uint32_t error, error_addr_lo, error_addr_hi;
	unsigned error_stream_lg2, error_stream_bits, error_code_bits;
	uint32_t error_streams; /* a bit for each, to be cleared as well; 0: there are none */
	/* By bit of the error code: no TTBR; no entry, from the top table on; no permission to write; none to read. */
	const char *faults[FAULTS_MAX];
	unsigned fault_count;
};

struct dart_soc {
	const char *name;
	const struct dart_kind *kind;
	const struct pgtable_ops *format;
	unsigned streams;     /* that it has */
	unsigned streams_max; /* above @streams: the hardware says how many there are */
	unsigned ias_bits;    /* 0: the hardware says both widths */
	unsigned oas_bits;
	uint32_t ttbr;
	uint64_t memory; /* where its memory begins, and so our tables do */
};

struct dart {
	const struct dart_soc *soc;
	struct dart_facts facts;
	uint64_t reach_bytes; /* of the IOVAs that a valid TTBR covers */
};

static const struct dart *dart(const struct iommu *iommu)
{
	return iommu->state;
}

const struct dart_facts *dart_facts(const struct iommu *iommu)
{
	return &dart(iommu)->facts;
}

/* Invalidation. */

static int t8020_invalidate(struct iommu *iommu)
{
	const struct dart_facts *facts = dart_facts(iommu);
	int err;

	iommu->stats.invalidate_commands++;
	for (unsigned i = 0; i * 32 < facts->streams; i++)
		iommu_writel(iommu, T8020_STREAM_SELECT + 4 * i, (uint32_t)(facts->attached >> 32 * i));
	iommu_writel(iommu, T8020_STREAM_COMMAND, T8020_STREAM_COMMAND_INVALIDATE);
	err = iommu_poll(iommu, BUSY_TRIES, BUSY_TIMEOUT_NS);
	if (err)
		sim_find(iommu->sim, FINDING_KERNEL_WARNING, NULL,
			 "busy bit did not clear after command %x for streams %" G_GINT64_MODIFIER "x",
			 T8020_STREAM_COMMAND_INVALIDATE, facts->attached);
	return err;
}

/** The streams after one that does not obey are not asked. */
static int t8110_invalidate(struct iommu *iommu)
{
	for (uint64_t left = dart_facts(iommu)->attached; left; left &= left - 1) {
		unsigned stream = (unsigned)__builtin_ctzll(left);
		int err;

		iommu->stats.invalidate_commands++;
		iommu_writel(iommu, T8110_TLB_CMD,
			     T8110_TLB_CMD_FLUSH_STREAM << T8110_TLB_CMD_OP_LG2 | stream);
		err = iommu_poll(iommu, BUSY_TRIES, BUSY_TIMEOUT_NS);
		if (err) {
			sim_find(iommu->sim, FINDING_KERNEL_WARNING, NULL,
				 "busy bit did not clear after command %x for stream %u",
				 T8110_TLB_CMD_FLUSH_STREAM, stream);
			return err;
		}
	}
	return 0;
}

/** The driver waits with its lock held, and goes on if the hardware does not obey. The model's IOTLB does not tell
 * streams apart: it forgets once all of them have. */
static void dart_flush(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;
	int err;

	sim_lock(iommu->sim, &iommu->queue_lock);
	err = dart(iommu)->soc->kind->invalidate(iommu);
	sim_unlock(iommu->sim, &iommu->queue_lock);
	if (!err)
		iotlb_invalidate_domain(iommu->tlb, domain->id);
}

static void dart_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	dart_flush(domain);
}

static int dart_iotlb_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	dart_flush(domain);
	return 0;
}

/* The hardware. */

static const struct dart_kind t8020 = {
	.invalidate = t8020_invalidate,
	.tcr = T8020_TCR,
	.tcr_translate = T8020_TCR_TRANSLATE,
	.ttbr_count = 4,
	.ttbr_valid = 0x80000000u,
	.ttbr_page_lg2 = 12,
	.error = T8020_ERROR,
	.error_addr_lo = T8020_ERROR_ADDR_LO,
	.error_addr_hi = T8020_ERROR_ADDR_HI,
	.error_stream_lg2 = 24,
	.error_stream_bits = 4,
	.error_code_bits = 12,
	.faults = {"NO TTBR FOR IOVA", "NO PMD FOR IOVA", "NO PTE FOR IOVA", "WRITE FAULT", "READ FAULT"},
	.fault_count = 5,
};

static const struct dart_kind t8110 = {
	.invalidate = t8110_invalidate,
	.tcr = T8110_TCR,
	.tcr_translate = T8110_TCR_TRANSLATE,
	.tcr_four_level = T8110_TCR_FOUR_LEVEL,
	.ttbr_count = 1,
	.ttbr_valid = 0x1u,
	.ttbr_page_lg2 = 14,
	.ttbr_lg2 = 2,
	.error = T8110_ERROR,
	.error_addr_lo = T8110_ERROR_ADDR_LO,
	.error_addr_hi = T8110_ERROR_ADDR_HI,
	.error_stream_lg2 = 20,
	.error_stream_bits = 8,
	.error_code_bits = 15,
	.error_streams = T8110_ERROR_STREAMS,
	.faults = {"NO TTBR FOR IOVA", "NO PGD FOR IOVA", "NO PMD FOR IOVA", "NO PTE FOR IOVA", "WRITE FAULT",
		   "READ FAULT"},
	.fault_count = 6,
};

#define MEMORY_M1     UINT64_C(0x800000000)
#define MEMORY_M1_PRO UINT64_C(0x10000000000)

static const struct dart_soc socs[] = {
	{"t8103", &t8020, &apple_dart_ops, 16, 16, 32, 36, T8020_TTBR, MEMORY_M1},
	{"t8103usb4", &t8020, &apple_dart_ops, 64, 64, 32, 36, T8020_USB4_TTBR, MEMORY_M1},
	{"t6000", &t8020, &apple_dart2_ops, 16, 16, 32, 42, T8020_TTBR, MEMORY_M1_PRO},
	{"t8110", &t8110, &apple_dart2_ops, 16, 256, 0, 0, T8110_TTBR, MEMORY_M1},
};

/* Set-up. */

static int dart_init(struct iommu *iommu, const struct iommu_hw_config *config)
{
	struct dart *state = iommu->state;
	const struct dart_soc *soc = NULL;

	for (unsigned i = 0; i < G_N_ELEMENTS(socs) && !soc; i++)
		if (!config->soc || strcmp(socs[i].name, config->soc) == 0)
			soc = &socs[i];
	if (!soc)
		return -EINVAL;
	state->soc = soc;
	state->facts.soc = soc->name;
	state->facts.streams =
		soc->streams_max > soc->streams && config->asids ? config->asids : soc->streams;
	state->facts.attached = config->streams ? config->streams : 1;
	if (state->facts.streams > soc->streams_max ||
	    (state->facts.streams < 64 && state->facts.attached >> state->facts.streams))
		return -EINVAL;
	return 0;
}

static const struct pgtable_ops *dart_domain_format(const struct iommu *iommu)
{
	return dart(iommu)->soc->format;
}

/** Widths that the hardware says, and its page size, are taken to be what the caller wished. */
static void dart_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	const struct dart_soc *soc = dart(iommu)->soc;

	config->ias_bits = soc->ias_bits ? soc->ias_bits : MIN(config->ias_bits, 42);
	config->oas_bits = soc->ias_bits ? soc->oas_bits : MIN(config->oas_bits, 42);
	config->quirks = 0;
	config->incoherent = false;
	/* The usual memory of a simulation is out of its reach. */
	if (!config->table_offset && iommu->sim->mem.base == PHYSMEM_BASE)
		config->table_offset = soc->memory - PHYSMEM_BASE;
}

/** Writes @value into the register of each attached stream: @offset, and @stride bytes on for the next. */
static void streams_write(struct iommu *iommu, uint32_t offset, uint32_t stride, uint32_t value)
{
	for (uint64_t left = dart_facts(iommu)->attached; left; left &= left - 1)
		iommu_writel(iommu, offset + stride * (uint32_t)__builtin_ctzll(left), value);
}

/** Returns what a TTBR holds to point at root @index; 0, which is invalid, where there is no such root. */
static uint32_t ttbr_value(const struct dart_kind *kind, const struct pgtable *pt, unsigned index)
{
	if (index >= pt->root_count)
		return 0;
	return kind->ttbr_valid | (uint32_t)((pt->roots[index] + pt->config.table_offset) >>
					     kind->ttbr_page_lg2 << kind->ttbr_lg2);
}

static int dart_attach(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;
	struct dart *state = iommu->state;
	const struct dart_kind *kind = state->soc->kind;
	const struct pgtable *pt = domain->pt;
	unsigned top_level = pt->config.top_level;

	for (unsigned i = 0; i < MAX(pt->root_count, kind->ttbr_count); i++)
		streams_write(iommu, state->soc->ttbr + 4 * i, 4 * kind->ttbr_count, ttbr_value(kind, pt, i));
	state->reach_bytes = (uint64_t)pt->root_count
			     << (pt->levels[top_level].span_lg2 + pt->levels[top_level].index_lg2);
	/* The kernel counts the choice of a TTBR as a level. */
	streams_write(iommu, kind->tcr, 4,
		      kind->tcr_translate | (top_level + 2 == 4 ? kind->tcr_four_level : 0));
	dart_flush(domain);
	return 0;
}

/* Faults. */

/** Returns which bit of the error code says why @fault was refused. */
static unsigned fault_bit(const struct dart *state, const struct iommu_fault *fault)
{
	unsigned no_leaf = state->soc->kind->fault_count - 3;

	if (fault->reason == IOMMU_FAULT_PERMISSION)
		return fault->write ? no_leaf + 1 : no_leaf + 2;
	return fault->iova >= state->reach_bytes ? 0 : no_leaf - MIN(fault->level, no_leaf);
}

static void dart_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			     struct iommu_registers *ret_registers)
{
	const struct dart_kind *kind = dart(iommu)->soc->kind;
	uint32_t stream = fault->stream & ((1u << kind->error_stream_bits) - 1);

	iommu_registers_add(ret_registers, kind->error,
			    ERROR_FLAG | stream << kind->error_stream_lg2 |
				    1u << fault_bit(dart(iommu), fault));
	iommu_registers_add(ret_registers, kind->error_addr_lo, (uint32_t)fault->iova);
	iommu_registers_add(ret_registers, kind->error_addr_hi, fault->iova >> 32);
}

static uint64_t latched(struct iommu *iommu, const struct iommu_registers *registers, uint32_t offset)
{
	iommu_readl(iommu);
	return iommu_registers_get(registers, offset);
}

/** apple_dart_t8020_irq() and apple_dart_t8110_irq(). A code of several bits has no name. */
static void dart_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	const struct dart_kind *kind = dart(iommu)->soc->kind;
	uint32_t error = (uint32_t)latched(iommu, registers, kind->error);
	uint64_t iova_lo = latched(iommu, registers, kind->error_addr_lo);
	uint64_t iova = iova_lo | latched(iommu, registers, kind->error_addr_hi) << 32;
	uint32_t code = error & ((1u << kind->error_code_bits) - 1);
	const char *name = "unknown";

	if (!(error & ERROR_FLAG))
		return;
	for (unsigned i = 0; i < kind->fault_count; i++)
		if (code == 1u << i)
			name = kind->faults[i];
	g_string_append_printf(
		out, "translation fault: status:0x%x stream:%u code:0x%x (%s) at 0x%" G_GINT64_MODIFIER "x\n",
		error, error >> kind->error_stream_lg2 & ((1u << kind->error_stream_bits) - 1), code, name,
		iova);
	iommu_writel(iommu, kind->error, error);
	for (unsigned i = 0; kind->error_streams && i * 32 < dart_facts(iommu)->streams; i++)
		iommu_writel(iommu, kind->error_streams + 4 * i, UINT32_MAX);
}

const struct iommu_hw_ops dart_ops = {
	.name = "apple-dart",
	.description = "Apple DART of M1 and M2",
	.format = &apple_dart_ops,
	.state_size = sizeof(struct dart),
	.init = dart_init,
	.domain_format = dart_domain_format,
	.domain_config = dart_domain_config,
	.attach = dart_attach,
	.tlb = {.entries = 256, .ways = 4, .walk_entries = 32},
	.tlb_source = "assumed, Apple publishes no sizes",
	.iotlb_sync = dart_iotlb_sync,
	.iotlb_sync_map = dart_iotlb_sync_map,
	.flush_iotlb_all = dart_flush,
	.fault_latch = dart_fault_latch,
	.fault_handle = dart_fault_handle,
};
