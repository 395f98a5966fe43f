/* SPDX-License-Identifier: MIT */
#include "sim/machine/device-time.h"

#include <glib.h>
#include <string.h>

#define MSI_BYTES 4

static uint64_t device_ns(uint64_t ps)
{
	return (ps + 999) / 1000;
}

/* ---- walkers ---- */

void walkers_init(struct walkers *walkers, struct sim *sim, const struct machine_config *config)
{
	*walkers = (struct walkers){
		.sim = sim, .count = (unsigned)config->walkers, .memory_ps = config->memory_ns * 1000};
}

uint64_t walkers_walk(struct walkers *walkers, uint64_t now_ps, uint64_t at_ps, uint32_t table_reads)
{
	uint64_t walk_ps = table_reads * walkers->memory_ps, *free_ps = &walkers->free_ps[0];

	/* The first that is free, else the one that is free first. */
	for (unsigned i = 1; i<walkers->count && * free_ps> now_ps; i++)
		if (walkers->free_ps[i] < *free_ps)
			free_ps = &walkers->free_ps[i];
	walkers->walks++;
	walkers->busy_ps += walk_ps;
	if (*free_ps > at_ps) {
		walkers->waits++;
		walkers->wait_ps += *free_ps - at_ps;
	}
	*free_ps = MAX(*free_ps, now_ps) + walk_ps;
	SIM_HARDWARE(walkers->sim, .what = SPAN_WALK, .req = walkers->req, .from_ps = *free_ps - walk_ps,
		     .to_ps = *free_ps, .unit = (uint32_t)(free_ps - walkers->free_ps), .count = table_reads);
	return MAX(*free_ps, at_ps + walk_ps);
}

/** Returns how many entries the @i-th of the walks in @walks reads: all about the same. */
static uint32_t device_table_reads(const struct controller_walks *walks, uint32_t i)
{
	return walks->table_reads / walks->misses + (i < walks->table_reads % walks->misses);
}

static uint64_t device_walk(struct device_time *device, const struct controller_walks *walks, uint32_t i,
			    uint64_t at_ps)
{
	return walkers_walk(device->walkers, device->link.now_ps, at_ps, device_table_reads(walks, i));
}

/** Returns when the last of @walks ends, which all are asked for at @at_ps. */
static uint64_t device_walk_all(struct device_time *device, const struct controller_walks *walks,
				uint64_t at_ps)
{
	uint64_t end_ps = at_ps;

	for (uint32_t i = 0; i < walks->misses; i++) {
		uint64_t one_ps = device_walk(device, walks, i, at_ps);

		end_ps = MAX(end_ps, one_ps);
	}
	return end_ps;
}

/* ---- accesses ---- */

/** The device asks for the translations it lacks, all at once, before it sends. Returns when it has them; then nothing of
 *  *@walks is left to do. */
static uint64_t device_ask(struct device_time *device, struct controller_walks *walks, uint64_t at_ps)
{
	if (!walks->ats_requests)
		return at_ps;
	at_ps = device_walk_all(device, walks, at_ps + device->ats_ps);
	walks->misses = 0;
	return at_ps;
}

/** Reads @bytes of memory. A walk keeps what lies in its page from coming, and the tags with it. */
static uint64_t device_read(struct device_time *device, struct controller_walks walks, uint64_t bytes,
			    uint64_t at_ps)
{
	uint64_t way_ps = device->link.latency_ps / 2, done_ps = at_ps = device_ask(device, &walks, at_ps);

	if (!walks.misses)
		return bytes ? pcie_read(&device->link, &at_ps, bytes, 0) : at_ps;
	for (uint32_t i = 0; i < walks.misses; i++) {
		uint64_t part = bytes * (i + 1) / walks.misses - bytes * i / walks.misses;
		uint64_t there_ps = pcie_read_start_ps(&device->link, at_ps) + way_ps;
		uint64_t back_ps = device_walk(device, &walks, i, there_ps) + way_ps;

		if (part)
			back_ps = pcie_read(&device->link, &at_ps, part, back_ps);
		done_ps = MAX(done_ps, back_ps);
	}
	return done_ps;
}

/** Returns when the completion of @command, which comes to memory at @there_ps, is in it. */
static uint64_t device_walk_completion(struct device_time *device, const struct controller_command *command,
				       uint64_t there_ps)
{
	struct controller_walks walks = command->walks[CONTROLLER_COMPLETION];

	there_ps = device_ask(device, &walks, there_ps);
	return device_walk_all(device, &walks, there_ps);
}

/** Writes @bytes to memory, and behind them the completion and perhaps an interrupt. */
static uint64_t device_write(struct device_time *device, struct controller_walks walks, uint64_t bytes,
			     bool interrupts, uint64_t at_ps)
{
	uint64_t way_ps = device->link.latency_ps / 2, sent_ps, done_ps;

	at_ps = device_ask(device, &walks, at_ps);
	at_ps = MAX(at_ps, device->link.up.free_ps);
	sent_ps = pcie_post(&device->link, at_ps, bytes, 1 + interrupts,
			    NVME_CQE_BYTES + (interrupts ? MSI_BYTES : 0));
	done_ps = sent_ps + way_ps;
	/* Packets of one page after the other come to be translated. */
	for (uint32_t i = 0; i < walks.misses; i++) {
		uint64_t there_ps = at_ps + (sent_ps - at_ps) * i / walks.misses + way_ps;
		uint64_t walked_ps = device_walk(device, &walks, i, there_ps);

		done_ps = MAX(done_ps, walked_ps);
	}
	return done_ps;
}

/** Returns when the interrupt of @work, if it has one, is at its CPU, which came at @at_ps: the first of a queue has the IOMMU
 *  read where that is. */
static uint64_t device_remap(struct device_time *device, const struct device_work *work, uint64_t at_ps)
{
	if (!work->interrupts || device->vectors[work->qid] || device->link.plain)
		return at_ps;
	device->vectors[work->qid] = true;
	return at_ps + device->walkers->memory_ps;
}

/* ---- steps ---- */

static uint64_t device_data_bytes(const struct controller_command *command)
{
	return command->bytes + command->meta_bytes;
}

static uint32_t device_channel(const struct device_time *device, const struct controller_command *command)
{
	uint64_t place = command->slba >> 3;

	/* A division is as long as half of what else is done here. */
	return (uint32_t)(device->channels_power ? place & (device->channels - 1) : place % device->channels);
}

static void device_announce(const struct device_time *device, const struct device_work *work,
			    enum sim_span what, uint32_t unit, uint64_t from_ps, uint64_t to_ps)
{
	SIM_HARDWARE(device->walkers->sim, .what = what, .req = work->req, .unit = unit, .from_ps = from_ps,
		     .to_ps = to_ps);
}

/* What a command is done with that has the device for itself: everything but the service. */
struct device_alone {
	struct sim sim; /* without observers: nothing of this happens */
	struct walkers walkers;
	struct device_time device;
	bool translates; /* walks are part of the way */
	uint64_t now_ns; /* when all that came before is over */
};

/** Returns how long the device would take for all steps of @work together, with nobody else there and a channel that takes no
 *  time. Pieces of one request follow each other on the link, and end together. */
static uint64_t device_alone_ns(struct device_alone *alone, const struct device_work *work)
{
	struct controller_command command = *work->command;
	struct device_work again = *work;
	uint64_t begun_ns = alone->now_ns + work->ahead_ns, at_ns = begun_ns;

	if (!alone->translates)
		memset(command.walks, 0, sizeof(command.walks));
	if (command.bytes && (work->req->op == REQ_OP_READ || work->req->op == REQ_OP_WRITE))
		command.bytes = MAX(command.bytes, work->bytes);
	again.command = &command;
	again.step = DEVICE_FETCH;
	for (; again.step != DEVICE_DONE; at_ns = alone->now_ns)
		alone->now_ns = device_take_step(&alone->device, &again, alone->now_ns, at_ns);
	return alone->now_ns - begun_ns;
}

/** Returns when the channel of @work, which has the command since @at_ps, is done with it. */
static uint64_t device_serve(struct device_time *device, const struct device_work *work, uint64_t at_ps)
{
	const struct controller_command *command = work->command;
	uint32_t unit = device_channel(device, command);
	uint64_t *channel = &device->channel_free_ps[unit], service_ps;

	if (device->service.model == SERVICE_RECORDED) {
		/* What the device was busy with then is in the time already, and so is the way to it. */
		uint64_t way_ns = device->alone ? work->cpu_ns + device_alone_ns(device->alone, work) : 0;

		service_ps = 1000 * service_recorded_ns(&device->service, work->number, command->write,
							work->bytes, way_ns);
		device->stats.service_ps += service_ps;
		device_announce(device, work, SPAN_SERVICE, unit, at_ps, at_ps + service_ps);
		return at_ps + service_ps;
	}
	service_ps = 1000 * service_draw_ns(&device->service, command->write);
	device->stats.service_ps += service_ps;
	if (*channel > at_ps) {
		device->stats.wait_ps += *channel - at_ps;
		device_announce(device, work, SPAN_CHANNEL_WAIT, unit, at_ps, *channel);
		at_ps = *channel;
	}
	*channel = at_ps + service_ps;
	device_announce(device, work, SPAN_SERVICE, unit, at_ps, *channel);
	return *channel;
}

/** A command without data for memory is done at @at_ps, which lies ahead, but for its completion. */
static uint64_t device_complete(struct device_time *device, struct device_work *work, uint64_t at_ps)
{
	uint64_t done_ps = pcie_post_between(&device->link, at_ps, 1 + work->interrupts,
					     NVME_CQE_BYTES + (work->interrupts ? MSI_BYTES : 0)) +
			   device->link.latency_ps / 2;

	done_ps = device_walk_completion(device, work->command, done_ps);
	done_ps = device_remap(device, work, done_ps);
	device->stats.transfer_ps += done_ps - at_ps;
	device_announce(device, work, SPAN_TRANSFER, 0, at_ps, done_ps);
	work->step = DEVICE_DONE;
	return done_ps;
}

static uint64_t device_fetch(struct device_time *device, struct device_work *work, uint64_t begun_ps)
{
	const struct controller_command *command = work->command;
	uint64_t bytes = device_data_bytes(command), at_ps;

	at_ps = device_read(device, command->walks[CONTROLLER_FETCH], device->link.plain ? 0 : NVME_SQE_BYTES,
			    begun_ps);
	/* Each list tells where the next one lies. */
	for (uint32_t i = 0; i < command->lists; i++) {
		const struct controller_walks none = {0};

		at_ps = device_read(device, i ? none : command->walks[CONTROLLER_LISTS],
				    device->link.plain ? 0 : command->list_bytes / command->lists, at_ps);
	}
	if (command->write && bytes)
		at_ps = device_read(device, command->walks[CONTROLLER_DATA], bytes, at_ps);
	device->stats.commands++;
	device->stats.fetch_ps += at_ps - begun_ps;
	device_announce(device, work, SPAN_FETCH, 0, begun_ps, at_ps);
	if (command->write && bytes) {
		work->step = DEVICE_SERVE;
		return at_ps;
	}
	at_ps = device_serve(device, work, at_ps);
	if (!bytes)
		return device_complete(device, work, at_ps);
	work->step = DEVICE_TRANSFER;
	return at_ps;
}

static uint64_t device_transfer(struct device_time *device, struct device_work *work, uint64_t begun_ps)
{
	const struct controller_command *command = work->command;
	uint64_t done_ps = device_write(device, command->walks[CONTROLLER_DATA], device_data_bytes(command),
					work->interrupts, begun_ps);

	done_ps = device_walk_completion(device, work->command, done_ps);
	done_ps = device_remap(device, work, done_ps);
	device->stats.transfer_ps += done_ps - begun_ps;
	device_announce(device, work, SPAN_TRANSFER, 0, begun_ps, done_ps);
	work->step = DEVICE_DONE;
	return done_ps;
}

uint64_t device_take_step(struct device_time *device, struct device_work *work, uint64_t now_ns,
			  uint64_t at_ns)
{
	uint64_t at_ps = at_ns * 1000;

	device->link.now_ps = now_ns * 1000;
	device->walkers->req = work->req;
	switch (work->step) {
	case DEVICE_FETCH:
		work->ahead_ns = at_ns - now_ns;
		return device_ns(device_fetch(device, work, at_ps));
	case DEVICE_SERVE:
		return device_ns(device_complete(device, work, device_serve(device, work, at_ps)));
	case DEVICE_TRANSFER:
		return device_ns(device_transfer(device, work, at_ps));
	default:
		g_assert_not_reached();
	}
}

/* ---- set-up ---- */

static struct device_alone *device_alone_new(const struct machine_config *config, unsigned queues)
{
	struct device_alone *alone = g_new0(struct device_alone, 1);
	struct machine_config at_once = *config;

	at_once.service = SERVICE_FIXED;
	at_once.read_ns = at_once.write_ns = 0;
	at_once.channels = 1;
	alone->translates = config->recorded_iommu == RECORDED_IOMMU_SAME;
	walkers_init(&alone->walkers, &alone->sim, &at_once);
	device_time_init(&alone->device, &at_once, 0, 0, queues, &alone->walkers, NULL);
	return alone;
}

void device_time_init(struct device_time *device, const struct machine_config *config, unsigned number,
		      uint64_t seed, unsigned queues, struct walkers *walkers, struct io_transform *recording)
{
	*device = (struct device_time){.walkers = walkers,
				       .channels = (uint32_t)config->channels,
				       .channels_power = (config->channels & (config->channels - 1)) == 0,
				       .channel_free_ps = g_new0(uint64_t, config->channels),
				       .ats_ps = config->ats_ns * 1000,
				       .vectors = g_new0(bool, queues)};
	pcie_init(&device->link, config);
	service_init(&device->service, config, seed, number, recording);
	if (device->service.recorded)
		device->alone = device_alone_new(config, queues);
}

void device_time_finish(struct device_time *device)
{
	pcie_finish(&device->link);
	service_finish(&device->service);
	g_free(device->channel_free_ps);
	g_free(device->vectors);
	if (device->alone)
		device_time_finish(&device->alone->device);
	g_free(device->alone);
}
