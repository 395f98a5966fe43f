/* SPDX-License-Identifier: MIT */
#include "iommu/iommu.h"
#include "sim/fault/fault.h"

void iommu_writel(struct iommu *iommu, uint32_t offset, uint32_t value)
{
	iommu->stats.mmio_writes++;
	sim_charge(iommu->sim, WORK_MMIO_WRITE, 1);
	if (iommu->watch.write)
		iommu->watch.write(iommu->watch.data, offset, value);
}

void iommu_writeq(struct iommu *iommu, uint32_t offset, uint64_t value)
{
	iommu_writel(iommu, offset, (uint32_t)value);
	iommu_writel(iommu, offset + 4, (uint32_t)(value >> 32));
}

void iommu_write64(struct iommu *iommu, uint32_t offset, uint64_t value)
{
	iommu->stats.mmio_writes++;
	sim_charge(iommu->sim, WORK_MMIO_WRITE, 1);
	if (iommu->watch.write64)
		iommu->watch.write64(iommu->watch.data, offset, value);
}

static void iommu_read(struct iommu *iommu, unsigned times)
{
	iommu->stats.mmio_reads += times;
	sim_charge(iommu->sim, WORK_MMIO_READ, times);
}

void iommu_readl(struct iommu *iommu)
{
	iommu_read(iommu, 1);
}

void iommu_scan(struct iommu *iommu, unsigned reads, unsigned writes)
{
	iommu_read(iommu, reads);
	iommu->stats.mmio_writes += writes;
	sim_charge(iommu->sim, WORK_MMIO_WRITE, writes);
}

/** The hardware carries out what is queued, after what others have queued before. */
static void iommu_work(struct iommu *iommu)
{
	if (iommu->queued) {
		sim_enter(iommu->sim, &iommu->hardware);
		sim_charge(iommu->sim, WORK_INVALIDATE_WORK, iommu->queued);
		sim_charge(iommu->sim, WORK_INVALIDATE_PAGE, iommu->queued_pages);
		sim_leave(iommu->sim, &iommu->hardware);
	}
	iommu->queued = iommu->queued_pages = 0;
}

int iommu_wait(struct iommu *iommu, uint64_t timeout_ns)
{
	struct sim *sim = iommu->sim;
	int err = sim_fault(sim, FAULT_IOMMU_INVALIDATE_TIMEOUT);
	uint64_t from_ps = sim->cursor_ps;

	iommu_work(iommu);
	iommu->stats.invalidate_waits++;
	if (err) {
		iommu->stats.invalidate_timeouts++;
		sim->cursor_ps += timeout_ns * 1000;
	} else {
		sim_charge(sim, WORK_INVALIDATE_WAIT, 1);
	}
	SIM_TOOK(sim, .what = SPAN_INVALIDATE_WAIT, .from_ps = from_ps, .err = err);
	return err;
}

int iommu_poll(struct iommu *iommu, unsigned tries, uint64_t timeout_ns)
{
	int err = iommu_wait(iommu, timeout_ns);

	iommu_read(iommu, err ? tries : 1);
	return err;
}

void iommu_commands(struct iommu *iommu, unsigned count)
{
	sim_charge(iommu->sim, WORK_INVALIDATE_SUBMIT, count);
	iommu->queued += count;
}

void iommu_command(struct iommu *iommu, const void *command, size_t len_bytes)
{
	iommu_commands(iommu, 1);
	if (iommu->watch.command)
		iommu->watch.command(iommu->watch.data, command, len_bytes);
}

void iommu_registers_add(struct iommu_registers *registers, uint32_t offset, uint64_t value)
{
	g_assert(registers->count < IOMMU_REGISTERS_MAX);
	registers->at[registers->count].offset = offset;
	registers->at[registers->count++].value = value;
}

uint64_t iommu_registers_get(const struct iommu_registers *registers, uint32_t offset)
{
	for (unsigned i = 0; i < registers->count; i++)
		if (registers->at[i].offset == offset)
			return registers->at[i].value;
	return 0;
}

bool iommu_report_fault(struct iommu *iommu, const struct iommu_fault *fault, GString *out)
{
	struct iommu_registers registers = {0};

	if (!iommu->ops->fault_latch)
		return false;
	iommu->ops->fault_latch(iommu, fault, &registers);
	iommu->ops->fault_handle(iommu, &registers, out);
	return true;
}
