/* One emulated dSwitch: its connection to the controller, what it asks, and what it hears. */

#ifndef DOVE_BENCH_DSWITCH_H
#define DOVE_BENCH_DSWITCH_H

#include <stdbool.h>
#include <stdint.h>

#include "dswitch_file.h"
#include "histogram.h"

enum { INPUT = 256 * 1024, OUTPUT = 128 * 1024, MOST_OUTSTANDING = 65536, LEAST_WINDOW = 256, RECENT = 1024 };

/* What all dSwitches have in common: how they ask, and what has come of it. Times in nanoseconds. */
struct load {
    bool check;          /* compare each answer with what it must be; else count messages */
    int ends_with;       /* counting: the type of message that ends an answer, */
    uint32_t ends;       /* and how many of them do */
    uint32_t dswitches;
    uint32_t outstanding; /* closed loop: requests of each dSwitch under way; 0 for the open loop */
    uint32_t burst;       /* open loop: requests in a burst, */
    double interval;      /* the time from one burst to the next, each of another dSwitch, */
    uint64_t start;       /* and when the first was due */

    uint64_t now;       /* read once for all that one read brings */
    bool begun;         /* requests are made: flows and packets are answers, no longer preparation */
    uint64_t last_heard; /* anything at all, from anyone */
    uint64_t last_answer;
    struct histogram window, total;
    uint64_t answers, answer_bytes, mismatches, unasked, repeated, asides, echoes;
};

struct dswitch {
    struct load *load;
    const struct dswitch_file *file;
    uint32_t index;
    int fd;
    bool greeted;      /* the controller knows its features */
    uint32_t barriers; /* of the controller's, that were answered */

    uint8_t *input, *output; /* INPUT and OUTPUT bytes; the output is all but the requests */
    size_t filled, pending;
    bool within_request; /* the connection is in the middle of a request: nothing else may be written */

    uint64_t due, sent;     /* requests, from the beginning of the run */
    uint64_t before;        /* open loop: of them, those that were made to warm up */
    uint64_t answered;      /* of them, in whatever order */
    uint64_t oldest;        /* the first that has no answer; those after it that have one are marked in `done` */
    uint32_t sending;       /* the record that is sent next */
    size_t sent_bytes;      /* of all the file's requests, this round */
    uint64_t window;        /* the most by which `due` is ahead of `oldest`, a power of two */
    uint64_t *sent_at;      /* closed loop: when each one in the window was asked */
    bool *done;             /* of each one in the window */
    uint64_t recent[RECENT]; /* the requests that were answered last with flows, in turn */
    uint64_t with_flows;     /* how many those are */
    uint32_t ends_seen;
};

/* Exits with one line, and with what is outstanding. */
_Noreturn void dswitch_fail(const struct dswitch *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Queue a message without a body, or one with a ready body. */
void dswitch_say(struct dswitch *d, int kind, const uint8_t *body, size_t size, const uint8_t *request);

/* Send what is queued and what is due, as far as the kernel takes it; whether all was taken. */
bool dswitch_send(struct dswitch *d);

/* Read once, and deal with all that has come. */
void dswitch_hear(struct dswitch *d);

/* Closed loop: ask as many more as may be under way. */
void dswitch_refill(struct dswitch *d);

#endif
