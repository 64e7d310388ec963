/* SPDX-License-Identifier: BSD-2-Clause */
/* library.c - records in and out through a connection's SSL object: every handshake, and what
 * comes after it with TLS 1.2.
 *
 * One BIO serves all SSL objects of the worker: it reads from the record in hand and
 * writes to the output span, so an SSL object owns no buffer of its own. It is given
 * exactly one whole record at a time; thus nothing is ever left inside it, during the
 * handshake (which hibernation needs) and after. */
#include <errno.h>
#include <openssl/err.h>

#include "base/log.h"
#include "tls/clients.h"
#include "tls/internal.h"
#include "worker/worker.h"

/* ── the BIO ── */

static int bio_read(BIO *bio, char *out, int n)
{
	struct tls *t = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	assert(n > 0);
	size_t take = MIN((size_t)n, t->in.n);
	if (take == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(out, t->in.p, take);
	t->in.p += take;
	t->in.n -= take;
	return (int)take;
}

static int bio_write(BIO *bio, const char *in, int n)
{
	struct tls *t = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	assert(n > 0);
	if (!tls_out_room(&t->out, (size_t)n))
		return -1;
	memcpy(t->out.p + t->out.n, in, (size_t)n);
	t->out.n += (size_t)n;
	return n;
}

static long bio_ctrl(BIO *bio, int cmd, long arg, void *p)
{
	return cmd == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

BIO *tls_bio_new(struct tls *t)
{
	static BIO_METHOD *method; /* for the life of the process */
	if (method == NULL) {
		method = BIO_meth_new(0, "sluice");
		if (method == NULL)
			return NULL;
		BIO_meth_set_create(method, bio_create);
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_ctrl(method, bio_ctrl);
	}
	BIO *bio = BIO_new(method);
	if (bio != NULL)
		BIO_set_data(bio, t);
	return bio;
}

/* ── in ── */

SSL *tls_ssl_of(const struct worker *w, const struct conn *c)
{
	assert(c->flags & CONN_F_SSL);
	return w->tls->ssl[conn_index(&w->slab, c)];
}

/* Takes one whole record off `in`; false: there is none yet. What no record begins with
 * (plain HTTP on a TLS port), and whatever claims to be longer than a record can be, is given to
 * the library as it is, at once: it knows the right alert. */
static bool take_record(struct bytes *in, struct bytes *record)
{
	if (in->n < TLS_HEAD)
		return false;
	bool known = in->p[0] >= SSL3_RT_CHANGE_CIPHER_SPEC && in->p[0] <= SSL3_RT_APPLICATION_DATA;
	size_t n = TLS_HEAD + load_be16(in->p + 3);
	if (!known || n > TLS_RECORD_MAX)
		n = in->n;
	if (in->n < n)
		return false;
	*record = BYTES(in->p, n);
	in->p += n;
	in->n -= n;
	return true;
}

/* For SSL_CTX_set_info_callback(). */
void tls_count_alerts(const SSL *ssl, int what, int value)
{
	struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	if (!(what & SSL_CB_ALERT) || (value & 0xff) == SSL_AD_CLOSE_NOTIFY)
		return;
	if (what & SSL_CB_READ)
		t->stats->alerts_in++;
	else
		t->stats->alerts_out++;
}

static enum tls_outcome bad(struct worker *w, struct conn *c, const char *what)
{
	log_debug("conn %u: tls %s: %s", conn_index(&w->slab, c), what, tls_error_text());
	ERR_clear_error();
	w->tls->in = BYTES(NULL, 0); /* what is left of it is for nobody else */
	return TLS_BAD;
}

/* The library was given one record and must have taken all of it, and given all of it. */
static enum tls_outcome taken(struct worker *w, struct conn *c, enum tls_outcome o)
{
	bool all = w->tls->in.n == 0 && SSL_pending(tls_ssl_of(w, c)) == 0;
	return all ? o : bad(w, c, "half a record is left");
}

/* A client that does not like our certificate says so in the clear if it has not got round to its keys
 * (OpenSSL's have not), and the library would take that for a record that does not open. Whoever
 * could forge it could as well have cut the connection. */
static bool gives_up(const struct tls *t)
{
	const uint8_t fatal = 2;
	return t->in.n == TLS_HEAD + 2 && t->in.p[0] == SSL3_RT_ALERT && t->in.p[TLS_HEAD] == fatal;
}

static const struct tls_clients *clients_of(const struct tls *t, const struct conn *c)
{
	return &t->certs->clients[c->listener];
}

static enum tls_outcome handshake(struct worker *w, struct conn *c, SSL *ssl)
{
	if (gives_up(w->tls)) {
		log_debug("conn %u: tls: the peer's alert %u", conn_index(&w->slab, c),
			  w->tls->in.p[TLS_HEAD + 1]);
		w->tls->in = BYTES(NULL, 0);
		w->stats.alerts_in++;
		w->stats.handshakes_failed++;
		return TLS_REFUSED;
	}
	w->tls->hand = &w->tls->cold[conn_index(&w->slab, c)];
	w->tls->hand_denied = false;
	int r = SSL_do_handshake(ssl);
	if (r == 1) {
		enum tls_outcome o = taken(w, c, TLS_HANDSHAKEN);
		if (o == TLS_HANDSHAKEN &&
		    !tls_clients_who(clients_of(w->tls, c), ssl, &w->tls->client)) {
			w->stats.handshakes_failed++;
			tls_clients_tell(w, c);
			return bad(w, c, "a client's certificate is not good any more");
		}
		w->stats.handshakes_resumed += SSL_session_reused(ssl);
		if (o == TLS_HANDSHAKEN && !tls_hibernate(w, c))
			return bad(w, c, "hibernation");
		return o;
	}
	if (SSL_get_error(ssl, r) == SSL_ERROR_WANT_READ)
		return taken(w, c, TLS_RECORD);
	w->stats.handshakes_failed++;
	tls_clients_tell(w, c);
	bad(w, c, "handshake");
	if (!w->tls->hand_denied)
		return TLS_BAD;
	w->tls->out.n = 0; /* not even an alert */
	return TLS_DENIED_HELLO;
}

enum tls_outcome tls_library_open(struct worker *w, struct conn *c, struct bytes *in,
				  struct bytes *plain)
{
	struct tls *t = w->tls;
	SSL *ssl = tls_ssl_of(w, c);
	if (!take_record(in, &t->in))
		return TLS_MORE;
	if (SSL_in_init(ssl))
		return handshake(w, c, ssl);
	int r = SSL_read(ssl, w->scratch_plain, TLS_PLAIN_MAX);
	if (r > 0) {
		assert(r <= TLS_PLAIN_MAX);
		*plain = BYTES(w->scratch_plain, (size_t)r);
		return taken(w, c, TLS_RECORD);
	}
	switch (SSL_get_error(ssl, r)) {
	case SSL_ERROR_WANT_READ: /* a key update, an empty record, a second flight */
		return taken(w, c, TLS_RECORD);
	case SSL_ERROR_ZERO_RETURN: return TLS_CLOSED;
	default: return bad(w, c, "record");
	}
}

/* ── out ── */

bool tls_library_seal(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n)
{
	struct tls *t = w->tls;
	SSL *ssl = tls_ssl_of(w, c);
	size_t held = 0;
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *p = parts[i].iov_base;
		size_t left = parts[i].iov_len;
		while (left > 0) {
			size_t take = MIN(left, TLS_PLAIN_MAX - held);
			/* A lone part is sealed from where it lies. */
			bool lone = held == 0 && (take == TLS_PLAIN_MAX || i + 1 == n);
			const uint8_t *from = p;
			if (!lone) {
				memcpy(t->gather + held, p, take);
				from = t->gather;
			}
			held += take;
			p += take;
			left -= take;
			if (held < TLS_PLAIN_MAX && !(i + 1 == n && left == 0))
				continue;
			if (SSL_write(ssl, from, (int)held) != (int)held) {
				bad(w, c, "write");
				return false;
			}
			held = 0;
		}
	}
	if (held > 0 && SSL_write(ssl, t->gather, (int)held) != (int)held) {
		bad(w, c, "write");
		return false;
	}
	return true;
}

void tls_library_goodbye(struct worker *w, struct conn *c)
{
	if (SSL_in_init(tls_ssl_of(w, c)))
		return;
	SSL_shutdown(tls_ssl_of(w, c));
	ERR_clear_error();
}
