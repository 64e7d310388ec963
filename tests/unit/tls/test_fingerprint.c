/* SPDX-License-Identifier: BSD-2-Clause */
/* The two tables of fingerprints: what comes often is never missing, what is denied is until its end. */
#include "test.h"

#include <stdlib.h>

#include "tls/fingerprint.h"

static struct tls_ja4 number(uint32_t n)
{
	struct tls_ja4 j = {.head = "t13d1516h2"};
	memcpy(j.rest, &n, sizeof(n));
	return j;
}

TEST(fingerprint, frequent_ones_are_counted_among_any_number_of_rare_ones)
{
	static struct tls_counted c;
	for (uint32_t i = 0; i < 100000; i++) {
		struct tls_ja4 rare = number(1000 + i), often = number(i % 5);
		tls_counted_add(&c, &rare);
		tls_counted_add(&c, &often);
	}
	assert_int_equal(c.n, TLS_COUNTED);
	uint64_t sum = 0;
	for (uint32_t k = 0, found = 0; k < c.n; k++) {
		const struct tls_count *e = &c.entry[k];
		sum += e->seen;
		for (uint32_t i = 0; i < 5; i++) {
			struct tls_ja4 often = number(i);
			if (memcmp(&e->ja4, &often, sizeof(often)) != 0)
				continue;
			found++;
			assert_true(e->seen >= 20000 && e->seen - e->over <= 20000);
		}
		if (k == c.n - 1)
			assert_int_equal(found, 5);
	}
	assert_int_equal(sum, 200000); /* nobody's count is lost */
}

TEST(fingerprint, a_denial_ends_by_itself_or_when_it_is_taken_away)
{
	static struct tls_denied d;
	struct tls_ja4 a = number(1), b = number(2);
	assert_null(tls_denied_find(&d, &a, 0));
	assert_true(tls_denied_add(&d, &a, 100, 50));
	assert_true(tls_denied_add(&d, &b, UINT64_MAX, 50));
	assert_non_null(tls_denied_find(&d, &a, 99));
	assert_null(tls_denied_find(&d, &a, 100));
	assert_non_null(tls_denied_find(&d, &b, UINT64_MAX - 1));
	assert_true(tls_denied_add(&d, &a, 300, 200)); /* again, in its place */
	assert_int_equal(d.n, 2);
	assert_non_null(tls_denied_find(&d, &a, 299));
	assert_true(tls_denied_del(&d, &a));
	assert_false(tls_denied_del(&d, &a));
	assert_null(tls_denied_find(&d, &a, 250));
	assert_non_null(tls_denied_find(&d, &b, 250));
}

TEST(fingerprint, a_full_table_takes_the_place_of_those_that_are_over)
{
	static struct tls_denied d;
	for (uint32_t i = 0; i < TLS_DENIED; i++) {
		struct tls_ja4 j = number(i);
		assert_true(tls_denied_add(&d, &j, i == 7 ? 10 : 1000, 0));
	}
	struct tls_ja4 one = number(5000), more = number(5001);
	assert_false(tls_denied_add(&d, &one, 1000, 9));
	assert_true(tls_denied_add(&d, &one, 1000, 10));
	assert_false(tls_denied_add(&d, &more, 1000, 10));
	assert_int_equal(d.n, TLS_DENIED);
	assert_non_null(tls_denied_find(&d, &one, 10));
}

TEST_MAIN()
