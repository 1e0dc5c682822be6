/* job/operators.h - the two keyed operators of the job; their arg is the recommender_job. */
#ifndef RECOMMENDER_OPERATORS_H
#define RECOMMENDER_OPERATORS_H
#include "leat/job.h"

enum { SESSION_SIDE_CLOSED = 0, SESSION_SIDE_TOUCHED, SESSION_SIDE_LATE };

#define RECOMMENDER_JOB_NAME "recommender"
#define SESSION_OP_NAME "session"
#define SESSION_STATE_NAME "session"

extern const leat_process_op session_op;    /* interaction by user_id -> recommendation */
extern const leat_process_op popularity_op; /* item_touch by item_id -> item_count */
#endif
