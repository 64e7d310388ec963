/* SPDX-License-Identifier: BSD-2-Clause */
/* Random subscribes, unsubscribes, publications and disconnects over three workers whose turns
 * come in random order, against the contract: between its `subscribed` and its `unsubscribed` a
 * client hears every publication, once, in the one order; before and after, nothing. And with
 * workers dying: what can still be promised then. */
#include "test.h"

#include "../hub/world.h"
#include "engine/memory.h"

enum { WORKERS = 3, CLIENTS = 24, CHANNELS = 5, IDS = 60000, MAX_CLIENTS = 4000 };

struct said {
	struct client *by;
	uint8_t channel, flags, outcome;
	uint64_t offset; /* as subscribers heard it; 0: nobody */
};
static struct said said[IDS];
static unsigned n_said;
static struct client *all[MAX_CLIENTS];
static unsigned n_all;
static struct client *cl[CLIENTS];

static const char *channel_name_of(unsigned i)
{
	static const char *const name[CHANNELS] = {"a", "b", "c", "d", "e"};
	return name[i];
}

static void newcomer(unsigned i)
{
	unsigned k;
	do
		k = (unsigned)rand() % WORKERS;
	while (!world.up[k]);
	assert_true(n_all < MAX_CLIENTS);
	cl[i] = all[n_all++] = client_open(k);
}

static void publish(struct client *c, unsigned channel, uint8_t flags)
{
	char id[16];
	assert_true(n_said < IDS);
	struct said *s = &said[n_said];
	*s = (struct said){.by = c, .channel = (uint8_t)channel, .flags = flags | PUB_F_ACK};
	snprintf(id, sizeof(id), "%u", n_said++);
	struct publication p = {
		.kind = PUB_MESSAGE,
		.flags = s->flags,
		.channel = bytes_str(channel_name_of(channel)),
		.from = BYTES_LIT("x"),
		.data = bytes_str(id),
		.ask = bytes_str(id),
		.sender = {.worker = (uint16_t)c->w->id,
			   .index = conn_index(&c->w->slab, c->c),
			   .gen = c->c->gen},
	};
	s->outcome = (uint8_t)hub_publish(c->w, &p);
}

static void step(unsigned fill)
{
	unsigned i = (unsigned)rand() % CLIENTS, ch = (unsigned)rand() % CHANNELS;
	unsigned dice = (unsigned)rand() % 100;
	if (cl[i]->c == NULL)
		newcomer(i);
	if (dice < fill)
		client_subscribe_as(cl[i], channel_name_of(ch),
				    (enum encoding)(rand() % ENC_RAW |
						    (rand() % 2 ? ENC_DEFLATED : 0)),
				    rand() % 2 ? HUB_SUB_EVENTS : 0);
	else if (dice < 40)
		client_unsubscribe(cl[i], channel_name_of(ch));
	else if (dice < 70)
		publish(cl[i], ch, rand() % 3 ? 0 : PUB_F_NO_ECHO);
	else if (dice < 72)
		client_close(cl[i]);
	else {
		unsigned k = (unsigned)rand() % WORKERS;
		if (world.up[k])
			worker_turn(&world.w[k], rand() % 2);
	}
}

static unsigned index_of_channel(const char *name)
{
	assert_true(name[0] >= 'a' && name[0] < 'a' + CHANNELS);
	return (unsigned)(name[0] - 'a');
}

/* What a line of a log says. */
struct line {
	enum { SUBSCRIBED, UNSUBSCRIBED, PUBLISHED, LOST, MESSAGE, EVENT } kind;
	unsigned channel;
	unsigned long long epoch, offset;
	unsigned id, outcome;
};

static struct line read_line(const char *s)
{
	struct line l = {0};
	char name[8];
	if (sscanf(s, "subscribed %7s epoch %llx offset %llu", name, &l.epoch, &l.offset) == 3) {
		l.kind = SUBSCRIBED;
	} else if (sscanf(s, "unsubscribed %7s", name) == 1) {
		l.kind = UNSUBSCRIBED;
	} else if (sscanf(s, "published %7s offset %llu outcome %u ask %u", name, &l.offset,
			  &l.outcome, &l.id) == 4) {
		l.kind = PUBLISHED;
	} else if (sscanf(s, "lost %7s", name) == 1) {
		l.kind = LOST;
	} else {
		const char *at = strstr(s, "\"channel\":\"");
		at = at ? at + 11 : strstr(s, "\"room\":\"") + 8;
		name[0] = *at;
		const char *data = strstr(s, "\"data\":");
		data = data ? data + 7 : strstr(s, "\"content\":");
		data = data && data[0] == '"' ? data + 10 : data;
		l.kind = data ? MESSAGE : EVENT;
		l.id = data ? (unsigned)strtoul(data, NULL, 10) : 0;
		const char *offset = strstr(s, "\"offset\":");
		l.offset = offset ? strtoull(offset + 9, NULL, 10) : 0;
		assert_true((l.kind == MESSAGE) == (l.offset > 0));
	}
	l.channel = index_of_channel(name);
	return l;
}

/* The sender's own, which it did not want to hear? */
static bool own_silent(const struct client *c, unsigned channel, unsigned long long offset)
{
	for (unsigned i = 0; i < n_said; i++)
		if (said[i].by == c && said[i].channel == channel && said[i].offset == offset &&
		    said[i].flags & PUB_F_NO_ECHO)
			return true;
	return false;
}

static void read_acknowledgements(void)
{
	for (unsigned k = 0; k < n_all; k++)
		for (unsigned i = 0; i < all[k]->n; i++) {
			struct line l = read_line(all[k]->log[i]);
			if (l.kind != PUBLISHED)
				continue;
			assert_true(l.id < n_said && said[l.id].by == all[k]);
			if (l.outcome == HUB_OK)
				said[l.id].offset = l.offset;
		}
}

struct hearing {
	bool in;
	unsigned long long epoch, last;
};

static void check_log(struct client *c, struct hearing h[CHANNELS])
{
	memset(h, 0, CHANNELS * sizeof(*h));
	for (unsigned i = 0; i < c->n; i++) {
		struct line l = read_line(c->log[i]);
		struct hearing *s = &h[l.channel];
		switch (l.kind) {
		case SUBSCRIBED:
			while (s->in && s->last < l.offset && own_silent(c, l.channel, s->last + 1))
				s->last++;
			if (s->in) /* again: nothing was missed up to here */
				assert_true(s->epoch == l.epoch && s->last == l.offset);
			*s = (struct hearing){true, l.epoch, l.offset};
			break;
		case UNSUBSCRIBED:
			assert_true(s->in);
			s->in = false;
			break;
		case MESSAGE:
			assert_msg(s->in, "%s: heard after leaving or before joining", c->log[i]);
			while (s->last + 1 < l.offset && own_silent(c, l.channel, s->last + 1))
				s->last++;
			assert_msg(l.offset == s->last + 1, "%s: after %llu", c->log[i], s->last);
			s->last = l.offset;
			assert_true(l.id < n_said && said[l.id].channel == l.channel);
			assert_false(said[l.id].by == c && said[l.id].flags & PUB_F_NO_ECHO);
			if (said[l.id].offset == 0) /* its sender has gone before the answer */
				said[l.id].offset = l.offset;
			assert_int_equal(said[l.id].offset, l.offset);
			break;
		case EVENT: {
			char own[32];
			assert_true(s->in);
			snprintf(own, sizeof(own), "\"c%u\"", c->c ? c->c->born_ticks : 0);
			assert_null(strstr(c->log[i], own));
			break;
		}
		case PUBLISHED: break;
		case LOST: fail_msg("nothing is lost here");
		}
	}
}

/* What the homes think is what the clients have. (What nobody has may be kept for a while.) */
static void check_counts(void)
{
	for (unsigned ch = 0; ch < CHANNELS; ch++) {
		struct hub_position at = {0};
		unsigned homes = 0, members = 0;
		for (unsigned k = 0; k < WORKERS; k++)
			homes += engine_memory.info(&world.w[k], 0, bytes_str(channel_name_of(ch)),
						    &at);
		for (unsigned i = 0; i < CLIENTS; i++)
			members += cl[i]->c != NULL &&
				   hub_is_subscribed(cl[i]->w, cl[i]->c, 0,
						     bytes_str(channel_name_of(ch)));
		assert_true(homes == 1 || (homes == 0 && members == 0));
		assert_int_equal(at.count, members);
	}
}

static void check_ends(void)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct hearing h[CHANNELS];
		check_log(cl[i], h);
		for (unsigned ch = 0; cl[i]->c != NULL && ch < CHANNELS; ch++) {
			struct bytes name = bytes_str(channel_name_of(ch));
			struct hub_position at = {0};
			assert_int_equal(hub_is_subscribed(cl[i]->w, cl[i]->c, 0, name), h[ch].in);
			if (!h[ch].in)
				continue;
			for (unsigned k = 0; k < WORKERS; k++)
				engine_memory.info(&world.w[k], 0, name, &at);
			while (h[ch].last < at.offset && own_silent(cl[i], ch, h[ch].last + 1))
				h[ch].last++;
			assert_true(h[ch].epoch == at.epoch && h[ch].last == at.offset);
		}
	}
}

static void begin(unsigned seed)
{
	srand(seed);
	n_said = n_all = 0;
	world_open(WORKERS);
	for (unsigned i = 0; i < CLIENTS; i++)
		newcomer(i);
}

static void end(void)
{
	for (unsigned k = 0; k < n_all; k++)
		client_free(all[k]);
	world_close();
}

TEST(property, each_hears_all_between_subscribed_and_unsubscribed_once_in_one_order)
{
	for (unsigned seed = 1; seed <= 12; seed++) {
		begin(seed);
		for (unsigned i = 0; i < 4000; i++)
			step(i / 1000 % 2 ? 10 : 30);
		world_settle();
		read_acknowledgements();
		for (unsigned k = 0; k < n_all; k++) {
			struct hearing h[CHANNELS];
			check_log(all[k], h);
		}
		check_counts();
		check_ends();
		for (unsigned i = 0; i < n_said; i++) /* each publisher that lives was answered */
			assert_true(said[i].outcome == HUB_OK);
		for (unsigned i = 0; i < CLIENTS; i++)
			client_close(cl[i]);
		world_settle();
		check_counts();
		for (unsigned k = 0; k < WORKERS; k++)
			assert_int_equal(hub_channel_count(world.w[k].hub), 0);
		world_wait(world.other.history_age_ms + 1);
		for (unsigned k = 0; k < WORKERS; k++)
			assert_int_equal(world.w[k].engine->home.channels.n, 0);
		end();
	}
}

/* ── with deaths ── */

/* Nobody hears anything twice, nor after leaving; and any two agree on the order. */
static void check_order(void)
{
	static unsigned heard[MAX_CLIENTS][2]; /* first and number of `ids` */
	static unsigned ids[IDS * 8];
	static unsigned place[IDS];
	unsigned n = 0;
	for (unsigned k = 0; k < n_all; k++) {
		bool in[CHANNELS] = {0};
		heard[k][0] = n;
		for (unsigned i = 0; i < all[k]->n; i++) {
			struct line l = read_line(all[k]->log[i]);
			if (l.kind == SUBSCRIBED)
				in[l.channel] = true;
			else if (l.kind == UNSUBSCRIBED)
				in[l.channel] = false;
			if (l.kind != MESSAGE)
				continue;
			assert_true(in[l.channel]);
			assert_true(n < ARRAY_SIZE(ids));
			ids[n++] = l.id;
		}
		heard[k][1] = n - heard[k][0];
	}
	for (unsigned a = 0; a < n_all; a++) {
		memset(place, 0, sizeof(place));
		for (unsigned i = 0; i < heard[a][1]; i++) {
			unsigned id = ids[heard[a][0] + i];
			assert_msg(place[id] == 0, "%u was heard twice", id);
			place[id] = i + 1;
		}
		for (unsigned b = 0; b < n_all; b++) {
			unsigned last[CHANNELS] = {0};
			for (unsigned i = 0; i < heard[b][1]; i++) {
				unsigned id = ids[heard[b][0] + i];
				if (place[id] == 0)
					continue;
				assert_true(place[id] > last[said[id].channel]);
				last[said[id].channel] = place[id];
			}
		}
	}
}

/* Every request of a client that lived on was answered once. */
static void check_answers(void)
{
	static unsigned answers[IDS];
	memset(answers, 0, sizeof(answers));
	for (unsigned k = 0; k < n_all; k++)
		for (unsigned i = 0; i < all[k]->n; i++) {
			struct line l = read_line(all[k]->log[i]);
			if (l.kind == PUBLISHED)
				answers[l.id]++;
		}
	for (unsigned i = 0; i < n_said; i++)
		if (said[i].by->c != NULL && said[i].outcome == HUB_OK)
			assert_int_equal(answers[i], 1);
		else
			assert_true(answers[i] <= 1);
}

static void check_all_hear_a_probe(void)
{
	unsigned first = n_said;
	for (unsigned ch = 0; ch < CHANNELS; ch++)
		for (unsigned i = 0; i < 3; i++)
			publish(cl[(unsigned)rand() % CLIENTS], ch, 0);
	world_settle();
	for (unsigned i = 0; i < CLIENTS; i++) {
		unsigned heard[CHANNELS] = {0};
		for (unsigned n = 0; n < cl[i]->n; n++) {
			struct line l = read_line(cl[i]->log[n]);
			heard[l.channel] += l.kind == MESSAGE && l.id >= first;
		}
		for (unsigned ch = 0; ch < CHANNELS; ch++)
			assert_int_equal(heard[ch],
					 hub_is_subscribed(cl[i]->w, cl[i]->c, 0,
							   bytes_str(channel_name_of(ch))) ?
						 3 :
						 0);
	}
}

TEST(property, deaths_of_workers_lose_nothing_but_what_was_inside_them)
{
	for (unsigned seed = 1; seed <= 12; seed++) {
		begin(seed);
		for (unsigned i = 0; i < 5000; i++) {
			unsigned k = (unsigned)rand() % WORKERS, up = 0,
				 dice = (unsigned)rand() % 200;
			for (unsigned j = 0; j < WORKERS; j++)
				up += world.up[j];
			if (dice == 0 && world.up[k] && up > 1) {
				world_crash(k);
			} else if (dice < 4 && !world.up[k]) {
				/* the others hear of it one by one, with turns between */
				world_start_again(k);
				for (unsigned j = 0; j < WORKERS; j++) {
					if (j == k || !world.up[j])
						continue;
					for (unsigned n = (unsigned)rand() % 20; n > 0; n--)
						step(20);
					world_tell_up(j, k);
				}
			} else {
				step(i / 1000 % 2 ? 10 : 30);
			}
		}
		for (unsigned k = 0; k < WORKERS; k++)
			if (!world.up[k])
				world_revive(k);
		for (unsigned i = 0; i < CLIENTS; i++)
			if (cl[i]->c == NULL)
				newcomer(i);
		world_settle();
		check_order();
		check_answers();
		check_counts();
		check_all_hear_a_probe();
		for (unsigned i = 0; i < CLIENTS; i++)
			client_close(cl[i]);
		world_settle();
		check_counts();
		end();
	}
}

TEST_MAIN()
