/* serve/session_body.h - the body of POST /v1/recommendations.
 *
 *   {"items":["a","b",{"item_id":"c"}],   the session, oldest first; numbers are ids too
 *    "n":10, "explain":false, "exclude_seen":false, "category":"shoes"}      all of these optional
 */
#ifndef RECOMMENDER_SESSION_BODY_H
#define RECOMMENDER_SESSION_BODY_H
#include "apps/recommender/job/model.h"
#include "record/json_reader.h"

/* Writes the items into clicks[RECOMMEND_CLICKS_MAX] and fills *request.  Strings are lent until
 * the next open on the reader.  LEAT_EDATA: the message says what is wrong. */
LEAT_MUST_CHECK leat_status session_body_read(leat__json_reader *reader, leat_str body,
                                              leat_str *clicks, recommend_request *request,
                                              leat_error *error);
#endif
