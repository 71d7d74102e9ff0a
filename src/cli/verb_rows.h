#pragma once
// The rows of the verb table, each made in the file of its verb.
#include "cli/verb.h"

namespace squish::cli {

Verb make_run_verb();
Verb make_chat_verb();
Verb make_serve_verb();
Verb make_ps_verb();
Verb make_stop_verb();
Verb make_logs_verb();
Verb make_trace_verb();
Verb make_quality_verb();
Verb make_compress_verb();
Verb make_trim_verb();
Verb make_merge_verb();
Verb make_sbom_verb();
Verb make_masks_verb();
Verb make_rotate_verb();
Verb make_pull_verb();
Verb make_publish_verb();
Verb make_push_verb();
Verb make_quantize_remote_verb();
Verb make_models_verb();
Verb make_export_verb();
Verb make_show_verb();
Verb make_remove_verb();
Verb make_catalog_verb();
Verb make_search_verb();
Verb make_tokenize_verb();
Verb make_embed_verb();
Verb make_bench_verb();
Verb make_benchmark_verb();
Verb make_eval_verb();
Verb make_check_verb();
Verb make_config_verb();
Verb make_version_verb();
Verb make_completions_verb();
Verb make_help_verb();

}  // namespace squish::cli
