#include "serverledge/runtime/routing_runtime.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <utility>

namespace serverledge {
namespace {

class RoutingRuntime final : public ContainerRuntime {
 public:
  RoutingRuntime(std::unique_ptr<ContainerRuntime> first, std::unique_ptr<ContainerRuntime> second)
      : first_(std::move(first)), second_(std::move(second)) {
    for (Served& served : first_->runtimes()) of_first_.insert(std::move(served.runtime));
  }

  Result<std::unique_ptr<Container>> create(const Function& function, TimePoint deadline) override {
    return of(function.runtime).create(function, deadline);
  }
  Result<void> prepare(const Function& function, bool force_pull, TimePoint deadline) override {
    return of(function.runtime).prepare(function, force_pull, deadline);
  }
  std::vector<Served> runtimes() const override {
    std::vector<Served> served = first_->runtimes();
    std::ranges::copy_if(second_->runtimes(), std::back_inserter(served),
                         [&](const Served& row) { return !of_first_.contains(row.runtime); });
    return served;
  }
  Result<std::vector<std::string>> architectures(const Function& function) override {
    return of(function.runtime).architectures(function);
  }
  std::vector<std::string> notices() const override { return both(&ContainerRuntime::notices); }

  std::vector<StockPlan> stock_plans() const override { return both(&ContainerRuntime::stock_plans); }
  int stock(std::string_view runtime) const override { return of(runtime).stock(runtime); }
  Result<void> add_stock(std::string_view runtime, TimePoint deadline) override {
    return of(runtime).add_stock(runtime, deadline);
  }
  bool drop_stock(std::string_view runtime) override { return of(runtime).drop_stock(runtime); }

  void watch() override {
    first_->watch();
    second_->watch();
  }
  void shutdown() noexcept override {
    first_->shutdown();
    second_->shutdown();
  }

 private:
  ContainerRuntime& of(std::string_view runtime) const {
    return of_first_.find(runtime) != of_first_.end() ? *first_ : *second_;
  }
  template <typename T>
  std::vector<T> both(std::vector<T> (ContainerRuntime::*list)() const) const {
    std::vector<T> all = (first_.get()->*list)();
    std::ranges::move((second_.get()->*list)(), std::back_inserter(all));
    return all;
  }

  const std::unique_ptr<ContainerRuntime> first_;
  const std::unique_ptr<ContainerRuntime> second_;
  std::set<std::string, std::less<>> of_first_;
};

}  // namespace

std::unique_ptr<ContainerRuntime> make_routing_runtime(std::unique_ptr<ContainerRuntime> first,
                                                       std::unique_ptr<ContainerRuntime> second) {
  return std::make_unique<RoutingRuntime>(std::move(first), std::move(second));
}

}  // namespace serverledge
