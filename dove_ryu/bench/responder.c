/* The limit: a controller that knows nothing and answers everything.
 *
 * It does the handshake, and to each packet-in it writes the flows of one answer of dove's, and that answer's packet-out
 * around the packet that came: as many bytes as dove's mean answer has, all that one read brings in one write. No
 * controller on one core and on the kernel's TCP can be much faster, so what others reach is told as a share of it.
 */

#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "dswitch_file.h"
#include "openflow.h"

enum { INPUT = 256 * 1024, OUTPUT = 2 * 1024 * 1024, MOST_CONNECTIONS = 4096 };

struct connection {
    int fd;
    uint8_t *input, *output;
    size_t filled, pending;
    bool waits; /* for room to write; nothing is read meanwhile */
};

static struct {
    uint8_t bytes[LARGEST];
    size_t flows, size; /* the packet-out follows the flows, up to the packet */
} answer;

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "responder: %s: %s\n", what, why);
    exit(1);
}

/* Take the answer whose length is nearest the mean for the pattern of all. */
static void read_pattern(const char *path)
{
    struct dswitch_file file;
    const char *reason = dswitch_file_open(path, &file);
    if (reason || !file.count)
        fail(path, reason ? reason : "it has no requests");
    uint32_t mean = file.answer_at[file.count] / file.count, best = 0, least = UINT32_MAX;
    for (uint32_t each = 0; each < file.count; each++) {
        uint32_t size = file.answer_at[each + 1] - file.answer_at[each];
        uint32_t off = size > mean ? size - mean : mean - size;
        if (off < least)
            least = off, best = each;
    }
    const uint8_t *data = file.answers + file.answer_at[best];
    size_t size = file.answer_at[best + 1] - file.answer_at[best];
    while (answer.flows < size && kind_of(data + answer.flows) == FLOW_MOD)
        answer.flows += length_of(data + answer.flows);
    if (answer.flows + PACKET_OUT_HEADER > size || kind_of(data + answer.flows) != PACKET_OUT)
        fail(path, "its answers are not flows and a packet");
    answer.size = answer.flows + PACKET_OUT_HEADER + get16(data + answer.flows + PACKET_OUT_ACTIONS_LENGTH);
    memcpy(answer.bytes, data, answer.size);
}

static void say(struct connection *c, int kind, size_t length, const uint8_t *request)
{
    put_header(c->output + c->pending, kind, length, request);
    c->pending += length;
}

static void answer_request(struct connection *c, const uint8_t *message, size_t length)
{
    size_t data = packet_at(message), size = data < length ? length - data : 0;
    uint8_t *at = c->output + c->pending;
    memcpy(at, answer.bytes, answer.size);
    memcpy(at + answer.size, message + data, size);
    put16(at + answer.flows + 2, answer.size - answer.flows + size);
    c->pending += answer.size + size;
}

static void take(struct connection *c, const uint8_t *message, size_t length)
{
    switch (kind_of(message)) {
    case PACKET_IN:
        answer_request(c, message, length);
        break;
    case HELLO:
        say(c, HELLO, HEADER, NULL);
        say(c, FEATURES_REQUEST, HEADER, NULL);
        break;
    case FEATURES_REPLY:
        say(c, BARRIER_REQUEST, HEADER, NULL);
        break;
    case ECHO_REQUEST:
        memcpy(c->output + c->pending + HEADER, message + HEADER, length - HEADER);
        say(c, ECHO_REPLY, length, message);
        break;
    default:
        break;
    }
}

/* Whether the connection is still there. */
static bool send_pending(struct connection *c, int epoll, uint32_t index)
{
    ssize_t sent = send(c->fd, c->output, c->pending, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return false;
    if (sent > 0) {
        c->pending -= (size_t)sent;
        memmove(c->output, c->output + sent, c->pending);
    }
    if (c->waits != (c->pending > 0)) {
        c->waits = c->pending > 0;
        struct epoll_event event = {.events = c->waits ? EPOLLOUT : EPOLLIN, .data.u32 = index};
        epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
    }
    return true;
}

/* Answer what there is, as long as there is room for answers. */
static bool answer_all(struct connection *c)
{
    size_t at = 0;
    ptrdiff_t length = 0;
    while (c->pending + LARGEST + sizeof answer.bytes < OUTPUT &&
           (length = whole_message(c->input + at, c->filled - at)) > 0) {
        take(c, c->input + at, (size_t)length);
        at += (size_t)length;
    }
    c->filled -= at;
    memmove(c->input, c->input + at, c->filled);
    return length >= 0;
}

/* One read, or the room for more answers, and all that follows from it; whether the connection is still there. */
static bool serve(struct connection *c, int epoll, uint32_t index)
{
    if (c->waits)
        return send_pending(c, epoll, index) && (c->waits || answer_all(c)) && (!c->pending || send_pending(c, epoll, index));
    ssize_t received = recv(c->fd, c->input + c->filled, INPUT - c->filled, MSG_DONTWAIT);
    if (received <= 0)
        return received < 0 && errno == EAGAIN;
    c->filled += (size_t)received;
    return answer_all(c) && (!c->pending || send_pending(c, epoll, index));
}

static int listen_at(char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    char *colon = strrchr(address, ':');
    const int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (!colon)
        fail(address, "write it like 127.0.0.1:6653");
    *colon = 0;
    at.sin_port = htons((uint16_t)atoi(colon + 1));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    socklen_t size = sizeof at;
    if (inet_pton(AF_INET, address, &at.sin_addr) != 1 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(fd, MOST_CONNECTIONS) < 0 || getsockname(fd, (struct sockaddr *)&at, &size) < 0)
        fail(address, strerror(errno));
    printf("%s:%d\n", address, ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_connection(struct connection *connections, int listener, int epoll)
{
    const int yes = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    uint32_t index = 0;
    while (index < MOST_CONNECTIONS && connections[index].input)
        index++;
    if (fd < 0 || index == MOST_CONNECTIONS)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    connections[index] = (struct connection){.fd = fd, .input = malloc(INPUT), .output = malloc(OUTPUT)};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void drop(struct connection *c)
{
    close(c->fd);
    free(c->input);
    free(c->output);
    *c = (struct connection){0};
}

int main(int count, char **values)
{
    static struct connection connections[MOST_CONNECTIONS];
    if (count != 3) {
        fprintf(stderr, "usage: responder HOST:PORT FILE.dswitch    (port 0: one that the kernel chooses, printed)\n");
        return 2;
    }
    read_pattern(values[2]);
    int epoll = epoll_create1(EPOLL_CLOEXEC), listener = listen_at(values[1]);
    struct epoll_event listening = {.events = EPOLLIN, .data.u32 = MOST_CONNECTIONS}, events[64];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening);
    for (;;) {
        int ready = epoll_wait(epoll, events, 64, -1);
        for (int each = 0; each < ready; each++) {
            uint32_t index = events[each].data.u32;
            if (index == MOST_CONNECTIONS)
                accept_connection(connections, listener, epoll);
            else if (!serve(&connections[index], epoll, index))
                drop(&connections[index]);
        }
    }
}
