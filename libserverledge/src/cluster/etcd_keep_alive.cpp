#include "cluster/etcd_keep_alive.hpp"

#include <utility>

#include "cluster/etcd_errors.hpp"

namespace serverledge {
namespace {

/// How long one step of the exchange may take, and a renewal wait for those before it.
constexpr Duration kStepTime = std::chrono::seconds(2);
constexpr Duration kTurnTime = std::chrono::seconds(10);

using Request = etcdserverpb::LeaseKeepAliveRequest;
using Response = etcdserverpb::LeaseKeepAliveResponse;

}  // namespace

/// An open stream. One step at a time, each with a deadline: after one that was not taken in time, or that
/// failed, only `end` makes sense.
class EtcdKeepAlive::Stream {
 public:
  explicit Stream(EtcdConnection::Session session)
      : endpoint_(session.endpoint), context_(std::move(session.context)) {
    exchange_ = endpoint_->lease.PrepareAsyncLeaseKeepAlive(context_.get(), &queue_);
  }
  ~Stream() {
    context_->TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool good = false;
    while (queue_.Next(&tag, &good)) {
    }
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool start() {
    exchange_->StartCall(this);
    return step();
  }
  bool ask(const Request& request, Response& response) {
    exchange_->Write(request, this);
    if (!step()) return false;
    exchange_->Read(&response, this);
    return step();
  }
  /// Why it has broken.
  Error end() {
    context_->TryCancel();
    if (!in_time_) return {ErrorCode::kUnavailable, endpoint_->name + ": no answer in time", {}};
    exchange_->Finish(&status_, this);
    step();
    return etcd_error(status_, endpoint_->name);
  }
  const grpc::Status& status() const { return status_; }

 private:
  bool step() {
    void* tag = nullptr;
    bool good = false;
    in_time_ = queue_.AsyncNext(&tag, &good, grpc_deadline(kStepTime)) == grpc::CompletionQueue::GOT_EVENT;
    return in_time_ && good;
  }

  EtcdEndpoint* const endpoint_;
  const std::unique_ptr<grpc::ClientContext> context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<Request, Response>> exchange_;
  grpc::Status status_{grpc::StatusCode::UNAVAILABLE, "the stream has ended"};
  bool in_time_ = true;
};

EtcdKeepAlive::EtcdKeepAlive(std::shared_ptr<EtcdConnection> connection)
    : connection_(std::move(connection)) {}
EtcdKeepAlive::~EtcdKeepAlive() = default;

Result<void> EtcdKeepAlive::renew(std::int64_t lease) {
  const auto mine = turns_.enter(kTurnTime);
  if (!mine.turn) return Unexpected(ErrorCode::kUnavailable, "etcd does not renew leases in time");
  const auto left = ask(lease);
  if (!left) return Unexpected(left.error());
  if (*left <= 0) return Unexpected(ErrorCode::kNotFound, "the lease has ended");
  return {};
}

/// The seconds that the lease has, by etcd's word; not more than 0 if it has ended. One that was open may
/// have broken since it was last used, and a token run out, so once more over a new one.
Result<std::int64_t> EtcdKeepAlive::ask(std::int64_t lease) {
  Request request;
  request.set_id(lease);
  Error error;
  for (int attempt = 0; attempt < 2; ++attempt) {
    bool good = stream_ != nullptr;
    if (!good) {
      auto session = connection_->session();
      if (!session) return Unexpected(session.error());
      stream_ = std::make_unique<Stream>(std::move(*session));
      good = stream_->start();
    }
    Response response;
    if (good && stream_->ask(request, response)) return response.ttl();
    error = stream_->end();
    if (wants_token(stream_->status())) connection_->renew_token();
    stream_.reset();
  }
  return Unexpected(std::move(error));
}

}  // namespace serverledge
