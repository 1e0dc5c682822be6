/* What on_committed is given: the record as it lies in the log. */
#ifndef COMMITTED_JOB_H
#define COMMITTED_JOB_H

/* Runs a job of several epochs into a topic of three partitions, with and without keys, and
 * compares each record given to on_committed with the one that lies at its place. */
void on_committed_gives_the_record_as_it_lies_in_the_log(const char *url);
/* The same beside a writer of its own into that topic: a place is the right one, or not given. */
void on_committed_beside_another_writer(const char *url);
#endif
