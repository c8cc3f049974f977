// The container pool alone: which container serves a call, which one goes when memory is short. It keeps the
// books; starting, calling and ending containers is up to the program. Needs serverledge::core.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <serverledge/node/container_pool.hpp>

using namespace serverledge;

namespace {

/// A container of the program's own kind.
class Worker final : public Container {
 public:
  explicit Worker(std::string name) : name_(std::move(name)) { std::printf("%s: started\n", name_.c_str()); }
  ~Worker() override { Worker::destroy(); }
  Reply invoke(const Call& call) override {
    Reply reply;
    reply.result = call.params;
    return reply;
  }
  void destroy() noexcept override {
    if (!destroyed_) std::printf("%s: ended\n", name_.c_str());
    destroyed_ = true;
  }

 private:
  const std::string name_;
  bool destroyed_ = false;
};

/// Told of leases that nobody gave back. This program always does.
class NothingIsLost final : public LeaseHome {
  void lease_lost(ContainerId, int, std::vector<Discarded>) noexcept override {}
};

FunctionPtr function(const char* name, std::int64_t memory_mb) {
  Function made;
  made.name = name;
  made.memory_mb = memory_mb;
  return std::make_shared<const Function>(std::move(made));
}

/// One call, from the slot to its return.
void call(ContainerPool& pool, const FunctionPtr& what, Clock& clock) {
  Acquired acquired = pool.acquire(what, {}, clock.now());
  if (acquired.kind != Acquired::Kind::kLease) {
    std::printf("%s: no room\n", what->name.c_str());
    return;
  }
  Lease lease = std::move(acquired.lease);
  // What had to make room goes first: until then its memory is charged.
  for (const Discarded& victim : lease.take_victims()) {
    victim.container->destroy();
    pool.destroyed(victim.id);
  }
  if (lease.cold()) pool.started(lease, std::make_shared<Worker>(what->name), std::chrono::milliseconds(5));
  lease.container()->invoke({.id = "1", .params = "{}"});
  pool.release(std::move(lease), false, clock.now());
}

}  // namespace

int main() {
  NothingIsLost home;
  TtlKeepAlive keep_alive(std::chrono::minutes(10));
  const auto pool = make_container_pool({.total = {.memory_mb = 256}, .max_starts = 4}, keep_alive, home);
  Clock& clock = system_clock();
  call(*pool, function("small", 64), clock);  // starts a container
  call(*pool, function("small", 64),
       clock);  // another record of the same name: revision 0 again, so it is warm
  call(*pool, function("large", 224), clock);   // takes the place of the idle one
  call(*pool, function("larger", 512), clock);  // will never fit
  for (const Discarded& left : pool->retire_all()) {
    left.container->destroy();
    pool->destroyed(left.id);
  }
}
