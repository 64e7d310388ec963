/* SPDX-License-Identifier: BSD-2-Clause */
/* material.c - certificates and keys on their way from files to bytes.
 *
 * Runs in the keeper, which may read key files; workers get the bytes by the fork and
 * hold them only until their contexts are made. Everything that a handshake would
 * stumble over later is found in check.c, with the name of the file. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/random.h"
#include "tls/clients.h"
#include "tls/internal.h"

#define PEM_BYTES_MAX (1u << 20)
#define DEV_DAYS      825

struct bytes tls_slurp(const char *file, const char *what)
{
	struct bytes none = {NULL, 0};
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0) {
		log_error("tls: %s %s: %s", what, file, strerror(errno));
		if (fd >= 0)
			close(fd);
		return none;
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > PEM_BYTES_MAX) {
		log_error("tls: %s %s: not a file of 1 byte to 1 MiB", what, file);
		close(fd);
		return none;
	}
	uint8_t *p = malloc((size_t)st.st_size);
	size_t n = 0;
	while (p != NULL && n < (size_t)st.st_size) {
		ssize_t r = read(fd, p + n, (size_t)st.st_size - n);
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	close(fd);
	return p ? BYTES(p, n) : none;
}

/* Likewise, of what nobody else should know. */
static struct bytes slurp_secret(const char *file, const char *what)
{
	struct stat st;
	if (stat(file, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)))
		log_warn("tls: %s %s can be %s by everybody on this machine: chmod 600", what, file,
			 st.st_mode & S_IROTH ? "read" : "written");
	return tls_slurp(file, what);
}

/* ── the development certificate ── */

static bool dev_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	bool ok = e != NULL && X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	return ok;
}

static X509 *dev_sign(EVP_PKEY *key)
{
	char host[256] = "localhost", san[512];
	gethostname(host, sizeof(host) - 1);
	snprintf(san, sizeof(san), "DNS:localhost,DNS:*.localhost,DNS:%s,IP:127.0.0.1,IP:::1",
		 host);
	X509 *x = X509_new();
	uint8_t serial[16];
	random_bytes(serial, sizeof(serial));
	serial[0] &= 0x7f;
	BIGNUM *bn = BN_bin2bn(serial, sizeof(serial), NULL);
	X509_NAME *name = X509_get_subject_name(x);
	bool ok = X509_set_version(x, X509_VERSION_3) && bn &&
		  BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) &&
		  X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
		  X509_gmtime_adj(X509_getm_notAfter(x), DEV_DAYS * 86400L) &&
		  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					     (const uint8_t *)"Sluice development", -1, -1, 0) &&
		  X509_set_issuer_name(x, name) && X509_set_pubkey(x, key) &&
		  dev_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
		  dev_extension(x, NID_key_usage, "critical,digitalSignature") &&
		  dev_extension(x, NID_ext_key_usage, "serverAuth") &&
		  dev_extension(x, NID_subject_alt_name, san) && X509_sign(x, key, EVP_sha256());
	BN_free(bn);
	if (!ok) {
		X509_free(x);
		return NULL;
	}
	return x;
}

/* Written beside and renamed, so that no half file is ever found. */
static int write_pem(const char *file, mode_t mode, X509 *x, EVP_PKEY *key)
{
	char beside[PATH_MAX];
	if (snprintf(beside, sizeof(beside), "%s.new", file) >= (int)sizeof(beside))
		return -ENAMETOOLONG;
	int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	FILE *f = fdopen(fd, "w");
	bool ok = f && (x ? PEM_write_X509(f, x) :
			    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	if (f ? fclose(f) != 0 : close(fd) != 0)
		ok = false;
	if (!ok || rename(beside, file) != 0) {
		int err = errno ? -errno : -EIO;
		unlink(beside);
		return err;
	}
	return 0;
}

int tls_dev_certificate(const char *cert_file, const char *key_file)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	EVP_PKEY *key = EVP_PKEY_new();
	X509 *x = NULL;
	int err = -ENOMEM;
	if (ec && key && EC_KEY_generate_key(ec) && EVP_PKEY_set1_EC_KEY(key, ec) &&
	    (x = dev_sign(key)) != NULL) {
		err = write_pem(key_file, 0600, NULL, key);
		if (err == 0)
			err = write_pem(cert_file, 0644, x, NULL);
	}
	X509_free(x);
	EVP_PKEY_free(key);
	EC_KEY_free(ec);
	return err;
}

/* Can the two be served with? Each may be whole and yet not the other's: they are written one after
 * the other. */
static bool dev_pair(const char *cert_file, const char *key_file)
{
	if (access(cert_file, R_OK) != 0 || access(key_file, R_OK) != 0)
		return false;
	struct bytes cert = tls_slurp(cert_file, "certificate"), pem = tls_slurp(key_file, "key");
	STACK_OF(X509) *chain = cert.p ? tls_pem_chain(cert) : NULL;
	EVP_PKEY *key = pem.p ? tls_pem_key(pem) : NULL;
	X509 *leaf = chain ? sk_X509_value(chain, 0) : NULL;
	bool good = leaf && key && X509_check_private_key(leaf, key) &&
		    X509_cmp_current_time(X509_get0_notAfter(leaf)) > 0;
	if (!good)
		tls_error_text(); /* the library's, which nobody else should find */
	sk_X509_pop_free(chain, X509_free);
	EVP_PKEY_free(key);
	free((void *)cert.p);
	free((void *)pem.p);
	return good;
}

/* Made when one of the two is missing, has run out, or does not go with the other. */
static bool dev_files(const struct config *cfg, const char *cert, const char *key)
{
	if (mkdir(cfg->state_dir, 0700) != 0 && errno != EEXIST) {
		log_error("tls: state_dir %s: %s: make it, or name another in sluice.conf",
			  cfg->state_dir, strerror(errno));
		return false;
	}
	if (dev_pair(cert, key))
		return true;
	int err = tls_dev_certificate(cert, key);
	if (err != 0) {
		log_error("tls: development certificate %s: %s", cert, strerror(-err));
		return false;
	}
	log_info("tls: made a development certificate: %s (self-signed, for this host only)", cert);
	return true;
}

/* ── loading ── */

/* Where certificate i lies; the development one has its place in state_dir. */
bool tls_material_names(const struct config *cfg, uint32_t i, char *cert_file, char *key_file)
{
	const struct config_certificate *cert = &cfg->certificates[i];
	const char *cert_fmt = cert->dev ? "%s/%s.crt" : "%s%s",
		   *key_fmt = cert->dev ? "%s/%s.key" : "%s%s";
	const char *dir = cert->dev ? cfg->state_dir : "";
	if (snprintf(cert_file, PATH_MAX, cert_fmt, dir, cert->dev ? cert->name : cert->cert_file) <
		    PATH_MAX &&
	    snprintf(key_file, PATH_MAX, key_fmt, dir, cert->dev ? cert->name : cert->key_file) <
		    PATH_MAX)
		return true;
	log_error("tls: certificate \"%s\": the path is too long", cert->name);
	return false;
}

static bool load_one(const struct config *cfg, uint32_t i, struct tls_pem *pem)
{
	char cert_file[PATH_MAX], key_file[PATH_MAX];
	if (!tls_material_names(cfg, i, cert_file, key_file) ||
	    (cfg->certificates[i].dev && !dev_files(cfg, cert_file, key_file)))
		return false;
	const char *ocsp_file = cfg->certificates[i].ocsp_file;
	pem->cert = tls_slurp(cert_file, "certificate");
	pem->key = slurp_secret(key_file, "key");
	if (ocsp_file)
		pem->ocsp = tls_slurp(ocsp_file, "OCSP response");
	return pem->cert.p && pem->key.p && (!ocsp_file || pem->ocsp.p);
}

bool tls_tickets_load(const struct config *cfg, struct tls_tickets *out)
{
	const char *file = cfg->tls.ticket_key_file;
	out->n = 0;
	if (file == NULL)
		return true;
	struct bytes text = slurp_secret(file, "ticket keys");
	const char *why = text.p ? tls_tickets_parse(text, out) : NULL;
	if (why)
		log_error("tls: ticket keys %s: %s", file, why);
	if (text.p)
		OPENSSL_cleanse((void *)text.p, text.n);
	free((void *)text.p);
	return out->n > 0 && why == NULL;
}

struct tls_material *tls_material_load(const struct config *cfg)
{
	struct tls_material *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->n = cfg->n_certificates;
	m->pem = calloc(m->n ? m->n : 1, sizeof(*m->pem));
	bool ok = m->pem != NULL;
	for (uint32_t i = 0; m->pem && i < m->n; i++)
		ok &= load_one(cfg, i, &m->pem[i]);
	ok &= tls_trust_load(cfg, m);
	ok = ok && tls_tickets_load(cfg, &m->tickets);
	if (ok)
		return m;
	tls_material_free(m);
	return NULL;
}

void tls_material_compare(struct tls_material *m, const struct tls_material *in_use)
{
	for (uint32_t i = 0; i < m->n && i < in_use->n; i++)
		m->pem[i].in_use = bytes_eq(m->pem[i].cert, in_use->pem[i].cert);
	for (uint32_t i = 0; i < m->n_trust && i < in_use->n_trust; i++)
		m->trust[i].in_use = bytes_eq(m->trust[i].ca, in_use->trust[i].ca);
}

void tls_material_files(const struct config *cfg, void (*file)(const char *path, void *arg),
			void *arg)
{
	for (uint32_t i = 0; i < cfg->n_certificates; i++) {
		char cert_file[PATH_MAX], key_file[PATH_MAX];
		if (!tls_material_names(cfg, i, cert_file, key_file))
			continue;
		file(cert_file, arg);
		file(key_file, arg);
		if (cfg->certificates[i].ocsp_file)
			file(cfg->certificates[i].ocsp_file, arg);
	}
	for (uint32_t i = 0; i < cfg->n_listeners; i++) {
		const struct config_listener *l = &cfg->listeners[i];
		if (l->client_ca_file)
			file(l->client_ca_file, arg);
		if (l->client_crl_file)
			file(l->client_crl_file, arg);
	}
	if (cfg->tls.ticket_key_file)
		file(cfg->tls.ticket_key_file, arg);
}

void tls_material_free(struct tls_material *m)
{
	if (m == NULL)
		return;
	for (uint32_t i = 0; m->pem && i < m->n; i++) {
		OPENSSL_cleanse((void *)m->pem[i].key.p, m->pem[i].key.n);
		free((void *)m->pem[i].key.p);
		free((void *)m->pem[i].cert.p);
		free((void *)m->pem[i].ocsp.p);
	}
	for (uint32_t i = 0; m->trust && i < m->n_trust; i++) {
		free((void *)m->trust[i].ca.p);
		free((void *)m->trust[i].crl.p);
	}
	OPENSSL_cleanse(&m->tickets, sizeof(m->tickets));
	free(m->trust);
	free(m->pem);
	free(m);
}
