/* SPDX-License-Identifier: BSD-2-Clause */
/* pack.c - certificates and keys on their way from the keeper to a worker that runs already.
 *
 *     "sluice3\0", n, listeners, ticket keys
 *     for each certificate: 3 lengths, then the bytes of chain, key and OCSP response, then both terms
 *     for each listener: 2 lengths, then the bytes of authorities and revocations, then both terms
 *
 * The keeper's own child writes it and a worker reads it: bounds are checked all the same. */
#include <errno.h>
#include <openssl/mem.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/handover.h"
#include "tls/internal.h"

static const char magic[8] = "sluice3";

static int put(int fd, const void *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? -errno : -EIO;
		p = (const uint8_t *)p + w;
		n -= (size_t)w;
	}
	return 0;
}

static int put_parts(int fd, const struct bytes *parts, size_t count)
{
	int err = 0;
	for (size_t k = 0; k < count && !err; k++) {
		uint32_t n = (uint32_t)parts[k].n;
		err = put(fd, &n, sizeof(n));
	}
	for (size_t k = 0; k < count && !err; k++)
		err = put(fd, parts[k].p, parts[k].n);
	return err;
}

int tls_material_pack(const struct tls_material *m, int fd)
{
	int err = put(fd, magic, sizeof(magic));
	if (!err)
		err = put(fd, &m->n, sizeof(m->n));
	if (!err)
		err = put(fd, &m->n_trust, sizeof(m->n_trust));
	if (!err)
		err = put(fd, &m->tickets, sizeof(m->tickets));
	for (uint32_t i = 0; i < m->n && !err; i++) {
		const struct tls_pem *p = &m->pem[i];
		const struct bytes parts[] = {p->cert, p->key, p->ocsp};
		const struct tls_term terms[] = {p->valid, p->fresh};
		err = put_parts(fd, parts, ARRAY_SIZE(parts));
		if (!err)
			err = put(fd, terms, sizeof(terms));
	}
	for (uint32_t i = 0; i < m->n_trust && !err; i++) {
		const struct tls_trust *t = &m->trust[i];
		const struct bytes parts[] = {t->ca, t->crl};
		const struct tls_term terms[] = {t->ca_valid, t->crl_fresh};
		err = put_parts(fd, parts, ARRAY_SIZE(parts));
		if (!err)
			err = put(fd, terms, sizeof(terms));
	}
	return err;
}

static bool take(struct bytes *in, void *out, size_t n)
{
	if (in->n < n)
		return false;
	memcpy(out, in->p, n);
	in->p += n;
	in->n -= n;
	return true;
}

static bool take_copy(struct bytes *in, uint32_t n, struct bytes *out)
{
	uint8_t *p = n > 0 && n <= in->n ? malloc(n) : NULL;
	*out = BYTES(p, p ? n : 0);
	return n == 0 || (p && take(in, p, n));
}

#define TERM_MAX ((int64_t)1 << 40) /* X.509 ends with the year 9999 */

static bool take_term(struct bytes *in, struct tls_term *t)
{
	return take(in, t, sizeof(*t)) && t->from > -TERM_MAX && t->from < TERM_MAX &&
	       t->until > -TERM_MAX && t->until < TERM_MAX;
}

static bool take_trust(struct bytes *in, uint32_t n, struct tls_material *m)
{
	m->trust = calloc(n ? n : 1, sizeof(*m->trust));
	for (uint32_t i = 0; m->trust && i < n; i++) {
		struct tls_trust *t = &m->trust[i];
		uint32_t len[2];
		if (!take(in, len, sizeof(len)) || !take_copy(in, len[0], &t->ca) ||
		    !take_copy(in, len[1], &t->crl) || !take_term(in, &t->ca_valid) ||
		    !take_term(in, &t->crl_fresh))
			return false;
	}
	return m->trust != NULL;
}

static bool unpack(struct bytes in, uint32_t n, uint32_t n_trust, struct tls_material *m)
{
	char head[sizeof(magic)];
	if (!take(&in, head, sizeof(head)) || memcmp(head, magic, sizeof(magic)) != 0 ||
	    !take(&in, &m->n, sizeof(m->n)) || m->n != n ||
	    !take(&in, &m->n_trust, sizeof(m->n_trust)) || m->n_trust != n_trust ||
	    !take(&in, &m->tickets, sizeof(m->tickets)) || m->tickets.n > TLS_TICKET_KEYS)
		return false;
	m->pem = calloc(n ? n : 1, sizeof(*m->pem));
	for (uint32_t i = 0; m->pem && i < n; i++) {
		struct tls_pem *p = &m->pem[i];
		uint32_t len[3];
		if (!take(&in, len, sizeof(len)) || !take_copy(&in, len[0], &p->cert) ||
		    !take_copy(&in, len[1], &p->key) || !take_copy(&in, len[2], &p->ocsp) ||
		    !take_term(&in, &p->valid) || !take_term(&in, &p->fresh))
			return false;
	}
	return m->pem != NULL && take_trust(&in, n_trust, m) && in.n == 0;
}

struct tls_material *tls_material_unpack(int fd, const struct config *cfg)
{
	ssize_t size = handover_sealed(fd, TLS_MATERIAL_MAX);
	struct tls_material *m = calloc(1, sizeof(*m));
	uint8_t *all = size > 0 ? malloc((size_t)size) : NULL;
	bool ok = m && all && handover_read(fd, all, (size_t)size) == 0 &&
		  unpack(BYTES(all, (size_t)size), cfg->n_certificates, cfg->n_listeners, m);
	if (all)
		OPENSSL_cleanse(all, (size_t)size);
	free(all);
	if (ok)
		return m;
	if (m && !m->pem)
		m->n = 0;
	tls_material_free(m);
	return NULL;
}
