/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "base/random.h"

#include <ctype.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(random, uuid_has_version_variant_and_shape)
{
	char text[RANDOM_UUID_LEN + 1];

	for (int round = 0; round < 1000; round++) {
		random_uuid_text(text);
		assert_int_equal(strlen(text), RANDOM_UUID_LEN);
		for (int i = 0; i < RANDOM_UUID_LEN; i++) {
			if (i == 8 || i == 13 || i == 18 || i == 23)
				assert_int_equal(text[i], '-');
			else
				assert_true(isxdigit(text[i]) && !isupper(text[i]));
		}
		assert_int_equal(text[14], '4');
		assert_non_null(strchr("89ab", text[19]));
	}
}

TEST(random, uuid_prints_its_bytes_in_order)
{
	static const uint8_t uuid[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x46, 0x77,
					 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
	char text[RANDOM_UUID_LEN + 1];

	random_uuid_print(uuid, text);
	assert_string_equal(text, "00112233-4455-4677-8899-aabbccddeeff");
}

TEST(random, draws_do_not_repeat_across_refills)
{
	static uint64_t seen[4096];

	for (unsigned i = 0; i < 4096; i++) {
		seen[i] = random_u64();
		for (unsigned k = i > 200 ? i - 200 : 0; k < i; k++)
			assert_int_not_equal(seen[i], seen[k]);
	}
}

TEST(random, any_length_is_filled)
{
	uint8_t buf[700];

	for (size_t n = 0; n <= 600; n += 37) {
		memset(buf, 0, sizeof(buf));
		random_bytes(buf + 1, n);
		assert_int_equal(buf[0], 0);
		assert_int_equal(buf[n + 1], 0);
		unsigned zeros = 0;
		for (size_t i = 1; i <= n; i++)
			zeros += buf[i] == 0;
		assert_true(zeros <= n / 16 + 4);
	}
}

TEST(random, below_stays_below_and_reaches_all)
{
	unsigned bins[6] = {0};

	for (int i = 0; i < 6000; i++)
		bins[random_below(6)]++;
	for (int i = 0; i < 6; i++)
		assert_in_range(bins[i], 700, 1300);
	assert_int_equal(random_below(1), 0);
}

TEST(random, a_forked_child_that_reseeds_draws_its_own)
{
	int fds[2];
	uint64_t child, parent;

	(void)random_u64(); /* something is buffered now, and the child inherits it */
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		random_reseed();
		child = random_u64();
		_exit(write(fds[1], &child, sizeof(child)) != sizeof(child));
	}
	parent = random_u64();
	assert_int_equal(read(fds[0], &child, sizeof(child)), sizeof(child));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_not_equal(child, parent);
	close(fds[0]);
	close(fds[1]);
}

TEST_MAIN()
