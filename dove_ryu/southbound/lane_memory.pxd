# What lane_memory.py has for the uncompiled lane, in the terms of the machine: numbers in messages, and tables of
# records in memory.  All of it is inline, so the compiled lane needs no module of this name.

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.pythread cimport (
    NOWAIT_LOCK,
    WAIT_LOCK,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_release_lock,
    PyThread_type_lock,
)
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from libc.errno cimport EINTR, errno

ctypedef unsigned long long Word

cdef extern from *:
    """
    #define lane_prefetch(address) __builtin_prefetch(address)
    #define lane_items(objects) ((void **)((PyListObject *)(objects))->ob_item)
    """
    void lane_prefetch(const void *address) noexcept nogil
    void **lane_items(list objects) noexcept

cdef extern from *:
    """
    #include <string.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    /* sched_setattr(2), for which the C library has no function. */
    static long lane_schedule(int nice, unsigned long long turn)
    {
        struct {
            unsigned int size, policy;
            unsigned long long flags;
            int nice;
            unsigned int priority;
            unsigned long long runtime, deadline, period;
        } asked;
        memset(&asked, 0, sizeof asked);
        asked.size = sizeof asked, asked.nice = nice, asked.runtime = turn;
        return syscall(SYS_sched_setattr, 0, &asked, 0);
    }
    """
    long lane_schedule(int nice, Word turn)

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
    cdef struct epoll_event:
        epoll_data_t data
    int epoll_wait(int epoll, epoll_event *events, int most, int milliseconds)

cdef extern from "<endian.h>" nogil:
    unsigned short be16toh(unsigned short number)
    unsigned int be32toh(unsigned int number)
    Word be64toh(Word number)
    unsigned short htobe16(unsigned short number)
    unsigned int htobe32(unsigned int number)
    Word htobe64(Word number)

cdef extern from "lane_blocks.h" nogil:
    void *lane_take(size_t size)
    void lane_give(void *block, size_t size)

cdef extern from "<sys/socket.h>" nogil:
    enum: MSG_DONTWAIT
    enum: MSG_NOSIGNAL
    ssize_t recv(int descriptor, void *buffer, size_t size, int flags)
    ssize_t send(int descriptor, const void *data, size_t size, int flags)

ctypedef unsigned char *Octets
ctypedef Word *Record
ctypedef void **Objects
ctypedef PyThread_type_lock Lock

cdef struct Ready:
    int descriptor
    epoll_event events[64]

ctypedef Ready *Watch

cdef struct Slots:
    Word *block  # eight words for each slot: used, key, record; one slot is one line of the processor's cache
    Word mask  # one less than how many slots there are
    Word taken  # that are not empty, those of removed records included

ctypedef Slots *Table

# ---- objects that are in a list, for who looks at them without Python's lock ----------------------


cdef inline Objects items(list objects) noexcept:
    return lane_items(objects)


# ---- numbers in messages -------------------------------------------------------------------------


cdef inline Octets octets(bytearray buffer) noexcept:
    return <Octets>PyByteArray_AS_STRING(buffer)


cdef inline Octets fixed(bytes data) noexcept:
    return <Octets>PyBytes_AS_STRING(data)


cdef inline unsigned int u8(Octets data, int at) noexcept nogil:
    return data[at]


cdef inline unsigned int u16(Octets data, int at) noexcept nogil:
    cdef unsigned short number
    memcpy(&number, data + at, 2)
    return be16toh(number)


cdef inline unsigned int u32(Octets data, int at) noexcept nogil:
    cdef unsigned int number
    memcpy(&number, data + at, 4)
    return be32toh(number)


cdef inline Word u48(Octets data, int at) noexcept nogil:
    return <Word>u16(data, at) << 32 | u32(data, at + 2)


cdef inline Word u64(Octets data, int at) noexcept nogil:
    cdef Word number
    memcpy(&number, data + at, 8)
    return be64toh(number)


cdef inline void put16(Octets target, int at, unsigned int value) noexcept nogil:
    cdef unsigned short number = htobe16(<unsigned short>value)
    memcpy(target + at, &number, 2)


cdef inline void put24(Octets target, int at, unsigned int value) noexcept nogil:
    target[at] = <unsigned char>(value >> 16)
    put16(target, at + 1, value)


cdef inline void put32(Octets target, int at, unsigned int value) noexcept nogil:
    cdef unsigned int number = htobe32(value)
    memcpy(target + at, &number, 4)


cdef inline void put64(Octets target, int at, Word value) noexcept nogil:
    cdef Word number = htobe64(value)
    memcpy(target + at, &number, 8)


cdef inline void copy(Octets target, int to, Octets data, int at, int size) noexcept nogil:
    memcpy(target + to, data + at, size)


cdef inline bytes cut(Octets data, int at, int size):
    return PyBytes_FromStringAndSize(<char *>data + at, size)


cdef inline int widen(bytearray buffer, Py_ssize_t size) except -1:
    # No object is made: a collection of garbage in the middle of a read could let a table be rebuilt.
    return PyByteArray_Resize(buffer, size)


# ---- sockets -------------------------------------------------------------------------------------


cdef inline int receive(int descriptor, Octets buffer, int at, int room) noexcept nogil:
    cdef ssize_t received
    while True:
        received = recv(descriptor, buffer + at, room - at, MSG_DONTWAIT)
        if received >= 0 or errno != EINTR:
            return <int>received if received >= 0 else -errno


cdef inline int transmit(int descriptor, Octets data, int size) noexcept nogil:
    cdef ssize_t sent
    while True:
        sent = send(descriptor, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent >= 0 or errno != EINTR:
            return <int>sent if sent >= 0 else -errno


cdef inline Watch new_watch(object epoll) except NULL:
    cdef Watch watch = <Watch>calloc(1, sizeof(Ready))
    if watch == NULL:
        raise MemoryError
    watch.descriptor = epoll.fileno()
    return watch


cdef inline void free_watch(Watch watch) noexcept nogil:
    free(watch)


cdef inline int await_ready(Watch watch, int patience) noexcept nogil:
    cdef int count = epoll_wait(watch.descriptor, watch.events, 64, patience)
    return count if count > 0 else 0  # a signal is nothing


cdef inline int ready_one(Watch watch, int number) noexcept nogil:
    return watch.events[number].data.fd


# ---- the scheduler -------------------------------------------------------------------------------


cdef inline int be_prompt(int nice, Word turn) except -1:
    # Who may not be preferred may still ask for short turns.
    if lane_schedule(nice, turn):
        lane_schedule(0, turn)
    return 0


# ---- locks ---------------------------------------------------------------------------------------


cdef inline Lock new_lock() except NULL:
    cdef Lock made = PyThread_allocate_lock()
    if made == NULL:
        raise MemoryError
    return made


cdef inline void free_lock(Lock held) noexcept:
    PyThread_free_lock(held)


cdef inline void hold(Lock wanted) noexcept nogil:
    PyThread_acquire_lock(wanted, WAIT_LOCK)


cdef inline void hold_politely(Lock wanted) noexcept:
    # Never taken while Python's is waited for: that can take long, and whoever wants this one would wait as well.
    while not PyThread_acquire_lock(wanted, NOWAIT_LOCK):
        with nogil:
            PyThread_acquire_lock(wanted, WAIT_LOCK)
            PyThread_release_lock(wanted)


cdef inline void give(Lock held) noexcept nogil:
    PyThread_release_lock(held)


# ---- tables --------------------------------------------------------------------------------------


cdef inline int allot(Table table, Word slots) except -1:
    cdef Word *block = <Word *>lane_take(slots * 64)
    if block == NULL:
        raise MemoryError
    table.block, table.mask, table.taken = block, slots - 1, 0
    return 0


cdef inline Table new_table() except NULL:
    cdef Table table = <Table>calloc(1, sizeof(Slots))
    if table == NULL:
        raise MemoryError
    allot(table, 8)
    return table


cdef inline Word address_of(Table table) noexcept nogil:
    return <Word>table


cdef inline Table table_at(Word address) noexcept nogil:
    return <Table>address


cdef inline void free_table(Table table) noexcept nogil:
    if table != NULL:
        lane_give(table.block, (table.mask + 1) * 64)
        free(table)


cdef inline Word approach(Table table, Word high, Word low) noexcept nogil:
    # Odd numbers without a pattern in their bits scatter the keys.
    cdef Word spot = (low ^ (high * <Word>0x9E3779B97F4A7C15)) * <Word>0xD6E8FEB86659FD93
    spot ^= spot >> 32
    # Where a slot is taken, the one behind it mostly is the one.
    lane_prefetch(table.block + (spot & table.mask) * 8)
    lane_prefetch(table.block + (spot + 1 & table.mask) * 8)
    return spot


cdef inline Word *slot_of(Table table, Word spot, Word high, Word low) noexcept nogil:
    # The slot of a key, or the empty one where it would be.  (A removed record's key stays in its slot.)
    cdef Word *slot = table.block + (spot & table.mask) * 8
    while slot[0] != 0 and (slot[2] != low or slot[1] != high):
        spot += 1
        slot = table.block + (spot & table.mask) * 8
    return slot


cdef inline Record find(Table table, Word spot, Word high, Word low) noexcept nogil:
    cdef Word *slot = slot_of(table, spot, high, low)
    return slot + 3 if slot[0] == 1 else NULL


cdef inline int rebuild(Table table) except -1:
    # Make room, and leave what was removed behind.
    cdef Word *old = table.block
    cdef Word *slot
    cdef Word count = table.mask + 1, live = 0, each
    for each in range(count):
        live += old[each * 8] == 1
    allot(table, count * 2 if 2 * live >= count else count)
    for each in range(count):
        slot = old + each * 8
        if slot[0] == 1:
            memcpy(slot_of(table, approach(table, slot[1], slot[2]), slot[1], slot[2]), slot, 64)
            table.taken += 1
    lane_give(old, count * 64)
    return 0


cdef inline int put_record(Table table, Word high, Word low, tuple record) except -1:
    cdef Word first, second, third, fourth, fifth
    cdef Word *slot
    first, second, third, fourth, fifth = record
    if 4 * (table.taken + 1) > 3 * table.mask:
        rebuild(table)
    slot = slot_of(table, approach(table, high, low), high, low)
    table.taken += slot[0] == 0
    slot[1], slot[2] = high, low
    slot[3], slot[4], slot[5], slot[6], slot[7] = first, second, third, fourth, fifth
    slot[0] = 1
    return 0


cdef inline int remove_record(Table table, Word high, Word low) except -1:
    cdef Word *slot = slot_of(table, approach(table, high, low), high, low)
    if slot[0] == 1:
        slot[0] = 2
    return 0


cdef inline int clear_table(Table table) except -1:
    cdef Word *old = table.block
    cdef Word count = table.mask + 1
    allot(table, 8)
    lane_give(old, count * 64)
    return 0
