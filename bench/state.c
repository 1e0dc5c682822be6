/* bench/state.c - keyed state alone: what one access costs, what an epoch costs.
 *
 *   set_key, callback_begin, mut (count++), callback_commit      per record, as the engine does it
 *   seal + apply every EPOCH records                              counted in and also shown alone
 *
 *   memory            1 M keys            rocksdb, fitting    the same, cache larger than the keys
 *   rocksdb, hot      10 M keys on disk, work on the hot 10 %, cache sized for those
 *
 * The counts are checked against a plain array before a speed is printed. */
#include "base/hash.h"
#include "base/random.h"
#include "bench/support/machine.h"
#include "state/store.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EPOCH = 20000, BATCH = 64, KEY_BYTES = 16, ROUNDS = 3 };

struct tally {
    uint64_t count;
};
LEAT_RECORD(tally, count);

static const leat__slot slots[] = {
    {.name = "bench/tally", .kind = LEAT__VALUE, .type = &tally_type}};

typedef struct setting {
    const char *name;
    leat__backend backend;
    uint64_t keys, hot_keys, records;
    size_t cache_bytes;
    bool prefetch, read_only;
} setting;

typedef struct result {
    double ns, seal_ns, apply_ns,
        background_ns; /* per record, per changed key, per changed key, per new key */
    double cache_mib, misses;
    bool correct;
} result;

typedef struct bench {
    const setting *s;
    char dir[32];
    leat__database *database;
    leat__store *store;
    leat__changes changes;
    uint64_t epoch;
    int64_t seal_ns, apply_ns;
    uint64_t sealed;
    uint32_t *expected;
    char keys[BATCH][KEY_BYTES];
    uint64_t hashes[BATCH], numbers[BATCH];
    size_t lengths[BATCH];
} bench;

/* CPU time of this thread: neighbours on a shared machine do not count, nor does RocksDB's
 * background work, which is shown by itself. */
static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t process_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void check(leat_status status, const leat_error *error)
{
    if (status == LEAT_OK)
        return;
    fprintf(stderr, "%s: %s\n", error->where, error->message);
    exit(1);
}

static void open_bench(bench *b, const setting *s)
{
    leat_error error = {0};
    b->s = s;
    snprintf(b->dir, sizeof b->dir, "/tmp/leat-bench-XXXXXX");
    if (mkdtemp(b->dir) == NULL)
        abort();
    check(leat__database_open(&b->database,
                              &(leat__database_opts){.backend = s->backend, .dir = b->dir}, &error),
          &error);
    leat__store_opts opts = {
        .database = b->database, .slots = slots, .slot_count = 1, .cache_bytes = s->cache_bytes};
    check(leat__store_open(&b->store, &opts, &error), &error);
    b->expected = calloc(s->keys, sizeof *b->expected);
}

static void close_bench(bench *b)
{
    char command[64];
    leat__store_close(b->store);
    leat__database_close(b->database);
    leat__changes_free(&b->changes);
    free(b->expected);
    snprintf(command, sizeof command, "rm -rf %s", b->dir);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", b->dir);
}

static void end_epoch(bench *b)
{
    leat_error error = {0};
    int64_t start_ns = now_ns();
    b->sealed += leat__store_seal(b->store, ++b->epoch, &b->changes);
    int64_t sealed_ns = now_ns();
    leat__apply apply = {.store = b->store,
                         .changes = &b->changes,
                         .epoch = b->epoch,
                         .changelog_position = (int64_t)b->epoch};
    check(leat__database_apply(b->database, &apply, 1, &error), &error);
    b->seal_ns += sealed_ns - start_ns;
    b->apply_ns += now_ns() - sealed_ns;
}

static void make_keys(bench *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        b->lengths[i] = (size_t)snprintf(b->keys[i], KEY_BYTES, "%" PRIu64, b->numbers[i]);
        b->hashes[i] = leat__hash64(b->keys[i], b->lengths[i]);
    }
}

static uint64_t touch_batch(bench *b, size_t count, bool write)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        leat__store_set_key(b->store, (leat_str){b->keys[i], b->lengths[i]}, b->hashes[i]);
        leat__store_callback_begin(b->store);
        if (write) {
            ((struct tally *)leat__store_mut(b->store, 0))->count++;
        } else {
            const struct tally *tally = leat__store_get(b->store, 0);
            sum += tally != NULL ? tally->count : 0;
        }
        leat__store_callback_commit(b->store);
    }
    return sum;
}

static void fill(bench *b)
{
    for (uint64_t i = 0; i < b->s->keys; i += BATCH) {
        for (uint64_t k = 0; k < BATCH; k++) {
            b->numbers[k] = (i + k) % b->s->keys;
            b->expected[b->numbers[k]]++;
        }
        make_keys(b, BATCH);
        touch_batch(b, BATCH, true);
        if (i / EPOCH != (i + BATCH) / EPOCH)
            end_epoch(b);
    }
    end_epoch(b);
}

/* Keys are made beforehand: their text is not what is measured. */
static double work(bench *b, uint64_t seed, bool write)
{
    leat__random random = {seed};
    int64_t spent_ns = 0;
    for (uint64_t done = 0; done < b->s->records; done += BATCH) {
        for (size_t k = 0; k < BATCH; k++) {
            b->numbers[k] =
                leat__random_below(&random, b->s->hot_keys) * (b->s->keys / b->s->hot_keys);
            if (write)
                b->expected[b->numbers[k]]++;
        }
        make_keys(b, BATCH);
        int64_t start_ns = now_ns();
        if (b->s->prefetch)
            leat__store_prefetch(b->store, b->hashes, BATCH);
        touch_batch(b, BATCH, write);
        spent_ns += now_ns() - start_ns;
        if (write && done / EPOCH != (done + BATCH) / EPOCH)
            end_epoch(b);
    }
    return (double)spent_ns / (double)b->s->records;
}

static bool all_right(bench *b)
{
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < b->s->keys; i += b->s->keys / 100000 + 1) {
        b->numbers[0] = i;
        make_keys(b, 1);
        if (touch_batch(b, 1, false) != b->expected[i])
            wrong++;
    }
    return wrong == 0 && leat__store_check(b->store, NULL) == LEAT_OK;
}

static result run(const setting *s)
{
    bench b = {0};
    result best = {.ns = 1e9};
    open_bench(&b, s);
    fill(&b);
    (void)work(&b, 99, !s->read_only); /* warm */
    for (uint64_t i = 0; i < ROUNDS; i++) {
        leat__store_stats before, after;
        b.seal_ns = b.apply_ns = 0;
        b.sealed = 0;
        leat__store_get_stats(b.store, &before);
        int64_t own_ns = now_ns(), all_ns = process_ns();
        double ns = work(&b, i + 1, !s->read_only);
        own_ns = now_ns() - own_ns;
        all_ns = process_ns() - all_ns;
        leat__store_get_stats(b.store, &after);
        if (ns < best.ns) {
            best.ns = ns;
            best.seal_ns = b.sealed != 0 ? (double)b.seal_ns / (double)b.sealed : 0;
            best.background_ns = b.sealed != 0 ? (double)(all_ns - own_ns) / (double)b.sealed : 0;
            best.apply_ns = b.sealed != 0 ? (double)b.apply_ns / (double)b.sealed : 0;
        }
        best.misses = (double)(after.misses - before.misses) / (double)s->records;
        best.cache_mib = (double)after.cache_bytes / (1 << 20);
    }
    best.correct = all_right(&b);
    close_bench(&b);
    return best;
}

int main(int argc, char **argv)
{
    const setting settings[] = {
        {"memory, 10 K keys, mut", LEAT__MEMORY, 10000, 10000, 8000000, 0, false, false},
        {"memory, 1 M keys, mut", LEAT__MEMORY, 1000000, 1000000, 4000000, 0, false, false},
        {"memory, 1 M keys, mut, prefetch", LEAT__MEMORY, 1000000, 1000000, 4000000, 0, true,
         false},
        {"memory, 1 M keys, get, prefetch", LEAT__MEMORY, 1000000, 1000000, 4000000, 0, true, true},
        {"rocksdb, 1 M keys fit, mut, prefetch", LEAT__ROCKSDB, 1000000, 1000000, 4000000,
         256 << 20, true, false},
        {"rocksdb, 10 M keys, hot 10 % fit, mut, prefetch", LEAT__ROCKSDB, 10000000, 1000000,
         4000000, 160 << 20, true, false},
        {"rocksdb, 10 M keys, hot 10 %, half fit, mut", LEAT__ROCKSDB, 10000000, 1000000, 1000000,
         64 << 20, true, false},
    };
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    size_t chosen = argc > 1 && !json ? strtoul(argv[1], NULL, 10) : SIZE_MAX;
    char machine[BENCH_MACHINE_BYTES];
    bench_machine(machine);
    if (!json)
        printf("%s\n%-50s %10s %12s %13s %12s %10s %8s\n", machine, "state", "ns/record",
               "seal ns/key", "apply ns/key", "backgr. ns", "cache MiB", "misses");
    bool correct = true;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (chosen != SIZE_MAX && chosen != i)
            continue;
        result r = run(&settings[i]);
        correct = correct && r.correct;
        if (json)
            printf("{\"machine\":\"%s\",\"state\":\"%s\",\"ns_per_record\":%.1f,\"seal_ns\":%.1f,"
                   "\"apply_ns\":%.1f,\"background_ns\":%.1f,\"cache_mib\":%.1f,\"misses\":%.4f,"
                   "\"correct\":%s}\n",
                   machine, settings[i].name, r.ns, r.seal_ns, r.apply_ns, r.background_ns,
                   r.cache_mib, r.misses, r.correct ? "true" : "false");
        else
            printf("%-50s %10.1f %12.1f %13.1f %12.1f %10.1f %8.4f%s\n", settings[i].name, r.ns,
                   r.seal_ns, r.apply_ns, r.background_ns, r.cache_mib, r.misses,
                   r.correct ? "" : "  WRONG");
        fflush(stdout);
    }
    return correct ? 0 : 1;
}
