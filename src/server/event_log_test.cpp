#include "server/event_log.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace squish::server {
namespace {

std::string event(int number) { return fmt::format("event: e\ndata: {{\"n\":{}}}\n\n", number); }

TEST(EventLog, gives_out_events_by_their_numbers) {
  EventLog log;
  log.append(event(0) + event(1) + ": keep-alive\n\n" + event(2));
  int64_t number = 1;
  EXPECT_EQ(log.take(number, 1000), event(1) + event(2)) << "a comment is no event";
  EXPECT_EQ(number, 3);
  EXPECT_EQ(log.take(number, 1000), "");
  number = 0;
  EXPECT_EQ(log.take(number, 1), event(0)) << "one at least";
}

TEST(EventLogs, forget_the_oldest_that_have_ended_first) {
  EventLogs logs(3 * EventLog::kOwnBytes + 5 * event(0).size());
  for (const char* id : {"a", "b", "c"}) logs.append(*logs.open(id), event(0) + event(1));
  EXPECT_EQ(logs.find("a")->first(), 0) << "what is being written keeps its events";
  EXPECT_EQ(logs.find("c")->first(), 1) << "but for the one that grows";
  logs.find("b")->close();
  logs.append(*logs.find("c"), event(2));
  EXPECT_EQ(logs.find("b"), nullptr);
  EXPECT_NE(logs.find("a"), nullptr);
  const auto forgotten = logs.find("a");
  logs.forget("a");
  EXPECT_EQ(logs.find("a"), nullptr);
  logs.append(*forgotten, event(2));
  EXPECT_EQ(forgotten->end(), 3) << "who follows it hears the end";
}

}  // namespace
}  // namespace squish::server
