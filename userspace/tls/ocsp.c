/* SPDX-License-Identifier: BSD-2-Clause */
/* ocsp.c - see ocsp.h. BoringSSL has no parser for these, but one for their encoding.
 *
 *    OCSPResponse { status, [0] { id-pkix-ocsp-basic, OCTET STRING ─┐
 *      BasicOCSPResponse { ResponseData { [0] version?, responder, producedAt,
 *        SEQUENCE OF SingleResponse { CertID { …, serial }, status, thisUpdate, [0] nextUpdate? } },
 *        algorithm, signature of ResponseData, [0] { SEQUENCE OF Certificate }? } } */
#include "tls/ocsp.h"

#include <limits.h>
#include <openssl/bytestring.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj.h>
#include <openssl/x509v3.h>
#include <time.h>

#define TAG(n) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (n))

static bool two_digits(const uint8_t *p, int *out)
{
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return false;
	*out = (p[0] - '0') * 10 + p[1] - '0';
	return true;
}

/* YYYYMMDDHHMMSSZ: RFC 5280 4.1.2.5.2 */
static bool read_time(CBS *in, int64_t *out)
{
	CBS t;
	struct tm tm = {0};
	int century, year;
	if (!CBS_get_asn1(in, &t, CBS_ASN1_GENERALIZEDTIME) || CBS_len(&t) != 15)
		return false;
	const uint8_t *p = CBS_data(&t);
	if (!two_digits(p, &century) || !two_digits(p + 2, &year) ||
	    !two_digits(p + 4, &tm.tm_mon) || !two_digits(p + 6, &tm.tm_mday) ||
	    !two_digits(p + 8, &tm.tm_hour) || !two_digits(p + 10, &tm.tm_min) ||
	    !two_digits(p + 12, &tm.tm_sec) || p[14] != 'Z')
		return false;
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	tm.tm_year = century * 100 + year - 1900;
	tm.tm_mon--;
	*out = timegm(&tm);
	return true;
}

/* DER of INTEGER allows a zero in front; who compares must not care. */
static struct bytes bare(struct bytes n)
{
	while (n.n > 1 && n.p[0] == 0) {
		n.p++;
		n.n--;
	}
	return n;
}

static const char *read_single(CBS *single, struct bytes serial, struct tls_ocsp *out, bool *ours)
{
	CBS id, number, skip, status;
	unsigned tag;
	if (!CBS_get_asn1(single, &id, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&id, &skip, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&id, &skip, CBS_ASN1_OCTETSTRING) ||
	    !CBS_get_asn1(&id, &skip, CBS_ASN1_OCTETSTRING) ||
	    !CBS_get_asn1(&id, &number, CBS_ASN1_INTEGER) ||
	    !CBS_get_any_asn1(single, &status, &tag))
		return "it is cut short, or none";
	struct bytes n = bare(BYTES(CBS_data(&number), CBS_len(&number)));
	*ours = bytes_eq(n, bare(serial));
	if (!*ours)
		return NULL;
	out->status = tag == (CBS_ASN1_CONTEXT_SPECIFIC | 0) ? TLS_OCSP_GOOD :
		      tag == TAG(1)                          ? TLS_OCSP_REVOKED :
							       TLS_OCSP_UNKNOWN;
	out->next_update = 0;
	if (!read_time(single, &out->this_update))
		return "it has no time";
	CBS next;
	int there;
	if (!CBS_get_optional_asn1(single, &next, &there, TAG(0)) ||
	    (there && !read_time(&next, &out->next_update)))
		return "its next time is none";
	return NULL;
}

/* What is inside the BasicOCSPResponse. */
static const char *open_basic(CBS der, CBS *basic)
{
	static const uint8_t oid_basic[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01};
	CBS response, status, wrap, body, oid, octets;
	if (!CBS_get_asn1(&der, &response, CBS_ASN1_SEQUENCE) || CBS_len(&der) != 0 ||
	    !CBS_get_asn1(&response, &status, CBS_ASN1_ENUMERATED) || CBS_len(&status) != 1)
		return "it is no OCSP response in DER";
	if (CBS_data(&status)[0] != 0)
		return "it says that the responder could not answer";
	if (!CBS_get_asn1(&response, &wrap, TAG(0)) ||
	    !CBS_get_asn1(&wrap, &body, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&body, &oid, CBS_ASN1_OBJECT) ||
	    !CBS_mem_equal(&oid, oid_basic, sizeof(oid_basic)) ||
	    !CBS_get_asn1(&body, &octets, CBS_ASN1_OCTETSTRING) ||
	    !CBS_get_asn1(&octets, basic, CBS_ASN1_SEQUENCE))
		return "it is cut short, or none";
	return NULL;
}

/* The list of answers. */
static const char *open_response(CBS der, CBS *singles)
{
	CBS basic, data, skip;
	unsigned tag;
	const char *why = open_basic(der, &basic);
	if (why)
		return why;
	if (!CBS_get_asn1(&basic, &data, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_optional_asn1(&data, &skip, NULL, TAG(0)) ||
	    !CBS_get_any_asn1(&data, &skip, &tag) || /* the responder */
	    !CBS_get_asn1(&data, &skip, CBS_ASN1_GENERALIZEDTIME) ||
	    !CBS_get_asn1(&data, singles, CBS_ASN1_SEQUENCE))
		return "it is cut short, or none";
	return NULL;
}

const char *tls_ocsp_read(struct bytes der, struct bytes serial, struct tls_ocsp *out)
{
	CBS in, singles, single;
	CBS_init(&in, der.p, der.n);
	const char *why = open_response(in, &singles);
	bool ours = false;
	while (why == NULL && !ours && CBS_len(&singles) > 0) {
		if (!CBS_get_asn1(&singles, &single, CBS_ASN1_SEQUENCE))
			return "it is cut short, or none";
		why = read_single(&single, serial, out, &ours);
	}
	return why ? why : ours ? NULL : "it is for another certificate";
}

/* ── the signature ── */

struct signed_data {
	CBS data; /* what is signed, with its head */
	int sign; /* NID of digest and kind of key */
	CBS signature;
	CBS certs; /* those that came along */
};

static bool open_signed(CBS der, struct signed_data *s)
{
	CBS basic, algorithm, oid, wrap;
	uint8_t unused;
	int there;
	if (open_basic(der, &basic) || !CBS_get_asn1_element(&basic, &s->data, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&basic, &algorithm, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&algorithm, &oid, CBS_ASN1_OBJECT) ||
	    !CBS_get_asn1(&basic, &s->signature, CBS_ASN1_BITSTRING) ||
	    !CBS_get_u8(&s->signature, &unused) || unused != 0 ||
	    !CBS_get_optional_asn1(&basic, &wrap, &there, TAG(0)))
		return false;
	s->sign = OBJ_cbs2nid(&oid);
	CBS_init(&s->certs, NULL, 0);
	return !there || CBS_get_asn1(&wrap, &s->certs, CBS_ASN1_SEQUENCE);
}

static bool signed_by(const struct signed_data *s, X509 *x)
{
	int digest = NID_undef, kind = NID_undef;
	EVP_PKEY *key = X509_get_pubkey(x);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = key && ctx && OBJ_find_sigid_algs(s->sign, &digest, &kind) &&
		  EVP_PKEY_id(key) == EVP_PKEY_type(kind);
	/* Ed25519 digests by itself */
	const EVP_MD *md = ok && digest != NID_undef ? EVP_get_digestbynid(digest) : NULL;
	ok = ok && (md || digest == NID_undef) && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) &&
	     EVP_DigestVerify(ctx, CBS_data(&s->signature), CBS_len(&s->signature),
			      CBS_data(&s->data), CBS_len(&s->data));
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return ok;
}

/* Has the issuer made him his responder, and for now? */
static bool is_responder(X509 *x, X509 *issuer)
{
	EVP_PKEY *key = X509_get_pubkey(issuer);
	bool ok = key && X509_check_issued(issuer, x) == X509_V_OK && X509_verify(x, key) == 1 &&
		  X509_get_ext_by_NID(x, NID_ext_key_usage, -1) >= 0 &&
		  (X509_get_extended_key_usage(x) & XKU_OCSP_SIGN) &&
		  X509_cmp_current_time(X509_get0_notAfter(x)) > 0;
	EVP_PKEY_free(key);
	return ok;
}

static bool signed_by_responder(struct signed_data *s, X509 *issuer)
{
	CBS one;
	bool ok = false;
	while (!ok && CBS_get_asn1_element(&s->certs, &one, CBS_ASN1_SEQUENCE) &&
	       CBS_len(&one) <= INT_MAX) {
		const uint8_t *p = CBS_data(&one);
		X509 *x = d2i_X509(NULL, &p, (long)CBS_len(&one));
		ok = x && is_responder(x, issuer) && signed_by(s, x);
		X509_free(x);
	}
	return ok;
}

const char *tls_ocsp_verify(struct bytes der, X509 *issuer)
{
	struct signed_data s;
	CBS in;
	CBS_init(&in, der.p, der.n);
	if (!open_signed(in, &s))
		return "it is cut short, or none";
	bool ok = signed_by(&s, issuer) || signed_by_responder(&s, issuer);
	ERR_clear_error(); /* the library's, which nobody else should find */
	return ok ? NULL : "neither the certificate's issuer nor a responder of his has signed it";
}
