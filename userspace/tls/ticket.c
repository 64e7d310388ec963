/* SPDX-License-Identifier: BSD-2-Clause */
/* ticket.c - see ticket.h. */
#include "tls/ticket.h"

#include <openssl/base64.h>
#include <openssl/cipher.h>
#include <openssl/digest.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/rand.h>

#include "tls/internal.h"

#define KEY_BYTES sizeof(struct tls_ticket_key)

void tls_tickets_rotate(struct tls_tickets *t)
{
	memmove(&t->key[1], &t->key[0], (TLS_TICKET_KEYS - 1) * KEY_BYTES);
	RAND_bytes((uint8_t *)&t->key[0], KEY_BYTES);
	t->n = MIN(t->n + 1, (uint32_t)TLS_TICKET_KEYS);
}

static bool is_text(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] > '~' ||
		    (b.p[i] < ' ' && b.p[i] != '\n' && b.p[i] != '\r' && b.p[i] != '\t'))
			return false;
	return true;
}

static struct bytes trimmed(struct bytes line)
{
	while (line.n > 0 && line.p[line.n - 1] <= ' ')
		line.n--;
	while (line.n > 0 && line.p[0] <= ' ') {
		line.p++;
		line.n--;
	}
	return line;
}

static const char *add(struct tls_tickets *t, const uint8_t *key, size_t n)
{
	if (n != KEY_BYTES)
		return "a key is not 80 bytes: openssl rand -base64 80 | tr -d '\\n' makes one";
	if (t->n == TLS_TICKET_KEYS)
		return "more than 3 keys: the first seals, two more may open what is older";
	memcpy(&t->key[t->n++], key, n);
	return NULL;
}

static const char *parse_line(struct tls_tickets *t, struct bytes line)
{
	uint8_t key[128];
	size_t n = 0;
	line = trimmed(line);
	if (line.n == 0 || line.p[0] == '#')
		return NULL;
	if (!EVP_DecodeBase64(key, &n, sizeof(key), line.p, line.n))
		return "a line is no base64 of a key, which has 80 bytes: openssl rand -base64 80 | tr -d "
		       "'\\n' makes one";
	const char *why = add(t, key, n);
	OPENSSL_cleanse(key, sizeof(key));
	return why;
}

const char *tls_tickets_parse(struct bytes text, struct tls_tickets *out)
{
	const char *why = NULL;
	*out = (struct tls_tickets){.n = 0};
	if (!is_text(text)) {
		for (; text.n > 0 && !why;
		     text.p += MIN(text.n, KEY_BYTES), text.n -= MIN(text.n, KEY_BYTES))
			why = add(out, text.p, MIN(text.n, KEY_BYTES));
		return why;
	}
	while (text.n > 0 && !why) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;
		why = parse_line(out, BYTES(text.p, n));
		text.p += MIN(text.n, n + 1);
		text.n -= MIN(text.n, n + 1);
	}
	return why ? why : out->n ? NULL : "there is no key in it";
}

/* For SSL_CTX_set_tlsext_ticket_key_cb(): 1 done, 2 done and seal anew, 0 unknown, -1 failed. */
int tls_ticket_crypt(SSL *ssl, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher, HMAC_CTX *hmac,
		     int seal)
{
	const struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct tls_ticket_key *k = &t->tickets.key[0];
	uint32_t i = 0;
	if (seal) {
		memcpy(name, k->name, sizeof(k->name));
		RAND_bytes(iv, 16);
	} else {
		while (i < t->tickets.n &&
		       memcmp(t->tickets.key[i].name, name, sizeof(k->name)) != 0)
			i++;
		if (i == t->tickets.n)
			return 0;
		k = &t->tickets.key[i];
	}
	if (!EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, seal) ||
	    !HMAC_Init_ex(hmac, k->hmac, sizeof(k->hmac), EVP_sha256(), NULL))
		return -1;
	return i == 0 ? 1 : 2;
}
