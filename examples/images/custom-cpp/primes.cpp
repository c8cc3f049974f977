// Counts the primes up to params.n: a function as a program of its own.
//
// For each call the executor starts it anew, with the params as JSON in the file PARAMS_FILE; what it writes
// to the file RESULT_FILE is the result, what it prints is the output, and an exit status other than 0 is a
// failure.

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

namespace {

constexpr std::int64_t kMost = 100'000'000;

std::vector<std::int64_t> primes_up_to(std::int64_t n) {
  std::vector<bool> composite(static_cast<std::size_t>(n) + 1);
  std::vector<std::int64_t> primes;
  for (std::int64_t i = 2; i <= n; ++i) {
    if (composite[static_cast<std::size_t>(i)]) continue;
    primes.push_back(i);
    for (std::int64_t j = i * i; j <= n; j += i) composite[static_cast<std::size_t>(j)] = true;
  }
  return primes;
}

nlohmann::json call(const nlohmann::json& params) {
  const auto& given = params.at("n");
  // Parameters that come from `serverledge-cli -p` are strings.
  const std::int64_t n = given.is_string() ? std::stoll(given.get<std::string>()) : given.get<std::int64_t>();
  if (n < 0 || n > kMost) throw std::out_of_range("n must be from 0 to " + std::to_string(kMost));
  const std::vector<std::int64_t> primes = primes_up_to(n);
  std::cout << "found " << primes.size() << " primes" << std::endl;
  return {{"count", primes.size()},
          {"largest", primes.empty() ? nlohmann::json() : nlohmann::json(primes.back())}};
}

}  // namespace

int main() {
  try {
    nlohmann::json params;
    std::ifstream(std::getenv("PARAMS_FILE")) >> params;
    std::ofstream(std::getenv("RESULT_FILE")) << call(params);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "primes: " << error.what() << std::endl;
    return 1;
  }
}
