/* SPDX-License-Identifier: BSD-2-Clause */
/* worker.c - counters and memory of the workers. */
#include "tools/sluicectl/ctl.h"

static void print_worker(const json_t *w)
{
	const json_t *m = json_object_get(w, "memory"), *box = json_object_get(w, "mailbox"), *v;
	const char *key;
	printf("worker %llu: up %s\n", ctl_u64(w, "worker"),
	       ctl_span(ctl_u64(w, "uptime_ms") / 1000));
	printf("  connections   %s of %s, %s unfinished; accepted %s\n",
	       ctl_count(ctl_u64(w, "connections")), ctl_count(ctl_u64(w, "connections_max")),
	       ctl_count(ctl_u64(w, "unfinished")), ctl_count(ctl_u64(w, "accepted")));
	printf("  handshakes    %s done, %s of them resumed, %s failed; HTTP requests %s, upgrades %s\n",
	       ctl_count(ctl_u64(w, "handshakes")), ctl_count(ctl_u64(w, "handshakes_resumed")),
	       ctl_count(ctl_u64(w, "handshakes_failed")), ctl_count(ctl_u64(w, "http_requests")),
	       ctl_count(ctl_u64(w, "upgrades")));
	printf("  TLS           %s key updates; alerts: %s heard, %s sent; certificates of clients refused: %s\n",
	       ctl_count(ctl_u64(w, "key_updates")), ctl_count(ctl_u64(w, "alerts_in")),
	       ctl_count(ctl_u64(w, "alerts_out")),
	       ctl_count(ctl_u64(w, "client_certificates_refused")));
	printf("  in            %s messages, %s\n", ctl_count(ctl_u64(w, "messages_in")),
	       ctl_bytes(ctl_u64(w, "bytes_in")));
	printf("  out           %s deliveries, %s writes (%s), %s\n",
	       ctl_count(ctl_u64(w, "deliveries")), ctl_count(ctl_u64(w, "writes")),
	       json_is_true(json_object_get(w, "io_uring")) ? "by io_uring" : "one by one",
	       ctl_bytes(ctl_u64(w, "bytes_out")));
	printf("  slow readers  %s deliveries dropped, %s replaced by newer ones\n",
	       ctl_count(ctl_u64(w, "dropped")), ctl_count(ctl_u64(w, "conflated")));
	printf("  compression   %s messages, %s became %s; inflated %s, %s refused\n",
	       ctl_count(ctl_u64(w, "deflated")), ctl_bytes(ctl_u64(w, "deflated_from_bytes")),
	       ctl_bytes(ctl_u64(w, "deflated_to_bytes")), ctl_count(ctl_u64(w, "inflated")),
	       ctl_count(ctl_u64(w, "inflations_refused")));
	printf("  publications  %s here, %s refused as overloaded; channels %s\n",
	       ctl_count(ctl_u64(w, "publications")), ctl_count(ctl_u64(w, "overloaded")),
	       ctl_count(ctl_u64(w, "channels")));
	printf("  memory        slab %s, hub %s, fan-out %s, unfinished %s, unsent %s, waiting %s\n",
	       ctl_bytes(ctl_u64(m, "slab_touched_bytes")), ctl_bytes(ctl_u64(m, "hub_bytes")),
	       ctl_bytes(ctl_u64(m, "fanout_bytes")),
	       ctl_bytes(ctl_u64(json_object_get(m, "partials"), "lent_bytes")),
	       ctl_bytes(ctl_u64(json_object_get(m, "tails"), "lent_bytes")),
	       ctl_bytes(ctl_u64(m, "backlog_bytes")));
	printf("  mailbox       %s sent, %s received, %s queued\n", ctl_count(ctl_u64(box, "sent")),
	       ctl_count(ctl_u64(box, "received")), ctl_bytes(ctl_u64(box, "queued_bytes")));
	printf("  closed       ");
	json_object_foreach(json_object_get(w, "closed"), key, v) printf(
		" %s %s", ctl_clean(key), ctl_count((unsigned long long)json_integer_value(v)));
	printf("%s\n", json_object_size(json_object_get(w, "closed")) ? "" : " none");
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	const char *id = NULL;
	const struct keyword words[] = {{"id", &id}};
	long long only = -1;
	int code = CTL_OK, last = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, words, 1))
		return CTL_USAGE;
	if (id && !ctl_number(id, 1023, &only))
		return ctl_fail(ctl, CTL_USAGE, "worker id must be a number, not '%s'",
				ctl_arg(id));
	int n = ctl_workers(ctl, &code);
	if (n < 0)
		return code;
	if (only >= n)
		return ctl_fail(ctl, CTL_REFUSED, "there is no worker %lld: they are 0 to %d", only,
				n - 1);
	ctl->parts = true;
	json_t *all = json_array();
	for (int i = only < 0 ? 0 : (int)only; i < (only < 0 ? n : (int)only + 1); i++) {
		json_t *a =
			ctl_ask(ctl, json_pack("{s:s,s:i}", "ask", "worker", "member", i), &last);
		if (a == NULL)
			continue; /* one that is being restarted does not hide the others */
		if (ctl->json)
			json_array_append(all, json_object_get(a, "answer"));
		else
			print_worker(json_object_get(a, "answer"));
		json_decref(a);
	}
	if (!ctl_print_json(ctl, all))
		json_decref(all);
	return last;
}

static const struct verb verbs[] = {
	{"show", show, "[id N]", "counters, memory and reasons of closed connections", VIA_DAEMON},
	{0},
};
const struct object worker_object = {
	.name = "worker",
	.verbs = verbs,
	.help = "what each worker has done and holds",
	.examples = "  sluicectl worker show\n  sluicectl -j worker show id 0\n",
};
