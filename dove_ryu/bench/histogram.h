/* How long answers took: a histogram of fixed size and known error.
 *
 * Nanoseconds fall into buckets that are exact below 256 and from there on at most 1/128 wide of their value, so that a
 * percentile is never told wrong by more than 0.8 %, whatever it is. Nothing is allocated and nothing is sorted while
 * answers come in. Beside the histogram of the whole run there is one of the window that is going on (100 ms): a shared
 * machine takes a core away for some milliseconds now and then, which swamps the whole run's tail but only few windows.
 */

#ifndef DOVE_BENCH_HISTOGRAM_H
#define DOVE_BENCH_HISTOGRAM_H

#include <stdint.h>
#include <string.h>

enum { SUB_BITS = 7, SUBS = 1 << SUB_BITS, BUCKETS = 34 * SUBS };

struct histogram {
    uint64_t count, max;
    uint32_t first, last; /* of the buckets that are not empty, when there are any */
    uint32_t buckets[BUCKETS];
};

static inline void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof *h);
    h->first = BUCKETS;
}

static inline uint32_t bucket_of(uint64_t value)
{
    int magnitude = 63 - __builtin_clzll(value | 1);
    int shift = magnitude > SUB_BITS ? magnitude - SUB_BITS : 0;
    uint64_t index = ((uint64_t)shift << SUB_BITS) + (value >> shift);
    return index < BUCKETS ? (uint32_t)index : BUCKETS - 1;
}

/* The highest value that falls into a bucket. */
static inline uint64_t bucket_top(uint32_t index)
{
    uint32_t shift = index < 2 * SUBS ? 0 : index / SUBS - 1;
    return ((uint64_t)(index - shift * SUBS + 1) << shift) - 1;
}

static inline void histogram_record(struct histogram *h, uint64_t value)
{
    uint32_t index = bucket_of(value);
    h->buckets[index]++;
    h->count++;
    if (value > h->max)
        h->max = value;
    if (index < h->first)
        h->first = index;
    if (index > h->last)
        h->last = index;
}

/* The least value that *fraction* of all that were recorded do not exceed; 0 where there is none. */
static inline uint64_t histogram_percentile(const struct histogram *h, double fraction)
{
    if (!h->count)
        return 0;
    uint64_t rank = (uint64_t)(fraction * (double)h->count), seen = 0;
    if ((double)rank < fraction * (double)h->count || rank == 0)
        rank++;
    for (uint32_t index = h->first; index <= h->last; index++) {
        seen += h->buckets[index];
        if (seen >= rank) {
            uint64_t top = bucket_top(index);
            return top < h->max ? top : h->max;
        }
    }
    return h->max;
}

static inline void histogram_add(struct histogram *total, const struct histogram *part)
{
    if (!part->count)
        return;
    for (uint32_t index = part->first; index <= part->last; index++)
        total->buckets[index] += part->buckets[index];
    total->count += part->count;
    if (part->max > total->max)
        total->max = part->max;
    if (part->first < total->first)
        total->first = part->first;
    if (part->last > total->last)
        total->last = part->last;
}

#endif
