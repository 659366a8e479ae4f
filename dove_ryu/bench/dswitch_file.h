/* One emulated dSwitch in a file, as `python -m dove_ryu.bench.prepare` writes it: its ports, the policy requests that
 * it makes, and the answer that each must get.
 *
 * All requests lie one behind another as they go over the wire, and so do all answers: any number of either is sent, or
 * compared, in one piece. Numbers are in this machine's byte order.
 *
 *     header | ports (64 bytes each) | request_at[count + 1] | answer_at[count + 1] | requests | answers
 */

#ifndef DOVE_BENCH_DSWITCH_FILE_H
#define DOVE_BENCH_DSWITCH_FILE_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DSWITCH_MAGIC "DOVEDSW1"

struct dswitch_header {
    char magic[8];
    uint64_t dpid;
    uint32_t ports, count;
    uint64_t request_bytes, answer_bytes;
};

struct dswitch_file {
    uint64_t dpid;
    uint32_t ports, count;
    const uint8_t *port_descriptions;
    const uint32_t *request_at, *answer_at;
    const uint8_t *requests, *answers;
};

static inline uint64_t dswitch_file_size(const struct dswitch_header *h)
{
    return sizeof *h + 64ull * h->ports + 2 * sizeof(uint32_t) * (h->count + 1ull) + h->request_bytes + h->answer_bytes;
}

/* Map the file at *path*; the reason where that cannot be, else NULL. */
static inline const char *dswitch_file_open(const char *path, struct dswitch_file *file)
{
    static char reason[128];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) {
        snprintf(reason, sizeof reason, "%s; make it with `python -m dove_ryu.bench.prepare`", strerror(errno));
        return reason;
    }
    const uint8_t *data = MAP_FAILED;
    if ((size_t)status.st_size >= sizeof(struct dswitch_header))
        data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    close(fd);
    const struct dswitch_header *header = (const void *)data;
    if (data == MAP_FAILED || memcmp(header->magic, DSWITCH_MAGIC, sizeof header->magic) != 0 ||
        dswitch_file_size(header) != (uint64_t)status.st_size)
        return "it is not a dSwitch's file of this version; make it with `python -m dove_ryu.bench.prepare`";
    file->dpid = header->dpid;
    file->ports = header->ports;
    file->count = header->count;
    file->port_descriptions = data + sizeof *header;
    file->request_at = (const void *)(file->port_descriptions + 64ull * header->ports);
    file->answer_at = file->request_at + header->count + 1;
    file->requests = (const void *)(file->answer_at + header->count + 1);
    file->answers = file->requests + header->request_bytes;
    return NULL;
}

#endif
