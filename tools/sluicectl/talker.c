/* SPDX-License-Identifier: BSD-2-Clause */
/* talker.c - who sends the most to what is protected, from the lists that each core keeps. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpf/abi.h"
#include "tools/sluicectl/ctl.h"

#define WINDOW_S ((double)(1ull << TALKER_WINDOW_SHIFT) / 1e9)

struct sender {
	uint8_t addr[8];
	unsigned long long packets, dropped;
};

struct senders {
	struct sender *list;
	size_t n, cap;
};

static void add(struct senders *s, const struct sender *one)
{
	for (size_t i = 0; i < s->n; i++)
		if (memcmp(s->list[i].addr, one->addr, sizeof(one->addr)) == 0) {
			s->list[i].packets += one->packets;
			s->list[i].dropped += one->dropped;
			return;
		}
	if (s->n == s->cap) {
		struct sender *more = realloc(s->list, (s->cap * 2 + 64) * sizeof(*more));
		if (!more)
			return;
		s->list = more;
		s->cap = s->cap * 2 + 64;
	}
	s->list[s->n++] = *one;
}

/* Of every core's list, what is of this window. */
static void collect(struct senders *s, const json_t *dump, unsigned long long window)
{
	const json_t *e, *v, *b;
	size_t i, c, k;
	json_array_foreach(dump, i, e)
	{
		const json_t *values = json_object_get(ctl_formatted(e), "values");
		json_array_foreach(values, c, v)
		{
			const json_t *t = json_object_get(v, "value");
			struct sender one = {.packets = ctl_u64(t, "packets") * TALKER_ONE_IN,
					     .dropped = ctl_u64(t, "dropped") * TALKER_ONE_IN};
			if (ctl_u64(t, "window") != (window & 0xffffffff) || !one.packets)
				continue;
			json_array_foreach(json_object_get(t, "addr"), k, b) if (k < 8)
				one.addr[k] = (uint8_t)json_integer_value(b);
			add(s, &one);
		}
	}
}

static int by_packets(const void *a, const void *b)
{
	unsigned long long x = ((const struct sender *)a)->packets,
			   y = ((const struct sender *)b)->packets;
	return x > y ? -1 : x < y;
}

static const char *source_str(const uint8_t addr[8], char buf[80])
{
	static const uint8_t none[4];
	uint8_t v6[16] = {0};
	if (memcmp(addr, none, 4) == 0) {
		inet_ntop(AF_INET, addr + 4, buf, 80);
		return buf;
	}
	memcpy(v6, addr, 8);
	inet_ntop(AF_INET6, v6, buf, 80);
	strcat(buf, "/64");
	return buf;
}

static json_t *rows(struct senders *s, size_t limit, double seconds)
{
	json_t *list = json_array();
	char text[80];
	if (s->n)
		qsort(s->list, s->n, sizeof(*s->list), by_packets);
	for (size_t i = 0; i < s->n && i < limit; i++) {
		const struct sender *t = &s->list[i];
		json_array_append_new(list, json_pack("{s:s,s:I,s:I}", "source",
						      source_str(t->addr, text), "packets_per_s",
						      (json_int_t)((double)t->packets / seconds),
						      "dropped_per_s",
						      (json_int_t)((double)t->dropped / seconds)));
	}
	return list;
}

/* The last whole window; the one that runs, if nobody was heard in that. */
static json_t *talkers(const json_t *dump, size_t limit)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	unsigned long long ns =
		(unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec;
	unsigned long long window = ns >> TALKER_WINDOW_SHIFT;
	double runs_s = (double)(ns - (window << TALKER_WINDOW_SHIFT)) / 1e9;
	struct senders s = {0};
	collect(&s, dump, window - 1);
	double seconds = WINDOW_S;
	if (s.n == 0) {
		collect(&s, dump, window);
		seconds = runs_s > 0.1 ? runs_s : 0.1;
	}
	json_t *list = rows(&s, limit, seconds);
	free(s.list);
	return list;
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	const char *limit = NULL;
	const struct keyword words[] = {{"limit", &limit}};
	long long n = 20;
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, words, 1))
		return CTL_USAGE;
	if (limit && (!ctl_number(limit, 100000, &n) || n < 1))
		return ctl_fail(ctl, CTL_USAGE, "limit: a number from 1, not '%s'", ctl_arg(limit));
	json_t *dump = ctl_dump(ctl, "talker", &code), *list, *t;
	if (dump == NULL || ctl->show_command) {
		json_decref(dump);
		return code;
	}
	list = talkers(dump, (size_t)n);
	json_decref(dump);
	if (ctl->json) {
		ctl_print_json(ctl, list);
		return CTL_OK;
	}
	printf("%-44s %14s %14s\n", "SOURCE", "PACKETS/S", "DROPPED/S");
	size_t i;
	json_array_foreach(list, i, t) printf("%-44s %14s %14s\n", ctl_str(t, "source"),
					      ctl_count(ctl_u64(t, "packets_per_s")),
					      ctl_count(ctl_u64(t, "dropped_per_s")));
	json_decref(list);
	return CTL_OK;
}

static const struct verb verbs[] = {
	{"show", show, "[limit N]",
	 "the 20 sources, or N, that sent most packets to protected addresses and ports in the last "
	 "window of eight and a half seconds: IPv4 addresses and IPv6 /64s. Estimates from one packet "
	 "in 32: who sends less than some hundred a second may be missing",
	 VIA_BPFTOOL},
	{0},
};
const struct object talker_object = {
	.name = "talker",
	.verbs = verbs,
	.help = "who sends the most to what is protected",
	.examples = "  sluicectl talker show\n  sluicectl -jp talker show limit 5\n",
};
