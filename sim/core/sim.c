/* SPDX-License-Identifier: MIT */
#include "sim/core/sim.h"

struct sim *sim_new(unsigned cpu_count, uint64_t seed)
{
	struct sim *sim = g_new0(struct sim, 1);

	g_assert(cpu_count >= 1);
	g_assert(cpu_count <= SIM_CPUS_MAX);
	sim->cpus = g_new0(struct sim_cpu, cpu_count);
	sim->cpu_count = sim->cpu_online = cpu_count;
	for (unsigned i = 0; i < cpu_count; i++)
		sim->cpus[i].online = true;
	sim->seed = seed;
	sim->timed = true;
	for (unsigned kind = 0; kind < WORK_KINDS; kind++)
		sim->cost_ps[kind] = work_kinds[kind].default_ns * 1000;
	physmem_init(&sim->mem);
	findings_init(&sim->findings);
	return sim;
}

void sim_free(struct sim *sim)
{
	if (!sim)
		return;
	event_queue_finish(&sim->events);
	findings_finish(&sim->findings);
	physmem_finish(&sim->mem);
	g_free(sim->cpus);
	g_free(sim);
}

void sim_handle(struct sim *sim, unsigned kind, event_handler handler, void *data)
{
	g_assert(kind < EVENT_KINDS);
	g_assert(sim->handlers[kind] == NULL || handler == NULL);
	sim->handlers[kind] = handler;
	sim->handler_data[kind] = data;
}

void sim_observe(struct sim *sim, struct sim_observer *observer)
{
	struct sim_observer **end = &sim->observers;

	while (*end)
		end = &(*end)->next;
	observer->next = NULL;
	*end = observer;
}

void sim_wait(struct sim *sim, struct sim_lock *lock, uint64_t at_ps)
{
	uint64_t from_ps = sim->cursor_ps, wait_ns = (at_ps - from_ps + 999) / 1000;

	lock->waits++;
	lock->wait_ns_sum += wait_ns;
	lock->wait_ns_max = MAX(lock->wait_ns_max, wait_ns);
	lock->holder_from_ps = at_ps;
	sim->wait_ps += at_ps - from_ps;
	sim->cursor_ps = at_ps;
	SIM_TOOK(sim, .what = SPAN_WAIT, .from_ps = from_ps, .name = lock->name);
}

void sim_run_until(struct sim *sim, uint64_t until_ns)
{
	struct event event;

	while (event_queue_next_ns(&sim->events) <= until_ns && event_queue_pop(&sim->events, &event)) {
		sim->now_ns = event.time_ns;
		sim->handlers[event_kind(&event)](sim, event_payload(&event));
	}
	if (until_ns != UINT64_MAX)
		sim->now_ns = until_ns;
}
