#include "serverledge/node/container_pool.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

namespace serverledge {
namespace {

enum class State { kStarting, kReady, kDiscarded, kStock };

/// A container as the pool books it.
struct Instance {
  ContainerId id = 0;
  FunctionPtr function;  // null for stock
  std::shared_ptr<Container> container;
  State state = State::kStarting;
  bool doomed = false;
  bool stock_ready = false;
  int in_use = 0;
  std::uint64_t slots = 0;       // bit per leased slot, up to 64
  std::vector<bool> more_slots;  // the slots beyond
  std::int64_t charged_mb = 0;   // of its memory, what has been charged; the rest comes from its victims
  ContainerId heir = 0;          // who takes over its memory once it is gone
  TimePoint idle_since{};
  Duration init_time{0};
  double priority = 0;
  std::string stock_runtime;
  std::int64_t memory_mb = 0;
  std::int64_t millicores = 0;

  bool idle() const { return state == State::kReady && in_use == 0 && !doomed; }
  bool has_room() const { return state == State::kReady && !doomed && in_use < function->max_concurrency; }
};

/// Containers of one function.
struct FunctionPool {
  std::vector<Instance*> idle;  // the one used last at the back
  std::set<ContainerId> busy;   // ready, with calls, not doomed
  int starting = 0;
  std::uint64_t uses = 0;
};

/// Idle containers in the order in which they are evicted.
struct EvictionOrder {
  bool operator()(const Instance* a, const Instance* b) const {
    if (a->priority != b->priority) return a->priority < b->priority;
    if (a->idle_since != b->idle_since) return a->idle_since < b->idle_since;
    return a->id < b->id;
  }
};

class LocalPool final : public ContainerPool {
 public:
  LocalPool(const PoolOptions& options, KeepAlivePolicy& keep_alive, LeaseHome& home)
      : options_(options), keep_alive_(keep_alive), home_(home) {}

  Acquired acquire(const FunctionPtr& function, Resources promised, TimePoint now) override {
    FunctionPool& mine = functions_[function->name];
    if (function->max_concurrency > 1) {
      for (const ContainerId id : mine.busy) {
        Instance& instance = instances_.at(id);
        if (instance.has_room() && current(instance, *function)) return leased(instance, mine);
      }
    }
    const std::int64_t cores = to_millicores(function->cpu_demand);
    const bool cores_free = cores <= options_.total.millicores - busy_.millicores;
    if (cores_free) {
      for (auto it = mine.idle.rbegin(); it != mine.idle.rend(); ++it) {
        if (current(**it, *function)) return leased(**it, mine);
      }
    }
    if (function->max_concurrency > 1 && starting_slots(function->name) > 0)
      return {Acquired::Kind::kJoin, {}};
    if (!cores_free) return {Acquired::Kind::kNoCores, {}};
    return start_new(function, mine, promised, true, now);
  }

  Acquired acquire_new(const FunctionPtr& function, TimePoint now) override {
    FunctionPool& mine = functions_[function->name];
    if (to_millicores(function->cpu_demand) > options_.total.millicores - busy_.millicores) {
      return {Acquired::Kind::kNoCores, {}};
    }
    return start_new(function, mine, {}, false, now);
  }

  void started(Lease& lease, std::shared_ptr<Container> container, Duration init_time) override {
    Instance& instance = instances_.at(lease.id());
    FunctionPool& mine = functions_[instance.function->name];
    lease.attach(container);
    instance.container = std::move(container);
    instance.state = State::kReady;
    instance.init_time = init_time;
    --starts_;
    --mine.starting;
    if (!instance.doomed) mine.busy.insert(instance.id);
  }

  std::vector<Discarded> release(Lease&& lease, bool doomed, TimePoint now) override {
    std::vector<Discarded> discarded;
    if (lease) {
      const ContainerId id = lease.id();
      const int slot = lease.slot();
      lease.surrender();
      free_slot(id, slot, doomed, now, discarded);
    }
    return discarded;
  }

  std::vector<Discarded> lost(ContainerId container, int slot, TimePoint now) override {
    std::vector<Discarded> discarded;
    free_slot(container, slot, true, now, discarded);
    return discarded;
  }

  void destroyed(ContainerId container) override {
    const auto it = instances_.find(container);
    if (it == instances_.end() || it->second.state != State::kDiscarded) return;
    const Instance& gone = it->second;
    held_.memory_mb -= gone.charged_mb;
    if (gone.heir == 0) leaving_mb_ -= gone.charged_mb;
    if (const auto heir = instances_.find(gone.heir); heir != instances_.end()) {
      const std::int64_t due = std::min(gone.charged_mb, heir->second.memory_mb - heir->second.charged_mb);
      heir->second.charged_mb += due;
      held_.memory_mb += due;
    }
    instances_.erase(it);
  }

  std::vector<Discarded> expire(TimePoint now) override {
    std::vector<Instance*> expired;
    for (Instance* instance : evictable_) {
      if (keep_alive_.expires(as_idle(*instance)) <= now) expired.push_back(instance);
    }
    std::vector<Discarded> discarded;
    discarded.reserve(expired.size());
    for (Instance* instance : expired) discarded.push_back(discard(*instance, "expired"));
    forget_unused_functions();
    return discarded;
  }

  std::vector<Discarded> retire(std::string_view function, const FunctionPtr& keep,
                                TimePoint /*now*/) override {
    std::vector<Discarded> discarded;
    for (auto& [id, instance] : instances_) {
      if (!instance.function || instance.function->name != function) continue;
      if (keep && current(instance, *keep)) continue;
      doom(instance, "updated", discarded);
    }
    return discarded;
  }

  std::vector<Discarded> retire_all() override {
    std::vector<Discarded> discarded;
    for (auto& [id, instance] : instances_) doom(instance, "shutdown", discarded);
    return discarded;
  }

  std::optional<ContainerId> reserve_stock(const StockPlan& plan, Resources promised) override {
    if (plan.memory_mb > options_.total.memory_mb - held_.memory_mb - promised.memory_mb) return std::nullopt;
    Instance& instance = add(plan.memory_mb);
    instance.state = State::kStock;
    instance.stock_runtime = plan.runtime;
    instance.charged_mb = plan.memory_mb;
    held_.memory_mb += plan.memory_mb;
    coming_mb_ += plan.memory_mb;
    return instance.id;
  }

  bool stock_ready(ContainerId id) override {
    const auto it = instances_.find(id);
    if (it == instances_.end() || it->second.state != State::kStock) return false;
    it->second.stock_ready = true;
    coming_mb_ -= it->second.charged_mb;
    return true;
  }

  void stock_failed(ContainerId id) override {
    const auto it = instances_.find(id);
    if (it == instances_.end()) return;
    coming_mb_ -= it->second.charged_mb;
    if (it->second.state == State::kStock) discard(it->second, "failed");
    destroyed(id);
  }

  int stock(std::string_view runtime) const override {
    return static_cast<int>(std::ranges::count_if(instances_, [&](const auto& entry) {
      return entry.second.state == State::kStock && entry.second.stock_runtime == runtime;
    }));
  }

  PoolView view(std::string_view function) const override {
    PoolView view;
    view.total = options_.total;
    view.busy = busy_;
    view.held = held_;
    if (const auto it = functions_.find(function); it != functions_.end()) {
      view.warm = static_cast<int>(it->second.idle.size());
      view.busy_containers = static_cast<int>(it->second.busy.size());
      view.starting = it->second.starting;
    }
    return view;
  }

  std::vector<std::pair<std::string, int>> warm_containers() const override {
    std::vector<std::pair<std::string, int>> warm;
    warm.reserve(functions_.size());
    for (const auto& [name, mine] : functions_) warm.emplace_back(name, static_cast<int>(mine.idle.size()));
    return warm;
  }

  int starting_slots(std::string_view function) const override {
    const auto mine = functions_.find(function);
    if (mine == functions_.end() || mine->second.starting == 0) return 0;
    int slots = 0;
    for (const auto& [id, instance] : instances_) {
      if (instance.state == State::kStarting && !instance.doomed && instance.function->name == function) {
        slots += instance.function->max_concurrency - instance.in_use;
      }
    }
    return slots;
  }

  std::size_t size() const override { return instances_.size(); }

 private:
  static bool current(const Instance& instance, const Function& function) {
    return instance.function->revision == function.revision;
  }

  IdleContainer as_idle(const Instance& instance) const {
    IdleContainer idle;
    idle.function = instance.function->name;
    idle.memory_mb = instance.memory_mb;
    idle.idle_since = instance.idle_since;
    idle.init_time = instance.init_time;
    if (const auto mine = functions_.find(idle.function); mine != functions_.end())
      idle.uses = mine->second.uses;
    idle.priority = instance.priority;
    return idle;
  }

  Instance& add(std::int64_t memory_mb) {
    const ContainerId id = ++last_id_;
    Instance& instance = instances_[id];
    instance.id = id;
    instance.memory_mb = memory_mb;
    return instance;
  }

  /// Takes a slot of a ready container.
  Acquired leased(Instance& instance, FunctionPool& mine) {
    if (instance.in_use == 0) {
      std::erase(mine.idle, &instance);
      evictable_.erase(&instance);
      mine.busy.insert(instance.id);
      busy_ += {instance.memory_mb, instance.millicores};
    }
    ++mine.uses;
    const int slot = take_slot(instance);
    return {Acquired::Kind::kLease,
            Lease(home_, instance.id, slot, instance.function, instance.container, {})};
  }

  Acquired start_new(const FunctionPtr& function, FunctionPool& mine, Resources promised, bool may_evict,
                     TimePoint /*now*/) {
    const std::int64_t stock_mb = stock_memory(function->runtime);
    const std::int64_t needed = function->memory_mb - stock_mb;
    const std::int64_t free_mb = options_.total.memory_mb - held_.memory_mb - promised.memory_mb;
    if (to_millicores(function->cpu_demand) + promised.millicores >
        options_.total.millicores - busy_.millicores) {
      return {Acquired::Kind::kNoCores, {}};
    }
    std::vector<Instance*> chosen;
    if (needed > free_mb && (!may_evict || !choose_victims(needed - free_mb, *function, chosen))) {
      // What is being removed will be free in a moment, and stock that is being made can be taken or evicted
      // in a moment: that is worth a wait outside the queue.
      const bool soon =
          may_evict && choose_victims(needed - free_mb - leaving_mb_ - coming_mb_, *function, chosen);
      return {soon ? Acquired::Kind::kStartLimit : Acquired::Kind::kNoMemory, {}};
    }
    if (starts_ >= options_.max_starts) return {Acquired::Kind::kStartLimit, {}};
    return reserve(function, mine, chosen);
  }

  /// Memory of the unspecialised instance that a start of this runtime would take over; 0 if none stands
  /// ready.
  std::int64_t stock_memory(std::string_view runtime) const {
    const Instance* ready = find_stock(runtime);
    return ready == nullptr ? 0 : ready->memory_mb;
  }

  const Instance* find_stock(std::string_view runtime) const {
    for (const auto& [id, instance] : instances_) {
      if (instance.stock_ready && instance.state == State::kStock && instance.stock_runtime == runtime)
        return &instance;
    }
    return nullptr;
  }

  /// Unspecialised instances of other runtimes first, then idle containers by the keep-alive policy, until
  /// `missing` MB are found; false, choosing none, if all of them are not enough.
  bool choose_victims(std::int64_t missing, const Function& starter, std::vector<Instance*>& chosen) {
    const Instance* own_stock = find_stock(starter.runtime);
    for (auto& [id, instance] : instances_) {
      if (missing <= 0) return true;
      if (instance.state != State::kStock || !instance.stock_ready || &instance == own_stock) continue;
      chosen.push_back(&instance);
      missing -= instance.charged_mb;
    }
    for (Instance* instance : evictable_) {
      if (missing <= 0) return true;
      chosen.push_back(instance);
      missing -= instance->charged_mb;
    }
    if (missing <= 0) return true;
    chosen.clear();
    return false;
  }

  Acquired reserve(const FunctionPtr& function, FunctionPool& mine, const std::vector<Instance*>& chosen) {
    if (const Instance* own_stock = find_stock(function->runtime)) {
      held_.memory_mb -= own_stock->charged_mb;
      instances_.erase(own_stock->id);
    }
    Instance& instance = add(function->memory_mb);
    instance.function = function;
    instance.millicores = to_millicores(function->cpu_demand);
    std::vector<Discarded> victims;
    std::int64_t covered = 0;
    for (Instance* victim : chosen) {
      covered += victim->charged_mb;
      victim->heir = instance.id;
      if (victim->state != State::kStock) keep_alive_.on_evicted(as_idle(*victim));
      victims.push_back(discard(*victim, "evicted"));
    }
    instance.charged_mb = std::max<std::int64_t>(0, instance.memory_mb - covered);
    held_.memory_mb += instance.charged_mb;
    busy_ += {instance.memory_mb, instance.millicores};
    ++starts_;
    ++mine.starting;
    ++mine.uses;
    const int slot = take_slot(instance);
    return {Acquired::Kind::kLease, Lease(home_, instance.id, slot, function, nullptr, std::move(victims))};
  }

  static int take_slot(Instance& instance) {
    ++instance.in_use;
    for (int slot = 0; slot < 64; ++slot) {
      const std::uint64_t bit = std::uint64_t{1} << slot;
      if ((instance.slots & bit) == 0) {
        instance.slots |= bit;
        return slot;
      }
    }
    const auto free = std::ranges::find(instance.more_slots, false);
    const auto index = free - instance.more_slots.begin();
    if (free == instance.more_slots.end()) {
      instance.more_slots.push_back(true);
    } else {
      *free = true;
    }
    return 64 + static_cast<int>(index);
  }

  void free_slot(ContainerId id, int slot, bool doomed, TimePoint now, std::vector<Discarded>& discarded) {
    const auto it = instances_.find(id);
    if (it == instances_.end()) return;
    Instance& instance = it->second;
    if (slot < 64) {
      instance.slots &= ~(std::uint64_t{1} << slot);
    } else {
      instance.more_slots[static_cast<std::size_t>(slot) - 64] = false;
    }
    --instance.in_use;
    FunctionPool& mine = functions_[instance.function->name];
    if (doomed || instance.state == State::kStarting) {
      instance.doomed = true;
      mine.busy.erase(id);
    }
    if (instance.in_use > 0) return;
    if (instance.doomed) {
      discarded.push_back(discard(instance, "failed"));
      return;
    }
    become_idle(instance, mine, now);
  }

  void become_idle(Instance& instance, FunctionPool& mine, TimePoint now) {
    mine.busy.erase(instance.id);
    busy_ -= {instance.memory_mb, instance.millicores};
    instance.idle_since = now;
    instance.priority = keep_alive_.on_idle(as_idle(instance));
    mine.idle.push_back(&instance);
    evictable_.insert(&instance);
  }

  /// Gives up an idle container at once, a busy one with its last lease.
  void doom(Instance& instance, const char* reason, std::vector<Discarded>& discarded) {
    if (instance.state == State::kDiscarded) return;
    if (instance.state == State::kStock && !instance.stock_ready) return;  // its maker gives it back
    if (instance.state == State::kStock || instance.idle()) {
      discarded.push_back(discard(instance, reason));
    } else if (!instance.doomed) {
      instance.doomed = true;
      functions_[instance.function->name].busy.erase(instance.id);
    }
  }

  Discarded discard(Instance& instance, const char* reason) {
    Discarded given_up{instance.id, instance.function, std::move(instance.container), instance.stock_runtime,
                       reason};
    if (instance.state != State::kStock) {
      FunctionPool& mine = functions_[instance.function->name];
      const bool was_idle = evictable_.erase(&instance) > 0;
      std::erase(mine.idle, &instance);
      mine.busy.erase(instance.id);
      if (!was_idle) busy_ -= {instance.memory_mb, instance.millicores};
      if (instance.state == State::kStarting) {
        --starts_;
        --mine.starting;
      }
    }
    instance.state = State::kDiscarded;
    if (instance.heir == 0) leaving_mb_ += instance.charged_mb;
    return given_up;
  }

  /// Names without containers leave the table, so that it does not grow with every function ever seen.
  void forget_unused_functions() {
    std::set<std::string_view> used;
    for (const auto& [id, instance] : instances_) {
      if (instance.function) used.insert(instance.function->name);
    }
    std::erase_if(functions_, [&](const auto& entry) { return !used.contains(entry.first); });
  }

  const PoolOptions options_;
  KeepAlivePolicy& keep_alive_;
  LeaseHome& home_;
  ContainerId last_id_ = 0;
  int starts_ = 0;
  Resources busy_;               // of containers with calls or starting
  Resources held_;               // memory of all containers; its millicores stay 0
  std::int64_t leaving_mb_ = 0;  // of it, what is being removed and promised to no heir
  std::int64_t coming_mb_ = 0;   // of it, stock that is being made
  std::map<ContainerId, Instance> instances_;
  std::map<std::string, FunctionPool, std::less<>> functions_;
  std::set<Instance*, EvictionOrder> evictable_;
};

}  // namespace

std::unique_ptr<ContainerPool> make_container_pool(const PoolOptions& options, KeepAlivePolicy& keep_alive,
                                                   LeaseHome& home) {
  return std::make_unique<LocalPool>(options, keep_alive, home);
}

}  // namespace serverledge
