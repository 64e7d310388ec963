/* SPDX-License-Identifier: BSD-2-Clause */
/* test_clients.c - which name a client's certificate gives him, and which it does not. */
#include "test.h"

#include <openssl/ec_key.h>
#include <openssl/x509v3.h>

#include "tls/clients.h"
#include "ws/utf8.h"

static X509 *leaf;
static EVP_PKEY *key;
static struct tls_client who;

/* A certificate without a name. */
static void begin(void)
{
	X509_free(leaf);
	leaf = X509_new();
	if (key == NULL) {
		EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
		key = EVP_PKEY_new();
		assert_true(EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(key, ec));
	}
	assert_true(X509_set_version(leaf, X509_VERSION_3) && X509_set_pubkey(leaf, key) &&
		    X509_gmtime_adj(X509_getm_notBefore(leaf), 0) &&
		    X509_gmtime_adj(X509_getm_notAfter(leaf), 3600));
}

/* Of the subject; the type is one of ASN.1's (V_ASN1_…), the bytes are what they are. */
static void entry(int nid, int type, const void *p, size_t n)
{
	ASN1_STRING *s = ASN1_STRING_type_new(type);
	ASN1_OBJECT *o = OBJ_nid2obj(nid);
	X509_NAME_ENTRY *e = NULL;
	assert_true(s && ASN1_STRING_set(s, p, (int)n));
	e = X509_NAME_ENTRY_create_by_OBJ(NULL, o, type, p, (int)n);
	assert_non_null(e);
	assert_true(X509_NAME_add_entry(X509_get_subject_name(leaf), e, -1, 0));
	X509_NAME_ENTRY_free(e);
	ASN1_STRING_free(s);
}

static void cn(const char *text)
{
	entry(NID_commonName, V_ASN1_UTF8STRING, text, strlen(text));
}

static void san(GENERAL_NAMES *all, int type, const void *p, size_t n)
{
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_IA5STRING *s = ASN1_IA5STRING_new();
	assert_true(ASN1_STRING_set(s, p, (int)n));
	GENERAL_NAME_set0_value(g, type, s);
	assert_true(sk_GENERAL_NAME_push(all, g));
}

static void put_san(int type, const char *const *names)
{
	GENERAL_NAMES *all = GENERAL_NAMES_new();
	for (; *names; names++)
		san(all, type, *names, strlen(*names));
	assert_true(X509_add1_ext_i2d(leaf, NID_subject_alt_name, all, 0, X509V3_ADD_REPLACE));
	GENERAL_NAMES_free(all);
}

static bool takes(enum config_client_identity how, const char *want)
{
	assert_true(X509_sign(leaf, key, EVP_sha256()));
	return tls_clients_name(leaf, how, &who) &&
	       bytes_eq(BYTES(who.user, who.n), bytes_str(want));
}

static bool refuses(enum config_client_identity how)
{
	assert_true(X509_sign(leaf, key, EVP_sha256()));
	return !tls_clients_name(leaf, how, &who) && who.n == 0;
}

TEST(clients, a_common_name_is_utf8_whatever_it_was_written_in)
{
	begin();
	cn("alice");
	assert_true(takes(CONFIG_CLIENT_CN, "alice"));
	begin();
	entry(NID_commonName, V_ASN1_BMPSTRING, "\0d\0\xf6", 4);
	assert_true(takes(CONFIG_CLIENT_CN, "d\xc3\xb6"));
	begin();
	entry(NID_commonName, V_ASN1_T61STRING, "d\xf6", 2);
	assert_true(takes(CONFIG_CLIENT_CN, "d\xc3\xb6"));
	begin();
	entry(NID_commonName, V_ASN1_PRINTABLESTRING, "Alice B", 7);
	assert_true(takes(CONFIG_CLIENT_CN, "Alice B"));
}

static void role_is(unsigned i, const char *want)
{
	assert_true(bytes_eq(BYTES(who.role[i], who.role_n[i]), bytes_str(want)));
}

TEST(clients, the_organisations_are_roles)
{
	static const char longest[] =
		"1234567890123456789012345678901234567890123456789012345678901234x";
	begin();
	cn("alice");
	assert_true(takes(CONFIG_CLIENT_CN, "alice"));
	assert_int_equal(who.n_roles, 0);
	entry(NID_organizationName, V_ASN1_UTF8STRING, "ops", 3);
	entry(NID_organizationName, V_ASN1_UTF8STRING, "a\0b", 3); /* none */
	entry(NID_organizationName, V_ASN1_UTF8STRING, "ops", 3);  /* once is enough */
	entry(NID_organizationName, V_ASN1_T61STRING, "S\xf6hne", 5);
	entry(NID_organizationName, V_ASN1_UTF8STRING, longest, 64);
	assert_true(takes(CONFIG_CLIENT_CN, "alice"));
	assert_int_equal(who.n_roles, 3);
	role_is(0, "ops");
	role_is(1, "S\xc3\xb6hne");
	assert_int_equal(who.role_n[2], 64);
	entry(NID_organizationName, V_ASN1_UTF8STRING, "d", 1);
	entry(NID_organizationName, V_ASN1_UTF8STRING, "e", 1);
	assert_true(takes(CONFIG_CLIENT_CN, "alice"));
	assert_int_equal(who.n_roles, 4); /* the first of them */
	role_is(3, "d");
	assert_true(refuses(CONFIG_CLIENT_DNS));
	assert_int_equal(who.n_roles, 0);
}

TEST(clients, what_is_no_user_id_is_refused_and_not_mended)
{
	static const struct bytes bad[] = {
#define ROW(text) {(const uint8_t *)(text), sizeof(text) - 1}
		ROW(""),         ROW("a\0b"), ROW("a\0"),  ROW("\n"),           ROW("a\x7f"),
		ROW("\xc2\x85"), ROW("a:b"),  ROW("\xff"), ROW("\xed\xa0\x80"), ROW(":"),
#undef ROW
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		begin();
		if (utf8_valid(bad[i])) /* else the library reads no such certificate */
			entry(NID_commonName, V_ASN1_UTF8STRING, bad[i].p, bad[i].n);
		assert_msg(refuses(CONFIG_CLIENT_CN), "row %zu", i);
		GENERAL_NAMES *all = GENERAL_NAMES_new();
		san(all, GEN_DNS, bad[i].p, bad[i].n);
		san(all, GEN_EMAIL, bad[i].p, bad[i].n);
		X509_add1_ext_i2d(leaf, NID_subject_alt_name, all, 0, X509V3_ADD_REPLACE);
		GENERAL_NAMES_free(all);
		assert_msg(refuses(CONFIG_CLIENT_DNS), "row %zu", i);
		assert_msg(refuses(CONFIG_CLIENT_EMAIL), "row %zu", i);
	}
}

TEST(clients, a_name_is_as_long_as_a_user_id)
{
	char text[IDENTITY_USER_MAX + 2];
	begin();
	memset(text, 'x', sizeof(text));
	text[IDENTITY_USER_MAX] = 0;
	put_san(GEN_URI, (const char *const[]){text, NULL});
	assert_true(takes(CONFIG_CLIENT_URI, text));
	text[IDENTITY_USER_MAX] = 'x';
	text[IDENTITY_USER_MAX + 1] = 0;
	put_san(GEN_URI, (const char *const[]){text, NULL});
	assert_true(refuses(CONFIG_CLIENT_URI));
}

TEST(clients, of_two_common_names_none_is_picked)
{
	begin();
	cn("a");
	cn("b");
	assert_true(refuses(CONFIG_CLIENT_CN));
}

TEST(clients, a_name_of_another_kind_is_none)
{
	begin();
	assert_true(refuses(CONFIG_CLIENT_CN));
	assert_true(refuses(CONFIG_CLIENT_SUBJECT));
	cn("alice");
	assert_true(refuses(CONFIG_CLIENT_DNS));
	put_san(GEN_EMAIL, (const char *const[]){"alice@example.org", NULL});
	assert_true(refuses(CONFIG_CLIENT_DNS));
	assert_true(refuses(CONFIG_CLIENT_URI));
	assert_true(takes(CONFIG_CLIENT_EMAIL, "alice@example.org"));
	put_san(GEN_URI, (const char *const[]){"spiffe://a/b", "spiffe://a/c", NULL});
	assert_true(takes(CONFIG_CLIENT_URI, "spiffe://a/b"));
}

TEST(clients, a_subject_is_written_as_rfc_2253_has_it)
{
	begin();
	entry(NID_organizationName, V_ASN1_UTF8STRING, "Ex, ample", 9);
	cn("d\xc3\xb6rte");
	assert_true(takes(CONFIG_CLIENT_SUBJECT, "CN=d\xc3\xb6rte,O=Ex\\, ample"));
	entry(NID_organizationalUnitName, V_ASN1_UTF8STRING, "a\0b", 3);
	assert_true(takes(CONFIG_CLIENT_SUBJECT, "OU=a\\00b,CN=d\xc3\xb6rte,O=Ex\\, ample"));
	entry(NID_organizationalUnitName, V_ASN1_UTF8STRING, "\xc2\x9b", 2);
	assert_true(refuses(CONFIG_CLIENT_SUBJECT));
}

TEST_MAIN()
