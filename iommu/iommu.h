/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOMMU_H
#define IOMMU_IOMMU_H

/*
 * Domains: an address space behind an IOMMU, and mapping into it.
 *
 * A domain is a page table, the hardware that caches it, and who is attached. This room knows no devices: an endpoint is
 * a plain struct that devtree/ or the PCI topology fills in. Source: drivers/iommu/iommu.c of Linux 7.0.
 */
#include <stdbool.h>
#include <stdint.h>

#include "iommu/iotlb/iotlb.h"
#include "iommu/pgtable/pgtable-fault.h"
#include "iommu/pgtable/pgtable.h"

struct iommu;
struct iommu_domain;

/** What tells one IOMMU from another of its driver. Each driver reads what concerns it; 0 or NULL: its usual one. */
struct iommu_hw_config {
	/** apple-dart, ipmmu-vmsa: which one, as their recordings call it: "t8103", "gen3"; mtk: "mt8195-vdo"; tegra:
	 * "tegra30", "tegra114", "tegra124", "tegra210". */
	const char *soc;
	unsigned version;    /* exynos: major * 100 + minor; arm-smmu: 1 or 2 */
	unsigned asids;	     /* tegra: address spaces, if not those of its @soc; t8110: streams */
	unsigned tlb_lines;  /* omap: entries of the TLB */
	unsigned atom_bytes; /* tegra: what a page-table cache line of the memory controller holds */
	unsigned address_bits; /* tegra: width of a physical address */
	uint64_t streams;    /* apple-dart: bitmap of those attached */
	uint32_t inv_sel;    /* mtk: offset of INV_SEL */
	unsigned features;   /* mtk: as its platform data has them, of one without a name; exynos, arm-smmu,
			      * arm-smmu-v3: see their headers */
	bool above_4g;	     /* mtk: the memory has the layout of the 4 GB mode */
	unsigned stage;	     /* arm-smmu, arm-smmu-v3: 1 or 2 */
};

/** Why an access was refused. */
enum iommu_fault_reason {
	IOMMU_FAULT_TRANSLATION, /* nothing is mapped there */
	IOMMU_FAULT_PERMISSION,	 /* what is mapped may not be read, or written */
};

/** A device's access that the IOMMU refused. */
struct iommu_fault {
	uint64_t iova;
	enum iommu_fault_reason reason;
	bool write;
	unsigned level;	 /* of the entry where the walk ended, 0 being the last */
	unsigned stream; /* whose access: stream, client, master or port, as the IOMMU numbers them */
	unsigned domain; /* as iommu_domain.id */
	uint64_t entry;	 /* what the entry held */
};

#define IOMMU_REGISTERS_MAX 12

/** Values of registers, by offset. */
struct iommu_registers {
	unsigned count;
	struct {
		uint32_t offset;
		uint64_t value;
	} at[IOMMU_REGISTERS_MAX];
};

/** What a driver does around its page table, and how it knows its hardware. One file each in iommu/hw. A member may be
 * NULL where the driver has nothing of the kind, but for those that say otherwise. */
struct iommu_hw_ops {
	const char *name;	   /* "intel" */
	const char *description;   /* both never NULL */
	const struct pgtable_ops *format; /* of a domain's table, unless @domain_format says; never NULL */
	bool deferred_flush; /* lazy mode may be had (IOMMU_CAP_DEFERRED_FLUSH) */
	bool device_tlb;     /* the driver invalidates a device's own cache as well: ATS may be had */
	size_t state_size; /* of what the driver knows of an IOMMU: iommu->state, zeroed */
	/** Takes @config in. Returns 0, or -EINVAL for what there is none of. */
	int (*init)(struct iommu *iommu, const struct iommu_hw_config *config);
	/** Returns the format of this IOMMU's tables. */
	const struct pgtable_ops *(*domain_format)(const struct iommu *iommu);
	/** Sets in @config what the driver asks of the format, whatever the caller wished. */
	void (*domain_config)(const struct iommu *iommu, struct pgtable_config *config);
	/** The domain's table is there: tells it of the driver (pt->tlb, with the domain as cookie, and the like). */
	void (*domain_init)(struct iommu_domain *domain);
	/** Points the hardware at the table. Returns 0 or a negative errno. */
	int (*attach)(struct iommu_domain *domain);
	/** The opposite, before the domain is freed. */
	void (*detach)(struct iommu_domain *domain);
	/** What iommu_iova_to_phys() answers where that is not what a device finds: @paddr is that, or 0. */
	uint64_t (*iova_to_phys)(const struct iommu_domain *domain, uint64_t iova, uint64_t paddr);
	/** Writes into *@ret_registers what the hardware latches of @fault. */
	void (*fault_latch)(const struct iommu *iommu, const struct iommu_fault *fault,
			    struct iommu_registers *ret_registers);
	/** The interrupt handler: appends what the driver prints of @registers, a line each, and acknowledges. */
	void (*fault_handle)(struct iommu *iommu, const struct iommu_registers *registers, GString *out);
	/** The caches of hardware of this kind, where the machine file does not say else: at least one way, also
	 * where there are no entries. */
	struct iotlb_config tlb;
	const char *tlb_source; /* where these numbers come from; "assumed" where no source states them */
	/** Invalidates what @gather holds, before its table pages are freed. The gather is not empty. */
	void (*iotlb_sync)(struct iommu_domain *domain, const struct pgtable_gather *gather);
	/** After new mappings [@iova, @iova + @len). Returns 0 or a negative errno. */
	int (*iotlb_sync_map)(struct iommu_domain *domain, uint64_t iova, uint64_t len);
	/** Invalidates everything of the domain; never NULL. */
	void (*flush_iotlb_all)(struct iommu_domain *domain);
};

/** The IOMMUs, NULL-ended. */
extern const struct iommu_hw_ops *const iommu_hw[];

/** Hears of register writes and of commands; for recordings and tests. Any member may be NULL. */
struct iommu_watch {
	void (*write)(void *data, uint32_t offset, uint32_t value);
	const struct pgtable_watch *pgtable; /* of every table that is made */
	void *data;
	void (*command)(void *data, const void *command, size_t len_bytes); /* written into a queue in memory */
	void (*write64)(void *data, uint32_t offset, uint64_t value);	     /* in one access */
};

struct iommu_stats {
	uint64_t maps, unmaps; /* calls */
	uint64_t mapped_bytes, unmapped_bytes;
	uint64_t invalidate_commands; /* descriptors queued, waits not counted */
	uint64_t device_invalidations; /* of these, to a device's own cache */
	uint64_t invalidate_waits;
	uint64_t invalidate_timeouts; /* of these, those that ended without an answer */
	uint64_t mmio_reads, mmio_writes;
};

/** One IOMMU of the machine. */
struct iommu {
	struct sim *sim;
	const struct iommu_hw_ops *ops;
	struct iotlb *tlb;
	struct sim_lock queue_lock; /* of the invalidation queue */
	struct sim_lock hardware;   /* what carries out its commands, one at a time */
	uint64_t queued;	    /* commands since the last wait, waits counted */
	uint64_t queued_pages;	    /* that these name by address */
	bool caching_mode; /* VT-d, AMD (NpCache): also not-present entries may be cached, so maps are invalidated */
	struct iommu_stats stats;
	void *state;		   /* the driver's own: state_size bytes */
	struct iommu_watch watch;
};

struct iommu_domain {
	struct iommu *iommu;
	struct pgtable *pt;
	unsigned id; /* what entries in the IOTLB are tagged with */
	unsigned asid; /* tegra: the driver's number for it, as long as it is attached */
	bool attached;
	/** The cache of the attached device, where ATS is on, borrowed: the driver invalidates it as well. NULL:
	 * none. */
	struct iotlb *device_tlb;
};

/** Returns a new IOMMU, the driver's usual one, whose caches are as @tlb says, random victims drawn from @sim's seed. Free
 * with iommu_free() after its domains. */
struct iommu *iommu_new(struct sim *sim, const struct iommu_hw_ops *ops, const struct iotlb_config *tlb);

/** The same, of @config. Returns NULL if the driver knows none like it. */
struct iommu *iommu_new_config(struct sim *sim, const struct iommu_hw_ops *ops,
			       const struct iommu_hw_config *config, const struct iotlb_config *tlb);
void iommu_free(struct iommu *iommu);

/** Makes a domain; @config is the caller's wish, which the driver completes. Returns 0 with *@ret_domain or a negative
 * errno. Free with iommu_domain_free(), which detaches. */
int iommu_domain_new(struct iommu *iommu, unsigned id, const struct pgtable_config *config,
		     struct iommu_domain **ret_domain);
void iommu_domain_free(struct iommu_domain *domain);

/** Points the hardware at the domain's table. Returns 0 or a negative errno. */
int iommu_domain_attach(struct iommu_domain *domain);

/** Returns the smallest page that the domain's table maps, which is what IOVAs are handed out in (the order of __ffs() of the
 *  domain's page sizes in iommu_dma_init_domain): at least 4 KiB. */
static inline unsigned iommu_granule_lg2(const struct iommu_domain *domain)
{
	return MAX((unsigned)__builtin_ctzll(domain->pt->page_sizes | UINT64_C(1) << 63), (unsigned)FRAME_LG2);
}

/** Maps without telling the hardware (iommu_map_nosync). On failure what this call mapped is unmapped again, with an
 *  immediate sync. Fault point iommu.map. Returns 0 or a negative errno; under nosync-map-error = inverted 0 also when a
 *  page-table driver (a format with map_pages) failed, and nothing is mapped. */
int iommu_map_nosync(struct iommu_domain *domain, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot);

/** Tells the hardware of new mappings, where it must know. Fault point iommu.sync_map. Returns 0 or a negative errno. */
int iommu_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len);

/** Unmaps, adding to @gather (initialised by the caller). Returns the bytes that were mapped. */
uint64_t iommu_unmap_fast(struct iommu_domain *domain, uint64_t iova, uint64_t len,
			  struct pgtable_gather *gather);

/** Invalidates what was gathered (nothing, if nothing was) and frees its table pages. */
void iommu_iotlb_sync(struct iommu_domain *domain, struct pgtable_gather *gather);

/** Unmaps with an immediate sync. Returns the bytes that were mapped. */
uint64_t iommu_unmap(struct iommu_domain *domain, uint64_t iova, uint64_t len);

/** Returns the physical address that the page table has for @iova, 0 where it is not mapped. */
uint64_t iommu_iova_to_phys(const struct iommu_domain *domain, uint64_t iova);

/** Lets the hardware latch @fault and the driver handle it. Appends to @out what the driver prints; nothing, and false, if
 * this one has no words for a fault. */
bool iommu_report_fault(struct iommu *iommu, const struct iommu_fault *fault, GString *out);

/* The rest is for drivers. */

/** Writes a 32-bit register. */
void iommu_writel(struct iommu *iommu, uint32_t offset, uint32_t value);

/** Writes two, the lower half first. */
void iommu_writeq(struct iommu *iommu, uint32_t offset, uint64_t value);

/** Writes a 64-bit register in one access. */
void iommu_write64(struct iommu *iommu, uint32_t offset, uint64_t value);

/** Reads one register whose value does not matter. */
void iommu_readl(struct iommu *iommu);

/** Counts the accesses of a loop over the entries of a TLB, which nobody hears of one by one. */
void iommu_scan(struct iommu *iommu, unsigned reads, unsigned writes);

/** Waits, with a read, until the hardware says that it has invalidated. It is modelled as done at the first look, but for
 * fault point iommu.invalidate_timeout: then -ETIMEDOUT, after @tries reads and the time the driver waits, @timeout_ns.
 * Nothing has been invalidated then. */
int iommu_poll(struct iommu *iommu, unsigned tries, uint64_t timeout_ns);

/** The same where the hardware answers by a write to memory. */
int iommu_wait(struct iommu *iommu, uint64_t timeout_ns);

/** Writes @command of @len_bytes into a queue in memory; the caller counts it among the commands, or does not. The hardware
 * carries it out before the next wait is over: iommu_wait(), iommu_poll(). */
void iommu_command(struct iommu *iommu, const void *command, size_t len_bytes);

/** The same of @count commands that nobody reads. */
void iommu_commands(struct iommu *iommu, unsigned count);

/** Adds a value to @registers. */
void iommu_registers_add(struct iommu_registers *registers, uint32_t offset, uint64_t value);

/** Returns the value at @offset, 0 where it was not latched. */
uint64_t iommu_registers_get(const struct iommu_registers *registers, uint32_t offset);

#endif
