/* A load generator for OpenFlow 1.3 controllers: N dSwitches that make policy requests, in one thread.
 *
 * It connects, lets the controller prepare the dSwitches in its own way, and then makes the requests that stand in the
 * dSwitches' files, over and over. Closed loop: each dSwitch has the same number of requests under way at all times;
 * what comes out is the rate. Open loop: bursts come at a fixed rate, each from the next dSwitch, whether answers come
 * or not, and an answer's latency counts from the time at which its request was due, so that a controller (or a
 * generator) that falls behind cannot hide it. Idle: only keepalives.
 *
 * It never sleeps while it measures: it is meant to have a core of its own. The result is one line of JSON.
 */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include "dswitch.h"
#include "openflow.h"
#include "options.h"

static const double SECOND = 1e9;
static const double WINDOW = 0.1e9;
enum { WARM_UP_OUTSTANDING = 32, MOST_WARM_UP = 15, LONGEST_SETTLE = 4, CONNECTING = 16 };
enum { MOST_WINDOWS = MOST_SECONDS * 10 + 1 };

struct run {
    struct options options;
    struct load load;
    struct dswitch *dswitches;
    int epoll;
    uint64_t bursts; /* open loop: made so far */
    bool finishing;  /* nothing more is asked */
    double window_p99[MOST_WINDOWS];
    uint32_t windows;
    uint64_t window_began;
};

static uint64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t read_clock(struct run *run)
{
    return run->load.now = clock_now();
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        refuse("memory", "there is not enough");
    return memory;
}

static void open_dswitch(struct run *run, uint32_t index)
{
    struct dswitch *d = &run->dswitches[index];
    struct dswitch_file *file = allocate(sizeof *file);
    char path[4096];
    snprintf(path, sizeof path, "%s/%u.dswitch", run->options.directory, index + 1);
    const char *reason = dswitch_file_open(path, file);
    if (reason)
        refuse(path, reason);
    if (!file->count && !run->options.idle)
        refuse(path, "it has no requests; prepare with more --dswitches, or say --idle");
    d->load = &run->load;
    d->file = file;
    d->index = index;
    d->input = allocate(INPUT);
    d->output = allocate(OUTPUT);
    for (d->window = LEAST_WINDOW; d->window < (run->load.outstanding ? 8 * run->load.outstanding : MOST_OUTSTANDING);)
        d->window *= 2;
    d->sent_at = allocate(d->window * sizeof *d->sent_at);
    d->done = allocate(d->window * sizeof *d->done);
    d->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    if (d->fd < 0 || connect(d->fd, (struct sockaddr *)&run->options.controller, sizeof run->options.controller) < 0) {
        char *address = inet_ntoa(run->options.controller.sin_addr);
        fprintf(stderr, "loadgen: %s:%d: %s; is the controller running, and is it this port?\n", address,
                ntohs(run->options.controller.sin_port), strerror(errno));
        exit(1);
    }
    setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    epoll_ctl(run->epoll, EPOLL_CTL_ADD, d->fd, &event);
    dswitch_say(d, HELLO, NULL, 0, NULL);
}

/* Hear whoever has something to say, waiting up to so many milliseconds; then send what is to be sent. */
static void turn(struct run *run, int wait)
{
    struct epoll_event events[64];
    int ready = epoll_wait(run->epoll, events, 64, wait);
    read_clock(run);
    for (int each = 0; each < ready; each++) {
        struct dswitch *d = &run->dswitches[events[each].data.u32];
        dswitch_hear(d);
        if (run->load.begun && run->load.outstanding && !run->finishing)
            dswitch_refill(d);
    }
    for (uint32_t each = 0; each < run->load.dswitches; each++) {
        struct dswitch *d = &run->dswitches[each];
        if (d->pending || d->sent != d->due)
            dswitch_send(d);
    }
}

static bool is_prepared(const struct run *run, uint32_t dswitches)
{
    for (uint32_t each = 0; each < dswitches; each++)
        if (!run->dswitches[each].greeted || (run->options.barrier && !run->dswitches[each].barriers))
            return false;
    return true;
}

static _Noreturn void give_up(const struct run *run)
{
    uint32_t greeted = 0;
    for (uint32_t each = 0; each < run->load.dswitches; each++)
        greeted += run->dswitches[each].greeted;
    fprintf(stderr, "loadgen: the controller is silent and not ready: it asked %u of %u dSwitches for their features%s\n",
            greeted, run->load.dswitches, run->options.barrier ? ", and not all for a barrier" : "");
    exit(1);
}

/* Connect a few at a time, as switches do that retry: no controller has to greet a thousand in one moment. */
static void connect_all(struct run *run)
{
    struct load *load = &run->load;
    uint32_t all = load->dswitches;
    load->last_heard = read_clock(run);
    for (load->dswitches = 0; load->dswitches < all;) {
        open_dswitch(run, load->dswitches++);
        while (load->dswitches % CONNECTING == 0 && !is_prepared(run, load->dswitches)) {
            turn(run, 10);
            if ((double)(load->now - load->last_heard) > run->options.patience * SECOND)
                give_up(run);
        }
    }
}

/* Let the controller do what it does with a new switch, until it is quiet; some never are, for there are changes. */
static void prepare(struct run *run)
{
    uint64_t since = run->load.last_heard = read_clock(run), prepared = 0;
    double settle = run->options.settle * SECOND;
    while (!prepared || ((double)(run->load.now - run->load.last_heard) < settle &&
                         (double)(run->load.now - prepared) < LONGEST_SETTLE * settle)) {
        turn(run, 10);
        if (!prepared && is_prepared(run, run->load.dswitches))
            prepared = run->load.now;
        if (!prepared && (double)(run->load.now - run->load.last_heard) > run->options.patience * SECOND)
            give_up(run);
    }
    fprintf(stderr, "loadgen: %u dSwitches ready after %.1f s\n", run->load.dswitches,
            (double)(run->load.now - since) / SECOND);
}

/* ---- load -------------------------------------------------------------------------------------------------------- */

static void make_due_bursts(struct run *run)
{
    struct load *load = &run->load;
    uint64_t due = (uint64_t)((double)(load->now - load->start) / load->interval) + 1;
    for (; run->bursts < due; run->bursts++) {
        struct dswitch *d = &run->dswitches[run->bursts % load->dswitches];
        if (d->due + load->burst - d->oldest > d->window)
            return; /* it falls behind; what is late goes on to count from when it was due */
        d->due += load->burst;
        dswitch_send(d);
    }
}

static void end_window(struct run *run, bool keep)
{
    struct histogram *window = &run->load.window;
    if (keep && window->count) {
        run->window_p99[run->windows++] = (double)histogram_percentile(window, 0.99);
        histogram_add(&run->load.total, window);
    }
    histogram_reset(window);
}

static void see_that_answers_come(const struct run *run)
{
    if (run->load.now - run->load.last_answer < run->options.patience * SECOND)
        return;
    const struct dswitch *worst = run->dswitches;
    for (uint32_t each = 1; each < run->load.dswitches; each++)
        if (run->dswitches[each].due - run->dswitches[each].answered > worst->due - worst->answered)
            worst = &run->dswitches[each];
    dswitch_fail(worst, "no answer has come for %g s, to anyone", run->options.patience);
}

static uint64_t outstanding(const struct run *run)
{
    uint64_t requests = 0;
    for (uint32_t each = 0; each < run->load.dswitches; each++)
        requests += run->dswitches[each].due - run->dswitches[each].answered;
    return requests;
}

static bool all_asked_once(const struct run *run)
{
    for (uint32_t each = 0; each < run->load.dswitches; each++)
        if (run->dswitches[each].answered < run->dswitches[each].file->count)
            return false;
    return true;
}

/* One turn of asking; where a window is over, it is kept or not. */
static void ask(struct run *run, bool measure)
{
    turn(run, 0);
    if (!run->load.outstanding)
        make_due_bursts(run);
    if (run->load.now - run->window_began >= WINDOW) {
        end_window(run, measure);
        run->window_began = run->load.now;
        see_that_answers_come(run);
    }
}

/* A closed loop, however it is measured afterwards, for so many seconds and until every request has been made once: a
 * controller that has to learn the answers does that here. */
static void warm_up(struct run *run)
{
    struct load *load = &run->load;
    uint32_t asked = load->outstanding;
    uint64_t began = run->window_began = load->now;
    load->outstanding = asked ? asked : WARM_UP_OUTSTANDING;
    for (uint32_t each = 0; each < load->dswitches; each++)
        dswitch_refill(&run->dswitches[each]);
    while (load->now - began < run->options.warm_up * SECOND ||
           (load->check && !all_asked_once(run) && load->now - began < MOST_WARM_UP * SECOND))
        ask(run, false);
    if (!asked) {
        run->finishing = true;
        while (outstanding(run) && load->now - began < 2 * MOST_WARM_UP * SECOND)
            ask(run, false);
        run->finishing = false;
    }
    load->outstanding = asked;
    end_window(run, false);
}

/* Ask no more, and see that nobody waits in vain; who has fallen behind need not catch up. */
static void finish(struct run *run)
{
    uint64_t until = run->load.now + (uint64_t)(2 * run->options.patience * SECOND);
    run->finishing = true;
    while (outstanding(run) && run->load.now < until) {
        turn(run, 0);
        see_that_answers_come(run);
    }
}

static int by_value(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return difference < 0 ? -1 : difference > 0;
}

/* What the measured seconds brought, up to and without what came after them. */
struct result {
    double seconds;
    uint64_t answers, bytes, backlog;
};

static double microseconds(const struct histogram *h, double fraction)
{
    return (double)histogram_percentile(h, fraction) / 1e3;
}

static void report(struct run *run, const struct result *result)
{
    const struct load *load = &run->load;
    const struct histogram *total = &load->total;
    qsort(run->window_p99, run->windows, sizeof *run->window_p99, by_value);
    double windowed = run->windows ? run->window_p99[run->windows / 2] : 0;
    printf("{\"dswitches\": %u, \"seconds\": %.6f, \"checked\": %s, ", load->dswitches, result->seconds,
           load->check ? "true" : "false");
    if (load->outstanding)
        printf("\"outstanding\": %u, ", load->outstanding);
    else
        printf("\"rate\": %.0f, \"burst\": %u, ", run->options.rate, load->burst);
    printf("\"answers\": %llu, \"answers_per_second\": %.1f, \"mismatches\": %llu, \"unasked\": %llu, "
           "\"repeated\": %llu, \"asides\": %llu, \"echoes\": %llu, \"backlog\": %llu, \"bytes_per_answer\": %.1f, ",
           (unsigned long long)result->answers, (double)result->answers / result->seconds,
           (unsigned long long)load->mismatches, (unsigned long long)load->unasked, (unsigned long long)load->repeated,
           (unsigned long long)load->asides,
           (unsigned long long)load->echoes, (unsigned long long)result->backlog,
           (double)result->bytes / (double)result->answers);
    printf("\"latency_us\": {\"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, \"p99.9\": %.2f, \"max\": %.2f, "
           "\"windowed_p99\": %.2f, \"windows\": %u}}\n",
           microseconds(total, 0.5), microseconds(total, 0.9), microseconds(total, 0.99), microseconds(total, 0.999),
           (double)total->max / 1e3, windowed / 1e3, run->windows);
}

static void load_controller(struct run *run)
{
    struct load *load = &run->load;
    histogram_reset(&load->total);
    histogram_reset(&load->window);
    load->begun = true;
    load->last_answer = read_clock(run);
    warm_up(run);
    load->answers = load->answer_bytes = 0;
    uint64_t began = load->start = run->window_began = load->now, end = began + (uint64_t)(run->options.seconds * SECOND);
    load->interval = run->options.rate > 0 ? SECOND * load->burst / run->options.rate : 0;
    for (uint32_t each = 0; each < load->dswitches; each++)
        run->dswitches[each].before = run->dswitches[each].due;
    while (load->now < end)
        ask(run, true);
    end_window(run, true);
    struct result result = {(double)(load->now - began) / SECOND, load->answers, load->answer_bytes, outstanding(run)};
    if (!result.answers)
        dswitch_fail(run->dswitches, "no answer came in %g s, to anyone", run->options.seconds);
    finish(run);
    report(run, &result);
}

/* Only keepalives, as a switch that has nothing to ask sends them. */
static void stay_idle(struct run *run)
{
    uint64_t began = read_clock(run), end = began + (uint64_t)(run->options.seconds * SECOND), asked = 0;
    double interval = run->options.echo_interval * SECOND / run->load.dswitches;
    while (run->load.now < end) {
        for (; (double)asked * interval <= (double)(run->load.now - began); asked++)
            dswitch_say(&run->dswitches[asked % run->load.dswitches], ECHO_REQUEST, NULL, 0, NULL);
        turn(run, 1);
    }
    printf("{\"dswitches\": %u, \"seconds\": %.6f, \"idle\": true, \"echo_requests\": %llu, \"echoes\": %llu}\n",
           run->load.dswitches, (double)(run->load.now - began) / SECOND, (unsigned long long)asked,
           (unsigned long long)run->load.echoes);
}

int main(int count, char **values)
{
    static struct run run;
    read_options(&run.options, &run.load, count, values);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    run.dswitches = allocate(run.load.dswitches * sizeof *run.dswitches);
    connect_all(&run);
    prepare(&run);
    if (run.options.idle)
        stay_idle(&run);
    else
        load_controller(&run);
    return run.load.mismatches || run.load.unasked ? 1 : 0;
}
