#include "libvm/tls_channel.h"

#include <fmt/format.h>
#include <gnutls/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "engine/base/assert.h"

namespace thinvol {
namespace {

constexpr std::size_t sealed_at_once = 256 << 10;
constexpr const char* priorities = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
constexpr const char* key_exchanges = ":+ECDHE-PSK:+DHE-PSK:+PSK";

// A certificate that says what it is for must be for clients: not one of some server that the same
// authority vouches for. GnuTLS writes to neither.
gnutls_typed_vdata_st as_client{
    GNUTLS_DT_KEY_PURPOSE_OID,
    reinterpret_cast<unsigned char*>(const_cast<char*>(GNUTLS_KP_TLS_WWW_CLIENT)), 0};

Error refused(const std::filesystem::path& path, std::string_view why) {
    return {Errc::invalid_argument, fmt::format("TLS: {}: {}", path.string(), why)};
}

Result<> check_readable(const std::filesystem::path& path) {
    if (::access(path.c_str(), R_OK) == 0) return {};
    return refused(path, std::strerror(errno));
}

}  // namespace

// --- credentials ---------------------------------------------------------------------------------

Result<std::unique_ptr<TlsCredentials>> TlsCredentials::load(const Files& files) {
    std::unique_ptr<TlsCredentials> self(new TlsCredentials());
    self->verify_clients_ = files.verify_clients;
    if (!files.certificates.empty()) TRY(self->load_certificates(files));
    if (!files.keys.empty()) TRY(self->load_keys(files.keys));
    if (self->certificates_ == nullptr && self->keys_ == nullptr) {
        return Error(Errc::invalid_argument,
                     "TLS needs certificates or keys: set nbd.tls_certificates or nbd.tls_keys");
    }
    std::string text = priorities;
    if (self->keys_ != nullptr) text += key_exchanges;
    if (const int error = gnutls_priority_init(&self->priority_, text.c_str(), nullptr); error != 0)
        return Error(Errc::unsupported, fmt::format("TLS: {}", gnutls_strerror(error)));
    return self;
}

TlsCredentials::~TlsCredentials() {
    if (certificates_ != nullptr) gnutls_certificate_free_credentials(certificates_);
    if (keys_ != nullptr) gnutls_psk_free_server_credentials(keys_);
    if (priority_ != nullptr) gnutls_priority_deinit(priority_);
}

Result<> TlsCredentials::load_certificates(const Files& files) {
    const auto ca = files.certificates / "ca-cert.pem";
    const auto crl = files.certificates / "ca-crl.pem";
    const auto certificate = files.certificates / "server-cert.pem";
    const auto key = files.certificates / "server-key.pem";
    for (const auto& file : {ca, certificate, key}) TRY(check_readable(file));
    if (gnutls_certificate_allocate_credentials(&certificates_) != 0)
        return Error(Errc::out_of_space, "TLS: no memory for credentials");
    int n = gnutls_certificate_set_x509_trust_file(certificates_, ca.c_str(), GNUTLS_X509_FMT_PEM);
    if (n <= 0) return refused(ca, n == 0 ? "no certificate in it" : gnutls_strerror(n));
    n = gnutls_certificate_set_x509_key_file(certificates_, certificate.c_str(), key.c_str(),
                                             GNUTLS_X509_FMT_PEM);
    if (n < 0) return refused(certificate, gnutls_strerror(n));
    if (!std::filesystem::exists(crl)) return {};
    n = gnutls_certificate_set_x509_crl_file(certificates_, crl.c_str(), GNUTLS_X509_FMT_PEM);
    if (n < 0) return refused(crl, gnutls_strerror(n));
    return {};
}

Result<> TlsCredentials::load_keys(const std::filesystem::path& file) {
    TRY(check_readable(file));
    if (gnutls_psk_allocate_server_credentials(&keys_) != 0)
        return Error(Errc::out_of_space, "TLS: no memory for credentials");
    const int error = gnutls_psk_set_server_credentials_file(keys_, file.c_str());
    if (error != 0) return refused(file, gnutls_strerror(error));
    return {};
}

// --- a channel -----------------------------------------------------------------------------------

TlsChannel::TlsChannel(const TlsCredentials& credentials, int socket)
    : verifies_(credentials.verify_clients_), socket_(socket) {
    ASSERT(gnutls_init(&session_, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) == 0);
    ASSERT(gnutls_priority_set(session_, credentials.priority_) == 0);
    if (credentials.certificates_ != nullptr) {
        gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, credentials.certificates_);
        if (credentials.verify_clients_) {
            gnutls_certificate_server_set_request(session_, GNUTLS_CERT_REQUIRE);
            gnutls_session_set_verify_cert2(session_, &as_client, 1, 0);
        }
    }
    if (credentials.keys_ != nullptr)
        gnutls_credentials_set(session_, GNUTLS_CRD_PSK, credentials.keys_);
    gnutls_transport_set_ptr2(session_,
                              std::bit_cast<gnutls_transport_ptr_t>(std::intptr_t{socket}), this);
    gnutls_transport_set_push_function(session_, &TlsChannel::push);
}

TlsChannel::~TlsChannel() { gnutls_deinit(session_); }

// Takes all, so that what GnuTLS seals never has to be sealed again; flush() passes it on.
ssize_t TlsChannel::push(gnutls_transport_ptr_t self, const void* bytes, std::size_t n) {
    auto& sealed = static_cast<TlsChannel*>(self)->sealed_;
    const auto* begin = static_cast<const std::byte*>(bytes);
    sealed.insert(sealed.end(), begin, begin + n);
    return static_cast<ssize_t>(n);
}

int TlsChannel::flush() {
    while (holds_back()) {
        const ssize_t n = ::send(socket_, sealed_.data() + sealed_from_,
                                 sealed_.size() - sealed_from_, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        sealed_from_ += static_cast<std::size_t>(n);
    }
    sealed_.clear();
    sealed_from_ = 0;
    return 0;
}

TlsChannel::Progress TlsChannel::handshake() {
    int error = 0;
    do error = gnutls_handshake(session_);
    while (error == GNUTLS_E_INTERRUPTED || error == GNUTLS_E_WARNING_ALERT_RECEIVED);
    const bool waits = error == GNUTLS_E_AGAIN;
    if (error != 0 && !waits) gnutls_alert_send_appropriate(session_, error);
    const bool sent = flush() == 0 || errno == EAGAIN;
    if (!sent || (error != 0 && !waits)) return Progress::failed;
    return waits ? Progress::again : Progress::done;
}

TlsChannel::Identity TlsChannel::identity() const {
    Identity identity;
    switch (gnutls_auth_get_type(session_)) {
        case GNUTLS_CRD_PSK:
            if (const char* name = gnutls_psk_server_get_username(session_)) identity.key = name;
            break;
        case GNUTLS_CRD_CERTIFICATE:
            if (verifies_) identity.certificate = common_name();
            break;
        default: break;
    }
    return identity;
}

// Nothing where there are two: who reads the other one would mean somebody else.
std::string TlsChannel::common_name() const {
    unsigned count = 0;
    const gnutls_datum_t* chain = gnutls_certificate_get_peers(session_, &count);
    gnutls_x509_crt_t certificate = nullptr;
    if (chain == nullptr || count == 0 || gnutls_x509_crt_init(&certificate) != 0) return {};
    std::array<char, 256> name{};
    std::size_t length = name.size();
    std::size_t second_length = 0;
    const char* const oid = GNUTLS_OID_X520_COMMON_NAME;
    const bool one =
        gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) == 0 &&
        gnutls_x509_crt_get_dn_by_oid(certificate, oid, 0, 0, name.data(), &length) == 0 &&
        gnutls_x509_crt_get_dn_by_oid(certificate, oid, 1, 0, nullptr, &second_length) ==
            GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    gnutls_x509_crt_deinit(certificate);
    return one ? std::string(name.data(), length) : std::string();
}

ssize_t TlsChannel::receive(std::byte* into, std::size_t room) {
    const ssize_t n = gnutls_record_recv(session_, into, room);
    if (n >= 0) return n;
    if (n == GNUTLS_E_PREMATURE_TERMINATION) return 0;
    errno = n == GNUTLS_E_AGAIN ? EAGAIN : n == GNUTLS_E_INTERRUPTED ? EINTR : ECONNABORTED;
    return -1;
}

ssize_t TlsChannel::send(std::span<const iovec> parts) {
    if (flush() != 0) return -1;
    gnutls_record_cork(session_);
    std::size_t taken = 0;
    for (const iovec& part : parts) {
        const std::size_t n = std::min(part.iov_len, sealed_at_once - taken);
        if (n > 0 && gnutls_record_send(session_, part.iov_base, n) < 0) break;
        taken += n;
        if (taken == sealed_at_once) break;
    }
    if (gnutls_record_uncork(session_, 0) < 0 || taken == 0) {
        errno = ECONNABORTED;
        return -1;
    }
    if (flush() != 0 && errno != EAGAIN) return -1;
    return static_cast<ssize_t>(taken);
}

void TlsChannel::say_goodbye() {
    if (given_up_) return;
    gnutls_bye(session_, GNUTLS_SHUT_WR);
    flush();
}

void TlsChannel::give_up() {
    given_up_ = true;
    sealed_.clear();
    sealed_from_ = 0;
}

}  // namespace thinvol
