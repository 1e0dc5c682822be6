/* ops/stateless.c - map, filter, flat map, key_by, union: one element in, some elements out,
 * nothing kept. */
#include "base/buffer.h"
#include "base/hash.h"
#include "ops/op.h"
#include "record/keys.h"

static leat_status map_element(leat__op *op, const leat__element *element)
{
    const leat__op_spec *spec = op->spec;
    void *record = leat__arena_alloc(op->ctx.task->scratch, spec->out->size_bytes);
    memset(record, 0, spec->out->size_bytes);
    spec->config.map(element->record, record, spec->arg);
    leat__element out = *element;
    out.record = record;
    out.large = leat__element_is_large(&op->output[0], &out);
    return leat__op_forward(op, 0, &out);
}

static leat_status filter_element(leat__op *op, const leat__element *element)
{
    return op->spec->config.filter(element->record, op->spec->arg)
               ? leat__op_forward(op, 0, element)
               : LEAT_OK;
}

static leat_status flat_map_element(leat__op *op, const leat__element *element)
{
    return leat__op_run_record(op, element, op->spec->config.flat_map);
}

static leat_status union_element(leat__op *op, const leat__element *element)
{
    return leat__op_forward(op, 0, element);
}

static leat_status key_by_element(leat__op *op, const leat__element *element)
{
    const leat_field *field = op->spec->config.key;
    if (op->key_given && element->key.data != NULL)
        return leat__op_forward(op, 0, element);
    leat__element out = *element;
    out.key = leat__key_of(field, element->record,
                           leat__arena_alloc(op->ctx.task->scratch, LEAT__KEY_TEXT_BYTES));
    if (out.key.data == NULL) { /* an absent string would silently group strangers */
        op->ctx.failed = false;
        (void)leat__ctx_fail(&op->ctx, LEAT_EDATA, "the key field '%s' is absent", field->name);
        return op->ctx.task->failed(op->ctx.task->task, op, element, &op->ctx.error);
    }
    out.key_hash = leat__hash64(out.key.data, out.key.length);
    return leat__op_forward(op, 0, &out);
}

const leat__op_class leat__op_map = {.kind = "map", .on_element = map_element};
const leat__op_class leat__op_filter = {.kind = "filter", .on_element = filter_element};
const leat__op_class leat__op_flat_map = {.kind = "flat map", .on_element = flat_map_element};
const leat__op_class leat__op_union = {.kind = "union", .on_element = union_element};
const leat__op_class leat__op_key_by = {.kind = "key by", .on_element = key_by_element};
