/* SPDX-License-Identifier: MIT */
#include "sim/core/finding.h"

#include "sim/core/sim.h"

const struct finding_kind_info finding_kinds[FINDING_KINDS] = {
	[FINDING_LEAK] = {"leak", TRUE},
	[FINDING_DOUBLE_UNMAP] = {"double unmap", TRUE},
	[FINDING_WRONG_SIZE] = {"wrong-size unmap", TRUE},
	[FINDING_WRONG_FUNCTION] = {"wrong-function unmap", TRUE},
	[FINDING_WRONG_DIRECTION] = {"wrong-direction unmap", TRUE},
	[FINDING_INVALID_UNMAP] = {"unmap of an invalid address", TRUE},
	[FINDING_HOLE] = {"device access to a hole", TRUE},
	[FINDING_PERMISSION] = {"device access without permission", TRUE},
	[FINDING_STALE] = {"stale translation used", TRUE},
	[FINDING_REF_LEAK] = {"reference never dropped", TRUE},
	[FINDING_REF_DOUBLE_PUT] = {"reference dropped twice", TRUE},
	[FINDING_NULL_DEREF] = {"null dereference", TRUE},
	[FINDING_KERNEL_WARNING] = {"kernel warning", TRUE},
	[FINDING_CORRUPTION] = {"memory corruption", TRUE},
	[FINDING_USE_AFTER_RELEASE] = {"use after release", TRUE},
	[FINDING_UNINITIALISED] = {"uninitialised value used", TRUE},
	[FINDING_STUCK] = {"request given up", FALSE},
	[FINDING_IOVA_SMALLER_CLASS] = {"IOVA returned in a smaller class", FALSE},
	[FINDING_STALE_REACHABLE] = {"stale entries reachable", FALSE},
	[FINDING_LINK_IN_GRANULE] = {"segment linked inside a granule", FALSE},
	[FINDING_UNTRANSLATED] = {"device without translation", FALSE},
	[FINDING_DRIVER_ODDITY] = {"driver oddity", FALSE},
};

static void finding_free(void *data)
{
	struct finding *finding = data;

	g_free(finding->device);
	g_free(finding->text);
	g_free(finding->acquired);
	g_free(finding);
}

void findings_init(struct findings *findings)
{
	*findings = (struct findings){.kept = g_ptr_array_new_with_free_func(finding_free)};
}

void findings_finish(struct findings *findings)
{
	g_clear_pointer(&findings->kept, g_ptr_array_unref);
}

void sim_find(struct sim *sim, enum finding_kind kind, const char *acquired, const char *format, ...)
{
	struct findings *findings = &sim->findings;
	bool keep = findings->count[kind]++ < FINDINGS_KEPT;
	struct finding *finding;
	char *text;
	va_list args;

	if (!keep && !sim->observers)
		return;
	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	SIM_ANNOUNCE(sim, found, kind, text);
	if (!keep) {
		g_free(text);
		return;
	}
	finding = g_new0(struct finding, 1);
	finding->kind = kind;
	finding->time_ns = sim->now_ns;
	finding->cpu = sim->cpu;
	finding->device = g_strdup(sim->device);
	finding->acquired = g_strdup(acquired);
	finding->text = text;
	g_ptr_array_add(findings->kept, finding);
}

static uint64_t findings_sum(const struct findings *findings, gboolean violation)
{
	uint64_t sum = 0;

	for (unsigned kind = 0; kind < FINDING_KINDS; kind++)
		if (finding_kinds[kind].violation == violation)
			sum += findings->count[kind];
	return sum;
}

uint64_t findings_violations(const struct findings *findings)
{
	return findings_sum(findings, TRUE);
}

uint64_t findings_observations(const struct findings *findings)
{
	return findings_sum(findings, FALSE);
}
