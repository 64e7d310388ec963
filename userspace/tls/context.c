/* SPDX-License-Identifier: BSD-2-Clause */
/* context.c - what all handshakes of a worker share: one SSL_CTX per certificate, ALPN, and
 * the lowest version. A new material makes new contexts; whoever shakes hands with an old one
 * holds on to it. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/log.h"
#include "tls/clients.h"
#include "tls/internal.h"
#include "worker/worker.h"

/* What hangs in the side table when the process ends is no leak, but LeakSanitizer looks only
 * where malloc() has been. */
#if defined(__SANITIZE_ADDRESS__)
#define TLS_LSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TLS_LSAN 1
#endif
#endif
#ifdef TLS_LSAN
#include <sanitizer/lsan_interface.h>
#define SHOW_TABLE(t) __lsan_register_root_region((t)->ssl, (t)->max * sizeof(SSL *))
#define HIDE_TABLE(t) __lsan_unregister_root_region((t)->ssl, (t)->max * sizeof(SSL *))
#else
#define SHOW_TABLE(t) ((void)0)
#define HIDE_TABLE(t) ((void)0)
#endif

/* Only http/1.1 is spoken. A client that offers ALPN without it is told so by the
 * alert that RFC 7301 3.2 demands, rather than by garbage later. */
static int pick_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_n, const uint8_t *in,
		     unsigned in_n, void *arg)
{
	static const uint8_t ours[] = "http/1.1";
	for (unsigned i = 0; i < in_n; i += 1u + in[i])
		if (in[i] == sizeof(ours) - 1 && i + in[i] < in_n &&
		    memcmp(in + i + 1, ours, sizeof(ours) - 1) == 0) {
			*out = in + i + 1;
			*out_n = in[i];
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool use_certificate(SSL_CTX *ctx, STACK_OF(X509) * chain, EVP_PKEY *key)
{
	if (!SSL_CTX_use_certificate(ctx, sk_X509_value(chain, 0)) ||
	    !SSL_CTX_use_PrivateKey(ctx, key))
		return false;
	for (size_t i = 1; i < sk_X509_num(chain); i++)
		if (!SSL_CTX_add1_chain_cert(ctx, sk_X509_value(chain, i)))
			return false;
	return true;
}

static const char *joined(char *buf, size_t cap, const char *const *words, uint32_t n)
{
	size_t at = 0;
	buf[0] = 0;
	for (uint32_t i = 0; i < n && at < cap; i++)
		at += (size_t)snprintf(buf + at, cap - at, "%s%s", i ? ":" : "", words[i]);
	return buf;
}

/* A client that reconnects does so once: a second ticket would be bytes and CPU for nobody. */
static void use_tickets(const struct tls *t, SSL_CTX *ctx, const struct config *cfg)
{
	static const uint8_t context[] = "sluice";
	uint32_t seconds = cfg->tls.session_lifetime_ms / 1000;
	if (seconds == 0 || t->tickets.n == 0) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		return;
	}
	SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1);
	SSL_CTX_set_timeout(ctx, seconds);
	SSL_CTX_set_session_psk_dhe_timeout(ctx, seconds);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_tlsext_ticket_key_cb(ctx, tls_ticket_crypt);
}

static SSL_CTX *context_new(struct tls *t, const struct config *cfg, STACK_OF(X509) * chain,
			    EVP_PKEY *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	if (ctx == NULL)
		return NULL;
	uint16_t min = cfg->tls.min_version == CONFIG_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
	char groups[256], suites[1024];
	SSL_CTX_set_app_data(ctx, t);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	use_tickets(t, ctx, cfg);
	SSL_CTX_set_keylog_callback(ctx, tls_catch_secrets);
	SSL_CTX_set_info_callback(ctx, tls_count_alerts);
	SSL_CTX_set_alpn_select_cb(ctx, pick_alpn, NULL);
	SSL_CTX_set_select_certificate_cb(ctx, tls_hello);
	SSL_CTX_set_cert_verify_callback(ctx, tls_clients_verify, NULL);
	/* Forward secrecy and AEAD only, also in TLS 1.2: the configuration knows no others. */
	if (!SSL_CTX_set_min_proto_version(ctx, min) ||
	    !SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set1_curves_list(ctx, joined(groups, sizeof(groups), cfg->tls.groups,
						  cfg->tls.n_groups)) ||
	    !SSL_CTX_set_strict_cipher_list(ctx, joined(suites, sizeof(suites), cfg->tls.suites,
							cfg->tls.n_suites)) ||
	    !use_certificate(ctx, chain, key)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static bool keep_ocsp(struct tls_cert *cert, struct bytes ocsp)
{
	uint8_t *p = NULL;
	if (ocsp.n > 0 && (p = malloc(ocsp.n)) == NULL)
		return false;
	if (ocsp.n > 0)
		memcpy(p, ocsp.p, ocsp.n);
	cert->ocsp = BYTES(p, ocsp.n);
	return true;
}

static bool cert_init(struct tls *t, const struct config *cfg, const struct tls_material *m,
		      uint32_t i, struct tls_cert *cert)
{
	const struct config_certificate *cc = &cfg->certificates[i];
	const struct tls_pem *pem = &m->pem[i];
	STACK_OF(X509) *chain = tls_pem_chain(pem->cert);
	EVP_PKEY *key = tls_pem_key(pem->key);
	bool ok = chain && key && tls_key_kind_of(key, &cert->kind) &&
		  (cert->ctx = context_new(t, cfg, chain, key)) != NULL &&
		  keep_ocsp(cert, pem->ocsp);
	if (ok)
		ok = tls_served_names(cc, sk_X509_value(chain, 0), &cert->names, &cert->n_names) ==
		     0;
	if (!ok)
		log_error("tls: certificate \"%s\" cannot be used: %s", cc->name, tls_error_text());
	if (ok)
		tls_cert_describe(cert, sk_X509_value(chain, 0), key, pem->ocsp);
	sk_X509_pop_free(chain, X509_free);
	EVP_PKEY_free(key);
	return ok;
}

static void certs_free(struct tls_certs *all, const struct config *cfg)
{
	if (all)
		tls_clients_free(all->clients, cfg->n_listeners);
	for (uint32_t i = 0; all && i < all->n; i++) {
		SSL_CTX_free(all->cert[i].ctx);
		for (uint32_t k = 0; k < all->cert[i].n_names; k++)
			free(all->cert[i].names[k]);
		free(all->cert[i].names);
		free((void *)all->cert[i].ocsp.p);
	}
	free(all);
}

static struct tls_certs *certs_new(struct tls *t, const struct config *cfg,
				   const struct tls_material *m)
{
	struct tls_certs *all = calloc(1, sizeof(*all) + m->n * sizeof(all->cert[0]));
	bool ok = all != NULL && (all->clients = tls_clients_new(cfg, m)) != NULL;
	for (uint32_t i = 0; ok && i < m->n; i++) {
		all->n = i + 1;
		ok = cert_init(t, cfg, m, i, &all->cert[i]);
	}
	if (ok)
		return all;
	certs_free(all, cfg);
	return NULL;
}

bool tls_renew(struct worker *w, const struct tls_material *m)
{
	struct tls_certs *all = certs_new(w->tls, w->cfg, m);
	if (all == NULL)
		return false;
	for (uint32_t i = 0; i < all->n; i++) /* counts go on */
		all->cert[i].info.picked = w->tls->certs->cert[i].info.picked;
	certs_free(w->tls->certs, w->cfg);
	w->tls->certs = all;
	if (m->tickets.n > 0)
		tls_set_tickets(w, &m->tickets);
	return true;
}

void tls_set_tickets(struct worker *w, const struct tls_tickets *t)
{
	w->tls->tickets = *t;
}

struct tls *tls_new(struct worker *w, const struct tls_material *m,
		    const struct tls_tickets *tickets, bool ktls)
{
	struct tls *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->cfg = w->cfg;
	t->max = w->slab.max;
	t->stats = &w->stats;
	t->now_ns = &w->now_ns;
	t->keylog_fd = -1;
	t->offload = ktls;
	if (m->tickets.n > 0)
		t->tickets = m->tickets;
	else if (tickets != NULL)
		t->tickets = *tickets;
	t->ssl = mmap(NULL, t->max * sizeof(SSL *), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->ssl == MAP_FAILED)
		t->ssl = NULL;
	else
		SHOW_TABLE(t);
	t->cold = mmap(NULL, t->max * sizeof(*t->cold), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->cold == MAP_FAILED)
		t->cold = NULL;
	t->bio = tls_bio_new(t);
	t->gather = malloc(TLS_PLAIN_MAX);
	if (t->ssl && t->cold && t->bio && t->gather && (t->certs = certs_new(t, w->cfg, m)))
		return t;
	tls_free(t);
	return NULL;
}

void tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	certs_free(t->certs, t->cfg);
	if (t->ssl) {
		HIDE_TABLE(t);
		munmap(t->ssl, t->max * sizeof(SSL *));
	}
	if (t->cold)
		munmap(t->cold, t->max * sizeof(*t->cold));
	OPENSSL_cleanse(&t->tickets, sizeof(t->tickets));
	BIO_free(t->bio);
	free(t->gather);
	free(t->out.p);
	free(t);
}

bool tls_begin(struct worker *w, struct conn *c)
{
	struct tls *t = w->tls;
	const struct config_listener *l = &w->cfg->listeners[c->listener];
	SSL *ssl = SSL_new(t->certs->cert[l->certificates[0]].ctx);
	if (ssl == NULL)
		return false;
	SSL_set_app_data(ssl, (void *)l);
	SSL_set_accept_state(ssl);
	SSL_set_shed_handshake_config(ssl, 1);
	BIO_up_ref(t->bio);
	SSL_set0_rbio(ssl, t->bio);
	BIO_up_ref(t->bio);
	SSL_set0_wbio(ssl, t->bio);
	t->ssl[conn_index(&w->slab, c)] = ssl;
	c->flags |= CONN_F_SSL;
	return true;
}

void tls_end(struct worker *w, struct conn *c)
{
	uint32_t i = conn_index(&w->slab, c);
	if (c->flags & CONN_F_SSL) {
		SSL_free(w->tls->ssl[i]);
		w->tls->ssl[i] = NULL;
		c->flags &= (uint16_t)~CONN_F_SSL;
	} else if (c->suite == TLS_NO_SUITE) {
		return; /* it never began: its page may never have been touched */
	}
	OPENSSL_cleanse(&w->tls->cold[i], sizeof(w->tls->cold[i]));
}
