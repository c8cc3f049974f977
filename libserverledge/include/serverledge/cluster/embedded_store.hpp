#pragma once

#include <memory>
#include <string>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/key_value_store.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Opens the store of a node that shares nothing with others: a SQLite file `store.db` in the folder `path`
/// (made with mode 0700 if it is missing, the file with 0600), or ":memory:". A write that has been
/// acknowledged survives kill -9 and power loss; entries with a ttl go by `clock`'s wall time, and watches
/// hear of it within some seconds. Writes that come together share one commit. One thread tells watches and
/// removes what has expired; a call waits 10 s at most for those before it (then kUnavailable).
///
/// kUnavailable, with a sentence for the operator, if the file is in use by another store (also of this
/// process), damaged, of another program or not accessible: it is never changed then. kDiskFull if there is
/// no space to make it. `clock` must outlive the store.
Result<std::unique_ptr<KeyValueStore>> open_embedded_store(const std::string& path, Clock& clock);

}  // namespace serverledge
