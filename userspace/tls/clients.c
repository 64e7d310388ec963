/* SPDX-License-Identifier: BSD-2-Clause */
/* clients.c - see clients.h. */
#include "tls/clients.h"

#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/name.h"
#include "tls/internal.h"

#define CHAIN_MAX 6 /* authorities between a client's certificate and one of ours */

/* ── the listener's side ── */

static bool add_authorities(struct tls_clients *k, struct bytes pem)
{
	STACK_OF(X509) *all = tls_pem_chain(pem);
	bool ok = all != NULL;
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
	}
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
	return ok && X509_STORE_set_flags(k->store, X509_V_FLAG_CRL_CHECK);
}

static bool clients_init(struct tls_clients *k, const struct config_listener *l,
			 const struct tls_trust *trust)
{
	SHA256_CTX h;
	uint8_t how[] = {(uint8_t)l->client_certificates, (uint8_t)l->client_identity};
	k->store = X509_STORE_new();
	/* Whoever names an authority below a root means that one, not all of the root's. */
	if (k->store == NULL || !X509_STORE_set_flags(k->store, X509_V_FLAG_PARTIAL_CHAIN) ||
	    !add_authorities(k, trust->ca) || (trust->crl.n > 0 && !add_revocations(k, trust->crl)))
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
	SSL_set_verify_depth(ssl, CHAIN_MAX);
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

static bool read_who(const struct config_listener *l, X509 *leaf, struct tls_client *who)
{
	unsigned n;
	who->n = 0;
	X509_digest(leaf, EVP_sha256(), who->sha256, &n);
	switch (l->client_identity) {
	case CONFIG_CLIENT_CN: return common_name(leaf, who);
	case CONFIG_CLIENT_SUBJECT: return subject(leaf, who);
	case CONFIG_CLIENT_DNS: return alternative(leaf, GEN_DNS, who);
	case CONFIG_CLIENT_EMAIL: return alternative(leaf, GEN_EMAIL, who);
	case CONFIG_CLIENT_URI: return alternative(leaf, GEN_URI, who);
	}
	return false;
}

int tls_clients_verify(X509_STORE_CTX *ctx, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_client who;
	if (X509_verify_cert(ctx) <= 0) {
		log_debug("tls: a client's certificate is refused: %s",
			  X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
		return 0;
	}
	if (read_who(SSL_get_app_data(ssl), X509_STORE_CTX_get0_cert(ctx), &who))
		return 1;
	log_debug("tls: a client's certificate is refused: no name that client_identity asks for");
	X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_REJECTED);
	return 0;
}

bool tls_clients_who(SSL *ssl, struct tls_client *who)
{
	X509 *leaf = SSL_get_peer_certificate(ssl);
	bool late = leaf && X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0;
	bool ok = leaf == NULL || (!late && read_who(SSL_get_app_data(ssl), leaf, who));
	if (leaf == NULL)
		who->n = 0;
	if (!ok) /* a session that outlives its certificate */
		SSL_send_fatal_alert(ssl,
				     late ? SSL_AD_CERTIFICATE_EXPIRED : SSL_AD_BAD_CERTIFICATE);
	X509_free(leaf);
	return ok;
}
