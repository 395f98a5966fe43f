/* SPDX-License-Identifier: MIT */
#include "sim/trace/life.h"

#include "sim/core/text.h"

#define HEX	    "0x%" G_GINT64_MODIFIER "x"
#define ROUNDED_MAX 32 /* granules of the largest cached size */

const char *const life_step_names[LIFE_STEPS] = {
	[LIFE_ALLOC] = "allocated",	   [LIFE_MAP] = "mapped",      [LIFE_MAP_FAILED] = "refused",
	[LIFE_DMA_MAP] = "dma-mapped",	   [LIFE_ACCESS] = "accessed", [LIFE_FAULT] = "faulted",
	[LIFE_DMA_UNMAP] = "dma-unmapped", [LIFE_UNMAP] = "unmapped",  [LIFE_QUEUE] = "queued",
	[LIFE_FLUSH] = "flushed",	   [LIFE_FREE] = "freed",      [LIFE_CACHE] = "cached",
};

const char *const life_verdict_names[LIFE_VERDICTS] = {
	[LIFE_NEVER_MAPPED] = "never mapped",	     [LIFE_UNMAPPED] = "already unmapped",
	[LIFE_FLUSH_WINDOW] = "in the flush window", [LIFE_DIRECTION] = "wrong direction",
	[LIFE_BEYOND] = "beyond the request",	     [LIFE_MAPPED] = "mapped",
	[LIFE_NOT_DECIDABLE] = "not decidable",
};

/* ---- books ---- */

static void step_clear(void *data)
{
	g_free(((struct life_step *)data)->text);
}

static void life_destroy(void *data)
{
	struct life *life = data;

	g_array_free(life->steps, TRUE);
	g_free(life);
}

struct life_book *life_book_new(uint64_t iova)
{
	struct life_book *book = g_new0(struct life_book, 1);

	book->iova = iova;
	book->lives = g_ptr_array_new_with_free_func(life_destroy);
	book->open = g_ptr_array_new();
	book->strays = g_array_new(FALSE, FALSE, sizeof(struct life_step));
	g_array_set_clear_func(book->strays, step_clear);
	return book;
}

void life_book_free(struct life_book *book)
{
	if (!book)
		return;
	g_ptr_array_free(book->lives, TRUE);
	g_ptr_array_free(book->open, TRUE);
	g_array_free(book->strays, TRUE);
	g_free(book);
}

static bool covers(const struct life_book *book, uint64_t first, uint64_t len)
{
	return book->iova >= first && book->iova - first < len;
}

static bool is_of(const struct life *life, uint64_t object)
{
	return !object || !life->object || life->object == object;
}

struct life *life_book_open(const struct life_book *book, uint64_t object)
{
	for (guint i = book->open->len; i-- > 0;) {
		struct life *life = g_ptr_array_index(book->open, i);

		if (is_of(life, object))
			return life;
	}
	return NULL;
}

/** Begins a life. One that goes on in the same domain has ended without anybody saying so. */
static struct life *begin(struct life_book *book, uint64_t object, uint64_t first, uint64_t len)
{
	struct life *life = g_new0(struct life, 1), *old = life_book_open(book, object);

	if (old)
		g_ptr_array_remove(book->open, old);
	life->number = book->lives->len + 1;
	life->first = first;
	life->last = first + len - 1;
	life->object = object;
	life->steps = g_array_new(FALSE, FALSE, sizeof(struct life_step));
	g_array_set_clear_func(life->steps, step_clear);
	g_ptr_array_add(book->lives, life);
	g_ptr_array_add(book->open, life);
	return life;
}

struct life_step *life_add(struct life *life, enum life_step_kind kind, struct life_when when, uint64_t first,
			   uint64_t len)
{
	struct life_step step = {.kind = kind, .when = when, .first = first, .len = len};

	g_array_append_val(life->steps, step);
	return &g_array_index(life->steps, struct life_step, life->steps->len - 1);
}

void life_step_say(struct life_step *step, const char *format, ...)
{
	va_list args;

	g_free(step->text);
	va_start(args, format);
	step->text = g_strdup_vprintf(format, args);
	va_end(args);
}

void life_data(struct life *life, uint64_t first, uint64_t len)
{
	if (!life->data_end || first < life->data_first)
		life->data_first = first;
	life->data_end = MAX(life->data_end, first + len);
}

uint64_t life_rounded(uint64_t granules)
{
	if (granules <= 1 || granules > ROUNDED_MAX)
		return granules;
	return UINT64_C(1) << (64 - __builtin_clzll(granules - 1));
}

/* ---- what happens ---- */

struct life *life_alloc(struct life_book *book, struct life_when when, uint64_t object, uint64_t first,
			uint64_t len, uint64_t asked)
{
	struct life *life;

	if (!covers(book, first, len))
		return NULL;
	life = begin(book, object, first, len);
	life->allocated = true;
	life->asked = asked;
	life_add(life, LIFE_ALLOC, when, first, len);
	return life;
}

/** Notes a map that may not have the address, but lies in an IOVA that has it. */
static void note_extent(struct life_book *book, uint64_t first, uint64_t len)
{
	for (guint i = 0; i < book->open->len; i++) {
		struct life *life = g_ptr_array_index(book->open, i);

		if (life->allocated && first >= life->first && first <= life->last)
			life->mapped_end = MAX(life->mapped_end, first + len);
	}
}

/** Returns the life that a map is of: one that waits for it. */
static struct life *unmapped_open(const struct life_book *book)
{
	for (guint i = book->open->len; i-- > 0;) {
		struct life *life = g_ptr_array_index(book->open, i);

		if (life->allocated && !life->mapped)
			return life;
	}
	return NULL;
}

struct life *life_map(struct life_book *book, struct life_when when, uint64_t first, uint64_t len,
		      uint64_t paddr, unsigned prot)
{
	struct life_step *step;
	struct life *life;

	note_extent(book, first, len);
	if (!covers(book, first, len))
		return NULL;
	life = unmapped_open(book);
	if (!life)
		life = begin(book, 0, first, len);
	life->mapped = true;
	life->unmapped = false;
	life->mapped_end = MAX(life->mapped_end, first + len);
	step = life_add(life, LIFE_MAP, when, first, len);
	step->paddr = paddr + (book->iova - first);
	step->prot = prot;
	return life;
}

void life_map_failed(struct life *life, struct life_when when, int64_t error)
{
	life->mapped = false;
	life_step_say(life_add(life, LIFE_MAP_FAILED, when, 0, 0), "the map failed: %" G_GINT64_FORMAT,
		      error);
}

/** Returns the life that an unmap is of, NULL if its beginning is not known. */
static struct life *life_to_unmap(const struct life_book *book)
{
	struct life *life = life_book_open(book, 0);
	const struct life_step *last;

	for (guint i = book->open->len; i-- > 0;) {
		struct life *open = g_ptr_array_index(book->open, i);

		if (open->mapped || (open->allocated && !open->unmapped))
			return open;
	}
	if (!life || life->allocated)
		return life; /* a second time */
	last = &g_array_index(life->steps, struct life_step, life->steps->len - 1);
	return last->kind == LIFE_DMA_UNMAP ? life : NULL;
}

struct life *life_unmap(struct life_book *book, struct life_when when, enum life_step_kind kind,
			uint64_t first, uint64_t len)
{
	struct life *life;

	if (!covers(book, first, len))
		return NULL;
	life = life_to_unmap(book);
	if (!life)
		life = begin(book, 0, first, len);
	life->mapped = false;
	life->unmapped = true;
	life_add(life, kind, when, first, len);
	return life;
}

/** The last step of @kind, NULL if there is none. */
static struct life_step *last_step(const struct life *life, enum life_step_kind kind)
{
	for (guint i = life->steps->len; i-- > 0;) {
		struct life_step *step = &g_array_index(life->steps, struct life_step, i);

		if (step->kind == kind)
			return step;
	}
	return NULL;
}

static void flush_one(struct life *life, struct life_when when, bool queued, const char *text)
{
	const struct life_step *unmap = last_step(life, LIFE_UNMAP);

	life->unmapped = false;
	if (queued && unmap && !last_step(life, LIFE_QUEUE)) {
		struct life_when since = unmap->when;

		life_step_say(life_add(life, LIFE_QUEUE, since, 0, 0), "in the flush queue of cpu %u",
			      since.cpu);
	}
	if (text)
		life_step_say(life_add(life, LIFE_FLUSH, when, 0, 0), "%s", text);
	else
		life_add(life, LIFE_FLUSH, when, 0, 0);
}

void life_flush(struct life_book *book, struct life_when when, uint64_t object, uint64_t first, uint64_t last,
		bool queued, const char *text)
{
	if (book->iova < first || book->iova > last)
		return;
	for (guint i = book->open->len; i-- > 0;) {
		struct life *life = g_ptr_array_index(book->open, i);

		if (life->unmapped && is_of(life, object))
			flush_one(life, when, queued, text);
	}
}

struct life *life_free(struct life_book *book, struct life_when when, uint64_t object, uint64_t first,
		       uint64_t len, const char *text)
{
	struct life *life = life_book_open(book, object);

	if (!covers(book, first, len) && !(life && life->allocated && life->first == first))
		return NULL;
	if (!life)
		life = begin(book, object, first, len);
	life->object = object ? object : life->object;
	if (text)
		life_step_say(life_add(life, LIFE_FREE, when, first, len), "%s", text);
	else
		life_add(life, LIFE_FREE, when, first, len);
	g_ptr_array_remove(book->open, life);
	return life;
}

/** The life that an access belongs to: the last one, over or not. */
static GArray *steps_now(const struct life_book *book)
{
	struct life *last;

	if (!book->lives->len)
		return book->strays;
	last = g_ptr_array_index(book->lives, book->lives->len - 1);
	return last->steps;
}

void life_access(struct life_book *book, struct life_when when, uint64_t paddr, const char *how)
{
	GArray *steps = steps_now(book);
	struct life_step step = {.kind = LIFE_ACCESS,
				 .when = when,
				 .first = book->iova,
				 .len = 1,
				 .paddr = paddr,
				 .count = 1,
				 .last_ns = when.time_ns};
	struct life_step *last = steps->len ? &g_array_index(steps, struct life_step, steps->len - 1) : NULL;

	if (last && last->kind == LIFE_ACCESS && last->paddr == paddr && !g_strcmp0(last->text, how)) {
		last->count++;
		last->last_ns = when.time_ns;
		return;
	}
	step.text = g_strdup(how);
	g_array_append_val(steps, step);
}

void life_fault(struct life_book *book, struct life_when when, unsigned access)
{
	struct life_step step = {.kind = LIFE_FAULT,
				 .when = when,
				 .first = book->iova,
				 .len = 1,
				 .text = g_strdup(access == LIFE_WRITE ? "a write" : "a read")};

	g_array_append_val(steps_now(book), step);
}

void life_reserve(struct life_book *book, uint64_t first, uint64_t last)
{
	if (book->iova < first || book->iova > last)
		return;
	book->reserved = true;
	book->reserved_first = first;
	book->reserved_last = last;
}

/* ---- texts ---- */

static void append_device(GString *text, uint32_t device)
{
	if (device & TRACE_NVME)
		g_string_append_printf(text, "nvme%u ", device & ~TRACE_NVME);
	else if (device)
		g_string_append_printf(text, "device %u,%u ", device >> 20, device & 0xfffff);
}

char *life_request_text(const struct life_request *request)
{
	GString *text = g_string_new(NULL);

	if (request->number)
		g_string_append_printf(text, "request %" G_GUINT64_FORMAT " ", request->number);
	append_device(text, request->device);
	if (request->has_queue)
		g_string_append_printf(text, "queue %u tag %u ", request->queue, request->tag);
	if (request->has_place)
		g_string_append_printf(text, "%s of %" G_GUINT64_FORMAT " B at sector %" G_GUINT64_FORMAT " ",
				       io_op_names[request->op], request->bytes, request->lba);
	if (!text->len)
		g_string_append(text, "a request ");
	g_string_truncate(text, text->len - 1);
	return g_string_free(text, FALSE);
}

char *life_owner_text(const struct life *life)
{
	if (life->request.known)
		return life_request_text(&life->request);
	return g_strdup(life->owner ? life->owner : "nobody knows whom");
}

/** As the kernel logs it: seconds. */
static char *time_text(uint64_t ns)
{
	if (ns % 1000)
		return g_strdup_printf("%" G_GUINT64_FORMAT ".%09u s", ns / 1000000000,
				       (unsigned)(ns % 1000000000));
	return g_strdup_printf("%" G_GUINT64_FORMAT ".%06u s", ns / 1000000000,
			       (unsigned)(ns / 1000 % 1000000));
}

/* ---- what an address was ---- */

/** A life as it was at one moment, and what came next. */
struct moment {
	bool begun, mapped, unmapped, flushed, freed;
	uint64_t alloc_ns, map_ns, unmap_ns, flush_ns, free_ns; /* LIFE_NEVER: not until then */
	uint64_t next_map_ns, next_unmap_ns, next_flush_ns, next_free_ns;
	unsigned prot; /* 0: not known */
	struct life_when unmap;
};

static void moment_take(struct moment *moment, const struct life_step *step)
{
	uint64_t at_ns = step->when.time_ns;

	moment->begun = true;
	switch (step->kind) {
	case LIFE_ALLOC:
		moment->alloc_ns = at_ns;
		break;
	case LIFE_MAP:
	case LIFE_DMA_MAP:
		if (!moment->mapped)
			moment->map_ns = at_ns;
		if (step->prot)
			moment->prot = step->prot;
		moment->mapped = true;
		moment->unmapped = moment->flushed = false;
		break;
	case LIFE_MAP_FAILED:
		moment->mapped = false;
		break;
	case LIFE_DMA_UNMAP:
	case LIFE_UNMAP:
		moment->mapped = false;
		moment->unmapped = true;
		moment->unmap_ns = at_ns;
		moment->unmap = step->when;
		break;
	case LIFE_FLUSH:
		moment->flushed = true;
		moment->flush_ns = at_ns;
		break;
	case LIFE_FREE:
		moment->freed = true;
		moment->free_ns = at_ns;
		break;
	default:
		break;
	}
}

static void moment_look_ahead(struct moment *moment, const struct life_step *step)
{
	uint64_t at_ns = step->when.time_ns;

	if (step->kind == LIFE_MAP || step->kind == LIFE_DMA_MAP)
		moment->next_map_ns = MIN(moment->next_map_ns, at_ns);
	else if (step->kind == LIFE_UNMAP || step->kind == LIFE_DMA_UNMAP)
		moment->next_unmap_ns = MIN(moment->next_unmap_ns, at_ns);
	else if (step->kind == LIFE_FLUSH)
		moment->next_flush_ns = MIN(moment->next_flush_ns, at_ns);
	else if (step->kind == LIFE_FREE)
		moment->next_free_ns = MIN(moment->next_free_ns, at_ns);
}

static struct moment life_moment(const struct life *life, uint64_t at_ns)
{
	struct moment moment = {.alloc_ns = LIFE_NEVER,
				.map_ns = LIFE_NEVER,
				.unmap_ns = LIFE_NEVER,
				.flush_ns = LIFE_NEVER,
				.free_ns = LIFE_NEVER,
				.next_map_ns = LIFE_NEVER,
				.next_unmap_ns = LIFE_NEVER,
				.next_flush_ns = LIFE_NEVER,
				.next_free_ns = LIFE_NEVER};

	for (guint i = 0; i < life->steps->len; i++) {
		const struct life_step *step = &g_array_index(life->steps, struct life_step, i);

		if (step->when.time_ns <= at_ns)
			moment_take(&moment, step);
		else
			moment_look_ahead(&moment, step);
	}
	return moment;
}

/** An answer in the making. */
struct asked {
	const struct life_book *book;
	const struct life_question *question;
	const struct life_scope *scope;
	uint64_t at_ns;
};

static struct life_answer say(enum life_verdict verdict, const struct life *life, char *text)
{
	return (struct life_answer){.verdict = verdict, .life = life, .text = text};
}

/** Whether the address is none of the data of @life, as far as they are known, although it is in its IOVA. */
static bool is_beyond(const struct life_book *book, const struct life *life)
{
	if (life->data_end)
		return book->iova < life->data_first || book->iova >= life->data_end;
	return life->mapped_end && book->iova >= life->mapped_end;
}

/** Returns where the address lies, as seen from what is mapped or moved for @life. */
static char *beyond_text(const struct life_book *book, const struct life *life)
{
	g_autofree char *owner = life_owner_text(life);
	uint64_t end = life->data_end ? life->data_end : life->mapped_end;

	if (life->data_end && book->iova < life->data_first)
		return g_strdup_printf("%" G_GUINT64_FORMAT " B before the first byte of %s",
				       life->data_first - book->iova, owner);
	return g_strdup_printf("%" G_GUINT64_FORMAT " B behind the last byte of %s", book->iova - end + 1,
			       owner);
}

static char *access_text(unsigned access)
{
	return g_strdup(access == LIFE_READ ? "read" : access == LIFE_WRITE ? "written" : "read and written");
}

static struct life_answer answer_mapped(const struct asked *asked, const struct life *life,
					const struct moment *moment)
{
	g_autofree char *owner = life_owner_text(life), *since = time_text(moment->map_ns);
	g_autofree char *may = access_text(moment->prot);
	unsigned access = asked->question->access;

	if (access && moment->prot && (access & moment->prot) != access)
		return say(LIFE_DIRECTION, life,
			   g_strdup_printf("mapped at %s for %s, to be %s by the device, not %s", since,
					   owner, may, access == LIFE_READ ? "read" : "written"));
	if (is_beyond(asked->book, life)) {
		g_autofree char *where = beyond_text(asked->book, life);

		return say(LIFE_BEYOND, life,
			   g_strdup_printf("%s, in the padding of its granule, mapped at %s", where, since));
	}
	return say(LIFE_MAPPED, life,
		   g_strdup_printf("mapped at %s for %s%s%s: no reason to fault", since, owner,
				   moment->prot ? ", to be " : "", moment->prot ? may : ""));
}

static char *unmapped_text(const struct asked *asked, const struct life *life, const struct moment *moment)
{
	g_autofree char *owner = life_owner_text(life), *at = time_text(moment->unmap_ns);
	g_autofree char *before = text_time(asked->at_ns - moment->unmap_ns);

	if (asked->question->at_ns == LIFE_NEVER)
		return g_strdup_printf("it was for %s, unmapped at %s on cpu %u", owner, at,
				       moment->unmap.cpu);
	return g_strdup_printf("it was for %s, unmapped at %s on cpu %u, %s before", owner, at,
			       moment->unmap.cpu, before);
}

static struct life_answer answer_unmapped(const struct asked *asked, const struct life *life,
					  const struct moment *moment)
{
	g_autofree char *unmapped = unmapped_text(asked, life, moment);
	uint64_t next_ns = MIN(moment->next_flush_ns, moment->next_free_ns);

	if (moment->flushed) {
		g_autofree char *at = time_text(moment->flush_ns);

		return say(LIFE_UNMAPPED, life, g_strdup_printf("%s; flushed at %s", unmapped, at));
	}
	/* Whoever frees an IOVA has flushed it before. */
	if (moment->freed) {
		g_autofree char *at = time_text(moment->free_ns);

		return say(LIFE_UNMAPPED, life,
			   g_strdup_printf("%s; flushed by %s, when it was freed", unmapped, at));
	}
	if (next_ns != LIFE_NEVER) {
		g_autofree char *at = time_text(next_ns);

		return say(LIFE_FLUSH_WINDOW, life,
			   g_strdup_printf("%s; flushed %s %s", unmapped,
					   moment->next_flush_ns <= next_ns ? "at" : "by", at));
	}
	if (asked->scope->has_flushes)
		return say(LIFE_FLUSH_WINDOW, life,
			   g_strdup_printf("%s; not flushed until the end", unmapped));
	return say(LIFE_UNMAPPED, life, g_strdup_printf("%s; when it was flushed is not recorded", unmapped));
}

/** The address is allocated, and not mapped so far. */
static struct life_answer answer_allocated(const struct asked *asked, const struct life *life,
					   const struct moment *moment)
{
	g_autofree char *owner = life_owner_text(life), *at = time_text(moment->alloc_ns);

	if (moment->next_map_ns != LIFE_NEVER) {
		g_autofree char *later = time_text(moment->next_map_ns);

		return say(LIFE_NEVER_MAPPED, life,
			   g_strdup_printf("allocated at %s for %s, mapped only at %s", at, owner, later));
	}
	if (moment->next_unmap_ns != LIFE_NEVER) {
		g_autofree char *later = time_text(moment->next_unmap_ns);

		return say(LIFE_NOT_DECIDABLE, life,
			   g_strdup_printf("allocated at %s for %s and unmapped at %s; the %s does not tell "
					   "when it was mapped",
					   at, owner, later, asked->scope->source));
	}
	if (is_beyond(asked->book, life)) {
		g_autofree char *where = beyond_text(asked->book, life);

		return say(LIFE_BEYOND, life,
			   g_strdup_printf("%s, in its IOVA " HEX "-" HEX " of %s", where, life->first,
					   life->last, at));
	}
	return say(asked->scope->has_maps ? LIFE_NEVER_MAPPED : LIFE_NOT_DECIDABLE, life,
		   g_strdup_printf("allocated at %s for %s; the %s has no map of it", at, owner,
				   asked->scope->source));
}

/** No life has the address, or none until then. */
static struct life_answer answer_unknown(const struct asked *asked)
{
	const struct life_book *book = asked->book;
	const struct life_scope *scope = asked->scope;

	if (book->reserved)
		return say(LIFE_NEVER_MAPPED, NULL,
			   g_strdup_printf("reserved (" HEX "-" HEX "): never handed out",
					   book->reserved_first, book->reserved_last));
	if (scope->lost)
		return say(LIFE_NOT_DECIDABLE, NULL,
			   g_strdup_printf("no map of it is known, but %" G_GUINT64_FORMAT
					   " events were lost",
					   scope->lost));
	if (!scope->has_maps)
		return say(LIFE_NOT_DECIDABLE, NULL,
			   g_strdup_printf("the %s does not tell every map", scope->source));
	if (!scope->from_start)
		return say(LIFE_NOT_DECIDABLE, NULL,
			   g_strdup_printf("the %s begins later than the domain: it may have been mapped "
					   "before",
					   scope->source));
	return say(LIFE_NEVER_MAPPED, NULL, g_strdup("no IOVA with it was ever allocated or mapped"));
}

/** Returns the answer from @life as it was at that moment, of no text if it says nothing. */
static struct life_answer answer_life(const struct asked *asked, const struct life *life)
{
	struct moment moment = life_moment(life, asked->at_ns);

	if (!moment.begun)
		return say(LIFE_NOT_DECIDABLE, NULL, NULL);
	if (moment.mapped)
		return answer_mapped(asked, life, &moment);
	if (moment.unmapped)
		return answer_unmapped(asked, life, &moment);
	if (!moment.freed && life->allocated)
		return answer_allocated(asked, life, &moment);
	return say(LIFE_NOT_DECIDABLE, NULL, NULL);
}

/** A life that begins with its end was there before: nobody knows since when. */
static const struct life *half_seen(const struct asked *asked)
{
	for (guint i = 0; i < asked->book->lives->len; i++) {
		const struct life *life = g_ptr_array_index(asked->book->lives, i);
		const struct life_step *first = &g_array_index(life->steps, struct life_step, 0);

		if (first->when.time_ns <= asked->at_ns)
			continue;
		return first->kind == LIFE_UNMAP || first->kind == LIFE_DMA_UNMAP || first->kind == LIFE_FREE
			       ? life
			       : NULL;
	}
	return NULL;
}

static struct life_answer answer_at(const struct asked *asked)
{
	const struct life *half = half_seen(asked), *beyond = NULL;

	for (guint i = asked->book->lives->len; i-- > 0;) {
		const struct life *life = g_ptr_array_index(asked->book->lives, i);
		struct life_answer answer = answer_life(asked, life);

		/* What came before it is certain only if nothing is half seen. */
		if (answer.text && (!half || answer.verdict != LIFE_UNMAPPED))
			return answer;
		g_free(answer.text);
		if (!answer.text && life_moment(life, asked->at_ns).freed && !beyond &&
		    is_beyond(asked->book, life))
			beyond = life;
	}
	if (half) {
		const struct life_step *end = &g_array_index(half->steps, struct life_step, 0);
		g_autofree char *at = time_text(end->when.time_ns);

		return say(LIFE_NOT_DECIDABLE, half,
			   g_strdup_printf("%s at %s; the %s does not tell when it was mapped",
					   life_step_names[end->kind], at, asked->scope->source));
	}
	if (beyond) {
		g_autofree char *where = beyond_text(asked->book, beyond);

		return say(LIFE_BEYOND, beyond,
			   g_strdup_printf("%s, in its IOVA " HEX "-" HEX ", freed since", where,
					   beyond->first, beyond->last));
	}
	return answer_unknown(asked);
}

/** Returns the only way in which the device could use the address in all lives that had it mapped; 0: none had, or it was
 *  not told. */
static unsigned only_access(const struct life_book *book)
{
	unsigned all = 0;

	for (guint i = 0; i < book->lives->len; i++) {
		const struct life *life = g_ptr_array_index(book->lives, i);
		bool told = false, mapped = false;

		for (guint k = 0; k < life->steps->len; k++) {
			const struct life_step *step = &g_array_index(life->steps, struct life_step, k);

			mapped |= step->kind == LIFE_MAP || step->kind == LIFE_DMA_MAP;
			told |= step->prot != 0;
			all |= step->prot;
		}
		if (mapped && !told)
			return 0;
	}
	return all;
}

static struct life_answer answer_ever(struct asked *asked)
{
	unsigned access = asked->question->access, only = only_access(asked->book);

	if (access && only && !(access & only))
		return say(LIFE_DIRECTION, NULL,
			   g_strdup_printf("whenever it was mapped, it was to be %s by the device",
					   only == LIFE_READ ? "read" : "written"));
	asked->at_ns = asked->scope->last_ns;
	return answer_at(asked);
}

struct life_answer life_answer(const struct life_book *book, const struct life_question *question,
			       const struct life_scope *scope)
{
	struct asked asked = {.book = book, .question = question, .scope = scope, .at_ns = question->at_ns};

	if (question->at_ns == LIFE_NEVER)
		return answer_ever(&asked);
	if (question->at_ns < scope->first_ns && !scope->from_start)
		return say(LIFE_NOT_DECIDABLE, NULL, g_strdup_printf("the %s begins later", scope->source));
	if (question->at_ns > scope->last_ns) {
		g_autofree char *last = time_text(scope->last_ns);

		return say(LIFE_NOT_DECIDABLE, NULL,
			   g_strdup_printf("the %s ends before, at %s", scope->source, last));
	}
	return answer_at(&asked);
}
