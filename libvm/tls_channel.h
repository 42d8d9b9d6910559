// TLS for one connection: TlsCredentials, what the server shows and asks for; TlsChannel, a socket
// behind it. Nothing blocks.
//
// Units       bytes
// Invariants  (1) a channel is used only between a handshake that is done and its end
//             (2) what is sealed and waits for the socket is bounded: no more is sealed before
//                 it is gone
//             (3) TLS 1.2 at least
//             (4) an identity is one that was proved: by a key, or by a certificate that was
//                 verified
// Errors      of load(): invalid_argument, naming the file; of a channel: errno, as recv(2) and
//             sendmsg(2)
// Threads     a channel: one; credentials: any, after load()
// Source      gnutls(3); NetworkBlockDevice/nbd doc/proto.md, TLS support
#pragma once

#include <gnutls/gnutls.h>
#include <sys/uio.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace thinvol {

class TlsCredentials {
public:
    struct Files {
        std::filesystem::path
            certificates;            // folder of ca-cert.pem, server-cert.pem, server-key.pem
                                     // and perhaps ca-crl.pem; empty: no X.509
        std::filesystem::path keys;  // lines of NAME:HEXKEY; empty: no pre-shared keys
        bool verify_clients = true;  // by ca-cert.pem
    };
    static Result<std::unique_ptr<TlsCredentials>> load(const Files& files);
    ~TlsCredentials();
    TlsCredentials(const TlsCredentials&) = delete;
    TlsCredentials& operator=(const TlsCredentials&) = delete;

private:
    friend class TlsChannel;
    TlsCredentials() = default;
    Result<> load_certificates(const Files& files);
    Result<> load_keys(const std::filesystem::path& file);

    gnutls_certificate_credentials_t certificates_ = nullptr;
    gnutls_psk_server_credentials_t keys_ = nullptr;
    gnutls_priority_t priority_ = nullptr;
    bool verify_clients_ = false;
};

class TlsChannel {
public:
    // The socket stays the caller's.
    TlsChannel(const TlsCredentials& credentials, int socket);
    ~TlsChannel();
    TlsChannel(const TlsChannel&) = delete;
    TlsChannel& operator=(const TlsChannel&) = delete;

    enum class Progress { done, again, failed };
    Progress handshake();
    // Of the client, after the handshake; empty: none. A certificate's common name, if it has one.
    struct Identity {
        std::string certificate;
        std::string key;
    };
    Identity identity() const;
    ssize_t receive(std::byte* into, std::size_t room);
    // Takes as much as it seals at once.
    ssize_t send(std::span<const iovec> parts);
    // Whether something sealed waits for the socket, and an attempt to be rid of it. -1: it failed.
    bool holds_back() const { return sealed_from_ < sealed_.size(); }
    int flush();
    // Tells the peer that nothing more comes, if the socket takes it.
    void say_goodbye();
    // The socket is of no use any more.
    void give_up();

private:
    static ssize_t push(gnutls_transport_ptr_t self, const void* bytes, std::size_t n);

    std::string common_name() const;

    gnutls_session_t session_ = nullptr;
    bool verifies_ = false;
    int socket_;
    bool given_up_ = false;
    std::vector<std::byte> sealed_;
    std::size_t sealed_from_ = 0;
};

}  // namespace thinvol
