/* metrics_table.h: METRIC(id, name, labels, kind, help); see metrics.h. No guard: read many times.
 * Rows of one name stand together. Kinds: COUNTER, GAUGE, SECONDS (a counter of ns, shown as s). */
METRIC(M_READS_MEMORY, "reads_total", "source=\"memory\"", COUNTER,
       "Read requests answered, by where the bytes came from.")
METRIC(M_READS_DISK, "reads_total", "source=\"disk\"", COUNTER, "")
METRIC(M_READS_STORE, "reads_total", "source=\"store\"", COUNTER, "")
METRIC(M_READS_INDEX, "reads_total", "source=\"index\"", COUNTER, "")
METRIC(M_READ_BYTES_MEMORY, "read_bytes_total", "source=\"memory\"", COUNTER,
       "Bytes answered to readers, by where they came from.")
METRIC(M_READ_BYTES_DISK, "read_bytes_total", "source=\"disk\"", COUNTER, "")
METRIC(M_READ_BYTES_STORE, "read_bytes_total", "source=\"store\"", COUNTER, "")
METRIC(M_READ_BYTES_INDEX, "read_bytes_total", "source=\"index\"", COUNTER, "")
METRIC(M_READ_SECONDS, "read_seconds_sum", "", SECONDS,
       "Time from taking a read request to its answer.")
METRIC(M_READ_COUNT, "read_seconds_count", "", COUNTER, "Read requests answered.")
METRIC(M_READ_ERROR_EIO, "read_errors_total", "error=\"EIO\"", COUNTER,
       "Read requests answered with an error.")
METRIC(M_READ_ERROR_EACCES, "read_errors_total", "error=\"EACCES\"", COUNTER, "")
METRIC(M_READ_ERROR_ESTALE, "read_errors_total", "error=\"ESTALE\"", COUNTER, "")
METRIC(M_REQUESTS, "requests_total", "", COUNTER, "Requests taken from the kernel.")
METRIC(M_REQUESTS_IN_FLIGHT, "requests_in_flight", "", GAUGE, "Read requests that wait for bytes.")
METRIC(M_FETCHES, "fetches_total", "", COUNTER, "Ranges asked of the store.")
METRIC(M_FETCH_BYTES, "fetch_bytes_total", "", COUNTER, "Bytes that came from the store.")
METRIC(M_FETCH_SECONDS, "fetch_seconds_sum", "", SECONDS,
       "Time from asking for a range to its last byte.")
METRIC(M_FETCH_COUNT, "fetch_seconds_count", "", COUNTER, "Ranges that came in full.")
METRIC(M_FETCH_ACTIVE, "fetches_active", "", GAUGE, "Ranges that are being fetched.")
METRIC(M_FETCH_RETRIES, "fetch_retries_total", "", COUNTER,
       "Ranges asked for again after a failure.")
METRIC(M_FETCH_ERROR_UNREACHABLE, "fetch_errors_total", "cause=\"unreachable\"", COUNTER,
       "Ranges that failed, by cause.")
METRIC(M_FETCH_ERROR_SERVER, "fetch_errors_total", "cause=\"server\"", COUNTER, "")
METRIC(M_FETCH_ERROR_REFUSED, "fetch_errors_total", "cause=\"refused\"", COUNTER, "")
METRIC(M_FETCH_ERROR_CHANGED, "fetch_errors_total", "cause=\"changed\"", COUNTER, "")
METRIC(M_FETCH_ERROR_CORRUPT, "fetch_errors_total", "cause=\"corrupt\"", COUNTER, "")
METRIC(M_FETCH_ERROR_OTHER, "fetch_errors_total", "cause=\"other\"", COUNTER, "")
METRIC(M_CACHE_BYTES, "cache_bytes", "", GAUGE, "Disk space that the cache takes, as allocated.")
METRIC(M_CACHE_LIMIT, "cache_limit_bytes", "", GAUGE, "The bound of it.")
METRIC(M_CACHE_BLOBS, "cache_blobs", "", GAUGE, "Object versions of which the cache has something.")
METRIC(M_CACHE_EVICTIONS, "cache_evictions_total", "", COUNTER,
       "Blobs, and parts of large ones, that were dropped to make room.")
METRIC(M_CACHE_EVICTED_BYTES, "cache_evicted_bytes_total", "", COUNTER,
       "Disk space that was freed by that.")
METRIC(M_CACHE_BYPASSED, "cache_bypassed_total", "", COUNTER,
       "Blocks that were not stored: no room, or the disk failed.")
METRIC(M_CACHE_DEGRADED, "cache_degraded", "", GAUGE, "1: the disk fails, reads stream past it.")
METRIC(M_DISK_ERRORS, "disk_errors_total", "", COUNTER,
       "Reads and writes of the cache's disk that failed.")
METRIC(M_VERIFY_BLOCK_FAILURES, "verify_failures_total", "what=\"block\"", COUNTER,
       "Bytes that were found wrong and were not served.")
METRIC(M_VERIFY_FILE_FAILURES, "verify_failures_total", "what=\"file\"", COUNTER, "")
METRIC(M_VERIFIED_FILES, "verified_files_total", "", COUNTER,
       "Complete files whose digest was right.")
METRIC(M_SCRUB_RUNS, "scrub_runs_total", "", COUNTER,
       "Walks over the whole cache that came to their end.")
METRIC(M_MEMORY_LIMIT, "memory_budget_bytes", "part=\"total\"", GAUGE,
       "The memory budget, by part.")
METRIC(M_MEMORY_FIXED, "memory_budget_bytes", "part=\"fixed\"", GAUGE, "")
METRIC(M_MEMORY_CONNECTIONS, "memory_budget_bytes", "part=\"connections\"", GAUGE, "")
METRIC(M_MEMORY_ARENA, "memory_budget_bytes", "part=\"arena\"", GAUGE, "")
METRIC(M_MEMORY_TREE, "memory_budget_bytes", "part=\"tree\"", GAUGE, "")
METRIC(M_MEMORY_CACHE, "memory_budget_bytes", "part=\"cache\"", GAUGE, "")
METRIC(M_MEMORY_RESIDENT, "memory_used_bytes", "part=\"resident\"", GAUGE,
       "Memory in use, by part.")
METRIC(M_MEMORY_SOCKETS, "memory_used_bytes", "part=\"sockets\"", GAUGE, "")
METRIC(M_MEMORY_ARENA_USED, "memory_used_bytes", "part=\"arena\"", GAUGE, "")
METRIC(M_MEMORY_TREE_USED, "memory_used_bytes", "part=\"tree\"", GAUGE, "")
METRIC(M_CONNECTIONS, "connections", "", GAUGE, "Connections with the store that are in use.")
METRIC(M_CONNECTS, "connects_total", "", COUNTER, "Connections that were made.")
METRIC(M_TREE_NAMES, "tree_names", "", GAUGE, "Names that the mount shows.")
METRIC(M_TREE_AGE, "tree_age_seconds", "", GAUGE, "Since the tree was last known to be current.")
METRIC(M_TREE_REFRESHES, "tree_refreshes_total", "result=\"changed\"", COUNTER,
       "Looks at the bucket's index or listing.")
METRIC(M_TREE_UNCHANGED, "tree_refreshes_total", "result=\"unchanged\"", COUNTER, "")
METRIC(M_TREE_FAILURES, "tree_refreshes_total", "result=\"failed\"", COUNTER, "")
METRIC(M_TAKEOVERS, "takeovers_total", "", COUNTER, "Workers that have taken this mount over.")
METRIC(M_TAKEOVER_SECONDS, "takeover_seconds_sum", "", SECONDS,
       "From a worker's death to its successor's first answer.")
METRIC(M_REDONE, "requests_redone_total", "", COUNTER,
       "Requests that a dead worker had left unanswered.")
METRIC(M_POISONED, "requests_poisoned_total", "", COUNTER,
       "Requests answered EIO after several workers died of them.")
METRIC(M_ORPHANED, "requests_orphaned_total", "", COUNTER,
       "Requests answered EIO by the keeper for want of a worker.")
METRIC(M_KERNEL_PASSTHROUGH, "kernel_feature", "feature=\"passthrough\"", GAUGE,
       "1: the kernel has it and it was agreed on.")
METRIC(M_KERNEL_READDIRPLUS, "kernel_feature", "feature=\"readdirplus\"", GAUGE, "")
METRIC(M_KERNEL_MAX_PAGES, "kernel_feature", "feature=\"max_pages\"", GAUGE, "")
METRIC(M_READY, "ready", "", GAUGE, "1: the last read through the mount succeeded in time.")
METRIC(M_LOG_SUPPRESSED, "log_lines_suppressed_total", "", COUNTER,
       "Log lines left out because there were too many of their kind.")
