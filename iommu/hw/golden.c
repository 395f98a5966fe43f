/* SPDX-License-Identifier: MIT */
#include "iommu/hw/golden.h"

#include "iommu/hw/golden-driver.h"

/** A driver being replayed: golden->driver. */
struct replay {
	struct iommu *iommu;
	struct iommu_domain *domain;
	uint64_t reads, writes; /* before the op under way */
};

static void event_write(void *data, uint32_t offset, uint32_t value)
{
	struct golden *golden = data;

	golden_event_begin(golden);
	golden_hex(golden->out, " w ", offset);
	golden_hex(golden->out, "=", value);
	g_string_append_c(golden->out, '\n');
}

static void write_bracket(struct golden *golden, const struct golden_driver *driver, const char *end)
{
	golden_event_begin(golden);
	if (driver->bracket)
		g_string_append_printf(golden->out, " %s-%s\n", driver->bracket, end);
}

static void write_registers(struct golden *golden, const struct golden_driver *driver,
			    const struct replay *replay)
{
	g_string_append(golden->out, "reg ");
	driver->registers(replay->domain, golden->out);
	g_string_append_c(golden->out, '\n');
}

static uint64_t granted_sizes(const struct iommu *iommu, const struct pgtable_config *config)
{
	const struct iommu_hw_ops *ops = iommu->ops;
	struct pgtable_config completed = *config;

	if (ops->domain_config)
		ops->domain_config(iommu, &completed);
	return pgtable_page_sizes(ops->domain_format ? ops->domain_format(iommu) : ops->format, &completed);
}

static void replay_free(struct golden *golden)
{
	struct replay *replay = golden->driver;

	iommu_domain_free(replay->domain);
	iommu_free(replay->iommu);
	g_free(replay);
	golden->driver = NULL;
}

/** Makes the domain and attaches it, telling of it as the recording does. */
static int replay_attach(struct golden *golden, const struct golden_driver *driver,
			 const struct pgtable_config *config)
{
	struct replay *replay = golden->driver;
	int err;

	if (driver->bracket_has_table)
		write_bracket(golden, driver, "begin");
	err = iommu_domain_new(replay->iommu, 0, config, &replay->domain);
	if (!err) {
		golden->pt = replay->domain->pt;
		if (!driver->registers_last)
			write_registers(golden, driver, replay);
		if (!driver->bracket_has_table)
			write_bracket(golden, driver, "begin");
		err = iommu_domain_attach(replay->domain);
	}
	if (replay->domain || driver->bracket_has_table)
		write_bracket(golden, driver, "end");
	if (replay->domain && driver->registers_last)
		write_registers(golden, driver, replay);
	return err;
}

static bool driver_open(struct golden *golden, const struct golden_words *words,
			const struct pgtable_config *config, int *ret_err, uint64_t *ret_page_sizes,
			GError **error)
{
	static const struct iotlb_config tlb = {0};
	const struct golden_driver *driver = golden->format->data;
	struct pgtable_config asked = *config;
	struct iommu_hw_config hw = {0};
	struct iommu *iommu;
	struct replay *replay;

	if (!golden_key(golden, words, "pgsizes", 0, &asked.page_sizes, error) ||
	    (driver->configure && !driver->configure(golden, words, &hw, error)))
		return false;
	iommu = iommu_new_config(golden->sim, driver->hw, &hw, &tlb);
	if (!iommu)
		return golden_bad_line(golden, error, "cfg of hardware that the driver does not know");
	iommu->watch = (struct iommu_watch){event_write, &golden->watch, golden};
	golden->driver = replay = g_new0(struct replay, 1);
	replay->iommu = iommu;
	*ret_page_sizes = granted_sizes(iommu, &asked);
	*ret_err = replay_attach(golden, driver, &asked);
	if (!golden->pt)
		replay_free(golden);
	if (*ret_err && driver->open_error)
		*ret_err = driver->open_error;
	return true;
}

static int driver_sync_map(struct golden *golden, uint64_t iova, uint64_t len)
{
	struct replay *replay = golden->driver;

	return iommu_sync_map(replay->domain, iova, len);
}

static void driver_iotlb_sync(struct golden *golden, const struct pgtable_gather *gather)
{
	struct replay *replay = golden->driver;

	if (replay->iommu->ops->iotlb_sync)
		replay->iommu->ops->iotlb_sync(replay->domain, gather);
}

static uint64_t driver_iova_to_phys(struct golden *golden, uint64_t iova)
{
	struct replay *replay = golden->driver;

	return iommu_iova_to_phys(replay->domain, iova);
}

static void driver_op_begin(struct golden *golden)
{
	struct replay *replay = golden->driver;

	replay->reads = replay->iommu->stats.mmio_reads;
	replay->writes = replay->iommu->stats.mmio_writes;
}

static void driver_op_end(struct golden *golden)
{
	const struct replay *replay = golden->driver;
	uint64_t reads = replay->iommu->stats.mmio_reads - replay->reads;
	uint64_t writes = replay->iommu->stats.mmio_writes - replay->writes;

	if (reads || writes)
		g_string_append_printf(golden->out, " mmio r=%" G_GUINT64_FORMAT " w=%" G_GUINT64_FORMAT "\n",
				       reads, writes);
}

static bool driver_op(struct golden *golden, const struct golden_words *words, GError **error)
{
	const struct golden_driver *driver = golden->format->data;
	struct replay *replay = golden->driver;

	if (!driver->op)
		return golden_bad_line(golden, error, "unknown op");
	return driver->op(golden, words, replay->iommu, error);
}

const struct golden_driver_ops golden_driver_ops = {
	.open = driver_open,
	.close = replay_free,
	.sync_map = driver_sync_map,
	.iotlb_sync = driver_iotlb_sync,
	.iova_to_phys = driver_iova_to_phys,
	.op_begin = driver_op_begin,
	.op_end = driver_op_end,
	.op = driver_op,
};

static const struct golden_format *const families[] = {
	golden_driver_formats,
	NULL,
};

static bool hw_golden_probe(const char *text, size_t len)
{
	return golden_probe(families, text, len);
}

static bool hw_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error)
{
	return golden_emit(families, name, text, len, out, error);
}

const struct golden_runner iommu_hw_golden_runner = {"pagetable", hw_golden_probe, hw_golden_emit};
