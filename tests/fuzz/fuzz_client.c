/* SPDX-License-Identifier: BSD-2-Clause */
/* A client's certificate, and the name in it. The first byte says which kind of name. What is taken must be a user id, and the
 * organisations beside it roles. */
#include <assert.h>
#include <openssl/x509.h>

#include "base/name.h"
#include "tls/clients.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct tls_client who;
	if (n == 0)
		return 0;
	const uint8_t *p = data + 1;
	X509 *x = d2i_X509(NULL, &p, (long)(n - 1));
	enum config_client_identity how = data[0] % (CONFIG_CLIENT_URI + 1);
	if (x != NULL) {
		bool ok = tls_clients_name(x, how, &who);
		struct bytes user = BYTES(who.user, who.n);
		assert(ok == (who.n > 0));
		assert(!ok || name_valid(user, IDENTITY_USER_MAX));
		assert(!ok || how == CONFIG_CLIENT_URI || how == CONFIG_CLIENT_SUBJECT ||
		       memchr(user.p, ':', user.n) == NULL);
		assert(who.n_roles <= IDENTITY_ROLES && (ok || who.n_roles == 0));
		for (uint32_t i = 0; i < who.n_roles; i++)
			assert(name_valid(BYTES(who.role[i], who.role_n[i]), IDENTITY_ROLE_MAX));
	}
	X509_free(x);
	return 0;
}
