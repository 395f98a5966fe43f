/* SPDX-License-Identifier: MIT */
#include "blockdma/controller.h"

#include <errno.h>
#include <string.h>

#include "sim/core/text.h"

/* Of controller.status, with the status: it may be tried again. */
#define CONTROLLER_ACTION_RETRY (1u << 16)

/** "0x281": type and code; "0x281 retry": and the command may be tried again. */
static bool controller_action_status(const char *text, uint32_t *ret_action)
{
	g_auto(GStrv) words = g_strsplit(text, " ", 2);
	uint64_t status;

	if (!words[0] || !text_parse_u64(words[0], &status) || !status || status > NVME_STATUS_TYPE_CODE)
		return false;
	if (words[1] && strcmp(words[1], "retry") != 0)
		return false;
	*ret_action = (uint32_t)status | (words[1] ? CONTROLLER_ACTION_RETRY : 0);
	return true;
}

static bool controller_action_lost(const char *text, uint32_t *ret_action)
{
	static const char *const losses[CONTROLLER_LOSES_NOTHING] = {[CONTROLLER_LOSES_COMMAND] = "command",
								     [CONTROLLER_LOSES_INTERRUPT] = "interrupt",
								     [CONTROLLER_LOSES_ALL] = "all"};

	for (unsigned loss = 0; loss < CONTROLLER_LOSES_NOTHING; loss++)
		if (strcmp(losses[loss], text) == 0) {
			*ret_action = loss;
			return true;
		}
	return false;
}

static const struct fault_point controller_points[] = {
	{"controller.status", -EIO, "a command completes with an error status",
	 "nvme_should_fail() in drivers/nvme/host/fault_inject.c", controller_action_status,
	 "a status type and code such as 0x281, \"retry\" behind it where it may be tried again"},
	{"controller.lost_completion", -ETIMEDOUT, "no completion: the time-out handler runs",
	 "nvme_timeout() in drivers/nvme/host/pci.c", controller_action_lost, "command, interrupt or all"},
	{"controller.transfer_error", -EIO, "a command completes with a data transfer error",
	 "NVM Express base specification, status 4h"},
	{"controller.fatal", -EIO, "the controller fails (CSTS.CFS) and completes nothing more",
	 "nvme_should_reset() in drivers/nvme/host/pci.c"},
	{"controller.translation", -EIO,
	 "the IOMMU refuses an access: the command fails, or of a queue the controller",
	 "pagetable-facts section 6, and NVM Express base specification, status 4h"},
	{"controller.doorbell", -ETIMEDOUT,
	 "the write of a submission queue's tail is lost: the next one tells of it, or the time-out handler "
	 "runs",
	 "nvme_write_sq_db() in drivers/nvme/host/pci.c"},
};

const struct fault_table controller_fault_table = {FAULT_ROOM_CONTROLLER, G_N_ELEMENTS(controller_points),
						   controller_points};

/** Reports what a device access found wrong at @addr. */
static void controller_report(struct controller *ctrl, enum finding_kind kind, uint64_t addr, bool write,
			      const char *detail)
{
	struct sim *sim = ctrl->nvme->sim;
	struct dma_live live;
	bool held = dma_live_find(ctrl->nvme->dev, addr, &live);
	g_autofree char *taken = held ? dma_live_text(&live) : NULL;

	sim_find(sim, kind, taken, "%s of IOVA 0x%" G_GINT64_MODIFIER "x%s%s", write ? "write" : "read", addr,
		 held ? "" : ", which nobody holds", detail);
}

/** Returns what the memory at @paddr is now, in words; free with g_free(). */
static char *controller_owner(const struct physmem *mem, uint64_t paddr)
{
	static const char *const uses[FRAME_USES] = {[FRAME_PGTABLE] = "a page table",
						     [FRAME_NVME_QUEUE] = "an NVMe queue",
						     [FRAME_NVME_POOL] = "descriptor lists",
						     [FRAME_NVME_HMB] = "a host memory buffer"};
	uint64_t owner;

	if (physmem_owner(mem, paddr, &owner))
		return g_strdup_printf("belongs to request %" G_GUINT64_FORMAT, owner);
	if (physmem_has_bytes(mem, paddr))
		return g_strdup_printf("belongs to set-up (%s)",
				       uses[mem->use[(paddr - mem->base) >> FRAME_LG2]]);
	return g_strdup(paddr >= mem->base && (paddr - mem->base) >> FRAME_LG2 < mem->next_frame ? "is free"
												 : "belongs to nobody");
}

/** Returns since when there is no mapping behind a stale answer for @addr, in words; free with g_free(). */
static char *controller_gone(const struct dma_device *dev, uint64_t addr)
{
	const struct iommu_domain *domain = dev->domain;
	g_autofree char *time = NULL;
	uint64_t since_ns;

	if (!(domain->device_tlb && iotlb_gone_since(domain->device_tlb, domain->id, addr, &since_ns)) &&
	    !iotlb_gone_since(domain->iommu->tlb, domain->id, addr, &since_ns))
		return g_strdup("a mapping of which no unmap is known");
	time = text_time(dev->sim->now_ns - since_ns);
	return g_strdup_printf("a mapping that had been gone for %s", time);
}

static void controller_report_stale(struct controller *ctrl, uint64_t addr, uint64_t paddr, bool write)
{
	g_autofree char *owner = controller_owner(&ctrl->nvme->sim->mem, paddr);
	g_autofree char *gone = controller_gone(ctrl->nvme->dev, addr);
	g_autofree char *detail = g_strdup_printf(
		": reached 0x%" G_GINT64_MODIFIER "x, which %s now, through %s", paddr, owner, gone);

	controller_report(ctrl, FINDING_STALE, addr, write, detail);
}

/** Returns what the driver of the IOMMU logs of a refused access, on one line that continues a sentence; free with g_free(). */
static char *controller_logged(const struct controller *ctrl, enum iommu_fault_reason reason, uint64_t addr,
			       bool write)
{
	const struct iommu_domain *domain = ctrl->nvme->dev->domain;
	struct iommu_fault fault = {
		.iova = addr, .reason = reason, .write = write, .stream = ctrl->stream, .domain = domain->id};
	g_autoptr(GString) logged = g_string_new(NULL);
	struct pgtable_walk walk;

	domain->pt->ops->walk(domain->pt, addr, &walk);
	fault.level = walk.stop_level;
	fault.entry = walk.entry ? walk.raw : 0;
	if (!iommu_report_fault(domain->iommu, &fault, logged) || !logged->len)
		return g_strdup("");
	g_string_truncate(logged, logged->len - 1); /* the last line's end */
	g_string_replace(logged, "\n\t", " ", 0);
	g_string_replace(logged, "\n", " | ", 0);
	return g_strconcat("; logged: ", logged->str, NULL);
}

/** Ends an access that the IOMMU refuses. */
static void controller_refused(struct controller *ctrl, enum iommu_fault_reason reason, uint64_t addr,
			       bool write)
{
	const struct dma_device *dev = ctrl->nvme->dev;
	enum finding_kind kind = reason == IOMMU_FAULT_PERMISSION ? FINDING_PERMISSION : FINDING_HOLE;
	g_autofree char *logged = controller_logged(ctrl, reason, addr, write);

	SIM_ANNOUNCE(ctrl->nvme->sim, io_page_fault, dev->domain->id, addr, write);
	ctrl->stats.faults++;
	controller_report(ctrl, kind, addr, write, logged);
}

/** Asks for @addr as the device does: of its own cache first, where it has one. */
static bool controller_ask(const struct iommu_domain *domain, uint64_t addr, struct iotlb_result *ret_result,
			   struct controller_command *cmd)
{
	struct controller_walks *walks = &cmd->walks[cmd->phase];
	struct iotlb *tlb = domain->iommu->tlb;
	bool found = domain->device_tlb ? iotlb_translate_ats(domain->device_tlb, tlb, domain->id, domain->pt,
							      addr, ret_result)
					: iotlb_translate(tlb, domain->id, domain->pt, addr, ret_result);

	walks->misses += !ret_result->hit;
	walks->table_reads += ret_result->table_reads;
	walks->ats_requests += ret_result->requested;
	return found;
}

/** Whether @addr is that of another device's memory on the bus: the access gets there without the IOMMU. */
static bool controller_asks_peer(const struct dma_device *dev, uint64_t addr, uint64_t *ret_paddr)
{
	uint64_t paddr = addr - dev->config.p2p.bus_offset;

	if (dma_p2p(dev, paddr) != DMA_P2P_BUS_ADDR)
		return false;
	*ret_paddr = paddr;
	return true;
}

/** Translates @addr for an access of this device. Returns false, having reported it, when the access faults. */
static bool controller_translate(struct controller *ctrl, uint64_t addr, bool write, uint64_t *ret_paddr,
				 struct controller_command *cmd)
{
	struct dma_device *dev = ctrl->nvme->dev;
	struct iotlb_result result = {0};
	bool ok;

	cmd->accesses++;
	if (controller_asks_peer(dev, addr, ret_paddr))
		return true;
	if (!dma_use_iommu(dev)) {
		*ret_paddr = addr;
		return true;
	}
	if (sim_fault(dev->sim, FAULT_CONTROLLER_TRANSLATION)) {
		SIM_ANNOUNCE(dev->sim, io_page_fault, dev->domain->id, addr, write);
		ctrl->stats.faults++;
		return false;
	}
	if (ctrl->iotlb && !cmd->completion_asked) {
		ok = controller_ask(dev->domain, addr, &result, cmd);
	} else {
		ok = dev->domain->pt->ops->lookup(dev->domain->pt, addr, &result.paddr, &result.prot);
	}
	if (!ok) {
		controller_refused(ctrl, IOMMU_FAULT_TRANSLATION, addr, write);
		return false;
	}
	if (!(result.prot & (write ? PROT_WRITE : PROT_READ))) {
		controller_refused(ctrl, IOMMU_FAULT_PERMISSION, addr, write);
		return false;
	}
	if (result.stale)
		controller_report_stale(ctrl, addr, result.paddr, write);
	SIM_ANNOUNCE(ctrl->nvme->sim, translate, dev->domain->id, addr, result.paddr, result.hit);
	*ret_paddr = result.paddr;
	return true;
}

/** Returns the bytes at @addr, which driver and device share, or NULL after a fault. */
static void *controller_memory(struct controller *ctrl, uint64_t addr, bool write,
			       struct controller_command *cmd)
{
	uint64_t paddr;

	if (!controller_translate(ctrl, addr, write, &paddr, cmd))
		return NULL;
	if (!physmem_has_bytes(&ctrl->nvme->sim->mem, paddr)) {
		controller_report(ctrl, FINDING_HOLE, addr, write, ": no memory there");
		return NULL;
	}
	return physmem_bytes(&ctrl->nvme->sim->mem, paddr);
}

/** Returns the list of @bytes at @addr, or NULL after a fault. */
static const void *controller_list(struct controller *ctrl, uint64_t addr, uint64_t bytes,
				   struct controller_command *cmd)
{
	const void *list;

	cmd->phase = CONTROLLER_LISTS;
	list = controller_memory(ctrl, addr, false, cmd);
	cmd->phase = CONTROLLER_DATA;
	cmd->lists++;
	cmd->list_bytes += (uint32_t)bytes;
	return list;
}

/** Moves @len bytes of data at @addr, page by page. */
static bool controller_data(struct controller *ctrl, uint64_t addr, uint64_t len,
			    struct controller_command *cmd)
{
	while (len) {
		uint64_t part = MIN(len, NVME_PAGE - addr % NVME_PAGE), paddr;

		/* A write command makes the device read memory, and the reverse. */
		if (!controller_translate(ctrl, addr, !cmd->write, &paddr, cmd))
			return false;
		cmd->bytes += part;
		addr += part;
		len -= part;
	}
	return true;
}

static bool controller_prps(struct controller *ctrl, const struct nvme_sqe *sqe, uint64_t len,
			    struct controller_command *cmd)
{
	uint64_t part = MIN(len, NVME_PAGE - sqe->dptr[0] % NVME_PAGE);
	const uint64_t *list = NULL;
	unsigned at, slots;

	if (!controller_data(ctrl, sqe->dptr[0], part, cmd))
		return false;
	len -= part;
	if (len == 0)
		return true;
	if (len <= NVME_PAGE)
		return controller_data(ctrl, sqe->dptr[1], len, cmd);
	for (uint64_t list_addr = sqe->dptr[1]; len; list_addr = list[slots - 1]) {
		slots = (unsigned)((NVME_PAGE - list_addr % NVME_PAGE) / sizeof(uint64_t));
		list = controller_list(
			ctrl, list_addr, sizeof(uint64_t) * MIN(slots, (len + NVME_PAGE - 1) / NVME_PAGE), cmd);
		if (!list)
			return false;
		for (at = 0; at < slots && len; at++) {
			if (at == slots - 1 && len > NVME_PAGE)
				break; /* the last slot chains to the next list */
			part = MIN(len, NVME_PAGE);
			if (!controller_data(ctrl, list[at], part, cmd))
				return false;
			len -= part;
		}
	}
	return true;
}

static bool controller_sgl(struct controller *ctrl, const struct nvme_sqe *sqe,
			   struct controller_command *cmd)
{
	const struct nvme_sgl_desc *desc = (const void *)sqe->dptr, *list;

	if (desc->type != NVME_SGL_LAST_SEGMENT)
		return controller_data(ctrl, desc->addr, desc->length, cmd);
	list = controller_list(ctrl, desc->addr, desc->length, cmd);
	if (!list)
		return false;
	for (unsigned i = 0; i < desc->length / (unsigned)sizeof(*list); i++)
		if (!controller_data(ctrl, list[i].addr, list[i].length, cmd))
			return false;
	return true;
}

/** Returns how many bytes of data the command moves. */
static uint64_t controller_data_len(const struct controller *ctrl, const struct nvme_sqe *sqe)
{
	switch (sqe->opcode) {
	case NVME_CMD_READ:
	case NVME_CMD_WRITE:
		return ((uint64_t)(sqe->cdw12 & 0xffff) + 1) * ctrl->nvme->config.logical_block_bytes;
	case NVME_CMD_DSM:
		return NVME_DSM_BYTES;
	case NVME_CMD_VENDOR_IN:
	case NVME_CMD_VENDOR_OUT:
		return sqe->cdw12;
	default:
		return 0;
	}
}

/** Returns how far queue @queue is filled, as the controller knows it: from the doorbell, or from its shadow, where it looks
 *  for itself only while awake: what the register had when it was last written is long outdated. */
static uint16_t controller_tail(struct controller *ctrl, const struct nvme_queue *queue,
				struct controller_command *cmd)
{
	const struct nvme_dbbuf *dbbuf = &ctrl->nvme->dbbuf;
	const uint32_t *shadow;

	if (!dbbuf->used || queue->qid == 0)
		return queue->sq_doorbell;
	if (!queue->awake)
		return queue->sq_head;
	shadow = controller_memory(ctrl, dbbuf->values_addr + nvme_dbbuf_index(queue->qid) * sizeof(*shadow),
				   false, cmd);
	ctrl->fatal |= !shadow;
	return shadow ? (uint16_t)*shadow : queue->sq_head;
}

/** With nothing left to do for @queue, asks to be told of the next command, and no longer looks for itself. */
static void controller_rest(struct controller *ctrl, struct nvme_queue *queue)
{
	const struct nvme_dbbuf *dbbuf = &ctrl->nvme->dbbuf;
	struct controller_command access;
	uint32_t *event;

	if (!dbbuf->used || queue->qid == 0 || queue->in_controller)
		return;
	access = (struct controller_command){0};
	if (controller_tail(ctrl, queue, &access) != queue->sq_head)
		return;
	event = controller_memory(ctrl, dbbuf->events_addr + nvme_dbbuf_index(queue->qid) * sizeof(*event),
				  true, &access);
	ctrl->fatal |= !event;
	if (!event)
		return;
	*event = queue->sq_head;
	queue->awake = false;
}

/** Asks how the command @sqe fails. Returns whether it does, with what it completes with, if it does, in *@cmd. */
static bool controller_fails(struct controller *ctrl, const struct nvme_sqe *sqe, struct controller_command *cmd)
{
	struct sim *sim = ctrl->nvme->sim;
	unsigned crd = ctrl->nvme->config.crdt ? 1 : 0;

	if (sim_fault(sim, FAULT_CONTROLLER_STATUS)) {
		bool told = sim->fault_action != FAULT_NO_ACTION;
		bool dnr = told ? !(sim->fault_action & CONTROLLER_ACTION_RETRY) : ctrl->faults.dnr;

		cmd->status = told ? sim->fault_action & NVME_STATUS_TYPE_CODE : ctrl->faults.status;
		cmd->status |= (uint16_t)(dnr ? NVME_STATUS_DNR : crd << NVME_STATUS_CRD_SHIFT);
		return true;
	}
	if (controller_data_len(ctrl, sqe) && sim_fault(sim, FAULT_CONTROLLER_TRANSFER_ERROR)) {
		cmd->status = (uint16_t)(NVME_SC_DATA_XFER_ERROR | crd << NVME_STATUS_CRD_SHIFT);
		return true;
	}
	if (sim_fault(sim, FAULT_CONTROLLER_LOST_COMPLETION))
		cmd->loss = sim->fault_action == FAULT_NO_ACTION ? ctrl->faults.loss
								 : (enum controller_loss)sim->fault_action;
	return false;
}

/** Moves the metadata of @sqe, @len bytes, which its pointer or its own SGL describes. */
static bool controller_metadata(struct controller *ctrl, const struct nvme_sqe *sqe, uint64_t len,
				struct controller_command *cmd)
{
	const struct nvme_sgl_desc *list;

	if (!(sqe->flags & NVME_CMD_SGL_METASEG))
		return controller_data(ctrl, sqe->metadata, len, cmd);
	list = controller_list(ctrl, sqe->metadata, sizeof(*list), cmd);
	if (!list)
		return false;
	if (list->type == NVME_SGL_DATA)
		return controller_data(ctrl, list->addr, list->length, cmd);
	for (unsigned i = 1; i <= list->length / (unsigned)sizeof(*list); i++)
		if (!controller_data(ctrl, list[i].addr, list[i].length, cmd))
			return false;
	return true;
}

/** Returns how many bytes of metadata go with @data_len bytes of data. */
static uint64_t controller_meta_len(const struct controller *ctrl, const struct nvme_sqe *sqe, uint64_t data_len)
{
	const struct nvme_config *config = &ctrl->nvme->config;

	if (sqe->opcode != NVME_CMD_READ && sqe->opcode != NVME_CMD_WRITE)
		return 0;
	return data_len / config->logical_block_bytes * config->meta_bytes;
}

/** Moves the data of @sqe. */
static void controller_transfer(struct controller *ctrl, const struct nvme_sqe *sqe,
				struct controller_command *cmd)
{
	uint64_t len = controller_data_len(ctrl, sqe), meta_len = controller_meta_len(ctrl, sqe, len);
	bool ok = true;

	cmd->phase = CONTROLLER_DATA;
	if (len)
		ok = sqe->flags & (NVME_CMD_SGL_METABUF | NVME_CMD_SGL_METASEG)
			     ? controller_sgl(ctrl, sqe, cmd)
			     : controller_prps(ctrl, sqe, len, cmd);
	if (ok && meta_len) {
		ok = controller_metadata(ctrl, sqe, meta_len, cmd);
		cmd->meta_bytes = cmd->bytes - len; /* not counted among the data */
		cmd->bytes = len;
	}
	cmd->status = ok ? NVME_SC_SUCCESS : NVME_SC_DATA_XFER_ERROR;
}

bool controller_execute(struct controller *ctrl, unsigned qid, struct controller_command *ret_command)
{
	struct nvme_queue *queue = &ctrl->nvme->queues[qid];
	struct controller_command *cmd = ret_command;
	const struct nvme_sqe *sqe;

	if (ctrl->fatal)
		return false;
	*cmd = (struct controller_command){.loss = CONTROLLER_LOSES_NOTHING};
	if (queue->sq_head == controller_tail(ctrl, queue, cmd))
		return false;
	sqe = controller_memory(ctrl, queue->sq_addr + (uint64_t)queue->sq_head * NVME_SQE_BYTES, false, cmd);
	/* Nothing unmaps a queue under the controller, but the map may have failed and said that it did not. */
	ctrl->fatal = !sqe;
	if (!sqe)
		return false;
	queue->sq_head = nvme_ring_next(queue, queue->sq_head);
	queue->in_controller++;
	cmd->command_id = sqe->command_id;
	cmd->slba = (uint64_t)sqe->cdw11 << 32 | sqe->cdw10;
	cmd->write = sqe->opcode == NVME_CMD_WRITE || sqe->opcode == NVME_CMD_DSM ||
		    sqe->opcode == NVME_CMD_VENDOR_OUT;
	cmd->abort = qid == 0 && sqe->opcode == NVME_ADMIN_ABORT;
	if (cmd->abort) {
		cmd->abort_qid = (uint16_t)sqe->cdw10;
		cmd->abort_id = (uint16_t)(sqe->cdw10 >> 16);
	} else {
		ctrl->fatal = sim_fault(ctrl->nvme->sim, FAULT_CONTROLLER_FATAL) != 0;
		if (ctrl->fatal)
			return false;
		if (!controller_fails(ctrl, sqe, cmd))
			controller_transfer(ctrl, sqe, cmd);
	}
	ctrl->stats.commands++;
	ctrl->stats.accesses += cmd->accesses;
	if (cmd->write)
		ctrl->stats.bytes_written += cmd->bytes;
	else
		ctrl->stats.bytes_read += cmd->bytes;
	return true;
}

static uint64_t controller_cqe_addr(const struct nvme_queue *queue)
{
	return queue->cq_addr + (uint64_t)queue->cq_tail * NVME_CQE_BYTES;
}

void controller_ask_completion(struct controller *ctrl, unsigned qid, struct controller_command *command)
{
	const struct dma_device *dev = ctrl->nvme->dev;
	struct iotlb_result result = {0};

	if (!ctrl->iotlb || !dma_use_iommu(dev))
		return;
	command->phase = CONTROLLER_COMPLETION;
	command->completion_asked = true;
	controller_ask(dev->domain, controller_cqe_addr(&ctrl->nvme->queues[qid]), &result, command);
}

bool controller_complete(struct controller *ctrl, unsigned qid, struct controller_command *command)
{
	struct nvme_queue *queue = &ctrl->nvme->queues[qid];
	struct nvme_cqe *cqe;

	if (ctrl->fatal)
		return false;
	command->phase = CONTROLLER_COMPLETION;
	cqe = controller_memory(ctrl, controller_cqe_addr(queue), true, command);
	ctrl->fatal = !cqe;
	if (!cqe)
		return false;
	*cqe = (struct nvme_cqe){.result = command->result,
				 .sq_head = queue->sq_head,
				 .sq_id = (uint16_t)qid,
				 .command_id = command->command_id,
				 .status = (uint16_t)(command->status << 1 | queue->cq_tail_phase)};
	queue->cq_tail = nvme_ring_next(queue, queue->cq_tail);
	if (queue->cq_tail == 0)
		queue->cq_tail_phase = !queue->cq_tail_phase;
	queue->in_controller--;
	controller_rest(ctrl, queue);
	return true;
}

struct controller_walks controller_walks_sum(const struct controller_command *command)
{
	struct controller_walks sum = {0};

	for (unsigned phase = 0; phase < CONTROLLER_PHASES; phase++) {
		sum.misses += command->walks[phase].misses;
		sum.table_reads += command->walks[phase].table_reads;
		sum.ats_requests += command->walks[phase].ats_requests;
	}
	return sum;
}
