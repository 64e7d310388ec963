/* SPDX-License-Identifier: BSD-2-Clause */
/* tls.c - the seam: a connection's records go through its keys where it sleeps, else through its
 * SSL object. */
#include <sys/socket.h>

#include "base/log.h"
#include "tls/internal.h"
#include "tls/offload.h"
#include "worker/worker.h"

static struct tls_asleep view(struct worker *w, struct conn *c)
{
	return (struct tls_asleep){
		.suite = c->suite,
		.rx = &c->rx_key,
		.tx = &c->tx_key,
		.secrets = &w->tls->cold[conn_index(&w->slab, c)].secrets,
		.owes = c->owes,
		.restless = c->restless,
		.key_records = w->cfg->tls.key_records,
		.out = &w->tls->out,
	};
}

static enum tls_outcome open_asleep(struct worker *w, struct conn *c, struct bytes *in,
				    struct bytes *plain)
{
	struct tls_asleep a = view(w, c);
	enum tls_alert why;
	enum tls_heard heard = tls_asleep_open(&a, in, plain, &why);
	c->owes = a.owes;
	c->restless = a.restless;
	w->stats.key_updates += a.updates;
	switch (heard) {
	case TLS_HEARD_MORE: return TLS_MORE;
	case TLS_HEARD_CONTENT: return TLS_RECORD;
	case TLS_HEARD_CLOSE: return TLS_CLOSED;
	case TLS_HEARD_ALERT:
		w->stats.alerts_in++;
		log_debug("conn %u: tls: the peer's alert %u", conn_index(&w->slab, c), why);
		return TLS_REFUSED;
	case TLS_HEARD_BAD: break;
	}
	w->stats.alerts_out++;
	if (c->flags & CONN_F_KTLS) { /* ours is sealed with a key that is the kernel's now */
		const uint8_t alert[2] = {2, (uint8_t)why};
		w->tls->out.n = 0;
		tls_offload_say(c, TLS_ALERT, BYTES(alert, sizeof(alert)));
	}
	log_debug("conn %u: tls: refused with alert %u", conn_index(&w->slab, c), why);
	return TLS_BAD;
}

enum tls_outcome tls_open(struct worker *w, struct conn *c, struct bytes *in, struct bytes *plain)
{
	*plain = BYTES(NULL, 0);
	assert(w->tls->out.n == 0); /* somebody else's ciphertext would go out with ours */
	return c->suite ? open_asleep(w, c, in, plain) : tls_library_open(w, c, in, plain);
}

bool tls_plain(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n, bool *ok)
{
	*ok = true;
	if (!tls_offloaded(w, c))
		return false;
	struct tls_asleep a = view(w, c);
	size_t bytes = 0;
	for (unsigned i = 0; i < n; i++)
		bytes += parts[i].iov_len;
	*ok = tls_offload_content(w, c, &a, bytes);
	w->stats.key_updates += a.updates;
	c->owes = a.owes;
	return true;
}

bool tls_seal(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n)
{
	assert(w->tls->out.n == 0);
	if (!c->suite)
		return tls_library_seal(w, c, parts, n);
	struct tls_asleep a = view(w, c);
	bool sealed = tls_asleep_seal(&a, parts, n);
	w->stats.key_updates += a.updates;
	c->owes = a.owes;
	return sealed;
}

void tls_goodbye(struct worker *w, struct conn *c)
{
	if (c->flags & CONN_F_KTLS) {
		const uint8_t alert[2] = {1, TLS_ALERT_CLOSE_NOTIFY};
		if (c->tail == 0)
			tls_offload_say(c, TLS_ALERT, BYTES(alert, sizeof(alert)));
	} else if (c->suite) {
		struct tls_asleep a = view(w, c);
		tls_asleep_alert(&a, TLS_ALERT_CLOSE_NOTIFY);
	} else if (c->flags & CONN_F_SSL) {
		tls_library_goodbye(w, c);
	}
	struct bytes out = tls_output(w);
	if (out.n > 0 && conn_fd(c) >= 0 && c->tail == 0) {
		ssize_t r = send(conn_fd(c), out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)r; /* best effort: the transport ends in any case */
	}
	tls_output_clear(w);
}

struct bytes tls_output(struct worker *w)
{
	return w->tls ? BYTES(w->tls->out.p, w->tls->out.n) : BYTES(NULL, 0);
}

void tls_output_clear(struct worker *w)
{
	if (w->tls)
		w->tls->out.n = 0;
}

const char *tls_version(const struct worker *w, const struct conn *c)
{
	return c->suite              ? "TLSv1.3" :
	       c->flags & CONN_F_SSL ? SSL_get_version(tls_ssl_of(w, c)) :
				       "";
}

const char *tls_cipher(const struct worker *w, const struct conn *c)
{
	if (!(c->flags & CONN_F_SSL))
		return tls_suite_name(c->suite);
	const SSL_CIPHER *cipher = SSL_get_current_cipher(tls_ssl_of(w, c));
	return cipher ? SSL_CIPHER_standard_name(cipher) : "";
}

const char *tls_fingerprint(const struct worker *w, const struct conn *c, char *buf)
{
	buf[0] = 0;
	if (c->suite != TLS_NO_SUITE || c->flags & CONN_F_SSL)
		tls_ja4_print(&w->tls->cold[conn_index(&w->slab, c)].ja4, buf);
	return buf;
}

void tls_deny_all(struct worker *w, const struct tls_denied *d)
{
	w->tls->denied = *d;
}

void tls_deny(struct worker *w, const struct tls_ja4 *j, uint64_t until_ns)
{
	if (until_ns == 0)
		tls_denied_del(&w->tls->denied, j);
	else if (!tls_denied_add(&w->tls->denied, j, until_ns, w->now_ns))
		log_error("tls: no room for one more denied fingerprint");
}

const struct tls_counted *tls_fingerprints(const struct worker *w)
{
	return &w->tls->counted;
}

const struct tls_denied *tls_denials(const struct worker *w)
{
	return &w->tls->denied;
}

const struct tls_client *tls_client(const struct worker *w)
{
	return &w->tls->client;
}

void tls_log_keys(struct worker *w, int fd)
{
	w->tls->keylog_fd = fd;
}
