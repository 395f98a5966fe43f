/* SPDX-License-Identifier: MIT */
#include "sim/machine/service.h"

#include <glib.h>

#define LN2_32	 UINT64_C(2977044472) /* ln 2 in 2^-32 */
#define LOG2E_16 94548		      /* 1 / ln 2 in 2^-16 */

/** One request of the recording, from its issue on until it is asked for. */
struct service_ahead {
	uint64_t number;
	uint64_t issued_ns;
	uint64_t latency_ns; /* UINT64_MAX: not known, or not yet */
};

/** A fair sample of the latencies of a class (reservoir sampling). */
struct service_samples {
	uint64_t seen;
	uint64_t latency_ns[SERVICE_SAMPLES];
};

struct service_recorded {
	struct io_transform *trace; /* borrowed */
	bool ended;
	uint64_t issued;	     /* the number of the latest that was read */
	struct service_ahead *ahead; /* a ring, by number */
	struct service_samples *samples[2][SERVICE_CLASSES];
};

/* ---- numbers ---- */

uint64_t service_log2(uint64_t x)
{
	unsigned whole = 63 - (unsigned)__builtin_clzll(x);
	uint64_t bits = (uint64_t)whole << 32;
	uint64_t rest = x << (63 - whole) >> 32; /* 1 to 2, in 2^-31 */

	for (unsigned bit = 32; bit-- > 0;) {
		rest = rest * rest >> 31;
		if (rest >> 32) {
			rest >>= 1;
			bits |= UINT64_C(1) << bit;
		}
	}
	return bits;
}

static uint64_t service_sqrt(uint64_t x)
{
	uint64_t root = 0;

	for (unsigned bit = 32; bit-- > 0;)
		if ((root | UINT64_C(1) << bit) * (root | UINT64_C(1) << bit) <= x)
			root |= UINT64_C(1) << bit;
	return root;
}

/** Returns @x * 2^(@power / 2^16), at most 2^62. */
static uint64_t service_exp2(uint64_t x, int64_t power)
{
	uint64_t factor = UINT64_C(1) << 30, step = UINT64_C(1) << 31;
	int64_t whole = power >> 16;

	for (unsigned bit = 16; bit-- > 0;) {
		step = service_sqrt(step << 30); /* 2^(1/2), 2^(1/4), …, in 2^-30 */
		if (power >> bit & 1)
			factor = factor * step >> 30;
	}
	x = x * (factor >> 14) >> 16;
	if (whole < 0)
		return whole > -63 ? x >> -whole : 0;
	return x && whole + 63 - __builtin_clzll(x) > 61 ? UINT64_C(1) << 62 : x << whole;
}

/** Returns an exponential time: minus the logarithm of a uniform number. */
static uint64_t service_exponential(struct prng *prng, uint64_t mean_ns)
{
	uint64_t u = prng_next(prng) | 1;
	uint64_t factor = ((UINT64_C(64) << 32) - service_log2(u)) >> 8; /* in 2^-24 */

	factor = factor * (LN2_32 >> 8) >> 24;
	return mean_ns * factor >> 24;
}

/** Returns a normal number in 2^-16, by Marsaglia's polar method. */
static int64_t service_normal(struct prng *prng)
{
	uint64_t s, minus_ln2;
	int64_t v;

	do {
		uint64_t bits = prng_next(prng);
		int64_t w = (int64_t)(int32_t)(uint32_t)bits;

		v = (int64_t)(int32_t)(uint32_t)(bits >> 32);		 /* -1 to 1, in 2^-31 */
		s = ((uint64_t)(v * v) >> 1) + ((uint64_t)(w * w) >> 1); /* in 2^-61 */
	} while (s >= UINT64_C(1) << 61 || s >> 37 == 0);
	minus_ln2 = 2 * (((UINT64_C(61) << 32) - service_log2(s)) >> 8) * (LN2_32 >> 8) >> 24; /* in 2^-24 */
	return v * (int64_t)service_sqrt((minus_ln2 << 32) / (s >> 37)) >> 31;
}

static uint64_t service_lognormal(struct service *service, uint64_t mean_ns)
{
	int64_t sigma = service->sigma;
	/* The mean of exp(sigma z) is exp(sigma^2 / 2). */
	int64_t power = (sigma * service_normal(&service->prng) - sigma * sigma / 2) >> 16;

	return service_exp2(mean_ns, power * LOG2E_16 >> 16);
}

uint64_t service_draw_ns(struct service *service, bool write)
{
	switch (service->model) {
	case SERVICE_EXPONENTIAL:
		return service_exponential(&service->prng, service->mean_ns[write]);
	case SERVICE_LOGNORMAL:
		return service_lognormal(service, service->mean_ns[write]);
	default:
		return service->mean_ns[write];
	}
}

/* ---- what was recorded ---- */

unsigned service_class(uint64_t bytes)
{
	return bytes ? MIN(64 - (unsigned)__builtin_clzll(bytes), SERVICE_CLASSES - 1) : 0;
}

static struct service_ahead *service_at(const struct service_recorded *recorded, uint64_t number)
{
	return &recorded->ahead[number & (SERVICE_AHEAD - 1)];
}

static void service_keep(struct service *service, bool write, unsigned class, uint64_t latency_ns)
{
	struct service_samples **samples = &service->recorded->samples[write][class];
	uint64_t at;

	if (!*samples)
		*samples = g_new0(struct service_samples, 1);
	at = (*samples)->seen++;
	if (at >= SERVICE_SAMPLES)
		at = prng_below(&service->prng, (uint32_t)MIN(at + 1, UINT32_MAX));
	if (at < SERVICE_SAMPLES)
		(*samples)->latency_ns[at] = latency_ns;
}

/** Takes how long the request of @record took. A list of requests has no completions, and of some requests they are lost. */
static void service_learn(struct service *service, const struct io_record *record,
			  const struct io_complete *complete)
{
	struct service_ahead *ahead = service_at(service->recorded, record->number);
	/* What is further back than the window is long is not known any more. */
	if (!record->completes || record->never_completes || complete->requeued ||
	    ahead->number != record->number)
		return;
	ahead->latency_ns = complete->time_ns - ahead->issued_ns;
	service_keep(service, record->to_device || record->op == IO_DISCARD, service_class(record->bytes),
		     ahead->latency_ns);
}

/** Reads on until it is known how long request @number took, or the window is full. */
static void service_read_until(struct service *service, uint64_t number)
{
	struct service_recorded *recorded = service->recorded;
	const struct service_ahead *wanted = service_at(recorded, number);
	const struct io_record *record;
	struct io_complete complete;

	while (!recorded->ended && !(wanted->number == number && wanted->latency_ns != UINT64_MAX) &&
	       recorded->issued < number + SERVICE_AHEAD - 1) {
		switch (io_transform_next(recorded->trace, &record, &complete, NULL)) {
		case IO_ISSUE:
			recorded->issued = record->number;
			*service_at(recorded, record->number) =
				(struct service_ahead){record->number, record->time_ns, UINT64_MAX};
			break;
		case IO_COMPLETE:
			service_learn(service, record, &complete);
			break;
		default:
			recorded->ended = true;
		}
	}
}

/** Returns what the way of @way_ns leaves of @latency_ns. */
static uint64_t service_left_ns(struct service *service, uint64_t latency_ns, uint64_t way_ns)
{
	if (latency_ns >= way_ns)
		return latency_ns - way_ns;
	service->shorter++;
	return 0;
}

uint64_t service_recorded_ns(struct service *service, uint64_t number, bool write, uint64_t bytes,
			     uint64_t way_ns)
{
	const struct service_samples *samples;
	const struct service_ahead *ahead;
	uint64_t kept;

	if (!service->recorded)
		return service->mean_ns[write];
	service_read_until(service, number);
	ahead = service_at(service->recorded, number);
	if (ahead->number == number && ahead->latency_ns != UINT64_MAX)
		return service_left_ns(service, ahead->latency_ns, way_ns);
	samples = service->recorded->samples[write][service_class(bytes)];
	if (!samples)
		return service->mean_ns[write];
	kept = MIN(samples->seen, SERVICE_SAMPLES);
	return service_left_ns(service, samples->latency_ns[prng_below(&service->prng, (uint32_t)kept)], way_ns);
}

/* ---- set-up ---- */

void service_init(struct service *service, const struct machine_config *config, uint64_t seed,
		  unsigned number, struct io_transform *recording)
{
	g_autofree char *name = number ? g_strdup_printf("service %u", number) : g_strdup("service");
	uint64_t percent = config->service_spread, ln;

	*service = (struct service){.model = (enum service_model)config->service,
				    .mean_ns = {config->read_ns, config->write_ns}};
	prng_init(&service->prng, seed, name);
	/* Of a lognormal time, sigma^2 is ln(1 + (deviation / mean)^2). */
	ln = ((service_log2(10000 + percent * percent) - service_log2(10000)) >> 8) * (LN2_32 >> 8) >> 16;
	service->sigma = (uint32_t)service_sqrt(ln);
	if (service->model != SERVICE_RECORDED || !recording)
		return;
	service->recorded = g_new0(struct service_recorded, 1);
	service->recorded->trace = recording;
	service->recorded->ahead = g_new0(struct service_ahead, SERVICE_AHEAD);
}

void service_finish(struct service *service)
{
	struct service_recorded *recorded = service->recorded;

	if (!recorded)
		return;
	for (unsigned class = 0; class < SERVICE_CLASSES; class ++) {
		g_free(recorded->samples[0][class]);
		g_free(recorded->samples[1][class]);
	}
	g_free(recorded->ahead);
	g_free(recorded);
}
