#pragma once
// Models that other programs keep on this machine, found without a server and used where they lie.
// Read-only.
#include <string>

#include "hub/environment.h"
#include "hub/local_model.h"

namespace squish::hub {

/// Ollama: <root>/manifests/<registry>/<namespace>/<model>/<tag> name a GGUF under <root>/blobs.
/// Ids are "ollama:model:tag" ("ollama:namespace/model:tag" outside the library).
ScanResult scan_ollama(const std::string& root);
/// LM Studio: <root>/<publisher>/<repo>/... holds GGUF files or safetensors directories. Ids are
/// "lmstudio:pub/repo".
ScanResult scan_lm_studio(const std::string& root);
/// The Hugging Face hub cache: <root>/models--org--name/snapshots/<commit>, the commit of refs/main
/// if there is one. Ids are "hf-cache:org/name".
ScanResult scan_hugging_face_cache(const std::string& root);

/// All of them at their usual places: $OLLAMA_MODELS, ~/.ollama/models,
/// /usr/share/ollama/.ollama/models; $LMSTUDIO_MODELS_DIR, ~/.cache/lm-studio/models,
/// ~/.lmstudio/models; $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub,
/// ~/.cache/huggingface/hub. Never follows a link out of a root; reads manifests of at most 1 MiB;
/// visits at most 20,000 entries per root and 6 levels. A malformed entry is skipped with a
/// warning; a root that is absent or unreadable is no warning.
ScanResult scan_external(const Environment& environment);

}  // namespace squish::hub
