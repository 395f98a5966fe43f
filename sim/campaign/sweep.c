/* SPDX-License-Identifier: MIT */
#include "sim/campaign/sweep.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/campaign/sweep-internal.h"
#include "sim/core/error.h"

#define SWEEP_SAID_MAX 2048 /* of what broke, in bytes */

/* CPU seconds that a child may take, and more by so many times what the run without a fault took: it goes round in a circle. */
#define SWEEP_CHILD_S	   60
#define SWEEP_CHILD_FACTOR 20

enum sweep_exit {
	SWEEP_OK = 0,
	SWEEP_BROKE = 1, /* what did stands in the child's place */
};

/** A child at work. */
struct sweep_job {
	pid_t pid; /* 0: none */
	guint pair;
	char *said; /* its place in memory that it shares with the trunk */
};

struct sweep {
	const struct sweep_options *options;
	struct sweep_result *result;
	struct sweep_outcome reference;
	struct sweep_file file;
	guint next[SIM_FAULTS_MAX]; /* pair that the point comes to next */
	guint end[SIM_FAULTS_MAX];  /* behind its last */
	struct sweep_job *jobs;
	char *shared;
	uint64_t done;
	rlim_t child_s;
	struct sweep_job *self; /* in a child: its job; else NULL */
	GError *error;
};

/* ---- the pairs ---- */

/** Returns the pass that is the @i-th of @count among @passes, from 0: the first, the last, and evenly between. */
static uint64_t sweep_sample(uint64_t i, uint64_t count, uint64_t passes)
{
	return count == 1 ? 1 : 1 + (uint64_t)((unsigned __int128)i * (passes - 1) / (count - 1));
}

/** Plans the pairs of all points that are asked for. */
static bool sweep_plan(struct sweep *sweep, GError **error)
{
	const struct sweep_options *options = sweep->options;
	struct sweep_result *result = sweep->result;
	bool known = false;

	for (unsigned id = 0; id < SIM_FAULTS_MAX; id++) {
		const struct fault_point *point = fault_point_get(options->rules, id);
		uint64_t passes = result->passes[id], count = passes;

		sweep->next[id] = sweep->end[id] = result->pairs->len;
		if (!point || !g_pattern_match_simple(options->points, point->name))
			continue;
		known = true;
		if (options->max)
			count = MIN(count, options->max);
		if (result->pairs->len + count > SWEEP_PAIRS_MAX)
			return sim_error_plain(error, "more than %d pairs: give --max or --limit",
					       SWEEP_PAIRS_MAX) == 0;
		for (uint64_t i = 0; i < count; i++) {
			const struct sweep_pair pair = {.point = id, .pass = sweep_sample(i, count, passes)};

			g_array_append_val(result->pairs, pair);
		}
		sweep->end[id] = result->pairs->len;
	}
	if (!known)
		return sim_error_plain(
			       error,
			       "--points=%s: no fault point is called so; see \"iommusim faults points\"",
			       options->points) == 0;
	return true;
}

/* ---- children ---- */

/** A child that has come to the end of its run says what broke, and is gone. Nothing of the trunk's is cleaned up: it is not the
 *  child's. */
static void sweep_child_ends(struct sweep *sweep, const struct sweep_outcome *outcome) G_GNUC_NORETURN;
static void sweep_child_ends(struct sweep *sweep, const struct sweep_outcome *outcome)
{
	const struct sweep_pair *pair =
		&g_array_index(sweep->result->pairs, struct sweep_pair, sweep->self->pair);
	char *broke = sweep_judge(sweep->options, outcome, &sweep->reference,
				  fault_point_get(sweep->options->rules, pair->point));

	if (broke)
		g_strlcpy(sweep->self->said, broke, SWEEP_SAID_MAX);
	_exit(broke ? SWEEP_BROKE : SWEEP_OK);
}

static struct sweep_job *sweep_job_of(struct sweep *sweep, pid_t pid)
{
	for (unsigned i = 0; i < sweep->options->jobs; i++)
		if (sweep->jobs[i].pid == pid)
			return &sweep->jobs[i];
	return NULL;
}

/** Returns what broke, as the way tells in which the child ended; NULL: nothing. */
static char *sweep_job_said(const struct sweep *sweep, const struct sweep_job *job, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == SWEEP_OK)
		return NULL;
	if (WIFEXITED(status) && WEXITSTATUS(status) == SWEEP_BROKE)
		return g_strdelimit(g_strdup(job->said), "\n", ' ');
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return g_strdup_printf("no end within %u s of CPU time, or killed", (unsigned)sweep->child_s);
	return g_strdup("the simulation failed: an error in it, not in what it models");
}

/** Waits until a child has ended. Returns its job, with how in *@ret_status. Other children of this process, such as one that
 *  reads a trace, are left to who started them. */
static struct sweep_job *sweep_wait(struct sweep *sweep, int *ret_status)
{
	siginfo_t any;

	while (true) {
		for (unsigned i = 0; i < sweep->options->jobs; i++) {
			struct sweep_job *job = &sweep->jobs[i];

			if (job->pid && waitpid(job->pid, ret_status, WNOHANG) == job->pid)
				return job;
		}
		any.si_pid = 0;
		/* One of the others that has ended stays so: then look now and then. */
		if (waitid(P_ALL, 0, &any, WEXITED | WNOWAIT) == 0 && !sweep_job_of(sweep, any.si_pid))
			g_usleep(1000);
	}
}

/** Waits for a child, and takes its result. Returns its job, free again. */
static struct sweep_job *sweep_reap(struct sweep *sweep)
{
	const struct sweep_options *options = sweep->options;
	struct sweep_pair *pair;
	int status;
	struct sweep_job *job = sweep_wait(sweep, &status);

	pair = &g_array_index(sweep->result->pairs, struct sweep_pair, job->pair);
	pair->broke = sweep_job_said(sweep, job, status);
	pair->done = true;
	job->pid = 0;
	sweep->done++;
	if (!sweep->error)
		sweep_file_add(&sweep->file, options, pair, &sweep->error);
	if (options->progress)
		options->progress(options->progress_data, sweep->done, sweep->result->taken_up,
				  sweep->result->pairs->len);
	return job;
}

/** Makes this process, just forked, the child that does @job. */
static void sweep_become_child(struct sweep *sweep, struct sweep_job *job)
{
	const struct rlimit limit = {sweep->child_s, sweep->child_s};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CPU, &limit);
	sweep->self = job;
}

/** Lets a child of this process go on with a fault at @pair. Returns whether this is the child. */
static bool sweep_fork(struct sweep *sweep, guint pair)
{
	struct sweep_job *job = sweep_job_of(sweep, 0);
	pid_t pid;

	if (!job)
		job = sweep_reap(sweep);
	job->pair = pair;
	job->said[0] = '\0';
	pid = fork();
	if (pid == 0) {
		sweep_become_child(sweep, job);
		return true;
	}
	if (pid < 0) {
		sim_error_plain(&sweep->error, "cannot fork: %s", g_strerror(errno));
		return false;
	}
	job->pid = pid;
	return false;
}

/** The trunk, or a child, passes a point. */
static bool sweep_at_pass(void *data, struct sim *sim, unsigned point)
{
	struct sweep *sweep = data;
	guint index = sweep->next[point];
	const struct sweep_pair *pair;

	if (sweep->self || sweep->error || index == sweep->end[point])
		return false;
	pair = &g_array_index(sweep->result->pairs, struct sweep_pair, index);
	if (pair->pass != sim->fault_passes[point])
		return false;
	sweep->next[point]++;
	return !pair->done && sweep_fork(sweep, index);
}

static void sweep_make_jobs(struct sweep *sweep)
{
	unsigned jobs = sweep->options->jobs;
	size_t len = (size_t)jobs * SWEEP_SAID_MAX;

	sweep->shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sweep->shared == MAP_FAILED)
		g_error("no memory for %u jobs", jobs);
	sweep->jobs = g_new0(struct sweep_job, jobs);
	for (unsigned i = 0; i < jobs; i++)
		sweep->jobs[i].said = sweep->shared + (size_t)i * SWEEP_SAID_MAX;
}

static void sweep_free_jobs(struct sweep *sweep)
{
	munmap(sweep->shared, (size_t)sweep->options->jobs * SWEEP_SAID_MAX);
	g_free(sweep->jobs);
}

/** The run from which all children branch off. In these it does not return. */
static void sweep_trunk(struct sweep *sweep)
{
	bool points[SIM_FAULTS_MAX];
	struct sweep_outcome outcome;

	for (unsigned id = 0; id < SIM_FAULTS_MAX; id++)
		points[id] = sweep->next[id] < sweep->end[id];
	sweep_make_jobs(sweep);
	fault_rules_watch(sweep->options->rules, points, sweep_at_pass, sweep);
	sweep_replay(sweep->options, &outcome);
	if (sweep->self)
		sweep_child_ends(sweep, &outcome);
	fault_rules_watch(sweep->options->rules, NULL, NULL, NULL);
	for (unsigned i = 0; i < sweep->options->jobs; i++)
		while (sweep->jobs[i].pid)
			sweep_reap(sweep);
	sweep_outcome_clear(&outcome);
	sweep_free_jobs(sweep);
}

/* ---- the whole ---- */

/** The run without a swept fault: whether there is one, and how often it passes what. */
static bool sweep_reference(struct sweep *sweep, GError **error)
{
	struct sweep_outcome *reference = &sweep->reference;
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	sweep_replay(sweep->options, reference);
	getrusage(RUSAGE_SELF, &after);
	sweep->child_s = SWEEP_CHILD_S +
			 SWEEP_CHILD_FACTOR * (rlim_t)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + 1);
	if (reference->trouble)
		return sim_error_plain(error, "%s", reference->trouble) == 0;
	if (reference->probe_error)
		return sim_error_plain(error, "the machine cannot be probed: %s: %s", reference->probe_step,
				       fault_errno_name(reference->probe_error)) == 0;
	memcpy(sweep->result->passes, reference->machine->sim->fault_passes, sizeof(sweep->result->passes));
	sweep->result->unfaulted = sweep_judge_unfaulted(sweep->options, reference);
	return true;
}

static void sweep_count(struct sweep_result *result, uint64_t *ret_done, uint64_t *ret_broken)
{
	*ret_done = *ret_broken = 0;
	for (guint i = 0; i < result->pairs->len; i++) {
		const struct sweep_pair *pair = &g_array_index(result->pairs, struct sweep_pair, i);

		*ret_done += pair->done;
		*ret_broken += pair->broke != NULL;
	}
}

static bool sweep_all(struct sweep *sweep, GError **error)
{
	struct sweep_result *result = sweep->result;

	if (!sweep_reference(sweep, error) || !sweep_plan(sweep, error) ||
	    !sweep_file_open(&sweep->file, sweep->options, &sweep->reference, result, error))
		return false;
	sweep_count(result, &result->taken_up, &result->broken);
	sweep->done = result->taken_up;
	if (sweep->done < result->pairs->len)
		sweep_trunk(sweep);
	if (sweep->error) {
		g_propagate_error(error, sweep->error);
		return false;
	}
	sweep_count(result, &sweep->done, &result->broken);
	g_assert(sweep->done == result->pairs->len);
	return sweep_file_finish(&sweep->file, sweep->options, result, error);
}

static void sweep_pair_clear(void *data)
{
	struct sweep_pair *pair = data;

	g_free(pair->broke);
}

bool sweep_run(const struct sweep_options *options, struct sweep_result *ret_result, GError **error)
{
	struct sweep sweep = {.options = options, .result = ret_result, .file = {.fd = -1}};
	bool ok;

	g_assert(options->jobs >= 1);
	g_assert(options->jobs <= SWEEP_JOBS_MAX);
	*ret_result = (struct sweep_result){.pairs = g_array_new(FALSE, FALSE, sizeof(struct sweep_pair))};
	g_array_set_clear_func(ret_result->pairs, sweep_pair_clear);
	ok = sweep_all(&sweep, error);
	sweep_file_clear(&sweep.file);
	sweep_outcome_clear(&sweep.reference);
	return ok;
}

void sweep_result_clear(struct sweep_result *result)
{
	if (result->pairs)
		g_array_unref(result->pairs);
	g_free(result->unfaulted);
	*result = (struct sweep_result){0};
}
