/* SPDX-License-Identifier: BSD-2-Clause */
/* nap.c - see nap.h. */
#include "tools/sluice-bench/nap.h"

#include <sys/socket.h>

static struct tls_out out; /* of this process: it is empty between two calls */

void nap_catch(struct nap *n, const char *line)
{
	if (!tls_secret_of_line(line, "SERVER_TRAFFIC_SECRET_0", n->secrets.rx))
		tls_secret_of_line(line, "CLIENT_TRAFFIC_SECRET_0", n->secrets.tx);
}

static struct tls_asleep view_of(struct nap *n)
{
	return (struct tls_asleep){
		.suite = n->suite,
		.rx = &n->rx,
		.tx = &n->tx,
		.secrets = &n->secrets,
		.owes = n->owes,
		.restless = n->restless,
		.key_records = TLS_KEY_RECORDS,
		.out = &out,
	};
}

static void keep_of(struct nap *n, const struct tls_asleep *a)
{
	n->owes = a->owes;
	n->restless = a->restless;
}

bool nap_begin(struct nap *n, SSL *ssl)
{
	if (SSL_version(ssl) != TLS1_3_VERSION || SSL_has_pending(ssl))
		return false;
	n->suite = tls_suite_of(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl)));
	if (n->suite == TLS_NO_SUITE)
		return false;
	struct tls_asleep a = view_of(n);
	tls_asleep_begin(&a);
	n->rx.seq = SSL_get_read_sequence(ssl);
	n->tx.seq = SSL_get_write_sequence(ssl);
	SSL_free(ssl);
	return true;
}

enum tls_heard nap_open(struct nap *n, struct bytes *in, struct bytes *content, enum tls_alert *why)
{
	struct tls_asleep a = view_of(n);
	enum tls_heard heard = tls_asleep_open(&a, in, content, why);
	keep_of(n, &a);
	out.n = 0; /* an alert, if it was bad: the end says it */
	return heard;
}

bool nap_write(struct nap *n, int fd, const void *p, size_t len)
{
	struct tls_asleep a = view_of(n);
	bool ok = tls_asleep_seal(&a, &(struct iovec){.iov_base = (void *)p, .iov_len = len}, 1);
	keep_of(n, &a);
	ok = ok && send(fd, out.p, out.n, MSG_NOSIGNAL) == (ssize_t)out.n;
	out.n = 0;
	return ok;
}
