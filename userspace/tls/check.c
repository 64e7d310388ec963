/* SPDX-License-Identifier: BSD-2-Clause */
/* check.c - what is wrong with certificates, keys and OCSP responses, said with the name of the file.
 *
 * What a client would refuse is an error, and what it will soon is a warning. What was good when it was taken and
 * has only grown old since is no reason to refuse what comes with it: a certificate in use that has
 * expired would else keep every renewed one out. */
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "tls/clients.h"
#include "tls/internal.h"

#define RSA_BITS_MIN 2048 /* what browsers and public authorities still take */

static bool check_dates(const char *file, X509 *leaf, struct tls_pem *pem)
{
	pem->valid = tls_term_of(tls_seconds_of(X509_get0_notBefore(leaf)),
				 tls_seconds_of(X509_get0_notAfter(leaf)), time(NULL));
	if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0) {
		if (!pem->in_use)
			log_error("tls: certificate %s has expired", file);
		else
			log_warn("tls: certificate %s has expired and is in use: renew it", file);
		return pem->in_use;
	}
	if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
		log_warn("tls: certificate %s is not valid yet", file);
	return true;
}

/* Who has signed the first; itself if nobody else has. NULL: he is not in the file. */
static X509 *issuer_in(STACK_OF(X509) * chain)
{
	X509 *leaf = sk_X509_value(chain, 0);
	for (size_t i = sk_X509_num(chain); i-- > 0;)
		if (X509_check_issued(sk_X509_value(chain, i), leaf) == X509_V_OK)
			return sk_X509_value(chain, i);
	return NULL;
}

/* What the responder says of it, if it is he. */
static const char *check_answer(const char *file, X509 *issuer, struct bytes der,
				const struct tls_ocsp *o)
{
	const char *why = issuer ? tls_ocsp_verify(der, issuer) : NULL;
	if (issuer == NULL)
		log_warn("tls: OCSP response %s: its signature could not be checked: the issuer is "
			 "not in the certificate's file",
			 file);
	if (why == NULL && o->status == TLS_OCSP_UNKNOWN)
		log_warn("tls: OCSP response %s: the responder does not know the certificate",
			 file);
	if (why == NULL && o->status == TLS_OCSP_REVOKED)
		log_warn("tls: OCSP response %s: the certificate is revoked", file);
	if (why == NULL && o->this_update > time(NULL) + 300)
		why = "it is not valid yet";
	return why;
}

/* What a client would refuse is an error; but what has run out it never gets to see. */
static bool check_ocsp(const char *file, STACK_OF(X509) * chain, struct tls_pem *pem)
{
	const ASN1_INTEGER *n = X509_get0_serialNumber(sk_X509_value(chain, 0));
	int64_t now = time(NULL);
	struct tls_ocsp o;
	const char *why = tls_ocsp_read(
		pem->ocsp, BYTES(ASN1_STRING_get0_data(n), (size_t)ASN1_STRING_length(n)), &o);
	if (why == NULL && o.next_update)
		pem->fresh = tls_term_of(o.this_update, o.next_update, now);
	if (why == NULL && o.next_update && o.next_update <= now) {
		log_warn("tls: OCSP response %s: it has expired and is not stapled: fetch a newer "
			 "one",
			 file);
		return true;
	}
	if (why == NULL)
		why = check_answer(file, issuer_in(chain), pem->ocsp, &o);
	if (why)
		log_error("tls: OCSP response %s: %s", file, why);
	return why == NULL;
}

/* A chain that does not lead away from the leaf is refused by every client: an error. Where there is none the
 * issuer may be a root that they have, and order and age of what is behind the second
 * certificate matter to some only: warnings. */
static bool check_chain(const char *file, STACK_OF(X509) * chain)
{
	size_t n = sk_X509_num(chain);
	X509 *leaf = sk_X509_value(chain, 0);
	bool leads = X509_check_issued(leaf, leaf) == X509_V_OK;
	if (n == 1 && !leads)
		log_warn(
			"tls: certificate %s: its issuer is not in the file: unless that is a root that "
			"clients have, they refuse it: append the chain",
			file);
	for (size_t i = 1; i < n; i++)
		leads |= X509_check_issued(sk_X509_value(chain, i), leaf) == X509_V_OK;
	if (n > 1 && !leads) {
		log_error(
			"tls: certificate %s: none of the others in the file has issued the first: "
			"append the chain that came with it",
			file);
		return false;
	}
	for (size_t i = 1; i < n; i++) {
		X509 *x = sk_X509_value(chain, i);
		if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
			log_warn("tls: certificate %s: number %zu has expired", file, i + 1);
		if (X509_check_issued(x, sk_X509_value(chain, i - 1)) != X509_V_OK)
			log_warn(
				"tls: certificate %s: number %zu is not issued by number %zu: some "
				"clients refuse the chain",
				file, i, i + 1);
	}
	return true;
}

static void check_strength(const char *file, const EVP_PKEY *key, enum tls_key_kind kind)
{
	int bits = EVP_PKEY_bits(key);
	if (kind == TLS_KEY_RSA && bits < RSA_BITS_MIN)
		log_warn(
			"tls: key %s: RSA of %d bits is too weak and many clients refuse it: make one "
			"of %d bits or more, or ECDSA",
			file, bits, RSA_BITS_MIN);
}

static bool check_pem(const char *cert_file, const char *key_file, const char *ocsp_file,
		      struct tls_pem *pem)
{
	enum tls_key_kind kind;
	STACK_OF(X509) *chain = tls_pem_chain(pem->cert);
	EVP_PKEY *key = tls_pem_key(pem->key);
	bool ok = false;
	if (chain == NULL) {
		log_error("tls: certificate %s: no PEM certificate in it", cert_file);
	} else if (key == NULL) {
		log_error("tls: key %s: no unencrypted PEM private key in it (%s)", key_file,
			  tls_error_text());
	} else if (!X509_check_private_key(sk_X509_value(chain, 0), key)) {
		tls_error_text();
		log_error("tls: key %s does not belong to the first certificate in %s", key_file,
			  cert_file);
	} else if (!tls_key_kind_of(key, &kind)) {
		log_error(
			"tls: key %s: RSA, ECDSA (P-256, P-384, P-521) and Ed25519 are served with",
			key_file);
	} else {
		check_strength(key_file, key, kind);
		ok = check_dates(cert_file, sk_X509_value(chain, 0), pem);
		if (pem->ocsp.p)
			ok &= check_ocsp(ocsp_file, chain, pem);
		ok &= check_chain(cert_file, chain);
	}
	sk_X509_pop_free(chain, X509_free);
	EVP_PKEY_free(key);
	return ok;
}

/* What hello.c picks a certificate by. */
struct wares {
	enum tls_key_kind kind;
	char **names;
	uint32_t n; /* 0: it goes to nobody by its name */
};

static void wares_of(const struct config_certificate *cc, struct bytes pem, struct wares *out)
{
	STACK_OF(X509) *chain = pem.n > 0 ? tls_pem_chain(pem) : NULL;
	EVP_PKEY *key = chain ? X509_get_pubkey(sk_X509_value(chain, 0)) : NULL;
	if (key && tls_key_kind_of(key, &out->kind))
		tls_served_names(cc, sk_X509_value(chain, 0), &out->names, &out->n);
	EVP_PKEY_free(key);
	sk_X509_pop_free(chain, X509_free);
}

static bool has(const struct wares *a, const char *name)
{
	for (uint32_t k = 0; k < a->n; k++)
		if (strcmp(a->names[k], name) == 0)
			return true;
	return false;
}

static bool same(const struct wares *a, const struct wares *b)
{
	if (a->n == 0 || a->n != b->n || a->kind != b->kind)
		return false;
	for (uint32_t k = 0; k < a->n; k++)
		if (!has(b, a->names[k]))
			return false;
	return true;
}

static void check_listener(const struct config *cfg, const struct config_listener *l,
			   const struct wares *all)
{
	for (uint32_t i = 1; i < l->n_certificates; i++) {
		uint32_t k = 0, late = l->certificates[i];
		while (k < i && !same(&all[l->certificates[k]], &all[late]))
			k++;
		if (k < i)
			log_warn(
				"tls: listener %s: certificate \"%s\" is never used: \"%s\" has the "
				"same names and kind of key and stands before it: leave one out",
				l->name, cfg->certificates[late].name,
				cfg->certificates[l->certificates[k]].name);
	}
}

void tls_material_check_names(const struct config *cfg, const struct tls_material *m)
{
	struct wares *all = m->n > 1 ? calloc(m->n, sizeof(*all)) : NULL;
	if (all == NULL)
		return;
	for (uint32_t i = 0; i < m->n; i++)
		wares_of(&cfg->certificates[i], m->pem[i].cert, &all[i]);
	for (uint32_t i = 0; i < cfg->n_listeners; i++)
		check_listener(cfg, &cfg->listeners[i], all);
	for (uint32_t i = 0; i < m->n; i++) {
		for (uint32_t k = 0; k < all[i].n; k++)
			free(all[i].names[k]);
		free(all[i].names);
	}
	free(all);
}

bool tls_material_check(const struct config *cfg, struct tls_material *m)
{
	bool ok = true;
	for (uint32_t i = 0; i < m->n; i++) {
		char cert_file[PATH_MAX], key_file[PATH_MAX];
		ok &= tls_material_names(cfg, i, cert_file, key_file) &&
		      check_pem(cert_file, key_file, cfg->certificates[i].ocsp_file, &m->pem[i]);
	}
	ok &= tls_trust_check(cfg, m);
	if (ok) {
		tls_material_look(cfg, m, time(NULL));
		tls_material_check_names(cfg, m);
	}
	return ok;
}
