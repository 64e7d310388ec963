/* SPDX-License-Identifier: BSD-2-Clause */
/* ja4.c - see ja4.h. */
#include "tls/ja4.h"

#include <openssl/sha.h>
#include <stdlib.h>

enum {
	EXT_NAME = 0,
	EXT_SIGNATURES = 13,
	EXT_ALPN = 16,
	EXT_VERSIONS = 43,
};

/* More than a ClientHello of any program has; what is beyond counts, and is not hashed. */
#define NUMBERS_MAX 256

struct numbers {
	uint16_t v[NUMBERS_MAX];
	size_t n, all;
};

static bool is_grease(uint16_t v) /* RFC 8701 */
{
	return (v & 0x0f0f) == 0x0a0a && v >> 8 == (v & 0xff);
}

static void add(struct numbers *l, uint16_t v)
{
	if (is_grease(v))
		return;
	l->all++;
	if (l->n < NUMBERS_MAX)
		l->v[l->n++] = v;
}

static char *put_hex(char *p, uint8_t v)
{
	*p++ = "0123456789abcdef"[v >> 4];
	*p++ = "0123456789abcdef"[v & 15];
	return p;
}

static int by_number(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* As text: four digits each, commas between. By hand: printf for each of some 40 numbers was 3 % of a
 * handshake. */
static void hash_numbers(SHA256_CTX *h, const struct numbers *l)
{
	char text[5 * NUMBERS_MAX], *p = text;
	for (size_t i = 0; i < l->n; i++, *p++ = ',') {
		p = put_hex(p, (uint8_t)(l->v[i] >> 8));
		p = put_hex(p, (uint8_t)l->v[i]);
	}
	if (l->n > 0)
		SHA256_Update(h, text, 5 * l->n - 1);
}

static void hash_end(SHA256_CTX *h, uint8_t out[6])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256_Final(digest, h);
	memcpy(out, digest, 6);
}

/* A list of 16-bit numbers behind a length of `head` bytes. */
static bool read_list(struct bytes b, size_t head, struct numbers *l)
{
	if (b.n < head)
		return false;
	size_t n = head == 2 ? load_be16(b.p) : b.p[0];
	if (n % 2 != 0 || n > b.n - head)
		return false;
	for (size_t i = 0; i < n; i += 2)
		add(l, load_be16(b.p + head + i));
	return true;
}

static bool is_alnum(uint8_t c)
{
	c = byte_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The first protocol's first and last letter; of its hex digits if one of the two is no letter. */
static void read_alpn(struct bytes b, char out[2])
{
	static const char hex[] = "0123456789abcdef";
	if (b.n < 3 || b.p[2] == 0 || 3u + b.p[2] > b.n)
		return;
	uint8_t first = b.p[3], last = b.p[2 + b.p[2]];
	bool letters = is_alnum(first) && is_alnum(last);
	out[0] = letters ? (char)first : hex[first >> 4];
	out[1] = letters ? (char)last : hex[last & 15];
}

static const char *version_word(uint16_t v)
{
	switch (v) {
	case 0x0304: return "13";
	case 0x0303: return "12";
	case 0x0302: return "11";
	case 0x0301: return "10";
	case 0x0300: return "s3";
	default: return "00";
	}
}

struct seen {
	struct numbers extensions, signatures, versions;
	size_t n_extensions; /* with the two that are not hashed */
	bool named;
	char alpn[2];
};

static bool read_extension(uint16_t type, struct bytes body, struct seen *s)
{
	if (is_grease(type))
		return true;
	s->n_extensions++;
	switch (type) {
	case EXT_NAME: s->named = true; return true;
	case EXT_ALPN: read_alpn(body, s->alpn); return true;
	case EXT_SIGNATURES: add(&s->extensions, type); return read_list(body, 2, &s->signatures);
	case EXT_VERSIONS: add(&s->extensions, type); return read_list(body, 1, &s->versions);
	default: add(&s->extensions, type); return true;
	}
}

static bool read_extensions(struct bytes in, struct seen *s)
{
	while (in.n > 0) {
		size_t n = in.n < 4 ? SIZE_MAX : load_be16(in.p + 2);
		if (in.n < 4 || n > in.n - 4)
			return false;
		if (!read_extension(load_be16(in.p), BYTES(in.p + 4, n), s))
			return false;
		in.p += 4 + n;
		in.n -= 4 + n;
	}
	return true;
}

static char digit(size_t n, size_t place)
{
	return (char)('0' + (n > 99 ? 99 : n) / place % 10);
}

bool tls_ja4_of(uint16_t version, struct bytes suites, struct bytes extensions, struct tls_ja4 *out)
{
	struct numbers ciphers = {.n = 0};
	struct seen s = {.alpn = {'0', '0'}};
	SHA256_CTX h;
	if (suites.n % 2 != 0 || !read_extensions(extensions, &s))
		return false;
	for (size_t i = 0; i < suites.n; i += 2)
		add(&ciphers, load_be16(suites.p + i));
	for (size_t i = 0; i < s.versions.n; i++) /* what an extension says counts alone */
		version = i == 0 || s.versions.v[i] > version ? s.versions.v[i] : version;
	const char *word = version_word(version);
	const char head[10] = {'t',
			       word[0],
			       word[1],
			       s.named ? 'd' : 'i',
			       digit(ciphers.all, 10),
			       digit(ciphers.all, 1),
			       digit(s.n_extensions, 10),
			       digit(s.n_extensions, 1),
			       s.alpn[0],
			       s.alpn[1]};
	*out = (struct tls_ja4){.head = {0}};
	memcpy(out->head, head, sizeof(head));
	qsort(ciphers.v, ciphers.n, sizeof(ciphers.v[0]), by_number);
	qsort(s.extensions.v, s.extensions.n, sizeof(s.extensions.v[0]), by_number);
	if (ciphers.n > 0) {
		SHA256_Init(&h);
		hash_numbers(&h, &ciphers);
		hash_end(&h, out->suites);
	}
	if (s.extensions.n > 0) {
		SHA256_Init(&h);
		hash_numbers(&h, &s.extensions);
		if (s.signatures.n > 0)
			SHA256_Update(&h, "_", 1);
		hash_numbers(&h, &s.signatures);
		hash_end(&h, out->rest);
	}
	return true;
}

const char *tls_ja4_print(const struct tls_ja4 *j, char buf[TLS_JA4_TEXT])
{
	if (j->head[0] == 0) {
		buf[0] = 0;
		return buf;
	}
	char *p = buf;
	memcpy(p, j->head, 10);
	p += 10;
	*p++ = '_';
	for (size_t i = 0; i < 6; i++)
		p = put_hex(p, j->suites[i]);
	*p++ = '_';
	for (size_t i = 0; i < 6; i++)
		p = put_hex(p, j->rest[i]);
	*p = 0;
	return buf;
}

static bool parse_hex(const uint8_t *p, uint8_t out[6])
{
	for (size_t i = 0; i < 12; i++) {
		uint8_t c = p[i];
		unsigned v = c >= '0' && c <= '9' ? c - '0' :
			     c >= 'a' && c <= 'f' ? c - 'a' + 10u :
						    16;
		if (v == 16)
			return false;
		out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | v : v << 4);
	}
	return true;
}

bool tls_ja4_parse(struct bytes text, struct tls_ja4 *out)
{
	struct tls_ja4 j;
	if (text.n != TLS_JA4_TEXT - 1 || text.p[10] != '_' || text.p[23] != '_' ||
	    text.p[0] != 't' || (text.p[3] != 'd' && text.p[3] != 'i') ||
	    !parse_hex(text.p + 11, j.suites) || !parse_hex(text.p + 24, j.rest))
		return false;
	for (size_t i = 0; i < 10; i++)
		if (text.p[i] <= ' ' || text.p[i] > '~')
			return false;
	memcpy(j.head, text.p, 10);
	*out = j;
	return true;
}
