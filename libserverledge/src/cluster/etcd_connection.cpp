#include "cluster/etcd_connection.hpp"

#include <fmt/format.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <utility>

#include "cluster/etcd_errors.hpp"

namespace serverledge {
namespace {

/// How long a call waits for a connection that has failed before.
constexpr Duration kGlance = std::chrono::milliseconds(100);

/// What one member may take of a call that another one could answer as well.
constexpr Duration kShare = std::chrono::seconds(2);
/// How long a member that has not answered comes last.
constexpr Duration kAvoided = std::chrono::seconds(10);
/// How long a call may be without an answer before the store counts as away.
constexpr Duration kPatience = std::chrono::seconds(1);
/// Largest answer that is taken. Lists come in pages far below it.
constexpr int kLargestAnswer = 256 << 20;
constexpr const char* kTrusted = "/etc/ssl/certs/ca-certificates.crt";

Result<std::string> contents(const char* setting, const std::string& file) {
  if (file.empty()) return std::string();
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in || text.empty()) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("{}: {} cannot be read", setting, file));
  }
  return text;
}

Result<std::shared_ptr<grpc::ChannelCredentials>> tls_credentials(const EtcdOptions& options) {
  if (options.certificate.empty() != options.key.empty()) {
    return Unexpected(ErrorCode::kInvalid, "etcd.cert and etcd.key go together: set both or none");
  }
  grpc::SslCredentialsOptions tls;
  const auto roots = contents("etcd.ca", options.ca.empty() ? kTrusted : options.ca);
  if (!roots) return Unexpected(roots.error());
  const auto certificate = contents("etcd.cert", options.certificate);
  if (!certificate) return Unexpected(certificate.error());
  const auto key = contents("etcd.key", options.key);
  if (!key) return Unexpected(key.error());
  tls.pem_root_certs = *roots;
  tls.pem_cert_chain = *certificate;
  tls.pem_private_key = *key;
  return grpc::SslCredentials(tls);
}

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 3'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, kLargestAnswer);
  arguments.SetInt(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Two stores of one process, or a client of the host's, share no connection; and no proxy of the
  // environment comes between.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

struct Address {
  std::string target;
  bool tls = false;
};

Result<Address> parse(const std::string& endpoint, bool tls) {
  std::string_view rest = endpoint;
  for (const auto& [scheme, secure] : {std::pair{std::string_view("http://"), false}, {"https://", true}}) {
    if (!rest.starts_with(scheme)) continue;
    rest.remove_prefix(scheme.size());
    tls = secure;
  }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const std::size_t colon = rest.rfind(':');
  const std::string_view port = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  const bool good = colon != std::string_view::npos && colon > 0 && !port.empty() && port.size() <= 5 &&
                    std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; }) &&
                    rest.find_first_of("/, ") == std::string_view::npos;
  if (!good) {
    return Unexpected(ErrorCode::kInvalid,
                      fmt::format("etcd.address: expected host:port, not '{}'", endpoint));
  }
  return Address{"dns:///" + std::string(rest), tls};
}

}  // namespace

gpr_timespec grpc_deadline(Duration limit) {
  return gpr_time_from_nanos(std::max<std::int64_t>(limit.count(), 0), GPR_TIMESPAN);
}

Result<std::shared_ptr<EtcdConnection>> EtcdConnection::open(const EtcdOptions& options, Clock& clock) {
  const bool tls = !options.ca.empty() || !options.certificate.empty() || !options.key.empty();
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  std::vector<std::unique_ptr<EtcdEndpoint>> endpoints;
  for (const std::string& endpoint : options.endpoints) {
    const auto address = parse(endpoint, tls);
    if (!address) return Unexpected(address.error());
    if (address->tls && !credentials) {
      auto made = tls_credentials(options);
      if (!made) return Unexpected(made.error());
      credentials = std::move(*made);
    }
    endpoints.push_back(std::make_unique<EtcdEndpoint>(
        endpoint, grpc::CreateCustomChannel(address->target,
                                            address->tls ? credentials : grpc::InsecureChannelCredentials(),
                                            channel_arguments())));
  }
  if (endpoints.empty()) return Unexpected(ErrorCode::kInvalid, "etcd.address: name at least one address");
  return std::make_shared<EtcdConnection>(std::move(endpoints), options, clock);
}

EtcdConnection::EtcdConnection(std::vector<std::unique_ptr<EtcdEndpoint>> endpoints,
                               const EtcdOptions& options, Clock& clock)
    : endpoints_(std::move(endpoints)),
      user_(options.user),
      password_(options.password),
      deadline_(options.deadline),
      clock_(clock) {}

/// The member that answered last first, those that did not answer last.
std::vector<EtcdEndpoint*> EtcdConnection::candidates() const {
  std::vector<EtcdEndpoint*> all;
  const std::size_t first = current_;
  for (std::size_t i = 0; i < endpoints_.size(); ++i)
    all.push_back(endpoints_[(first + i) % endpoints_.size()].get());
  const TimePoint now = clock_.now();
  // Not that of std::ranges: clang 14 cannot compile what it returns.
  std::stable_partition(all.begin(), all.end(),
                        [now](const EtcdEndpoint* endpoint) { return endpoint->avoid_until.load() <= now; });
  return all;
}

Result<void> EtcdConnection::call(Repeat repeat, const Call& call, std::optional<Duration> limit) {
  const TimePoint deadline = later(clock_.now(), limit.value_or(deadline_));
  if (outstanding_.fetch_add(1) == 0) quiet_since_ = clock_.now();
  struct Ending {
    std::atomic<int>& count;
    ~Ending() { --count; }
  } const ending{outstanding_};
  const std::vector<EtcdEndpoint*> members = candidates();
  Error error{ErrorCode::kUnavailable, "etcd cannot be reached", {}};
  for (std::size_t i = 0; i < members.size(); ++i) {
    EtcdEndpoint& endpoint = *members[i];
    const bool last = i + 1 == members.size();
    Duration left = deadline - clock_.now();
    if (left <= Duration::zero()) break;
    if (!last) left = std::min(left, kShare);
    const Attempt made = attempt(endpoint, call, left);
    if (made.status.ok()) {
      answered(endpoint);
      return {};
    }
    error = etcd_error(made.status, endpoint.name);
    if (is_refusal(made.status)) refused(error);
    if (error.code != ErrorCode::kUnavailable) {
      answered(endpoint);  // that is an answer, too
      return Unexpected(std::move(error));
    }
    failed(endpoint);
    if (made.sent && repeat == Repeat::kNever) break;
  }
  well_ = false;
  return Unexpected(std::move(error));
}

EtcdConnection::Attempt EtcdConnection::attempt(EtcdEndpoint& endpoint, const Call& call, Duration limit) {
  const TimePoint deadline = later(clock_.now(), limit);
  if (!connected(endpoint, deadline)) {
    return {grpc::Status(grpc::StatusCode::UNAVAILABLE, "no connection"), false};
  }
  for (const bool again : {true, false}) {
    grpc::Status status;
    const std::string shown = token(endpoint, deadline - clock_.now(), status);
    if (!status.ok()) return {status, false};
    grpc::ClientContext context;
    context.set_deadline(grpc_deadline(deadline - clock_.now()));
    if (!shown.empty()) context.AddMetadata("token", shown);
    status = call(endpoint, context);
    if (user_.empty() || !wants_token(status)) return {status, true};
    forget(shown);
    if (!again) return {status, false};
  }
  return {};
}

/// Waits until there is a connection; for one that has failed only a moment. gRPC tries again by itself, at
/// most a second later, but a connection that is not made at once (as on loopback) gets on only while
/// somebody waits for it.
bool EtcdConnection::connected(EtcdEndpoint& endpoint, TimePoint deadline) const {
  for (;;) {
    const grpc_connectivity_state state = endpoint.channel->GetState(true);
    if (state == GRPC_CHANNEL_READY) return true;
    if (state == GRPC_CHANNEL_SHUTDOWN) return false;
    Duration left = deadline - clock_.now();
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) left = std::min(left, kGlance);
    if (left <= Duration::zero() || !endpoint.channel->WaitForStateChange(state, grpc_deadline(left)))
      return false;
  }
}

/// The token to show; empty if none is needed.
std::string EtcdConnection::token(EtcdEndpoint& endpoint, Duration limit, grpc::Status& status) {
  if (user_.empty()) return {};
  {
    const std::scoped_lock lock(mutex_);
    if (asked_for_token_) return token_;
  }
  grpc::ClientContext context;
  context.set_deadline(grpc_deadline(limit));
  etcdserverpb::AuthenticateRequest request;
  request.set_name(user_);
  request.set_password(password_);
  etcdserverpb::AuthenticateResponse response;
  status = endpoint.auth.Authenticate(&context, request, &response);
  // FAILED_PRECONDITION: authentication is not enabled there.
  if (status.error_code() == grpc::StatusCode::FAILED_PRECONDITION) status = grpc::Status::OK;
  if (!status.ok()) return {};
  const std::scoped_lock lock(mutex_);
  token_ = response.token();
  asked_for_token_ = true;
  return token_;
}

void EtcdConnection::forget(const std::string& token) {
  const std::scoped_lock lock(mutex_);
  if (token_ == token) asked_for_token_ = false;
}

void EtcdConnection::renew_token() {
  const std::scoped_lock lock(mutex_);
  asked_for_token_ = false;
}

void EtcdConnection::failed(EtcdEndpoint& endpoint) { endpoint.avoid_until = later(clock_.now(), kAvoided); }

void EtcdConnection::answered(EtcdEndpoint& endpoint) {
  endpoint.avoid_until = TimePoint::min();
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    if (endpoints_[i].get() == &endpoint) current_ = i;
  }
  quiet_since_ = clock_.now();
  well_ = true;
  let_in_ = true;
}

void EtcdConnection::refused(const Error& error) {
  const std::scoped_lock lock(mutex_);
  refusal_ = error.message;
}

std::string EtcdConnection::refusal() const {
  if (let_in_) return {};
  const std::scoped_lock lock(mutex_);
  return refusal_;
}

bool EtcdConnection::healthy() const noexcept {
  if (!well_) return false;
  return outstanding_ == 0 || clock_.now() - quiet_since_.load() < kPatience;
}

Result<EtcdConnection::Session> EtcdConnection::session() {
  const TimePoint deadline = later(clock_.now(), deadline_);
  Error error{ErrorCode::kUnavailable, "etcd cannot be reached", {}};
  for (EtcdEndpoint* endpoint : candidates()) {
    if (!connected(*endpoint, std::min(deadline, later(clock_.now(), kShare)))) {
      failed(*endpoint);
      continue;
    }
    grpc::Status status;
    const std::string shown = token(*endpoint, deadline - clock_.now(), status);
    if (!status.ok()) {
      error = etcd_error(status, endpoint->name);
      continue;
    }
    Session session{endpoint, std::make_unique<grpc::ClientContext>()};
    if (!shown.empty()) session.context->AddMetadata("token", shown);
    return session;
  }
  return Unexpected(std::move(error));
}

}  // namespace serverledge
