/* hello - an array in, a file out: no server, no disk, nothing to set up.
 *
 *     temperatures ─► filter warm ─► map to Fahrenheit ─► stdout as JSON lines
 */
#include <leat/leat.h>

struct celsius {
    leat_str city;
    double degrees;
};
LEAT_RECORD(celsius, city, degrees);

struct fahrenheit {
    leat_str city;
    double degrees;
};
LEAT_RECORD(fahrenheit, city, degrees);

static bool is_warm(const void *record, void *limit)
{
    return ((const struct celsius *)record)->degrees >= *(const double *)limit;
}

static void convert(const void *in, void *out, void *arg)
{
    const struct celsius *from = in;
    struct fahrenheit *to = out;
    (void)arg;
    to->city = from->city;
    to->degrees = from->degrees * 9 / 5 + 32;
}

int main(void)
{
    struct celsius measured[] = {
        {LEAT_STR("Oslo"), 4.5}, {LEAT_STR("Cairo"), 31}, {LEAT_STR("Quito"), 15.5}};
    double limit = 15;

    leat_job *job = leat_job_new(&(leat_job_opts){.name = "hello"});
    leat_stream cities = leat_from_array(job, "cities", &celsius_type,
                                         &(leat_array){.records = measured, .count = 3});
    leat_stream warm = leat_filter(cities, "warm", is_warm, &limit);
    leat_to_file(leat_map(warm, "convert", &fahrenheit_type, convert, NULL), "print", stdout);

    leat_error error;
    leat_status status = leat_job_run(job, &error); /* the one check */
    if (status != LEAT_OK)
        fprintf(stderr, "hello: %s: %s\n", error.where, error.message);
    leat_job_free(job);
    return leat_status_exit_code(status);
}
