/* SPDX-License-Identifier: BSD-2-Clause */
/* test_xdp.c - packet → verdict and reason, through the real program.
 *
 * Protected are, in the table:
 *     tcp 443   192.0.2.1 and 2001:db8::1         (what a text means if it says nothing)
 *     tcp 8443  203.0.113.0/24 and 2001:db8:4000::/36
 *     udp 4433  192.0.2.0/28 and 2001:db8::/48
 * Each row runs as if it came from a wire, from loopback, or from both. */
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "run.h"
#include "test.h"

#define WIRE 1
#define LO   2
#define BOTH 3
#define OK   DROP_NONE

/* clang-format off */
static const struct row {
	int from;
	int why;
	const char *packet;
} rows[] = {
	/* ---- what goes on in peace: protected, and passed ---- */
	{BOTH, OK, "ip4 tcp S"},
	{BOTH, OK, "ip4 tcp S opts=5"},
	{BOTH, OK, "ip4 tcp S opts=10"},
	{BOTH, OK, "ip4 tcp SEC opts=5"},           /* ECN asked for */
	{BOTH, OK, "ip4 tcp SEC res=1 opts=5"},     /* accurate ECN: the AE bit too */
	{BOTH, OK, "ip4 tcp A res=14"},             /* reserved bits: receivers ignore them */
	{BOTH, OK, "ip4 tcp SA"},
	{BOTH, OK, "ip4 tcp SAE"},
	{BOTH, OK, "ip4 tcp A"},
	{BOTH, OK, "ip4 tcp A pad=6"},              /* a short frame is padded to 60 bytes */
	{BOTH, OK, "ip4 tcp A opts=3 data=1448"},
	{BOTH, OK, "ip4 tcp PA data=100"},
	{BOTH, OK, "ip4 tcp PAU data=1"},
	{BOTH, OK, "ip4 tcp AU data=1"},
	{BOTH, OK, "ip4 tcp AE data=1"},
	{BOTH, OK, "ip4 tcp AC data=1"},
	{BOTH, OK, "ip4 tcp FA"},
	{BOTH, OK, "ip4 tcp FPA data=10"},
	{BOTH, OK, "ip4 tcp FAU"},
	{BOTH, OK, "ip4 tcp R"},
	{BOTH, OK, "ip4 tcp RA"},
	{BOTH, OK, "ip4 tcp RPA"},                  /* Windows pushes its resets */
	{BOTH, OK, "ip4 tcp RAEC"},
	{BOTH, OK, "ip4 tcp S data=100"},           /* TCP fast open */
	{BOTH, OK, "ip4 tcp SP data=100"},
	{BOTH, OK, "ip4 tcp SU"},
	{BOTH, OK, "ip4 df=1 tcp A"},
	{BOTH, OK, "ip4 tcp A sport=1"},
	{BOTH, OK, "ip4 tcp A sport=65535"},
	{BOTH, OK, "ip4 tcp A sport=443"},
	{BOTH, OK, "ip6 tcp S"},
	{BOTH, OK, "ip6 tcp S opts=5"},
	{BOTH, OK, "ip6 tcp S opts=10"},
	{BOTH, OK, "ip6 tcp SEC res=1"},
	{BOTH, OK, "ip6 tcp SA"},
	{BOTH, OK, "ip6 tcp A"},
	{BOTH, OK, "ip6 tcp A pad=6"},
	{BOTH, OK, "ip6 tcp PA data=1400"},
	{BOTH, OK, "ip6 tcp FA"},
	{BOTH, OK, "ip6 tcp R"},
	{BOTH, OK, "ip6 tcp RA"},
	{BOTH, OK, "ip6 tcp RPA"},
	{BOTH, OK, "ip6 tcp S data=100"},
	{BOTH, OK, "ip4 udp"},
	{BOTH, OK, "ip4 udp data=1200"},
	{BOTH, OK, "ip4 udp sport=0 data=9"},       /* RFC 768: no answer wanted */
	{BOTH, OK, "ip4 dst=192.0.2.15 udp data=1"},
	{BOTH, OK, "ip4 frag=0 mf=1 udp data=800"}, /* UDP may come in pieces */
	{BOTH, OK, "ip4 frag=100 udp data=80"},
	{BOTH, OK, "ip4 udp data=100 len=50"},      /* shorter than the packet: the kernel trims */
	{BOTH, OK, "ip6 udp"},
	{BOTH, OK, "ip6 udp data=1200"},
	{BOTH, OK, "ip6 udp data=20 len=0"},        /* RFC 2675 */
	{BOTH, OK, "ip6 dst=2001:db8:0:7::9 udp data=1"},
	{BOTH, OK, "ip6 frag mf=1 udp data=800"},
	{BOTH, OK, "ip6 frag off=100 next=17 data=80"},
	{BOTH, OK, "ip4 dst=203.0.113.0 tcp S dport=8443"},
	{BOTH, OK, "ip4 dst=203.0.113.255 tcp S dport=8443"},
	{BOTH, OK, "ip6 dst=2001:db8:4000:: tcp S dport=8443"},
	{BOTH, OK, "ip6 dst=2001:db8:4fff:ffff:ffff:ffff:ffff:ffff tcp S dport=8443"},

	/* sources that are odd but real */
	{BOTH, OK, "ip4 src=10.0.0.1 tcp S"},
	{BOTH, OK, "ip4 src=169.254.1.1 tcp S"},
	{BOTH, OK, "ip4 src=240.0.0.1 tcp S"},      /* some clouds hand out 240/4 */
	{BOTH, OK, "ip4 src=255.255.255.254 tcp S"},
	{BOTH, OK, "ip4 src=223.255.255.255 tcp S"},
	{BOTH, OK, "ip4 src=1.0.0.0 tcp S"},
	{BOTH, OK, "ip4 src=128.0.0.1 tcp S"},
	{BOTH, OK, "ip4 src=126.255.255.255 tcp S"},
	{BOTH, OK, "ip6 src=fe80::1 tcp S"},
	{BOTH, OK, "ip6 src=fd00::1 tcp S"},
	{BOTH, OK, "ip6 src=64:ff9b::198.51.100.7 tcp S"}, /* NAT64 */
	{BOTH, OK, "ip6 src=2002:c633:6407::1 tcp S"},     /* 6to4 */
	{BOTH, OK, "ip6 src=::2 tcp S"},
	{BOTH, OK, "ip6 src=::1:0:0:0 tcp S"},
	{LO, OK, "ip4 src=127.0.0.1 tcp S"},
	{LO, OK, "ip4 src=127.255.255.254 tcp S"},
	{LO, OK, "ip6 src=::1 tcp S"},
	{LO, OK, "ip4 src=192.0.2.1 tcp S"},        /* a host that speaks to itself */
	{LO, OK, "ip6 src=2001:db8::1 tcp S"},
	{LO, OK, "ip4 src=192.0.2.1 udp data=1"},

	/* ---- the two doors before the rules ---- */
	{BOTH, UNJUDGED, "arp"},
	{BOTH, UNJUDGED, "vlan arp"},
	{BOTH, UNJUDGED, "ip4 icmp"},
	{BOTH, UNJUDGED, "ip6 icmp6"},
	{BOTH, UNJUDGED, "ip6 hbh icmp6"},          /* MLD */
	{BOTH, UNJUDGED, "ip6 src=:: icmp6"},       /* duplicate address detection */
	{BOTH, UNJUDGED, "ip6 frag mf=1 icmp6 data=100"},
	{BOTH, UNJUDGED, "ip6 frag off=9 next=58 data=100"},
	{BOTH, UNJUDGED, "ip4 opts=1 icmp"},
	{BOTH, UNJUDGED, "ip4 mf=1 icmp data=64"},
	{BOTH, UNJUDGED, "ip4 ihl=4 icmp"},
	{BOTH, UNJUDGED, "ip4 len=9000 icmp"},
	{BOTH, UNJUDGED, "ip6 ver=4 icmp6"},
	{BOTH, UNJUDGED, "ip6 esp data=40"},
	{BOTH, UNJUDGED, "ip4 esp data=40"},
	{BOTH, UNJUDGED, "ip4 proto=47 data=40"},   /* GRE */
	{BOTH, UNJUDGED, "ip4 proto=132 data=40"},  /* SCTP */
	{BOTH, UNJUDGED, "ip4 ip4 tcp S"},          /* a tunnel's inside is not for us */
	{BOTH, UNJUDGED, "ip4 ip6 tcp S"},
	{BOTH, UNJUDGED, "ip6 ip4 tcp S"},
	{BOTH, UNJUDGED, "ip6 ip6 tcp -"},
	{BOTH, UNJUDGED, "ip6 next=59 data=40"},
	{BOTH, UNJUDGED, "ip6 dopt next=59 data=40"},
	{BOTH, UNJUDGED, "ip6 dopt next=135 data=40"}, /* mobility */
	{BOTH, UNJUDGED, "type=0x88cc data=60"},    /* LLDP */
	{BOTH, UNJUDGED, "type=0x8863 data=60"},    /* PPPoE */
	{BOTH, UNJUDGED, "type=0x8847 data=60"},    /* MPLS */
	{BOTH, UNJUDGED, "type=38 data=60"},        /* 802.3 length: spanning tree */

	/* other ports and addresses, however bad */
	{BOTH, UNJUDGED, "ip4 tcp S dport=22"},
	{BOTH, UNJUDGED, "ip4 tcp - dport=22"},
	{BOTH, UNJUDGED, "ip4 tcp SF dport=22"},
	{BOTH, UNJUDGED, "ip4 opts=2 tcp S dport=22"},
	{BOTH, UNJUDGED, "ip4 tcp S doff=2 dport=22"},
	{BOTH, UNJUDGED, "ip4 src=224.0.0.1 tcp S dport=22"},
	{BOTH, UNJUDGED, "ip4 len=9000 tcp S dport=22"},
	{BOTH, UNJUDGED, "ip4 tcp S dport=444"},
	{BOTH, UNJUDGED, "ip4 tcp - dport=0"},      /* not to be taken for "shows no port" */
	{BOTH, UNJUDGED, "ip6 udp dport=0 data=9"},
	{BOTH, UNJUDGED, "ip4 tcp S dport=442"},
	{BOTH, UNJUDGED, "ip4 tcp S dport=8443"},
	{BOTH, UNJUDGED, "ip4 udp dport=443 data=9"},
	{BOTH, UNJUDGED, "ip4 udp dport=53 len=1 data=9"},
	{BOTH, UNJUDGED, "ip4 tcp S dport=4433"},
	{BOTH, UNJUDGED, "ip4 tcp S sport=443 dport=50000"}, /* answers to us as a client */
	{BOTH, UNJUDGED, "ip4 dst=192.0.2.2 tcp S"},
	{BOTH, UNJUDGED, "ip4 dst=192.0.2.0 tcp -"},
	{BOTH, UNJUDGED, "ip4 dst=192.0.2.16 udp data=9"},
	{BOTH, UNJUDGED, "ip4 dst=203.0.112.255 tcp S dport=8443"},
	{BOTH, UNJUDGED, "ip4 dst=203.0.114.0 tcp S dport=8443"},
	{BOTH, UNJUDGED, "ip6 tcp S dport=22"},
	{BOTH, UNJUDGED, "ip6 tcp - dport=22"},
	{BOTH, UNJUDGED, "ip6 dst=2001:db8::2 tcp -"},
	{BOTH, UNJUDGED, "ip6 dst=2001:db8:1:: udp data=9"},
	{BOTH, UNJUDGED, "ip6 dst=2001:db8:5000:: tcp S dport=8443"},
	{BOTH, UNJUDGED, "ip6 dst=2001:db8:3fff:ffff:: tcp S dport=8443"},
	{BOTH, UNJUDGED, "ip6 rt left=1 tcp S dport=22"},
	{BOTH, UNJUDGED, "ip6 dopt tcp - dport=22"},
	{BOTH, UNJUDGED, "ip6 dst=::ffff:192.0.2.1 tcp S"}, /* not the IPv4 address */
	/* without ports: neither address nor protocol is ours */
	{BOTH, UNJUDGED, "ip4 dst=192.0.2.2 mf=1 tcp S"},
	{BOTH, UNJUDGED, "ip4 dst=192.0.2.2 tcp S cut=40"},
	{BOTH, UNJUDGED, "ip4 dst=192.0.2.99 frag=10 udp data=9"},
	{BOTH, UNJUDGED, "ip6 dst=2001:db9::2 frag mf=1 tcp S"},
	{BOTH, UNJUDGED, "ip6 dst=2001:db9::2 dopt cut=60"},
	/* too short to tell for whom */
	{BOTH, UNJUDGED, "cut=14"},
	{BOTH, UNJUDGED, "vlan cut=17"},
	{BOTH, UNJUDGED, "ip4 tcp S cut=15"},
	{BOTH, UNJUDGED, "ip4 tcp S cut=33"},
	{BOTH, UNJUDGED, "ip6 tcp S cut=53"},
	{BOTH, UNJUDGED, "vlan ip4 tcp S cut=37"},
	{BOTH, UNJUDGED, "vlan cut=18"},

	/* ---- tags are handled, not waved through ---- */
	{BOTH, OK, "vlan ip4 tcp S"},
	{BOTH, OK, "vlan vid=7 ip6 tcp S"},
	{BOTH, OK, "qinq ip4 tcp S"},
	{BOTH, OK, "qinq vlan ip4 tcp S"},
	{BOTH, OK, "qinq vlan ip6 tcp S opts=5"},
	{BOTH, OK, "vlan vlan ip4 tcp S"},
	{BOTH, DROP_BAD_TCP_FLAGS, "vlan ip4 tcp -"},
	{BOTH, DROP_BAD_TCP_FLAGS, "qinq vlan ip4 tcp FPU"},
	{BOTH, DROP_BAD_TCP_FLAGS, "qinq vlan ip6 tcp SF"},
	{BOTH, DROP_TCP_FRAGMENT, "vlan ip4 mf=1 tcp S"},
	{BOTH, DROP_TCP_FRAGMENT, "qinq vlan ip6 frag mf=1 tcp S"},
	{BOTH, DROP_BOGUS_SOURCE, "vlan ip4 src=224.1.2.3 tcp S"},
	{BOTH, DROP_IPV4_OPTIONS, "qinq ip4 opts=1 tcp S"},
	{BOTH, DROP_BAD_LENGTH, "vlan ip4 len=2000 tcp S"},
	{BOTH, UNJUDGED, "vlan ip4 tcp S dport=22"},
	{BOTH, OK, "type=0x9100 vlan ip4 tcp S"},       /* before 802.1ad */
	{BOTH, OK, "type=0x9100 vlan vlan ip6 tcp S"},
	{BOTH, OK, "qinq type=0x9100 vlan ip4 tcp S"},
	{BOTH, DROP_BAD_TCP_FLAGS, "type=0x9100 vlan ip4 tcp -"},
	{BOTH, UNJUDGED, "type=0x9200 vlan ip4 tcp -"}, /* no tag to anybody here */

	/* ---- vlan-tags: a third one, and what may be behind it all the same ---- */
	{BOTH, DROP_VLAN_TAGS, "vlan vlan vlan ip4 tcp S"},
	{BOTH, DROP_VLAN_TAGS, "qinq vlan vlan ip4 tcp -"},
	{BOTH, DROP_VLAN_TAGS, "qinq qinq qinq ip6 tcp A"},
	{BOTH, DROP_VLAN_TAGS, "vlan vlan type=0x9100 vlan ip4 tcp S"},
	{BOTH, DROP_VLAN_TAGS, "type=0x9100 vlan type=0x9100 vlan type=0x9100 vlan ip6 tcp S"},
	{BOTH, DROP_VLAN_TAGS, "vlan vlan vlan ip4 udp data=9"},
	{BOTH, DROP_VLAN_TAGS, "vlan vlan vlan ip4 mf=1 tcp S"},
	{BOTH, DROP_VLAN_TAGS, "vlan vlan vlan ip4 src=100.66.3.4 len=9000 tcp S"}, /* the first fault */
	{BOTH, DROP_VLAN_TAGS, "vlan vlan vlan ip6 hbh dopt rt left=1 tcp S"},
	{BOTH, DROP_VLAN_TAGS, "vlan vlan vlan vlan vlan vlan vlan vlan ip4 tcp S"},
	{BOTH, DROP_VLAN_TAGS, "vlan vlan vlan vlan vlan vlan vlan vlan ip6 tcp S"},
	{BOTH, DROP_VLAN_TAGS, "vlan vlan vlan vlan vlan vlan vlan vlan vlan ip4 tcp S"},
	{BOTH, UNJUDGED, "vlan vlan vlan ip4 tcp - dport=22"},
	{BOTH, UNJUDGED, "vlan vlan vlan ip4 dst=192.0.2.2 tcp S"},
	{BOTH, UNJUDGED, "vlan vlan vlan arp"},
	{BOTH, UNJUDGED, "vlan vlan vlan ip4 icmp"},
	{BOTH, UNJUDGED, "vlan vlan vlan ip6 icmp6"},
	{BOTH, UNJUDGED, "vlan vlan vlan vlan vlan vlan vlan vlan ip4 tcp - dport=22"},
	{BOTH, UNJUDGED, "vlan vlan vlan cut=25"},
	{BOTH, UNJUDGED, "vlan vlan vlan vlan vlan vlan vlan vlan vlan cut=45"},
	/* nobody looks behind a ninth, so it may be anybody's */
	{BOTH, DROP_VLAN_TAGS, "vlan vlan vlan vlan vlan vlan vlan vlan vlan cut=46"},
	{BOTH, DROP_VLAN_TAGS, "vlan vlan vlan vlan vlan vlan vlan vlan vlan ip4 tcp S dport=22"},

	/* ---- bad-ip-header ---- */
	{BOTH, DROP_BAD_IP_HEADER, "ip4 ver=0 tcp S"},
	{BOTH, DROP_BAD_IP_HEADER, "ip4 ver=6 tcp S"},
	{BOTH, DROP_BAD_IP_HEADER, "ip4 ver=15 tcp S"},
	{BOTH, DROP_BAD_IP_HEADER, "ip4 ihl=0 tcp S"},
	{BOTH, DROP_BAD_IP_HEADER, "ip4 ihl=4 tcp S"},
	{BOTH, DROP_BAD_IP_HEADER, "ip4 ihl=4 tcp S dport=22"}, /* its ports cannot be believed */
	{BOTH, DROP_BAD_IP_HEADER, "ip4 ihl=1 udp data=9"},
	{BOTH, DROP_BAD_IP_HEADER, "ip4 ihl=4 len=10 tcp S"},
	{BOTH, DROP_BAD_IP_HEADER, "ip6 ver=4 tcp S"},
	{BOTH, DROP_BAD_IP_HEADER, "ip6 ver=0 tcp S"},
	{BOTH, DROP_BAD_IP_HEADER, "ip6 ver=7 udp data=9"},
	{BOTH, DROP_BAD_IP_HEADER, "ip6 ver=4 dopt tcp S"},

	/* ---- bad-length ---- */
	{BOTH, DROP_BAD_LENGTH, "ip4 len=41 tcp S"},
	{BOTH, DROP_BAD_LENGTH, "ip4 len=65535 tcp S"},
	{BOTH, DROP_BAD_LENGTH, "ip4 len=0 tcp S"},
	{BOTH, DROP_BAD_LENGTH, "ip4 len=19 tcp S"},
	{BOTH, DROP_BAD_LENGTH, "ip4 len=1 tcp S"},
	{BOTH, DROP_BAD_LENGTH, "ip4 opts=2 len=24 tcp S"},
	{BOTH, DROP_BAD_LENGTH, "ip4 tcp S data=100 cut=-1"},
	{BOTH, DROP_BAD_LENGTH, "ip4 tcp S data=100 cut=60"},
	{BOTH, DROP_BAD_LENGTH, "ip4 tcp S cut=40"},
	{BOTH, DROP_BAD_LENGTH, "ip4 tcp S cut=34"},
	{BOTH, DROP_BAD_LENGTH, "ip4 ihl=15 tcp S"},            /* header longer than the packet */
	{BOTH, DROP_BAD_LENGTH, "ip4 len=5000 udp data=9"},
	{BOTH, DROP_BAD_LENGTH, "ip4 udp data=9 len=18"},
	{BOTH, DROP_BAD_LENGTH, "ip4 udp data=9 len=7"},
	{BOTH, DROP_BAD_LENGTH, "ip4 udp data=9 len=0"},
	{BOTH, DROP_BAD_LENGTH, "ip4 udp data=9 len=65535"},
	{BOTH, DROP_BAD_LENGTH, "ip4 udp data=9 pad=40 len=30"}, /* padding is no payload */
	{BOTH, DROP_BAD_LENGTH, "ip4 len=3000 mf=1 tcp S"},
	{BOTH, DROP_BAD_LENGTH, "ip6 len=21 tcp S"},
	{BOTH, DROP_BAD_LENGTH, "ip6 len=65535 tcp S"},
	{BOTH, DROP_BAD_LENGTH, "ip6 tcp S data=100 cut=-1"},
	{BOTH, DROP_BAD_LENGTH, "ip6 tcp S cut=60"},
	{BOTH, DROP_BAD_LENGTH, "ip6 tcp S cut=54"},
	{BOTH, DROP_BAD_LENGTH, "ip6 len=400 dopt tcp S"},
	{BOTH, DROP_BAD_LENGTH, "ip6 len=400 frag mf=1 tcp S"},
	{BOTH, DROP_BAD_LENGTH, "ip6 udp data=9 len=18"},
	{BOTH, DROP_BAD_LENGTH, "ip6 udp data=9 len=7"},

	/* ---- truncated: the lengths agree, the header does not fit ---- */
	{BOTH, DROP_TRUNCATED, "ip4 len=39 tcp S"},
	{BOTH, DROP_TRUNCATED, "ip4 len=20 tcp S"},
	{BOTH, DROP_TRUNCATED, "ip4 len=24 tcp S"},
	{BOTH, DROP_TRUNCATED, "ip4 len=24 tcp S dport=22"}, /* ports count from a whole header only */
	{BOTH, DROP_TRUNCATED, "ip4 proto=6"},
	{BOTH, DROP_TRUNCATED, "ip4 proto=6 data=19"},
	{BOTH, DROP_TRUNCATED, "ip4 proto=6 pad=40"},
	{BOTH, DROP_TRUNCATED, "ip4 proto=17 data=7"},
	{BOTH, DROP_TRUNCATED, "ip4 proto=17"},
	{BOTH, DROP_TRUNCATED, "ip6 next=6"},
	{BOTH, DROP_TRUNCATED, "ip6 next=6 data=19"},
	{BOTH, DROP_TRUNCATED, "ip6 len=0 tcp S"},
	{BOTH, DROP_TRUNCATED, "ip6 len=19 tcp S"},
	{BOTH, DROP_TRUNCATED, "ip6 next=17 data=7"},
	{BOTH, DROP_TRUNCATED, "ip6 next=60"},
	{BOTH, DROP_TRUNCATED, "ip6 next=60 data=7"},
	{BOTH, DROP_TRUNCATED, "ip6 dopt next=6"},
	{BOTH, DROP_TRUNCATED, "ip6 dopt next=6 data=19"},
	{BOTH, DROP_TRUNCATED, "ip6 len=16 dopt n=1 tcp S"},
	{BOTH, DROP_TRUNCATED, "ip6 len=15 dopt n=1 tcp S"},
	{BOTH, DROP_TRUNCATED, "ip6 len=0 hbh tcp S"},        /* jumbo that is none */
	{BOTH, DROP_TRUNCATED, "ip6 frag mf=1 next=60"},      /* RFC 7112: all headers in the first piece */
	{BOTH, DROP_TRUNCATED, "ip6 frag next=44"},

	/* ---- ipv6-ext ---- */
	{BOTH, OK, "ip6 hbh tcp S"},
	{BOTH, OK, "ip6 dopt tcp S"},
	{BOTH, OK, "ip6 dopt n=3 tcp S"},
	{BOTH, OK, "ip6 dopt n=255 tcp S"},
	{BOTH, OK, "ip6 rt tcp S"},                           /* nothing left to visit */
	{BOTH, OK, "ip6 rt type=2 n=2 tcp S"},
	{BOTH, OK, "ip6 ah n=4 tcp S"},
	{BOTH, OK, "ip6 ah n=5 udp data=9"},
	{BOTH, OK, "ip6 frag tcp S"},                         /* atomic: RFC 6946 */
	{BOTH, OK, "ip6 hbh dopt rt frag ah dopt tcp S"},     /* RFC 8200's full order */
	{BOTH, OK, "ip6 dopt dopt dopt dopt dopt dopt dopt dopt tcp S"},
	{BOTH, OK, "ip6 hbh dopt n=2 rt udp data=9"},
	{BOTH, DROP_IPV6_EXT, "ip6 dopt dopt dopt dopt dopt dopt dopt dopt dopt tcp S"},
	{BOTH, DROP_IPV6_EXT, "ip6 hbh dopt dopt dopt dopt dopt dopt dopt dopt tcp S dport=22"},
	{BOTH, DROP_IPV6_EXT, "ip6 dopt hbh tcp S"},
	{BOTH, DROP_IPV6_EXT, "ip6 hbh hbh tcp S"},
	{BOTH, DROP_IPV6_EXT, "ip6 rt left=1 tcp S"},         /* type 0, RFC 5095 */
	{BOTH, DROP_IPV6_EXT, "ip6 rt type=4 left=2 n=4 tcp S"},
	{BOTH, DROP_IPV6_EXT, "ip6 rt type=2 left=1 n=2 udp data=9"},
	{BOTH, DROP_IPV6_EXT, "ip6 rt left=255 tcp -"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 dopt tcp -"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 hbh dopt rt ah tcp SF"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 frag tcp -"},
	{BOTH, DROP_BAD_TCP_OFFSET, "ip6 dopt tcp S doff=4"},

	/* ---- tcp-fragment ---- */
	{BOTH, DROP_TCP_FRAGMENT, "ip4 mf=1 tcp S"},
	{BOTH, DROP_TCP_FRAGMENT, "ip4 mf=1 tcp S data=800"},
	{BOTH, DROP_TCP_FRAGMENT, "ip4 frag=1 proto=6 data=100"},
	{BOTH, DROP_TCP_FRAGMENT, "ip4 frag=8191 proto=6 data=8"},
	{BOTH, DROP_TCP_FRAGMENT, "ip4 frag=100 mf=1 proto=6 data=800"},
	{BOTH, DROP_TCP_FRAGMENT, "ip4 mf=1 proto=6 data=8"},      /* the tiny first piece */
	{BOTH, DROP_TCP_FRAGMENT, "ip4 mf=1 proto=6"},
	{BOTH, DROP_TCP_FRAGMENT, "ip4 mf=1 tcp S dport=22"},      /* by address, not by port */
	{BOTH, DROP_TCP_FRAGMENT, "ip4 df=1 mf=1 tcp S"},
	{BOTH, DROP_TCP_FRAGMENT, "ip4 dst=203.0.113.9 mf=1 tcp S"},
	{BOTH, DROP_TCP_FRAGMENT, "ip6 frag mf=1 tcp S"},
	{BOTH, DROP_TCP_FRAGMENT, "ip6 frag mf=1 tcp S dport=22"},
	{BOTH, DROP_TCP_FRAGMENT, "ip6 frag off=1 next=6 data=100"},
	{BOTH, DROP_TCP_FRAGMENT, "ip6 frag off=8191 next=6 data=8"},
	{BOTH, DROP_TCP_FRAGMENT, "ip6 frag off=1 mf=1 next=6 data=100"},
	{BOTH, DROP_TCP_FRAGMENT, "ip6 frag off=1 next=60 data=100"}, /* what it carries cannot be known */
	{BOTH, DROP_TCP_FRAGMENT, "ip6 frag mf=1 dopt tcp S"},
	{BOTH, DROP_TCP_FRAGMENT, "ip6 hbh frag mf=1 tcp S"},
	{BOTH, DROP_TCP_FRAGMENT, "ip6 frag mf=1 frag tcp S"},
	{BOTH, DROP_TCP_FRAGMENT, "ip6 frag frag mf=1 tcp S"},

	/* ---- ip-options ---- */
	{BOTH, DROP_IPV4_OPTIONS, "ip4 opts=1 tcp S"},
	{BOTH, DROP_IPV4_OPTIONS, "ip4 opts=10 tcp S"},
	{BOTH, DROP_IPV4_OPTIONS, "ip4 opts=1 udp data=9"},
	{BOTH, DROP_IPV4_OPTIONS, "ip4 opts=1 mf=1 tcp S"},
	{BOTH, DROP_IPV4_OPTIONS, "ip4 opts=3 tcp -"},

	/* ---- bogus-source ---- */
	{BOTH, DROP_BOGUS_SOURCE, "ip4 src=0.0.0.0 tcp S"},
	{BOTH, DROP_BOGUS_SOURCE, "ip4 src=0.1.2.3 tcp S"},
	{BOTH, DROP_BOGUS_SOURCE, "ip4 src=224.0.0.1 tcp S"},
	{BOTH, DROP_BOGUS_SOURCE, "ip4 src=239.255.255.255 tcp S"},
	{BOTH, DROP_BOGUS_SOURCE, "ip4 src=255.255.255.255 tcp S"},
	{BOTH, DROP_BOGUS_SOURCE, "ip4 src=255.255.255.255 udp data=9"},
	{BOTH, DROP_BOGUS_SOURCE, "ip4 src=224.0.0.1 frag=9 udp data=9"},
	{WIRE, DROP_BOGUS_SOURCE, "ip4 src=127.0.0.1 tcp S"},
	{WIRE, DROP_BOGUS_SOURCE, "ip4 src=127.255.255.255 tcp S"},
	{WIRE, DROP_BOGUS_SOURCE, "ip4 src=127.0.0.1 udp data=9"},
	{BOTH, DROP_BOGUS_SOURCE, "ip6 src=:: tcp S"},
	{BOTH, DROP_BOGUS_SOURCE, "ip6 src=ff02::1 tcp S"},
	{BOTH, DROP_BOGUS_SOURCE, "ip6 src=ff00:: udp data=9"},
	{BOTH, DROP_BOGUS_SOURCE, "ip6 src=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff tcp S"},
	{BOTH, DROP_BOGUS_SOURCE, "ip6 src=::ffff:198.51.100.7 tcp S"},
	{BOTH, DROP_BOGUS_SOURCE, "ip6 src=::ffff:127.0.0.1 tcp S"},
	{WIRE, DROP_BOGUS_SOURCE, "ip6 src=::1 tcp S"},
	{WIRE, DROP_BOGUS_SOURCE, "ip6 src=::1 dopt tcp -"},

	/* ---- land ---- */
	{BOTH, DROP_LAND, "ip4 src=192.0.2.1 tcp S sport=443"},
	{WIRE, DROP_LAND, "ip4 src=192.0.2.1 tcp S"},
	{WIRE, DROP_LAND, "ip4 src=192.0.2.1 udp data=9"},
	{BOTH, DROP_LAND, "ip4 src=192.0.2.1 udp sport=4433 data=9"},
	{WIRE, DROP_LAND, "ip4 src=192.0.2.1 frag=9 udp data=9"},
	{BOTH, DROP_LAND, "ip6 src=2001:db8::1 tcp S sport=443"},
	{WIRE, DROP_LAND, "ip6 src=2001:db8::1 tcp S"},
	{BOTH, DROP_LAND, "ip6 src=2001:db8::1 udp sport=4433"},

	/* ---- port-zero ---- */
	{BOTH, DROP_PORT_ZERO, "ip4 tcp S sport=0"},
	{BOTH, DROP_PORT_ZERO, "ip4 tcp A sport=0 data=9"},
	{BOTH, DROP_PORT_ZERO, "ip6 tcp S sport=0"},

	/* ---- bad-tcp-offset ---- */
	{BOTH, DROP_BAD_TCP_OFFSET, "ip4 tcp S doff=0"},
	{BOTH, DROP_BAD_TCP_OFFSET, "ip4 tcp S doff=4"},
	{BOTH, DROP_BAD_TCP_OFFSET, "ip4 tcp S doff=6"},
	{BOTH, DROP_BAD_TCP_OFFSET, "ip4 tcp S doff=15"},
	{BOTH, DROP_BAD_TCP_OFFSET, "ip4 tcp S doff=6 data=3"},
	{BOTH, DROP_BAD_TCP_OFFSET, "ip4 tcp S doff=6 pad=20"}, /* padding is no header */
	{BOTH, DROP_BAD_TCP_OFFSET, "ip4 tcp - doff=4"},
	{BOTH, DROP_BAD_TCP_OFFSET, "ip6 tcp S doff=4"},
	{BOTH, DROP_BAD_TCP_OFFSET, "ip6 tcp S doff=6"},
	{BOTH, DROP_BAD_TCP_OFFSET, "ip6 tcp A doff=15 data=39"},
	{BOTH, OK, "ip6 tcp A doff=15 data=40"},
	{BOTH, OK, "ip4 tcp S doff=6 data=4"},

	/* ---- bad-tcp-flags ---- */
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp -"},              /* null scan */
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp F"},              /* fin scan */
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp FPU"},            /* xmas */
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp SAFRPUEC"},       /* the whole tree */
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp SF"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp SFA"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp SR"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp SRA"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp FR"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp FRA"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp P"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp U"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp PU"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp E"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp EC"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp FP"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp FU"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp RU"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp RAU"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp SAU"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp - opts=5 data=9"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 dst=203.0.113.7 tcp - dport=8443"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 tcp -"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 tcp F"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 tcp FPU"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 tcp SF"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 tcp SR"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 tcp SFRPAUEC"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 tcp P"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 dst=2001:db8:4000::7 tcp - dport=8443"},

	/* ---- several faults: the first counts ---- */
	{BOTH, DROP_BAD_LENGTH, "ip4 src=0.0.0.0 opts=1 len=9000 tcp -"},
	{BOTH, DROP_BOGUS_SOURCE, "ip4 src=224.0.0.1 tcp - sport=0 doff=4"},
	{BOTH, DROP_PORT_ZERO, "ip4 tcp - sport=0 doff=4"},

	/* ---- the deny list ---- */
	{BOTH, DROP_DENIED, "ip4 src=100.66.0.0 tcp S"},
	{BOTH, DROP_DENIED, "ip4 src=100.66.255.255 tcp S"},
	{BOTH, DROP_DENIED, "ip4 src=100.66.3.4 tcp A data=100"},
	{BOTH, DROP_DENIED, "ip4 src=100.66.3.4 udp data=9"},
	{BOTH, DROP_DENIED, "ip4 src=100.66.3.4 frag=9 udp data=9"},
	{BOTH, DROP_DENIED, "qinq vlan ip4 src=100.66.3.4 tcp S"},
	{BOTH, DROP_DENIED, "ip4 src=100.67.0.1 tcp S"},
	{BOTH, OK, "ip4 src=100.67.0.0 tcp S"},
	{BOTH, OK, "ip4 src=100.67.0.2 tcp S"},
	{BOTH, OK, "ip4 src=100.65.255.255 tcp S"},
	{BOTH, UNJUDGED, "ip4 src=100.66.3.4 tcp S dport=22"},
	{BOTH, UNJUDGED, "ip4 src=100.66.3.4 icmp"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 src=100.66.3.4 tcp -"},
	{BOTH, DROP_DENIED, "ip6 src=2001:db8:dead:: tcp S"},
	{BOTH, DROP_DENIED, "ip6 src=2001:db8:dead:0:ffff:ffff:ffff:ffff tcp S"},
	{BOTH, DROP_DENIED, "ip6 src=2001:db8:dead::5 udp data=9"},
	{BOTH, DROP_DENIED, "ip6 src=2001:db8:dead::5 hbh dopt tcp S"},
	{BOTH, DROP_DENIED, "vlan ip6 src=2001:db8:dead::5 tcp S"},
	{BOTH, DROP_DENIED, "ip6 src=2001:db8:beef::1 tcp S"},
	{BOTH, OK, "ip6 src=2001:db8:beef::2 tcp S"},
	{BOTH, OK, "ip6 src=2001:db8:dead:1:: tcp S"},
	{BOTH, UNJUDGED, "ip6 src=2001:db8:dead::5 tcp S dport=22"},
	{BOTH, UNJUDGED, "ip6 src=2001:db8:dead::5 icmp6"},

	/* ---- frames in pieces: jumbo, and what GRO and loopback put together ---- */
	{BOTH, OK, "ip4 tcp A data=8960"},
	{BOTH, OK, "ip6 tcp A data=8940"},
	{BOTH, OK, "ip4 tcp A opts=3 data=65483"},   /* 65,535: the most a length field can say */
	{BOTH, OK, "ip6 tcp A opts=3 data=65503"},
	{BOTH, OK, "ip4 tcp A opts=3 data=66000"},   /* BIG TCP: the length is 0 */
	{BOTH, OK, "ip6 tcp A opts=3 data=66000"},
	{BOTH, OK, "ip6 hbh tcp A opts=3 data=66000"},
	{BOTH, DROP_BAD_LENGTH, "ip4 tcp A data=65000 cut=-1"},
	{BOTH, DROP_BAD_LENGTH, "ip4 len=0 tcp A data=65400"},
	{BOTH, DROP_BAD_LENGTH, "ip6 tcp A data=9000 cut=-1"},
	{BOTH, DROP_TRUNCATED, "ip6 len=0 tcp A data=65400"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip4 tcp - data=9000"},
	/* headers that begin beyond the linear part */
	{BOTH, OK, "ip6 dopt n=255 dopt n=255 tcp S data=100"},
	{BOTH, OK, "ip6 dopt n=255 dopt n=255 dopt n=255 tcp S"},
	{BOTH, DROP_BAD_TCP_FLAGS, "ip6 dopt n=255 dopt n=255 dopt n=255 tcp -"},
	{BOTH, UNJUDGED, "ip6 dopt n=255 dopt n=255 dopt n=255 tcp - dport=22"},
	{BOTH, DROP_TRUNCATED, "ip6 dopt n=255 dopt n=255 dopt n=255 next=6 data=19"},
	{BOTH, DROP_DENIED, "ip6 src=2001:db8:dead::5 dopt n=255 dopt n=255 dopt n=255 tcp S"},
};
/* clang-format on */

static struct run run;

static void protect_all(void)
{
	static const struct {
		const char *to;
		uint16_t port;
		enum l4_proto proto;
	} list[] = {
		{"192.0.2.1", 443, L4_TCP},       {"2001:db8::1", 443, L4_TCP},
		{"203.0.113.0/24", 8443, L4_TCP}, {"2001:db8:4000::/36", 8443, L4_TCP},
		{"192.0.2.0/28", 4433, L4_UDP},   {"2001:db8::/48", 4433, L4_UDP},
	};
	struct shield_protect protect[ARRAY_SIZE(list)];

	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		protect[i] = (struct shield_protect){
			.to = run_prefix(list[i].to), .port = list[i].port, .proto = list[i].proto};
	assert_int_equal(run_policy(&run, protect, ARRAY_SIZE(protect)), 0);
}

static void deny(const char *prefix, uint64_t ttl_s)
{
	struct shield_prefix p = run_prefix(prefix);

	assert_int_equal(shield_deny_add(&run.shield, &p, ttl_s, SHIELD_DENY_OPERATOR, "a test"),
			 0);
}

struct denial {
	struct list_entry entry; /* len 0: there is none */
	char note[sizeof(struct list_note)];
};

static struct denial denial(const char *prefix)
{
	struct shield_prefix p = run_prefix(prefix);
	struct denial d = {};

	shield_list_get(&run.shield, LIST_DENY, &p, &d.entry, d.note);
	return d;
}

/* What XDP goes by: an entry whose time was yesterday, without waiting for it. */
static void expire_in(enum shield_list_id id, const char *prefix)
{
	struct shield_prefix p = run_prefix(prefix);
	struct list_entry want = {.len = p.bits, .family = p.family == AF_INET ? 4 : 6};
	struct list *l = &run.shield.list[id];
	uint32_t at;

	memcpy(want.addr, p.addr, 16);
	at = list_table_find_any(&l->table, &want);
	assert_int_not_equal(at, 0);
	l->table.entry[at].expires_ns = 1;
	list_table_renewed(&l->table, at);
	l->next_expiry_ns = 1;
}

static void expire(const char *prefix)
{
	expire_in(LIST_DENY, prefix);
}

static void begin(void)
{
	if (!run_may())
		test_skip("needs root to load BPF");
	run_open(&run);
	run_loopback(&run, false);
	protect_all();
}

static void expect_rows(int from)
{
	unsigned n = 0, wrong = 0;

	begin();
	deny("100.66.0.0/16", 0);
	deny("100.67.0.1", 0);
	deny("2001:db8:dead::/64", 0);
	deny("2001:db8:beef::1", 0);
	run_loopback(&run, from == LO);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int why;

		if (!(rows[i].from & from))
			continue;
		n++;
		why = run_text(&run, rows[i].packet);
		if (why == rows[i].why)
			continue;
		wrong++;
		print_error("\"%s\": %s, expected %s\n", rows[i].packet, run_word(why),
			    run_word(rows[i].why));
	}
	print_message("%u packets\n", n);
	run_close(&run);
	assert_int_equal(wrong, 0);
	assert_true(n >= 250);
}

TEST(xdp, each_packet_from_a_wire_meets_its_verdict)
{
	expect_rows(WIRE);
}

TEST(xdp, each_packet_from_loopback_meets_its_verdict)
{
	expect_rows(LO);
}

TEST(xdp, all_256_flag_sets_are_judged_as_netfilter_does)
{
	static const uint8_t valid[] = {0x02, 0x22, 0x12, 0x04, 0x14, 0x11, 0x31, 0x10, 0x30};
	static uint8_t frame[PACKET_MAX];
	size_t n = packet_make("ip4 tcp S", frame);

	begin();
	for (int flags = 0; flags < 256; flags++) {
		bool good = memchr(valid, flags & 0x37, sizeof(valid)) != NULL;

		frame[14 + 20 + 13] = (uint8_t)flags;
		assert_msg(run_frame(&run, frame, n) == (good ? DROP_NONE : DROP_BAD_TCP_FLAGS),
			   "flags 0x%02x", flags);
	}
	run_close(&run);
}

TEST(xdp, a_frame_cut_anywhere_never_passes_as_judged)
{
	static const char *const texts[] = {
		"ip4 tcp S opts=5 data=20",
		"qinq vlan ip4 tcp S opts=5",
		"ip6 hbh dopt n=1 rt tcp S",
		"vlan ip6 frag tcp S data=4",
	};
	static uint8_t frame[PACKET_MAX];

	begin();
	for (size_t t = 0; t < ARRAY_SIZE(texts); t++) {
		size_t n = packet_make(texts[t], frame);

		assert_int_equal(run_frame(&run, frame, n), DROP_NONE);
		for (size_t cut = 14; cut < n; cut++) {
			int why = run_frame(&run, frame, cut);

			assert_msg(why == UNJUDGED || why == DROP_BAD_LENGTH, "%s cut to %zu: %s",
				   texts[t], cut, run_word(why));
		}
	}
	run_close(&run);
}

TEST(xdp, nothing_is_judged_while_nothing_is_protected)
{
	begin();
	deny("198.51.100.0/24", 0);
	assert_int_equal(run_policy(&run, NULL, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(run_text(&run, rows[i].packet), UNJUDGED);
	run_close(&run);
}

TEST(xdp, every_address_of_a_family_can_be_protected)
{
	begin();
	run_protect(&run, "0.0.0.0/0", 443, L4_TCP);
	assert_int_equal(run_text(&run, "ip4 dst=1.2.3.4 tcp S"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 dst=1.2.3.4 tcp -"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(run_text(&run, "ip4 dst=1.2.3.4 tcp - dport=22"), UNJUDGED);
	assert_int_equal(run_text(&run, "ip4 dst=1.2.3.4 mf=1 tcp S"), DROP_TCP_FRAGMENT);
	assert_int_equal(run_text(&run, "ip4 dst=1.2.3.4 mf=1 udp"), UNJUDGED);
	assert_int_equal(run_text(&run, "ip6 dst=2001:db8::1 tcp -"), UNJUDGED);
	run_protect(&run, "::/0", 443, L4_TCP);
	assert_int_equal(run_text(&run, "ip6 dst=2a00::77 tcp -"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(run_text(&run, "ip4 dst=1.2.3.4 tcp -"), UNJUDGED);
	run_close(&run);
}

TEST(xdp, sixty_four_prefixes_are_protected_and_no_more)
{
	struct shield_protect list[SHIELD_PROTECT_MAX + 1];
	char text[64];

	begin();
	for (unsigned i = 0; i < ARRAY_SIZE(list); i++) {
		snprintf(text, sizeof(text), "10.%u.0.0/16", i);
		list[i] = (struct shield_protect){
			.to = run_prefix(text), .port = 443, .proto = L4_TCP};
	}
	assert_int_equal(run_policy(&run, list, ARRAY_SIZE(list)), -E2BIG);
	assert_int_equal(run_text(&run, "ip4 tcp -"), DROP_BAD_TCP_FLAGS); /* the old set holds */
	assert_int_equal(run_policy(&run, list, SHIELD_PROTECT_MAX), 0);
	assert_int_equal(run_text(&run, "ip4 tcp -"), UNJUDGED);
	for (unsigned i = 0; i < SHIELD_PROTECT_MAX; i++) {
		snprintf(text, sizeof(text), "ip4 dst=10.%u.9.9 tcp -", i);
		assert_int_equal(run_text(&run, text), DROP_BAD_TCP_FLAGS);
	}
	assert_int_equal(run_text(&run, "ip4 dst=10.64.9.9 tcp -"), UNJUDGED);
	run_close(&run);
}

TEST(xdp, a_set_replaced_a_hundred_times_leaves_nothing_behind)
{
	struct protect_key key, *at = NULL;
	unsigned n = 0;

	begin();
	for (unsigned i = 0; i < 100; i++)
		run_protect(&run, "192.0.2.1", (uint16_t)(1000 + i), L4_TCP);
	assert_int_equal(run_text(&run, "ip4 tcp - dport=1099"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(run_text(&run, "ip4 tcp - dport=1098"), UNJUDGED);
	while (bpf_map__get_next_key(run.shield.xdp->maps.protect_port, at, &key, sizeof(key)) ==
	       0) {
		at = &key;
		n++;
	}
	assert_int_equal(n, 3); /* the port, and the unions for TCP and for any */
	run_close(&run);
}

/* ---- deny ------------------------------------------------------------------ */

TEST(deny, an_entry_counts_its_hits_and_keeps_them_when_renewed)
{
	struct denial before, after;

	begin();
	deny("198.51.100.0/24", 60);
	for (int i = 0; i < 5; i++)
		assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_DENIED);
	before = denial("198.51.100.0/24");
	assert_int_equal(before.entry.hits, 5);
	assert_int_equal(before.entry.reason, SHIELD_DENY_OPERATOR);
	assert_string_equal(before.note, "a test");
	deny("198.51.100.0/24", 0);
	after = denial("198.51.100.0/24");
	assert_int_equal(after.entry.hits, 5);
	assert_int_equal(after.entry.created_ns, before.entry.created_ns);
	assert_true(before.entry.expires_ns > before.entry.created_ns &&
		    after.entry.expires_ns == 0);
	run_close(&run);
}

TEST(deny, an_expired_entry_has_no_effect_and_is_reaped)
{
	begin();
	deny("198.51.100.7", 60);
	deny("2001:db8:1::/64", 60);
	deny("203.0.113.5", 60);
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_DENIED);
	assert_int_equal(run_text(&run, "ip6 tcp S"), DROP_DENIED);
	expire("198.51.100.7");
	expire("2001:db8:1::/64");
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip6 tcp S"), DROP_NONE);
	assert_int_equal(shield_reap(&run.shield), 2);
	assert_int_equal(shield_reap(&run.shield), 0);
	assert_int_equal(denial("203.0.113.5").entry.len, 32);
	run_close(&run);
}

TEST(deny, one_second_is_over_after_one_second)
{
	enum drop_reason first;
	uint64_t start;

	begin();
	do { /* again, should the machine have slept in between */
		start = clock_mono_ns();
		deny("198.51.100.7", 1);
		first = run_text(&run, "ip4 tcp S");
	} while (clock_mono_ns() - start >= 1000000000);
	assert_int_equal(first, DROP_DENIED);
	usleep(1100000);
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_NONE);
	run_close(&run);
}

TEST(deny, an_expired_host_inside_a_living_prefix_stays_denied)
{
	begin();
	deny("198.51.100.0/24", 0);
	deny("198.51.100.0/28", 60);
	deny("198.51.100.7", 60);
	deny("2001:db8:1::/48", 0);
	deny("2001:db8:1::7", 60);
	expire("198.51.100.7");
	expire("198.51.100.0/28");
	expire("2001:db8:1::7");
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_DENIED);
	assert_int_equal(run_text(&run, "ip6 tcp S"), DROP_DENIED);
	assert_int_equal(denial("198.51.100.0/24").entry.hits, 1);
	run_close(&run);
}

TEST(deny, host_bits_are_cleared_and_mapped_addresses_are_ipv4)
{
	begin();
	deny("198.51.100.77/24", 0);
	assert_int_equal(denial("198.51.100.0/24").entry.len, 24);
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_DENIED);
	deny("::ffff:100.70.1.2", 0);
	assert_int_equal(denial("100.70.1.2").entry.len, 32);
	run_close(&run);
}

TEST(deny, an_offence_in_ipv6_condemns_the_64_and_an_operator_only_what_he_says)
{
	struct shield_prefix p = run_prefix("2001:db8:1::7");

	begin();
	deny("2001:db8:1::7", 0);
	assert_int_equal(run_text(&run, "ip6 tcp S"), DROP_DENIED);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:1::8 tcp S"), DROP_NONE);
	assert_int_equal(shield_deny_add(&run.shield, &p, 60, SHIELD_DENY_OFFENCE, NULL), 0);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:1::8 tcp S"), DROP_DENIED);
	assert_int_equal(denial("2001:db8:1::/64").entry.reason, SHIELD_DENY_OFFENCE);
	run_close(&run);
}

TEST(deny, an_offence_shortens_no_entry_that_a_person_made)
{
	struct shield_prefix p = run_prefix("198.51.100.7");

	begin();
	deny("198.51.100.7", 0);
	assert_int_equal(shield_deny_add(&run.shield, &p, 1, SHIELD_DENY_OFFENCE, "flood"), 0);
	assert_int_equal(denial("198.51.100.7").entry.reason, SHIELD_DENY_OPERATOR);
	assert_int_equal(denial("198.51.100.7").entry.expires_ns, 0);
	deny("198.51.100.7", 60);
	expire("198.51.100.7");
	assert_int_equal(shield_deny_add(&run.shield, &p, 60, SHIELD_DENY_OFFENCE, "flood"), 0);
	assert_int_equal(denial("198.51.100.7").entry.reason, SHIELD_DENY_OFFENCE);
	assert_string_equal(denial("198.51.100.7").note, "flood");
	run_close(&run);
}

TEST(deny, what_is_deleted_is_exactly_what_was_named)
{
	struct shield_prefix wide = run_prefix("198.51.100.0/24"),
			     host = run_prefix("198.51.100.7");

	begin();
	deny("198.51.100.0/24", 0);
	assert_int_equal(shield_deny_del(&run.shield, &host), -ENOENT);
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_DENIED);
	assert_int_equal(shield_deny_del(&run.shield, &wide), 0);
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_NONE);
	run_close(&run);
}

TEST(deny, nonsense_is_refused)
{
	struct shield_prefix p = run_prefix("198.51.100.7");

	begin();
	p.bits = 33;
	assert_int_equal(shield_deny_add(&run.shield, &p, 0, SHIELD_DENY_OPERATOR, ""), -EINVAL);
	assert_int_equal(shield_deny_del(&run.shield, &p), -EINVAL);
	p.bits = 8;
	p.family = 77;
	assert_int_equal(shield_deny_add(&run.shield, &p, 0, SHIELD_DENY_OPERATOR, ""), -EINVAL);
	run_close(&run);
}

TEST(deny, everybody_can_be_denied_and_let_in_again)
{
	struct shield_prefix v4 = run_prefix("0.0.0.0/0");

	begin();
	deny("0.0.0.0/0", 0);
	deny("::/0", 0);
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_DENIED);
	assert_int_equal(run_text(&run, "ip6 tcp S"), DROP_DENIED);
	assert_int_equal(run_text(&run, "ip4 tcp S dport=22"), UNJUDGED);
	assert_int_equal(shield_deny_del(&run.shield, &v4), 0);
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_NONE);
	run_close(&run);
}

TEST(deny, the_configurations_entries_follow_the_configuration)
{
	struct shield_prefix list[] = {run_prefix("198.51.100.0/24"), run_prefix("2001:db8:1::/48"),
				       run_prefix("100.70.0.0/16")};

	begin();
	deny("100.80.0.1", 0);
	assert_int_equal(shield_deny_config(&run.shield, list, 3, 0), 0);
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_DENIED);
	assert_int_equal(shield_deny_config(&run.shield, list + 1, 1, 0), 0);
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip6 tcp S"), DROP_DENIED);
	assert_int_equal(denial("100.70.0.0/16").entry.len, 0);
	assert_int_equal(run_text(&run, "ip4 src=100.80.0.1 tcp S"), DROP_DENIED);
	run_close(&run);
}

TEST(deny, a_list_grows_until_it_is_full_and_says_so)
{
	struct shield_prefix p = run_prefix("10.0.0.0");
	unsigned n = 3000; /* more than the first maps have room for */

	begin();
	for (unsigned i = 0; i < n; i++) {
		store_be32(p.addr, 0x0a000000 + i * 7);
		assert_int_equal(shield_deny_add(&run.shield, &p, i % 2 ? 60 : 0,
						 SHIELD_DENY_OPERATOR, ""),
				 0);
	}
	for (unsigned i = 0; i < n; i += 500) {
		char text[64];

		snprintf(text, sizeof(text), "ip4 src=10.0.%u.%u tcp S", i * 7 >> 8, i * 7 & 255);
		assert_int_equal(run_text(&run, text), DROP_DENIED);
	}
	store_be32(p.addr, 0x0b000001);
	run.shield.list_sets[0].v4 = LIST_OWN_MAX;
	assert_int_equal(shield_deny_add(&run.shield, &p, 0, SHIELD_DENY_OPERATOR, ""), -ENOSPC);
	run_close(&run);
}

static struct list_record record_of(const char *prefix)
{
	struct shield_prefix p = run_prefix(prefix);
	struct list_record r = {.len = p.bits, .family = p.family == AF_INET ? 4 : 6};

	memcpy(r.addr, p.addr, sizeof(r.addr));
	return r;
}

static struct list_built built_set(const char *name, const struct list_record *r, size_t n,
				   struct list_batch *batch)
{
	struct list_built built;

	*batch = (struct list_batch){.records = r, .n = n};
	snprintf(batch->name, sizeof(batch->name), "%s", name);
	assert_int_equal(shield_list_build(&run.shield, LIST_DENY, batch, &built), 0);
	return built;
}

static void load_set(const char *name, const struct list_record *r, size_t n)
{
	struct list_batch batch;
	struct list_built built = built_set(name, r, n, &batch);

	assert_int_equal(shield_list_switch(&run.shield, LIST_DENY, &batch, &built), 0);
}

TEST(deny, a_host_in_every_set_does_not_hide_the_net_around_it)
{
	struct list_record host = record_of("198.51.100.7"), net = record_of("198.51.100.0/24");
	struct list_record host6 = record_of("2001:db8:1::8"), net6 = record_of("2001:db8:1::/48");
	char name[16];

	begin();
	for (unsigned i = 1; i < LIST_SETS_MAX - 1; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		load_set(name, (struct list_record[]){host, host6}, 2);
	}
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.8 tcp S"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.7 tcp S"), DROP_DENIED);
	load_set("nets", (struct list_record[]){net, net6}, 2);
	for (unsigned i = LIST_SETS_MAX - 2; i > 0; i--) {
		assert_int_equal(run_text(&run, "ip4 src=198.51.100.7 tcp S"), DROP_DENIED);
		assert_int_equal(run_text(&run, "ip4 src=198.51.100.8 tcp S"), DROP_DENIED);
		assert_int_equal(run_text(&run, "ip6 src=2001:db8:1::9 tcp S"), DROP_DENIED);
		assert_int_equal(run_text(&run, "ip6 src=2001:db8:2::8 tcp S"), DROP_NONE);
		snprintf(name, sizeof(name), "s%u", i);
		load_set(name, NULL, 0);
	}
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.8 tcp S"), DROP_DENIED);
	/* and one by one, above a net that is there already */
	deny("198.51.100.8", 0);
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.9 tcp S"), DROP_DENIED);
	run_close(&run);
}

TEST(deny, what_leaves_the_configuration_while_a_set_is_built_is_gone_in_the_new_list)
{
	struct list_record r[] = {record_of("100.70.0.0/16"), record_of("198.51.100.0/24")};
	struct shield_prefix list[] = {run_prefix("100.70.0.0/16"), run_prefix("100.80.0.0/16")};
	struct list_batch batch;
	struct list_built built;

	begin();
	assert_int_equal(shield_deny_config(&run.shield, list, 2, 0), 0);
	shield_list_note_changes(&run.shield, LIST_DENY, true);
	built = built_set("file", r, 2, &batch);
	assert_int_equal(shield_deny_config(&run.shield, NULL, 0, 0), 0);
	assert_int_equal(run_text(&run, "ip4 src=100.70.0.1 tcp S"), DROP_NONE);
	assert_int_equal(shield_list_switch(&run.shield, LIST_DENY, &batch, &built), 0);
	shield_list_note_changes(&run.shield, LIST_DENY, false);
	assert_int_equal(run_text(&run, "ip4 src=100.80.0.1 tcp S"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 src=100.70.0.1 tcp S"), DROP_DENIED); /* the file's */
	run_close(&run);
}

static uint32_t number_of(const char *prefix)
{
	struct shield_prefix p = run_prefix(prefix);
	struct list_entry e = {.len = p.bits, .family = 4};

	memcpy(e.addr, p.addr, sizeof(e.addr));
	return list_table_find(&run.shield.list[LIST_DENY].table, &e);
}

TEST(deny, what_a_builder_may_be_reading_is_not_used_again)
{
	struct shield_prefix p = run_prefix("100.70.0.1");
	uint32_t was, end;

	begin();
	deny("100.70.0.1", 0);
	was = number_of("100.70.0.1");
	shield_list_note_changes(&run.shield, LIST_DENY, true);
	shield_list_del(&run.shield, LIST_DENY, &p);
	shield_reap(&run.shield);
	deny("100.70.0.2", 0);
	assert_int_not_equal(number_of("100.70.0.2"), was);
	shield_list_note_changes(&run.shield, LIST_DENY, false);
	end = list_table_end(&run.shield.list[LIST_DENY].table);
	shield_reap(&run.shield);
	deny("100.70.0.3", 0);
	assert_int_equal(number_of("100.70.0.3"), was);
	assert_int_equal(list_table_end(&run.shield.list[LIST_DENY].table), end);
	run_close(&run);
}

#define HOSTS 30000 /* so that building takes longer than waiting until no packet reads */

static struct shield_prefix any_host(unsigned i)
{
	struct shield_prefix p = run_prefix(i % 2 ? "100.70.0.0" : "2001:db8:1::/64");

	store_be32(p.addr + (i % 2 ? 0 : 4), 0x0a000000 + i * 2654435761u % (1 << 20));
	return p;
}

/* As the keeper does it: a child builds, and the list in force is changed all the while. */
TEST(deny, a_list_is_built_while_the_one_in_force_changes)
{
	struct list_record r[] = {record_of("100.70.0.0/16"), record_of("198.51.100.0/24")};
	struct list_batch batch = {.name = "file", .records = r, .n = 2};
	unsigned n = 0;

	begin();
	for (; n < HOSTS; n++) {
		struct shield_prefix p = any_host(n);

		shield_deny_add(&run.shield, &p, 0, SHIELD_DENY_OPERATOR, "");
	}
	for (unsigned round = 0; round < 20; round++) {
		struct list_built built;
		int status;
		pid_t pid;

		shield_list_note_changes(&run.shield, LIST_DENY, true);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(shield_list_build(&run.shield, LIST_DENY, &batch, &built) != 0);
		while (waitpid(pid, &status, WNOHANG) == 0) {
			struct shield_prefix old = any_host(n - HOSTS), fresh = any_host(n++);

			shield_list_del(&run.shield, LIST_DENY, &old);
			shield_deny_add(&run.shield, &fresh, 0, SHIELD_DENY_OPERATOR, "");
			if (n % 16 == 0)
				shield_reap(&run.shield);
		}
		assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "round %u: status 0x%x",
			   round, status);
		shield_list_note_changes(&run.shield, LIST_DENY, false);
		shield_reap(&run.shield);
	}
	run_close(&run);
}

/* ---- what it costs the verifier ------------------------------------------------ */

TEST(verifier, each_program_stays_under_half_of_the_limit)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	begin();
	assert_int_equal(bpf_obj_get_info_by_fd(run.prog, &info, &len), 0);
	print_message("sluice_xdp: %u verified instructions of 1000000, %u bytes of machine code\n",
		      info.verified_insns, info.jited_prog_len);
	assert_true(info.verified_insns > 0);
	assert_true(info.verified_insns < 500000);
	run_close(&run);
}

TEST_MAIN()
