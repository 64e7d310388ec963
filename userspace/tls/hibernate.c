/* SPDX-License-Identifier: BSD-2-Clause */
/* hibernate.c - the moment at which an SSL object becomes a hundred bytes.
 *
 *   handshake ─► keylog callback ─► two traffic secrets ─┐
 *        │                                               ├─► keys in the conn, secrets beside it
 *        └─► done: tickets written, counters read ───────┘         and the object is freed
 *
 * All of it by the library's public interface. What makes it sound: it was fed record by record, so
 * it holds nothing of the peer's; what it wrote lies in our output; and with the counters of records
 * the keys are where the library would have gone on with them. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "tls/internal.h"
#include "worker/worker.h"

/* By one write, so that lines of several workers do not mix. */
static void log_keys(int fd, const char *line)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%s\n", line);
	if (write(fd, text, MIN((size_t)n, sizeof(text) - 1)) < 0)
		log_warn("tls.debug_keylog_file: %s", strerror(errno));
	OPENSSL_cleanse(text, sizeof(text));
}

void tls_catch_secrets(const SSL *ssl, const char *line)
{
	struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct tls_secrets *s = &t->hand->secrets;
	if (!tls_secret_of_line(line, "CLIENT_TRAFFIC_SECRET_0", s->rx))
		tls_secret_of_line(line, "SERVER_TRAFFIC_SECRET_0", s->tx);
	if (t->keylog_fd >= 0)
		log_keys(t->keylog_fd, line);
}

bool tls_hibernate(struct worker *w, struct conn *c)
{
	struct tls *t = w->tls;
	uint32_t index = conn_index(&w->slab, c);
	SSL *ssl = t->ssl[index];
	if (SSL_version(ssl) != TLS1_3_VERSION)
		return true;
	/* The tickets leave with a write, and an empty one will do. */
	SSL_write(ssl, "", 0);
	ERR_clear_error();
	enum tls_suite suite =
		tls_suite_of(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl)));
	if (suite == TLS_NO_SUITE)
		return false;
	struct tls_asleep a = {
		.suite = suite,
		.rx = &c->rx_key,
		.tx = &c->tx_key,
		.secrets = &t->cold[index].secrets,
	};
	tls_asleep_begin(&a);
	c->rx_key.seq = SSL_get_read_sequence(ssl);
	c->tx_key.seq = SSL_get_write_sequence(ssl);
	c->suite = suite;
	SSL_free(ssl);
	t->ssl[index] = NULL;
	c->flags &= (uint16_t)~CONN_F_SSL;
	return true;
}
