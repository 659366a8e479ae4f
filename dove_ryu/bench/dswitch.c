/* How a dSwitch answers its controller, and how it tells a right answer from a wrong one.
 *
 * The answers of one connection come in the order of its requests, but for those that take the controller longer; and
 * all that must come is known beforehand as one run of bytes. So whole answers are compared in one piece, however many a
 * read brings. Where that fails, what comes next is looked at by itself: an echo request, a barrier, or a change of
 * flows that no request asked for is dealt with and passed over, and only between two answers; a whole answer is looked
 * for among the requests that wait for one, and if it is none of theirs, it is wrong. A packet alone is right where an
 * answer a moment ago has brought its flows.
 */

#include "dswitch.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "openflow.h"

void dswitch_fail(const struct dswitch *d, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "loadgen: dSwitch %llu: ", (unsigned long long)d->file->dpid);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; %llu requests sent, %llu answered, not request %llu; %zu bytes of an unfinished answer\n",
            (unsigned long long)d->sent, (unsigned long long)d->answered, (unsigned long long)d->oldest, d->filled);
    exit(1);
}

/* ---- what it says ------------------------------------------------------------------------------------------------ */

void dswitch_say(struct dswitch *d, int kind, const uint8_t *body, size_t size, const uint8_t *request)
{
    if (d->pending + HEADER + size > OUTPUT)
        dswitch_fail(d, "the controller asks and does not read the answers");
    uint8_t *at = d->output + d->pending;
    put_header(at, kind, HEADER + size, request);
    if (size)
        memcpy(at + HEADER, body, size);
    d->pending += HEADER + size;
}

static bool send_output(struct dswitch *d)
{
    ssize_t sent = send(d->fd, d->output, d->pending, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        dswitch_fail(d, "the connection is broken: %s", strerror(errno));
    if (sent <= 0)
        return false;
    d->pending -= (size_t)sent;
    memmove(d->output, d->output + sent, d->pending);
    return !d->pending;
}

/* Take note that the kernel has taken *bytes* more of the requests. */
static void requests_sent(struct dswitch *d, size_t bytes)
{
    const uint32_t *at = d->file->request_at;
    d->sent_bytes += bytes;
    while (d->sending < d->file->count && at[d->sending + 1] <= d->sent_bytes) {
        d->sending++;
        d->sent++;
    }
    d->within_request = d->sent_bytes != at[d->sending];
    if (d->sending == d->file->count)
        d->sending = 0, d->sent_bytes = 0;
}

static bool send_requests(struct dswitch *d)
{
    while (d->sent < d->due) {
        uint64_t last = d->sending + (d->due - d->sent);
        if (last > d->file->count)
            last = d->file->count;
        size_t left = d->file->request_at[last] - d->sent_bytes;
        ssize_t sent = send(d->fd, d->file->requests + d->sent_bytes, left, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            dswitch_fail(d, "the connection is broken: %s", strerror(errno));
        if (sent <= 0)
            return false;
        requests_sent(d, (size_t)sent);
    }
    return true;
}

bool dswitch_send(struct dswitch *d)
{
    if (d->within_request && !send_requests(d))
        return false;
    if (d->pending && !send_output(d))
        return false;
    return d->sent == d->due || send_requests(d);
}

void dswitch_refill(struct dswitch *d)
{
    const struct load *load = d->load;
    for (; d->due < d->answered + load->outstanding && d->due - d->oldest < d->window; d->due++) {
        d->sent_at[d->due & (d->window - 1)] = load->now;
        d->done[d->due & (d->window - 1)] = false;
    }
}

/* ---- what the controller asks ------------------------------------------------------------------------------------ */

static void tell_features(struct dswitch *d, const uint8_t *request)
{
    uint8_t body[24] = {0};
    put64(body, d->file->dpid);
    body[12] = 254;          /* tables */
    put32(body + 16, 0x4f); /* statistics of flows, tables, ports and queues; OFPC_GROUP_STATS */
    dswitch_say(d, FEATURES_REPLY, body, sizeof body, request);
    d->greeted = true;
}

/* Ports and an empty description; of all else there is nothing: no flows, no meters, no groups. */
static void tell_multipart(struct dswitch *d, const uint8_t *request)
{
    enum { FIT = (LARGEST - MULTIPART_HEADER) / PORT };
    static const uint8_t nobody[1056];
    uint8_t body[8 + FIT * PORT];
    uint16_t what = get16(request + HEADER);
    uint32_t first = 0;
    do {
        size_t size = what == DESCRIPTION ? sizeof nobody : 0;
        const uint8_t *data = nobody;
        bool more = false;
        if (what == PORT_DESCRIPTION) {
            uint32_t ports = d->file->ports - first > FIT ? FIT : d->file->ports - first;
            data = d->file->port_descriptions + (size_t)first * PORT;
            size = (size_t)ports * PORT;
            more = (first += ports) < d->file->ports;
        }
        memset(body, 0, 8);
        put16(body, what);
        put16(body + 2, more ? MORE : 0);
        memcpy(body + 8, data, size);
        dswitch_say(d, MULTIPART_REPLY, body, 8 + size, request);
    } while (what == PORT_DESCRIPTION && first < d->file->ports);
}

static void answer_controller(struct dswitch *d, const uint8_t *message, size_t length)
{
    static const uint8_t whole_packets[4] = {0, 0, 0xff, 0xff};
    switch (kind_of(message)) {
    case ECHO_REQUEST:
        dswitch_say(d, ECHO_REPLY, message + HEADER, length - HEADER, message);
        d->load->echoes++;
        break;
    case FEATURES_REQUEST:
        tell_features(d, message);
        break;
    case GET_CONFIG_REQUEST:
        dswitch_say(d, GET_CONFIG_REPLY, whole_packets, sizeof whole_packets, message);
        break;
    case MULTIPART_REQUEST:
        if (length >= MULTIPART_HEADER)
            tell_multipart(d, message);
        break;
    case BARRIER_REQUEST:
        dswitch_say(d, BARRIER_REPLY, NULL, 0, message);
        d->barriers++;
        break;
    case ROLE_REQUEST:
        dswitch_say(d, ROLE_REPLY, message + HEADER, length - HEADER, message);
        break;
    default:
        break;
    }
}

/* ---- what it hears ----------------------------------------------------------------------------------------------- */

static uint64_t asked_at(const struct dswitch *d, uint64_t request)
{
    const struct load *load = d->load;
    if (load->outstanding)
        return d->sent_at[request & (d->window - 1)];
    uint64_t burst = (request - d->before) / load->burst * load->dswitches + d->index;
    return load->start + (uint64_t)((double)burst * load->interval);
}

/* Take note that a request has its answer. */
static void answered(struct dswitch *d, uint64_t request, size_t bytes)
{
    struct load *load = d->load;
    uint64_t asked = asked_at(d, request);
    histogram_record(&load->window, load->now > asked ? load->now - asked : 0);
    load->answers++;
    load->answer_bytes += bytes;
    load->last_answer = load->now;
    d->answered++;
    if (request != d->oldest) {
        d->done[request & (d->window - 1)] = true;
        return;
    }
    /* As many after it are answered already as `answered` is ahead. */
    for (d->oldest++; d->oldest < d->answered && d->done[d->oldest & (d->window - 1)]; d->oldest++)
        d->done[d->oldest & (d->window - 1)] = false;
}

static const uint8_t *expected(const struct dswitch *d, uint64_t request, size_t *size)
{
    const uint32_t *at = d->file->answer_at + request % d->file->count;
    *size = at[1] - at[0];
    return d->file->answers + at[0];
}

static void print_hex(const char *title, const uint8_t *data, size_t size)
{
    fprintf(stderr, "  %s (%zu bytes):", title, size);
    for (size_t at = 0; at < size; at++)
        fprintf(stderr, "%s%02x", at % 4 ? "" : " ", data[at]);
    fputc('\n', stderr);
}

static void mismatched(struct dswitch *d, const uint8_t *answer, size_t size)
{
    const struct dswitch_file *file = d->file;
    if (d->load->mismatches++)
        return;
    size_t record = d->oldest % file->count, right_size;
    const uint8_t *right = expected(d, d->oldest, &right_size);
    fprintf(stderr, "loadgen: dSwitch %llu: the answer to request %llu is not what it must be\n",
            (unsigned long long)file->dpid, (unsigned long long)d->oldest);
    size_t request = file->request_at[record];
    print_hex("request", file->requests + request, file->request_at[record + 1] - request);
    print_hex("expected", right, right_size);
    print_hex("what came", answer, size);
}

/* Whether a message between two answers is something else: an answer is flows and a packet, and its first flow is for
 * the table that the expected one is for. */
static bool is_aside(const struct dswitch *d, const uint8_t *message, size_t length)
{
    if (kind_of(message) == PACKET_OUT)
        return false;
    if (kind_of(message) != FLOW_MOD)
        return true;
    size_t size;
    const uint8_t *right = expected(d, d->oldest, &size);
    return length <= FLOW_MOD_COMMAND || message[FLOW_MOD_TABLE] != right[FLOW_MOD_TABLE] ||
           message[FLOW_MOD_COMMAND] != right[FLOW_MOD_COMMAND];
}

/* The length of the answer that the data begins with, up to its packet; 0 where it has not wholly come. */
static size_t whole_answer(const struct dswitch *d, const uint8_t *data, size_t available)
{
    ptrdiff_t length;
    for (size_t at = 0; (length = whole_message(data + at, available - at)) != 0; at += (size_t)length) {
        if (length < 0)
            dswitch_fail(d, "the controller sends what is no OpenFlow message");
        if (kind_of(data + at) == PACKET_OUT)
            return at + (size_t)length;
    }
    return 0;
}

/* How many bytes of an expected answer are flows, in front of its packet. */
static size_t flows_of(const uint8_t *answer)
{
    size_t at = 0;
    while (kind_of(answer + at) != PACKET_OUT)
        at += length_of(answer + at);
    return at;
}

/* Whether an answer of the last ones has brought the flows that a request's answer begins with. */
static bool are_on_their_way(const struct dswitch *d, uint64_t request)
{
    size_t size, other_size, flows;
    const uint8_t *right = expected(d, request, &size);
    flows = flows_of(right);
    for (uint64_t each = d->with_flows > RECENT ? d->with_flows - RECENT : 0; each < d->with_flows; each++) {
        const uint8_t *other = expected(d, d->recent[each % RECENT], &other_size);
        if (flows_of(other) == flows && memcmp(right, other, flows) == 0)
            return true;
    }
    return false;
}

/* Whether an answer is what a request must get. */
static bool is_right(struct dswitch *d, uint64_t request, const uint8_t *answer, size_t size)
{
    size_t right_size;
    const uint8_t *right = expected(d, request, &right_size);
    if (right_size == size && memcmp(answer, right, size) == 0) {
        d->recent[d->with_flows++ % RECENT] = request;
        return true;
    }
    size_t flows = kind_of(answer) == PACKET_OUT ? flows_of(right) : 0;
    if (!flows || right_size != flows + size || memcmp(answer, right + flows, size) != 0 || !are_on_their_way(d, request))
        return false;
    d->load->repeated++;
    return true;
}

/* Compare one answer, which is not the next, with those of all requests that have none. */
static size_t check_answer(struct dswitch *d, const uint8_t *data, size_t available)
{
    size_t size = whole_answer(d, data, available);
    if (!size)
        return 0;
    if (d->answered == d->due) {
        if (!d->load->unasked++)
            print_hex("nobody asked for this", data, size);
        return size;
    }
    for (uint64_t request = d->oldest; request < d->due; request++)
        if ((request == d->oldest || !d->done[request & (d->window - 1)]) && is_right(d, request, data, size)) {
            answered(d, request, size);
            return size;
        }
    mismatched(d, data, size);
    answered(d, d->oldest, size);
    return size;
}

/* How many bytes of *available* are right answers in their order, all whole ones. */
static size_t check_answers(struct dswitch *d, const uint8_t *data, size_t available)
{
    const uint32_t *at = d->file->answer_at;
    uint64_t waiting = d->due - d->oldest;
    uint32_t first = (uint32_t)(d->oldest % d->file->count), last = first;
    uint32_t end = waiting < d->file->count - first ? first + (uint32_t)waiting : d->file->count;
    if (d->oldest != d->answered && first < end)
        end = first + 1; /* after this one come some that are answered */
    while (last < end && at[last + 1] - at[first] <= available)
        last++;
    const uint8_t *right = d->file->answers + at[first];
    if (memcmp(data, right, at[last] - at[first]) != 0)
        for (last = first;
             memcmp(data + (at[last] - at[first]), right + (at[last] - at[first]), at[last + 1] - at[last]) == 0;)
            last++;
    for (uint32_t each = first; each < last; each++) {
        d->recent[d->with_flows++ % RECENT] = d->oldest;
        answered(d, d->oldest, at[each + 1] - at[each]);
    }
    return at[last] - at[first];
}

/* Counting: what ends an answer, and all else. */
static size_t count_message(struct dswitch *d, const uint8_t *message, size_t length)
{
    int kind = kind_of(message);
    if (kind != FLOW_MOD && kind != PACKET_OUT) {
        answer_controller(d, message, length);
        return length;
    }
    d->load->answer_bytes += length;
    if (kind != d->load->ends_with || ++d->ends_seen < d->load->ends)
        return length;
    d->ends_seen = 0;
    if (d->answered < d->due)
        answered(d, d->oldest, 0);
    else
        d->load->unasked++;
    return length;
}

/* Deal with what the data begins with, as far as it has come; how many bytes that are. */
static size_t take(struct dswitch *d, const uint8_t *data, size_t available)
{
    struct load *load = d->load;
    bool check = load->begun && load->check;
    size_t right = check ? check_answers(d, data, available) : 0;
    if (right)
        return right;
    ptrdiff_t length = whole_message(data, available);
    if (length < 0)
        dswitch_fail(d, "the controller sends what is no OpenFlow message");
    if (length == 0)
        return 0;
    if (check && !is_aside(d, data, (size_t)length))
        return check_answer(d, data, available);
    if (load->begun && !load->check)
        return count_message(d, data, (size_t)length);
    load->asides += check;
    answer_controller(d, data, (size_t)length);
    return (size_t)length;
}

void dswitch_hear(struct dswitch *d)
{
    ssize_t received = recv(d->fd, d->input + d->filled, INPUT - d->filled, MSG_DONTWAIT);
    if (received < 0 && errno == EAGAIN)
        return;
    if (received <= 0)
        dswitch_fail(d, "the controller has closed the connection%s%s", received ? ": " : "",
                     received ? strerror(errno) : "");
    d->filled += (size_t)received;
    d->load->last_heard = d->load->now;
    size_t at = 0, taken;
    while (at < d->filled && (taken = take(d, d->input + at, d->filled - at)) > 0)
        at += taken;
    d->filled -= at;
    memmove(d->input, d->input + at, d->filled);
}
