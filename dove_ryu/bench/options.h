/* What the generator is told on its command line. */

#ifndef DOVE_BENCH_OPTIONS_H
#define DOVE_BENCH_OPTIONS_H

#include <netinet/in.h>

#include "dswitch.h"

enum { MOST_SECONDS = 3600 };

struct options {
    struct sockaddr_in controller;
    const char *directory;
    double rate, warm_up, seconds, settle, patience, echo_interval;
    bool idle, barrier;
};

/* Read the command line; exits where it is not understood. How answers are known and requests made goes into *load*. */
void read_options(struct options *options, struct load *load, int count, char **values);

/* Exits with one line. */
_Noreturn void refuse(const char *what, const char *why);

#endif
