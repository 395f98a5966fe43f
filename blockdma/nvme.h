/* SPDX-License-Identifier: MIT */
#ifndef BLOCKDMA_NVME_H
#define BLOCKDMA_NVME_H

/*
 * The NVMe PCI driver's data path: queues, commands, PRP lists and SGLs, mapping and unmapping: by the block mapper, or, as
 * before Linux 6.17 (behaviour blkdma-mapper), through scatter lists.
 *
 * Everything the device reads lies in simulated physical memory as bytes: submission queue entries, lists, completion
 * queue entries. The controller (controller.h) reads it through the IOMMU. Source: drivers/nvme/host/pci.c of Linux 7.0,
 * blockdma-facts section 6, and of 6.1, blockdma-sg-facts section 1; formats from the NVM Express base specification.
 */
#include "blockdma/mapper.h"
#include "blockdma/request.h"
#include "iommu/dma/dma.h"
#include "iommu/dma/sg.h"

enum {
	FAULT_NVME_PRP_POOL = FAULT_ROOM_NVME,
	FAULT_NVME_SGL_POOL,
	FAULT_NVME_VEC_POOL,
	FAULT_NVME_QUEUE,
	FAULT_NVME_METADATA,
	FAULT_NVME_DISCARD,
	FAULT_NVME_HMB,
	FAULT_NVME_DBBUF,
};

extern const struct fault_table nvme_fault_table;

#define NVME_PAGE	      4096u /* the controller's page, MPS = 0 */
#define NVME_SQE_BYTES	      64u
#define NVME_CQE_BYTES	      16u
#define NVME_ADMIN_DEPTH      32u /* entries; 30 tags, one id is kept for the event request */
#define NVME_QUEUES_MAX	      SIM_CPUS_MAX
#define NVME_DEPTH_MAX	      4096u
#define NVME_SMALL_POOL_BYTES 256u
#define NVME_DESCRIPTORS_MAX  5 /* PRP lists a request: 8 MiB */
#define NVME_MAX_BYTES	      (8u << 20)
#define NVME_MAX_SEGMENTS     256u
#define NVME_MAX_BYTES_4M     (4u << 20) /* in kernels such as 6.1 … */
#define NVME_SG_SEGMENTS_4M   127u	 /* … and the segments of a scatter list there … */
#define NVME_SG_SEGMENTS      128u	 /* … and later */
#define NVME_MAX_RETRIES      5
#define NVME_MAX_META_SEGMENTS 15u /* with SGLs of metadata; else 1 */
#define NVME_DSM_BYTES	      4096u /* the range list of a discard */

#define NVME_ADMIN_ABORT 0x08 /* on the admin queue */

enum nvme_opcode {
	NVME_CMD_FLUSH = 0x00,
	NVME_CMD_WRITE = 0x01,
	NVME_CMD_READ = 0x02,
	NVME_CMD_WRITE_ZEROES = 0x08,
	NVME_CMD_DSM = 0x09,
	NVME_CMD_VENDOR_OUT = 0x81,  /* stands for any passthrough command with data to the device … */
	NVME_CMD_VENDOR_IN = 0x82,   /* … from it … */
	NVME_CMD_VENDOR_NONE = 0x80, /* … and without */
};

enum nvme_status {
	NVME_SC_SUCCESS = 0x0,
	NVME_SC_INVALID_FIELD = 0x2,
	NVME_SC_DATA_XFER_ERROR = 0x4,
	NVME_SC_ABORT_REQ = 0x7,
	NVME_SC_HOST_ABORTED_CMD = 0x371, /* the driver's own: cancelled by a reset */
};

/* Above type and code. */
#define NVME_STATUS_TYPE_CODE 0x7ff
#define NVME_STATUS_CRD_SHIFT 11 /* two bits: which of three retry delays; 0: none */
#define NVME_STATUS_CRD	      0x1800
#define NVME_STATUS_DNR	      0x4000 /* do not retry */

/* Submission queue entry (NVMe base specification, figure "Common Command Format"). */
struct nvme_sqe {
	uint8_t opcode;
	uint8_t flags; /* bits 7:6 PSDT: 0 PRP, 0x40 SGL */
	uint16_t command_id;
	uint32_t nsid;
	uint64_t cdw2_3;
	uint64_t metadata;
	uint64_t dptr[2]; /* PRP1, PRP2 or one SGL descriptor */
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};

struct nvme_cqe {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t command_id;
	uint16_t status; /* bit 0 phase, 15:1 status */
};

/* SGL descriptor. */
struct nvme_sgl_desc {
	uint64_t addr;
	uint32_t length;
	uint8_t reserved[3];
	uint8_t type;
};

#define NVME_CMD_SGL_METABUF  0x40 /* an SGL for the data, a pointer to the metadata */
#define NVME_CMD_SGL_METASEG  0x80 /* SGLs for both */
#define NVME_SGL_DATA	      0x00
#define NVME_SGL_LAST_SEGMENT 0x30

struct nvme_config {
	unsigned io_queues;
	unsigned poll_queues; /* of these, the last: without interrupts */
	unsigned depth; /* entries of an I/O queue; one less is usable */
	bool sgl;	/* the controller takes data SGLs */
	bool meta_sgl;	/* and SGLs of metadata */
	unsigned meta_bytes; /* of a logical block, apart from it; 0: none */
	bool shadow_doorbells; /* OACS bit 8 */
	/* Host memory buffer, in bytes: what the controller wants (0: none), needs, and takes as one descriptor at least;
	 * how many of these at most (0: any number); and what the driver gives at most. */
	uint64_t hmb_preferred, hmb_min, hmb_desc_min;
	unsigned hmb_descs_max;
	uint64_t hmb_limit;
	unsigned acl;	       /* abort commands at once, less one */
	unsigned crdt;	       /* command retry delay, in units of 100 ms */
	unsigned mdts; /* most data of a command: 2^mdts pages; 0: no limit */
	uint32_t sgl_threshold;
	uint32_t logical_block_bytes;
};

struct nvme_dma_vec {
	uint64_t addr, len;
};

/** What the driver keeps for a request between preparation and completion. One for every tag of every queue. */
struct nvme_iod {
	struct request *req;
	struct dma_iova_state state;
	struct sg_table sgt; /* sgl: an element of the other mempool; NULL: not mapped that way */
	uint64_t total_len;
	struct nvme_dma_vec *vecs; /* element of the mempool, of NVME_MAX_SEGMENTS; NULL: not needed yet */
	struct dma_pool_block descriptors[NVME_DESCRIPTORS_MAX];
	uint16_t vec_count;
	uint16_t tag;
	uint8_t descriptor_count;
	bool small_descriptor;
	bool aborted; /* an abort was sent, or could not be */
	bool single; /* mapped with one dma_map_phys, undone from the command */
	bool sgl;
	enum dma_p2p p2p; /* of the data */

	/* Metadata: a pointer to one mapping (@single_meta), or an SGL in a small block. */
	struct dma_iova_state meta_state;
	uint64_t meta_total_len;
	struct dma_pool_block meta_descriptor;
	bool single_meta, has_meta_descriptor;
	enum dma_p2p meta_p2p;

	/* A discard whose ranges lie in the shared page: that page, and where they would have been. */
	struct bio_vec discard_vec, *discard_own;

	uint8_t generation; /* of the command id */
	struct nvme_sqe sqe;
};

struct nvme_queue {
	unsigned qid;
	bool polled; /* has no interrupt */
	unsigned depth;
	uint64_t sq_paddr, sq_addr, cq_paddr, cq_addr;
	unsigned sq_order, cq_order; /* of the allocations, in frames */
	uint16_t sq_tail, cq_head;
	uint16_t last_sq_tail; /* as the doorbell was told it */
	bool cq_phase;
	struct sim_lock lock; /* sq_lock */
	struct nvme_iod *iods;
	uint16_t *free_tags; /* stack */
	uint16_t free_tag_count;

	/* Controller side. */
	uint16_t sq_doorbell, cq_doorbell; /* the registers */
	uint16_t sq_head, cq_tail;
	uint16_t in_controller; /* commands fetched and not completed */
	bool cq_tail_phase;
	bool awake; /* looks at the shadow doorbell of its own accord */
};

/** Returns the ring index after @at. */
static inline uint16_t nvme_ring_next(const struct nvme_queue *queue, uint16_t at)
{
	return (uint16_t)(at + 1u == queue->depth ? 0 : at + 1u);
}

/** Returns how many commands a queue takes at once: a full ring leaves one entry free, and the admin queue keeps one id. */
static inline unsigned nvme_queue_tags(const struct nvme_queue *queue)
{
	return queue->qid ? queue->depth - 1 : queue->depth - 2;
}

struct nvme_stats {
	uint64_t commands, completions, errors, retries;
	uint64_t prp_commands, sgl_commands, lists, coalesced, single, per_segment, tables;
	uint64_t doorbells;	  /* MMIO writes */
	uint64_t doorbells_saved; /* where memory was enough */
	uint64_t batches;	  /* lists of requests with one doorbell */
	uint64_t aborts, resets, cancelled;
	uint64_t hmb_bytes; /* host memory that the controller got */
};

/** Memory that takes the place of doorbells: two arrays, of values and of what the controller wants to hear of. */
struct nvme_dbbuf {
	bool used;
	unsigned order;
	uint64_t values_paddr, values_addr, events_paddr, events_addr;
};

struct nvme_hmb_block {
	uint64_t paddr, addr;
	unsigned order;
};

/** The host memory buffer. */
struct nvme_hmb {
	uint64_t bytes;
	unsigned desc_count; /* 0: there is none */
	unsigned desc_order;
	uint64_t desc_paddr, desc_addr;
	struct sg_table *sgt; /* one IOVA for all of it … */
	GArray *blocks;	      /* … or, of struct nvme_hmb_block, a mapping for each */
};

struct nvme {
	struct sim *sim;
	struct dma_device *dev;
	struct nvme_config config;
	struct queue_limits limits;
	struct nvme_queue *queues; /* [0] admin; [1 .. queue_count) */
	unsigned queue_count;
	struct nvme_dbbuf dbbuf;
	struct nvme_hmb hmb;
	struct dma_pool small_pool, large_pool;
	uint64_t discard_page; /* physical; for a discard without memory of its own */
	bool discard_page_busy;
	struct request abort_request; /* what an abort's iod is for */
	int abort_limit;	      /* how many more may be sent */
	GPtrArray *vecs;	/* every mempool element, owned: also those that the modelled driver loses */
	GPtrArray *free_vecs;	/* of these, ready for use */
	GPtrArray *tables;	/* the same of scatter lists of NVME_MAX_SEGMENTS: every one */
	GPtrArray *free_tables; /* and those ready for use */
	uint32_t dma_vecs;	/* of either in use */
	struct nvme_stats stats;
};

/** Probes the controller: pools, admin queue, I/O queues. An I/O queue that cannot be had leaves the device with fewer, as
 *  the driver does. Returns 0 with *@ret_nvme, or -ENOMEM with nothing left when there is no admin queue. */
int nvme_new(struct sim *sim, struct dma_device *dev, const struct nvme_config *config,
	     struct nvme **ret_nvme);
/** Frees queues and pools, which must hold nothing but leaks. */
void nvme_free(struct nvme *nvme);

/** Takes a tag of queue @qid. Returns its iod, or NULL when the queue is full. */
struct nvme_iod *nvme_get_tag(struct nvme *nvme, unsigned qid);
void nvme_put_tag(struct nvme *nvme, unsigned qid, struct nvme_iod *iod);

/** Prepares the command of @req in @iod: maps the data, builds lists. On failure nothing is left but what the modelled
 *  kernel leaves (behaviours). */
enum blk_status nvme_prep_rq(struct nvme *nvme, struct nvme_iod *iod, struct request *req, unsigned nsid);

/** Copies the command into the queue. The doorbell is rung if it is the @last of its batch, or if the ring could not take
 *  one more without; else nvme_commit() does it. Source: nvme_queue_rq(), nvme_write_sq_db(). */
void nvme_submit(struct nvme *nvme, unsigned qid, struct nvme_iod *iod, bool last);
/** Rings the doorbell of queue @qid for what it does not know of yet. Source: nvme_commit_rqs(). */
void nvme_commit(struct nvme *nvme, unsigned qid);
/** Copies the @count commands into the queue under one lock and rings once. Source: nvme_submit_cmds(). */
void nvme_submit_list(struct nvme *nvme, unsigned qid, struct nvme_iod *const *iods, unsigned count);

/** Takes the next completion off queue @qid. Returns the iod with *@ret_status, or NULL when there is none. */
struct nvme_iod *nvme_poll_cq(struct nvme *nvme, unsigned qid, uint16_t *ret_status);
/** Tells the controller how far nvme_poll_cq() came: once, after the last. */
void nvme_ring_cq(struct nvme *nvme, unsigned qid);

/** Returns where in the shadow doorbells that of submission queue @qid is; its completion queue's is the next one. */
static inline unsigned nvme_dbbuf_index(unsigned qid)
{
	return 2 * qid; /* CAP.DSTRD = 0 */
}

/** Gives the controller a host memory buffer, if it wants one and there is memory; it must work without. */
void nvme_hmb_alloc(struct nvme *nvme);
void nvme_hmb_free(struct nvme *nvme);

/** Gives a discard its range list: its own memory, which the request names, else the one shared page. RESOURCE when that is
 *  in use. Source: nvme_setup_discard(). */
enum blk_status nvme_setup_discard(struct nvme *nvme, struct nvme_iod *iod);
/** Undoes that, after the unmap. Source: nvme_cleanup_cmd(). */
void nvme_cleanup_discard(struct nvme *nvme, struct nvme_iod *iod);

/** Unmaps and frees what nvme_prep_rq() took. */
void nvme_unmap_rq(struct nvme *nvme, struct nvme_iod *iod);

/* ---- time-outs and reset (sections 6.11 and 6.14) ---- */

enum nvme_timeout {
	NVME_TIMEOUT_REARM,
	NVME_TIMEOUT_ABORT, /* as REARM, and an Abort is in the admin queue */
	NVME_TIMEOUT_RESET,
};

/** Decides about the command of @iod, on queue @qid, whose time is over; polling the queue has not completed it, and the
 *  controller lives. Source: nvme_timeout(). */
enum nvme_timeout nvme_timeout(struct nvme *nvme, unsigned qid, struct nvme_iod *iod);

/** Whether @iod is an Abort's. */
static inline bool nvme_is_abort(const struct nvme *nvme, const struct nvme_iod *iod)
{
	return iod->req == &nvme->abort_request;
}

/** An Abort is over, one way or the other. */
void nvme_abort_done(struct nvme *nvme, struct nvme_iod *iod);

/** Calls @cancel for each command in flight, I/O queues first, ascending tags; it gives the tag back. Aborts are ended here.
 *  The controller has stopped, and no completion is left in a queue. Then the queues start anew. Source:
 *  nvme_dev_disable(), nvme_init_queue(). */
void nvme_cancel_all(struct nvme *nvme, void (*cancel)(void *data, struct nvme_iod *iod), void *data);

/** What becomes of a command that ended with @status after @retries retries. Source: nvme_decide_disposition(). */
static inline bool nvme_retries(uint16_t status, unsigned retries)
{
	return status != NVME_SC_SUCCESS && !(status & NVME_STATUS_DNR) && retries < NVME_MAX_RETRIES;
}

/** Returns how long to wait before that, in ns. */
static inline uint64_t nvme_retry_delay_ns(const struct nvme *nvme, uint16_t status)
{
	return status & NVME_STATUS_CRD ? nvme->config.crdt * UINT64_C(100000000) : 0;
}

/** Returns the block status of an NVMe status (section 6.12). */
enum blk_status nvme_error_status(uint16_t status);

#endif
