#include "apps/recommender/evaluate/metrics.h"

#include <string.h>

#include "base/mem.h"

static void note_recommended(metrics *to, uint32_t item)
{
    if (item >= to->item_capacity) {
        uint32_t capacity = to->item_capacity == 0 ? 1024 : to->item_capacity;
        while (capacity <= item)
            capacity *= 2;
        to->recommended = leat__realloc(to->recommended, capacity, 1);
        memset(to->recommended + to->item_capacity, 0, capacity - to->item_capacity);
        to->item_capacity = capacity;
    }
    to->distinct_recommended += to->recommended[item] == 0;
    to->recommended[item] = 1;
}

static bool is_among(uint32_t item, const uint32_t *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (items[i] == item)
            return true;
    return false;
}

void metrics_add(metrics *to, const uint32_t *list, size_t list_count, uint32_t n, uint32_t next,
                 const uint32_t *remaining, size_t remaining_count, const double *clicks_of,
                 double most_clicks)
{
    uint32_t found = 0;
    double popularity = 0;
    to->predictions++;
    to->empty += list_count == 0;
    for (size_t place = 0; place < list_count; place++) {
        uint32_t item = list[place];
        if (item == next) {
            to->hits++;
            to->reciprocal_ranks += 1.0 / (double)(place + 1);
        }
        found += is_among(item, remaining, remaining_count);
        popularity += clicks_of[item] / most_clicks;
        note_recommended(to, item);
    }
    to->precisions += (double)found / n;
    if (remaining_count != 0)
        to->recalls += (double)found / (double)remaining_count;
    if (list_count != 0)
        to->popularities += popularity / (double)list_count;
}

quality metrics_quality(const metrics *of, uint32_t items_known)
{
    double predictions = of->predictions == 0 ? 1 : (double)of->predictions;
    return (quality){
        .predictions = of->predictions,
        .hit_rate = (double)of->hits / predictions,
        .mrr = of->reciprocal_ranks / predictions,
        .precision = of->precisions / predictions,
        .recall = of->recalls / predictions,
        .coverage = items_known == 0 ? 0 : (double)of->distinct_recommended / items_known,
        .popularity = of->popularities / predictions,
        .empty_part = (double)of->empty / predictions,
    };
}

void metrics_free(metrics *of)
{
    leat__free(of->recommended);
    *of = (metrics){0};
}
