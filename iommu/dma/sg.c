/* SPDX-License-Identifier: MIT */
#include "iommu/dma/sg.h"

#include <errno.h>

#include "iommu/dma/internal.h"
#include "iommu/dma/sync.h"

/* ---- each entry by itself ---- */

static void sg_unmap_each(struct dma_device *dev, struct sg_table *sgt, unsigned count, unsigned flags)
{
	for (unsigned i = 0; i < count; i++)
		if (!sgt->sgl[i].dma_bus)
			dma_unmap_phys(dev, sgt->sgl[i].dma_addr, sgt->sgl[i].dma_len, flags);
}

/** Sets @entry's segment to itself, as the device sees it. Returns 0 or a negative errno. */
static int sg_map_one(struct dma_device *dev, struct scatterlist *entry, unsigned flags)
{
	enum dma_p2p p2p = dma_p2p(dev, entry->paddr);

	if (p2p == DMA_P2P_UNSUPPORTED)
		return -EREMOTEIO;
	entry->dma_bus = p2p == DMA_P2P_BUS_ADDR;
	entry->dma_len = entry->len;
	if (entry->dma_bus)
		entry->dma_addr = dma_p2p_bus_addr(dev, entry->paddr);
	else
		entry->dma_addr = dma_map_phys(dev, entry->paddr, entry->len, flags);
	return entry->dma_addr == DMA_MAPPING_ERROR ? -EIO : 0;
}

static int sg_map_each(struct dma_device *dev, struct sg_table *sgt, unsigned flags)
{
	for (unsigned i = 0; i < sgt->orig_nents; i++) {
		int err = sg_map_one(dev, &sgt->sgl[i], flags);

		if (err) {
			sg_unmap_each(dev, sgt, i, flags | DMA_ATTR_SKIP_CPU_SYNC);
			return err;
		}
	}
	sgt->nents = sgt->orig_nents;
	return 0;
}

/* ---- all of them in one IOVA ---- */

/** Does @sync to the memory of every entry, for a device that does not see the CPU's caches. */
static void sg_sync(struct dma_device *dev, const struct sg_table *sgt,
		    void (*sync)(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags),
		    unsigned flags)
{
	for (unsigned i = 0; i < sgt->orig_nents; i++)
		if (dma_p2p(dev, sgt->sgl[i].paddr) != DMA_P2P_BUS_ADDR)
			sync(dev, sgt->sgl[i].paddr, sgt->sgl[i].len, flags);
	dma_cache_flush(dev);
}

/** Gives each entry its granules. One that would lie across a boundary starts on it: the entry before grows up to there.
 *  Returns 0 with the sum in *@ret_total, or -EREMOTEIO. */
static int sg_lay_out(const struct dma_device *dev, struct sg_table *sgt, uint64_t *ret_total)
{
	struct scatterlist *previous = NULL;
	uint64_t total = 0;

	for (unsigned i = 0; i < sgt->orig_nents; i++) {
		struct scatterlist *entry = &sgt->sgl[i];
		uint64_t pad = (sgt->seg_boundary_mask - total + 1) & sgt->seg_boundary_mask;
		enum dma_p2p p2p = dma_p2p(dev, entry->paddr);

		if (p2p == DMA_P2P_UNSUPPORTED)
			return -EREMOTEIO;
		entry->padded = 0;
		if (p2p == DMA_P2P_BUS_ADDR)
			continue;
		entry->padded = dma_align(dev, entry->len + dma_offset(dev, entry->paddr));
		if (pad && previous && pad < entry->padded - 1) {
			previous->padded += pad;
			total += pad;
		}
		total += entry->padded;
		previous = entry;
	}
	*ret_total = total;
	return 0;
}

/** Takes the next run of entries whose granules touch, from *@at on, which moves behind it. Returns its length, 0 at the
 *  end. */
static uint64_t sg_next_run(const struct dma_device *dev, const struct sg_table *sgt, unsigned *at,
			    uint64_t *ret_paddr)
{
	uint64_t len = 0, start = 0;

	for (; *at < sgt->orig_nents; ++*at) {
		const struct scatterlist *entry = &sgt->sgl[*at];
		uint64_t paddr = entry->paddr - dma_offset(dev, entry->paddr);

		if (!entry->padded)
			continue;
		if (!len)
			start = paddr;
		else if (paddr != start + len)
			break;
		len += entry->padded;
	}
	*ret_paddr = start;
	return len;
}

/** iommu_map_sg: maps run after run from @iova on, and tells the hardware once. A failed run undoes its part; those before
 *  it are undone in one more unmap, also where there are none. */
static int sg_map_runs(struct dma_device *dev, const struct sg_table *sgt, uint64_t iova, unsigned prot)
{
	uint64_t mapped = 0, paddr, len;
	unsigned at = 0;
	int err = 0;

	while (!err && (len = sg_next_run(dev, sgt, &at, &paddr)) != 0) {
		err = iommu_map_nosync(dev->domain, iova + mapped, paddr, len, prot);
		mapped += err ? 0 : len;
	}
	if (!err)
		err = iommu_sync_map(dev->domain, iova, mapped);
	if (err)
		iommu_unmap(dev->domain, iova, mapped);
	return err;
}

/** Whether the segment before @entry, so far of @len bytes, may go on with it at @iova. */
static bool sg_extends(const struct dma_device *dev, const struct sg_table *sgt,
		       const struct scatterlist *entry, uint64_t iova, uint64_t len)
{
	return len && !dma_offset(dev, entry->paddr) && (iova & sgt->seg_boundary_mask) &&
	       entry->len <= sgt->max_seg_bytes - len;
}

/** __finalise_sg: cuts what is mapped at @iova into segments. A segment is never behind the entry it starts with, so that
 *  both can live in the same elements. */
static void sg_finalise(struct dma_device *dev, struct sg_table *sgt, uint64_t iova)
{
	uint64_t open_len = 0; /* of the segment that may go on; 0: none may */
	unsigned count = 0;

	for (unsigned i = 0; i < sgt->orig_nents; i++) {
		const struct scatterlist *entry = &sgt->sgl[i];
		uint64_t offset = dma_offset(dev, entry->paddr);

		if (!entry->padded) {
			sgt->sgl[count].dma_addr = dma_p2p_bus_addr(dev, entry->paddr);
			sgt->sgl[count].dma_len = entry->len;
			sgt->sgl[count++].dma_bus = true;
			open_len = 0;
			continue;
		}
		if (!sg_extends(dev, sgt, entry, iova, open_len)) {
			sgt->sgl[count].dma_addr = iova + offset;
			sgt->sgl[count++].dma_bus = false;
			open_len = 0;
		}
		open_len += entry->len;
		sgt->sgl[count - 1].dma_len = open_len;
		iova += entry->padded;
		if (offset + entry->len < entry->padded)
			open_len = 0;
	}
	sgt->nents = count;
}

static int sg_map_together(struct dma_device *dev, struct sg_table *sgt, unsigned flags)
{
	uint64_t total, iova = 0;
	int err;

	if (dma_syncs(dev, flags))
		sg_sync(dev, sgt, dma_cache_for_device, flags);
	err = sg_lay_out(dev, sgt, &total);
	if (err)
		return err;
	if (total) {
		iova = dma_alloc_iova(dev, total, dma_live_kind(DMA_TAKER_MAP_SG, flags & DMA_TO_DEVICE));
		if (!iova)
			return -ENOMEM;
		err = sg_map_runs(dev, sgt, iova, dma_prot(dev, flags));
		if (err) {
			/* Nothing was ever visible to the device for longer than this call: never queued. */
			dma_free_iova(dev, iova, total);
			return err == -ENOMEM || err == -EREMOTEIO ? err : -EINVAL;
		}
	}
	sg_finalise(dev, sgt, iova);
	return 0;
}

/** Unmaps from the first segment that is mapped to the end of the last. */
static void sg_unmap_together(struct dma_device *dev, const struct sg_table *sgt, unsigned flags)
{
	uint64_t start = 0, end = 0;

	if (dma_syncs(dev, flags))
		sg_sync(dev, sgt, dma_cache_for_cpu, flags);
	for (unsigned i = 0; i < sgt->nents; i++) {
		const struct scatterlist *segment = &sgt->sgl[i];

		if (segment->dma_bus)
			continue;
		if (!end)
			start = segment->dma_addr;
		end = segment->dma_addr + segment->dma_len;
	}
	if (!end)
		return;
	if (!dma_check_unmap(dev, start, DMA_TAKER_MAP_SG, flags))
		return;
	start -= dma_offset(dev, start);
	dma_unmap_and_free(dev, start, dma_align(dev, end - start), dma_align(dev, end - start));
}

/** Entries that may be bounced are mapped each by itself, as are those of a device without an IOMMU. */
static bool sg_in_one_iova(const struct dma_device *dev)
{
	return dma_use_iommu(dev) && !dev->config.untrusted;
}

static uint64_t sg_bytes(const struct sg_table *sgt)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < sgt->orig_nents; i++)
		bytes += sgt->sgl[i].len;
	return bytes;
}

int dma_map_sg(struct dma_device *dev, struct sg_table *sgt, unsigned flags)
{
	int err;

	g_assert(sgt->orig_nents > 0);
	sgt->nents = 0;
	dev->stats.sg_map_calls++;
	if (dma_use_iommu(dev) && dev->attach_deferred && dma_attach(dev) != 0)
		err = -EIO;
	else if (sg_in_one_iova(dev))
		err = sg_map_together(dev, sgt, flags);
	else
		err = sg_map_each(dev, sgt, flags);
	if (err)
		dev->stats.errors++;
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_MAP_SG, .paddr = sgt->sgl[0].paddr, .size = sg_bytes(sgt),
		     .addr = err ? DMA_MAPPING_ERROR : sgt->sgl[0].dma_addr, .err = err, .flags = flags);
	return err;
}

void dma_unmap_sg(struct dma_device *dev, struct sg_table *sgt, unsigned flags)
{
	struct dma_call call = {.kind = DMA_CALL_UNMAP_SG,
				.addr = sgt->sgl[0].dma_addr,
				.size = sg_bytes(sgt),
				.flags = flags};

	dev->stats.sg_unmap_calls++;
	if (sg_in_one_iova(dev))
		sg_unmap_together(dev, sgt, flags);
	else
		sg_unmap_each(dev, sgt, sgt->nents, flags);
	sgt->nents = 0;
	SIM_ANNOUNCE(dev->sim, dma_call, &call);
}

/* ---- memory of one IOVA ---- */

static struct sg_table *sg_alloc_blocks(struct physmem *mem, uint64_t bytes, enum frame_use use)
{
	struct sg_table *sgt = g_new0(struct sg_table, 1);
	GArray *blocks = g_array_new(FALSE, TRUE, sizeof(struct scatterlist));
	unsigned order = PHYSMEM_ORDER_MAX;

	for (uint64_t left = bytes; left; left -= (uint64_t)FRAME_SIZE << order) {
		struct scatterlist block = {0};

		while ((uint64_t)FRAME_SIZE << order > left)
			order--;
		block.paddr = physmem_alloc(mem, order, use);
		block.len = block.padded = (uint64_t)FRAME_SIZE << order;
		g_array_append_val(blocks, block);
	}
	sgt->orig_nents = blocks->len;
	sgt->sgl = (struct scatterlist *)(void *)g_array_free(blocks, FALSE);
	return sgt;
}

static void sg_free_blocks(struct physmem *mem, struct sg_table *sgt)
{
	for (unsigned i = 0; i < sgt->orig_nents; i++) {
		uint64_t frames = sgt->sgl[i].len >> FRAME_LG2;

		physmem_free(mem, sgt->sgl[i].paddr, (unsigned)__builtin_ctzll(frames));
	}
	g_free(sgt->sgl);
	g_free(sgt);
}

int dma_map_noncontiguous(struct dma_device *dev, struct sg_table *sgt)
{
	uint64_t bytes = sg_bytes(sgt), iova;

	g_assert(dma_use_iommu(dev) && bytes && !dma_offset(dev, bytes) && dev->granule_lg2 <= FRAME_LG2);
	if (dev->attach_deferred && dma_attach(dev) != 0)
		return -ENOMEM;
	iova = dma_alloc_iova(dev, bytes, dma_live_kind(DMA_TAKER_COHERENT, false));
	if (!iova)
		return -ENOMEM;
	if (sg_map_runs(dev, sgt, iova, PROT_READ | dma_prot(dev, DMA_FROM_DEVICE)) != 0) {
		dma_free_iova(dev, iova, bytes);
		return -ENOMEM;
	}
	sgt->sgl[0].dma_addr = iova;
	sgt->sgl[0].dma_len = bytes;
	sgt->nents = 1;
	return 0;
}

void dma_unmap_noncontiguous(struct dma_device *dev, struct sg_table *sgt)
{
	dma_unmap_and_free(dev, sgt->sgl[0].dma_addr, sgt->sgl[0].dma_len, sgt->sgl[0].dma_len);
	sgt->nents = 0;
}

struct sg_table *dma_alloc_noncontiguous(struct dma_device *dev, uint64_t bytes, enum frame_use use)
{
	struct sg_table *sgt = sg_alloc_blocks(&dev->sim->mem, bytes, use);

	if (dma_map_noncontiguous(dev, sgt) == 0)
		return sgt;
	sg_free_blocks(&dev->sim->mem, sgt);
	return NULL;
}

void dma_free_noncontiguous(struct dma_device *dev, struct sg_table *sgt)
{
	dma_unmap_noncontiguous(dev, sgt);
	sg_free_blocks(&dev->sim->mem, sgt);
}
