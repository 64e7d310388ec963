/* SPDX-License-Identifier: BSD-2-Clause */
/* test_plan.c - what a sluice.conf's policy is, flattened; and that nothing else is believed of
 * whoever has read one for us. */
#include "test.h"

#include <stdlib.h>

#include "keeper/plan.h"

static struct plan *plan_of(const char *text)
{
	struct config_errors errs = {0};
	struct config *cfg = config_load_string(text, "/nonexistent", &errs);
	struct plan *p = malloc(sizeof(*p));

	if (!cfg)
		config_error_print(&errs, stderr);
	assert_non_null(cfg);
	assert_non_null(p);
	memset(p, 0xa5, sizeof(*p)); /* what is not written would be seen */
	plan_of_config(p, cfg);
	config_free(cfg);
	config_errors_fini(&errs);
	return p;
}

#define CLASSES                                                                                    \
	"shield = { rate_classes = ( { name = \"api\"; syns = 100; burst = \"2 s\"; },"            \
	" { name = \"bulk\"; packets = 0; } ); protect = ("                                        \
	" { prefix = \"192.0.2.1\"; port = 443; rate = \"api\"; },"                                \
	" { prefix = \"192.0.2.1\"; port = \"8000-8009\"; rate = \"bulk\"; },"                     \
	" { prefix = \"2001:db8::/32\"; port = 80; } ); };"

TEST(plan, each_protected_port_has_its_rate_class_and_the_first_is_the_default)
{
	struct plan *p = plan_of(CLASSES);

	assert_int_equal(p->n_rates, 3);
	assert_string_equal(p->rates[0].name, "default");
	assert_string_equal(p->rates[1].name, "api");
	assert_string_equal(p->rates[2].name, "bulk");
	assert_int_equal(p->rates[1].syns.interval_ns, 10000000);
	assert_int_equal(p->rates[1].syns.ahead_ns + p->rates[1].syns.interval_ns, 2000000000);
	assert_int_equal(p->rates[2].packets.interval_ns, 0);
	assert_int_equal(p->rates[2].packets.ahead_ns, SHIELD_AHEAD_MAX);
	assert_int_equal(p->protect[0].rate, 1);
	assert_int_equal(p->protect[1].rate, 2);
	assert_int_equal(p->protect[2].rate, 0);
	assert_true(plan_is_sound(p));
	free(p);
}

TEST(plan, a_class_named_default_is_the_one_for_all_that_names_none)
{
	struct plan *p = plan_of("shield = { rate_classes = ( { name = \"default\"; syns = 7; } );"
				 "protect = ( { prefix = \"192.0.2.1\"; port = 443; } ); };");

	assert_int_equal(p->n_rates, 1);
	assert_int_equal(p->rates[0].syns.interval_ns, 1000000000u / 7);
	assert_int_equal(p->protect[0].rate, 0);
	free(p);
}

TEST(plan, what_the_conf_says_by_default_is_the_shields_own_default)
{
	struct plan *p = plan_of("shield = { rate_classes = ( { name = \"same\"; } ); };");
	struct shield_rate want = shield_rate_default();

	memcpy(want.name, "same\0\0\0", sizeof("default"));
	assert_memory_equal(&p->rates[1], &want, sizeof(want));
	free(p);
}

TEST(plan, the_same_file_makes_the_same_bytes_and_another_class_others)
{
	struct plan *a = plan_of(CLASSES), *b = plan_of(CLASSES);

	assert_true(plan_equal(a, b));
	b->rates[1].syns.ahead_ns++;
	assert_false(plan_equal(a, b));
	free(a);
	free(b);
}

TEST(plan, another_door_for_managers_makes_another_plan)
{
	struct plan *a = plan_of("shield = { manage = { prefixes = \"192.0.2.0/28 2001:db8::/64\"; "
				 "ports = (22, \"8000-8099\"); }; };");
	struct plan *b = plan_of("");

	assert_int_equal(a->manage.n_who, 2);
	assert_int_equal(a->manage.who[1].bits, 64);
	assert_int_equal(a->manage.n_ports, 2);
	assert_int_equal(a->manage.ports[1].last, 8099);
	assert_int_equal(b->manage.n_who, 0);
	assert_true(plan_is_sound(a) && plan_is_sound(b));
	assert_false(plan_equal(a, b) || plan_manage_equal(&a->manage, &b->manage));
	b->manage = a->manage;
	assert_true(plan_equal(a, b));
	free(a);
	free(b);
}

TEST(plan, of_a_reader_nothing_is_believed_that_no_file_says)
{
	struct plan *p = plan_of(CLASSES), *good = plan_of(CLASSES);

	p->protect[0].rate = 3; /* a class that is not there */
	assert_false(plan_is_sound(p));
	*p = *good;
	p->n_rates = SHIELD_RATES_MAX + 1;
	assert_false(plan_is_sound(p));
	*p = *good;
	p->n_rates = 0;
	assert_false(plan_is_sound(p));
	*p = *good;
	memset(p->rates[1].name, 'a', sizeof(p->rates[1].name));
	assert_false(plan_is_sound(p));
	*p = *good;
	p->rates[2].net_connections.ahead_ns = SHIELD_AHEAD_MAX + 1; /* never a token */
	assert_false(plan_is_sound(p));
	*p = *good;
	p->rates[2].packets.interval_ns = 1000000001;
	assert_false(plan_is_sound(p));
	*p = *good;
	p->protect[1].last = 7999;
	assert_false(plan_is_sound(p));
	*p = *good;
	p->manage.n_who = SHIELD_MANAGE_MAX + 1;
	assert_false(plan_is_sound(p));
	*p = *good;
	p->manage.n_ports = PLAN_MANAGE_PORTS_MAX + 1;
	assert_false(plan_is_sound(p));
	*p = *good;
	p->manage.n_who = 1;
	assert_false(plan_is_sound(p)); /* of no family */
	*p = *good;
	p->manage.ports[0].first = 23; /* to 22 */
	assert_false(plan_is_sound(p));
	*p = *good;
	assert_true(plan_is_sound(p));
	free(p);
	free(good);
}

TEST_MAIN()
