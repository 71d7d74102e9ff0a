#pragma once
// What every route works with. Lives as long as the server; network thread unless a member says
// otherwise.
#include <atomic>
#include <map>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "chat/model_manager.h"
#include "chat/startup_trace.h"
#include "server/access.h"
#include "server/event_log.h"
#include "server/memory_governor.h"
#include "server/metrics.h"
#include "server/observer.h"
#include "server/options.h"
#include "server/response_store.h"

namespace squish::server {

class Exchange;
class ResponsesWriter;

/// An answer of /v1/responses that nobody waits for.
struct BackgroundResponse {
  std::shared_ptr<Exchange> exchange;
  ResponsesWriter* writer = nullptr;  // lives until the entry goes
};

struct Services {
  const ServerOptions& options;
  ModelManager& models;      // any thread
  Metrics& metrics;          // any thread
  ResponseStore& responses;  // any thread
  const Access& access;      // any thread
  boost::asio::io_context& network;
  boost::asio::thread_pool& workers;  // for what takes longer than a millisecond
  std::atomic<bool> is_draining = false;
  Observer observer = {};                                     // any thread
  std::vector<StartupTrace::Phase> startup = {};              // set before the network thread runs
  std::map<std::string, BackgroundResponse> background = {};  // by id; network thread only
  EventLogs events = {};       // of streams in the background, by id; network thread only
  MemoryGovernor memory = {};  // its level: any thread
};

}  // namespace squish::server
