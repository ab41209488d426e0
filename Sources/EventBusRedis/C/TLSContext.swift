import COpenSSL
import EventBus
import Glibc

/// The trusted authorities and the client certificate of one TLS session.
///
/// The certificate is read for each session, so that the next connection uses one that was renewed.
final class TLSContext {
    let handle: OpaquePointer
    /// A copy of the key's password, which OpenSSL asks for while it reads the key.
    private let password: UnsafeMutablePointer<CChar>?

    /// Creates a context.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration`, which names the file that cannot be
    ///   used.
    init(_ settings: RedisConfiguration.TLS) throws(EventBusError) {
        guard let handle = SSL_CTX_new(TLS_client_method()) else {
            throw EventBusError(.unavailable, "no memory for TLS")
        }
        self.handle = handle
        self.password = settings.keyPassword.flatMap { strdup($0) }
        ERR_clear_error()
        try Self.check(eventbus_tls_restrict(handle), "TLS 1.2")
        if settings.insecureSkipsVerification {
            SSL_CTX_set_verify(handle, SSL_VERIFY_NONE, nil)
        } else {
            SSL_CTX_set_verify(handle, SSL_VERIFY_PEER, nil)
            try TLSAuthorities.use(settings, in: handle)
        }
        guard let certificate = settings.certificateFile, let key = settings.keyFile else { return }
        eventbus_tls_set_password(handle, password)
        try Self.check(
            SSL_CTX_use_certificate_chain_file(handle, certificate),
            "tls.certificateFile \(certificate.quotedForError)"
        )
        let keyName = "tls.keyFile \(key.quotedForError)"
        try Self.check(SSL_CTX_use_PrivateKey_file(handle, key, SSL_FILETYPE_PEM), keyName)
        try Self.check(SSL_CTX_check_private_key(handle), keyName)
    }

    deinit {
        SSL_CTX_free(handle)
        free(password)
    }

    static func check(_ result: Int32, _ subject: String) throws(EventBusError) {
        guard result != 1 else { return }
        throw EventBusError(.invalidConfiguration, "\(subject) cannot be used: \(takeFailure())")
    }

    /// Removes and returns the reason for the last failure of OpenSSL on this thread.
    static func takeFailure() -> String {
        let code = ERR_get_error()
        ERR_clear_error()
        return ERR_reason_error_string(code).map { String(cString: $0) } ?? "OpenSSL gives no reason"
    }
}
