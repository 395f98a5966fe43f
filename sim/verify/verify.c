/* SPDX-License-Identifier: MIT */
#include "sim/verify/verify.h"

bool verify(const struct verify_recording *recording, const struct verify_options *options,
	    struct verify_result *ret_result, GError **error)
{
	struct verify_model *model;

	*ret_result = (struct verify_result){0};
	model = verify_model_new(recording, options->config, ret_result, error);
	if (!model)
		return false;
	verify_model_run(model, recording->event_count);
	verify_model_free(model);
	return true;
}

void verify_result_clear(struct verify_result *result)
{
	g_free(result->first.text);
}

static void set(struct machine_config *config, const char *assignment)
{
	bool ok = machine_config_set(config, assignment, NULL);

	g_assert(ok);
}

void verify_configure(const struct verify_recording *recording, struct machine_config *config)
{
	const struct verify_machine *machine = &recording->machine;

	if (machine->scatter_lists)
		set(config, "kernel.version=6.1");
	if (machine->lazy)
		set(config, "iommu.mode=lazy");
	if (machine->caching_mode)
		set(config, "iommu.caching-mode=yes");
	if (machine->forcedac)
		set(config, "iommu.forcedac=yes");
	if (machine->limit_pfn > UINT32_MAX / machine->granule && machine->limit_pfn < UINT64_C(1) << 27)
		set(config, "iommu.levels=3");
}
