/* SPDX-License-Identifier: BSD-2-Clause */
/* status.c - is all well? The keeper, its processes, the shield. */
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "tools/sluicectl/ctl.h"

static const char *exit_text(int status, char *buf, size_t cap)
{
	if (WIFSIGNALED(status))
		snprintf(buf, cap, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(buf, cap, "exit code %d", WEXITSTATUS(status));
	return buf;
}

static unsigned long long since(unsigned long long wall_ms)
{
	unsigned long long now = (unsigned long long)time(NULL);
	return wall_ms / 1000 < now ? now - wall_ms / 1000 : 0;
}

static void print_member(const json_t *m)
{
	char how[64];
	printf("%s %llu: %s", ctl_str(m, "role"), ctl_u64(m, "member"), ctl_str(m, "state"));
	if (ctl_u64(m, "pid"))
		printf(", pid %llu, up %s", ctl_u64(m, "pid"),
		       ctl_span(since(ctl_u64(m, "started_ms"))));
	if (ctl_u64(m, "restarts"))
		printf(", restarted %llu time%s, last after %s %s ago", ctl_u64(m, "restarts"),
		       ctl_u64(m, "restarts") == 1 ? "" : "s",
		       exit_text((int)json_integer_value(json_object_get(m, "last_exit")), how,
				 sizeof(how)),
		       ctl_span(since(ctl_u64(m, "last_exit_ms"))));
	putchar('\n');
}

/* Modes of the rules, the enforced ones last and together; the trial if there is one. */
static void print_policy(const json_t *shield)
{
	const json_t *trial = json_object_get(shield, "trial"), *mode;
	const char *rule;
	printf("rules:");
	json_object_foreach((json_t *)json_object_get(shield, "rules"), rule, mode)
		printf(" %s %s", ctl_clean(rule), ctl_str(json_object_get(shield, "rules"), rule));
	putchar('\n');
	if (trial)
		printf("policy on trial: %s, %s left, then the one before comes back\n",
		       *ctl_str(trial, "file") ? ctl_str(trial, "file") : "a file",
		       ctl_span((ctl_u64(trial, "left_ms") + 999) / 1000));
}

/* What the rules remember, and whether they are pressed. */
static void print_pressure(const json_t *rate, const json_t *cookies, const json_t *filter)
{
	const char *why = ctl_str(cookies, "reason");
	if (cookies == NULL)
		return;
	printf("SYN cookies: %s%s%s%s", ctl_str(cookies, "kind"), *why ? " (" : "", why,
	       *why ? ")" : "");
	if (ctl_u64(cookies, "cores_under_attack"))
		printf("; ATTACK on %llu core%s", ctl_u64(cookies, "cores_under_attack"),
		       ctl_u64(cookies, "cores_under_attack") == 1 ? "" : "s");
	if (ctl_u64(cookies, "attacks"))
		printf("; so far %s attack%s on single cores, %s SYN%s answered, %s came back",
		       ctl_count(ctl_u64(cookies, "attacks")),
		       ctl_u64(cookies, "attacks") == 1 ? "" : "s",
		       ctl_count(ctl_u64(cookies, "answered")),
		       ctl_u64(cookies, "answered") == 1 ? "" : "s",
		       ctl_count(ctl_u64(cookies, "returned")));
	if (strcmp(ctl_str(filter, "is"), "on") == 0)
		printf("\nFLOOD of %s packets/s without a connection; %s known by heart (%s)",
		       ctl_count(ctl_u64(filter, "flood_per_s")),
		       ctl_count(ctl_u64(filter, "connections")),
		       ctl_bytes(ctl_u64(filter, "bytes")));
	printf("\nknown to be real: %s of %s sources and nets, %s evicted; rates refused %s packets "
	       "of others\n",
	       ctl_count(ctl_u64(rate, "validated")), ctl_count(ctl_u64(rate, "validated_max")),
	       ctl_count(ctl_u64(rate, "evicted")), ctl_count(ctl_u64(rate, "strangers")));
}

/* How long a list is, and what that takes; nothing of one that was never used. */
static void print_list(const json_t *l)
{
	const char *loading = ctl_str(l, "loading");
	unsigned long long sets = ctl_u64(l, "sets");
	if (ctl_u64(l, "bytes") == 0 && !*loading)
		return;
	printf("%s list: %s IPv4 and %s IPv6 prefixes", ctl_str(l, "list"),
	       ctl_count(ctl_u64(l, "ipv4")), ctl_count(ctl_u64(l, "ipv6")));
	if (sets)
		printf(" (%s of them one by one, %llu set%s)", ctl_count(ctl_u64(l, "one_by_one")),
		       sets, sets == 1 ? "" : "s");
	printf(", %s of memory%s%s\n", ctl_bytes(ctl_u64(l, "bytes")), *loading ? ", loading " : "",
	       loading);
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, NULL, 0))
		return CTL_USAGE;
	json_t *a = ctl_ask(ctl, json_pack("{s:s}", "ask", "keeper"), &code);
	if (a == NULL)
		return code;
	if (ctl->json) {
		json_object_del(a, "ok");
		ctl_print_json(ctl, a);
		return CTL_OK;
	}
	const json_t *k = json_object_get(a, "keeper"), *s = json_object_get(a, "shield"), *e;
	size_t i;
	printf("keeper: pid %llu, up %s, %s%s\n", ctl_u64(k, "pid"),
	       ctl_span(since(ctl_u64(k, "started_ms"))), ctl_str(k, "config"),
	       json_is_true(json_object_get(k, "shutting_down")) ? ", shutting down" : "");
	json_array_foreach(json_object_get(a, "members"), i, e) print_member(e);
	printf("shield: %s%s%s\n", json_is_true(json_object_get(s, "on")) ? "on" : "off",
	       *ctl_str(s, "text") ? ": " : "", ctl_str(s, "text"));
	if (json_is_true(json_object_get(s, "on")))
		print_policy(s);
	json_array_foreach(json_object_get(a, "interfaces"), i, e)
	{
		printf("interface %s: %s%s%s\n", ctl_str(e, "interface"), ctl_str(e, "mode"),
		       *ctl_str(e, "reason") ? ": " : "", ctl_str(e, "reason"));
		if (*ctl_str(e, "steer_reason"))
			printf("  steering: %s: %s\n", ctl_str(e, "steer"),
			       ctl_str(e, "steer_reason"));
	}
	print_pressure(json_object_get(a, "rate"), json_object_get(a, "cookies"),
		       json_object_get(a, "flow_filter"));
	json_array_foreach(json_object_get(a, "lists"), i, e) print_list(e);
	json_decref(a);
	return CTL_OK;
}

static const struct verb verbs[] = {
	{"show", show, "",
	 "the keeper, each process and its restarts, the shield's rules and each interface's mode; "
	 "is there an attack, how hard are the maps pressed that remember sources, how long are the "
	 "lists and what memory do they take",
	 VIA_DAEMON},
	{0},
};
const struct object status_object = {
	.name = "status",
	.verbs = verbs,
	.help = "is all well? processes and shield",
	.examples = "  sluicectl status\n  sluicectl -p status | grep state\n",
};
