/* graph/sinks.c - where records go: log topics, functions, files. */
#include "graph/builder.h"

void leat_to_log(leat_stream in, const char *name, const leat_log_sink *sink)
{
    leat__draft draft;
    if (!leat__build_sink(&draft, in, name, LEAT__NODE_SINK_LOG))
        return;
    static const leat_log_sink empty;
    if (sink == NULL)
        sink = &empty;
    if (!leat__build_topic_ok(&draft, sink->topic) ||
        !leat__build_format_ok(&draft, sink->format) ||
        !leat__build_partitions_ok(&draft, sink->partition_count) ||
        !leat__build_not_negative(&draft, "retention_ms", sink->retention_ms))
        return;
    if (sink->key != NULL) {
        draft.node.key_field = leat__build_key_field(&draft, draft.in, "key", sink->key);
        if (draft.node.key_field == NULL)
            return;
    }
    if (sink->compacted && sink->key == NULL && draft.node.key_of.data == NULL) {
        (void)leat__build_fail(&draft, LEAT_EINVAL,
                               "a compacted topic keeps the last record of "
                               "each key, but these have none; set .key");
        return;
    }
    leat_log_sink *own = &draft.node.as.sink;
    *own = *sink;
    own->topic = leat__build_text(draft.graph, sink->topic);
    own->key = leat__build_text(draft.graph, sink->key);
    if (sink->format == LEAT_BINARY)
        draft.node.fingerprint = leat__type_fingerprint(draft.node.type);
    (void)leat__build_done(&draft);
}

void leat_to_fn(leat_stream in, const char *name, void (*fn)(void *arg, const void *record),
                void *arg)
{
    leat__draft draft;
    if (!leat__build_sink(&draft, in, name, LEAT__NODE_SINK_FN))
        return;
    if (fn == NULL) {
        (void)leat__build_fail(&draft, LEAT_EINVAL, "needs a function");
        return;
    }
    draft.node.as.sink_fn.fn = fn;
    draft.node.as.sink_fn.arg = arg;
    (void)leat__build_done(&draft);
}

void leat_to_file(leat_stream in, const char *name, FILE *file)
{
    leat__draft draft;
    if (!leat__build_sink(&draft, in, name, LEAT__NODE_SINK_FILE))
        return;
    if (file == NULL) {
        (void)leat__build_fail(&draft, LEAT_EINVAL, "needs an open file");
        return;
    }
    draft.node.as.sink_file = file;
    (void)leat__build_done(&draft);
}
