/* SPDX-License-Identifier: BSD-2-Clause */
/* clients.c - see clients.h. */
#include "tls/clients.h"

#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/obj.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/name.h"
#include "tls/internal.h"
#include "worker/worker.h"

#define CHAIN_MAX   6 /* authorities between a client's certificate and one of ours */
/* All that he shows. The ticket of his session holds it, and comes back in a ClientHello, of which the library
 * takes 16 KiB: with a longer one he would be locked out until he forgets the ticket. */
#define CHAIN_BYTES 12288
/* Of our authorities' names; a CertificateRequest has room for 64 KiB, and every handshake carries them. */
#define NAMES_BYTES 8192

/* ── the listener's side ── */

static bool add_authorities(struct tls_clients *k, struct bytes pem)
{
	STACK_OF(X509) *all = tls_pem_chain(pem);
	bool ok = all != NULL;
	size_t sum = 0;
	k->names = sk_CRYPTO_BUFFER_new_null();
	for (size_t i = 0; ok && i < sk_X509_num(all); i++) {
		X509 *x = sk_X509_value(all, i);
		uint8_t *der = NULL;
		int n = i2d_X509_NAME(X509_get_subject_name(x), &der);
		CRYPTO_BUFFER *name = n > 0 ? CRYPTO_BUFFER_new(der, (size_t)n, NULL) : NULL;
		OPENSSL_free(der);
		ok = X509_STORE_add_cert(k->store, x) && k->names && name &&
		     sk_CRYPTO_BUFFER_push(k->names, name);
		if (!ok)
			CRYPTO_BUFFER_free(name);
		sum += n > 0 ? (size_t)n + 2 : 0;
	}
	/* Too many: none is named, which means any (RFC 8446 4.2.4), and he picks by himself. */
	while (ok && sum > NAMES_BYTES && sk_CRYPTO_BUFFER_num(k->names) > 0)
		CRYPTO_BUFFER_free(sk_CRYPTO_BUFFER_pop(k->names));
	sk_X509_pop_free(all, X509_free);
	return ok;
}

static bool add_revocations(struct tls_clients *k, struct bytes pem)
{
	STACK_OF(X509_CRL) *all = tls_pem_crls(pem);
	bool ok = all != NULL;
	for (size_t i = 0; ok && i < sk_X509_CRL_num(all); i++)
		ok = X509_STORE_add_crl(k->store, sk_X509_CRL_value(all, i));
	sk_X509_CRL_pop_free(all, X509_CRL_free);
	return ok &&
	       X509_STORE_set_flags(k->store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
}

static bool clients_init(struct tls_clients *k, const struct config_listener *l,
			 const struct tls_trust *trust)
{
	SHA256_CTX h;
	uint8_t how[] = {(uint8_t)l->client_certificates, (uint8_t)l->client_identity};
	k->store = X509_STORE_new();
	/* Whoever names an authority below a root means that one, not all of the root's. */
	if (k->store == NULL || !X509_STORE_set_flags(k->store, X509_V_FLAG_PARTIAL_CHAIN) ||
	    !X509_STORE_set_depth(k->store, CHAIN_MAX) || !add_authorities(k, trust->ca) ||
	    (trust->crl.n > 0 && !add_revocations(k, trust->crl)))
		return false;
	SHA256_Init(&h);
	SHA256_Update(&h, how, sizeof(how));
	SHA256_Update(&h, trust->ca.p, trust->ca.n);
	SHA256_Update(&h, trust->crl.p, trust->crl.n);
	SHA256_Final(k->context, &h);
	return true;
}

struct tls_clients *tls_clients_new(const struct config *cfg, const struct tls_material *m)
{
	struct tls_clients *all = calloc(cfg->n_listeners ? cfg->n_listeners : 1, sizeof(*all));
	for (uint32_t i = 0; all && i < cfg->n_listeners; i++) {
		if (i >= m->n_trust || m->trust[i].ca.n == 0)
			continue;
		if (clients_init(&all[i], &cfg->listeners[i], &m->trust[i]))
			continue;
		log_error("tls: listener %s: the authorities of clients cannot be used: %s",
			  cfg->listeners[i].name, tls_error_text());
		tls_clients_free(all, cfg->n_listeners);
		return NULL;
	}
	return all;
}

void tls_clients_free(struct tls_clients *all, uint32_t n)
{
	for (uint32_t i = 0; all && i < n; i++) {
		X509_STORE_free(all[i].store);
		sk_CRYPTO_BUFFER_pop_free(all[i].names, CRYPTO_BUFFER_free);
	}
	free(all);
}

/* ── the handshake's side ── */

static STACK_OF(CRYPTO_BUFFER) * names_of(const struct tls_clients *k)
{
	STACK_OF(CRYPTO_BUFFER) *all = sk_CRYPTO_BUFFER_new_null();
	for (size_t i = 0; all && i < sk_CRYPTO_BUFFER_num(k->names); i++) {
		CRYPTO_BUFFER *b = sk_CRYPTO_BUFFER_value(k->names, i);
		if (!sk_CRYPTO_BUFFER_push(all, b)) {
			sk_CRYPTO_BUFFER_pop_free(all, CRYPTO_BUFFER_free);
			return NULL;
		}
		CRYPTO_BUFFER_up_ref(b);
	}
	return all;
}

bool tls_clients_ask(const struct tls_clients *k, const struct config_listener *l, SSL *ssl)
{
	if (k->store == NULL)
		return true;
	bool must = l->client_certificates == CONFIG_CLIENT_CERTS_REQUIRED;
	STACK_OF(CRYPTO_BUFFER) *names = names_of(k);
	if (names == NULL)
		return false;
	SSL_set0_client_CAs(ssl, names);
	SSL_set_verify(ssl, SSL_VERIFY_PEER | (must ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
	SSL_set_max_cert_list(ssl, CHAIN_BYTES);
	return SSL_set1_verify_cert_store(ssl, k->store) &&
	       SSL_set_session_id_context(ssl, k->context, sizeof(k->context));
}

/* ── whose it is ── */

static bool take_name(struct tls_client *who, const uint8_t *p, int n, bool colons)
{
	struct bytes name = BYTES(p, n > 0 ? (size_t)n : 0);
	/* base/name.h: no control characters, so no NUL that would cut it short elsewhere */
	if (!name_valid(name, sizeof(who->user)) || (!colons && memchr(name.p, ':', name.n)))
		return false;
	memcpy(who->user, name.p, name.n);
	who->n = name.n;
	return true;
}

static bool common_name(X509 *leaf, struct tls_client *who)
{
	X509_NAME *subject = X509_get_subject_name(leaf);
	uint8_t *text = NULL;
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	/* Two of them, and everybody else would have to guess the same one as we do. */
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return false;
	int n = ASN1_STRING_to_UTF8(&text,
				    X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	bool ok = take_name(who, text, n, false);
	OPENSSL_free(text);
	return ok;
}

/* RFC 2253, with UTF-8 as it is: "CN=pump 7,O=Example" */
static bool subject(X509 *leaf, struct tls_client *who)
{
	BIO *bio = BIO_new(BIO_s_mem());
	const uint8_t *text;
	size_t n;
	bool ok = bio &&
		  X509_NAME_print_ex(bio, X509_get_subject_name(leaf), 0,
				     XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0 &&
		  BIO_mem_contents(bio, &text, &n) && n <= sizeof(who->user) &&
		  take_name(who, text, (int)n, true);
	BIO_free(bio);
	return ok;
}

/* The first of its kind. */
static bool alternative(X509 *leaf, int type, struct tls_client *who)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	bool ok = false;
	for (size_t i = 0; all && i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
		if (g->type != type)
			continue;
		ok = take_name(who, ASN1_STRING_get0_data(g->d.ia5), ASN1_STRING_length(g->d.ia5),
			       type == GEN_URI);
		break;
	}
	GENERAL_NAMES_free(all);
	return ok;
}

static void add_role(struct tls_client *who, struct bytes name)
{
	if (!name_valid(name, IDENTITY_ROLE_MAX) || who->n_roles == IDENTITY_ROLES)
		return;
	for (uint32_t i = 0; i < who->n_roles; i++)
		if (bytes_eq(BYTES(who->role[i], who->role_n[i]), name))
			return;
	memcpy(who->role[who->n_roles], name.p, name.n);
	who->role_n[who->n_roles++] = (uint8_t)name.n;
}

/* As in Kubernetes: each O of the subject is a group that he is in. */
static void roles(X509 *leaf, struct tls_client *who)
{
	X509_NAME *subject = X509_get_subject_name(leaf);
	int at = -1;
	while ((at = X509_NAME_get_index_by_NID(subject, NID_organizationName, at)) >= 0) {
		uint8_t *text = NULL;
		int n = ASN1_STRING_to_UTF8(
			&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
		add_role(who, BYTES(text, n > 0 ? (size_t)n : 0));
		OPENSSL_free(text);
	}
}

bool tls_clients_name(X509 *leaf, enum config_client_identity how, struct tls_client *who)
{
	bool ok = false;
	who->n = 0;
	who->n_roles = 0;
	switch (how) {
	case CONFIG_CLIENT_CN: ok = common_name(leaf, who); break;
	case CONFIG_CLIENT_SUBJECT: ok = subject(leaf, who); break;
	case CONFIG_CLIENT_DNS: ok = alternative(leaf, GEN_DNS, who); break;
	case CONFIG_CLIENT_EMAIL: ok = alternative(leaf, GEN_EMAIL, who); break;
	case CONFIG_CLIENT_URI: ok = alternative(leaf, GEN_URI, who); break;
	}
	if (!ok || !X509_digest(leaf, EVP_sha256(), who->sha256, NULL))
		who->n = 0;
	if (who->n > 0)
		roles(leaf, who);
	ERR_clear_error();
	return who->n > 0;
}

/* ── is it good ── */

/* For X509_STORE_CTX_set_verify_cb(): one of ours is believed, whatever lists there are of those above it. */
static int excuse(int ok, X509_STORE_CTX *ctx)
{
	size_t n = sk_X509_num(X509_STORE_CTX_get0_chain(ctx));
	return ok || (X509_STORE_CTX_get_error(ctx) == X509_V_ERR_UNABLE_TO_GET_CRL && n > 1 &&
		      (size_t)X509_STORE_CTX_get_error_depth(ctx) + 1 == n);
}

/* By a digest that allows forgery; the library would take it. */
static bool weakly_signed(X509 *x)
{
	int digest = NID_undef, key = NID_undef;
	return OBJ_find_sigid_algs(X509_get_signature_nid(x), &digest, &key) &&
	       (digest == NID_md4 || digest == NID_md5 || digest == NID_sha1);
}

static size_t shown_bytes(const SSL *ssl)
{
	const STACK_OF(CRYPTO_BUFFER) *all = SSL_get0_peer_certificates(ssl);
	size_t sum = 0;
	for (size_t i = 0; all && i < sk_CRYPTO_BUFFER_num(all); i++)
		sum += CRYPTO_BUFFER_len(sk_CRYPTO_BUFFER_value(all, i));
	return sum;
}

/* "CN=pump 7,O=Example", with what is not printable escaped; cut to fit. */
static void subject_text(X509 *leaf, char *out, size_t cap)
{
	BIO *bio = BIO_new(BIO_s_mem());
	const uint8_t *text = NULL;
	size_t n = 0;
	if (bio && leaf &&
	    X509_NAME_print_ex(bio, X509_get_subject_name(leaf), 0, XN_FLAG_RFC2253) >= 0)
		BIO_mem_contents(bio, &text, &n);
	snprintf(out, cap, "%.*s", (int)MIN(n, cap - 1), text ? (const char *)text : "");
	BIO_free(bio);
}

/* Refuses with `why`, for tls_clients_tell(), and with the alert of `error`. */
static bool refuse(X509_STORE_CTX *ctx, SSL *ssl, int error, const char *why)
{
	struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	char subject[128];
	subject_text(X509_STORE_CTX_get0_cert(ctx), subject, sizeof(subject));
	snprintf(t->refusal, sizeof(t->refusal), "%s: %s", subject,
		 why ? why : X509_verify_cert_error_string(error));
	t->stats->client_certificates_refused++;
	ERR_clear_error(); /* what the library adds is enough */
	X509_STORE_CTX_set_error(ctx, error);
	return false;
}

static bool judge(X509_STORE_CTX *ctx, SSL *ssl, struct tls_client *who)
{
	if (shown_bytes(ssl) > CHAIN_BYTES)
		return refuse(ctx, ssl, X509_V_ERR_CERT_REJECTED, "the chain is too long");
	X509_STORE_CTX_set_verify_cb(ctx, excuse);
	if (X509_verify_cert(ctx) <= 0)
		return refuse(ctx, ssl, X509_STORE_CTX_get_error(ctx), NULL);
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
	for (size_t i = 0; i + 1 < sk_X509_num(chain); i++)
		if (weakly_signed(sk_X509_value(chain, i)))
			return refuse(ctx, ssl, X509_V_ERR_CERT_REJECTED,
				      "signed by a weak digest");
	const struct config_listener *l = SSL_get_app_data(ssl);
	if (!tls_clients_name(X509_STORE_CTX_get0_cert(ctx), l->client_identity, who))
		return refuse(ctx, ssl, X509_V_ERR_CERT_REJECTED,
			      "no name that client_identity asks for");
	return true;
}

int tls_clients_verify(X509_STORE_CTX *ctx, void *arg)
{
	struct tls_client who;
	return judge(ctx, X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx()),
		     &who);
}

/* So many a second are told: who is refused comes again and again. */
#define TELLS_PER_S 10u

void tls_clients_tell(struct worker *w, const struct conn *c)
{
	struct tls *t = w->tls;
	struct addr a = {.port = c->peer_port};
	char from[ADDR_TEXT_MAX];
	uint64_t second = w->now_ns / 1000000000u;
	if (!*t->refusal)
		return;
	if (second != t->refusals_second) {
		if (t->refusals > TELLS_PER_S)
			log_info("tls: %u more certificates of clients were refused then",
				 t->refusals - TELLS_PER_S);
		t->refusals_second = second;
		t->refusals = 0;
	}
	memcpy(a.ip, c->peer_ip, sizeof(a.ip));
	addr_print_port(&a, from);
	if (t->refusals++ < TELLS_PER_S)
		log_info("tls: listener %s: the certificate of a client from %s is refused: %s",
			 w->cfg->listeners[c->listener].name, from, t->refusal);
	t->refusal[0] = '\0';
}

/* What the session that is resumed rests on: everything, as at first. */
static bool judge_again(const struct tls_clients *k, SSL *ssl, struct tls_client *who)
{
	STACK_OF(X509) *chain = SSL_get_peer_full_cert_chain(ssl);
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int alert = SSL_AD_INTERNAL_ERROR;
	bool ok = ctx && X509_STORE_CTX_init(ctx, k->store, sk_X509_value(chain, 0), chain) &&
		  X509_STORE_CTX_set_default(ctx, "ssl_client");
	if (ok && !judge(ctx, ssl, who)) {
		ok = false;
		alert = SSL_alert_from_verify_result(X509_STORE_CTX_get_error(ctx));
	}
	if (!ok)
		SSL_send_fatal_alert(ssl, (uint8_t)alert);
	X509_STORE_CTX_free(ctx);
	return ok;
}

bool tls_clients_who(const struct tls_clients *k, SSL *ssl, struct tls_client *who)
{
	const struct config_listener *l = SSL_get_app_data(ssl);
	who->n = 0;
	who->n_roles = 0;
	if (k->store == NULL || shown_bytes(ssl) == 0)
		return true;
	if (SSL_session_reused(ssl))
		return judge_again(k, ssl, who);
	/* judged when it came, and by the same bytes */
	return tls_clients_name(sk_X509_value(SSL_get_peer_full_cert_chain(ssl), 0),
				l->client_identity, who);
}
