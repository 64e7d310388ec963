/* SPDX-License-Identifier: BSD-2-Clause */
/* hello.c - what a ClientHello decides before the library has done anything that costs: its
 * fingerprint, and the certificate.
 *
 *    names that fit ─► exact before wildcard ─► what the client can verify ─► ECDSA before RSA
 *
 * A signature of ECDSA costs us a tenth of one of RSA, so whoever can verify both gets the former,
 * whatever stands first in the configuration. */
#include <time.h>

#include "base/log.h"
#include "tls/clients.h"
#include "tls/internal.h"
#include "worker/worker.h"

/* What the client asks for and can verify. */
struct wish {
	char name[254]; /* lower case; "": none */
	uint32_t kinds; /* bits of enum tls_key_kind */
};

static bool extension(const SSL_CLIENT_HELLO *hello, uint16_t type, struct bytes *body)
{
	const uint8_t *p;
	size_t n;
	if (!SSL_early_callback_ctx_extension_get(hello, type, &p, &n))
		return false;
	*body = BYTES(p, n);
	return true;
}

/* RFC 6066 3: a list of one, and that a host name. The library refuses what is malformed later. */
static void read_name(const SSL_CLIENT_HELLO *hello, char name[254])
{
	struct bytes b;
	name[0] = 0;
	if (!extension(hello, TLSEXT_TYPE_server_name, &b) || b.n < 5 || b.p[2] != 0)
		return;
	size_t n = load_be16(b.p + 3);
	if (n > 253 || n > b.n - 5 || memchr(b.p + 5, 0, n))
		return;
	for (size_t i = 0; i < n; i++)
		name[i] = (char)byte_lower(b.p[5 + i]);
	name[n] = 0;
}

/* By signature_algorithms (RFC 8446 4.2.3); who sends none is of TLS 1.2 and takes SHA-1 of either
 * kind, which we do not sign with: the library says so. */
static uint32_t read_signatures(const SSL_CLIENT_HELLO *hello)
{
	struct bytes b;
	uint32_t kinds = 0;
	if (!extension(hello, TLSEXT_TYPE_signature_algorithms, &b) || b.n < 2)
		return 1u << TLS_KEY_RSA | 1u << TLS_KEY_P256;
	for (size_t i = 2; i + 1 < b.n; i += 2) {
		switch (load_be16(b.p + i)) {
		case SSL_SIGN_ECDSA_SECP256R1_SHA256: kinds |= 1u << TLS_KEY_P256; break;
		case SSL_SIGN_ECDSA_SECP384R1_SHA384: kinds |= 1u << TLS_KEY_P384; break;
		case SSL_SIGN_ECDSA_SECP521R1_SHA512: kinds |= 1u << TLS_KEY_P521; break;
		case SSL_SIGN_ED25519: kinds |= 1u << TLS_KEY_ED25519; break;
		case SSL_SIGN_RSA_PSS_RSAE_SHA256:
		case SSL_SIGN_RSA_PSS_RSAE_SHA384:
		case SSL_SIGN_RSA_PSS_RSAE_SHA512:
		case SSL_SIGN_RSA_PKCS1_SHA256:
		case SSL_SIGN_RSA_PKCS1_SHA384:
		case SSL_SIGN_RSA_PKCS1_SHA512: kinds |= 1u << TLS_KEY_RSA; break;
		default: break;
		}
	}
	return kinds;
}

/* In TLS 1.2 the suite names the kind of key; in 1.3 it does not. */
static uint32_t read_suites(const SSL_CLIENT_HELLO *hello)
{
	uint32_t ec = ~(1u << TLS_KEY_RSA), rsa = 1u << TLS_KEY_RSA, kinds = 0;
	for (size_t i = 0; i + 1 < hello->cipher_suites_len; i += 2) {
		switch (load_be16(hello->cipher_suites + i)) {
		case 0x1301:
		case 0x1302:
		case 0x1303: return UINT32_MAX;
		case 0xc02b: /* ECDHE_ECDSA with AES-GCM, ChaCha20 */
		case 0xc02c:
		case 0xcca9: kinds |= ec; break;
		case 0xc02f: /* ECDHE_RSA */
		case 0xc030:
		case 0xcca8: kinds |= rsa; break;
		default: break;
		}
	}
	return kinds;
}

static bool names_fit(const struct tls_cert *cert, const char *name, bool wild)
{
	for (uint32_t k = 0; k < cert->n_names; k++)
		if ((cert->names[k][0] == '*') == wild && tls_name_match(cert->names[k], name))
			return true;
	return false;
}

/* Of the listener's certificates with such a name, the best that the client can verify, else the first;
 * NULL: none has it. */
static struct tls_cert *best(struct tls *t, const struct config_listener *l, const char *name,
			     bool wild, uint32_t kinds)
{
	struct tls_cert *first = NULL, *rsa = NULL;
	for (uint32_t i = 0; i < l->n_certificates; i++) {
		struct tls_cert *cert = &t->certs->cert[l->certificates[i]];
		if (!names_fit(cert, name, wild))
			continue;
		first = first ? first : cert;
		if (!(kinds >> cert->kind & 1))
			continue;
		if (cert->kind != TLS_KEY_RSA)
			return cert;
		rsa = rsa ? rsa : cert;
	}
	return rsa ? rsa : first;
}

/* For who asks for no name, or for none of ours, as browsers without SNI do: the first certificate, or
 * another for the same name. */
static struct tls_cert *pick(struct tls *t, const struct config_listener *l, const struct wish *w)
{
	struct tls_cert *cert = NULL, *first = &t->certs->cert[l->certificates[0]];
	if (w->name[0])
		cert = best(t, l, w->name, false, w->kinds);
	if (cert == NULL && w->name[0])
		cert = best(t, l, w->name, true, w->kinds);
	if (cert != NULL || first->n_names == 0)
		return cert ? cert : first;
	const char *same = first->names[0];
	cert = best(t, l, same, same[0] == '*', w->kinds);
	return cert ? cert : first;
}

/* The library staples what its context has and asks for no date; clients refuse what is old. So it gets the
 * response handshake by handshake, while it is fresh. */
static bool staple(const SSL_CLIENT_HELLO *hello, const struct tls_cert *cert)
{
	struct bytes asked;
	if (cert->ocsp.n == 0 || !extension(hello, TLSEXT_TYPE_status_request, &asked))
		return true;
	if (cert->info.ocsp_next != 0 && cert->info.ocsp_next <= time(NULL))
		return true;
	return SSL_set_ocsp_response(hello->ssl, cert->ocsp.p, cert->ocsp.n);
}

enum ssl_select_cert_result_t tls_hello(const SSL_CLIENT_HELLO *hello)
{
	const struct config_listener *l = SSL_get_app_data(hello->ssl);
	struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(hello->ssl));
	struct wish wish = {.kinds = read_signatures(hello) & read_suites(hello)};
	if (!tls_ja4_of(hello->version, BYTES(hello->cipher_suites, hello->cipher_suites_len),
			BYTES(hello->extensions, hello->extensions_len), &t->hand->ja4))
		return ssl_select_cert_error; /* no program sends this */
	tls_counted_add(&t->counted, &t->hand->ja4);
	struct tls_denial *denial = tls_denied_find(&t->denied, &t->hand->ja4, *t->now_ns);
	if (denial) {
		denial->refused++;
		t->hand_denied = true;
		return ssl_select_cert_error;
	}
	read_name(hello, wish.name);
	struct tls_cert *cert = pick(t, l, &wish);
	cert->info.picked++;
	SSL_set_SSL_CTX(hello->ssl, cert->ctx);
	/* after that, which would take response and authorities along */
	return staple(hello, cert) && tls_clients_ask(&t->certs->clients[l - t->cfg->listeners], l,
						      hello->ssl) ?
		       ssl_select_cert_success :
		       ssl_select_cert_error;
}
