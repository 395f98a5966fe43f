/* SPDX-License-Identifier: MIT */
/*
 * The faults file and its decisions, with points of its own: each defect of fixtures/hostile/faults is
 * refused with its line; each attribute alone and with others fails the passes that Linux's order of
 * questions gives, written as one character a pass; and random rules are compared with a decision written
 * down a second time, step by step.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/fault/fault.h"

enum {
	POINT_LINK = FAULT_ROOM_TEST,
	POINT_SYNC,
	POINT_IOVA,
	POINT_LOST = FAULT_ROOM_IOVA, /* the second table lies elsewhere */
};

static const struct fault_point test_points[] = {
	{"dma.link", -ENOMEM, "no memory", "here"},
	{"dma.sync", -EIO, "no answer", "here"},
	{"iova.node", -ENOSPC, "no space", "here"},
};

static bool other_action(const char *text, uint32_t *ret_action)
{
	*ret_action = 7;
	return strcmp(text, "seven") == 0;
}

static const struct fault_point other_points[] = {
	{"controller.lost", -ETIMEDOUT, "no completion", "here", other_action, "seven"},
};

static const struct fault_table test_table = {FAULT_ROOM_TEST, G_N_ELEMENTS(test_points), test_points};
static const struct fault_table other_table = {FAULT_ROOM_IOVA, G_N_ELEMENTS(other_points), other_points};
static const struct fault_table *const tables[] = {&test_table, &other_table, NULL};

/** Reads @text as a faults file called "f.ini". */
static bool load(struct fault_rules *rules, const char *text, GError **error)
{
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp("fault-XXXXXX", &path, NULL);
	bool ok;

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, text, strlen(text)), ==, (gssize)strlen(text));
	close(fd);
	ok = fault_rules_load(rules, path, error);
	g_unlink(path);
	return ok;
}

/** Returns rules as @text has them, armed in *@ret_sim, which is new. */
static struct fault_rules *arm(const char *text, struct sim **ret_sim)
{
	struct fault_rules *rules = fault_rules_new(tables);
	g_autoptr(GError) error = NULL;

	load(rules, text, &error);
	g_assert_no_error(error);
	*ret_sim = sim_new(4, 1);
	fault_rules_arm(rules, *ret_sim);
	return rules;
}

static void disarm(struct fault_rules *rules, struct sim *sim)
{
	fault_rules_free(rules);
	sim_free(sim);
}

/** Passes @point @count times with @size; returns an X for each pass that failed, else a dot. */
static char *passes(struct sim *sim, unsigned point, unsigned count, uint64_t size)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; i < count; i++)
		g_string_append_c(text, sim_fault_size(sim, point, size) ? 'X' : '.');
	return g_string_free(text, FALSE);
}

/* ---- what is refused ---- */

#define KNOWN                                                                                                  \
	" (known: point, action, errno, nth, probability, interval, times, space, persist, cpu, device, size, " \
	"verbose, after, before, seed)"

static const struct {
	const char *file, *message;
} hostile[] = {
	{"action-of-a-point-without", ":4: action = explode: dma.link has no actions"},
	{"action-unknown", ":4: action = explode: of controller.lost must be seven"},
	{"after-not-a-time", ":4: after = noon: must be a time, such as 1ms"},
	{"before-after", ":1: rule \"a\" can never fire: after is not before before"},
	{"before-is-after", ":1: rule \"a\" can never fire: after is not before before"},
	{"cpu-impossible", ":4: cpu = 4096: must be the number of a CPU"},
	{"device-empty", ":4: device = : must be the name of a device, such as nvme0"},
	{"errno-as-number", ":4: errno = -12: must be the name of an error, such as ENOMEM"},
	{"errno-unknown", ":4: errno = EWHATEVER: must be the name of an error, such as ENOMEM"},
	{"group-twice", ":4: duplicate group [fault a], first on line 1"},
	{"group-unknown", ":1: unknown group [rule a]: a rule is a group [fault NAME]; a machine file goes with -c"},
	{"group-without-name", ":1: the group's name has white space around it"},
	{"interval-zero", ":4: interval = 0: must be a count from 1"},
	{"key-misspelt", ":3: unknown key \"Nth\" in a fault rule" KNOWN},
	{"key-twice", ":4: duplicate key \"nth\" in [fault a], first on line 3"},
	{"key-unknown", ":4: unknown key \"colour\" in a fault rule" KNOWN},
	{"neither-nth-nor-probability", ":1: rule \"a\" can never fire: give it nth or probability"},
	{"nth-beyond-64-bits", ":3: nth = 18446744073709551616: must be a count from 1"},
	{"nth-negative", ":3: nth = -1: must be a count from 1"},
	{"nth-with-probability", ":4: nth decides alone: probability has no effect beside it"},
	{"nth-zero", ":3: nth = 0: must be a count from 1"},
	{"persist-maybe", ":4: persist = maybe: must be yes or no"},
	{"point-empty", ":2: no fault point is called \"\"; see \"iommusim faults points\""},
	{"point-glob-without-match", ":2: no fault point is called \"usb.*\"; see \"iommusim faults points\""},
	{"point-missing", ":1: rule \"a\" names no point"},
	{"point-unknown", ":2: no fault point is called \"dma.lnik\"; see \"iommusim faults points\""},
	{"probability-101", ":3: probability = 101: must be a percentage, 0 to 100"},
	{"probability-with-sign", ":3: probability = 5%: must be a percentage, 0 to 100"},
	{"second-rule-wrong", ":8: cpu = all: must be the number of a CPU"},
	{"seed-not-a-number", ":4: seed = lucky: must be a number"},
	{"size-backwards", ":4: size = 64k-4k: must be a size or a range of them, such as 4k-64k"},
	{"size-half", ":4: size = 4k-: must be a size or a range of them, such as 4k-64k"},
	{"space-not-a-number", ":4: space = wide: must be a count"},
	{"times-minus-two", ":4: times = -2: must be a count, or -1 for no end"},
	{"verbose-three", ":4: verbose = 3: must be 0, 1 or 2"},
};

static void test_refused(const void *data)
{
	const char *file = hostile[GPOINTER_TO_UINT(data)].file;
	g_autofree char *path = g_strdup_printf("%s/hostile/faults/%s.ini", g_getenv("FIXTURES"), file);
	g_autofree char *message = g_strconcat(path, hostile[GPOINTER_TO_UINT(data)].message, NULL);
	struct fault_rules *rules = fault_rules_new(tables);
	g_autoptr(GError) error = NULL;
	uint64_t passed, fired;
	const char *name;

	g_assert_false(fault_rules_load(rules, path, &error));
	g_assert_nonnull(error);
	g_assert_cmpstr(error->message, ==, message);
	/* Not even the rules before the wrong one were taken. */
	g_assert_false(fault_rule_stat(rules, 0, &name, &passed, &fired));
	fault_rules_free(rules);
}

static void test_every_hostile_file_is_in_the_table(void)
{
	g_autofree char *path = g_build_filename(g_getenv("FIXTURES"), "hostile", "faults", NULL);
	GDir *dir = g_dir_open(path, 0, NULL);
	unsigned count = 0;

	g_assert_nonnull(dir);
	while (g_dir_read_name(dir))
		count++;
	g_dir_close(dir);
	g_assert_cmpuint(count, ==, G_N_ELEMENTS(hostile));
}

/* ---- one rule, pass by pass ---- */

static const struct {
	const char *name, *keys;
	uint64_t size;
	const char *expected;
} decisions[] = {
	{"nth-fails-that-pass-alone", "nth = 3", 1, "..X......."},
	{"nth-first", "nth = 1", 1, "X........."},
	{"nth-beyond-the-end", "nth = 11", 1, ".........."},
	{"nth-persist", "nth = 3\npersist = yes", 1, "..XXXXXXXX"},
	{"nth-persist-no", "nth = 3\npersist = no", 1, "..X......."},
	{"nth-does-not-ask-times", "nth = 2\ntimes = 0", 1, ".X........"},
	{"nth-does-not-ask-space", "nth = 2\nspace = 100", 1, ".X........"},
	{"nth-does-not-ask-interval", "nth = 2\ninterval = 5", 1, ".X........"},
	{"probability-0-never", "probability = 0\ntimes = -1", 1, ".........."},
	{"probability-100-once-unless-told", "probability = 100", 1, "X........."},
	{"times", "probability = 100\ntimes = 3", 1, "XXX......."},
	{"times-without-end", "probability = 100\ntimes = -1", 1, "XXXXXXXXXX"},
	{"times-0", "probability = 100\ntimes = 0", 1, ".........."},
	{"interval", "probability = 100\ntimes = -1\ninterval = 3", 1, "..X..X..X."},
	{"interval-1", "probability = 100\ntimes = -1\ninterval = 1", 1, "XXXXXXXXXX"},
	{"interval-times", "probability = 100\ntimes = 2\ninterval = 3", 1, "..X..X...."},
	{"space", "probability = 100\ntimes = -1\nspace = 4", 1, "...XXXXXXX"},
	{"space-in-bytes", "probability = 100\ntimes = -1\nspace = 8192", 4096, ".XXXXXXXXX"},
	{"space-below-one-pass", "probability = 100\ntimes = -1\nspace = 4095", 4096, "XXXXXXXXXX"},
	{"space-before-interval", "probability = 100\ntimes = -1\nspace = 3\ninterval = 2", 1, "...X.X.X.X"},
	{"space-times", "probability = 100\ntimes = 2\nspace = 4", 1, "...XX....."},
	{"probability-persist", "probability = 100\ninterval = 4\npersist = yes", 1, "...XXXXXXX"},
};

static void test_decision(const void *data)
{
	unsigned row = GPOINTER_TO_UINT(data);
	g_autofree char *text = g_strdup_printf("[fault a]\npoint = dma.link\n%s\n", decisions[row].keys);
	g_autofree char *got = NULL;
	const char *name;
	uint64_t passed, fired, expected_fired = 0;
	struct sim *sim;
	struct fault_rules *rules = arm(text, &sim);

	got = passes(sim, POINT_LINK, 10, decisions[row].size);
	g_assert_cmpstr(got, ==, decisions[row].expected);
	for (const char *at = got; *at; at++)
		expected_fired += *at == 'X';
	g_assert_true(fault_rule_stat(rules, 0, &name, &passed, &fired));
	g_assert_cmpstr(name, ==, "a");
	g_assert_cmpuint(passed, ==, 10);
	g_assert_cmpuint(fired, ==, expected_fired);
	g_assert_false(fault_rule_stat(rules, 1, &name, &passed, &fired));
	g_assert_cmpuint(sim->fault_passes[POINT_LINK], ==, 10);
	disarm(rules, sim);
}

/* ---- against a second writing of the same decision ---- */

struct reference {
	uint64_t probability, interval, space, count, seed;
	int64_t times;
	bool persist, fired;
	struct prng prng;
};

static bool reference_fails(struct reference *ref, uint64_t size)
{
	bool fails = false;

	if (ref->persist && ref->fired)
		return true;
	if (ref->probability && ref->times) {
		if (size < ref->space) {
			ref->space -= size;
		} else {
			ref->count = ref->count + 1 == ref->interval ? 0 : ref->count + 1;
			fails = ref->count == 0 && prng_below(&ref->prng, 100) < ref->probability;
		}
	}
	if (fails && ref->times > 0)
		ref->times--;
	ref->fired |= fails;
	return fails;
}

static void test_random_rules_decide_as_the_reference(void)
{
	struct prng prng;

	prng_init(&prng, 1, "test-fault");
	for (unsigned round = 0; round < 300; round++) {
		struct reference ref = {.probability = prng_below(&prng, 4) ? prng_below(&prng, 101) : 100,
					.interval = 1 + prng_below(&prng, 4),
					.space = prng_below(&prng, 2) ? prng_below(&prng, 60) : 0,
					.seed = prng_below(&prng, 1000),
					.times = (int64_t)prng_below(&prng, 10) - 1,
					.persist = prng_below(&prng, 8) == 0};
		g_autofree char *text = g_strdup_printf("[fault a]\npoint = dma.link\nprobability = "
							"%u\ninterval = %u\nspace = %u\nseed = %u\n"
							"times = %d\npersist = %s\n",
							(unsigned)ref.probability, (unsigned)ref.interval,
							(unsigned)ref.space, (unsigned)ref.seed,
							(int)ref.times, ref.persist ? "yes" : "no");
		struct sim *sim;
		struct fault_rules *rules = arm(text, &sim);

		prng_init_own(&ref.prng, sim->seed, ref.seed, "fault");
		for (unsigned pass = 0; pass < 100; pass++) {
			uint64_t size = 1 + prng_below(&prng, 8);

			g_assert_cmpint(sim_fault_size(sim, POINT_LINK, size) != 0, ==,
					reference_fails(&ref, size));
		}
		disarm(rules, sim);
	}
}

static void test_probability_is_about_right_and_repeats_exactly(void)
{
	static const char text[] = "[fault a]\npoint = dma.link\nprobability = 10\ntimes = -1\nseed = 7\n";
	static const char other[] = "[fault a]\npoint = dma.link\nprobability = 10\ntimes = -1\nseed = 8\n";
	const unsigned count = 100000;
	g_autofree char *first = NULL, *again = NULL, *differently = NULL;
	struct sim *sim;
	struct fault_rules *rules = arm(text, &sim);
	const char *name;
	uint64_t passed, fired;

	first = passes(sim, POINT_LINK, count, 1);
	g_assert_true(fault_rule_stat(rules, 0, &name, &passed, &fired));
	/* 10,000 expected; the standard deviation is 95. */
	g_assert_cmpuint(fired, >, 9500);
	g_assert_cmpuint(fired, <, 10500);
	disarm(rules, sim);
	rules = arm(text, &sim);
	again = passes(sim, POINT_LINK, count, 1);
	g_assert_cmpstr(again, ==, first);
	disarm(rules, sim);
	rules = arm(other, &sim);
	differently = passes(sim, POINT_LINK, count, 1);
	g_assert_cmpstr(differently, !=, first);
	disarm(rules, sim);
}

/* ---- whose pass it is ---- */

static void test_filter_cpu(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = dma.link\nnth = 2\ncpu = 3\n", &sim);

	for (sim->cpu = 0; sim->cpu < 3; sim->cpu++)
		g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, 0);
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, 0); /* first on CPU 3 */
	sim->cpu = 1;
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, 0);
	sim->cpu = 3;
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, -ENOMEM);
	disarm(rules, sim);
}

static void test_filter_size_counts_only_what_is_in_range(void)
{
	static const struct {
		uint64_t size;
		int error;
	} at[] = {{4095, 0}, {4096, 0}, {65537, 0}, {65536, -ENOMEM}, {4096, 0}};
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = dma.link\nnth = 2\nsize = 4k-64k\n", &sim);
	const char *name;
	uint64_t passed, fired;

	for (unsigned i = 0; i < G_N_ELEMENTS(at); i++)
		g_assert_cmpint(sim_fault_size(sim, POINT_LINK, at[i].size), ==, at[i].error);
	g_assert_true(fault_rule_stat(rules, 0, &name, &passed, &fired));
	g_assert_cmpuint(passed, ==, 3);
	g_assert_cmpuint(fault_rule_left_out(rules, 0), ==, 2);
	disarm(rules, sim);
	rules = arm("[fault a]\npoint = dma.link\nnth = 1\nsize = 512\n", &sim);
	g_assert_cmpint(sim_fault_size(sim, POINT_LINK, 513), ==, 0);
	g_assert_cmpint(sim_fault_size(sim, POINT_LINK, 512), ==, -ENOMEM);
	disarm(rules, sim);
}

static void test_action_is_of_the_rule_that_fired(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = controller.lost\nnth = 2\naction = seven\n"
					"[fault b]\npoint = controller.*\nnth = 3\n",
					&sim);

	g_assert_cmpint(sim_fault(sim, POINT_LOST), ==, 0);
	g_assert_cmpuint(sim->fault_action, ==, FAULT_NO_ACTION);
	g_assert_cmpint(sim_fault(sim, POINT_LOST), ==, -ETIMEDOUT);
	g_assert_cmpuint(sim->fault_action, ==, 7);
	g_assert_cmpint(sim_fault(sim, POINT_LOST), ==, -ETIMEDOUT);
	g_assert_cmpuint(sim->fault_action, ==, FAULT_NO_ACTION);
	disarm(rules, sim);
}

static void test_verbose_says_what_is_logged(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = dma.link\nnth = 1\nverbose = 0\n"
					"[fault b]\npoint = dma.link\nnth = 2\n"
					"[fault c]\npoint = dma.link\nnth = 3\nverbose = 2\n",
					&sim);
	const struct fault_firing *firings;
	unsigned count;

	sim->actor = 12;
	for (unsigned i = 0; i < 3; i++)
		g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, -ENOMEM);
	firings = fault_firings(rules, &count);
	g_assert_cmpuint(count, ==, 2);
	g_assert_cmpuint(firings[0].rule, ==, 1);
	g_assert_false(firings[0].shown);
	g_assert_cmpuint(firings[1].rule, ==, 2);
	g_assert_true(firings[1].shown);
	g_assert_cmpuint(firings[1].actor, ==, 12);
	disarm(rules, sim);
}

static bool watch_third(void *data, struct sim *sim, unsigned point)
{
	*(unsigned *)data += 1;
	return sim->fault_passes[point] == 3;
}

static void test_watch_is_asked_before_the_rules(void)
{
	bool points[SIM_FAULTS_MAX] = {[POINT_LINK] = true};
	unsigned asked = 0;
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = *\nnth = 4\nerrno = EIO\n", &sim);

	fault_rules_watch(rules, points, watch_third, &asked);
	fault_rules_arm(rules, sim);
	for (unsigned i = 0; i < 2; i++)
		g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, 0);
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, -ENOMEM); /* which the rule counts, too */
	g_assert_cmpint(sim_fault(sim, POINT_SYNC), ==, -EIO);	  /* its fourth, and not watched */
	g_assert_cmpuint(asked, ==, 3);
	fault_rules_watch(rules, NULL, NULL, NULL);
	fault_rules_arm(rules, sim);
	sim->fault_passes[POINT_LINK] = 2;
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, 0);
	g_assert_cmpuint(asked, ==, 3);
	disarm(rules, sim);
}

static void test_filter_device(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = dma.link\nnth = 1\ndevice = nvme0\n", &sim);

	sim->device = NULL;
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, 0);
	sim->device = "nvme01";
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, 0);
	sim->device = "nvme0";
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, -ENOMEM);
	disarm(rules, sim);
}

static void test_filter_time_includes_after_and_excludes_before(void)
{
	static const struct {
		uint64_t time_ns;
		bool fails;
	} at[] = {{0, false}, {999, false}, {1000, true}, {1999, true}, {2000, false}, {UINT64_MAX, false}};
	struct sim *sim;
	struct fault_rules *rules =
		arm("[fault a]\npoint = dma.link\nprobability = 100\ntimes = -1\nafter = 1us\nbefore = 2us\n",
		    &sim);
	const char *name;
	uint64_t passed, fired;

	for (unsigned i = 0; i < G_N_ELEMENTS(at); i++) {
		sim->now_ns = at[i].time_ns;
		g_assert_cmpint(sim_fault(sim, POINT_LINK) != 0, ==, at[i].fails);
	}
	g_assert_true(fault_rule_stat(rules, 0, &name, &passed, &fired));
	g_assert_cmpuint(passed, ==, 2);
	g_assert_cmpuint(sim->fault_passes[POINT_LINK], ==, G_N_ELEMENTS(at));
	disarm(rules, sim);
}

/* ---- several points, several rules ---- */

static void test_glob_numbers_all_its_passes_together(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = dma.*\nnth = 3\n", &sim);

	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, 0);
	g_assert_cmpint(sim_fault(sim, POINT_IOVA), ==, 0);
	g_assert_cmpint(sim_fault(sim, POINT_SYNC), ==, 0);
	g_assert_cmpint(sim_fault(sim, POINT_SYNC), ==, -EIO);
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, 0);
	disarm(rules, sim);
}

static void test_glob_over_tables_and_error_of_each_point(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = *\nprobability = 100\ntimes = -1\n", &sim);

	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, -ENOMEM);
	g_assert_cmpint(sim_fault(sim, POINT_SYNC), ==, -EIO);
	g_assert_cmpint(sim_fault(sim, POINT_IOVA), ==, -ENOSPC);
	g_assert_cmpint(sim_fault(sim, POINT_LOST), ==, -ETIMEDOUT);
	disarm(rules, sim);
}

static void test_errno_of_the_rule_wins(void)
{
	struct sim *sim;
	struct fault_rules *rules =
		arm("[fault a]\npoint = dma.*\nprobability = 100\ntimes = -1\nerrno = EBUSY\n", &sim);

	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, -EBUSY);
	g_assert_cmpint(sim_fault(sim, POINT_SYNC), ==, -EBUSY);
	disarm(rules, sim);
}

/* A rule that fails a pass hides it from the rules after it. */
static void test_rules_compose_in_file_order(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault first]\npoint = dma.link\nnth = 2\n"
					"[fault second]\npoint = dma.*\nnth = 3\nerrno = EPERM\n",
					&sim);
	const char *name;
	uint64_t passed, fired;

	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, 0);
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, -ENOMEM);
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, -EPERM);
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, 0);
	g_assert_true(fault_rule_stat(rules, 0, &name, &passed, &fired));
	g_assert_cmpstr(name, ==, "first");
	g_assert_cmpuint(passed, ==, 4);
	g_assert_cmpuint(fired, ==, 1);
	g_assert_true(fault_rule_stat(rules, 1, &name, &passed, &fired));
	g_assert_cmpstr(name, ==, "second");
	g_assert_cmpuint(passed, ==, 4);
	g_assert_cmpuint(fired, ==, 1);
	disarm(rules, sim);
}

/* A pass is a pass, whoever lets it fail: "the third" stays the third. */
static void test_rules_count_what_others_let_fail(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = dma.link\nnth = 2\n"
					"[fault b]\npoint = dma.*\nnth = 3\n"
					"[fault c]\npoint = dma.link\nnth = 2\nerrno = EIO\n",
					&sim);
	g_autofree char *got = passes(sim, POINT_LINK, 5, 1);
	const char *name;
	uint64_t passed, fired;

	g_assert_cmpstr(got, ==, ".XX..");
	for (unsigned i = 0; fault_rule_stat(rules, i, &name, &passed, &fired); i++) {
		g_assert_cmpuint(passed, ==, 5);
		g_assert_cmpuint(fired, ==, i < 2);
	}
	disarm(rules, sim);
}

static void test_rules_of_the_command_line_have_names_of_their_own(void)
{
	struct fault_rules *rules = fault_rules_new(tables);
	g_autoptr(GError) error = NULL;
	const char *name;
	uint64_t passed, fired;

	g_assert_true(fault_rules_add_nth(rules, "dma.link", 2, 0));
	g_assert_true(fault_rules_add_nth(rules, "dma.link", 3, 0));
	g_assert_true(fault_rules_add_nth(rules, "dma.link", 2, 0));
	g_assert_true(fault_rules_add_nth_of(rules, "dma.link", "nvme1", 2, 0, false));
	g_assert_false(fault_rules_add_nth(rules, "dma.tea", 2, 0));
	g_assert_false(
		load(rules,
		     "[fault a]\npoint = dma.link\nnth = 1\n[fault dma.link:3]\npoint = dma.link\nnth = 1\n",
		     &error));
	g_assert_nonnull(strstr(error->message, ":4: there is a rule \"dma.link:3\" already"));
	for (unsigned i = 0; i < 3; i++) {
		g_assert_true(fault_rule_stat(rules, i, &name, &passed, &fired));
		g_assert_cmpstr(name, ==,
				((const char *const[]){"dma.link:2", "dma.link:3", "nvme1:dma.link:2"})[i]);
	}
	g_assert_false(fault_rule_stat(rules, 3, &name, &passed, &fired));
	fault_rules_free(rules);
}

static void test_second_file_adds_its_rules(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = dma.link\nnth = 1\n", &sim);

	g_assert_true(load(rules, "[fault b]\npoint = dma.sync\nnth = 1\n", NULL));
	fault_rules_arm(rules, sim);
	g_assert_cmpint(sim_fault(sim, POINT_LINK), ==, -ENOMEM);
	g_assert_cmpint(sim_fault(sim, POINT_SYNC), ==, -EIO);
	disarm(rules, sim);
}

/* Each of the orders of devtree probe --permute is a run of its own. */
static void test_arming_again_begins_anew(void)
{
	static const char text[] = "[fault nth]\npoint = dma.link\nnth = 2\n"
				   "[fault times]\npoint = dma.sync\nprobability = 100\ntimes = 2\nspace = 3\n"
				   "[fault interval]\npoint = iova.node\nprobability = 100\ntimes = -1\ninterval = 3\n"
				   "[fault draw]\npoint = controller.lost\nprobability = 50\ntimes = -1\n";
	static const unsigned points[] = {POINT_LINK, POINT_SYNC, POINT_IOVA, POINT_LOST};
	struct sim *sim;
	struct fault_rules *rules = arm(text, &sim);
	g_autoptr(GString) first = g_string_new(NULL), again = g_string_new(NULL);
	const char *name;
	uint64_t passed, fired;
	unsigned logged;

	for (unsigned run = 0; run < 2; run++) {
		fault_rules_arm(rules, sim);
		fault_firings(rules, &logged);
		g_assert_cmpuint(logged, ==, 0);
		for (unsigned i = 0; i < G_N_ELEMENTS(points); i++) {
			g_autofree char *got = passes(sim, points[i], 10, 1);

			g_string_append(run ? again : first, got);
			g_assert_true(fault_rule_stat(rules, i, &name, &passed, &fired));
			g_assert_cmpuint(passed, ==, 10);
		}
	}
	g_assert_true(g_str_has_prefix(first->str, ".X........"));
	g_assert_cmpstr(again->str, ==, first->str);
	disarm(rules, sim);
}

static void test_unarmed_points_count_and_never_fail(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = dma.link\nprobability = 100\ntimes = -1\n", &sim);
	g_autofree char *got = passes(sim, POINT_SYNC, 5, 1), *after = NULL;
	const char *name;
	uint64_t passed, fired;

	g_assert_cmpstr(got, ==, ".....");
	g_assert_cmpuint(sim->fault_passes[POINT_SYNC], ==, 5);
	g_assert_true(fault_rule_stat(rules, 0, &name, &passed, &fired));
	g_assert_cmpuint(passed, ==, 0);
	fault_rules_arm(NULL, sim);
	after = passes(sim, POINT_LINK, 3, 1);
	g_assert_cmpstr(after, ==, "...");
	disarm(rules, sim);
}

static void test_points_are_found_by_number(void)
{
	struct fault_rules *rules = fault_rules_new(tables);

	g_assert_cmpstr(fault_point_get(rules, POINT_SYNC)->name, ==, "dma.sync");
	g_assert_cmpstr(fault_point_get(rules, POINT_LOST)->name, ==, "controller.lost");
	g_assert_null(fault_point_get(rules, POINT_IOVA + 1));
	g_assert_null(fault_point_get(rules, POINT_LOST + 1));
	fault_rules_free(rules);
	fault_rules_free(NULL);
}

/* ---- the log ---- */

static void test_log_tells_each_firing(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = dma.link\nnth = 1\ncpu = 2\n"
					"[fault b]\npoint = dma.sync\nnth = 1\nerrno = EBUSY\n",
					&sim);
	const struct fault_firing *log;
	unsigned count;

	sim->device = NULL;
	sim_fault(sim, POINT_LINK);
	sim->now_ns = 1500;
	sim->cpu = 2;
	sim->device = "nvme0";
	sim_fault(sim, POINT_LINK);
	sim->device = NULL;
	sim_fault(sim, POINT_SYNC);
	log = fault_firings(rules, &count);
	g_assert_cmpuint(count, ==, 2);
	g_assert_cmpuint(log[0].time_ns, ==, 1500);
	g_assert_cmpuint(log[0].cpu, ==, 2);
	g_assert_cmpstr(log[0].device, ==, "nvme0");
	g_assert_cmpuint(log[0].point, ==, POINT_LINK);
	g_assert_cmpuint(log[0].pass, ==, 2);
	g_assert_cmpuint(log[0].rule, ==, 0);
	g_assert_cmpint(log[0].error, ==, -ENOMEM);
	g_assert_cmpstr(log[1].device, ==, "-");
	g_assert_cmpuint(log[1].pass, ==, 1);
	g_assert_cmpuint(log[1].rule, ==, 1);
	g_assert_cmpint(log[1].error, ==, -EBUSY);
	disarm(rules, sim);
}

static bool tell_request(void *data, const struct sim *sim, struct fault_request *ret_request)
{
	*ret_request = (struct fault_request){"write", 800, 4096};
	return sim->actor == *(const uint64_t *)data;
}

static void test_log_tells_what_the_request_is(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = dma.link\nprobability = 100\ntimes = -1\n", &sim);
	const uint64_t known = 7;
	const struct fault_firing *log;
	unsigned count;

	fault_rules_tell(rules, tell_request, (void *)&known);
	for (sim->actor = 0; sim->actor < 8; sim->actor += 7)
		sim_fault(sim, POINT_LINK);
	sim_fault(sim, POINT_LINK); /* 14: not known */
	log = fault_firings(rules, &count);
	g_assert_cmpuint(count, ==, 3);
	g_assert_null(log[0].request.op);
	g_assert_cmpstr(log[1].request.op, ==, "write");
	g_assert_cmpuint(log[1].request.sector, ==, 800);
	g_assert_cmpuint(log[1].request.bytes, ==, 4096);
	g_assert_cmpuint(log[2].actor, ==, 14);
	g_assert_null(log[2].request.op);
	disarm(rules, sim);
}

static void test_log_keeps_the_first_and_stays_bounded(void)
{
	struct sim *sim;
	struct fault_rules *rules = arm("[fault a]\npoint = dma.link\nprobability = 100\ntimes = -1\n", &sim);
	g_autofree char *got = passes(sim, POINT_LINK, FAULT_LOG_KEPT + 5, 1);
	unsigned count;
	const struct fault_firing *log = fault_firings(rules, &count);

	g_assert_cmpuint(count, ==, FAULT_LOG_KEPT);
	g_assert_cmpuint(log[count - 1].pass, ==, FAULT_LOG_KEPT);
	g_assert_cmpuint(fault_firings_missed(rules), ==, 5);
	fault_rules_arm(rules, sim);
	g_assert_cmpuint(fault_firings_missed(rules), ==, 0);
	g_assert_null(strchr(got, '.'));
	disarm(rules, sim);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
		g_autofree char *path = g_strdup_printf("/fault/refused/%s", hostile[i].file);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_refused);
	}
	g_test_add_func("/fault/refused/every-hostile-file-is-in-the-table",
			test_every_hostile_file_is_in_the_table);
	for (unsigned i = 0; i < G_N_ELEMENTS(decisions); i++) {
		g_autofree char *path = g_strdup_printf("/fault/decision/%s", decisions[i].name);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_decision);
	}
	g_test_add_func("/fault/decision/random-rules-as-the-reference",
			test_random_rules_decide_as_the_reference);
	g_test_add_func("/fault/decision/probability-repeats",
			test_probability_is_about_right_and_repeats_exactly);
	g_test_add_func("/fault/filter/cpu", test_filter_cpu);
	g_test_add_func("/fault/filter/device", test_filter_device);
	g_test_add_func("/fault/filter/size-counts-only-what-is-in-range", test_filter_size_counts_only_what_is_in_range);
	g_test_add_func("/fault/action/is-of-the-rule-that-fired", test_action_is_of_the_rule_that_fired);
	g_test_add_func("/fault/verbose/says-what-is-logged", test_verbose_says_what_is_logged);
	g_test_add_func("/fault/watch/is-asked-before-the-rules", test_watch_is_asked_before_the_rules);
	g_test_add_func("/fault/filter/time-includes-after-and-excludes-before",
			test_filter_time_includes_after_and_excludes_before);
	g_test_add_func("/fault/glob/numbers-all-its-passes-together",
			test_glob_numbers_all_its_passes_together);
	g_test_add_func("/fault/glob/over-tables", test_glob_over_tables_and_error_of_each_point);
	g_test_add_func("/fault/errno/of-the-rule-wins", test_errno_of_the_rule_wins);
	g_test_add_func("/fault/rules/compose-in-file-order", test_rules_compose_in_file_order);
	g_test_add_func("/fault/rules/count-what-others-let-fail", test_rules_count_what_others_let_fail);
	g_test_add_func("/fault/rules/of-the-command-line-have-names",
			test_rules_of_the_command_line_have_names_of_their_own);
	g_test_add_func("/fault/rules/second-file-adds", test_second_file_adds_its_rules);
	g_test_add_func("/fault/rules/arming-again-begins-anew", test_arming_again_begins_anew);
	g_test_add_func("/fault/points/unarmed-count-and-never-fail",
			test_unarmed_points_count_and_never_fail);
	g_test_add_func("/fault/points/found-by-number", test_points_are_found_by_number);
	g_test_add_func("/fault/log/tells-what-the-request-is", test_log_tells_what_the_request_is);
	g_test_add_func("/fault/log/tells-each-firing", test_log_tells_each_firing);
	g_test_add_func("/fault/log/stays-bounded", test_log_keeps_the_first_and_stays_bounded);
	return g_test_run();
}
