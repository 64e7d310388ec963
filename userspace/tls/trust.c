/* SPDX-License-Identifier: BSD-2-Clause */
/* trust.c - the authorities that clients' certificates are believed by, on their way from files to
 * bytes. Runs in the keeper, as material.c does. */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "tls/clients.h"
#include "tls/internal.h"

bool tls_trust_load(const struct config *cfg, struct tls_material *m)
{
	bool ok = true;
	m->n_trust = cfg->n_listeners;
	m->trust = calloc(m->n_trust ? m->n_trust : 1, sizeof(*m->trust));
	if (m->trust == NULL)
		return false;
	for (uint32_t i = 0; i < m->n_trust; i++) {
		const struct config_listener *l = &cfg->listeners[i];
		if (l->client_certificates == CONFIG_CLIENT_CERTS_OFF)
			continue;
		m->trust[i].ca = tls_slurp(l->client_ca_file, "client_ca_file");
		ok &= m->trust[i].ca.p != NULL;
		if (l->client_crl_file == NULL)
			continue;
		m->trust[i].crl = tls_slurp(l->client_crl_file, "client_crl_file");
		ok &= m->trust[i].crl.p != NULL;
	}
	return ok;
}

/* Of several the one that runs out next; those that have are said by the check. */
static void keep_first(struct tls_term *t, const ASN1_TIME *from, const ASN1_TIME *until)
{
	int64_t end = tls_seconds_of(until), now = time(NULL);
	if (end > now && (t->until == 0 || end < t->until))
		*t = tls_term_of(tls_seconds_of(from), end, now);
}

static bool check_authorities(const char *file, struct tls_trust *t)
{
	STACK_OF(X509) *all = tls_pem_chain(t->ca);
	size_t n = all ? sk_X509_num(all) : 0, late = 0;
	for (size_t i = 0; i < n; i++) {
		X509 *x = sk_X509_value(all, i);
		keep_first(&t->ca_valid, X509_get0_notBefore(x), X509_get0_notAfter(x));
		if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0) {
			log_warn("tls: client_ca_file %s: number %zu has expired", file, i + 1);
			late++;
		} else if (!X509_check_ca(x)) {
			log_warn("tls: client_ca_file %s: number %zu is no authority: it is "
				 "believed for itself alone",
				 file, i + 1);
		}
	}
	if (n == 0)
		log_error("tls: client_ca_file %s: no PEM certificate in it", file);
	else if (late == n && !t->in_use)
		log_error("tls: client_ca_file %s: all that is in it has expired", file);
	sk_X509_pop_free(all, X509_free);
	return late < n || (n > 0 && t->in_use);
}

static bool has_list(const STACK_OF(X509_CRL) * lists, X509 *authority)
{
	for (size_t i = 0; lists && i < sk_X509_CRL_num(lists); i++)
		if (X509_NAME_cmp(X509_CRL_get_issuer(sk_X509_CRL_value(lists, i)),
				  X509_get_subject_name(authority)) == 0)
			return true;
	return false;
}

/* Where there are lists, an authority without one vouches for nobody. */
static void warn_of_unlisted(const char *file, const struct tls_trust *t,
			     const STACK_OF(X509_CRL) * lists)
{
	STACK_OF(X509) *all = tls_pem_chain(t->ca);
	for (size_t i = 0; lists && all && i < sk_X509_num(all); i++) {
		X509 *x = sk_X509_value(all, i);
		char *name;
		if (!X509_check_ca(x) || has_list(lists, x))
			continue;
		name = X509_NAME_oneline(X509_get_subject_name(x), NULL, 0);
		log_warn(
			"tls: client_crl_file %s: no list of the authority %s: nobody whom it issued a "
			"certificate gets in",
			file, name ? name : "?");
		OPENSSL_free(name);
	}
	sk_X509_pop_free(all, X509_free);
}

static bool check_revocations(const char *file, struct tls_trust *t)
{
	STACK_OF(X509_CRL) *all = tls_pem_crls(t->crl);
	size_t n = all ? sk_X509_CRL_num(all) : 0;
	for (size_t i = 0; i < n; i++) {
		const X509_CRL *x = sk_X509_CRL_value(all, i);
		const ASN1_TIME *next = X509_CRL_get0_nextUpdate(x);
		if (next)
			keep_first(&t->crl_fresh, X509_CRL_get0_lastUpdate(x), next);
		if (next && X509_cmp_current_time(next) < 0)
			log_warn("tls: client_crl_file %s: number %zu is out of date: clients of "
				 "that authority are refused until there is a newer one",
				 file, i + 1);
	}
	warn_of_unlisted(file, t, all);
	if (n == 0)
		log_error("tls: client_crl_file %s: no PEM revocation list in it", file);
	sk_X509_CRL_pop_free(all, X509_CRL_free);
	return n > 0;
}

bool tls_trust_check(const struct config *cfg, struct tls_material *m)
{
	bool ok = true;
	for (uint32_t i = 0; i < m->n_trust; i++) {
		const struct config_listener *l = &cfg->listeners[i];
		if (m->trust[i].ca.n > 0)
			ok &= check_authorities(l->client_ca_file, &m->trust[i]);
		if (m->trust[i].crl.n > 0)
			ok &= check_revocations(l->client_crl_file, &m->trust[i]);
	}
	return ok;
}
