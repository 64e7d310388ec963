/* SPDX-License-Identifier: BSD-2-Clause */
/* metrics.c - the numbers of all workers and certificates in the text format of Prometheus (0.0.4), for
 * node_exporter's textfile collector or any scraper that runs a command. */
#include <string.h>

#include "tools/sluicectl/ctl.h"

static const struct metric {
	const char *key;  /* of a worker's or a certificate's row */
	const char *name; /* counters end in _total */
	const char *help;
} of_workers[] =
	{{"connections", "sluice_connections", "Connections now."},
	 {"connections_max", "sluice_connections_max", "Connections that there is room for."},
	 {"channels", "sluice_channels",
	  "Channels that somebody hears here, or that are at home here."},
	 {"accepted", "sluice_accepted_total", "Connections accepted."},
	 {"refused", "sluice_refused_total", "Connections refused for want of room."},
	 {"handshakes", "sluice_tls_handshakes_total", "TLS handshakes done."},
	 {"handshakes_now", "sluice_tls_handshakes_pending", "TLS handshakes under way."},
	 {"handshakes_failed", "sluice_tls_handshakes_failed_total", "TLS handshakes that failed."},
	 {"handshakes_resumed", "sluice_tls_handshakes_resumed_total",
	  "TLS handshakes that resumed a session; divided by those done it is the rate of resumption."},
	 {"client_certificates_refused", "sluice_tls_client_certificates_refused_total",
	  "Certificates of clients that were refused; the log says why."},
	 {"key_updates", "sluice_tls_key_updates_total", "Keys exchanged, in either direction."},
	 {"alerts_in", "sluice_tls_alerts_received_total", "Alerts but close_notify."},
	 {"alerts_out", "sluice_tls_alerts_sent_total", "Alerts but close_notify."},
	 {"http_requests", "sluice_http_requests_total", "HTTP requests, upgrades among them."},
	 {"upgrades", "sluice_upgrades_total", "Upgrades to WebSocket."},
	 {"messages_in", "sluice_messages_received_total", "Messages of clients."},
	 {"bytes_in", "sluice_received_bytes_total", "Bytes read from sockets."},
	 {"publications", "sluice_publications_total", "Publications."},
	 {"overloaded", "sluice_publications_refused_total", "Publications refused as overloaded."},
	 {"deliveries", "sluice_deliveries_total", "Messages handed to connections."},
	 {"dropped", "sluice_deliveries_dropped_total",
	  "Deliveries that slow readers of drop_oldest namespaces did without."},
	 {"conflated", "sluice_deliveries_conflated_total",
	  "Deliveries that newer ones of the same channel replaced before a slow reader read them."},
	 {"deflated", "sluice_deflated_total",
	  "Messages compressed, each once for all who hear it here."},
	 {"deflated_from_bytes", "sluice_deflated_from_bytes_total", "Bytes of them before."},
	 {"deflated_to_bytes", "sluice_deflated_to_bytes_total", "Bytes of them after."},
	 {"inflated", "sluice_inflated_total", "Messages of clients that came compressed."},
	 {"inflations_refused", "sluice_inflations_refused_total",
	  "Compressed messages that were no whole stream, or above the limit, or bad text."},
	 {"writes", "sluice_writes_total", "System calls that write to sockets."},
	 {"bytes_out", "sluice_sent_bytes_total", "Bytes written to sockets."},
	 {NULL, NULL, NULL}},
  of_certs[] = {{"not_after", "sluice_tls_certificate_not_after_seconds",
		 "When the certificate in use expires, seconds since 1970."},
		{"not_before", "sluice_tls_certificate_not_before_seconds",
		 "From when on the certificate in use is valid, seconds since 1970."},
		{"ocsp_next_update", "sluice_tls_ocsp_next_update_seconds",
		 "When the stapled OCSP response expires; 0: none is, or it names no end."},
		{"handshakes", "sluice_tls_certificate_handshakes_total",
		 "Handshakes that the certificate was picked for."},
		{NULL, NULL, NULL}};

static bool is_counter(const char *name)
{
	const char *end = strrchr(name, '_');
	return end && strcmp(end, "_total") == 0;
}

/* A label's value: only these three are escaped there. */
static void put_label(const char *name, const char *value)
{
	printf("{%s=\"", name);
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			putchar('\\');
		putchar(*value);
	}
	printf("\"}");
}

static void put_head(const char *name, const char *help)
{
	printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name,
	       is_counter(name) ? "counter" : "gauge");
}

/* Of each metric all rows together, as the format wants it. */
static void put_rows(const struct metric *m, const json_t *rows, const char *label, const char *key)
{
	const json_t *row;
	size_t i;
	for (; m->name; m++) {
		if (json_array_size(rows) == 0)
			continue;
		put_head(m->name, m->help);
		json_array_foreach(rows, i, row)
		{
			char number[24];
			const json_t *v = json_object_get(row, key);
			snprintf(number, sizeof(number), "%llu", ctl_u64(row, key));
			printf("%s", m->name);
			put_label(label, json_is_string(v) ? ctl_str(row, key) : number);
			printf(" %llu\n", ctl_u64(row, m->key));
		}
	}
}

static void put_closed(const json_t *rows)
{
	static const char name[] = "sluice_closed_total";
	const json_t *row, *v;
	const char *reason;
	size_t i;
	if (json_array_size(rows) > 0)
		put_head(name, "Connections that have ended, by reason.");
	json_array_foreach(rows, i, row) json_object_foreach(json_object_get(row, "closed"), reason,
							     v)
		printf("%s{worker=\"%llu\",reason=\"%s\"} %lld\n", name, ctl_u64(row, "worker"),
		       ctl_clean(reason), (long long)json_integer_value(v));
}

/* The last reading is the same in each row. */
static void put_reading(const json_t *cert)
{
	static const char ok[] = "sluice_tls_reload_ok",
			  at[] = "sluice_tls_reload_timestamp_seconds";
	if (cert == NULL)
		return;
	put_head(
		ok,
		"1: when certificates were last read anew all was in order; 0: those from before stay in use.");
	printf("%s %d\n", ok, json_is_true(json_object_get(cert, "reload_ok")));
	put_head(at, "When they were last read, or were to be, seconds since 1970.");
	printf("%s %llu\n", at, ctl_u64(cert, "reload_timestamp"));
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	int code = CTL_OK, last = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, NULL, 0))
		return CTL_USAGE;
	int n = ctl_workers(ctl, &code);
	json_t *certs = n < 0 ? NULL : cert_all(ctl, n, &code), *workers;
	if (certs == NULL)
		return code;
	ctl->parts = true;
	workers = json_array();
	for (int i = 0; i < n; i++) {
		json_t *a =
			ctl_ask(ctl, json_pack("{s:s,s:i}", "ask", "worker", "member", i), &last);
		if (a) /* one that is being restarted does not hide the others */
			json_array_append(workers, json_object_get(a, "answer"));
		json_decref(a);
	}
	if (ctl->json) {
		ctl_print_json(ctl,
			       json_pack("{s:o,s:o}", "workers", workers, "certificates", certs));
		return last;
	}
	put_rows(of_workers, workers, "worker", "worker");
	put_closed(workers);
	put_rows(of_certs, certs, "certificate", "name");
	put_reading(json_array_get(certs, 0));
	json_decref(workers);
	json_decref(certs);
	return last;
}

static const struct verb verbs[] = {
	{"show", show, "", "all of them, in the text format of Prometheus", VIA_DAEMON},
	{0},
};
const struct object metrics_object = {
	.name = "metrics",
	.verbs = verbs,
	.help = "numbers for Prometheus: workers, TLS, days of certificates",
	.examples =
		"  sluicectl metrics show > /var/lib/prometheus/node-exporter/sluice.prom.new &&\n"
		"    mv /var/lib/prometheus/node-exporter/sluice.prom.new "
		"/var/lib/prometheus/node-exporter/sluice.prom\n"
		"  # alert: sluice_tls_certificate_not_after_seconds - time() < 14 * 86400\n",
};
