/* Where the compiled lane's tables lie: in pages as large as they come.
 *
 * A look-up goes anywhere in what a hundred thousand endpoints take. In pages of 4 KiB the processor then has to find not
 * only the record but also, in several levels of page tables, the page that it is in; pages of 2 MiB are few. The kernel
 * gives them to who asks, and where it has none the tables are as they would be anyway.
 *
 * A table is 2^n slots of 64 bytes. Such blocks are cut from large pages, and one that is given back waits for the next
 * table of its size; those that are no smaller than a large page have pages of their own. Callers hold Python's lock.
 */

#ifndef LANE_BLOCKS_H
#define LANE_BLOCKS_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LANE_PAGE = 1 << 21, LANE_SIZES = 21, LANE_LEAST = 64 };

struct lane_block {
    struct lane_block *next;
};

static struct lane_block *lane_spare[LANE_SIZES]; /* by the logarithm of their size */

static void *lane_pages(size_t size)
{
    void *pages = NULL;
    if (posix_memalign(&pages, LANE_PAGE, size))
        return NULL;
    madvise(pages, size, MADV_HUGEPAGE); /* where that is refused, they are small ones */
    return pages;
}

static void lane_keep(void *block, size_t size)
{
    struct lane_block **spare = &lane_spare[__builtin_ctzl(size)];
    ((struct lane_block *)block)->next = *spare;
    *spare = block;
}

/* The smallest spare block that is large enough is halved until it is the one, or else a new page. */
static void *lane_cut(size_t size)
{
    size_t found = size;
    while (found < LANE_PAGE && !lane_spare[__builtin_ctzl(found)])
        found *= 2;
    char *block = found < LANE_PAGE ? (char *)lane_spare[__builtin_ctzl(found)] : lane_pages(LANE_PAGE);
    if (block && found < LANE_PAGE)
        lane_spare[__builtin_ctzl(found)] = ((struct lane_block *)block)->next;
    while (block && found > size) {
        found /= 2;
        lane_keep(block + found, found);
    }
    return block;
}

/* A block of *size* bytes, a power of two and 64 at least, all of them 0; NULL where there is no memory. */
static void *lane_take(size_t size)
{
    void *block = size < LANE_PAGE ? lane_cut(size) : lane_pages(size);
    return block ? memset(block, 0, size) : NULL;
}

/* Take back a block of *size* bytes. */
static void lane_give(void *block, size_t size)
{
    if (size < LANE_PAGE)
        lane_keep(block, size);
    else
        free(block);
}

#endif
