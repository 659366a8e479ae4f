/* An endpoint that scans: packets to addresses that nobody has, as fast as asked for (X3).
 *
 *     scan DEVICE KIND RATE SECONDS MAC IP ROUTER
 *
 * Run it where the endpoint is. KIND says what is made up in each packet: "mac" the Ethernet destination, "ip" the
 * address behind the router, "arp" the address asked for. One sendmmsg takes 64 frames to the kernel, so that what is
 * measured is the dSwitch and not this program. Its output is how many it has sent, in how many seconds.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { FRAMES = 64, LENGTH = 60 };
enum { PREFIX = 10 }; /* the made-up addresses are of 10.0.0.0/8 and 02:00:0a:00:00:00/24 */

static uint8_t frames[FRAMES][LENGTH];

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* xorshift64: which addresses come does not matter, but that they are all over the place. */
static uint32_t another_number(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state & 0xffffff;
}

static uint16_t checksum(const uint8_t *header)
{
    uint32_t sum = 0;

    for (int at = 0; at < 20; at += 2)
        sum += header[at] << 8 | header[at + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    return htons(~(sum + (sum >> 16)));
}

static void write_arp(uint8_t *frame, const uint8_t *mac, in_addr_t ip)
{
    static const uint8_t request[] = {0, 1, 8, 0, 6, 4, 0, 1};

    memset(frame, 0xff, ETH_ALEN);
    memcpy(frame + 14, request, sizeof request);
    memcpy(frame + 22, mac, ETH_ALEN);
    memcpy(frame + 28, &ip, sizeof ip);
}

static void write_udp(uint8_t *frame, const uint8_t *router, in_addr_t ip)
{
    struct iphdr inner = {.version = 4, .ihl = 5, .tot_len = htons(LENGTH - 14), .ttl = 64, .protocol = IPPROTO_UDP,
                          .saddr = ip, .daddr = htonl(PREFIX << 24)};
    struct udphdr ports = {.source = htons(4321), .dest = htons(9), .len = htons(LENGTH - 34)};

    memcpy(frame, router, ETH_ALEN);
    memcpy(frame + 14, &inner, sizeof inner);
    memcpy(frame + 34, &ports, sizeof ports);
}

/* Another destination for a frame, right in all its checksums. */
static void aim(uint8_t *frame, const char *kind)
{
    uint32_t target = htonl((uint32_t)PREFIX << 24 | another_number());

    if (!strcmp(kind, "arp")) {
        memcpy(frame + 38, &target, sizeof target);
        return;
    }
    memcpy(frame + (strcmp(kind, "mac") ? 30 : 2), &target, sizeof target);
    memset(frame + 24, 0, 2);
    uint16_t sum = checksum(frame + 14);
    memcpy(frame + 24, &sum, sizeof sum);
}

static int device_socket(const char *device)
{
    int opened = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device)};

    if (opened < 0)
        err(1, "cannot make a packet socket; root may");
    if (!address.sll_ifindex || bind(opened, (struct sockaddr *)&address, sizeof address))
        err(1, "cannot send from device %s", device);
    return opened;
}

int main(int count, char **words)
{
    struct iovec vectors[FRAMES];
    struct mmsghdr messages[FRAMES] = {0};
    uint8_t *mac, router[ETH_ALEN];

    if (count != 8)
        errx(2, "usage: scan DEVICE mac|ip|arp RATE SECONDS MAC IP ROUTER");
    const char *kind = words[2];
    double rate = atof(words[3]), seconds = atof(words[4]);
    in_addr_t ip = inet_addr(words[6]);
    memcpy(router, ether_aton(words[7]), ETH_ALEN);
    mac = (uint8_t *)ether_aton(words[5]);

    for (int each = 0; each < FRAMES; each++) {
        uint8_t *frame = frames[each];
        uint16_t type = htons(strcmp(kind, "arp") ? ETHERTYPE_IP : ETHERTYPE_ARP);

        if (strcmp(kind, "arp"))
            write_udp(frame, router, ip);
        else
            write_arp(frame, mac, ip);
        if (!strcmp(kind, "mac"))
            frame[0] = 2, frame[1] = 0;
        memcpy(frame + 6, mac, ETH_ALEN);
        memcpy(frame + 12, &type, sizeof type);
        vectors[each] = (struct iovec){frame, LENGTH};
        messages[each].msg_hdr.msg_iov = &vectors[each];
        messages[each].msg_hdr.msg_iovlen = 1;
    }

    int device = device_socket(words[1]);
    double began = now(), passed;
    long sent = 0;

    while ((passed = now() - began) < seconds) {
        double early = (sent + FRAMES) / rate - passed;

        if (early > 0) {
            struct timespec pause = {(time_t)early, (long)((early - (time_t)early) * 1e9)};

            nanosleep(&pause, NULL);
        }
        for (int each = 0; each < FRAMES; each++)
            aim(frames[each], kind);
        int taken = sendmmsg(device, messages, FRAMES, 0);
        if (taken < 0)
            err(1, "cannot send");
        sent += taken;
    }
    printf("{\"sent\": %ld, \"seconds\": %.3f}\n", sent, passed);
    return 0;
}
