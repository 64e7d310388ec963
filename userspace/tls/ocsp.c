/* SPDX-License-Identifier: BSD-2-Clause */
/* ocsp.c - see ocsp.h. BoringSSL has no parser for these, but one for their encoding.
 *
 *    OCSPResponse { status, [0] { id-pkix-ocsp-basic, OCTET STRING ─┐
 *      BasicOCSPResponse { ResponseData { [0] version?, responder, producedAt,
 *        SEQUENCE OF SingleResponse { CertID { …, serial }, status, thisUpdate, [0] nextUpdate? } } } */
#include "tls/ocsp.h"

#include <openssl/bytestring.h>
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

/* The BasicOCSPResponse's list of answers. */
static const char *open_response(CBS der, CBS *singles)
{
	static const uint8_t basic[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01};
	CBS response, status, wrap, body, oid, octets, inner, data, skip;
	unsigned tag;
	if (!CBS_get_asn1(&der, &response, CBS_ASN1_SEQUENCE) || CBS_len(&der) != 0 ||
	    !CBS_get_asn1(&response, &status, CBS_ASN1_ENUMERATED) || CBS_len(&status) != 1)
		return "it is no OCSP response in DER";
	if (CBS_data(&status)[0] != 0)
		return "it says that the responder could not answer";
	if (!CBS_get_asn1(&response, &wrap, TAG(0)) ||
	    !CBS_get_asn1(&wrap, &body, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&body, &oid, CBS_ASN1_OBJECT) ||
	    !CBS_mem_equal(&oid, basic, sizeof(basic)) ||
	    !CBS_get_asn1(&body, &octets, CBS_ASN1_OCTETSTRING) ||
	    !CBS_get_asn1(&octets, &inner, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&inner, &data, CBS_ASN1_SEQUENCE) ||
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
