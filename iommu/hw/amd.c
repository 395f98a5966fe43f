/* SPDX-License-Identifier: MIT */

/*
 * AMD IOMMU with host (v1) tables.
 *
 * Unmap: one INVALIDATE_IOMMU_PAGES for the smallest aligned power of two of pages that covers the range, walk caches
 * included, then a COMPLETION_WAIT. Map: nothing, except with NpCache, where the range goes in aligned pieces. Sources:
 * drivers/iommu/amd/iommu.c of Linux 7.0, pagetable-facts section 5; AMD I/O Virtualization Technology (IOMMU)
 * Specification, revision 3.10, sections 2.4 (commands), 2.5.3 (IO_PAGE_FAULT) and 3.4 (registers).
 */
#include <errno.h>
#include <string.h>

#include "iommu/hw/amd.h"
#include "iommu/hw/hw.h"
#include "iommu/iotlb/amd-inv.h"
#include "iommu/pgtable/formats.h"

#define CMD_TAIL   0x2008
#define EVENT_HEAD 0x2010
#define EVENT_TAIL 0x2018
#define STATUS	   0x2020
#define EVENT	   0x10000 /* the record's two halves, which the hardware writes into memory */

#define STATUS_EVENT_OVERFLOW 0x1u
#define STATUS_EVENT	      0x2u

#define CMD_BUFFER_BYTES 8192
#define CMD_BYTES	 16
#define EVENT_LOG_BYTES	 8192
#define EVENT_BYTES	 16

/* A record: device in bits 15:0, domain in 47:32, flags in 59:48, type in 63:60. */
#define EVENT_IO_PAGE_FAULT (UINT64_C(2) << 60)
#define EVENT_PRESENT	    (UINT64_C(1) << 52) /* the page is mapped */
#define EVENT_WRITE	    (UINT64_C(1) << 53)
#define EVENT_PERMISSION    (UINT64_C(1) << 54)

/* A device table entry: in quadword 0 valid, table valid, read, write; levels in bits 11:9. */
#define DTE_V	      (UINT64_C(1) << 0)
#define DTE_TV	      (UINT64_C(1) << 1)
#define DTE_MODE_LG2  9
#define DTE_READ      (UINT64_C(1) << 61)
#define DTE_WRITE     (UINT64_C(1) << 62)
#define DTE_ROOT_MASK UINT64_C(0x000ffffffffff000)

/* wait_on_sem(): a look every microsecond, 100000 of them. */
#define COMPLETION_TIMEOUT_NS (UINT64_C(100) * 1000 * 1000)

#define SEMAPHORE 0x1000 /* where COMPLETION_WAIT stores; nobody reads it here */
#define DEVICE	  0	 /* one stands for all that are attached */

struct amd {
	uint32_t cmd_tail, event_head; /* offsets */
	uint64_t semaphore;	       /* value of the last COMPLETION_WAIT */
};

void amd_device_entry(const struct iommu_domain *domain, uint64_t ret_entry[AMD_DTE_QWORDS])
{
	const struct pgtable *pt = domain->pt;

	memset(ret_entry, 0, AMD_DTE_QWORDS * sizeof(*ret_entry));
	ret_entry[0] = (pgtable_root(pt) & DTE_ROOT_MASK) |
		       (uint64_t)(pt->config.top_level + 1) << DTE_MODE_LG2 | DTE_READ | DTE_WRITE | DTE_V |
		       DTE_TV;
	ret_entry[1] = domain->id;
}

static void amd_queue(struct iommu *iommu, const uint32_t words[AMD_INV_WORDS])
{
	struct amd *amd = iommu->state;

	sim_lock(iommu->sim, &iommu->queue_lock);
	iommu_command(iommu, words, AMD_INV_WORDS * sizeof(*words));
	amd->cmd_tail = (amd->cmd_tail + CMD_BYTES) % CMD_BUFFER_BYTES;
	iommu_writel(iommu, CMD_TAIL, amd->cmd_tail);
	sim_unlock(iommu->sim, &iommu->queue_lock);
}

/** Waits for all that is queued: iommu_completion_wait(). Without an answer the driver goes on. */
static int amd_complete(struct iommu *iommu)
{
	struct amd *amd = iommu->state;
	uint32_t words[AMD_INV_WORDS];
	int err;

	amd_completion_wait(SEMAPHORE, ++amd->semaphore, words);
	amd_queue(iommu, words);
	err = iommu_wait(iommu, COMPLETION_TIMEOUT_NS);
	if (err)
		sim_find(iommu->sim, FINDING_KERNEL_WARNING, NULL, "Completion-Wait loop timed out");
	return err;
}

static void amd_queue_pages(struct iommu_domain *domain, uint64_t iova, uint64_t size,
			    uint32_t ret_words[AMD_INV_WORDS])
{
	amd_inv_pages(domain->id, iova, size, ret_words);
	amd_queue(domain->iommu, ret_words);
	domain->iommu->stats.invalidate_commands++;
}

static void amd_invalidate(struct iommu_domain *domain, const uint32_t words[AMD_INV_WORDS])
{
	uint64_t first, last;

	amd_inv_covers(words, &first, &last);
	iotlb_invalidate(domain->iommu->tlb, domain->id, first, last, false);
}

/** amd_iommu_domain_flush_pages() where nothing that is not present is remembered. */
static void amd_flush_at_once(struct iommu_domain *domain, uint64_t iova, uint64_t size)
{
	uint32_t words[AMD_INV_WORDS];

	amd_queue_pages(domain, iova, size, words);
	if (amd_complete(domain->iommu) == 0)
		amd_invalidate(domain, words);
}

/** The same for a hypervisor's IOMMU, for which a larger range than needed costs more than several commands. */
static void amd_flush_pieces(struct iommu_domain *domain, uint64_t iova, uint64_t size)
{
	uint32_t words[AMD_INV_WORDS];
	uint64_t piece;

	for (uint64_t at = 0; at < size; at += piece) {
		piece = amd_inv_piece(iova + at, size - at);
		amd_queue_pages(domain, iova + at, piece, words);
	}
	if (amd_complete(domain->iommu))
		return;
	for (uint64_t at = 0; at < size; at += piece) {
		piece = amd_inv_piece(iova + at, size - at);
		amd_inv_pages(domain->id, iova + at, piece, words);
		amd_invalidate(domain, words);
	}
}

/** @size is 0 for all of 2^64. */
static void amd_flush_pages(struct iommu_domain *domain, uint64_t iova, uint64_t size)
{
	if (domain->iommu->caching_mode)
		amd_flush_pieces(domain, iova, size);
	else
		amd_flush_at_once(domain, iova, size);
}

static void amd_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	amd_flush_pages(domain, gather->start, gather->end - gather->start + 1);
}

static int amd_iotlb_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	if (domain->iommu->caching_mode && len)
		amd_flush_pages(domain, iova, len);
	return 0;
}

static void amd_flush_iotlb_all(struct iommu_domain *domain)
{
	amd_flush_pages(domain, 0, AMD_INV_ALL);
}

/** The device table entry has changed in memory. */
static void amd_flush_device(struct iommu *iommu)
{
	uint32_t words[AMD_INV_WORDS];

	amd_inv_devtab_entry(DEVICE, words);
	amd_queue(iommu, words);
	amd_complete(iommu);
}

/** A root above the root: the device table entry tells of it before anything is mapped there. */
static void amd_change_top(struct pgtable *pt, void *data)
{
	struct iommu_domain *domain = data;

	if (domain->attached)
		amd_flush_device(domain->iommu);
}

static void amd_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	config->ias_bits = 64;
	config->oas_bits = 52;
	config->top_level = 2;
	config->dynamic_top = true;
	config->force_coherence = true;
	config->incoherent = false;
	config->sign_extend = false;
}

static void amd_domain_init(struct iommu_domain *domain)
{
	domain->pt->change_top = amd_change_top;
}

static int amd_attach(struct iommu_domain *domain)
{
	amd_flush_device(domain->iommu);
	return 0;
}

static void amd_detach(struct iommu_domain *domain)
{
	amd_flush_device(domain->iommu);
	amd_flush_iotlb_all(domain);
}

static void amd_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			    struct iommu_registers *ret_registers)
{
	const struct amd *amd = iommu->state;
	uint64_t event =
		EVENT_IO_PAGE_FAULT | (uint64_t)(fault->domain & 0xffff) << 32 | (fault->stream & 0xffff);

	if (fault->reason == IOMMU_FAULT_PERMISSION)
		event |= EVENT_PRESENT | EVENT_PERMISSION;
	if (fault->write)
		event |= EVENT_WRITE;
	iommu_registers_add(ret_registers, STATUS, STATUS_EVENT);
	iommu_registers_add(ret_registers, EVENT_TAIL, (amd->event_head + EVENT_BYTES) % EVENT_LOG_BYTES);
	iommu_registers_add(ret_registers, EVENT, event);
	iommu_registers_add(ret_registers, EVENT + 8, fault->iova);
}

/** amd_iommu_handle_irq(), iommu_print_event(). */
static void amd_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	struct amd *amd = iommu->state;
	uint64_t event = iommu_registers_get(registers, EVENT);
	unsigned device = event & 0xffff;

	if (!(iommu_registers_get(registers, STATUS) & STATUS_EVENT))
		return;
	iommu_writel(iommu, STATUS, STATUS_EVENT | STATUS_EVENT_OVERFLOW);
	g_string_append_printf(out,
			       "AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:%02x:%02x.%x domain=0x%04x "
			       "address=0x%" G_GINT64_MODIFIER "x flags=0x%04x]\n",
			       device >> 8, device >> 3 & 0x1f, device & 7, (unsigned)(event >> 32) & 0xffff,
			       iommu_registers_get(registers, EVENT + 8), (unsigned)(event >> 48) & 0xfff);
	amd->event_head = (uint32_t)iommu_registers_get(registers, EVENT_TAIL);
	iommu_writel(iommu, EVENT_HEAD, amd->event_head);
}

const struct iommu_hw_ops amd_ops = {
	.name = "amd",
	.description = "AMD IOMMU, host (v1) tables, command buffer",
	.deferred_flush = true,
	.format = &amdv1_ops,
	.state_size = sizeof(struct amd),
	.domain_config = amd_domain_config,
	.domain_init = amd_domain_init,
	.attach = amd_attach,
	.detach = amd_detach,
	.fault_latch = amd_fault_latch,
	.fault_handle = amd_fault_handle,
	.tlb = {.entries = 512, .ways = 8, .walk_entries = 64},
	.tlb_source = "assumed, AMD publishes no sizes",
	.iotlb_sync = amd_iotlb_sync,
	.iotlb_sync_map = amd_iotlb_sync_map,
	.flush_iotlb_all = amd_flush_iotlb_all,
};
