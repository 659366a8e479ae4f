/* The little of OpenFlow 1.3 (version 4) that both ends of the benchmark speak. Lengths and offsets in bytes. */

#ifndef DOVE_BENCH_OPENFLOW_H
#define DOVE_BENCH_OPENFLOW_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    HELLO = 0,
    ECHO_REQUEST = 2,
    ECHO_REPLY = 3,
    FEATURES_REQUEST = 5,
    FEATURES_REPLY = 6,
    GET_CONFIG_REQUEST = 7,
    GET_CONFIG_REPLY = 8,
    PACKET_IN = 10,
    PACKET_OUT = 13,
    FLOW_MOD = 14,
    MULTIPART_REQUEST = 18,
    MULTIPART_REPLY = 19,
    BARRIER_REQUEST = 20,
    BARRIER_REPLY = 21,
    ROLE_REQUEST = 24,
    ROLE_REPLY = 25,
};

enum { VERSION = 4, HEADER = 8, LARGEST = 65535 };
enum { MULTIPART_HEADER = 16, PORT_DESCRIPTION = 13, DESCRIPTION = 0, PORT = 64, MORE = 1 };
enum { FLOW_MOD_TABLE = 24, FLOW_MOD_COMMAND = 25 };
enum { PACKET_OUT_HEADER = 24, PACKET_OUT_ACTIONS_LENGTH = 16 };
enum { PACKET_IN_MATCH = 24 };

static inline uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline void put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

static inline void put64(uint8_t *at, uint64_t value)
{
    put32(at, (uint32_t)(value >> 32));
    put32(at + 4, (uint32_t)value);
}

static inline uint8_t kind_of(const uint8_t *message)
{
    return message[1];
}

static inline size_t length_of(const uint8_t *message)
{
    return get16(message + 2);
}

/* The length of the message that the *available* bytes begin with; 0 where it has not wholly arrived, -1 where it
 * cannot be. */
static inline ptrdiff_t whole_message(const uint8_t *data, size_t available)
{
    if (available < HEADER)
        return 0;
    size_t length = length_of(data);
    if (length < HEADER)
        return -1;
    return length <= available ? (ptrdiff_t)length : 0;
}

/* A header whose xid is that of *request*, or 0 where there is none. */
static inline void put_header(uint8_t *at, int kind, size_t length, const uint8_t *request)
{
    at[0] = VERSION;
    at[1] = (uint8_t)kind;
    put16(at + 2, length);
    if (request)
        memcpy(at + 4, request + 4, 4);
    else
        memset(at + 4, 0, 4);
}

/* Where the packet in a packet-in begins: after the match, which is padded, and two bytes more. */
static inline size_t packet_at(const uint8_t *packet_in)
{
    size_t match = get16(packet_in + PACKET_IN_MATCH + 2);
    return PACKET_IN_MATCH + (match + 7) / 8 * 8 + 2;
}

#endif
