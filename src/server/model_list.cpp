#include "server/model_list.h"

#include <algorithm>

namespace squish::server {

std::vector<ListedModel> list_models(const ModelManager& models) {
  std::vector<ListedModel> out;
  std::vector<LoadedModelInfo> loaded = models.loaded();
  for (hub::LocalModel& local : models.local_models()) out.push_back({std::move(local), {}});
  for (LoadedModelInfo& info : loaded) {
    const auto same = std::ranges::find_if(
        out, [&](const ListedModel& listed) { return listed.local.path == info.local.path; });
    if (same != out.end()) {
      same->loaded = std::move(info);
    } else {
      hub::LocalModel local = info.local;
      out.insert(out.begin(), {std::move(local), std::move(info)});
    }
  }
  return out;
}

Result<ListedModel> find_listed(const ModelManager& models, const std::string& id) {
  SQ_TRY(hub::LocalModel local, models.find_local(id));
  ListedModel out{std::move(local), {}};
  for (LoadedModelInfo& info : models.loaded()) {
    if (info.local.path == out.local.path) out.loaded = std::move(info);
  }
  return out;
}

}  // namespace squish::server
