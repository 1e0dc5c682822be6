/* engine/suspects.c - a record that crashes the process does so again after each restart. Three
 * times in a row, and it is isolated.
 *
 *   offsets of a partition   ....[start ........ X .... reached)....      of the epoch(s) in flight
 *   crash 1                      └────── suspected ───────────┘
 *   crash 2                      └─ the common part ─┘                    X lies in all of them
 *   after it                     at most 1024 records an epoch, each committed before the next
 *   crash 3, after it            one record alone in the process, an epoch of its own
 *   crash 4                      that one is guilty: the error policy of its source decides
 *
 * What lies before X is committed meanwhile, so the suspected part shrinks to X; a part that is
 * committed is suspected no more. Records that other tasks had in flight at the same moment are
 * suspected too, and acquitted when they pass alone.
 *
 * Only a death by a fault counts (abort, a bad address): a handler notes it and passes the signal
 * on to whom it was for before. A process that was killed, or ran out of memory, accuses nobody.
 *
 * The ledger is a file that is mapped: what was stored there survives the process, and costs
 * nothing. It says nothing after a power failure that it may not say: at worst an innocent record
 * is looked at closely. DIR/leat.crashes:
 *
 *   offset size  field                                          native byte order: it is a host's
 *        0    8  "LEATCRSH"
 *        8    4  format, 1
 *       12    4  1: a process works, or ended without saying why; 2: it died by a fault
 *       16   48  zero
 *       64   64  per partition: name (hash of topic and partition; 0: free), start, reached,
 *                suspected from and until, number of the record that is alone (-1), crashes
 */
#include "engine/suspects.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log_line.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    FORMAT = 1,
    SLOTS = 1023, /* of more partitions the rest is not watched */
    CLOSE_LOOK = 2,
    CLOSE_LOOK_RECORDS = 1024,
    ALONE = 3,
    WORKING = 1,
    DIED = 2,
    OPEN_MAX = 8, /* ledgers in one process; more are not told of faults */
};
static const char magic[8] = "LEATCRSH";

typedef struct leat__suspect {
    _Atomic uint64_t name;
    _Atomic int64_t start, reached, from, until, alone;
    _Atomic uint32_t crashes;
    uint32_t unused[3];
} slot;

typedef struct ledger {
    char magic[8];
    uint32_t format;
    _Atomic uint32_t working;
    uint8_t zero[48];
    slot slots[SLOTS];
} ledger;

struct leat__suspects {
    ledger *ledger;
    _Atomic bool any;
};

/* ------------------------------------------------------------------ faults */

static const int faults[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };
static struct sigaction former[FAULTS];
static _Atomic(ledger *) open_ledgers[OPEN_MAX];
static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;

/* Async-signal-safe: stores, sigaction, raise. */
static void on_fault(int signal_number)
{
    for (size_t i = 0; i < OPEN_MAX; i++) {
        ledger *book = atomic_load(&open_ledgers[i]);
        if (book != NULL)
            book->working = DIED;
    }
    for (size_t i = 0; i < FAULTS; i++)
        if (faults[i] == signal_number)
            (void)sigaction(signal_number, &former[i], NULL);
    (void)raise(signal_number); /* comes when this handler has returned */
}

static void install_handlers(void)
{
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < FAULTS; i++)
        (void)sigaction(faults[i], &action, &former[i]);
}

static void watch_faults(ledger *book)
{
    (void)pthread_once(&handlers_once, install_handlers);
    for (size_t i = 0; i < OPEN_MAX; i++) {
        ledger *none = NULL;
        if (atomic_compare_exchange_strong(&open_ledgers[i], &none, book))
            return;
    }
}

static void unwatch_faults(ledger *book)
{
    for (size_t i = 0; i < OPEN_MAX; i++) {
        ledger *same = book;
        (void)atomic_compare_exchange_strong(&open_ledgers[i], &same, NULL);
    }
}

/* ------------------------------------------------------------------ what the last process left */

static void forget(slot *s)
{
    s->crashes = 0;
    s->from = s->until = 0;
    s->alone = -1;
}

/* A partition without records in flight had no part in it. */
static void charge(slot *s)
{
    if (s->name == 0 || s->reached <= s->start)
        return;
    int64_t from = s->start > s->from ? s->start : s->from;
    int64_t until = s->reached < s->until ? s->reached : s->until;
    bool again = s->crashes != 0 && from < until;
    s->from = again ? from : s->start;
    s->until = again ? until : s->reached;
    s->crashes = again ? s->crashes + 1 : 1;
    if (!again || s->crashes <= ALONE || s->alone < s->from || s->alone >= s->until)
        s->alone = -1; /* else it was alone, and is guilty */
}

static void read_ledger(ledger *book)
{
    if (memcmp(book->magic, magic, sizeof(magic)) != 0 || book->format != FORMAT) {
        memset(book, 0, sizeof(*book));
        memcpy(book->magic, magic, sizeof(magic));
        book->format = FORMAT;
        for (size_t i = 0; i < SLOTS; i++)
            book->slots[i].alone = -1;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        if (book->working == DIED)
            charge(&book->slots[i]);
        else if (book->working != WORKING) /* it ended by itself */
            forget(&book->slots[i]);
        book->slots[i].start = book->slots[i].reached = 0;
    }
    book->working = WORKING;
}

static leat_status cannot_write(const char *path, int cause, leat_error *error)
{
    char text[LEAT__ERRNO_TEXT_BYTES];
    return leat__fail(error, leat__errno_status(cause), LEAT_RECOVERY_FATAL, path,
                      "state: can't be written: %s", leat__errno_text(cause, text, sizeof(text)));
}

leat_status leat__suspects_open(leat__run *run, const char *state_dir, leat_error *error)
{
    if (state_dir == NULL)
        return LEAT_OK;
    char *path = leat__format("%s/leat.crashes", state_dir);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    ledger *book = MAP_FAILED;
    if (file >= 0 && (errno = posix_fallocate(file, 0, sizeof(*book))) == 0) /* no SIGBUS later */
        book = mmap(NULL, sizeof(*book), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    leat_status status = LEAT_OK;
    if (book == MAP_FAILED)
        status = cannot_write(path, errno, error);
    if (file >= 0)
        close(file);
    leat__free(path);
    if (status != LEAT_OK)
        return status;
    run->suspects = leat__calloc(1, sizeof(*run->suspects));
    run->suspects->ledger = book;
    read_ledger(book);
    watch_faults(book);
    return LEAT_OK;
}

void leat__suspects_forgive(leat__run *run)
{
    if (run->suspects != NULL)
        run->suspects->ledger->working = 0;
}

void leat__suspects_close(leat__run *run)
{
    if (run->suspects == NULL)
        return;
    leat__suspects_forgive(run);
    unwatch_faults(run->suspects->ledger);
    (void)munmap(run->suspects->ledger, sizeof(*run->suspects->ledger));
    leat__free(run->suspects);
    run->suspects = NULL;
}

/* ------------------------------------------------------------------ one partition */

static slot *slot_of(const leat__task *task)
{
    return task->source == NULL ? NULL : task->source->suspect;
}

static slot *find_slot(ledger *book, const leat__task *task)
{
    const char *topic = task->source->topic;
    uint64_t both[2] = {leat__hash64(topic, strlen(topic)), task->partition};
    uint64_t name = leat__hash64((const char *)both, sizeof(both)) | 1;
    for (size_t i = 0; i < SLOTS; i++)
        if (book->slots[i].name == name)
            return &book->slots[i];
    for (size_t i = 0; i < SLOTS; i++) {
        if (book->slots[i].name != 0)
            continue;
        forget(&book->slots[i]);
        book->slots[i].name = name;
        return &book->slots[i];
    }
    return NULL;
}

static void look_again(leat__run *run)
{
    bool any = false;
    for (size_t i = 0; i < run->task_count; i++) {
        const slot *s = slot_of(run->tasks[i]);
        any |= s != NULL && s->crashes >= CLOSE_LOOK;
    }
    atomic_store(&run->suspects->any, any);
}

void leat__suspects_begin(leat__task *task)
{
    leat__source *source = task->source;
    leat__run *run = task->run;
    if (run->suspects == NULL)
        return;
    slot *s = source->suspect = find_slot(run->suspects->ledger, task);
    if (s == NULL)
        return;
    s->start = s->reached = source->offset;
    if (s->crashes != 0 && source->offset >= s->until)
        forget(s);
    if (s->crashes > ALONE && s->alone >= 0) {
        source->guilty_offset = s->alone;
        source->guilty_crashes = s->crashes;
    } else if (s->crashes >= CLOSE_LOOK) {
        leat__log_line(LEAT__WARN, "job",
                       "the process ended %" PRIu32 " times in a row while it worked on %s, "
                       "partition %" PRIu32 ", offsets %" PRId64 " to %" PRId64 ": %s",
                       s->crashes, source->topic, task->partition, (int64_t)s->from,
                       (int64_t)s->until - 1,
                       s->crashes < ALONE ? "short epochs there" : "each is processed alone");
    }
    look_again(run);
}

bool leat__suspects_any(const leat__run *run)
{
    return run->suspects != NULL && atomic_load(&run->suspects->any);
}

/* The first task that has a record to be looked at alone; the others wait. */
static const leat__task *who_is_alone(const leat__run *run)
{
    for (size_t i = 0; i < run->task_count; i++) {
        const slot *s = slot_of(run->tasks[i]);
        if (s != NULL && s->crashes >= ALONE)
            return run->tasks[i];
    }
    return NULL;
}

size_t leat__suspects_may_read(const leat__task *task, size_t most)
{
    if (!leat__suspects_any(task->run))
        return most;
    const slot *s = slot_of(task);
    const leat__task *alone = who_is_alone(task->run);
    if (alone != NULL && alone != task)
        return 0;
    if (s == NULL || s->crashes < CLOSE_LOOK)
        return most;
    /* all that was read is committed; before the first commit the position may be a seal's */
    if (s->start < task->source->offset)
        return 0;
    if (alone == task)
        return 1;
    return most < CLOSE_LOOK_RECORDS ? most : CLOSE_LOOK_RECORDS;
}

/* What is suspected may have been deleted meanwhile: then nothing comes before its end. */
static void skip_gap(leat__task *task, slot *s)
{
    int64_t position = s->start;
    leat__source *source = task->source;
    if (s->crashes < CLOSE_LOOK || s->reached > s->start)
        return;
    if (leat_log_reader_position(source->reader, source->topic, task->partition, &position, NULL) !=
            LEAT_OK ||
        position < s->until)
        return;
    forget(s);
    look_again(task->run);
}

void leat__suspects_reading(leat__task *task, const leat_log_record *records, size_t count)
{
    slot *s = slot_of(task);
    if (s == NULL)
        return;
    if (count == 0) {
        skip_gap(task, s);
        return;
    }
    if (s->crashes >= ALONE)
        s->alone = records[0].offset;
    s->reached = records[count - 1].offset + 1;
}

void leat__suspects_ended(leat__task *task)
{
    slot *s = slot_of(task);
    if (s == NULL)
        return;
    s->crashes = 0; /* it reads no more; the others need not wait */
    look_again(task->run);
}

bool leat__suspects_is_guilty(const leat__task *task, int64_t offset, leat_error *error)
{
    if (offset != task->source->guilty_offset)
        return false;
    (void)leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, task->source->topic,
                     "the process ended %" PRIu32 " times while this record was processed, the "
                     "last time alone",
                     task->source->guilty_crashes);
    return true;
}

void leat__suspects_committed(leat__run *run)
{
    if (run->suspects == NULL)
        return;
    bool changed = false;
    for (size_t i = 0; i < run->task_count; i++) {
        leat__task *task = run->tasks[i];
        slot *s = slot_of(task);
        if (s == NULL)
            continue;
        s->start = atomic_load(&task->committed_offset);
        if (s->crashes != 0 && s->start >= s->until) {
            forget(s);
            changed = true;
        }
    }
    if (changed)
        look_again(run);
}
