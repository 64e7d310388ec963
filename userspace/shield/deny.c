/* SPDX-License-Identifier: BSD-2-Clause */
/* deny.c - entries one by one: prefixes in, expired ones out.
 *
 *   by hand, by offence, by sluice.conf ─► set 0 ─► list_table.c ─► what packets read
 *
 * XDP reads the entries and adds to their hits; nobody else but the keeper writes. */
#include "shield/state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool shield_prefix_canonical(struct shield_prefix *p)
{
	unsigned full = p->family == AF_INET ? 32 : 128;

	if ((p->family != AF_INET && p->family != AF_INET6) || p->bits > full)
		return false;
	if (p->family == AF_INET6 && p->bits >= 96 && memcmp(p->addr, mapped, 12) == 0) {
		p->family = AF_INET;
		p->bits -= 96;
		memmove(p->addr, p->addr + 12, 4);
	}
	for (unsigned bit = p->bits; bit < 128; bit++)
		p->addr[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return true;
}

/* An entry of set 0 as the table knows it, but for what it says. */
static bool key_of(const struct shield_prefix *given, struct list_entry *out)
{
	struct shield_prefix p = *given;

	if (!shield_prefix_canonical(&p))
		return false;
	*out = (struct list_entry){.len = p.bits, .family = p.family == AF_INET ? 4 : 6};
	memcpy(out->addr, p.addr, sizeof(out->addr));
	return true;
}

const char *shield_prefix_str(const struct shield_prefix *p, char buf[SHIELD_PREFIX_TEXT_MAX])
{
	char addr[INET6_ADDRSTRLEN] = "?";

	inet_ntop(p->family == AF_INET ? AF_INET : AF_INET6, p->addr, addr, sizeof(addr));
	snprintf(buf, SHIELD_PREFIX_TEXT_MAX, "%s/%u", addr, p->bits);
	return buf;
}

static void count_own(struct shield *s, enum shield_list_id id, const struct list_entry *e, int n)
{
	struct shield_set *set = &s->list_sets[id * LIST_SETS_MAX + e->set];
	__u32 *at = e->family == 4 ? &set->v4 : &set->v6;

	*at += (__u32)n;
}

static void write_down(struct shield *s, enum shield_list_id id, const struct list_op *op)
{
	struct list_journal *j = &s->journal[id];

	if (!j->on)
		return;
	if (j->n == j->cap) {
		size_t cap = j->cap ? j->cap * 2 : 64;
		struct list_op *more = realloc(j->ops, cap * sizeof(*more));

		if (!more) {
			log_error("shield: %s list: no memory to do a change to the new list too",
				  list_word(id));
			return;
		}
		j->ops = more;
		j->cap = cap;
	}
	j->ops[j->n++] = *op;
}

static int add_new(struct shield *s, enum shield_list_id id, const struct list_entry *e)
{
	struct list *l = &s->list[id];
	const struct shield_set *own = &s->list_sets[id * LIST_SETS_MAX];

	if (own->v4 + own->v6 >= LIST_OWN_MAX)
		return -ENOSPC;
	list_table_add(&l->table, e);
	count_own(s, id, e, 1);
	list_publish(s, id);
	return 0;
}

/* What a packet reads of an entry goes there in one piece. */
static void renew(struct list_table *t, uint32_t number, const struct list_entry *e)
{
	struct list_entry *at = &t->entry[number];

	__atomic_store_n(&at->expires_ns, e->expires_ns, __ATOMIC_RELEASE);
	list_table_renewed(t, number);
	at->reason = e->reason;
	at->note = e->note;
}

static int add_at(struct shield *s, enum shield_list_id id, struct list_entry *e, const char *note)
{
	struct list *l = &s->list[id];
	uint64_t now = clock_mono_ns();
	struct list_entry *at;
	uint32_t number;
	int err = list_make_room(s, id);

	if (err)
		return err;
	number = list_table_find(&l->table, e);
	at = number ? &l->table.entry[number] : NULL;
	/* what a person has said, no automaton shortens */
	if (at && e->reason == SHIELD_DENY_OFFENCE && at->reason != e->reason &&
	    (!at->expires_ns || at->expires_ns > now))
		return 0;
	e->created_ns = now;
	e->note = list_note_number(s, id, note);
	if (e->expires_ns) {
		e->expires_ns += now;
		l->next_expiry_ns = MIN(l->next_expiry_ns, e->expires_ns);
	}
	if (!at)
		return add_new(s, id, e);
	renew(&l->table, number, e);
	return 0;
}

int shield_list_add(struct shield *s, enum shield_list_id id, const struct shield_prefix *given,
		    uint64_t ttl_s, enum shield_deny_reason reason, const char *note)
{
	struct shield_prefix p = *given;
	char text[SHIELD_PREFIX_TEXT_MAX];
	struct list_entry e;
	int err = shield_lists_open(s);

	if (err)
		return err;
	if (reason == SHIELD_DENY_OFFENCE && p.family == AF_INET6 && p.bits > 64 &&
	    memcmp(p.addr, mapped, 12) != 0)
		p.bits = 64;
	if (!key_of(&p, &e))
		return -EINVAL;
	e.reason = reason;
	e.expires_ns = MIN(ttl_s, UINT32_MAX) * 1000000000u;
	err = add_at(s, id, &e, note);
	if (err) {
		log_error("shield: %s list: cannot add %s: %s", list_word(id),
			  shield_prefix_str(&p, text),
			  err == -ENOSPC ? "the list is full; delete entries or join prefixes" :
					   strerror(-err));
	} else if (s->journal[id].on) {
		struct list_op op = {.p = p, .expires_ns = e.expires_ns, .reason = reason};

		snprintf(op.note.text, sizeof(op.note.text), "%s", note ? note : "");
		write_down(s, id, &op);
	}
	return err;
}

int shield_list_del(struct shield *s, enum shield_list_id id, const struct shield_prefix *given)
{
	struct list *l = &s->list[id];
	struct list_entry e;
	uint32_t number;
	int err = shield_lists_open(s), n = 0;

	if (err)
		return err;
	if (!key_of(given, &e))
		return -EINVAL;
	while (l->table.heap && (number = list_table_find_any(&l->table, &e)) != 0) {
		count_own(s, id, &l->table.entry[number], -1);
		list_table_del(&l->table, number);
		n++;
	}
	if (!n)
		return -ENOENT;
	list_publish(s, id);
	write_down(s, id, &(struct list_op){.p = *given});
	return 0;
}

int shield_list_get(struct shield *s, enum shield_list_id id, const struct shield_prefix *p,
		    struct list_entry *out, char note[sizeof(struct list_note)])
{
	struct list *l = &s->list[id];
	struct list_entry e;
	uint32_t number;
	int err = shield_lists_open(s);

	if (err)
		return err;
	if (!key_of(p, &e))
		return -EINVAL;
	number = l->table.heap ? list_table_find_any(&l->table, &e) : 0;
	if (!number)
		return -ENOENT;
	*out = l->table.entry[number];
	out->hits += __atomic_load_n(&l->table.hot[number].hits, __ATOMIC_RELAXED);
	memset(note, 0, sizeof(struct list_note));
	if (out->note && out->note < l->notes_max)
		memcpy(note, l->note[out->note].text, sizeof(struct list_note) - 1);
	return 0;
}

int shield_list_info(struct shield *s, enum shield_list_id id, struct shield_list *out)
{
	int err = shield_lists_open(s);

	if (!err)
		*out = s->lists[id];
	return err;
}

int shield_list_set_info(struct shield *s, enum shield_list_id id, unsigned set,
			 struct shield_set *out)
{
	int err = shield_lists_open(s);

	if (err)
		return err;
	if (set >= LIST_SETS_MAX || (set && !s->list_sets[id * LIST_SETS_MAX + set].name[0]))
		return -ENOENT;
	*out = s->list_sets[id * LIST_SETS_MAX + set];
	return 0;
}

int shield_list_gauge(struct shield *s, enum shield_list_id id, struct shield_list_gauge *out)
{
	int err = shield_lists_open(s);
	const struct list *l = &s->list[id];
	const struct shield_set *set;

	memset(out, 0, sizeof(*out));
	if (err || !l->table.heap)
		return err;
	set = &s->list_sets[id * LIST_SETS_MAX];
	out->v4 = list_table_count(&l->table, 4);
	out->v6 = list_table_count(&l->table, 6);
	out->own = set[0].v4 + set[0].v6;
	for (unsigned i = 1; i < LIST_SETS_MAX; i++)
		out->sets += set[i].name[0] != '\0';
	out->room = l->table.entries - 1;
	out->bytes = list_table_bytes(&l->table) + (uint64_t)l->notes_max * sizeof(*l->note);
	return 0;
}

void shield_lists_forget(struct shield *s)
{
	shield_lists_close(s);
}

int shield_deny_add(struct shield *s, const struct shield_prefix *p, uint64_t ttl_s,
		    enum shield_deny_reason reason, const char *note)
{
	return shield_list_add(s, LIST_DENY, p, ttl_s, reason, note);
}

int shield_deny_del(struct shield *s, const struct shield_prefix *p)
{
	return shield_list_del(s, LIST_DENY, p);
}

/* ---- the whole list ------------------------------------------------------------ */

typedef bool (*doomed_fn)(const struct list_entry *e, const void *arg);

static bool has_expired(const struct list_entry *e, const void *now)
{
	return e->expires_ns && e->expires_ns <= *(const uint64_t *)now;
}

static void remove_entry(struct shield *s, enum shield_list_id id, uint32_t number)
{
	struct list_table *t = &s->list[id].table;

	count_own(s, id, &t->entry[number], -1);
	list_table_del(t, number);
}

static ssize_t remove_if(struct shield *s, enum shield_list_id id, doomed_fn doomed,
			 const void *arg)
{
	struct list_table *t = &s->list[id].table;
	ssize_t removed = 0;

	for (uint32_t i = 1, end = t->heap ? list_table_end(t) : 1; i < end; i++) {
		const struct list_entry *e = &t->entry[i];
		struct list_op op = {.own = true};

		if (!e->family || !doomed(e, arg))
			continue;
		op.p.family = e->family == 4 ? AF_INET : AF_INET6;
		op.p.bits = e->len;
		memcpy(op.p.addr, e->addr, sizeof(op.p.addr));
		if (doomed != has_expired) /* which it does in a new list too */
			write_down(s, id, &op);
		remove_entry(s, id, i);
		removed++;
	}
	if (removed)
		list_publish(s, id);
	return removed;
}

static ssize_t reap_list(struct shield *s, enum shield_list_id id, uint64_t now)
{
	struct list *l = &s->list[id];
	ssize_t n = 0;

	if (!l->table.heap)
		return 0;
	if (l->next_expiry_ns <= now) {
		n = remove_if(s, id, has_expired, &now);
		l->next_expiry_ns = UINT64_MAX;
		for (uint32_t i = 1, end = list_table_end(&l->table); i < end; i++)
			if (l->table.entry[i].family && l->table.entry[i].expires_ns)
				l->next_expiry_ns =
					MIN(l->next_expiry_ns, l->table.entry[i].expires_ns);
	}
	list_settle(s, id);
	return n;
}

ssize_t shield_reap(struct shield *s)
{
	uint64_t now = clock_mono_ns();
	ssize_t n = 0;
	int err = shield_lists_open(s);

	for (int id = 0; !err && id < LISTS; id++)
		n += reap_list(s, id, now);
	return err ? err : n;
}

void list_del_own(struct shield *s, enum shield_list_id id, const struct shield_prefix *p)
{
	struct list_entry e;
	uint32_t number = key_of(p, &e) ? list_table_find(&s->list[id].table, &e) : 0;

	if (number) {
		remove_entry(s, id, number);
		list_publish(s, id);
	}
}

struct wanted {
	const struct shield_prefix *list;
	size_t n;
};

static bool left_the_file(const struct list_entry *e, const void *arg)
{
	const struct wanted *w = arg;

	if (e->set || e->reason != SHIELD_DENY_CONFIG)
		return false;
	for (size_t i = 0; i < w->n; i++) {
		struct list_entry want;

		if (key_of(&w->list[i], &want) && list_entry_compare(&want, e) == 0)
			return false;
	}
	return true;
}

/* The entry of set 0 for exactly this prefix, if there is one that lives. */
static const struct list_entry *living(const struct shield *s, const struct shield_prefix *p)
{
	const struct list_table *t = &s->list[LIST_DENY].table;
	struct list_entry key;
	uint32_t at = key_of(p, &key) && t->heap ? list_table_find(t, &key) : 0;

	if (!at || (t->entry[at].expires_ns && t->entry[at].expires_ns <= clock_mono_ns()))
		return NULL;
	return &t->entry[at];
}

static int add_config(struct shield *s, const struct shield_prefix *p, uint64_t ttl_s)
{
	const struct list_entry *there = living(s, p);

	if (there && (there->reason != SHIELD_DENY_CONFIG || !there->expires_ns))
		return 0;
	return shield_deny_add(s, p, ttl_s, SHIELD_DENY_CONFIG,
			       ttl_s ? "sluice.conf, on trial" : "sluice.conf");
}

int shield_deny_config(struct shield *s, const struct shield_prefix *list, size_t n, uint64_t ttl_s)
{
	struct wanted w = {list, n};
	int err = shield_lists_open(s);

	if (err)
		return err;
	remove_if(s, LIST_DENY, left_the_file, &w);
	for (size_t i = 0; i < n && !err; i++)
		err = add_config(s, &list[i], ttl_s);
	return err;
}
