/* SPDX-License-Identifier: MIT */
/*
 * iommusim explain: one request through a fresh machine, told step by step. What is told of calls was heard of the models;
 * the reasons beside them are read off the request, the limits and what the driver chose.
 */
#include <errno.h>
#include <string.h>

#include "sim/cmd/explain-calls.h"
#include "sim/cmd/explain-request.h"
#include "sim/cmd/run.h"
#include "sim/core/text.h"

#define HEX	   "0x%" G_GINT64_MODIFIER "x"
#define U64	   "%" G_GUINT64_FORMAT
#define SHOWN_VECS 8 /* of a list of vectors, without --all */

struct explain {
	struct machine_config config;
	struct fault_rules *rules;
	struct machine *machine;
	struct explain_hearing hearing;
	struct explain_request request;
	struct queue_limits limits; /* of the request's queue */
	struct facts *facts;
	bool all;
};

/** What goes to the driver at once: the request, or a part of it. */
struct piece {
	struct request req;
	struct bio_vec_list vecs, meta_vecs;
	struct bio_split split;
	struct nvme_iod *iod;
	enum blk_status status;
};

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

/** Whether the driver maps data as lists of entries. */
static bool explain_maps_lists(const struct explain *explain)
{
	return behaves(explain->machine->sim, BLKDMA_MAPPER) == BLKDMA_MAPPER_SG;
}

static unsigned explain_sgl_choice(const struct explain *explain)
{
	return behaves(explain->machine->sim, NVME_SGL_CHOICE);
}

/* ---- the block layer ---- */

static bool starts_bio(const struct request *req, uint32_t vec)
{
	for (uint32_t bio = 1; bio < req->bio_count; bio++)
		if (req->bio_first[bio] == vec)
			return true;
	return false;
}

/** Says which joint gave the gap bit. */
static char *gap_text(const struct request *req)
{
	g_autofree char *bit = g_strdup_printf("gap bit %u, mask " HEX, req->gap_bit, request_gap_mask(req));

	if (!(request_gap_mask(req) & (NVME_PAGE - 1)))
		return g_strdup_printf("%s: %s", bit,
				       req->vec_count > 1 ? "all vectors meet on page boundaries"
							  : "there is no joint");
	for (uint32_t i = 1; i < req->vec_count; i++) {
		const struct bio_vec *vec = &req->vecs[i - 1], *next = &req->vecs[i];
		bool touch = vec->paddr + vec->len == next->paddr;

		/* What touches counts inside a bio alone. */
		if (!(bio_joint_bits(req->limits, vec, next) >> (req->gap_bit - 1) & 1) || (touch && starts_bio(req, i)))
			continue;
		return g_strdup_printf(
			"%s: vector %u ends at " HEX " and %u begins at " HEX "%s", bit, i,
			vec->paddr + vec->len, i + 1, next->paddr,
			touch ? "; they touch and will be merged, but the bit is set all the same (D10)"
			      : ", not both on a page boundary");
	}
	return g_strdup(bit);
}

/** Says why a request takes no more bytes than it does, to continue a sentence. */
static const char *max_bytes_reason(const struct explain *explain)
{
	const struct dma_device *dev = &explain->machine->dev;
	uint64_t max = explain->limits.max_bytes;

	if (explain->config.mdts && max == (uint64_t)NVME_PAGE << explain->config.mdts)
		return ", what a command of the controller moves (nvme.mdts)";
	if (max == dma_max_mapping_size(dev))
		return ", what a bounce buffer holds (dma_max_mapping_size)";
	if (max == dma_opt_mapping_size(dev))
		return ", what the IOVA caches serve (dma_opt_mapping_size)";
	return "";
}

/** Says why a bio ends in front of byte split.bytes; NULL: it does not. */
static char *split_text(const struct explain *explain, const struct piece *piece)
{
	const struct queue_limits *limits = &explain->limits;
	g_autofree char *bytes = text_size(piece->split.bytes), *max = text_size(limits->max_bytes);

	if (!piece->split.split)
		return NULL;
	if (piece->split.bytes + limits->logical_block_bytes > limits->max_bytes)
		return g_strdup_printf("split after %s: a request takes %s%s", bytes, max,
				       max_bytes_reason(explain));
	if (piece->split.segments >= limits->max_segments)
		return g_strdup_printf("split after %s: a request takes %u segments", bytes,
				       limits->max_segments);
	return g_strdup_printf(
		"split after %s: %s vectors must meet on page boundaries (virt_boundary_mask " HEX ")", bytes,
		explain_maps_lists(explain) ? "of a list" : "without SGLs", limits->virt_boundary_mask);
}

static void tell_ranges(struct explain *explain, const char *key, const char *title,
			const struct bio_vec_list *ranges)
{
	struct facts *facts = explain->facts;

	facts_list_begin(facts, key, NULL);
	for (uint32_t i = 0; i < ranges->count; i++) {
		const struct bio_vec *range = &ranges->vecs[i];
		g_autofree char *len = text_size(range->len);
		bool shown = explain->all || ranges->count <= SHOWN_VECS || i < SHOWN_VECS - 2 ||
			     i + 1 == ranges->count;

		if (shown)
			facts_line(facts, "%s %-3u " HEX ", %s", title, i + 1, range->paddr, len);
		else if (i == SHOWN_VECS - 2)
			facts_line(facts, "... %u more (--all shows them)", ranges->count - SHOWN_VECS + 1);
		facts_begin(facts, NULL, NULL);
		explain_facts_hex(facts, "pa", range->paddr);
		facts_u64(facts, "len_bytes", NULL, range->len);
		facts_end(facts);
	}
	facts_list_end(facts);
}

static void tell_block_layer(struct explain *explain, const struct piece *piece)
{
	struct facts *facts = explain->facts;
	const struct request *req = &piece->req;
	g_autoptr(GArray) segments = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));
	g_autofree char *gap = gap_text(req), *split = split_text(explain, piece),
			*bytes = text_size(req->bytes);
	struct req_iterator iter = request_data(req);
	struct bio_vec segment;

	while (request_next_segment(&iter, &segment))
		g_array_append_val(segments, segment);
	facts_begin(facts, "block_layer", "block layer");
	facts_u64(facts, "lba", NULL, req->sector * 512 / explain->limits.logical_block_bytes);
	facts_u64(facts, "bytes", NULL, req->bytes);
	facts_u64(facts, "bios", NULL, req->bio_count);
	facts_u64(facts, "nr_phys_segments", NULL, req->nr_phys_segments);
	facts_u64(facts, "gap_bit", NULL, req->gap_bit);
	explain_facts_hex(facts, "gap_mask", request_gap_mask(req));
	facts_text(facts, "gap", NULL, gap);
	facts_bool(facts, "split", NULL, split != NULL);
	if (split)
		facts_text(facts, "split_reason", NULL, split);
	if (!req->vec_count) {
		facts_line(facts, "no data: nothing to map");
		facts_end(facts);
		return;
	}
	tell_ranges(explain, "vectors", "vector", &piece->vecs);
	facts_line(facts, "%s in %u vector%s of %u bio%s: %u segment%s%s", bytes, req->vec_count,
		   plural(req->vec_count), req->bio_count, plural(req->bio_count), req->nr_phys_segments,
		   plural(req->nr_phys_segments), req->special ? ", the driver's list of ranges" : "");
	if (segments->len < req->nr_phys_segments)
		facts_line(facts, "of these some touch: %u when merged", segments->len);
	facts_list_begin(facts, "segments", NULL);
	for (guint i = 0; i < segments->len; i++) {
		facts_begin(facts, NULL, NULL);
		explain_facts_hex(facts, "pa", g_array_index(segments, struct bio_vec, i).paddr);
		facts_u64(facts, "len_bytes", NULL, g_array_index(segments, struct bio_vec, i).len);
		facts_end(facts);
	}
	facts_list_end(facts);
	facts_line(facts, "%s", gap);
	if (split)
		facts_line(facts, "%s", split);
	else if (!req->special)
		facts_line(facts, "not split");
	facts_end(facts);
}

/* ---- mapping ---- */

/** The same of a list of entries. */
static const char *coalescing_list(const struct explain *explain, const struct dma_call *list,
				   bool *ret_coalesced)
{
	const struct dma_device *dev = &explain->machine->dev;

	*ret_coalesced = !list->err && dma_use_iommu(dev) && !dev->config.untrusted;
	if (list->err)
		return "no: the list could not be mapped";
	if (!dma_use_iommu(dev))
		return "no: there is no IOMMU, addresses are physical";
	if (dev->config.untrusted)
		return "no: entries that may be bounced are mapped each by itself";
	return "yes: a list of entries always gets one IOVA, in which each takes whole granules (before "
	       "6.17)";
}

/** Whether one IOVA was had for all, and why, or why not. */
static const char *coalescing(const struct explain *explain, const struct piece *piece, bool *ret_coalesced)
{
	const struct dma_call *asked = explain_heard_call(&explain->hearing, DMA_CALL_TRY_ALLOC);
	const struct dma_call *list = explain_heard_call(&explain->hearing, DMA_CALL_MAP_SG);

	if (list)
		return coalescing_list(explain, list, ret_coalesced);
	*ret_coalesced = asked && asked->addr;
	if (*ret_coalesced)
		return "yes: the gap mask has no bit below the granule (4 KiB), so one IOVA holds all "
		       "segments without a hole";
	if (asked)
		return dma_use_iommu(&explain->machine->dev)
			       ? "no: there was no IOVA for all of it, so segment by segment"
			       : "no: there is no IOMMU, addresses are physical";
	if (piece->req.nr_phys_segments == 1)
		return "no: a single segment is mapped by itself";
	if (explain_maps_lists(explain))
		return "no: there was no memory for a list of entries";
	return "no: the gap mask has bits below the granule (4 KiB): in one IOVA there would be holes; "
	       "segment by segment";
}

/** What forces an SGL; NULL: nothing. */
static const char *descriptor_force(const struct explain *explain, const struct piece *piece)
{
	const struct request *req = &piece->req;
	bool lists = explain_maps_lists(explain);

	if (req->op == REQ_OP_DRV &&
	    (!lists || (!piece->iod->single && explain_sgl_choice(explain) == NVME_SGL_USER)))
		return "forced: a passthrough command, and the controller takes SGLs";
	if (!lists && req->nr_integrity_segments > 1)
		return "forced: several pieces of metadata, which need an SGL as well";
	if (!lists && request_gap_mask(req) & (NVME_PAGE - 1))
		return "forced: the gap mask has bits below the controller's page, and PRPs have no holes";
	if (piece->iod->single)
		return "one segment in more than two pages, which PRP1 and PRP2 cannot say";
	return NULL;
}

/** Among how many segments the driver shares the bytes out, for the mean that it compares with the threshold; *@ret_which
 *  says how it counts. */
static uint64_t mean_segments(const struct explain *explain, const struct piece *piece, bool coalesced,
			      const char **ret_which)
{
	if (!explain_maps_lists(explain)) {
		*ret_which = coalesced ? ", all behind one IOVA counting as one" : ", in the mean";
		return coalesced ? 1 : piece->req.nr_phys_segments;
	}
	if (explain_sgl_choice(explain) == NVME_SGL_COUNTED) {
		*ret_which = ", in the mean of the segments as counted before mapping";
		return piece->req.nr_phys_segments;
	}
	*ret_which = ", in the mean of what the list was mapped to";
	return piece->iod->single ? 1 : piece->iod->sgt.nents;
}

/** Why the command has an SGL, or PRPs. */
static char *descriptor_reason(const struct explain *explain, const struct piece *piece, bool coalesced)
{
	const struct machine_config *config = &explain->config;
	const char *forced = descriptor_force(explain, piece), *which;
	uint64_t entries = mean_segments(explain, piece, coalesced, &which);
	g_autofree char *size = text_size((piece->req.bytes + entries - 1) / entries),
			*threshold = text_size(config->sgl_threshold);

	if (piece->iod->sgl && forced)
		return g_strdup(forced);
	if (piece->iod->sgl)
		return g_strdup_printf("%s a segment%s: at least nvme.sgl-threshold, %s", size, which,
				       threshold);
	if (explain->request.queue == 0)
		return g_strdup("the admin queue takes no SGLs");
	if (!config->sgl)
		return g_strdup("the controller takes no SGLs (nvme.sgl)");
	if (piece->iod->single)
		return g_strdup("one segment in at most two pages, which PRP1 and PRP2 can say");
	if (!config->sgl_threshold)
		return g_strdup("nothing forces an SGL, and nvme.sgl-threshold=0 says never else");
	return g_strdup_printf("%s a segment%s: below nvme.sgl-threshold, %s", size, which, threshold);
}

static const char *status_text(enum blk_status status)
{
	switch (status) {
	case BLK_STS_OK:
		return "the command is ready";
	case BLK_STS_RESOURCE:
	case BLK_STS_DEV_RESOURCE:
		return "not sent: the block layer tries again, after 3 ms at the latest";
	default:
		return "not sent: the request ends with this error";
	}
}

static void tell_mapping(struct explain *explain, struct piece *piece)
{
	struct facts *facts = explain->facts;
	const char *status = blk_status_names[piece->status];
	bool coalesced;
	const char *why = coalescing(explain, piece, &coalesced);

	facts_begin(facts, "mapping", "mapping");
	facts_bool(facts, "coalesced", NULL, coalesced);
	if (piece->req.vec_count) {
		facts_line(facts, "one IOVA for all? %s", why);
		facts_text(facts, "coalesced_reason", NULL, why);
	}
	if (piece->req.vec_count && piece->status == BLK_STS_OK) {
		g_autofree char *reason = descriptor_reason(explain, piece, coalesced);

		facts_line(facts, "PRP or SGL? %s: %s", piece->iod->sgl ? "SGL" : "PRP", reason);
		facts_text(facts, "descriptor", NULL, piece->iod->sgl ? "sgl" : "prp");
		facts_text(facts, "descriptor_reason", NULL, reason);
	}
	explain_tell_calls(&explain->hearing, facts, "calls", NULL, "outside of a call", explain->all);
	facts_text(facts, "status", NULL, status);
	facts_line(facts, "%s: %s", status, status_text(piece->status));
	facts_end(facts);
}

/* ---- the command ---- */

static const char *opcode_name(uint8_t opcode)
{
	static const struct {
		uint8_t opcode;
		const char *name;
	} names[] = {{NVME_CMD_FLUSH, "flush"},
		     {NVME_CMD_WRITE, "write"},
		     {NVME_CMD_READ, "read"},
		     {NVME_CMD_WRITE_ZEROES, "write zeroes"},
		     {NVME_CMD_DSM, "dataset management"}};

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
		if (names[i].opcode == opcode)
			return names[i].name;
	return "vendor specific";
}

/** Adds an address of the command, for the device, and where it leads. */
static void tell_address(struct explain *explain, uint64_t addr)
{
	explain_facts_hex(explain->facts, "addr", addr);
	explain_facts_hex(explain->facts, "pa",
			  explain->machine->domain ? iommu_iova_to_phys(explain->machine->domain, addr)
						   : addr);
}

/** Tells entries [@first, @last] of a list, each one page on from the one before. */
static void tell_prp_run(struct explain *explain, const uint64_t *list, unsigned first, unsigned last)
{
	if (first == last)
		facts_line(explain->facts, "  [%u] " HEX, first, list[first]);
	else
		facts_line(explain->facts, "  [%u..%u] " HEX " and on by 0x1000", first, last, list[first]);
	for (unsigned i = first; i <= last; i++) {
		facts_begin(explain->facts, NULL, NULL);
		tell_address(explain, list[i]);
		facts_end(explain->facts);
	}
}

/** Tells a list, of which the first @count of @slots entries are pages and, where @chained, the last is the next list. */
static void tell_prp_list(struct explain *explain, const struct dma_pool_block *block, unsigned slots,
			  unsigned count, bool chained)
{
	const uint64_t *list = physmem_bytes(&explain->machine->sim->mem, block->paddr);
	struct facts *facts = explain->facts;

	facts_line(facts, "list at " HEX ", of %u entries from the %s pool", block->addr, slots,
		   slots < NVME_PAGE / sizeof(uint64_t) ? "small" : "large");
	facts_begin(facts, NULL, NULL);
	tell_address(explain, block->addr);
	facts_u64(facts, "slots", NULL, slots);
	facts_list_begin(facts, "entries", NULL);
	for (unsigned first = 0, last; first < count; first = last + 1) {
		for (last = first; last + 1 < count && list[last + 1] == list[last] + NVME_PAGE;)
			last++;
		tell_prp_run(explain, list, first, last);
	}
	facts_list_end(facts);
	if (chained) {
		facts_line(facts, "  [%u] " HEX ", the next list", slots - 1, list[slots - 1]);
		explain_facts_hex(facts, "next_list", list[slots - 1]);
	}
	facts_end(facts);
}

static void tell_prps(struct explain *explain, const struct nvme_iod *iod)
{
	struct facts *facts = explain->facts;
	uint64_t left = iod->req->bytes - MIN(iod->req->bytes, NVME_PAGE - iod->sqe.dptr[0] % NVME_PAGE);
	unsigned pages = (unsigned)((left + NVME_PAGE - 1) / NVME_PAGE);
	unsigned slots =
		(iod->small_descriptor ? NVME_SMALL_POOL_BYTES : NVME_PAGE) / (unsigned)sizeof(uint64_t);

	facts_line(facts, "PRP1 " HEX, iod->sqe.dptr[0]);
	explain_facts_hex(facts, "prp1", iod->sqe.dptr[0]);
	if (pages) {
		facts_line(facts, "PRP2 " HEX "%s", iod->sqe.dptr[1],
			   iod->descriptor_count ? ": a list, as more than one page is left" : "");
		explain_facts_hex(facts, "prp2", iod->sqe.dptr[1]);
	}
	facts_list_begin(facts, "lists", NULL);
	for (unsigned i = 0; i < iod->descriptor_count; i++) {
		unsigned count = pages <= slots ? pages : slots - 1;

		tell_prp_list(explain, &iod->descriptors[i], slots, count, count < pages);
		pages -= count;
	}
	facts_list_end(facts);
}

static void tell_sgl_entry(struct explain *explain, const char *title, const struct nvme_sgl_desc *desc)
{
	struct facts *facts = explain->facts;
	g_autofree char *len = text_size(desc->length);

	facts_line(facts, "%s" HEX ", %s, type 0x%02x%s", title, desc->addr, len, desc->type,
		   desc->type == NVME_SGL_DATA ? " (data)" : " (the last segment: a list)");
	tell_address(explain, desc->addr);
	facts_u64(facts, "len_bytes", NULL, desc->length);
	facts_u64(facts, "type", NULL, desc->type);
}

static void tell_sgl(struct explain *explain, const struct nvme_iod *iod)
{
	const struct nvme_sgl_desc *desc = (const void *)iod->sqe.dptr, *list;
	struct facts *facts = explain->facts;

	facts_begin(facts, "sgl1", NULL);
	tell_sgl_entry(explain, "SGL1 ", desc);
	facts_end(facts);
	if (desc->type == NVME_SGL_DATA)
		return;
	list = physmem_bytes(&explain->machine->sim->mem, iod->descriptors[0].paddr);
	facts_list_begin(facts, "entries", NULL);
	for (unsigned i = 0; i < desc->length / sizeof(*list); i++) {
		g_autofree char *title = g_strdup_printf("  [%u] ", i);

		facts_begin(facts, NULL, NULL);
		tell_sgl_entry(explain, title, &list[i]);
		facts_end(facts);
	}
	facts_list_end(facts);
}

/** Tells the SGL of the metadata: a data descriptor, or a segment descriptor and the list behind it. */
static void tell_meta_sgl(struct explain *explain, const struct nvme_iod *iod)
{
	const struct nvme_sgl_desc *list =
		physmem_bytes(&explain->machine->sim->mem, iod->meta_descriptor.paddr);
	unsigned count = list->type == NVME_SGL_DATA ? 0 : list->length / (unsigned)sizeof(*list);

	facts_list_begin(explain->facts, "metadata_entries", NULL);
	for (unsigned i = 0; i <= count; i++) {
		g_autofree char *title = g_strdup_printf("  [%u] ", i);

		facts_begin(explain->facts, NULL, NULL);
		tell_sgl_entry(explain, title, &list[i]);
		facts_end(explain->facts);
	}
	facts_list_end(explain->facts);
}

static void tell_command(struct explain *explain, const struct piece *piece)
{
	const struct nvme_iod *iod = piece->iod;
	struct facts *facts = explain->facts;
	const char *name = opcode_name(iod->sqe.opcode);

	facts_begin(facts, "command", "command");
	facts_line(facts, "%s (0x%02x), id 0x%04x, namespace %u, flags 0x%02x%s", name, iod->sqe.opcode,
		   iod->sqe.command_id, iod->sqe.nsid, iod->sqe.flags,
		   iod->sgl	      ? " (data by SGL)"
		   : piece->req.bytes ? " (data by PRPs)"
				      : "");
	facts_text(facts, "opcode", NULL, name);
	facts_u64(facts, "flags", NULL, iod->sqe.flags);
	if (piece->req.vec_count && iod->sgl)
		tell_sgl(explain, iod);
	else if (piece->req.vec_count)
		tell_prps(explain, iod);
	if (piece->req.meta_vec_count) {
		facts_line(facts, "metadata at " HEX "%s", iod->sqe.metadata,
			   explain->config.meta_bytes
				   ? ""
				   : " (which a namespace without nvme.metadata leaves alone)");
		explain_facts_hex(facts, "metadata", iod->sqe.metadata);
		if (iod->has_meta_descriptor)
			tell_meta_sgl(explain, iod);
	}
	facts_end(facts);
}

/* ---- the device, and the way back ---- */

/** What becomes of a command that the controller does not complete, or nobody hears of. */
static const char *loss_text(enum controller_loss loss)
{
	static const char *const texts[] = {
		[CONTROLLER_LOSES_COMMAND] = "the command hangs: when its time is over an Abort gets it "
					     "back, and it is tried again",
		[CONTROLLER_LOSES_INTERRUPT] = "no interrupt tells of it: it is found when its time is over",
		[CONTROLLER_LOSES_ALL] = "the command is lost: when its time is over no Abort finds it, and "
					 "a reset cancels it"};

	return texts[loss];
}

static const char *device_status_text(uint16_t status)
{
	if (status == NVME_SC_SUCCESS)
		return ": success";
	if (status & NVME_STATUS_DNR)
		return ", and not to be tried again: the request ends with an error";
	if ((status & NVME_STATUS_TYPE_CODE) == NVME_SC_DATA_XFER_ERROR)
		return ": data transfer error; the driver tries again five times";
	return ": an error; the driver tries again five times";
}

static void tell_device(struct explain *explain, const struct controller_command *done)
{
	struct facts *facts = explain->facts;
	bool iommu = dma_use_iommu(&explain->machine->dev);
	struct controller_walks walks = controller_walks_sum(done);
	g_autofree char *moved = text_size(done->bytes);

	facts_begin(facts, "device", "device");
	facts_line(facts, "%u access%s%s for the command, its lists and its data; %s moved", done->accesses,
		   done->accesses == 1 ? "" : "es", iommu ? " by IOVA" : " by physical address", moved);
	if (iommu)
		facts_line(facts, "%u of these missed the IOTLB: %u page-table entr%s read",
			   walks.misses, walks.table_reads, walks.table_reads == 1 ? "y" : "ies");
	facts_line(facts, "status 0x%x%s", done->status & NVME_STATUS_TYPE_CODE,
		   device_status_text(done->status));
	if (done->loss != CONTROLLER_LOSES_NOTHING)
		facts_line(facts, "%s", loss_text(done->loss));
	facts_u64(facts, "accesses", NULL, done->accesses);
	facts_u64(facts, "moved_bytes", NULL, done->bytes);
	facts_u64(facts, "iotlb_misses", NULL, walks.misses);
	facts_u64(facts, "table_reads", NULL, walks.table_reads);
	facts_u64(facts, "nvme_status", NULL, done->status);
	facts_bool(facts, "completion_lost", NULL, done->loss != CONTROLLER_LOSES_NOTHING);
	explain_tell_calls(&explain->hearing, facts, "calls", NULL, "of its accesses", explain->all);
	facts_end(facts);
}

/** @written: the controller could write the completion. */
static void tell_unmap(struct explain *explain, bool written)
{
	facts_begin(explain->facts, "unmap", "unmap, when it completes");
	if (!written)
		facts_line(explain->facts,
			   "the completion cannot be written, and the controller fails (CSTS.CFS): when the "
			   "command's time is over it is reset, and the command, cancelled, is tried again");
	if (!explain_has_calls(&explain->hearing))
		facts_line(explain->facts, "nothing to undo");
	explain_tell_calls(&explain->hearing, explain->facts, "calls", NULL, "outside of a call",
			   explain->all);
	facts_end(explain->facts);
}

/** Undoes a command that a reset cancels. */
static void cancelled(void *data, struct nvme_iod *iod)
{
	struct explain *explain = data;

	nvme_unmap_rq(explain->machine->nvme, iod);
}

/** The controller, which has failed or does not answer, is reset; then it works again. */
static void reset_controller(struct explain *explain)
{
	struct machine *machine = explain->machine;

	machine->ctrl.fatal = true;
	nvme_cancel_all(machine->nvme, cancelled, explain);
	machine->ctrl.fatal = false;
}

/** The controller does nothing for the command: it has failed, or was not told of it. */
static void tell_failed_controller(struct explain *explain)
{
	struct facts *facts = explain->facts;

	facts_begin(facts, "device", "device");
	facts_line(facts, explain->machine->ctrl.fatal
				  ? "the controller fails (CSTS.CFS) and does nothing: when the command's "
				    "time is over it is "
				    "reset, and the command, cancelled, is tried again"
				  : "the doorbell is lost, and the controller does nothing: if no other "
				    "command rings before "
				    "the command's time is over, no Abort finds it, and a reset cancels it");
	facts_bool(facts, "stops", NULL, true);
	explain_tell_calls(&explain->hearing, facts, "calls", NULL, "of its accesses", explain->all);
	facts_end(facts);
}

/** Returns whether the controller could write the completion; else nothing has happened. */
static bool complete_piece(struct explain *explain, struct piece *piece, struct controller_command *done)
{
	struct machine *machine = explain->machine;
	unsigned qid = (unsigned)explain->request.queue;
	uint16_t status;

	if (!controller_complete(&machine->ctrl, qid, done))
		return false;
	if (nvme_poll_cq(machine->nvme, qid, &status) != piece->iod)
		g_assert_not_reached();
	nvme_ring_cq(machine->nvme, qid);
	nvme_unmap_rq(machine->nvme, piece->iod);
	return true;
}

static void send_piece(struct explain *explain, struct piece *piece)
{
	struct machine *machine = explain->machine;
	unsigned qid = (unsigned)explain->request.queue;
	struct controller_command done;
	bool works, written = true;

	nvme_submit(machine->nvme, qid, piece->iod, true);
	works = controller_execute(&machine->ctrl, qid, &done);
	if (works && done.loss == CONTROLLER_LOSES_COMMAND)
		done.status = NVME_SC_ABORT_REQ;
	if (works)
		tell_device(explain, &done);
	else
		tell_failed_controller(explain);
	if (works && done.loss != CONTROLLER_LOSES_ALL)
		written = complete_piece(explain, piece, &done);
	if (!works || done.loss == CONTROLLER_LOSES_ALL || !written)
		reset_controller(explain);
	tell_unmap(explain, written);
}

/** Says whether the piece under way, @data, holds data at @paddr. */
static bool tell_owner(void *data, uint64_t paddr, uint64_t *ret_number)
{
	const struct piece *piece = data;

	*ret_number = piece->req.number;
	return request_holds(&piece->req, paddr);
}

/** Takes @piece through the machine and tells of it. */
static void run_piece(struct explain *explain, struct piece *piece)
{
	struct machine *machine = explain->machine;
	unsigned qid = (unsigned)explain->request.queue;
	g_autofree char *title = NULL, *bytes = text_size(piece->req.bytes);

	title = g_strdup_printf("request " U64 ": %s", piece->req.number,
				piece->req.special ? "a list of ranges"
				: piece->req.bytes ? bytes
						   : "no data");
	facts_begin(explain->facts, NULL, title);
	facts_u64(explain->facts, "number", NULL, piece->req.number);
	request_prepare(&piece->req);
	tell_block_layer(explain, piece);
	machine->sim->actor = piece->req.number;
	machine->sim->mem.owner = tell_owner;
	machine->sim->mem.owner_data = piece;
	piece->iod = nvme_get_tag(machine->nvme, qid);
	g_assert(piece->iod != NULL);
	piece->status = nvme_prep_rq(machine->nvme, piece->iod, &piece->req, qid ? 1 : 0);
	tell_mapping(explain, piece);
	if (piece->status == BLK_STS_OK) {
		tell_command(explain, piece);
		send_piece(explain, piece);
	}
	nvme_put_tag(machine->nvme, qid, piece->iod);
	machine->sim->mem.owner = NULL;
	facts_end(explain->facts);
}

/* ---- the request ---- */

static void init_piece(const struct explain *explain, struct piece *piece, uint64_t number, uint64_t done,
		       uint64_t meta_bytes)
{
	const struct explain_request *request = &explain->request;
	uint32_t block = explain->limits.logical_block_bytes;

	piece->req = (struct request){.number = number,
				      .sector = request->lba * (block / 512) + done / 512,
				      .vecs = piece->vecs.vecs,
				      .vec_count = piece->vecs.count,
				      .bio_first = (const uint32_t *)(const void *)request->bio_first->data,
				      .bio_count = request->bio_first->len,
				      .limits = &explain->limits,
				      .special = request->op == REQ_OP_DISCARD,
				      .op = request->op,
				      .to_device = request->to_device};
	for (guint i = 0; i < piece->vecs.count; i++)
		piece->req.bytes += piece->req.vecs[i].len;
	piece->req.meta_vecs = piece->meta_vecs.vecs;
	piece->req.meta_vec_count = piece->meta_vecs.count;
	piece->req.meta_bytes = meta_bytes;
}

/** Returns how much of the integrity data goes with @bytes of the data, as bio_integrity_advance() shares it out. */
static uint64_t piece_meta_bytes(const struct explain *explain, uint64_t bytes)
{
	const struct explain_request *request = &explain->request;
	uint32_t block = explain->limits.logical_block_bytes;

	return request->meta_bytes ? request->meta_bytes / (request->bytes / block) * (bytes / block) : 0;
}

/** Runs the pieces of the request, one after the other. */
static void run_pieces(struct explain *explain)
{
	const struct explain_request *request = &explain->request;
	struct bio_vec_list vecs = {0}, meta_vecs = {0};
	uint64_t done = 0, number = 0, skip = 0, meta_skip = 0;
	uint32_t at = 0, meta_at = 0;

	facts_list_begin(explain->facts, "requests", NULL);
	do {
		const struct bio_vec *rest = &request->vecs.vecs[at];
		struct piece piece = {.split = {.bytes = request->bytes}};
		uint64_t meta_bytes;

		if (request->op != REQ_OP_DISCARD && request->bio_first->len == 1 && request->bytes)
			piece.split = bio_split(rest, request->vecs.count - at, skip, &explain->limits);
		if (piece.split.err) {
			facts_line(explain->facts,
				   "the rest, from byte " U64
				   " on, is refused: %s, as not one block of it fits",
				   done, fault_errno_name(piece.split.err));
			break;
		}
		bio_vecs_take(&request->vecs, &at, &skip, piece.split.bytes, &vecs);
		meta_bytes = piece_meta_bytes(explain, piece.split.bytes);
		bio_vecs_take(&request->meta, &meta_at, &meta_skip, meta_bytes, &meta_vecs);
		piece.vecs = vecs;
		piece.meta_vecs = meta_vecs;
		init_piece(explain, &piece, ++number, done, meta_bytes);
		run_piece(explain, &piece);
		done += piece.req.bytes;
	} while (done < request->bytes);
	facts_list_end(explain->facts);
	facts_u64(explain->facts, "refused_bytes", NULL, request->bytes - done);
	bio_vec_list_finish(&vecs);
	bio_vec_list_finish(&meta_vecs);
}

/** Names the request, by what its kind has: a flush concerns no block, and a discard's data are the driver's. */
static char *request_text(const struct explain_request *request)
{
	g_autofree char *size = text_size(request->bytes);
	bool moves = request->op == REQ_OP_READ || request->op == REQ_OP_WRITE;
	bool has_block = moves || request->op == REQ_OP_DISCARD || request->op == REQ_OP_WRITE_ZEROES;
	bool has_data = moves || (request->op == REQ_OP_DRV && request->bytes);
	g_autofree char *block = has_block ? g_strdup_printf(" at block " U64, request->lba) : g_strdup("");

	return g_strdup_printf("%s%s%s%s, %s " U64, req_op_names[request->op], block, has_data ? ", " : "",
			       has_data ? size : "", request->queue ? "queue" : "admin queue",
			       request->queue);
}

static void tell_request(struct explain *explain)
{
	const struct explain_request *request = &explain->request;
	const struct machine_config *config = &explain->config;
	const char *hardware =
		dma_use_iommu(&explain->machine->dev) ? explain->machine->iommu->ops->name : NULL;
	struct facts *facts = explain->facts;
	g_autofree char *text = request_text(request), *max = text_size(explain->limits.max_bytes),
			*block = text_size(config->logical_block_bytes),
			*threshold = text_size(config->sgl_threshold);

	facts_begin(facts, "request", NULL);
	facts_line(facts, "%s", text);
	facts_text(facts, "op", NULL, req_op_names[request->op]);
	facts_u64(facts, "lba", NULL, request->lba);
	facts_u64(facts, "bytes", NULL, request->bytes);
	facts_u64(facts, "queue", NULL, request->queue);
	facts_end(facts);
	facts_begin(facts, "machine", NULL);
	facts_line(facts, "Linux %s, %s, IOMMU %s%s%s; a request takes %s and %u segments; blocks of %s",
		   kernel_version_names[config->version], MACHINE_DEVICE, hardware ? hardware : "",
		   hardware ? " " : "", iommu_mode_names[config->iommu_mode], max,
		   explain->limits.max_segments, block);
	if (config->sgl && !config->sgl_threshold)
		facts_line(facts, "the controller takes SGLs, where forced (nvme.sgl-threshold=0)");
	else if (config->sgl)
		facts_line(facts,
			   "the controller takes SGLs, where forced or from %s a segment on "
			   "(nvme.sgl-threshold)",
			   threshold);
	else
		facts_line(facts, "the controller takes no SGLs");
	facts_text(facts, "version", NULL, kernel_version_names[config->version]);
	if (hardware)
		facts_text(facts, "hardware", NULL, hardware);
	facts_text(facts, "mode", NULL, iommu_mode_names[config->iommu_mode]);
	facts_u64(facts, "max_bytes", NULL, explain->limits.max_bytes);
	facts_u64(facts, "max_segments", NULL, explain->limits.max_segments);
	explain_facts_hex(facts, "virt_boundary_mask", explain->limits.virt_boundary_mask);
	facts_bool(facts, "sgl", NULL, config->sgl);
	facts_u64(facts, "sgl_threshold_bytes", NULL, config->sgl_threshold);
	facts_end(facts);
}

/** What happens when nothing more is asked for: the flush queue's timer. */
static void run_timers(struct explain *explain)
{
	sim_run_until(explain->machine->sim, UINT64_MAX);
	if (explain_has_calls(&explain->hearing))
		explain_tell_calls(&explain->hearing, explain->facts, "later",
				   "later, the flush queue's timer", "flush and return", explain->all);
}

/* ---- the command line ---- */

/** Only what fits is merged or passed through; @bio of @number, from 1, is. */
static bool check_bio(const struct explain *explain, guint bio, uint32_t *segments, GError **error)
{
	const struct explain_request *request = &explain->request;
	const GArray *firsts = request->bio_first;
	uint32_t first = g_array_index(firsts, uint32_t, bio), end = request->vecs.count;
	struct bio_split split;

	if (bio + 1 < firsts->len)
		end = g_array_index(firsts, uint32_t, bio + 1);
	split = bio_split(&request->vecs.vecs[first], end - first, 0,
			  &explain->limits);
	*segments += split.segments;
	if (!split.split && !split.err)
		return true;
	return sim_error_plain(error, "--request: bio %u must be split after " U64 " bytes, and %s", bio + 1,
			       split.err ? 0 : split.bytes,
			       request->op == REQ_OP_DRV ? "a passthrough command cannot be"
							 : "such a bio is not merged: give it alone") == 0;
}

/** Whether bios @bio and the next can be in one request of a controller without SGLs. */
static bool check_joint(const struct explain *explain, guint bio, GError **error)
{
	uint32_t first = g_array_index(explain->request.bio_first, uint32_t, bio + 1);
	const struct bio_vec *next = &explain->request.vecs.vecs[first],
			     *vec = next - 1;

	if (vec->paddr + vec->len == next->paddr || !((vec->paddr + vec->len) | next->paddr) ||
	    !(((vec->paddr + vec->len) | next->paddr) & explain->limits.virt_boundary_mask))
		return true;
	return sim_error_plain(error,
			       "--request: bios %u and %u are not merged: without SGLs they must meet on a "
			       "page boundary",
			       bio + 1, bio + 2) == 0;
}

static bool check_bios(const struct explain *explain, GError **error)
{
	const struct explain_request *request = &explain->request;
	guint bios = request->bio_first->len;
	uint32_t segments = 0;

	if (!request->bytes || request->op == REQ_OP_DISCARD || (bios == 1 && request->op != REQ_OP_DRV))
		return true;
	for (guint bio = 0; bio < bios; bio++)
		if (!check_bio(explain, bio, &segments, error) ||
		    (bio + 1 < bios && !check_joint(explain, bio, error)))
			return false;
	if (request->bytes > explain->limits.max_bytes || segments > explain->limits.max_segments)
		return sim_error_plain(error,
				       "--request: %u bios of " U64
				       " bytes and %u segments are not merged: a request takes " U64
				       " and %u",
				       bios, request->bytes, segments, explain->limits.max_bytes,
				       explain->limits.max_segments) == 0;
	return true;
}

/** Whether a controller takes as many pieces of integrity data. */
static bool check_meta(const struct explain *explain, GError **error)
{
	unsigned most = explain->limits.max_integrity_segments;

	if (explain->request.meta.count <= most)
		return true;
	return sim_error_plain(error,
			       "--request: meta: %u pieces: a request takes %u (15 with nvme.metadata-sgl, and "
			       "without lists of entries)",
			       explain->request.meta.count, most) == 0;
}

/** Makes the machine. Faults count from here on, not from its probe. */
static bool make_machine(struct explain *explain, GError **error)
{
	const struct machine_config *config = &explain->config;
	struct machine *machine = machine_new(config, config->cpus ? (unsigned)config->cpus : 1, NULL);
	const char *step;
	int err;

	explain->machine = machine;
	err = machine_probe(machine, true, &step);
	if (err)
		return sim_error_plain(error, "the machine cannot be probed: %s: %s", step,
				       fault_errno_name(err)) == 0;
	if (explain->request.queue >= machine->nvme->queue_count)
		return sim_error_plain(error, "--request: queue=" U64 ": the I/O queues are 1 to %u",
				       explain->request.queue, machine->nvme->queue_count - 1) == 0;
	if (explain->rules)
		fault_rules_arm(explain->rules, machine->sim);
	explain_hearing_init(&explain->hearing, machine, explain->rules);
	explain->limits = machine->nvme->limits;
	/* The device touches as much of them as the request has; where it has none, the device makes them (PRACT). */
	if (config->meta_bytes)
		machine->nvme->config.meta_bytes = 0;
	if (config->meta_bytes && explain->request.meta_bytes)
		machine->nvme->config.meta_bytes =
			(unsigned)(explain->request.meta_bytes /
				   (explain->request.bytes / machine->nvme->config.logical_block_bytes));
	if (explain->request.queue == 0)
		explain->limits.virt_boundary_mask = NVME_PAGE - 1;
	return check_bios(explain, error) && check_meta(explain, error);
}

static int explain_run(struct explain *explain, const struct cmd_common *common)
{
	const struct findings *findings = &explain->machine->sim->findings;
	g_autofree char *text = NULL;
	bool ok;

	explain->facts = facts_new();
	tell_request(explain);
	run_pieces(explain);
	run_timers(explain);
	machine_remove(explain->machine);
	report_findings(explain->facts, findings, TRUE, "violations", "violations");
	report_findings(explain->facts, findings, FALSE, "observations", "observations");
	text = common->json ? facts_to_json(explain->facts) : facts_to_text(explain->facts);
	facts_free(explain->facts);
	ok = cmd_print(text);
	run_warn_idle_rules(explain->rules);
	if (!ok)
		return EXIT_UNUSABLE;
	return findings_violations(findings) ? EXIT_FOUND : EXIT_DONE;
}

static int explain_options(struct explain *explain, const struct run_options *options, const char *request,
			   const struct cmd_common *common)
{
	struct machine_board *board = NULL; /* there is no option for one */
	GError *error = NULL;

	if (!request)
		return cmd_fail("explain needs a request: --request \"write lba=0 bvec=0x100000000+4k\"");
	if (run_read_config(options, &explain->config, &board, &explain->rules, &error) &&
	    explain_request_parse(&explain->request, request, (uint32_t)explain->config.logical_block_bytes,
				  &error) &&
	    make_machine(explain, &error))
		return explain_run(explain, common);
	return cmd_fail_error(error);
}

int cmd_explain(const struct command *command, int argc, char **argv)
{
	struct run_options options = {0};
	g_autofree char *request = NULL;
	gboolean all = FALSE;
	const GOptionEntry entries[] = {
		{"request", 'r', 0, G_OPTION_ARG_FILENAME, &request,
		 "OP [lba=N] [bvec=ADDR+LEN,...] [meta=ADDR+LEN,...] [queue=N] [dir=in|out]; OP: read, write, "
		 "flush, discard, "
		 "write-zeroes, passthrough; \"/\" between vectors starts the next bio",
		 "TEXT"},
		{"machine", 'c', 0, G_OPTION_ARG_FILENAME, &options.machine_file, "the machine file",
		 "MACHINE.ini"},
		{"set", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.sets,
		 "override one key of the machine file", "GROUP.KEY=VALUE"},
		{"faults", 'f', 0, G_OPTION_ARG_FILENAME, &options.faults_file,
		 "the faults file; passes count from the request on", "FAULTS.ini"},
		{"all", 0, 0, G_OPTION_ARG_NONE, &all, "show every call, also of many alike", NULL},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	struct explain explain = {0};
	struct cmd_common common;
	int code;

	if (!cmd_parse(command, argc, argv, entries, 0, 0, &common)) {
		run_options_clear(&options);
		return common.exit_code;
	}
	explain.all = all;
	code = explain_options(&explain, &options, request, &common);
	machine_free(explain.machine);
	explain_hearing_finish(&explain.hearing);
	explain_request_clear(&explain.request);
	fault_rules_free(explain.rules);
	run_options_clear(&options);
	cmd_common_clear(&common);
	return code;
}
