#include "cluster/kept_functions.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>

#include "serverledge/core/function.hpp"

namespace serverledge {
namespace {

constexpr std::string_view kRecords = "kept";
constexpr const char* kIncarnation = "kept/incarnation";

std::string kept_key(std::string_view key) { return fmt::format("{}{}", kRecords, key); }

/// The value is the revision, a space, and the record.
std::optional<StoredEntry> unpack(StoredEntry kept) {
  const std::size_t space = kept.value.find(' ');
  if (space == std::string::npos) return std::nullopt;
  const char* const end = kept.value.data() + space;
  StoredEntry record;
  if (const auto [at, failure] = std::from_chars(kept.value.data(), end, record.revision);
      failure != std::errc() || at != end) {
    return std::nullopt;
  }
  record.key = kept.key.substr(kRecords.size());
  record.value = kept.value.substr(space + 1);
  return record;
}

}  // namespace

Result<std::vector<StoredEntry>> KeptFunctions::records() {
  auto kept = disk_.list(kept_key("/function/"));
  if (!kept) return kept;
  std::vector<StoredEntry> records;
  for (StoredEntry& entry : *kept) {
    if (auto record = unpack(std::move(entry))) records.push_back(std::move(*record));
  }
  return records;
}

Result<std::optional<StoredEntry>> KeptFunctions::record(const std::string& key) {
  auto kept = disk_.get(kept_key(key));
  if (!kept || !*kept) return kept;
  return unpack(std::move(**kept));
}

Result<void> KeptFunctions::keep(const StoredEntry& record) {
  const auto done = disk_.put(kept_key(record.key), fmt::format("{} {}", record.revision, record.value));
  if (!done) return Unexpected(done.error());
  return {};
}

Result<void> KeptFunctions::forget(const std::string& key) {
  const auto before = record(key);
  const auto done = disk_.remove(kept_key(key));
  if (!done) return Unexpected(done.error());
  if (before && *before) {
    if (const auto function = with_pieces((*before)->value))
      return pieces_.remove(function->name, function->code_digest);
  }
  return {};
}

Result<std::string> KeptFunctions::incarnation() {
  auto kept = disk_.get(kIncarnation);
  if (!kept) return Unexpected(kept.error());
  return *kept ? std::move((*kept)->value) : std::string();
}

Result<void> KeptFunctions::belong_to(const std::string& incarnation) {
  const auto done = disk_.put(kIncarnation, incarnation);
  if (!done) return Unexpected(done.error());
  return {};
}

}  // namespace serverledge
