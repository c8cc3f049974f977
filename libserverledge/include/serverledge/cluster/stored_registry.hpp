#pragma once

#include <cstddef>
#include <memory>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/function_registry.hpp"
#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/observer.hpp"

namespace serverledge {

/// Code up to this size, in bytes, stands in the record, where nodes of the Go implementation find it.
constexpr std::size_t kLargestInlineCode = 1'000'000;

/// The functions in a store: records under `/function/<name>` as the contract has them, code up to 1 MB
/// inside the record, larger code in pieces of 1 MiB under `/serverledge/code/<name>/<SHA-256 of the
/// code>/<n>`, written before the record that refers to it and removed in one transaction with the last one
/// that did. A record is changed only as it was read, so that nodes which change one function at the same
/// time do so one after the other. What a change that was cut off left behind is removed when a registry
/// begins.
///
/// A copy of all records is kept in memory by a watch: `find` of a known name never asks the store, which may
/// be away. An unknown name is looked up in the store once (200 ms at most), and the outcome remembered for 1
/// s. What this node itself changed is in the copy when the call returns. Records that cannot be read are
/// logged and passed over.
///
/// With a store that may be away (a cluster's), `disk` is a store of this node: functions that were known
/// when the node stopped are known again when it starts, with their code, whether or not the store can be
/// asked. What other nodes removed meanwhile goes as soon as the store tells. What the store lost itself (it
/// was wiped, or restored from an old backup) is put back, unless the name has been taken anew.
///
/// The listener of `on_change` runs on the thread that made the change, or on the store's.
/// Creates, updates and removals wait for each other (30 s at most, then kUnavailable); kUnavailable, too, if
/// other nodes change the function all the time.
///
/// Thread-safe. `store`, `disk`, `clock` and `observer` must outlive it.
std::unique_ptr<FunctionRegistry> make_stored_registry(KeyValueStore& store, Clock& clock, Observer& observer,
                                                       KeyValueStore* disk = nullptr);

}  // namespace serverledge
