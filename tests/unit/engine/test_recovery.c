/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients that come and go and recover, over three workers whose turns come in random order and in
 * random pieces, against a model that writes down at each home what got which place.
 *
 * What each client hears must be the model's own sequence, without a gap and without anything
 * twice, over all its connections: each takes up where the last one ended, or was told
 * that it cannot. A schedule is some hundred random steps; there are as many as
 * SLUICE_SCHEDULES says, each by the number of its seed (SLUICE_SEED begins elsewhere):
 *
 *	SLUICE_SCHEDULES=100000 make test T=unit/engine */
#include "test.h"

#define WORLD_SLAB     512
#define WORLD_RINGS    (256u << 10)
#define WORLD_OVERFLOW (32u << 10)
#include "../hub/world.h"
#include "engine/memory.h"

/* The model listens where a publication gets its place. */
void home_keep_real(struct home *h, struct home_channel *ch, const struct publication *p);
#define home_keep home_keep_real
#include "engine/home.c"
#undef home_keep

enum { WORKERS = 3, CLIENTS = 7, CHANNELS = 3, STEPS = 160, STREAMS = 64, IDS = 1024, ASKS = 4096 };

/* ── the model ── */

/* One channel's life of one epoch. */
struct stream {
	char channel[16];
	uint64_t epoch;
	unsigned n;
	unsigned id[IDS]; /* of offset 1 on */
};
static struct stream streams[STREAMS];
static unsigned n_streams;

static struct stream *stream_of(const char *channel, uint64_t epoch)
{
	for (unsigned i = 0; i < n_streams; i++)
		if (streams[i].epoch == epoch && strcmp(streams[i].channel, channel) == 0)
			return &streams[i];
	return NULL;
}

void home_keep(struct home *h, struct home_channel *ch, const struct publication *p)
{
	char text[16];
	snprintf(text, sizeof(text), "%.*s", BYTES_FMT(p->channel));
	struct stream *s = stream_of(text, p->epoch);
	if (s == NULL) {
		assert_true(n_streams < STREAMS);
		s = &streams[n_streams++];
		s->epoch = p->epoch;
		s->n = 0;
		memcpy(s->channel, text, sizeof(text));
	}
	assert_true(s->n < IDS && p->offset == s->n + 1);
	s->id[s->n++] = (unsigned)strtoul((const char *)p->data.p + 1, NULL, 10);
	home_keep_real(h, ch, p);
}

/* ── clients ── */

/* A subscribe, by the number that it had as its id. */
struct ask {
	uint64_t epoch, offset;
	uint32_t history;
	bool recover, fresh; /* fresh: it cannot have had the channel */
};
static struct ask asks[ASKS];
static unsigned n_asks;

/* Where a client is in a channel. */
struct place {
	bool in, known;
	uint64_t epoch, next; /* next: the offset that it must hear now ... */
	uint64_t old_from; /* ... or, if not 0, one from here on: the history that it asked for */
	uint64_t old_to;   /* up to here something of it may have been purged */
};

struct person {
	struct client *cl; /* NULL: not connected */
	unsigned read;     /* lines of its log */
	struct place place[CHANNELS];
	bool asked[CHANNELS]; /* something of this channel, on this connection */
};
static struct person person[CLIENTS];
static struct client *speaker[WORKERS];
static unsigned schedule, n_ids;
static bool crashed; /* a worker has died in this schedule */
static bool purged;  /* something was taken out of histories */
static bool calm;    /* and none will, and nothing is dropped but by count */
static bool crowded; /* rings are full of large messages */
static unsigned n_recovered, n_not, n_replayed;

static const char *channel_of(unsigned i)
{
	static char name[CHANNELS][16];
	snprintf(name[i], sizeof(name[i]), "%u.%u", schedule, i);
	return name[i];
}

/* Up to there; but for what may have been the end of its history, and purged. */
static bool has_all(const struct place *at, uint64_t offset)
{
	return at->next == offset + 1 || (at->next <= offset && offset <= at->old_to);
}

static void on_answer(struct place *at, const struct ask *a, uint64_t epoch, uint64_t offset,
		      bool recovered)
{
	if (at->in && at->epoch == epoch) { /* again: nothing is missed or heard twice */
		assert_true(at->old_from != 0 || has_all(at, offset));
		assert_true(!recovered || a->offset == offset);
		return;
	}
	assert_true(!at->in || crashed);
	*at = (struct place){.in = true, .known = true, .epoch = epoch, .next = offset + 1};
	if (a->recover && recovered) {
		assert_true(a->epoch == epoch && a->offset <= offset);
		at->next = a->offset + 1;
		n_recovered += a->offset < offset;
	} else if (!a->recover && a->history > 0 && offset > 0) {
		at->old_from = offset >= a->history ? offset - a->history + 1 : 1;
		at->old_to = purged ? offset : 0;
		if (purged) /* those before take the places of the purged */
			at->old_from = 1;
	}
	n_not += a->recover && !recovered;
	if (calm && a->fresh && a->recover)
		assert_int_equal(recovered,
				 a->epoch == epoch && offset - a->offset <= world.other.history);
}

/* A home has died, and its successor counts anew: whoever was there hears all of that. */
static bool new_life(struct place *at, const char *channel, uint64_t offset, unsigned id)
{
	for (unsigned i = 0; crashed && offset == 1 && i < n_streams; i++) {
		const struct stream *s = &streams[i];
		if (s->epoch == at->epoch || strcmp(s->channel, channel) != 0 || s->id[0] != id)
			continue;
		at->epoch = s->epoch;
		at->next = 1;
		at->old_from = 0;
		return true;
	}
	return false;
}

static void on_message(struct place *at, const char *channel, uint64_t offset, unsigned id)
{
	const struct stream *s = stream_of(channel, at->epoch);
	bool is_its = s != NULL && offset > 0 && offset <= s->n && s->id[offset - 1] == id;
	assert_true(at->in);
	if (is_its && at->old_from != 0 && offset < at->next) { /* the first of the history */
		assert_true(offset >= at->old_from);
		if (calm)
			assert_true(offset == at->old_from ||
				    at->next - offset == world.other.history);
		n_replayed++;
		at->next = offset;
	}
	bool over_a_hole = offset > at->next && offset <= at->old_to + 1;
	bool fits = is_its && (offset == at->next || over_a_hole);
	if (!fits && new_life(at, channel, offset, id))
		fits = true;
	assert_msg(fits, "seed %u: %s: heard %u at %llu, is at %llu", schedule, channel, id,
		   (unsigned long long)offset, (unsigned long long)at->next);
	at->old_from = 0;
	at->next = offset + 1;
}

static unsigned number_of(const char *channel)
{
	const char *dot = strchr(channel, '.');
	assert_true(dot != NULL && dot[1] >= '0' && dot[1] < '0' + CHANNELS);
	return (unsigned)(dot[1] - '0');
}

static void read_line(struct person *p, const char *line)
{
	char channel[16];
	unsigned long long epoch, offset;
	unsigned ask;
	if (sscanf(line, "subscribed %15s epoch %llx offset %llu", channel, &epoch, &offset) == 3) {
		assert_int_equal(sscanf(strstr(line, " ask ") + 5, "%u", &ask), 1);
		on_answer(&p->place[number_of(channel)], &asks[ask], epoch, offset,
			  strstr(line, " recovered ") != NULL);
		return;
	}
	if (sscanf(line, "unsubscribed %15s", channel) == 1) {
		p->place[number_of(channel)].in = false;
		return;
	}
	assert_true(line[0] == '{');
	const char *name = strstr(line, "\"channel\":\"");
	name = name ? name + 11 : strstr(line, "\"room\":\"") + 8;
	const char *data = strstr(line, "\"data\":\"");
	data = data ? data + 8 : strstr(line, "\"content\":\"") + 11;
	unsigned n = number_of(name);
	on_message(&p->place[n], channel_of(n), strtoull(strstr(line, "\"offset\":") + 9, NULL, 10),
		   (unsigned)strtoul(data, NULL, 10));
}

static void hear(struct person *p)
{
	while (p->cl != NULL && p->read < p->cl->n)
		read_line(p, p->cl->log[p->read++]);
}

/* Where it will take up again. */
static uint64_t heard_up_to(const struct place *at)
{
	return at->next - 1;
}

static void gone(struct person *p)
{
	hear(p);
	client_close(p->cl);
	client_free(p->cl);
	p->cl = NULL;
	p->read = 0;
	for (unsigned i = 0; i < CHANNELS; i++) {
		p->place[i].in = p->asked[i] = false;
		p->place[i].old_from = 0;
	}
}

static unsigned some_worker(void)
{
	unsigned k;
	do
		k = (unsigned)rand() % WORKERS;
	while (!world.up[k]);
	return k;
}

static void subscribe(struct person *p, unsigned ch)
{
	static const uint8_t encodings[] = {ENC_CHANNEL, ENC_ROOM, ENC_CHANNEL | ENC_DEFLATED};
	char id[16];
	assert_true(n_asks < ASKS);
	struct ask *a = &asks[n_asks];
	*a = (struct ask){.fresh = !p->asked[ch]};
	if (p->place[ch].known && rand() % 8) {
		a->recover = true;
		a->epoch = p->place[ch].epoch;
		a->offset = heard_up_to(&p->place[ch]);
	} else if (rand() % 2) {
		a->history = 1 + (unsigned)rand() % 10;
	}
	p->asked[ch] = true;
	snprintf(id, sizeof(id), "%u", n_asks++);
	struct hub_subscribe_args args = {
		.encoding = encodings[(unsigned)rand() % ARRAY_SIZE(encodings)],
		.flags = a->recover ? HUB_SUB_RECOVER : 0,
		.channel = bytes_str(channel_of(ch)),
		.ask = bytes_str(id),
		.epoch = a->epoch,
		.offset = a->offset,
		.history = a->history,
	};
	hub_subscribe(p->cl->w, p->cl->c, &args); /* a refusal is no answer */
}

static void publish(unsigned ch)
{
	char data[4096];
	unsigned pad = crowded || rand() % 16 == 0 ? (unsigned)rand() % 3000 :
						     (unsigned)rand() % 40;
	int n = snprintf(data, sizeof(data), "\"%u:", n_ids++);
	memset(data + n, 'x', pad);
	memcpy(data + n + pad, "\"", 2);
	client_publish(speaker[some_worker()], channel_of(ch), data);
}

/* What one of the speakers has said. */
static void purge(unsigned ch)
{
	struct session_name who;
	const struct client *c = speaker[some_worker()];
	session_name(c->w, c->c, &who);
	for (unsigned k = 0; k < WORKERS; k++)
		if (world.up[k])
			purged |= engine_memory.purge(&world.w[k], 0, bytes_str(channel_of(ch)),
						      who.id) > 0;
}

static void turn(unsigned k)
{
	struct worker *w = &world.w[k];
	if (!world.up[k])
		return;
	if (!fanout_congested(w))
		mailbox_drain(w->mailbox, world_message, w, rand() % 2 ? 1 : 64 << 10);
	if (rand() % 2)
		fanout_run(w, rand() % 2 ? UINT64_MAX : 0);
	if (rand() % 4)
		batch_flush(w);
	conn_slab_release(&w->slab, fanout_oldest(w->fanout));
	mailbox_flush(w->mailbox);
}

static void step(void)
{
	struct person *p = &person[(unsigned)rand() % CLIENTS];
	unsigned ch = (unsigned)rand() % CHANNELS, dice = (unsigned)rand() % 100;
	if (p->cl != NULL && p->cl->c == NULL) /* its worker died */
		gone(p);
	if (dice < 30) {
		publish(ch);
	} else if (dice == 30 && !calm) {
		purge(ch);
	} else if (dice < 45) {
		if (p->cl == NULL)
			p->cl = client_open(some_worker());
		hear(p);
		if (!p->asked[ch] || rand() % 8 == 0)
			subscribe(p, ch);
	} else if (dice < 50) {
		if (p->cl != NULL)
			gone(p);
	} else if (dice < 52) {
		if (p->cl != NULL)
			client_unsubscribe(p->cl, channel_of(ch));
	} else if (dice < 53 && !calm &&
		   !crashed) { /* a successor waits for announcements only so long */
		world_wait((unsigned)rand() % (2 * world.other.history_age_ms));
	} else {
		turn((unsigned)rand() % (crowded ? WORKERS - 1 : WORKERS)); /* one lags behind */
	}
}

static void hear_and_close(void)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (person[i].cl != NULL)
			gone(&person[i]);
}

static void crash(unsigned k)
{
	crashed = true;
	for (unsigned i = 0; i < CLIENTS; i++)
		hear(&person[i]);
	client_free(speaker[k]);
	world_crash(k);
	world_start_again(k);
	speaker[k] = client_open(k);
	for (unsigned j = 0; j < WORKERS; j++) {
		if (j == k)
			continue;
		for (unsigned n = (unsigned)rand() % 10; n > 0; n--)
			step();
		world_tell_up(j, k);
	}
}

/* Whoever is in a channel has heard all of it. */
static void check_ends(void)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct person *p = &person[i];
		hear(p);
		for (unsigned ch = 0; p->cl != NULL && p->cl->c != NULL && ch < CHANNELS; ch++) {
			struct bytes name = bytes_str(channel_of(ch));
			struct hub_position at = {0};
			struct place *here = &p->place[ch];
			assert_int_equal(here->in, hub_is_subscribed(p->cl->w, p->cl->c, 0, name));
			if (!here->in)
				continue;
			for (unsigned k = 0; k < WORKERS; k++)
				engine_memory.info(&world.w[k], 0, name, &at);
			if (at.epoch == here->epoch)
				assert_true(has_all(here, at.offset));
			else /* a new life in which nothing was said yet */
				assert_true(crashed && at.offset == 0);
		}
	}
}

static void one_schedule(void)
{
	srand(schedule);
	n_streams = n_asks = n_ids = 0;
	memset(person, 0, sizeof(person));
	crashed = purged = false;
	unsigned when = calm || schedule % 4 ? STEPS : (unsigned)rand() % STEPS;
	for (unsigned i = 0; i < STEPS; i++) {
		if (i == when)
			crash((unsigned)rand() % WORKERS);
		step();
	}
	world_settle();
	check_ends();
	hear_and_close();
	for (unsigned k = 0; k < WORKERS; k++)
		client_forget(speaker[k]);
	world_settle();
}

/* What is kept, and how little room there is for it, differs from world to world. */
static void begin(unsigned seed)
{
	srand(seed);
	calm = seed % 3 == 0;
	world_open(WORKERS);
	crowded = seed % 3 == 1;
	world.other.history = 1 + (unsigned)rand() % 30;
	if (!calm && !crowded && rand() % 2)
		world.other.history_bytes = 500 + (unsigned)rand() % 4000;
	if (!calm && !crowded && rand() % 2)
		world.cfg.memory.connection_queue_bytes = 2000 + (unsigned)rand() % 8000;
	if (!calm && rand() % 2)
		world.cfg.memory.history_bytes = 4000 + (unsigned)rand() % 8000;
	for (unsigned k = 0; k < WORKERS; k++) {
		world.w[k].engine->home.store.max = world.cfg.memory.history_bytes;
		speaker[k] = client_open(k);
	}
}

static void end(void)
{
	for (unsigned k = 0; k < WORKERS; k++)
		client_free(speaker[k]);
	world_settle();
	world_wait(world.other.history_age_ms + 1);
	for (unsigned k = 0; k < WORKERS; k++) {
		struct home *h = &world.w[k].engine->home;
		assert_int_equal(h->store.bytes, 0);
		assert_int_equal(h->store.entries, 0);
		assert_int_equal(h->channels.n, 0);
	}
	world_close();
}

static unsigned number(const char *variable, unsigned otherwise)
{
	const char *text = getenv(variable);
	return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

TEST(recovery, each_hears_everything_once_in_order_or_is_told_that_it_cannot)
{
	unsigned first = number("SLUICE_SEED", 1), n = number("SLUICE_SCHEDULES", 2000);
	for (schedule = first; schedule < first + n; schedule++) {
		if (schedule == first || schedule % 100 == 0)
			begin(schedule / 100 + 1);
		one_schedule();
		if (schedule % 100 == 99 || schedule + 1 == first + n)
			end();
	}
	assert_true(n_recovered > n / 4 && n_not > n / 16 && n_replayed > n / 4);
}

TEST_MAIN()
